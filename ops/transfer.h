/* SPDX-License-Identifier: MIT */
#ifndef MB_TRANSFER_H
#define MB_TRANSFER_H

/* One push or one pull through an open session, reported: shared by push, pull and sync. */

#include "session.h"

struct mb_transfer_options {
    bool is_full;        /* push */
    bool accept_deletes; /* push and pull */
    bool heal;           /* pull */
};

/* Longest time that --timeout takes: a day. */
#define MB_TRANSFER_TIMEOUT_S_MAX 86400

/* Lets the work stop after so many seconds; 0: never. */
void mb_transfer_deadline(int64_t timeout_s);

/*
 * Does it and adds its fields to json, which may be report->json or a part of its own, its lines to
 * report->text, and to report's problems what a person should know although it went through:
 * queued, held deletes, a damaged stream.
 */
MB_MUST_USE int mb_transfer_push(struct mb_session *session,
                                 const struct mb_transfer_options *options, struct mb_json *json,
                                 struct mb_report *report, struct mb_error *err);
MB_MUST_USE int mb_transfer_pull(struct mb_session *session,
                                 const struct mb_transfer_options *options, struct mb_json *json,
                                 struct mb_report *report, struct mb_error *err);

#endif
