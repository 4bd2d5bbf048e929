/* SPDX-License-Identifier: MIT */
#include "json.h"

#include "alloc.h"
#include "assert.h"
#include "json_scan.h"
#include "text.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/*
 * How numbers are kept. cJSON_Number: an integer of up to 15 digits, which a double and cJSON hold
 * exactly. cJSON_Raw: any other number as its text in valuestring, with its type (enum
 * mb_json_type) in valueint, which cJSON does not use there.
 */
#define SHORT_INTEGER_MAX 999999999999999

static struct mb_json *wrap(cJSON *node)
{
    return (struct mb_json *)node;
}

static cJSON *unwrap(struct mb_json *json)
{
    return (cJSON *)json;
}

static const cJSON *peek(const struct mb_json *json)
{
    return (const cJSON *)json;
}

/* Our allocator ends the process when memory is out, so that cJSON never gives NULL for that
 * reason. */
static void install_hooks(void)
{
    static bool is_installed;
    cJSON_Hooks hooks = {.malloc_fn = mb_alloc, .free_fn = free};

    if (!is_installed) {
        cJSON_InitHooks(&hooks);
        is_installed = true;
    }
}

/* ---- integers as text ---- */

/* False if the text is no integer or does not fit. */
static bool integer_of_text(const char *text, int64_t *value_out)
{
    struct mb_error ignored;

    return strpbrk(text, ".eE") == NULL &&
           mb_text_int64(text, "", INT64_MIN, INT64_MAX, value_out, &ignored) == 0;
}

/* Makes the number node keep its text. */
static void keep_text(cJSON *node, const char *text, size_t size)
{
    int64_t value = 0;
    char *copy = mb_alloc_text_n(text, size);
    bool is_integer = integer_of_text(copy, &value);

    if (is_integer && value == 0) {
        free(copy); /* "-0" */
        node->valuedouble = 0;
        node->valueint = 0;
        return;
    }
    /* valuedouble stays what cJSON made of the text. */
    node->type = cJSON_Raw;
    node->valuestring = copy;
    node->valueint = is_integer ? (int)MB_JSON_INTEGER : (int)MB_JSON_REAL;
}

/* ---- the walk after parsing ---- */

static int compare_keys(const void *a, const void *b)
{
    const char *const *first = a;
    const char *const *second = b;

    return strcmp(*first, *second);
}

/* Sorts the keys: an object may have as many as there are values. */
static int check_keys(const cJSON *object, struct mb_error *err)
{
    size_t count = 0;
    size_t used = 0;
    int rc = 0;

    for (const cJSON *child = object->child; child != NULL; child = child->next) {
        count++;
    }
    if (count < 2) {
        return 0;
    }
    const char **keys = mb_alloc_zeroed(count, sizeof(keys[0]));
    for (const cJSON *child = object->child; child != NULL; child = child->next) {
        keys[used++] = child->string;
    }
    qsort(keys, count, sizeof(keys[0]), compare_keys);
    for (size_t i = 1; i < count && rc == 0; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0) {
            char shown[64];
            mb_text_clean(shown, sizeof(shown), keys[i], strlen(keys[i]));
            rc = mb_error_set(err, MB_ERR_CORRUPT, "not valid JSON: the key '%s' is there twice",
                              shown);
        }
    }
    free(keys);
    return rc;
}

/* The nodes above the one being visited, for walks without recursion. */
struct path {
    const cJSON **nodes;
    size_t count;
    size_t capacity;
};

static void push(struct path *path, const cJSON *node)
{
    if (path->count == path->capacity) {
        path->capacity = path->capacity * 2 + 16;
        path->nodes = mb_alloc_resize(path->nodes, path->capacity, sizeof(const cJSON *));
    }
    path->nodes[path->count++] = node;
}

/* The next node of the tree in text order; NULL behind the last. */
static cJSON *next_node(struct path *path, const cJSON *node)
{
    if (node->child != NULL) {
        push(path, node);
        return node->child;
    }
    while (path->count > 0 && node->next == NULL) {
        node = path->nodes[--path->count];
    }
    return path->count == 0 ? NULL : node->next;
}

