/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct verify_store {
    struct mb_store base;
    struct mb_store *inner;
};

static const struct mb_store_ops verify_ops;

static struct mb_store *inner_of(struct mb_store *store)
{
    MB_ASSERT(store->ops == &verify_ops);
    return ((struct verify_store *)store)->inner;
}

/* ---- reading back ---- */

#define PIECE_BYTES ((size_t)64 * 1024)

struct comparison {
    const struct mb_store_source *source;
    uint64_t offset;
    bool is_same;
    uint8_t *piece;
};

static int compare_piece(struct comparison *comparison, const uint8_t *data, size_t size,
                         struct mb_error *err)
{
    const struct mb_store_source *source = comparison->source;

    if (size > source->size_bytes - comparison->offset) {
        comparison->is_same = false;
        return 0;
    }
    if (source->read(source->context, comparison->offset, comparison->piece, size, err) != 0) {
        return -1;
    }
    comparison->is_same = memcmp(comparison->piece, data, size) == 0;
    comparison->offset += size;
    return 0;
}

static int compare_sink(void *context, const uint8_t *data, size_t size, struct mb_error *err)
{
    struct comparison *comparison = context;

    if (data == NULL) {
        comparison->offset = 0;
        comparison->is_same = true;
        return 0;
    }
    while (size > 0 && comparison->is_same) {
        size_t piece_size = size < PIECE_BYTES ? size : PIECE_BYTES;

        if (compare_piece(comparison, data, piece_size, err) != 0) {
            return -1;
        }
        data += piece_size;
        size -= piece_size;
    }
    return 0;
}

enum reading {
    READING_SAME = 1,
    READING_DIFFERS,
    READING_MISSING,
    READING_FAILED, /* and *err */
};

static enum reading read_back(struct mb_store *inner, const char *key,
                              const struct mb_store_source *source, struct mb_error *err)
{
    struct comparison comparison = {.source = source, .is_same = true};
    int rc;

    comparison.piece = mb_alloc(PIECE_BYTES);
    rc = mb_store_get_sink(inner, key, source->size_bytes, compare_sink, &comparison, err);
    free(comparison.piece);
    if (rc != 0) {
        if (err->code == MB_ERR_NOT_FOUND) {
            return READING_MISSING;
        }
        return err->code == MB_ERR_LIMIT ? READING_DIFFERS : READING_FAILED;
    }
    return comparison.is_same && comparison.offset == source->size_bytes ? READING_SAME
                                                                         : READING_DIFFERS;
}

static int put_and_read_back(struct mb_store *inner, const char *key,
                             const struct mb_store_source *source, enum reading *reading_out,
                             struct mb_error *err)
{
    if (mb_store_put_source(inner, key, source, err) != 0) {
        return -1;
    }
    *reading_out = read_back(inner, key, source, err);
    return 0;
}

/* Once more if the first reading was bad: most such stores are confused by a single request (a
 * proxy that cut a body, a list of replicas not yet in step). */
static int verify_put(struct mb_store *store, const char *key, const struct mb_store_source *source,
                      struct mb_error *err)
{
    struct mb_store *inner = inner_of(store);
    enum reading reading = READING_FAILED;

    if (put_and_read_back(inner, key, source, &reading, err) != 0) {
        return -1;
    }
    if (reading == READING_DIFFERS || reading == READING_MISSING) {
        if (put_and_read_back(inner, key, source, &reading, err) != 0) {
            /* The first put was acknowledged: that this one failed does not undo it. */
            (void)mb_error_wrap(err, "the store does not hold the '%s' it acknowledged", key);
            err->code = MB_ERR_UNKNOWN_OUTCOME;
            return -1;
        }
    }
    switch (reading) {
    case READING_SAME: return 0;
    case READING_DIFFERS:
        (void)mb_error_set(err, MB_ERR_CORRUPT,
                           "the store holds other bytes under '%s' than it was given, twice", key);
        return mb_error_advise(err, "do not trust this store: check its disk, or use another one");
    case READING_MISSING:
        return mb_error_set(err, MB_ERR_UNKNOWN_OUTCOME,
                            "the store acknowledged '%s', twice, and does not have it", key);
    case READING_FAILED: break;
    }
    (void)mb_error_wrap(err, "'%s' was written and could not be read back", key);
    err->code = MB_ERR_UNKNOWN_OUTCOME;
    return -1;
}

/* ---- the rest passes through ---- */

static int verify_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err)
{
    return mb_store_probe(inner_of(store), has_marker_out, err);
}

static int verify_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                      mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    return mb_store_get_sink(inner_of(store), key, size_bytes_max, sink, context, err);
}

static int verify_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                       struct mb_error *err)
{
    return mb_store_stat(inner_of(store), key, size_bytes_out, err);
}

static int verify_list(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                       void *context, struct mb_error *err)
{
    return mb_store_list(inner_of(store), prefix, on_object, context, err);
}

static int verify_delete(struct mb_store *store, const char *key, struct mb_error *err)
{
    return mb_store_delete(inner_of(store), key, err);
}

static void verify_free(struct mb_store *store)
{
    mb_store_free(inner_of(store));
    free(store);
}

static const struct mb_store_ops verify_ops = {
    .name = "verify",
    .probe = verify_probe,
    .put = verify_put,
    .get = verify_get,
    .stat = verify_stat,
    .list = verify_list,
    .delete_object = verify_delete,
    .free = verify_free,
};

struct mb_store *mb_store_verify_new(struct mb_store *inner)
{
    struct verify_store *verify = mb_alloc_zeroed(1, sizeof(*verify));

    MB_ASSERT(inner != NULL);
    verify->base.ops = &verify_ops;
    verify->inner = inner;
    return &verify->base;
}
