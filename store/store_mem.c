/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "store.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* A get feeds its sink in pieces of this size, so that tests in memory meet objects in pieces
 * too. */
#define PIECE_BYTES ((size_t)64 * 1024)

struct object {
    char *key;
    uint8_t *data;
    size_t size;
};

struct mem_store {
    struct mb_store base;
    struct object *objects; /* sorted by key, each key once */
    size_t object_count;
    size_t object_capacity;
};

static const struct mb_store_ops mem_ops;

static struct mem_store *downcast(struct mb_store *store)
{
    MB_ASSERT(store->ops == &mem_ops);
    return (struct mem_store *)store;
}

/* Index of the first object whose key is not before `key`. */
static size_t lower_bound(const struct mem_store *mem, const char *key)
{
    size_t low = 0;
    size_t high = mem->object_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(mem->objects[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct object *find(const struct mem_store *mem, const char *key)
{
    size_t index = lower_bound(mem, key);

    if (index == mem->object_count || strcmp(mem->objects[index].key, key) != 0) {
        return NULL;
    }
    return &mem->objects[index];
}

static int fail_not_found(const char *key, struct mb_error *err)
{
    return mb_error_set(err, MB_ERR_NOT_FOUND, "there is no object '%s' in memory", key);
}

static int mem_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err)
{
    (void)err;
    *has_marker_out = find(downcast(store), MB_STORE_MARKER_KEY) != NULL;
    return 0;
}

/* Takes what is in object. */
static void insert(struct mem_store *mem, struct object object)
{
    size_t index = lower_bound(mem, object.key);

    if (mem->object_count == mem->object_capacity) {
        mem->object_capacity = mem->object_capacity == 0 ? 64 : mem->object_capacity * 2;
        mem->objects = mb_alloc_resize(mem->objects, mem->object_capacity, sizeof(mem->objects[0]));
    }
    memmove(mem->objects + index + 1, mem->objects + index,
            (mem->object_count - index) * sizeof(mem->objects[0]));
    mem->objects[index] = object;
    mem->object_count++;
}

static int mem_put(struct mb_store *store, const char *key, const struct mb_store_source *source,
                   struct mb_error *err)
{
    struct mem_store *mem = downcast(store);
    struct object *object = NULL;
    uint8_t *data = NULL;
    size_t size = 0;

    if (source->size_bytes > SIZE_MAX) {
        return mb_error_set(err, MB_ERR_LIMIT, "the object '%s' does not fit into memory", key);
    }
    size = (size_t)source->size_bytes;
    data = mb_alloc(size);
    if (size > 0 && source->read(source->context, 0, data, size, err) != 0) {
        free(data);
        return -1;
    }
    object = find(mem, key);
    if (object == NULL) {
        insert(mem, (struct object){.key = mb_alloc_text(key), .data = data, .size = size});
    } else {
        free(object->data);
        object->data = data;
        object->size = size;
    }
    return 0;
}

static int mem_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                   mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    const struct object *object = find(downcast(store), key);

    if (object == NULL) {
        return fail_not_found(key, err);
    }
    if (object->size > size_bytes_max) {
        return mb_error_set(err, MB_ERR_LIMIT, "the object '%s' is larger than expected", key);
    }
    for (size_t offset = 0; offset < object->size; offset += PIECE_BYTES) {
        size_t rest = object->size - offset;

        if (sink(context, object->data + offset, rest < PIECE_BYTES ? rest : PIECE_BYTES, err) !=
            0) {
            return -1;
        }
    }
    return 0;
}

static int mem_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                    struct mb_error *err)
{
    const struct object *object = find(downcast(store), key);

    if (object == NULL) {
        return fail_not_found(key, err);
    }
    *size_bytes_out = object->size;
    return 0;
}

static int mem_list(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                    void *context, struct mb_error *err)
{
    const struct mem_store *mem = downcast(store);

    for (size_t i = lower_bound(mem, prefix); i < mem->object_count; i++) {
        struct mb_store_object object = {.key = mem->objects[i].key,
                                         .size_bytes = mem->objects[i].size};

        if (!mb_text_has_prefix(object.key, prefix)) {
            break;
        }
        if (on_object(context, &object, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int mem_delete(struct mb_store *store, const char *key, struct mb_error *err)
{
    struct mem_store *mem = downcast(store);
    struct object *object = find(mem, key);
    size_t index = 0;

    (void)err;
    if (object == NULL) {
        return 0;
    }
    index = (size_t)(object - mem->objects);
    free(object->key);
    free(object->data);
    mem->object_count--;
    memmove(object, object + 1, (mem->object_count - index) * sizeof(*object));
    return 0;
}

static void mem_free(struct mb_store *store)
{
    struct mem_store *mem = downcast(store);

    for (size_t i = 0; i < mem->object_count; i++) {
        free(mem->objects[i].key);
        free(mem->objects[i].data);
    }
    free(mem->objects);
    free(mem);
}

static const struct mb_store_ops mem_ops = {
    .name = "mem",
    .probe = mem_probe,
    .put = mem_put,
    .get = mem_get,
    .stat = mem_stat,
    .list = mem_list,
    .delete_object = mem_delete,
    .free = mem_free,
};

struct mb_store *mb_store_mem_new(void)
{
    struct mem_store *mem = mb_alloc_zeroed(1, sizeof(*mem));

    mem->base.ops = &mem_ops;
    return &mem->base;
}