/* Puts the exact text of the noted numbers into their nodes and refuses equal keys. */
static int finish_tree(cJSON *root, const char *text, const struct mb_json_scan *scan,
                       struct mb_error *err)
{
    struct path path = {0};
    size_t ordinal = 0;
    size_t noted = 0;
    int rc = -1;

    for (cJSON *node = root; node != NULL; node = next_node(&path, node)) {
        if (cJSON_IsObject(node) && check_keys(node, err) != 0) {
            goto out;
        }
        if (!cJSON_IsNumber(node)) {
            continue;
        }
        if (noted < scan->count && scan->numbers[noted].ordinal == ordinal) {
            keep_text(node, text + scan->numbers[noted].offset, scan->numbers[noted].size);
            noted++;
        }
        ordinal++;
    }
    MB_ASSERT(noted == scan->count);
    rc = 0;
out:
    free(path.nodes);
    return rc;
}

int mb_json_parse(const char *text, size_t size, const struct mb_json_limits *limits,
                  struct mb_json **json_out, struct mb_error *err)
{
    struct mb_json_limits used = *limits;
    struct mb_json_scan scan = {0};
    cJSON *root = NULL;
    int rc = -1;

    install_hooks();
    if (used.depth_max > CJSON_NESTING_LIMIT) {
        used.depth_max = CJSON_NESTING_LIMIT;
    }
    if (mb_json_scan(text, size, &used, &scan, err) != 0) {
        goto out;
    }
    root = cJSON_ParseWithLengthOpts(text, size, NULL, 0);
    if (root == NULL) {
        (void)mb_error_set(err, MB_ERR_CORRUPT, "JSON that the parser does not accept");
        goto out;
    }
    if (finish_tree(root, text, &scan, err) != 0) {
        goto out;
    }
    *json_out = wrap(root);
    root = NULL; /* handed over */
    rc = 0;
out:
    cJSON_Delete(root);
    mb_json_scan_release(&scan);
    return rc;
}

void mb_json_free(struct mb_json *json)
{
    cJSON_Delete(unwrap(json));
}

/* ---- reading ---- */

enum mb_json_type mb_json_type(const struct mb_json *json)
{
    const cJSON *node = peek(json);

    switch (node->type & 0xFF) {
    case cJSON_NULL: return MB_JSON_NULL;
    case cJSON_True:
    case cJSON_False: return MB_JSON_BOOL;
    case cJSON_Number: return MB_JSON_INTEGER;
    case cJSON_Raw: return (enum mb_json_type)node->valueint;
    case cJSON_String: return MB_JSON_TEXT;
    case cJSON_Array: return MB_JSON_ARRAY;
    default: MB_ASSERT((node->type & 0xFF) == cJSON_Object); return MB_JSON_OBJECT;
    }
}

/* cJSON's own lookup takes no length and, by default, no notice of case. */
static const cJSON *find_child(const cJSON *object, const char *key, size_t size)
{
    if (!cJSON_IsObject(object)) {
        return NULL;
    }
    for (const cJSON *child = object->child; child != NULL; child = child->next) {
        if (strncmp(child->string, key, size) == 0 && child->string[size] == '\0') {
            return child;
        }
    }
    return NULL;
}

const struct mb_json *mb_json_find(const struct mb_json *json, const char *path)
{
    const cJSON *node = peek(json);

    while (node != NULL && *path != '\0') {
        size_t size = strcspn(path, ".");
        node = find_child(node, path, size);
        path += size;
        path += *path == '.' ? 1 : 0;
    }
    return (const struct mb_json *)node;
}

const struct mb_json *mb_json_first(const struct mb_json *json)
{
    return (const struct mb_json *)peek(json)->child;
}

const struct mb_json *mb_json_next(const struct mb_json *json)
{
    return (const struct mb_json *)peek(json)->next;
}

const char *mb_json_key(const struct mb_json *json)
{
    return peek(json)->string;
}

size_t mb_json_count(const struct mb_json *json)
{
    size_t count = 0;

    for (const cJSON *child = peek(json)->child; child != NULL; child = child->next) {
        count++;
    }
    return count;
}

