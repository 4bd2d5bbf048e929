/* SPDX-License-Identifier: MIT */
#ifndef MB_JSON_H
#define MB_JSON_H

/*
 * JSON (RFC 8259), read strictly and written exactly.
 *
 * cJSON builds the tree; before it, our own scan of the text refuses what cJSON lets through:
 * invalid UTF-8, control characters, "\u0000", wrong escapes and numbers ("01", "1."), trailing
 * bytes, equal keys in one object, too deep, too many values. Integers of up to 64 bits are exact
 * both ways (cJSON keeps doubles: integers that a double cannot hold are kept beside the tree as
 * their text). A number with fraction or exponent, or an integer beyond 64 bits, is a double
 * (infinite if it is too large) and is printed as it was read. A number of more than 63 characters
 * is MB_ERR_LIMIT.
 *
 * Reading is by path with a type: mb_json_text(node, "params.name", &text, err). A path is keys
 * joined by '.'; "" is the node itself. Strings read are borrowed from the tree. Building:
 * mb_json_add_*(); a parent takes its children. struct mb_json is cJSON's node; nobody outside
 * base/json.c looks inside.
 */

#include "buf.h"
#include "error.h"

#include <stdint.h>

struct mb_json;

enum mb_json_type {
    MB_JSON_NULL = 1,
    MB_JSON_BOOL,
    MB_JSON_INTEGER, /* fits int64_t, written without fraction and exponent */
    MB_JSON_REAL,
    MB_JSON_TEXT,
    MB_JSON_ARRAY,
    MB_JSON_OBJECT,
};

struct mb_json_limits {
    size_t size_max;        /* bytes */
    size_t depth_max;       /* nested arrays and objects */
    size_t value_count_max; /* values of every kind */
};

/* Gives the tree. MB_ERR_CORRUPT (with the byte offset and the reason) or MB_ERR_LIMIT. */
MB_MUST_USE int mb_json_parse(const char *text, size_t size, const struct mb_json_limits *limits,
                              struct mb_json **json_out, struct mb_error *err);
void mb_json_free(struct mb_json *json);

enum mb_json_type mb_json_type(const struct mb_json *json);
/* NULL if absent. Borrowed. */
const struct mb_json *mb_json_find(const struct mb_json *json, const char *path);
/* Children in order: first, then next until NULL. */
const struct mb_json *mb_json_first(const struct mb_json *json);
const struct mb_json *mb_json_next(const struct mb_json *json);
const char *mb_json_key(const struct mb_json *json); /* NULL outside an object */
size_t mb_json_count(const struct mb_json *json);

/* Required values: MB_ERR_CORRUPT naming the path if absent or of another type. */
MB_MUST_USE int mb_json_text(const struct mb_json *json, const char *path, const char **text_out,
                             struct mb_error *err);
MB_MUST_USE int mb_json_int64(const struct mb_json *json, const char *path, int64_t *value_out,
                              struct mb_error *err);
MB_MUST_USE int mb_json_bool(const struct mb_json *json, const char *path, bool *value_out,
                             struct mb_error *err);
MB_MUST_USE int mb_json_array(const struct mb_json *json, const char *path,
                              const struct mb_json **array_out, struct mb_error *err);
MB_MUST_USE int mb_json_object(const struct mb_json *json, const char *path,
                               const struct mb_json **object_out, struct mb_error *err);
/* The node's own value; asserts the type. */
const char *mb_json_as_text(const struct mb_json *json);
int64_t mb_json_as_int64(const struct mb_json *json);
double mb_json_as_real(const struct mb_json *json);
bool mb_json_as_bool(const struct mb_json *json);

/* Building. `text` must be valid UTF-8 (asserted). key NULL appends to an array. */
struct mb_json *mb_json_new_object(void);
struct mb_json *mb_json_new_array(void);
void mb_json_add(struct mb_json *parent, const char *key, struct mb_json *child); /* takes child */
void mb_json_add_text(struct mb_json *parent, const char *key,
                      const char *text); /* NULL text: null */
void mb_json_add_int64(struct mb_json *parent, const char *key, int64_t value);
void mb_json_add_bool(struct mb_json *parent, const char *key, bool value);
void mb_json_add_null(struct mb_json *parent, const char *key);
struct mb_json *mb_json_add_object(struct mb_json *parent,
                                   const char *key); /* borrowed from parent */
struct mb_json *mb_json_add_array(struct mb_json *parent, const char *key);

/* Compact or indented text without a final newline; given. */
char *mb_json_print(const struct mb_json *json, bool indented);

/* Appends a JSON string (with its quotes) for valid UTF-8 of any content but NUL. For writers of
 * many lines. */
MB_MUST_USE int mb_json_append_text(struct mb_buf *buf, const char *text, size_t size,
                                    struct mb_error *err);

#endif
