/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* A put or delete that the network has yet to deliver. */
struct late {
    struct late *next;
    uint64_t due_index; /* takes effect when the request of this index comes */
    char *key;
    bool is_delete;
    uint8_t *data;
    size_t size;
};

struct fault_store {
    struct mb_store base;
    struct mb_store *inner;
    struct mb_store_fault_config config;
    uint64_t request_count;
    struct late *late;  /* oldest first */
    char *last_keys[2]; /* of gets, the newest first; for SWAP */
};

static const struct mb_store_ops fault_ops;

static struct fault_store *downcast(struct mb_store *store)
{
    MB_ASSERT(store->ops == &fault_ops);
    return (struct fault_store *)store;
}

static void free_late(struct late *late)
{
    if (late != NULL) {
        free(late->key);
        free(late->data);
        free(late);
    }
}

/* Delivers what is due at request_index. */
static int deliver(struct fault_store *fault, uint64_t request_index, struct mb_error *err)
{
    while (fault->late != NULL && fault->late->due_index <= request_index) {
        struct late *late = fault->late;
        int rc = late->is_delete
                     ? mb_store_delete(fault->inner, late->key, err)
                     : mb_store_put(fault->inner, late->key, late->data, late->size, err);

        if (rc != 0) {
            return -1;
        }
        fault->late = late->next;
        free_late(late);
    }
    return 0;
}

int mb_store_fault_release(struct mb_store *fault_store, struct mb_error *err)
{
    return deliver(downcast(fault_store), UINT64_MAX, err);
}

/* Counts the request, delivers what is due, and chooses the fault. */
static int begin(struct fault_store *fault, const char *slot, const char *key,
                 enum mb_store_fault_kind *kind_out, struct mb_error *err)
{
    uint64_t index = fault->request_count;

    if (deliver(fault, index, err) != 0) {
        return -1;
    }
    fault->request_count++;
    *kind_out = MB_STORE_FAULT_NONE;
    if (fault->config.choose != NULL) {
        *kind_out = fault->config.choose(fault->config.context, index, slot, key);
    }
    if (*kind_out == MB_STORE_FAULT_BEFORE) {
        return mb_error_set(err, MB_ERR_TEMPORARY, "injected: %s '%s' did not reach the store",
                            slot, key);
    }
    return 0;
}

/* The end of a slot that only reads: a lost reply leaves nothing unknown. */
static int end_read(enum mb_store_fault_kind kind, const char *slot, const char *key,
                    struct mb_error *err)
{
    if (kind == MB_STORE_FAULT_AFTER) {
        return mb_error_set(err, MB_ERR_TEMPORARY, "injected: the reply to %s '%s' was lost", slot,
                            key);
    }
    return 0;
}

static int fail_unknown(const char *slot, const char *key, struct mb_error *err)
{
    return mb_error_set(err, MB_ERR_UNKNOWN_OUTCOME, "injected: no reply to %s '%s' came", slot,
                        key);
}

static int fail_stale(const char *key, struct mb_error *err)
{
    return mb_error_set(err, MB_ERR_NOT_FOUND, "injected: the store does not show '%s' yet", key);
}

static int fault_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err)
{
    struct fault_store *fault = downcast(store);
    enum mb_store_fault_kind kind;
    bool has_marker = false;

    if (begin(fault, "probe", "", &kind, err) != 0 ||
        mb_store_probe(fault->inner, &has_marker, err) != 0 ||
        end_read(kind, "probe", "", err) != 0) {
        return -1;
    }
    *has_marker_out = has_marker;
    return 0;
}

