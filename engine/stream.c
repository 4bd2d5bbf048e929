/* SPDX-License-Identifier: MIT */

#include "stream.h"

#include "alloc.h"
#include "file.h"
#include "limits.h"
#include "pack.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct listing {
    const struct mb_engine *engine;
    size_t root_size; /* of "projects/<id>/" */
    struct mb_stream_list list;
    char **names;
    size_t name_count;
    size_t prefix_size;
};

static int on_head(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct listing *listing = context;
    struct mb_stream_key item;
    const char *key = object->key + listing->root_size;

    memset(&item, 0, sizeof(item));
    if (!mb_head_parse_key(key, item.machine, &item.sequence)) {
        return 0; /* foreign */
    }
    if (listing->list.count >= MB_LIMIT_HEADS) {
        return mb_error_set(err, MB_ERR_LIMIT, "the store lists more than %d heads",
                            MB_LIMIT_HEADS);
    }
    item.key = mb_alloc_text(key);
    listing->list.items =
        mb_alloc_resize(listing->list.items, listing->list.count + 1, sizeof(*listing->list.items));
    listing->list.items[listing->list.count++] = item;
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    const struct mb_stream_key *left = a;
    const struct mb_stream_key *right = b;
    int order = memcmp(left->machine, right->machine, MB_MACHINE_ID_SIZE);

    if (order == 0 && left->sequence != right->sequence) {
        order = left->sequence < right->sequence ? -1 : 1;
    }
    return order != 0 ? order : strcmp(left->key, right->key);
}

int mb_stream_list_heads(struct mb_engine *engine, const uint8_t *machine,
                         struct mb_stream_list *list_out, struct mb_error *err)
{
    struct listing listing;
    char hex[MB_MACHINE_ID_HEX_SIZE];
    char *root = mb_core_key(engine, "%s", "");
    char *prefix;
    int rc;

    memset(&listing, 0, sizeof(listing));
    if (engine->config.store == NULL) {
        free(root);
        return mb_error_set(err, MB_ERR_NOT_SET_UP, "no store is named yet");
    }
    listing.root_size = strlen(root);
    if (machine != NULL) {
        mb_digest_hex(machine, MB_MACHINE_ID_SIZE, hex);
        prefix = mb_core_key(engine, "heads/%s/", hex);
    } else {
        prefix = mb_core_key(engine, "heads/");
    }
    rc = mb_store_list(engine->config.store, prefix, on_head, &listing, err);
    if (rc == 0) {
        if (listing.list.count > 0) {
            qsort(listing.list.items, listing.list.count, sizeof(*listing.list.items),
                  compare_keys);
        }
        *list_out = listing.list;
    } else {
        mb_stream_list_release(&listing.list);
        (void)mb_error_wrap(err, "looking for heads in the store");
    }
    free(prefix);
    free(root);
    return rc;
}

void mb_stream_list_release(struct mb_stream_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
    }
    free(list->items);
    memset(list, 0, sizeof(*list));
}

int mb_stream_read_head(struct mb_engine *engine, const struct mb_stream_key *key,
                        struct mb_head *head_out, struct mb_error *err)
{
    struct mb_buf body;
    char *full = mb_core_key(engine, "%s", key->key);
    int rc = -1;

    mb_buf_init(&body, MB_LIMIT_HEAD_BYTES);
    if (mb_store_get(engine->config.store, full, MB_LIMIT_HEAD_BYTES, &body, err) == 0) {
        rc = mb_head_decode(key->key, body.data, body.size, head_out, err);
    }
    if (rc != 0) {
        if (err->code == MB_ERR_LIMIT) {
            err->code = MB_ERR_CORRUPT;
        }
        (void)mb_error_wrap(err, "reading '%s'", key->key);
    }
    mb_buf_release(&body);
    free(full);
    return rc;
}

static int check_segment(const struct mb_head_entry *entry, const struct mb_buf *buf,
                         struct mb_error *err)
{
    uint8_t want[MB_DIGEST_SIZE];
    uint8_t got[MB_DIGEST_SIZE];

    mb_digest_sha256(buf->data, buf->size, got);
    if (!mb_head_segment_digest(entry->name, want) || memcmp(want, got, sizeof(want)) != 0) {
        return mb_error_set(err, MB_ERR_CORRUPT, "the object does not match its SHA-256");
    }
    return mb_pack_check_header(buf->data, buf->size, MB_PACK_SEGMENT, err);
}

/* ---- segments that were read and are not merged yet ---- */

static char *kept_folder(const struct mb_engine *engine)
{
    return mb_file_join(engine->config.state_dir, "incoming");
}

void mb_stream_keep_segment(struct mb_engine *engine, const struct mb_head_entry *entry,
                            const struct mb_buf *buf)
{
    char *folder = kept_folder(engine);
    char *path = mb_file_join(folder, entry->name);
    struct mb_error ignored;

    if (mb_file_make_folder(folder, 0700, &ignored) == 0) {
        MB_IGNORE(mb_file_replace(path, buf->data, buf->size, 0600, &ignored));
    }
    free(path);
    free(folder);
}

void mb_stream_drop_kept(struct mb_engine *engine)
{
    char *folder = kept_folder(engine);
    struct mb_error ignored;

    MB_IGNORE(mb_file_remove_tree(folder, &ignored));
    free(folder);
}