static const char *type_name(enum mb_json_type type)
{
    static const char *const names[] = {
        [MB_JSON_NULL] = "null",          [MB_JSON_BOOL] = "true or false",
        [MB_JSON_INTEGER] = "an integer", [MB_JSON_REAL] = "a number",
        [MB_JSON_TEXT] = "a string",      [MB_JSON_ARRAY] = "an array",
        [MB_JSON_OBJECT] = "an object",
    };

    return names[type];
}

static int require(const struct mb_json *json, const char *path, enum mb_json_type type,
                   const struct mb_json **found_out, struct mb_error *err)
{
    const struct mb_json *found = mb_json_find(json, path);

    if (found == NULL) {
        return mb_error_set(err, MB_ERR_CORRUPT, "'%s' is missing", path);
    }
    if (mb_json_type(found) != type) {
        return mb_error_set(err, MB_ERR_CORRUPT, "'%s' is not %s but %s", path, type_name(type),
                            type_name(mb_json_type(found)));
    }
    *found_out = found;
    return 0;
}

int mb_json_text(const struct mb_json *json, const char *path, const char **text_out,
                 struct mb_error *err)
{
    const struct mb_json *found = NULL;

    if (require(json, path, MB_JSON_TEXT, &found, err) != 0) {
        return -1;
    }
    *text_out = mb_json_as_text(found);
    return 0;
}

int mb_json_int64(const struct mb_json *json, const char *path, int64_t *value_out,
                  struct mb_error *err)
{
    const struct mb_json *found = NULL;

    if (require(json, path, MB_JSON_INTEGER, &found, err) != 0) {
        return -1;
    }
    *value_out = mb_json_as_int64(found);
    return 0;
}

int mb_json_bool(const struct mb_json *json, const char *path, bool *value_out,
                 struct mb_error *err)
{
    const struct mb_json *found = NULL;

    if (require(json, path, MB_JSON_BOOL, &found, err) != 0) {
        return -1;
    }
    *value_out = mb_json_as_bool(found);
    return 0;
}

int mb_json_array(const struct mb_json *json, const char *path, const struct mb_json **array_out,
                  struct mb_error *err)
{
    return require(json, path, MB_JSON_ARRAY, array_out, err);
}

int mb_json_object(const struct mb_json *json, const char *path, const struct mb_json **object_out,
                   struct mb_error *err)
{
    return require(json, path, MB_JSON_OBJECT, object_out, err);
}

const char *mb_json_as_text(const struct mb_json *json)
{
    MB_ASSERT(mb_json_type(json) == MB_JSON_TEXT);
    return peek(json)->valuestring;
}

int64_t mb_json_as_int64(const struct mb_json *json)
{
    const cJSON *node = peek(json);
    int64_t value = 0;

    MB_ASSERT(mb_json_type(json) == MB_JSON_INTEGER);
    if (cJSON_IsNumber(node)) {
        return (int64_t)node->valuedouble;
    }
    MB_ASSERT(integer_of_text(node->valuestring, &value));
    return value;
}

double mb_json_as_real(const struct mb_json *json)
{
    MB_ASSERT(mb_json_type(json) == MB_JSON_REAL);
    return peek(json)->valuedouble;
}

bool mb_json_as_bool(const struct mb_json *json)
{
    MB_ASSERT(mb_json_type(json) == MB_JSON_BOOL);
    return cJSON_IsTrue(peek(json));
}

/* ---- building ---- */

struct mb_json *mb_json_new_object(void)
{
    install_hooks();
    return wrap(cJSON_CreateObject());
}

struct mb_json *mb_json_new_array(void)
{
    install_hooks();
    return wrap(cJSON_CreateArray());
}

void mb_json_add(struct mb_json *parent, const char *key, struct mb_json *child)
{
    MB_ASSERT(child != NULL);
    if (key == NULL) {
        MB_ASSERT(cJSON_IsArray(peek(parent)));
        MB_ASSERT(cJSON_AddItemToArray(unwrap(parent), unwrap(child)));
        return;
    }
    MB_ASSERT(cJSON_IsObject(peek(parent)));
    MB_ASSERT(mb_text_is_utf8(key, strlen(key)));
    MB_ASSERT(cJSON_AddItemToObject(unwrap(parent), key, unwrap(child)));
}