/* source NULL: a delete. */
static int put_off(struct fault_store *fault, enum mb_store_fault_kind kind, const char *key,
                   const struct mb_store_source *source, struct mb_error *err)
{
    struct late **end = &fault->late;
    struct late *late = mb_alloc_zeroed(1, sizeof(*late));

    late->due_index = fault->request_count + MB_STORE_FAULT_LATE_REQUESTS - 1;
    late->key = mb_alloc_text(key);
    late->is_delete = source == NULL;
    if (source != NULL) {
        MB_ASSERT(source->size_bytes <= SIZE_MAX);
        late->size = (size_t)source->size_bytes;
        late->data = mb_alloc(late->size);
        if (late->size > 0 && source->read(source->context, 0, late->data, late->size, err) != 0) {
            free_late(late);
            return -1;
        }
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = late;
    return kind == MB_STORE_FAULT_LAZY ? 0
                                       : fail_unknown(source == NULL ? "delete" : "put", key, err);
}

static bool is_put_off(enum mb_store_fault_kind kind)
{
    return kind == MB_STORE_FAULT_LATE || kind == MB_STORE_FAULT_LAZY;
}

static int fault_put(struct mb_store *store, const char *key, const struct mb_store_source *source,
                     struct mb_error *err)
{
    struct fault_store *fault = downcast(store);
    enum mb_store_fault_kind kind;

    if (begin(fault, "put", key, &kind, err) != 0) {
        return -1;
    }
    if (kind == MB_STORE_FAULT_FULL) {
        return mb_error_set(err, MB_ERR_NO_SPACE, "injected: no space left for '%s'", key);
    }
    if (is_put_off(kind)) {
        return put_off(fault, kind, key, source, err);
    }
    if (mb_store_put_source(fault->inner, key, source, err) != 0) {
        return -1;
    }
    return kind == MB_STORE_FAULT_AFTER ? fail_unknown("put", key, err) : 0;
}

/* Stands between the inner store and the sink of a get. */
struct body {
    enum mb_store_fault_kind kind;
    uint64_t request_index;
    uint64_t rest_bytes; /* SHORT: what may still pass */
    bool is_flipped;     /* FLIP: done */
    mb_store_sink_fn sink;
    void *context;
};

static int pass_flipped(struct body *body, const uint8_t *data, size_t size, struct mb_error *err)
{
    uint8_t *copy = mb_alloc_copy(data, size);
    /* A prime stride: repeated faults hit other bits, the same seed the same ones. */
    uint64_t bit = (body->request_index * 7919) % ((uint64_t)size * 8);
    int rc;

    copy[bit / 8] = (uint8_t)(copy[bit / 8] ^ (1U << (bit % 8)));
    body->is_flipped = true;
    rc = body->sink(body->context, copy, size, err);
    free(copy);
    return rc;
}

static int pass_body(void *context, const uint8_t *data, size_t size, struct mb_error *err)
{
    struct body *body = context;

    if (data == NULL) {
        return body->sink(body->context, NULL, 0, err);
    }
    if (body->kind == MB_STORE_FAULT_FLIP && !body->is_flipped) {
        return pass_flipped(body, data, size, err);
    }
    if (body->kind == MB_STORE_FAULT_SHORT) {
        size = body->rest_bytes < size ? (size_t)body->rest_bytes : size;
        body->rest_bytes -= size;
    }
    return size == 0 ? 0 : body->sink(body->context, data, size, err);
}

static int fault_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                     mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    struct fault_store *fault = downcast(store);
    struct body body = {.sink = sink, .context = context};

    if (begin(fault, "get", key, &body.kind, err) != 0) {
        return -1;
    }
    if (strcmp(key, fault->last_keys[0] == NULL ? "" : fault->last_keys[0]) != 0) {
        free(fault->last_keys[1]);
        fault->last_keys[1] = fault->last_keys[0];
        fault->last_keys[0] = mb_alloc_text(key);
    }
    if (body.kind == MB_STORE_FAULT_SWAP && fault->last_keys[1] != NULL) {
        key = fault->last_keys[1];
    }
    body.request_index = fault->request_count - 1;
    if (body.kind == MB_STORE_FAULT_STALE) {
        return fail_stale(key, err);
    }
    if (body.kind == MB_STORE_FAULT_SHORT) {
        if (mb_store_stat(fault->inner, key, &body.rest_bytes, err) != 0) {
            return -1;
        }
        body.rest_bytes /= 2;
    }
    if (mb_store_get_sink(fault->inner, key, size_bytes_max, pass_body, &body, err) != 0) {
        return -1;
    }
    return end_read(body.kind, "get", key, err);
}

static int fault_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                      struct mb_error *err)
{
    struct fault_store *fault = downcast(store);
    enum mb_store_fault_kind kind;
    uint64_t size_bytes = 0;

    if (begin(fault, "stat", key, &kind, err) != 0) {
        return -1;
    }
    if (kind == MB_STORE_FAULT_STALE) {
        return fail_stale(key, err);
    }
    if (mb_store_stat(fault->inner, key, &size_bytes, err) != 0 ||
        end_read(kind, "stat", key, err) != 0) {
        return -1;
    }
    *size_bytes_out = size_bytes;
    return 0;
}

struct stale_list {
    const struct mb_store_fault_config *config;
    uint64_t object_count;
    mb_store_object_fn on_object;
    void *context;
};

static int pass_visible(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct stale_list *list = context;
    bool is_hidden = list->object_count % 2 == 1;

    list->object_count++;
    if (list->config->hide != NULL) {
        is_hidden = list->config->hide(list->config->context, object->key);
    }
    return is_hidden ? 0 : list->on_object(list->context, object, err);
}

static int fault_list(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                      void *context, struct mb_error *err)
{
    struct fault_store *fault = downcast(store);
    struct stale_list stale = {
        .config = &fault->config, .on_object = on_object, .context = context};
    enum mb_store_fault_kind kind;

    if (begin(fault, "list", prefix, &kind, err) != 0) {
        return -1;
    }
    if (kind == MB_STORE_FAULT_STALE) {
        return mb_store_list(fault->inner, prefix, pass_visible, &stale, err);
    }
    if (mb_store_list(fault->inner, prefix, on_object, context, err) != 0) {
        return -1;
    }
    return end_read(kind, "list", prefix, err);
}

static int fault_delete(struct mb_store *store, const char *key, struct mb_error *err)
{
    struct fault_store *fault = downcast(store);
    enum mb_store_fault_kind kind;

    if (begin(fault, "delete", key, &kind, err) != 0) {
        return -1;
    }
    if (is_put_off(kind)) {
        return put_off(fault, kind, key, NULL, err);
    }
    if (mb_store_delete(fault->inner, key, err) != 0) {
        return -1;
    }
    return kind == MB_STORE_FAULT_AFTER ? fail_unknown("delete", key, err) : 0;
}

static void fault_free(struct mb_store *store)
{
    struct fault_store *fault = downcast(store);

    while (fault->late != NULL) {
        struct late *late = fault->late;

        fault->late = late->next;
        free_late(late);
    }
    free(fault->last_keys[0]);
    free(fault->last_keys[1]);
    mb_store_free(fault->inner);
    free(fault);
}

static const struct mb_store_ops fault_ops = {
    .name = "fault",
    .probe = fault_probe,
    .put = fault_put,
    .get = fault_get,
    .stat = fault_stat,
    .list = fault_list,
    .delete_object = fault_delete,
    .free = fault_free,
};

struct mb_store *mb_store_fault_new(struct mb_store *inner,
                                    const struct mb_store_fault_config *config)
{
    struct fault_store *fault = mb_alloc_zeroed(1, sizeof(*fault));

    MB_ASSERT(inner != NULL);
    fault->base.ops = &fault_ops;
    fault->inner = inner;
    fault->config = *config;
    return &fault->base;
}
