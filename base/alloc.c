/* SPDX-License-Identifier: MIT */
#include "alloc.h"

#include "assert.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>

#include "banned.h"

#define LARGE_BYTES (128 * 1024)

static _Noreturn void out_of_memory(void)
{
    (void)fputs("membridge: out of memory; nothing was lost, run the command again\n", stderr);
    exit(1);
}

static size_t product(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        out_of_memory();
    }
    return count * size;
}

void mb_alloc_init(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
#endif
}

void *mb_alloc(size_t size)
{
    void *data = malloc(size == 0 ? 1 : size);

    if (data == NULL) {
        out_of_memory();
    }
    return data;
}

void *mb_alloc_zeroed(size_t count, size_t size)
{
    size_t total = product(count, size);
    void *data = calloc(1, total == 0 ? 1 : total);

    if (data == NULL) {
        out_of_memory();
    }
    return data;
}

void *mb_alloc_resize(void *data, size_t count, size_t size)
{
    size_t total = product(count, size);
    void *resized = realloc(data, total == 0 ? 1 : total);

    if (resized == NULL) {
        out_of_memory();
    }
    return resized;
}

char *mb_alloc_text(const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    return mb_alloc_text_n(text, strlen(text));
}

char *mb_alloc_text_n(const char *text, size_t size)
{
    MB_ASSERT(size < SIZE_MAX);
    char *copy = mb_alloc(size + 1);

    if (size > 0) {
        memcpy(copy, text, size);
    }
    copy[size] = '\0';
    return copy;
}

char *mb_alloc_format(const char *format, ...)
{
    va_list args;
    va_list again;

    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    MB_ASSERT(size >= 0);
    char *text = mb_alloc((size_t)size + 1);
    (void)vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void *mb_alloc_copy(const void *data, size_t size)
{
    void *copy = mb_alloc(size);

    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}
