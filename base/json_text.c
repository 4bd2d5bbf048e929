/* SPDX-License-Identifier: MIT */
#include "assert.h"
#include "json.h"

#include <string.h>

#include "banned.h"

/* One character that may not stand in a string as it is. */
static int append_escape(struct mb_buf *buf, uint8_t byte, struct mb_error *err)
{
    switch (byte) {
    case '"': return mb_buf_append_text(buf, "\\\"", err);
    case '\\': return mb_buf_append_text(buf, "\\\\", err);
    case '\b': return mb_buf_append_text(buf, "\\b", err);
    case '\f': return mb_buf_append_text(buf, "\\f", err);
    case '\n': return mb_buf_append_text(buf, "\\n", err);
    case '\r': return mb_buf_append_text(buf, "\\r", err);
    case '\t': return mb_buf_append_text(buf, "\\t", err);
    default: return mb_buf_append_format(buf, err, "\\u%04x", (unsigned)byte);
    }
}

/* May the next eight bytes stand as they are? Says no too often rather than too seldom: a byte that
 * borrows from the one above it may make that look like another. */
static bool is_plain_word(const char *text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t high_bits = 0x80 * ones;
    uint64_t word, quote, backslash;

    memcpy(&word, text, sizeof(word));
    quote = word ^ ('"' * ones);
    backslash = word ^ ('\\' * ones);
    return (((word - 0x20 * ones) & ~word) & high_bits) == 0 &&
           (((quote - ones) & ~quote) & high_bits) == 0 &&
           (((backslash - ones) & ~backslash) & high_bits) == 0;
}

static int append_string(struct mb_buf *buf, const char *text, size_t size, struct mb_error *err)
{
    size_t done = 0;

    if (mb_buf_append(buf, "\"", 1, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (size - i >= sizeof(uint64_t) && is_plain_word(text + i)) {
            i += sizeof(uint64_t) - 1;
            continue;
        }
        MB_ASSERT(byte != 0);
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            continue;
        }
        if (mb_buf_append(buf, text + done, i - done, err) != 0 ||
            append_escape(buf, byte, err) != 0) {
            return -1;
        }
        done = i + 1;
    }
    if (mb_buf_append(buf, text + done, size - done, err) != 0) {
        return -1;
    }
    return mb_buf_append(buf, "\"", 1, err);
}

int mb_json_append_text(struct mb_buf *buf, const char *text, size_t size, struct mb_error *err)
{
    size_t size_before = buf->size;

    if (append_string(buf, text, size, err) != 0) {
        buf->size = size_before;
        if (buf->data != NULL) {
            buf->data[size_before] = '\0';
        }
        return -1;
    }
    return 0;
}
