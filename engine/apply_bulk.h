/* SPDX-License-Identifier: MIT */
#ifndef MB_APPLY_BULK_H
#define MB_APPLY_BULK_H

/*
 * Many new rows in one INSERT. FTS5 writes out what it holds at the end of each statement, so a row
 * at a time costs several times as much, and the write lock is held all the while
 * (docs/PERFORMANCE.md).
 *
 * add collects a row, and inserts what is collected when there is enough. Then insert writes the
 * rest to the live database and note what came of it to the state, so that the state's part can be
 * done when the live database is committed and its lock is gone. settle does both: before anything
 * else is written that may meet these rows.
 *
 * Where the database refuses a row, the whole statement is taken back, and they go one by one.
 */

#include "apply.h"

struct mb_apply_bulk;

struct mb_apply_bulk *mb_apply_bulk_new(const struct mb_apply *apply); /* borrows */
void mb_apply_bulk_free(struct mb_apply_bulk *bulk);
/* Forgets what was collected: the transactions were taken back. */
void mb_apply_bulk_clear(struct mb_apply_bulk *bulk);

bool mb_apply_bulk_has(const struct mb_apply_bulk *bulk, const uint8_t id[static MB_ROW_ID_SIZE]);

/* For rows of which mb_write_insert_is_simple() is true. `record` is borrowed until it was noted;
 * what *known and *loose (registers that waited for the row) own is taken. is_new: the state does
 * not have the row yet. */
MB_MUST_USE int mb_apply_bulk_add(struct mb_apply_bulk *bulk, const struct mb_record *record,
                                  struct mb_state_row *known, struct mb_regs *loose, bool is_new,
                                  struct mb_error *err);
MB_MUST_USE int mb_apply_bulk_insert(struct mb_apply_bulk *bulk, struct mb_error *err);
MB_MUST_USE int mb_apply_bulk_note(struct mb_apply_bulk *bulk, struct mb_error *err);
MB_MUST_USE int mb_apply_bulk_settle(struct mb_apply_bulk *bulk, struct mb_error *err);

#endif
