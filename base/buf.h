/* SPDX-License-Identifier: MIT */
#ifndef MB_BUF_H
#define MB_BUF_H

/*
 * A growing byte buffer that knows its maximum (as curl's dynbuf): going past it is an error, so no
 * buffer fed from outside can grow without bound. A NUL always follows the content (not counted),
 * so text can be used as a C string. Call: init, append..., release. On a failed append the content
 * is as it was before.
 */

#include "error.h"

#include <stdint.h>

struct mb_buf {
    uint8_t *data; /* NULL while nothing was appended */
    size_t size;
    size_t capacity;
    size_t size_max;
};

void mb_buf_init(struct mb_buf *buf, size_t size_max);
void mb_buf_release(struct mb_buf *buf); /* frees; usable again after init */
void mb_buf_clear(struct mb_buf *buf);   /* size 0, memory kept */

/* All of these: MB_ERR_LIMIT if the maximum would be passed. */
MB_MUST_USE int mb_buf_append(struct mb_buf *buf, const void *data, size_t size,
                              struct mb_error *err);
MB_MUST_USE int mb_buf_append_text(struct mb_buf *buf, const char *text, struct mb_error *err);
MB_MUST_USE int mb_buf_append_format(struct mb_buf *buf, struct mb_error *err, const char *format,
                                     ...) MB_PRINTF(3, 4);
/* Grows by `size` uninitialised bytes and gives their start as *data_out (borrowed until the next
 * call). */
MB_MUST_USE int mb_buf_extend(struct mb_buf *buf, size_t size, uint8_t **data_out,
                              struct mb_error *err);

/* The content as a C string ("" when empty). Borrowed. */
const char *mb_buf_text(const struct mb_buf *buf);

/* Gives the content away as a malloc'ed block (never NULL) and leaves *buf empty. */
uint8_t *mb_buf_take(struct mb_buf *buf, size_t *size_out);

#endif
