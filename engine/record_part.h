/* SPDX-License-Identifier: MIT */
#ifndef MB_RECORD_PART_H
#define MB_RECORD_PART_H

/*
 * What the files of the record module share: record.c writes lines, record_decode.c reads them,
 * record_value.c knows single values. Nobody else includes this.
 */

#include "record.h"

#define MB_RECORD_REAL_SIZE 32 /* "-0x1.fffffffffffffp+1023" and a NUL fit */

/* What "k" says, by enum mb_record_kind. */
extern const char *const mb_record_kind_names[MB_RECORD_DELETE + 1];

/* The rules that both directions check; a record that breaks one is refused with `code`. */
MB_MUST_USE int mb_record_check(const struct mb_record *record, enum mb_code code,
                                struct mb_error *err);

/* RFC 4648, section 4; padding required, unused bits zero. `out` has room for (size + 2) / 3 * 4
 * bytes; no NUL is put. */
void mb_record_base64_encode(const uint8_t *data, size_t size, uint8_t *out);
/* `out` has room for size / 4 * 3 bytes. */
bool mb_record_base64_decode(const char *text, size_t size, uint8_t *out, size_t *size_out);

/* The one form of docs/FORMAT.md. `real` is a number. */
void mb_record_real_format(double real, char out[static MB_RECORD_REAL_SIZE]);
/* Takes what mb_record_real_format() writes and nothing else. */
bool mb_record_real_parse(const char *text, double *real_out);

#endif
