/* SPDX-License-Identifier: MIT */
#ifndef MB_RENDER_H
#define MB_RENDER_H

/*
 * Words and numbers for reports. Text may carry marks, single control bytes that the terminal's
 * writer turns into colour and everybody else drops; text from outside is cleaned of control
 * characters before it gets in, so it cannot carry any.
 */

#include "buf.h"
#include "error.h"
#include "json.h"

#include <stdint.h>

#define MB_MARK_BOLD "\001"
#define MB_MARK_GOOD "\002"
#define MB_MARK_WARN "\003"
#define MB_MARK_BAD "\004"
#define MB_MARK_DIM "\005"
#define MB_MARK_END "\006"

/* Appends. The buffer's maximum is large enough for all that we render, which is asserted. */
void mb_render_add(struct mb_buf *text, const char *format, ...) MB_PRINTF(2, 3);

/* "1 row", "2,310 rows"; written into out, which is returned. */
#define MB_RENDER_COUNT_MAX 96
char *mb_render_count(char out[static MB_RENDER_COUNT_MAX], int64_t count, const char *one,
                      const char *many);

/* "one of 'a', 'b'" helpers: the JSON side. Text is cleaned to valid UTF-8; NULL text and time 0
 * are null. */
void mb_render_json_text(struct mb_json *parent, const char *key, const char *text);
void mb_render_json_time(struct mb_json *parent, const char *key, int64_t time_ms);
void mb_render_json_error(struct mb_json *parent, const struct mb_error *problem);

#endif
