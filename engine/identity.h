/* SPDX-License-Identifier: MIT */
#ifndef MB_IDENTITY_H
#define MB_IDENTITY_H

/*
 * Row ids: the same row has the same id on every machine. docs/FORMAT.md, "Row ids", has the exact
 * bytes.
 */

#include "digest.h"
#include "profile.h"

#define MB_IDENTITY_VALUES_MAX 16

/* The values that make a row's identity, in the profile's order; prefixes cut and absent values put
 * in by mb_identity_set(). Borrows what it points at. */
struct mb_identity {
    const struct mb_profile_table *table;
    struct mb_value values[MB_IDENTITY_VALUES_MAX];
};

/* Sets the value of identity column `index`; value NULL: the column does not exist. */
void mb_identity_set(struct mb_identity *identity, size_t index, const struct mb_value *value);

/* False if the record lacks a column. A text that is a register too is taken from there. */
bool mb_identity_from_record(const struct mb_profile_table *table, const struct mb_record *record,
                             struct mb_identity *identity_out);

void mb_identity_row_id(struct mb_digest *digest, const struct mb_identity *identity, int64_t copy,
                        uint8_t out[static MB_ROW_ID_SIZE]);

#endif
