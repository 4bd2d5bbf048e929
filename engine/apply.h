/* SPDX-License-Identifier: MIT */
#ifndef MB_APPLY_H
#define MB_APPLY_H

/*
 * One record against the state and the live database: the rules of the merge (docs/DESIGN.md,
 * "Merge"). Everything that a record says is kept: applied, or set aside until it can be. Applying
 * a record twice, or two in the other order, ends the same (order-free).
 *
 * plan and apply see the same database: between them the caller writes the journal, nobody else can
 * write.
 */

#include "live.h"

struct mb_apply_bulk;

struct mb_apply {
    struct mb_engine *engine;
    const char *source; /* name of the machine that the records come from, for explanations */
    struct mb_apply_bulk *bulk; /* collects new rows; NULL: each is inserted at once */
};

/* Captures the local row that the record speaks of, whatever the marks said, so that a value
 * changed here since is a change and not something to write over. *before_out (given,
 * MB_RECORD_ROW) is the local row as it stands, if the record may change or delete it; kind 0 if
 * there is none. *effect_out: may it write the live database at all? */
MB_MUST_USE int mb_apply_plan(const struct mb_apply *apply, const struct mb_record *record,
                              bool *effect_out, struct mb_buf *before, struct mb_error *err);

MB_MUST_USE int mb_apply_record(const struct mb_apply *apply, const struct mb_record *record,
                                struct mb_error *err);

/* The row of a record, now: into the live database, or onto the shelf where that refuses it; then
 * noted in the state. is_new: the state does not have it yet. */
MB_MUST_USE int mb_apply_insert(const struct mb_apply *apply, const struct mb_record *record,
                                struct mb_state_row *known, bool is_new, struct mb_error *err);
/* Notes in the state that it was inserted (known->local). */
MB_MUST_USE int mb_apply_note_inserted(const struct mb_apply *apply, const struct mb_record *record,
                                       struct mb_state_row *known, bool is_new,
                                       struct mb_error *err);

/* Writes back what is dirty, removes dead rows that came back, moves children from stubs to true
 * sessions, and tries again what was set aside. */
MB_MUST_USE int mb_apply_leftovers(struct mb_engine *engine, struct mb_error *err);
MB_MUST_USE int mb_apply_has_leftovers(struct mb_engine *engine, bool *has_out,
                                       struct mb_error *err);

/* Puts a whole record on the shelf. */
MB_MUST_USE int mb_apply_shelve(struct mb_engine *engine, const struct mb_record *record,
                                const char *why, struct mb_error *err);

#endif
