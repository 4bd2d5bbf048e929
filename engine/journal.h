/* SPDX-License-Identifier: MIT */
#ifndef MB_JOURNAL_H
#define MB_JOURNAL_H

/*
 * The merge journal, in state.db: what a merge is about to do, durable before the live database is
 * written, so that a kill between the two commits is understood afterwards (nothing of the store's
 * is taken for a change of ours), and a merge can be taken back.
 *
 *   begin -> add... -> (state commit) -> live commit -> done -> (state commit)
 *
 * A row of the journal is the record as it came, the local row as it stood before (a record line,
 * empty if there was none), and afterwards the local rowid.
 */

#include "live.h"

/* Starts a merge (one pull is one merge); all batches until the next begin belong to it. */
MB_MUST_USE int mb_journal_begin(struct mb_engine *engine, const char *what, struct mb_error *err);

/* In the state's transaction. */
MB_MUST_USE int mb_journal_add(struct mb_engine *engine, const struct mb_record *record,
                               const struct mb_buf *before, struct mb_error *err);

/* Nothing of it was written: the merge is planned anew. In the state's transaction. */
MB_MUST_USE int mb_journal_forget(struct mb_engine *engine, struct mb_error *err);

/* The live database has it. In the state's transaction, with what the merge changed. */
MB_MUST_USE int mb_journal_done(struct mb_engine *engine, struct mb_error *err);

/* After a kill: finds out what of the journal in flight the live database has, and makes the state
 * say so. Needs both transactions; cheap when there is nothing in flight. */
MB_MUST_USE int mb_journal_recover(struct mb_engine *engine, struct mb_error *err);

/* Forgets merges that are older than the days or beyond the count kept for undo. */
MB_MUST_USE int mb_journal_trim(struct mb_engine *engine, struct mb_error *err);

#endif
