/* SPDX-License-Identifier: MIT */
#ifndef MB_PUSH_H
#define MB_PUSH_H

/*
 * The outbox into the store.
 *
 * Durable steps, each repeatable with the same names and bytes: cut segments from the outbox
 * (state.db); put the segments; put the head; mark the outbox done; delete the older heads that
 * this machine wrote. A put that timed out may have happened: the next push puts the same again.
 */

#include "core.h"

MB_MUST_USE int mb_push_run(struct mb_engine *engine, const struct mb_push_request *request,
                            struct mb_push_report *report, struct mb_error *err);

/* Captures only and tells what would be sent. */
MB_MUST_USE int mb_push_count_pending(struct mb_engine *engine, int64_t *records_out,
                                      struct mb_error *err);

/* push_full.c: everything that is known, appended to the outbox. In the state's transaction, with
 * one on the live database. */
MB_MUST_USE int mb_push_full(struct mb_engine *engine, struct mb_error *err);

/* push_head.c */
/* Writes the head that lists all entries and what is being sent into the state, as the next to be
 * put. */
MB_MUST_USE int mb_push_head_prepare(struct mb_engine *engine, struct mb_error *err);
/* Puts the newest head if the store has not acknowledged it (or `again`), and notes that. */
MB_MUST_USE int mb_push_head_put(struct mb_engine *engine, bool again, struct mb_error *err);
/* Removes our older heads from the store. */
MB_MUST_USE int mb_push_head_clean(struct mb_engine *engine, struct mb_error *err);
/* Compares the store's heads under our id with ours. One request. */
struct mb_push_head_look {
    bool has_any;     /* the store shows heads under our id */
    bool has_foreign; /* one of them is not ours */
    bool is_missing;  /* our newest acknowledged one is not among them */
};
MB_MUST_USE int mb_push_head_check(struct mb_engine *engine, struct mb_push_head_look *look_out,
                                   struct mb_error *err);

/* push_fold.c: folds small segments when a head lists many, and removes what was folded a grace
 * time ago. */
MB_MUST_USE int mb_push_fold(struct mb_engine *engine, struct mb_error *err);
/* Marks entries lost whose segments are not in the store, or (reads_all) do not hold what they
 * should. *lost_out: how many were found now. */
MB_MUST_USE int mb_push_fold_find_lost(struct mb_engine *engine, bool reads_all, int64_t *lost_out,
                                       struct mb_error *err);

#endif