static bool read_kept(struct mb_engine *engine, const struct mb_head_entry *entry,
                      struct mb_buf *buf)
{
    char *folder = kept_folder(engine);
    char *path = mb_file_join(folder, entry->name);
    struct mb_error ignored;
    bool is_good = mb_file_exists(path) && mb_file_read(path, buf, &ignored) == 0 &&
                   check_segment(entry, buf, &ignored) == 0;

    if (!is_good) {
        mb_buf_clear(buf);
    }
    free(path);
    free(folder);
    return is_good;
}

int mb_stream_read_segment(struct mb_engine *engine,
                           const uint8_t machine[static MB_MACHINE_ID_SIZE],
                           const struct mb_head_entry *entry, struct mb_buf *buf,
                           struct mb_error *err)
{
    char hex[MB_MACHINE_ID_HEX_SIZE];
    char *key;
    int rc = -1;

    if (read_kept(engine, entry, buf)) {
        return 0;
    }
    mb_digest_hex(machine, MB_MACHINE_ID_SIZE, hex);
    key = mb_core_key(engine, "segments/%s/%s", hex, entry->name);
    if (mb_store_get(engine->config.store, key, MB_LIMIT_SEGMENT_BYTES, buf, err) != 0) {
        goto out;
    }
    rc = check_segment(entry, buf, err);
out:
    if (rc != 0) {
        if (err->code == MB_ERR_LIMIT) {
            err->code = MB_ERR_CORRUPT;
        }
        (void)mb_error_wrap(err, "reading 'segments/%s/%s'", hex, entry->name);
    }
    free(key);
    return rc;
}

static int on_segment(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct listing *listing = context;

    (void)err;
    listing->names =
        mb_alloc_resize(listing->names, listing->name_count + 1, sizeof(*listing->names));
    listing->names[listing->name_count++] = mb_alloc_text(object->key + listing->prefix_size);
    return 0;
}

int mb_stream_list_segments(struct mb_engine *engine,
                            const uint8_t machine[static MB_MACHINE_ID_SIZE], char ***names_out,
                            size_t *count_out, struct mb_error *err)
{
    struct listing listing;
    char hex[MB_MACHINE_ID_HEX_SIZE];
    char *prefix;
    int rc;

    memset(&listing, 0, sizeof(listing));
    mb_digest_hex(machine, MB_MACHINE_ID_SIZE, hex);
    prefix = mb_core_key(engine, "segments/%s/", hex);
    listing.prefix_size = strlen(prefix);
    rc = mb_store_list(engine->config.store, prefix, on_segment, &listing, err);
    if (rc == 0) {
        *names_out = listing.names;
        *count_out = listing.name_count;
    } else {
        mb_stream_names_free(listing.names, listing.name_count);
    }
    free(prefix);
    return rc;
}

void mb_stream_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
}

static int note_marked(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_state_begin(engine->state, err) != 0 ||
        mb_state_set_int(engine->state, "store_marked", 1, err) != 0 ||
        mb_state_set_text(engine->state, "store_name", engine->config.store_name, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

static int on_any(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    bool *is_foreign = context;

    (void)err;
    if (!mb_text_has_prefix(object->key, "projects/") &&
        strcmp(object->key, MB_STORE_MARKER_KEY) != 0) {
        *is_foreign = true;
    }
    return 0;
}

/* A place without the marker: empty, a bucket of the predecessor's, or full of other people's
 * things. */
static int mark(struct mb_engine *engine, struct mb_error *err)
{
    bool is_foreign = false;

    if (mb_store_list(engine->config.store, "", on_any, &is_foreign, err) != 0) {
        return -1;
    }
    if (is_foreign) {
        (void)mb_error_set(err, MB_ERR_DECISION,
                           "the store %s holds other things and no membridge store",
                           engine->config.store_name);
        return mb_error_advise(err, "name an empty folder with 'membridge init --store FOLDER'");
    }
    return mb_store_mark(engine->config.store, err);
}

static int recall_store(struct mb_engine *engine, bool *is_known_out, struct mb_error *err)
{
    int64_t is_marked = 0;
    char *name = NULL;

    if (mb_state_get_int(engine->state, "store_marked", 0, &is_marked, err) != 0 ||
        mb_state_get_text(engine->state, "store_name", &name, err) != 0) {
        return -1;
    }
    *is_known_out = is_marked != 0 && name != NULL && strcmp(name, engine->config.store_name) == 0;
    free(name);
    return 0;
}

int mb_stream_check_store(struct mb_engine *engine, bool has_heads, bool may_mark,
                          struct mb_error *err)
{
    bool has_marker = false;
    bool is_known = false;

    if (recall_store(engine, &is_known, err) != 0) {
        return -1;
    }
    if (is_known && has_heads) {
        return 0;
    }
    if (mb_store_probe(engine->config.store, &has_marker, err) != 0) {
        return -1;
    }
    if (has_marker) {
        return is_known ? 0 : note_marked(engine, err);
    }
    if (is_known) {
        (void)mb_error_set(err, MB_ERR_STORE_MISSING,
                           "the store %s has lost its marker '%s': it was emptied, or the drive is "
                           "not mounted",
                           engine->config.store_name, MB_STORE_MARKER_KEY);
        return mb_error_advise(err,
                               "mount the drive and try again; if it was emptied on purpose, run "
                               "'membridge init', and this machine fills it again");
    }
    if (!may_mark) {
        return 0;
    }
    return mark(engine, err) != 0 ? -1 : note_marked(engine, err);
}