void mb_json_add_text(struct mb_json *parent, const char *key, const char *text)
{
    if (text == NULL) {
        mb_json_add_null(parent, key);
        return;
    }
    MB_ASSERT(mb_text_is_utf8(text, strlen(text)));
    mb_json_add(parent, key, wrap(cJSON_CreateString(text)));
}

void mb_json_add_int64(struct mb_json *parent, const char *key, int64_t value)
{
    cJSON *node = NULL;

    if (value >= -SHORT_INTEGER_MAX && value <= SHORT_INTEGER_MAX) {
        node = cJSON_CreateNumber((double)value);
    } else {
        char *text = mb_alloc_format("%" PRId64, value);
        node = cJSON_CreateRaw(text);
        node->valueint = (int)MB_JSON_INTEGER;
        free(text);
    }
    mb_json_add(parent, key, wrap(node));
}

void mb_json_add_bool(struct mb_json *parent, const char *key, bool value)
{
    mb_json_add(parent, key, wrap(cJSON_CreateBool(value)));
}

void mb_json_add_null(struct mb_json *parent, const char *key)
{
    mb_json_add(parent, key, wrap(cJSON_CreateNull()));
}

struct mb_json *mb_json_add_object(struct mb_json *parent, const char *key)
{
    struct mb_json *child = mb_json_new_object();

    mb_json_add(parent, key, child);
    return child;
}

struct mb_json *mb_json_add_array(struct mb_json *parent, const char *key)
{
    struct mb_json *child = mb_json_new_array();

    mb_json_add(parent, key, child);
    return child;
}

/* ---- printing ---- */

/* The buffer has no maximum when we print, so an append cannot fail. */
static void put(struct mb_buf *buf, const char *text)
{
    struct mb_error err;

    MB_ASSERT(mb_buf_append_text(buf, text, &err) == 0);
}

static void put_string(struct mb_buf *buf, const char *text)
{
    struct mb_error err;

    MB_ASSERT(mb_json_append_text(buf, text, strlen(text), &err) == 0);
}

static void put_line(struct mb_buf *buf, size_t depth)
{
    put(buf, "\n");
    for (size_t i = 0; i < depth; i++) {
        put(buf, "  ");
    }
}

/* The whole value, or the opening bracket of a container that has children. */
static void put_value(struct mb_buf *buf, const cJSON *node)
{
    struct mb_error err;

    switch (node->type & 0xFF) {
    case cJSON_NULL: put(buf, "null"); break;
    case cJSON_True: put(buf, "true"); break;
    case cJSON_False: put(buf, "false"); break;
    case cJSON_Raw: put(buf, node->valuestring); break;
    case cJSON_String: put_string(buf, node->valuestring); break;
    case cJSON_Number:
        MB_ASSERT(mb_buf_append_format(buf, &err, "%" PRId64, (int64_t)node->valuedouble) == 0);
        break;
    case cJSON_Array: put(buf, node->child == NULL ? "[]" : "["); break;
    default: put(buf, node->child == NULL ? "{}" : "{"); break;
    }
}

static void print_tree(struct mb_buf *buf, const cJSON *root, bool indented)
{
    struct path path = {0};
    const cJSON *node = root;

    for (;;) {
        if (indented && path.count > 0) {
            put_line(buf, path.count);
        }
        if (path.count > 0 && cJSON_IsObject(path.nodes[path.count - 1])) {
            put_string(buf, node->string);
            put(buf, indented ? ": " : ":");
        }
        put_value(buf, node);
        if (node->child != NULL) {
            push(&path, node);
            node = node->child;
            continue;
        }
        while (path.count > 0 && node->next == NULL) {
            node = path.nodes[--path.count];
            if (indented) {
                put_line(buf, path.count);
            }
            put(buf, cJSON_IsObject(node) ? "}" : "]");
        }
        if (path.count == 0) {
            break;
        }
        put(buf, ",");
        node = node->next;
    }
    free(path.nodes);
}

char *mb_json_print(const struct mb_json *json, bool indented)
{
    struct mb_buf buf;
    size_t size = 0;

    mb_buf_init(&buf, SIZE_MAX);
    print_tree(&buf, peek(json), indented);
    return (char *)mb_buf_take(&buf, &size);
}
