/* SPDX-License-Identifier: MIT */
#ifndef MB_STATE_H
#define MB_STATE_H

/*
 * state.db: what this machine knows of every row, and what it has still to do. A cache of the truth
 * plus the outbox (docs/DESIGN.md, "On the machine" says what its loss costs). The tables are in
 * state.c, with a line for each.
 *
 * All changes happen in a transaction between mb_state_begin() and mb_state_commit(); the logical
 * clock, the digest and the outbox's open block are kept in memory and written by the commit. After
 * a rollback they are as in the file.
 */

#include "db.h"
#include "digest.h"
#include "regs.h"

struct mb_state {
    struct mb_db *db;
    const struct mb_env *env;
    struct mb_digest *sha;
    uint8_t machine[MB_MACHINE_ID_SIZE];
    int64_t hlc;             /* greatest logical time seen or given */
    uint64_t digest[2];      /* sum modulo 2^128 over all rows known alive; high word first */
    struct mb_buf out_lines; /* records of the open block of the outbox */
    int64_t out_count;
    int64_t out_deletes; /* tombstones among them */
    bool is_changed;     /* hlc or digest differ from the file */
    bool is_stale;       /* what is above could not be read again after a rollback */
};

struct mb_state_row {
    uint8_t id[MB_ROW_ID_SIZE];
    int table; /* enum mb_profile_table_index */
    bool has_local;
    int64_t local;          /* its rowid in the live database */
    int64_t created;        /* version time of what was never seen to change */
    struct mb_version born; /* of its creation; a session may be made again after its tombstone */
    bool is_suppressed;     /* removed by claude-mem's own clean-up: no tombstone, not put back */
    int64_t twin;           /* mb_live_twin() */
    struct mb_regs regs;
};

/* Opens or makes <folder>/state.db. MB_ERR_NOT_SET_UP if read-only and there is none;
 * MB_ERR_CORRUPT; MB_ERR_FORMAT. */
MB_MUST_USE int mb_state_open(const char *folder, bool is_read_only, const struct mb_env *env,
                              struct mb_state **state_out, struct mb_error *err);
void mb_state_close(struct mb_state *state);

MB_MUST_USE int mb_state_begin(struct mb_state *state, struct mb_error *err);
MB_MUST_USE int mb_state_commit(struct mb_state *state, struct mb_error *err);
void mb_state_rollback(struct mb_state *state);

/* Settings and facts by name. */
MB_MUST_USE int mb_state_get_int(struct mb_state *state, const char *key, int64_t otherwise,
                                 int64_t *value_out, struct mb_error *err);
MB_MUST_USE int mb_state_set_int(struct mb_state *state, const char *key, int64_t value,
                                 struct mb_error *err);
MB_MUST_USE int mb_state_get_text(struct mb_state *state, const char *key, char **value_out,
                                  struct mb_error *err); /* given; NULL if absent */
MB_MUST_USE int mb_state_set_text(struct mb_state *state, const char *key, const char *value,
                                  struct mb_error *err);

/* A new random machine id: everything we publish from now on is a new stream. */
MB_MUST_USE int mb_state_new_machine(struct mb_state *state, struct mb_error *err);

/* Rows known alive. find: 1 found (release row_out->regs), 0 not, -1 error. */
MB_MUST_USE int mb_state_row_find(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                                  struct mb_state_row *row_out, struct mb_error *err);
MB_MUST_USE int mb_state_row_at(struct mb_state *state, int table, int64_t local,
                                struct mb_state_row *row_out, struct mb_error *err);
/* Rows of a table by local rowid, after one, ascending: begin, then next (1, 0, -1) until it is
 * not 1, or mb_db_reset. The state's rows must not be written meanwhile. */
MB_MUST_USE int mb_state_rows_begin(struct mb_state *state, int table, int64_t after,
                                    struct mb_stmt **stmt_out, struct mb_error *err);
MB_MUST_USE int mb_state_rows_next(struct mb_stmt *stmt, struct mb_state_row *row_out,
                                   struct mb_error *err);

/* The table that a column of the state names. MB_ERR_CORRUPT if there is no such table. */
MB_MUST_USE int mb_state_table(struct mb_stmt *stmt, int column, int *table_out,
                               struct mb_error *err);

/* Row id of a local rowid: 1, 0 or -1. */
MB_MUST_USE int mb_state_id_at(struct mb_state *state, int table, int64_t local,
                               uint8_t id_out[static MB_ROW_ID_SIZE], struct mb_error *err);
/* Writes a row that is not there yet; as put, for less. */
MB_MUST_USE int mb_state_row_add(struct mb_state *state, const struct mb_state_row *row,
                                 struct mb_error *err);
/* Writes the row (new or known) and keeps the digest. */
MB_MUST_USE int mb_state_row_put(struct mb_state *state, const struct mb_state_row *row,
                                 struct mb_error *err);
MB_MUST_USE int mb_state_row_remove(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                                    struct mb_error *err);

/* Tombstones, kept for good. find: 1, 0, -1. */
MB_MUST_USE int mb_state_tomb_find(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                                   struct mb_version *version_out, struct mb_error *err);
MB_MUST_USE int mb_state_tomb_put(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                                  int table, const struct mb_version *version, bool is_decided,
                                  struct mb_error *err);
MB_MUST_USE int mb_state_tomb_remove(struct mb_state *state,
                                     const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err);

/* Registers without their row: changes that came before it, and those of a dead session. take
 * removes them. */
MB_MUST_USE int mb_state_loose_merge(struct mb_state *state,
                                     const uint8_t id[static MB_ROW_ID_SIZE], int table,
                                     const struct mb_regs *regs, struct mb_error *err);
MB_MUST_USE int mb_state_loose_take(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                                    struct mb_regs *regs_out, struct mb_error *err); /* 1, 0, -1 */

/* Takes the greater of each register of `from` into `into` (values of `from` are borrowed by
 * `into`). True if that changed anything. */
bool mb_state_regs_raise(int table, struct mb_regs *into, const struct mb_regs *from);

/* The next version of ours: greater than `parent` (or NULL) and than all that was seen. */
struct mb_version mb_state_next_version(struct mb_state *state, const struct mb_version *parent);
void mb_state_see(struct mb_state *state, const struct mb_version *version);

/* Appends a record to the outbox (outbox-first: durable when the transaction commits). */
MB_MUST_USE int mb_state_out(struct mb_state *state, const struct mb_record *record,
                             struct mb_error *err);

void mb_state_digest_hex(const struct mb_state *state, char out[static 33]);

#endif
