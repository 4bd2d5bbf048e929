/* SPDX-License-Identifier: MIT */
#include "store.h"

#include "assert.h"
#include "buf.h"
#include "limits.h"
#include "text.h"

#include <string.h>

#include "banned.h"

/* ---- keys ---- */

/* ASCII only: isalnum() asks the locale. */
static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool part_equals(const char *data, size_t size, const char *name)
{
    return strlen(name) == size && memcmp(data, name, size) == 0;
}

/* Names that file managers and sync programs put into folders they do not own. */
static bool is_foreign_name(const char *data, size_t size)
{
    static const char suffix[] = ".tmp";
    static const char infix[] = ".sync-conflict-";
    size_t suffix_size = sizeof(suffix) - 1;
    size_t infix_size = sizeof(infix) - 1;

    if (part_equals(data, size, "Thumbs.db") || part_equals(data, size, "desktop.ini")) {
        return true;
    }
    if (size >= suffix_size && memcmp(data + size - suffix_size, suffix, suffix_size) == 0) {
        return true;
    }
    for (size_t i = 0; i + infix_size <= size; i++) {
        if (memcmp(data + i, infix, infix_size) == 0) {
            return true;
        }
    }
    return false;
}

bool mb_store_key_part_is_valid(const char *data, size_t size)
{
    if (size == 0 || size > MB_STORE_KEY_PART_BYTES_MAX || data[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_key_char(data[i])) {
            return false;
        }
    }
    return !is_foreign_name(data, size);
}

/* The key may lack its terminating NUL: text[0..size) is looked at. */
static bool parts_are_valid(const char *text, size_t size)
{
    size_t start = 0;
    size_t part_count = 0;

    if (size > MB_LIMIT_KEY_BYTES) {
        return false;
    }
    for (;;) {
        size_t end = start;

        while (end < size && text[end] != '/') {
            end++;
        }
        part_count++;
        if (part_count > MB_STORE_KEY_PARTS_MAX ||
            !mb_store_key_part_is_valid(text + start, end - start)) {
            return false;
        }
        if (end == size) {
            return true;
        }
        start = end + 1;
    }
}

bool mb_store_key_is_valid(const char *key)
{
    /* One byte past the limit is enough to refuse: the rest of a hostile text is not read. */
    return key != NULL && parts_are_valid(key, strnlen(key, MB_LIMIT_KEY_BYTES + 1));
}

static int check_key(const char *key, struct mb_error *err)
{
    char shown[128];

    if (mb_store_key_is_valid(key)) {
        return 0;
    }
    if (key == NULL) {
        return mb_error_set(err, MB_ERR_USAGE, "an object needs a key");
    }
    mb_text_clean(shown, sizeof(shown), key, strnlen(key, MB_LIMIT_KEY_BYTES + 1));
    return mb_error_set(err, MB_ERR_USAGE, "'%s' is not a valid object key", shown);
}

static int check_prefix(const char *prefix, struct mb_error *err)
{
    char shown[128];
    size_t size = prefix == NULL ? 0 : strnlen(prefix, MB_LIMIT_KEY_BYTES + 2);

    if (prefix == NULL) {
        return mb_error_set(err, MB_ERR_USAGE, "a listing needs a prefix");
    }
    if (size == 0 || (prefix[size - 1] == '/' && parts_are_valid(prefix, size - 1))) {
        return 0;
    }
    mb_text_clean(shown, sizeof(shown), prefix, size);
    return mb_error_set(err, MB_ERR_USAGE, "'%s' is not a valid prefix of object keys", shown);
}

/* ---- slots ---- */

int mb_store_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err)
{
    return store->ops->probe(store, has_marker_out, err);
}

int mb_store_put_source(struct mb_store *store, const char *key,
                        const struct mb_store_source *source, struct mb_error *err)
{
    MB_ASSERT(source->read != NULL || source->size_bytes == 0);
    if (check_key(key, err) != 0) {
        return -1;
    }
    return store->ops->put(store, key, source, err);
}

int mb_store_get_sink(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                      mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    MB_ASSERT(sink != NULL);
    if (check_key(key, err) != 0) {
        return -1;
    }
    return store->ops->get(store, key, size_bytes_max, sink, context, err);
}

int mb_store_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                  struct mb_error *err)
{
    if (check_key(key, err) != 0) {
        return -1;
    }
    return store->ops->stat(store, key, size_bytes_out, err);
}

int mb_store_delete(struct mb_store *store, const char *key, struct mb_error *err)
{
    if (check_key(key, err) != 0) {
        return -1;
    }
    return store->ops->delete_object(store, key, err);
}

void mb_store_free(struct mb_store *store)
{
    if (store != NULL) {
        store->ops->free(store);
    }
}

/* ---- list: what a backend tells is believed only as far as it fits the contract ---- */

struct list_guard {
    const char *prefix;
    mb_store_object_fn on_object;
    void *context;
    uint64_t object_count;
};

static int guard_object(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct list_guard *guard = context;

    if (!mb_store_key_is_valid(object->key) || !mb_text_has_prefix(object->key, guard->prefix)) {
        return 0;
    }
    guard->object_count++;
    if (guard->object_count > MB_LIMIT_LISTING) {
        return mb_error_set(err, MB_ERR_LIMIT, "the store lists more than %d objects under '%s'",
                            MB_LIMIT_LISTING, guard->prefix);
    }
    return guard->on_object(guard->context, object, err);
}

int mb_store_list(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                  void *context, struct mb_error *err)
{
    struct list_guard guard = {.prefix = prefix, .on_object = on_object, .context = context};

    MB_ASSERT(on_object != NULL);
    if (check_prefix(prefix, err) != 0) {
        return -1;
    }
    return store->ops->list(store, prefix, guard_object, &guard, err);
}

/* ---- objects in memory ---- */

static int read_memory(void *context, uint64_t offset, uint8_t *data, size_t size,
                       struct mb_error *err)
{
    const uint8_t *const *bytes = context;

    (void)err;
    memcpy(data, *bytes + offset, size);
    return 0;
}

int mb_store_put(struct mb_store *store, const char *key, const void *data, size_t size,
                 struct mb_error *err)
{
    const uint8_t *bytes = data;
    struct mb_store_source source = {.size_bytes = size, .context = &bytes, .read = read_memory};

    MB_ASSERT(data != NULL || size == 0);
    return mb_store_put_source(store, key, &source, err);
}

static int append_to_buf(void *context, const uint8_t *data, size_t size, struct mb_error *err)
{
    struct mb_buf *buf = context;

    if (data == NULL) {
        mb_buf_clear(buf);
        return 0;
    }
    return mb_buf_append(buf, data, size, err);
}

int mb_store_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                 struct mb_buf *buf, struct mb_error *err)
{
    MB_ASSERT(size_bytes_max <= buf->size_max);
    mb_buf_clear(buf);
    if (mb_store_get_sink(store, key, size_bytes_max, append_to_buf, buf, err) != 0) {
        mb_buf_clear(buf);
        return -1;
    }
    return 0;
}

int mb_store_mark(struct mb_store *store, struct mb_error *err)
{
    return mb_store_put(store, MB_STORE_MARKER_KEY, MB_STORE_MARKER_TEXT,
                        sizeof(MB_STORE_MARKER_TEXT) - 1, err);
}
