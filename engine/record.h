/* SPDX-License-Identifier: MIT */
#ifndef MB_RECORD_H
#define MB_RECORD_H

/*
 * A record is what travels: a row, new values of a row's registers, or a row's tombstone. One
 * record is one line of JSON in a segment (docs/FORMAT.md). This module turns structs into lines
 * and lines into structs; it checks form, types and limits, and knows nothing of claude-mem's
 * tables: what a record means is profile.c's and merge.c's business.
 *
 * Exact both ways: every 64-bit integer, every double but NaN (which SQLite cannot hold), and every
 * string of bytes comes back as it went in, and decoding a line that was encoded here and encoding
 * the result gives the same line.
 *
 * Ownership: a decoded record owns everything it points at (one arena), until mb_record_release().
 * A record that is to be encoded only borrows.
 */

#include "buf.h"
#include "error.h"

#include <stdint.h>

#define MB_ROW_ID_SIZE 16
#define MB_MACHINE_ID_SIZE 8
#define MB_MACHINE_ID_HEX_SIZE 17 /* 16 lower-case digits and a NUL */

/* Hybrid logical clock and the machine that made it. Ordered by hlc, then machine bytes. */
struct mb_version {
    /* Milliseconds, 0..MB_LIMIT_HLC_MS; of a value never seen to change: when the row was made. */
    int64_t hlc;
    uint8_t machine[MB_MACHINE_ID_SIZE]; /* zeros for a value never seen to change */
};

enum mb_value_type {
    MB_VALUE_NULL = 1,
    MB_VALUE_INTEGER,
    MB_VALUE_REAL,
    MB_VALUE_TEXT,
    MB_VALUE_BLOB,
};

/* One SQLite value. TEXT may hold what SQLite lets stand in a text column: NULs, invalid UTF-8. */
struct mb_value {
    enum mb_value_type type;
    int64_t integer;
    double real;
    const uint8_t *data; /* TEXT, BLOB: borrowed, or in the record's arena; need not end in a NUL */
    size_t size;         /* without a NUL */
};

struct mb_column {
    const char *name;
    struct mb_value value;
};

struct mb_register {
    const char *name;
    struct mb_version version;
    struct mb_version parent; /* the version it replaced; equal to `version` if it replaced none */
    struct mb_value value;    /* of a reference: BLOB of MB_ROW_ID_SIZE bytes, or NULL */
};

enum mb_record_kind { MB_RECORD_ROW = 1, MB_RECORD_REGISTERS, MB_RECORD_DELETE };

struct mb_record {
    enum mb_record_kind kind;
    uint8_t row_id[MB_ROW_ID_SIZE];
    const char *table;
    int64_t copy;              /* ROW: which of equal rows, from 0 */
    struct mb_column *columns; /* ROW: identity and payload */
    size_t column_count;
    struct mb_register *registers; /* ROW, REGISTERS */
    size_t register_count;
    struct mb_version version; /* ROW: of its creation; DELETE: of the tombstone; else zeros */
    const char *orphan; /* ROW: memory session id at its origin, of a session or of a row whose
                           session nobody knows; else NULL */
    bool is_decided;    /* DELETE: a person released it there (push --accept-deletes) */
    void *arena;        /* owned; NULL in a record that only borrows */
};

int mb_record_version_compare(const struct mb_version *a, const struct mb_version *b);
bool mb_record_version_is_zero(const struct mb_version *version);

/*
 * NULL < INTEGER < REAL < TEXT < BLOB, then by number (-0.0 before 0.0), or by bytes as memcmp, the
 * shorter first where one starts with the other. A total order: equal means the same bits.
 */
int mb_record_value_compare(const struct mb_value *a, const struct mb_value *b);
bool mb_record_value_equal(const struct mb_value *a, const struct mb_value *b);

/*
 * Appends the line with its '\n'. MB_ERR_LIMIT (buf is as before) if it passes
 * MB_LIMIT_RECORD_BYTES or buf's maximum, or if mb_record_decode() would refuse it elsewhere: a
 * name that is not plain or is there twice, a version or copy number out of range, too many
 * columns, a NaN, an orphan's id that is not UTF-8.
 */
MB_MUST_USE int mb_record_encode(const struct mb_record *record, struct mb_buf *buf,
                                 struct mb_error *err);

/*
 * `line` without its '\n'. MB_ERR_CORRUPT for anything that is not a well-formed record within the
 * limits; MB_ERR_FORMAT for a kind of record, a field or a type of value that this version does not
 * know. *record_out is written only on success. Every TEXT and BLOB has a NUL behind its bytes.
 */
MB_MUST_USE int mb_record_decode(const char *line, size_t size, struct mb_record *record_out,
                                 struct mb_error *err);

/* A copy that owns all it points at. */
void mb_record_copy(const struct mb_record *record, struct mb_record *copy_out);
void mb_record_release(struct mb_record *record); /* leaves zeros */

/* By name; NULL if there is none. Borrowed. */
const struct mb_column *mb_record_column(const struct mb_record *record, const char *name);
const struct mb_register *mb_record_register(const struct mb_record *record, const char *name);

#endif
