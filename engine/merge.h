/* SPDX-License-Identifier: MIT */
#ifndef MB_MERGE_H
#define MB_MERGE_H

/*
 * Batches of records into the live database, while claude-mem runs.
 *
 * A batch is one short write transaction of the live database (live-safe). Inside it: capture; the
 * journal, durable in state.db; the writes; the commit; then state.db's. Killed between the two
 * commits, the journal tells what happened (mb_journal_recover). Between batches the worker gets
 * its turn.
 */

#include "live.h"

struct mb_merge; /* collects records and applies them when a batch is full */

struct mb_merge_config {
    const char *source; /* name of the machine that the records come from */
    int64_t total;      /* records to come, for progress; 0: not known */
};

struct mb_merge *mb_merge_new(struct mb_engine *engine, const struct mb_merge_config *config);
void mb_merge_free(struct mb_merge *merge); /* what was not flushed is dropped */

/* Takes *record (leaves zeros). */
MB_MUST_USE int mb_merge_add(struct mb_merge *merge, struct mb_record *record,
                             struct mb_error *err);

/* Applies what is collected. `finish` (or NULL) runs in the state's transaction of the last batch,
 * after which all that was added is done: the place to move cursors. */
typedef int (*mb_merge_finish_fn)(void *context, struct mb_error *err);
MB_MUST_USE int mb_merge_flush(struct mb_merge *merge, mb_merge_finish_fn finish, void *context,
                               struct mb_error *err);

/* Captures alone, in transactions of its own; recovers first. */
MB_MUST_USE int mb_merge_capture(struct mb_engine *engine, bool accept_deletes,
                                 int64_t whole_every_ms, struct mb_error *err);

/* Leftovers (apply.h), as batches, until there are none or nothing moves. */
MB_MUST_USE int mb_merge_leftovers(struct mb_engine *engine, struct mb_error *err);

#endif
