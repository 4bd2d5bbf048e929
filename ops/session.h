/* SPDX-License-Identifier: MIT */
#ifndef MB_SESSION_H
#define MB_SESSION_H

/*
 * What most operations begin with: the store (where they need one) and the engine, opened for the
 * project of this machine, with progress handed to the door and explained changes collected for the
 * report.
 */

#include "engine.h"
#include "op.h"

/* Changes listed in a report. A first pull may bring hundreds of thousands; beyond this they are
 * only counted. */
#define MB_SESSION_CHANGES_MAX 10000

struct mb_session {
    struct mb_context *ctx; /* borrowed */
    char *folder;           /* of the store, absolute; NULL without one */
    char *state_folder;
    struct mb_store *store;
    struct mb_store_counts counts;
    struct mb_engine *engine;
    struct mb_json *changes; /* NULL: not collected */
    int64_t change_count;
};

enum mb_session_kind {
    MB_SESSION_FULL = 1,   /* store and engine; takes the lock */
    MB_SESSION_STATE_ONLY, /* the engine, reading what it knows; no store, no lock */
};

/* "<state root>/<canonical id>"; given. */
char *mb_session_state_folder(const struct mb_context *ctx);

/* MB_ERR_NOT_SET_UP if no store is named (FULL); then as mb_engine_open(). Release in any case. */
MB_MUST_USE int mb_session_open(struct mb_context *ctx, enum mb_session_kind kind,
                                struct mb_session *session, struct mb_error *err);
void mb_session_release(struct mb_session *session);

/* Starts a list of changes, if the report shall have one (--verbose); drops an older one. */
void mb_session_collect(struct mb_session *session);

/* Adds "changes" and "changes_total" to json and lines to text, if they were collected. */
void mb_session_report_changes(struct mb_session *session, struct mb_json *json,
                               struct mb_buf *text);

/* The machines but this one, as a JSON array under "machines". */
void mb_session_report_machines(const struct mb_engine_machine *machines, size_t count,
                                struct mb_json *json);

#endif
