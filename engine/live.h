/* SPDX-License-Identifier: MIT */
#ifndef MB_LIVE_H
#define MB_LIVE_H

/*
 * One row of the live database, seen through the profile: its identity, its registers, and the
 * record that it becomes.
 */

#include "core.h"
#include "identity.h"
#include "limits.h"

/* Equal rows of one database; more than these are left unsynced. */
#define MB_LIVE_COPIES_MAX 10000

struct mb_live_row {
    int table;
    const struct mb_schema_table *schema;
    int64_t rowid;
    int64_t created;                  /* milliseconds, for versions */
    const struct mb_session *session; /* its parent here, or NULL; for sessions: itself */
    bool is_excluded; /* a stub, or of the observer project: never leaves the machine */
    const uint8_t
        *first_id; /* its row id with copy number 0 where that is known already, or NULL */
    struct mb_value
        values[MB_LIMIT_COLUMNS]; /* by column of the schema; borrowed from the statement */
};

/* Fills the row from a statement of the table's sql_row or sql_scan that stands on a row. */
void mb_live_read(struct mb_engine *engine, int table, struct mb_stmt *stmt,
                  struct mb_live_row *row_out);

/* Reads one row. 1: found, and *stmt_out must be reset when the row is done with; 0; -1. */
MB_MUST_USE int mb_live_find(struct mb_engine *engine, int table, int64_t rowid,
                             struct mb_live_row *row_out, struct mb_stmt **stmt_out,
                             struct mb_error *err);

/* The row's id with this copy number. */
void mb_live_row_id(struct mb_engine *engine, const struct mb_live_row *row, int64_t copy,
                    uint8_t out[static MB_ROW_ID_SIZE]);

/* Its registers with initial versions. Values are borrowed from the row. References are found
 * through the sessions. */
MB_MUST_USE int mb_live_regs(struct mb_engine *engine, const struct mb_live_row *row,
                             struct mb_regs *regs_out, struct mb_error *err);

/* Fingerprint of (memory_session_id, content_hash), by which claude-mem knows duplicates; of a
 * session, of its memory_session_id, by which its children know it; 0: has none. */
int64_t mb_live_twin(const struct mb_live_row *row);
int64_t mb_live_twin_of(const struct mb_value *memory, const struct mb_value *hash);

/* The column to show it by; NULL if all are empty. */
const struct mb_value *mb_live_title(const struct mb_live_row *row);

/* The record of a whole row. Borrows from everything given; mb_live_record_release frees the
 * arrays. `extra`: columns that the database does not have (or NULL). 1 (and an empty record) if
 * the row no longer carries the identity that it had: somebody edited its text by hand. */
MB_MUST_USE int mb_live_record(struct mb_engine *engine, const struct mb_live_row *row,
                               const struct mb_state_row *known, const struct mb_record *extra,
                               struct mb_record *record_out, struct mb_error *err);
void mb_live_record_release(struct mb_record *record);

/* The record of some registers of a row: those whose bit is set. Likewise. */
void mb_live_registers_record(int table, const uint8_t id[static MB_ROW_ID_SIZE],
                              const struct mb_regs *regs, uint32_t mask,
                              struct mb_record *record_out);

/* A record's registers by the profile; unknown ones are left out. Borrows from the record. */
void mb_live_regs_of_record(int table, const struct mb_record *record, struct mb_regs *regs_out);

#endif
