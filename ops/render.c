/* SPDX-License-Identifier: MIT */
#include "render.h"

#include "alloc.h"
#include "assert.h"
#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

void mb_render_add(struct mb_buf *text, const char *format, ...)
{
    char line[4096];
    char *whole = NULL;
    struct mb_error err;
    va_list arguments;
    int size = 0;

    va_start(arguments, format);
    size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    MB_ASSERT(size >= 0);
    if ((size_t)size >= sizeof(line)) {
        whole = mb_alloc((size_t)size + 1);
        va_start(arguments, format);
        (void)vsnprintf(whole, (size_t)size + 1, format, arguments);
        va_end(arguments);
    }
    mb_error_init(&err);
    MB_ASSERT(mb_buf_append_text(text, whole != NULL ? whole : line, &err) == 0);
    free(whole);
}

char *mb_render_count(char out[static MB_RENDER_COUNT_MAX], int64_t count, const char *one,
                      const char *many)
{
    char digits[32];
    char grouped[48];
    size_t length = 0;
    size_t to = 0;

    (void)snprintf(digits, sizeof(digits), "%" PRId64, count);
    length = strlen(digits);
    for (size_t from = 0; from < length; from++) {
        grouped[to++] = digits[from];
        if ((length - from - 1) % 3 == 0 && from + 1 < length && digits[from] != '-') {
            grouped[to++] = ',';
        }
    }
    grouped[to] = '\0';
    (void)snprintf(out, MB_RENDER_COUNT_MAX, "%s %s", grouped, count == 1 ? one : many);
    return out;
}

void mb_render_json_text(struct mb_json *parent, const char *key, const char *text)
{
    char *clean = NULL;

    if (text == NULL) {
        mb_json_add_null(parent, key);
        return;
    }
    clean = mb_alloc(strlen(text) * 3 + 8);
    mb_text_clean(clean, strlen(text) * 3 + 8, text, strlen(text));
    mb_json_add_text(parent, key, clean);
    free(clean);
}

void mb_render_json_time(struct mb_json *parent, const char *key, int64_t time_ms)
{
    char text[MB_TEXT_SHORT_MAX];

    if (time_ms == 0) {
        mb_json_add_null(parent, key);
    } else {
        mb_json_add_text(parent, key, mb_text_utc(text, time_ms));
    }
}

void mb_render_json_error(struct mb_json *parent, const struct mb_error *problem)
{
    mb_json_add_text(parent, "code", mb_error_name(problem->code));
    mb_render_json_text(parent, "message", problem->message);
    mb_render_json_text(parent, "advice", mb_error_advice(problem));
}
