/* SPDX-License-Identifier: MIT */
#include "json_scan.h"

#include "alloc.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* cJSON copies a number into a buffer of 64 bytes. */
#define NUMBER_SIZE_MAX 63
/* What cJSON's "%1.15g" writes without loss. */
#define SHORT_DIGITS_MAX 15

struct cursor {
    const uint8_t *text;
    size_t size;
    size_t at;
    const struct mb_json_limits *limits;
    uint8_t *open; /* '{' or '[' for each container we are in */
    size_t depth;
    size_t open_capacity;
    size_t value_count;
    size_t number_count;
    struct mb_json_scan *scan;
    struct mb_error *err;
};

static int refuse(struct cursor *c, const char *reason)
{
    return mb_error_set(c->err, MB_ERR_CORRUPT, "not valid JSON at byte %zu: %s", c->at, reason);
}

/* The byte at the cursor; 0, which is no part of JSON, at the end. */
static uint8_t peek(const struct cursor *c)
{
    return c->at < c->size ? c->text[c->at] : 0;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static void skip_space(struct cursor *c)
{
    while (is_space(peek(c))) {
        c->at++;
    }
}

/* Four hex digits behind "\u"; -1 if they are not there. */
static int32_t hex4(struct cursor *c)
{
    int32_t value = 0;

    for (int i = 0; i < 4; i++, c->at++) {
        uint8_t byte = peek(c);
        if (is_digit(byte)) {
            value = value * 16 + (byte - '0');
        } else if (byte >= 'a' && byte <= 'f') {
            value = value * 16 + (byte - 'a' + 10);
        } else if (byte >= 'A' && byte <= 'F') {
            value = value * 16 + (byte - 'A' + 10);
        } else {
            return -1;
        }
    }
    return value;
}

static int scan_unicode_escape(struct cursor *c)
{
    int32_t value = hex4(c);

    if (value < 0) {
        return refuse(c, "'\\u' needs four hex digits");
    }
    if (value == 0) {
        return refuse(c, "a NUL character in a string");
    }
    if (value >= 0xDC00 && value <= 0xDFFF) {
        return refuse(c, "half of a surrogate pair");
    }
    if (value >= 0xD800 && value <= 0xDBFF) {
        if (c->size - c->at < 2 || c->text[c->at] != '\\' || c->text[c->at + 1] != 'u') {
            return refuse(c, "half of a surrogate pair");
        }
        c->at += 2;
        int32_t low = hex4(c);
        if (low < 0xDC00 || low > 0xDFFF) {
            return refuse(c, "half of a surrogate pair");
        }
    }
    return 0;
}

/* At the opening quote. That the bytes are UTF-8 was checked for the whole text. */
static int scan_string(struct cursor *c)
{
    if (peek(c) != '"') {
        return refuse(c, "a string was expected");
    }
    c->at++;
    while (c->at < c->size) {
        uint8_t byte = c->text[c->at];
        if (byte < 0x20) {
            return refuse(c, "a control character in a string");
        }
        c->at++;
        if (byte == '"') {
            return 0;
        }
        if (byte != '\\') {
            continue;
        }
        uint8_t kind = peek(c);
        if (kind == 0 || strchr("\"\\/bfnrtu", kind) == NULL) {
            return refuse(c, "an escape that JSON does not have");
        }
        c->at++;
        if (kind == 'u' && scan_unicode_escape(c) != 0) {
            return -1;
        }
    }
    return refuse(c, "the text ends in a string");
}

static void note_number(struct cursor *c, size_t start)
{
    struct mb_json_scan *scan = c->scan;

    if (scan->count == scan->capacity) {
        scan->capacity = scan->capacity * 2 + 16;
        scan->numbers = mb_alloc_resize(scan->numbers, scan->capacity, sizeof(scan->numbers[0]));
    }
    scan->numbers[scan->count] =
        (struct mb_json_exact){.ordinal = c->number_count, .offset = start, .size = c->at - start};
    scan->count++;
}

static size_t skip_digits(struct cursor *c)
{
    size_t start = c->at;

    while (is_digit(peek(c))) {
        c->at++;
    }
    return c->at - start;
}

static int scan_number(struct cursor *c)
{
    size_t start = c->at;
    bool is_negative = peek(c) == '-';
    bool is_real = false;

    c->at += is_negative ? 1 : 0;
    bool starts_with_zero = peek(c) == '0';
    size_t digit_count = skip_digits(c);
    if (digit_count == 0) {
        return refuse(c, "a value was expected");
    }
    if (starts_with_zero && digit_count > 1) {
        return refuse(c, "a number with a leading zero");
    }
    if (peek(c) == '.') {
        is_real = true;
        c->at++;
        if (skip_digits(c) == 0) {
            return refuse(c, "a digit was expected behind the point");
        }
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        is_real = true;
        c->at++;
        c->at += peek(c) == '+' || peek(c) == '-' ? 1 : 0;
        if (skip_digits(c) == 0) {
            return refuse(c, "a digit was expected in the exponent");
        }
    }
    if (c->at - start > NUMBER_SIZE_MAX) {
        return mb_error_set(c->err, MB_ERR_LIMIT, "a number of more than %d characters at byte %zu",
                            NUMBER_SIZE_MAX, start);
    }
    if (is_real || digit_count > SHORT_DIGITS_MAX || (is_negative && starts_with_zero)) {
        note_number(c, start);
    }
    c->number_count++;
    return 0;
}

static int scan_literal(struct cursor *c, const char *literal)
{
    size_t size = strlen(literal);

    if (c->size - c->at < size || memcmp(c->text + c->at, literal, size) != 0) {
        return refuse(c, "a value was expected");
    }
    c->at += size;
    return 0;
}

static int enter(struct cursor *c)
{
    if (c->depth >= c->limits->depth_max) {
        return mb_error_set(c->err, MB_ERR_LIMIT, "JSON nested deeper than %zu at byte %zu",
                            c->limits->depth_max, c->at);
    }
    if (c->depth == c->open_capacity) {
        c->open_capacity = c->open_capacity * 2 + 16;
        c->open = mb_alloc_resize(c->open, c->open_capacity, 1);
    }
    c->open[c->depth] = c->text[c->at];
    c->depth++;
    c->at++;
    skip_space(c);
    return 0;
}

static bool is_in_object(const struct cursor *c)
{
    return c->depth > 0 && c->open[c->depth - 1] == '{';
}

/* True, and behind it, if the innermost container is closed here. */
static bool leave(struct cursor *c)
{
    if (c->depth == 0 || peek(c) != (is_in_object(c) ? '}' : ']')) {
        return false;
    }
    c->depth--;
    c->at++;
    return true;
}

/* Key and colon. */
static int scan_key(struct cursor *c)
{
    skip_space(c);
    if (scan_string(c) != 0) {
        return -1;
    }
    skip_space(c);
    if (peek(c) != ':') {
        return refuse(c, "':' was expected");
    }
    c->at++;
    return 0;
}

/* One scalar, or the start of a container; *opened_out tells that a first child follows. */
static int scan_value(struct cursor *c, bool *opened_out)
{
    *opened_out = false;
    if (c->value_count >= c->limits->value_count_max) {
        return mb_error_set(c->err, MB_ERR_LIMIT, "JSON with more than %zu values",
                            c->limits->value_count_max);
    }
    c->value_count++;
    skip_space(c);
    switch (peek(c)) {
    case '{':
    case '[':
        if (enter(c) != 0) {
            return -1;
        }
        *opened_out = !leave(c);
        return 0;
    case '"': return scan_string(c);
    case 't': return scan_literal(c, "true");
    case 'f': return scan_literal(c, "false");
    case 'n': return scan_literal(c, "null");
    default: return scan_number(c);
    }
}

/* Behind a value: closes what ends here. *more_out tells that a comma, and so a sibling,
 * follows. */
static int scan_separator(struct cursor *c, bool *more_out)
{
    *more_out = false;
    for (;;) {
        skip_space(c);
        if (c->depth == 0) {
            return 0;
        }
        if (leave(c)) {
            continue;
        }
        if (peek(c) != ',') {
            return refuse(c,
                          is_in_object(c) ? "',' or '}' was expected" : "',' or ']' was expected");
        }
        c->at++;
        *more_out = true;
        return 0;
    }
}

static int scan_document(struct cursor *c)
{
    bool more = true;

    while (more) {
        bool opened = false;
        if (is_in_object(c) && scan_key(c) != 0) {
            return -1;
        }
        if (scan_value(c, &opened) != 0) {
            return -1;
        }
        if (!opened && scan_separator(c, &more) != 0) {
            return -1;
        }
    }
    if (c->at != c->size) {
        return refuse(c, "more text behind the value");
    }
    return 0;
}

/* Where the first character begins that is not UTF-8, or is NUL. */
static size_t first_bad_byte(const char *text, size_t size)
{
    size_t at = 0;

    while (at < size) {
        size_t step = 1;
        while (step <= 4 && step <= size - at && !mb_text_is_utf8(text + at, step)) {
            step++;
        }
        if (step > 4 || step > size - at) {
            break;
        }
        at += step;
    }
    return at;
}

int mb_json_scan(const char *text, size_t size, const struct mb_json_limits *limits,
                 struct mb_json_scan *scan, struct mb_error *err)
{
    struct cursor c = {
        .text = (const uint8_t *)text,
        .size = size,
        .limits = limits,
        .scan = scan,
        .err = err,
    };

    if (size > limits->size_max) {
        return mb_error_set(err, MB_ERR_LIMIT, "JSON of %zu bytes where %zu are allowed", size,
                            limits->size_max);
    }
    if (!mb_text_is_utf8(text, size)) {
        c.at = first_bad_byte(text, size);
        return refuse(&c, "not UTF-8, or a NUL byte");
    }
    int rc = scan_document(&c);
    free(c.open);
    return rc;
}

void mb_json_scan_release(struct mb_json_scan *scan)
{
    free(scan->numbers);
    *scan = (struct mb_json_scan){0};
}
