/* SPDX-License-Identifier: MIT */
#include "error.h"

#include "assert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "banned.h"

struct code_row {
    const char *name;
    int exit_status;
    bool is_retryable;
    const char *advice;
};

static const struct code_row code_rows[] = {
#define X(code, name, status, retry, advice) [code] = {name, status, retry, advice},
    MB_ERROR_TABLE(X)
#undef X
};

static const struct code_row *row_of(enum mb_code code)
{
    MB_ASSERT((size_t)code < sizeof(code_rows) / sizeof(code_rows[0]));
    return &code_rows[code];
}

/* Cuts at a character, so that the message stays UTF-8, and marks the cut. */
static void mark_cut(char *text, size_t size_max)
{
    size_t end = size_max - sizeof("...");

    while (end > 0 && ((unsigned char)text[end] & 0xC0U) == 0x80U) {
        end--;
    }
    memcpy(text + end, "...", sizeof("..."));
}

static MB_PRINTF(3, 0) void write_text(char *out, size_t size_max, const char *format, va_list args)
{
    int size = vsnprintf(out, size_max, format, args);

    if (size < 0) {
        out[0] = '\0';
    } else if ((size_t)size >= size_max) {
        mark_cut(out, size_max);
    }
}

static void append_text(char *out, size_t size_max, const char *text)
{
    size_t size = strlen(out);
    size_t more = strlen(text);

    if (more < size_max - size) {
        memcpy(out + size, text, more + 1);
        return;
    }
    memcpy(out + size, text, size_max - size - 1);
    out[size_max - 1] = '\0';
    mark_cut(out, size_max);
}

void mb_error_init(struct mb_error *err)
{
    err->code = MB_OK;
    err->message[0] = '\0';
    err->advice[0] = '\0';
}

int mb_error_set(struct mb_error *err, enum mb_code code, const char *format, ...)
{
    char message[MB_ERROR_MESSAGE_MAX]; /* the arguments may point into *err */
    va_list args;

    MB_ASSERT(code != MB_OK);
    va_start(args, format);
    write_text(message, sizeof(message), format, args);
    va_end(args);
    mb_error_init(err);
    err->code = code;
    append_text(err->message, sizeof(err->message), message);
    return -1;
}

static enum mb_code code_of_errno(enum mb_code code, int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT: return MB_ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS: return MB_ERR_DENIED;
    default: return code;
    }
}

int mb_error_errno(struct mb_error *err, enum mb_code code, int errno_value, const char *format,
                   ...)
{
    char message[MB_ERROR_MESSAGE_MAX];
    va_list args;

    MB_ASSERT(code != MB_OK);
    va_start(args, format);
    write_text(message, sizeof(message), format, args);
    va_end(args);
    mb_error_init(err);
    err->code = code_of_errno(code, errno_value);
    append_text(err->message, sizeof(err->message), message);
    append_text(err->message, sizeof(err->message), ": ");
    append_text(err->message, sizeof(err->message), strerror(errno_value));
    return -1;
}

int mb_error_wrap(struct mb_error *err, const char *format, ...)
{
    char context[MB_ERROR_MESSAGE_MAX];
    va_list args;

    MB_ASSERT(err->code != MB_OK);
    va_start(args, format);
    write_text(context, sizeof(context), format, args);
    va_end(args);
    append_text(context, sizeof(context), ": ");
    append_text(context, sizeof(context), err->message);
    memcpy(err->message, context, sizeof(context));
    return -1;
}

int mb_error_advise(struct mb_error *err, const char *format, ...)
{
    char advice[MB_ERROR_ADVICE_MAX];
    va_list args;

    va_start(args, format);
    write_text(advice, sizeof(advice), format, args);
    va_end(args);
    memcpy(err->advice, advice, sizeof(advice));
    return -1;
}

const char *mb_error_name(enum mb_code code)
{
    return row_of(code)->name;
}

int mb_error_exit_status(enum mb_code code)
{
    return row_of(code)->exit_status;
}

bool mb_error_is_retryable(enum mb_code code)
{
    return row_of(code)->is_retryable;
}

const char *mb_error_advice(const struct mb_error *err)
{
    return err->advice[0] != '\0' ? err->advice : row_of(err->code)->advice;
}
