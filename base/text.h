/* SPDX-License-Identifier: MIT */
#ifndef MB_TEXT_H
#define MB_TEXT_H

/*
 * Text that comes from outside: is it UTF-8, how is it shown, what number is it. The locale is
 * never touched; all character classes are ASCII's.
 */

#include "error.h"

#include <stdint.h>

/* True if data is valid UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF)
 * without a NUL byte. */
bool mb_text_is_utf8(const void *data, size_t size);

/* How many bytes the first `char_count` characters of valid UTF-8 take (all of them if there are
 * fewer). */
size_t mb_text_prefix(const char *text, size_t size, size_t char_count);

/* Copies text for a person's eyes into out (size_max, at least 5, bytes with its NUL): control
 * characters, ESC and bidi controls become '?', invalid UTF-8 becomes '?', and what does not fit is
 * cut at a character with "...". */
void mb_text_clean(char *out, size_t size_max, const char *text, size_t size);

/* Whole-string decimal number in [min, max]; MB_ERR_USAGE otherwise, naming `what`. */
MB_MUST_USE int mb_text_int64(const char *text, const char *what, int64_t min, int64_t max,
                              int64_t *value_out, struct mb_error *err);

bool mb_text_has_prefix(const char *text, const char *prefix);
bool mb_text_has_suffix(const char *text, const char *suffix);

/* "1.4 MB", "812 bytes"; "3 minutes ago", "in 2 hours", "never" for 0, "just now" under a
 * second. Written into out, which is returned. */
#define MB_TEXT_SHORT_MAX 48
char *mb_text_bytes(char out[static MB_TEXT_SHORT_MAX], uint64_t size_bytes);
char *mb_text_ago(char out[static MB_TEXT_SHORT_MAX], int64_t then_ms, int64_t now_ms);

/* UTC, RFC 3339 with seconds: "2026-11-23T00:36:47Z". Years outside 0..9999 are clamped. */
char *mb_text_utc(char out[static MB_TEXT_SHORT_MAX], int64_t time_ms);

#endif
