/* SPDX-License-Identifier: MIT */
#ifndef MB_CORE_H
#define MB_CORE_H

/*
 * What the engine's modules share: the open engine, and the small things that every operation does
 * with it. Private to engine/. The flow is in engine.c, push.c and pull.c; everything else is a
 * part of it:
 *
 *   capture   the live database -> state and outbox       (capture*.c)
 *   push      outbox -> segments and a head in the store  (push*.c, stream.c)
 *   pull      heads and segments -> records               (pull.c)
 *   merge     records -> live database and state          (merge.c, apply*.c, write*.c, attach.c,
 *                                                          journal.c)
 */

#include "buf.h"
#include "engine.h"
#include "head.h"
#include "schema.h"
#include "sessions.h"
#include "state.h"

struct mb_file_lock;

struct mb_core_counts { /* of the operation that runs */
    int64_t inserted;
    int64_t updated;
    int64_t deleted;
    int64_t parked;
    int64_t conflicts;
    int64_t held_in;
};

struct mb_engine {
    struct mb_engine_config config; /* its texts are ours */
    const struct mb_env *env;
    char canonical_id[MB_CANONICAL_ID_SIZE];
    struct mb_file_lock *lock;
    struct mb_state *state;
    struct mb_db *live; /* NULL until mb_core_open_live() */
    struct mb_schema *schema;
    struct mb_sessions *sessions; /* as of the last capture, and kept true by our own writes */
    int64_t live_version;         /* PRAGMA data_version as of the last capture; -1: none yet */
    int64_t schema_version;       /* the same, as of the reading of `schema` */
    struct mb_core_counts counts;
    bool tells_captured; /* a push explains what was captured, a pull what it merges */
    bool is_rehearsal;   /* a dry run on copies: the store is only read */
};

/* Opens the live database and reads its schema. Its sessions are read by the capture, inside a
 * transaction. Repeating it is fine. Errors of mb_db_open and mb_schema_load. */
MB_MUST_USE int mb_core_open_live(struct mb_engine *engine, struct mb_error *err);
void mb_core_close_live(struct mb_engine *engine);

/* Reads schema and sessions again if another program has changed the database since. In a
 * transaction on it. */
MB_MUST_USE int mb_core_reload(struct mb_engine *engine, struct mb_error *err);

/* "projects/<canonical id>/<rest>"; given. */
char *mb_core_key(const struct mb_engine *engine, const char *format, ...) MB_PRINTF(2, 3);

int64_t mb_core_now(const struct mb_engine *engine);
MB_MUST_USE int mb_core_step(const struct mb_engine *engine, const char *name,
                             struct mb_error *err);
void mb_core_progress(const struct mb_engine *engine, enum mb_engine_phase phase, int64_t done,
                      int64_t total);

/* Tells on_change, if anybody listens. `title` may be NULL or any bytes; it is cleaned. */
void mb_core_change(const struct mb_engine *engine, enum mb_change_kind kind, int table,
                    const uint8_t id[static MB_ROW_ID_SIZE], const struct mb_value *title,
                    const char *why);
/* The same for what a capture finds. */
void mb_core_change_captured(const struct mb_engine *engine, enum mb_change_kind kind, int table,
                             const uint8_t id[static MB_ROW_ID_SIZE], const struct mb_value *title,
                             const char *why);

/* How many deletes at once are believed: the larger of 20 rows and 5 % of what is known alive
 * (no-mass-delete), without the newcomers that the same capture found. */
MB_MUST_USE int mb_core_delete_bound(struct mb_engine *engine, int64_t newcomers,
                                     int64_t *bound_out, struct mb_error *err);

#endif
