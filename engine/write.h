/* SPDX-License-Identifier: MIT */
#ifndef MB_WRITE_H
#define MB_WRITE_H

/*
 * Writes of one row to the live database, in the caller's transaction. Columns are named; what the
 * database does not have is kept in the state (table `extra`); what it refuses is told, not forced.
 */

#include "live.h"

enum mb_write_result {
    MB_WRITE_DONE = 1,
    MB_WRITE_NOTHING, /* it stood there already */
    MB_WRITE_REFUSED, /* the schema or a constraint does not take it: the reason is in *err */
};

/* Inserts the row of a record with the registers of `known`, or lets it take its stub's place. Sets
 * known->local and twin. `known` is not saved. */
MB_MUST_USE int mb_write_insert(struct mb_engine *engine, const struct mb_record *record,
                                struct mb_state_row *known, enum mb_write_result *result_out,
                                struct mb_error *err);

/* Writes those registers of a mapped row that differ from the known ones and takes the dirty marks
 * off. `known` is not saved. `source` is named in explanations. */
MB_MUST_USE int mb_write_registers(struct mb_engine *engine, struct mb_state_row *known,
                                   const char *source, enum mb_write_result *result_out,
                                   struct mb_error *err);

/* Deletes the row at a rowid; a session that has children becomes a stub for `id`. */
MB_MUST_USE int mb_write_delete(struct mb_engine *engine, int table, int64_t rowid,
                                const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err);

/* Fills payload columns of a mapped row that are NULL and that the record has: an older claude-mem
 * passed the row on without them. */
MB_MUST_USE int mb_write_fill(struct mb_engine *engine, const struct mb_state_row *known,
                              const struct mb_record *record, enum mb_write_result *result_out,
                              struct mb_error *err);

/* Writes columns of a record that the database did not have before. */
MB_MUST_USE int mb_write_columns(struct mb_engine *engine, int table, int64_t rowid,
                                 const struct mb_record *record, struct mb_error *err);

#endif
