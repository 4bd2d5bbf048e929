/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include "alloc.h"
#include "assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define CAPACITY_FIRST 64

void mb_buf_init(struct mb_buf *buf, size_t size_max)
{
    buf->data = NULL;
    buf->size = 0;
    buf->capacity = 0;
    /* One byte more is needed for the NUL. */
    buf->size_max = size_max < SIZE_MAX ? size_max : SIZE_MAX - 1;
}

void mb_buf_release(struct mb_buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->size = 0;
    buf->capacity = 0;
}

void mb_buf_clear(struct mb_buf *buf)
{
    buf->size = 0;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

/* Makes room for `size` more bytes and the NUL. */
static int reserve(struct mb_buf *buf, size_t size, struct mb_error *err)
{
    MB_ASSERT(buf->size <= buf->size_max);
    if (size > buf->size_max - buf->size) {
        return mb_error_set(err, MB_ERR_LIMIT, "more than the %zu bytes allowed here",
                            buf->size_max);
    }
    size_t needed = buf->size + size + 1;
    if (needed <= buf->capacity) {
        return 0;
    }
    size_t capacity = buf->capacity < CAPACITY_FIRST ? CAPACITY_FIRST : buf->capacity;
    while (capacity < needed) {
        capacity = capacity > buf->size_max / 2 ? buf->size_max + 1 : capacity * 2;
    }
    buf->data = mb_alloc_resize(buf->data, capacity, 1);
    buf->capacity = capacity;
    return 0;
}

int mb_buf_append(struct mb_buf *buf, const void *data, size_t size, struct mb_error *err)
{
    uint8_t *start = NULL;

    if (mb_buf_extend(buf, size, &start, err) != 0) {
        return -1;
    }
    if (size > 0) {
        memcpy(start, data, size);
    }
    return 0;
}

int mb_buf_append_text(struct mb_buf *buf, const char *text, struct mb_error *err)
{
    return mb_buf_append(buf, text, strlen(text), err);
}

int mb_buf_append_format(struct mb_buf *buf, struct mb_error *err, const char *format, ...)
{
    va_list args;
    va_list again;
    int rc = -1;

    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    MB_ASSERT(size >= 0);
    if (reserve(buf, (size_t)size, err) == 0) {
        (void)vsnprintf((char *)buf->data + buf->size, (size_t)size + 1, format, again);
        buf->size += (size_t)size;
        rc = 0;
    }
    va_end(again);
    va_end(args);
    return rc;
}

int mb_buf_extend(struct mb_buf *buf, size_t size, uint8_t **data_out, struct mb_error *err)
{
    if (reserve(buf, size, err) != 0) {
        return -1;
    }
    *data_out = buf->data + buf->size;
    buf->size += size;
    buf->data[buf->size] = '\0';
    return 0;
}

const char *mb_buf_text(const struct mb_buf *buf)
{
    return buf->data == NULL ? "" : (const char *)buf->data;
}

uint8_t *mb_buf_take(struct mb_buf *buf, size_t *size_out)
{
    uint8_t *data = buf->data;

    if (data == NULL) {
        data = mb_alloc_zeroed(1, 1);
    }
    *size_out = buf->size;
    buf->data = NULL;
    buf->size = 0;
    buf->capacity = 0;
    return data;
}
