/* SPDX-License-Identifier: MIT */
/*
 * base/json: the strict scan and the parser behind it agree on what JSON is; what was read keeps
 * within its limits, and is printed and read again without a change.
 *
 * Input: depth limit, value limit (one byte each), then the text.
 */
#include "alloc.h"
#include "fuzz.h"
#include "json.h"
#include "json_scan.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct measure {
    size_t value_count;
    size_t number_count;
    size_t depth_max;
};

static void measure(const struct mb_json *json, size_t depth, struct measure *found)
{
    enum mb_json_type type = mb_json_type(json);
    bool is_container = type == MB_JSON_ARRAY || type == MB_JSON_OBJECT;
    size_t count = 0;

    found->value_count++;
    depth += is_container ? 1 : 0;
    found->depth_max = depth > found->depth_max ? depth : found->depth_max;
    if (type == MB_JSON_TEXT) {
        FUZZ_CHECK(mb_text_is_utf8(mb_json_as_text(json), strlen(mb_json_as_text(json))));
    } else if (type == MB_JSON_INTEGER) {
        (void)mb_json_as_int64(json);
        found->number_count++;
    } else if (type == MB_JSON_REAL) {
        FUZZ_CHECK(!isnan(mb_json_as_real(json)));
        found->number_count++;
    }
    for (const struct mb_json *child = is_container ? mb_json_first(json) : NULL; child != NULL;
         child = mb_json_next(child)) {
        FUZZ_CHECK((mb_json_key(child) != NULL) == (type == MB_JSON_OBJECT));
        if (type == MB_JSON_OBJECT) {
            const char *key = mb_json_key(child);

            FUZZ_CHECK(mb_text_is_utf8(key, strlen(key)));
            FUZZ_CHECK(key[0] == '\0' || strchr(key, '.') != NULL ||
                       mb_json_find(json, key) == child);
        }
        measure(child, depth, found);
        count++;
    }
    FUZZ_CHECK(!is_container || count == mb_json_count(json));
}

static void check_same(const struct mb_json *a, const struct mb_json *b)
{
    enum mb_json_type type = mb_json_type(a);
    const struct mb_json *other = NULL;

    FUZZ_CHECK(type == mb_json_type(b));
    switch (type) {
    case MB_JSON_BOOL: FUZZ_CHECK(mb_json_as_bool(a) == mb_json_as_bool(b)); break;
    case MB_JSON_INTEGER: FUZZ_CHECK(mb_json_as_int64(a) == mb_json_as_int64(b)); break;
    case MB_JSON_REAL:
        FUZZ_CHECK(memcmp(&(double){mb_json_as_real(a)}, &(double){mb_json_as_real(b)},
                          sizeof(double)) == 0);
        break;
    case MB_JSON_TEXT: FUZZ_CHECK(strcmp(mb_json_as_text(a), mb_json_as_text(b)) == 0); break;
    case MB_JSON_ARRAY:
    case MB_JSON_OBJECT:
        other = mb_json_first(b);
        for (const struct mb_json *child = mb_json_first(a); child != NULL;
             child = mb_json_next(child), other = mb_json_next(other)) {
            FUZZ_CHECK(other != NULL);
            FUZZ_CHECK(type == MB_JSON_ARRAY ||
                       strcmp(mb_json_key(child), mb_json_key(other)) == 0);
            check_same(child, other);
        }
        FUZZ_CHECK(other == NULL);
        break;
    case MB_JSON_NULL:
    default: break;
    }
}

/* Compact or indented, it is the same tree. */
static void check_printing(const struct mb_json *json, bool indented)
{
    const struct mb_json_limits none = {SIZE_MAX, 1000, SIZE_MAX};
    char *text = mb_json_print(json, indented);
    char *again = NULL;
    struct mb_json *copy = NULL;
    struct mb_error err;

    FUZZ_CHECK_OK(mb_json_parse(text, strlen(text), &none, &copy, &err), &err);
    check_same(json, copy);
    again = mb_json_print(copy, indented);
    FUZZ_CHECK(strcmp(text, again) == 0);
    mb_json_free(copy);
    free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct mb_json_limits limits = {4096, 0, 0};
    struct mb_json_scan scan = {0};
    struct mb_json *json = NULL;
    struct mb_error scanned;
    struct mb_error parsed;
    int scan_rc = 0;
    int parse_rc = 0;
    char *text = NULL;

    limits.depth_max = fuzz_byte(&input);
    limits.value_count_max = (size_t)fuzz_byte(&input) * 4;
    /* Neither may need what lies behind the text: not even a NUL. */
    text = mb_alloc_copy(input.data, input.size);
    scan_rc = mb_json_scan(text, input.size, &limits, &scan, &scanned);
    parse_rc = mb_json_parse(text, input.size, &limits, &json, &parsed);
    if (parse_rc == 0) {
        struct measure found = {0};

        FUZZ_CHECK_OK(scan_rc, &scanned);
        measure(json, 0, &found);
        FUZZ_CHECK(input.size <= limits.size_max);
        FUZZ_CHECK(found.depth_max <= limits.depth_max);
        FUZZ_CHECK(found.value_count <= limits.value_count_max);
        FUZZ_CHECK(scan.count <= found.number_count);
        check_printing(json, false);
        check_printing(json, true);
    } else {
        fuzz_check_error(&parsed);
        FUZZ_CHECK(parsed.code == MB_ERR_CORRUPT || parsed.code == MB_ERR_LIMIT);
        if (scan_rc == 0) { /* the one thing that the scan leaves to the tree */
            FUZZ_CHECK(strstr(parsed.message, "is there twice") != NULL);
        } else {
            FUZZ_CHECK(scanned.code == parsed.code);
            FUZZ_CHECK(strcmp(scanned.message, parsed.message) == 0);
        }
    }
    mb_json_free(json);
    mb_json_scan_release(&scan);
    free(text);
    return 0;
}
