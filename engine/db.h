/* SPDX-License-Identifier: MIT */
#ifndef MB_DB_H
#define MB_DB_H

/*
 * SQLite, as much of it as we need: a connection, cached statements, binding and reading by type,
 * errors as sentences. db.c and db_*.c are the only files that include <sqlite3.h>.
 *
 * A statement comes from mb_db_query() by its SQL text, reset and unbound; it stays cached in the
 * connection, so it must not be used by two loops at once (asserted: a statement that is still
 * stepping is not handed out again). Loops over rows end with a step that gives 0 or -1, or with
 * mb_db_reset().
 *
 * Errors: MB_ERR_BUSY (another program holds the write lock beyond the busy timeout),
 * MB_ERR_NO_SPACE, MB_ERR_CORRUPT (damaged or not a database), MB_ERR_DENIED (read-only, no
 * permission), MB_ERR_FAILED with SQLite's own sentence.
 */

#include "env.h"
#include "record.h"

struct mb_db;
struct mb_stmt;

enum mb_db_mode {
    MB_DB_STATE = 1, /* ours: made if missing, WAL, synchronous FULL */
    /* claude-mem's: never made; foreign keys on, defensive, no checkpoint of ours, busy timeout
     * 5 s */
    MB_DB_LIVE,
    MB_DB_READ, /* either, for reading only */
};

/* `name` is how messages call it ("the database", "the state"). MB_ERR_NO_DATABASE if a file that
 * may not be made is missing. The file's first bytes are checked: MB_ERR_CORRUPT for what is not
 * SQLite. */
MB_MUST_USE int mb_db_open(const char *path, enum mb_db_mode mode, const char *name,
                           struct mb_db **db_out, struct mb_error *err);
void mb_db_close(struct mb_db *db); /* NULL is fine; an open transaction is rolled back */

MB_MUST_USE int mb_db_exec(struct mb_db *db, const char *sql, struct mb_error *err);

/* begin: a read transaction (its snapshot is taken at once); begin_write: BEGIN IMMEDIATE. */
MB_MUST_USE int mb_db_begin(struct mb_db *db, struct mb_error *err);
MB_MUST_USE int mb_db_begin_write(struct mb_db *db, struct mb_error *err);
MB_MUST_USE int mb_db_commit(struct mb_db *db, struct mb_error *err);
void mb_db_rollback(struct mb_db *db); /* fine without a transaction */
bool mb_db_in_transaction(const struct mb_db *db);

MB_MUST_USE int mb_db_query(struct mb_db *db, const char *sql, struct mb_stmt **stmt_out,
                            struct mb_error *err);
/* For SQL built at run time: not cached; finalized by mb_db_finalize(). */
MB_MUST_USE int mb_db_prepare(struct mb_db *db, const char *sql, struct mb_stmt **stmt_out,
                              struct mb_error *err);
void mb_db_finalize(struct mb_stmt *stmt); /* NULL is fine */

/* Parameters count from 1. Data is copied. */
void mb_db_bind_null(struct mb_stmt *stmt, int index);
void mb_db_bind_int(struct mb_stmt *stmt, int index, int64_t value);
void mb_db_bind_text(struct mb_stmt *stmt, int index, const char *text); /* NULL binds NULL */
/* Not copied: must stay until the statement has run or was reset. */
void mb_db_bind_blob_borrowed(struct mb_stmt *stmt, int index, const void *data, size_t size);
void mb_db_bind_blob(struct mb_stmt *stmt, int index, const void *data, size_t size);
void mb_db_bind_value(struct mb_stmt *stmt, int index, const struct mb_value *value);

/* 1: a row; 0: done (and reset); -1: error (and reset). */
MB_MUST_USE int mb_db_step(struct mb_stmt *stmt, struct mb_error *err);
/* Runs a statement that gives no rows. */
MB_MUST_USE int mb_db_run(struct mb_stmt *stmt, struct mb_error *err);
void mb_db_reset(struct mb_stmt *stmt);

/* Columns count from 0. What is borrowed lives until the next step or reset. */
int64_t mb_db_int(struct mb_stmt *stmt, int column);
const char *mb_db_text(struct mb_stmt *stmt, int column); /* NULL for NULL */
/* At least MB_DB_BLOB_ROOM bytes may be read: behind a shorter BLOB (or NULL) there are zeros, so
 * that an id in a damaged state is a wrong one and nothing worse. column is below
 * MB_DB_BLOB_COLUMNS. */
const uint8_t *mb_db_blob(struct mb_stmt *stmt, int column, size_t *size_out);
#define MB_DB_BLOB_ROOM 16
#define MB_DB_BLOB_COLUMNS 16
bool mb_db_is_null(struct mb_stmt *stmt, int column);
void mb_db_value(struct mb_stmt *stmt, int column, struct mb_value *value_out);
int mb_db_column_count(struct mb_stmt *stmt);

/* One integer from a query without parameters; `otherwise` if it gives no row or NULL. */
MB_MUST_USE int mb_db_scalar(struct mb_db *db, const char *sql, int64_t otherwise,
                             int64_t *value_out, struct mb_error *err);

int64_t mb_db_last_rowid(const struct mb_db *db);
int64_t mb_db_changes(const struct mb_db *db); /* rows of the last INSERT, UPDATE or DELETE */
/* Was the last error of this connection a constraint (UNIQUE, NOT NULL, CHECK, foreign key)? */
bool mb_db_failed_constraint(const struct mb_db *db);
/* Is the database in WAL mode (readers and the writer do not wait for each other)? */
MB_MUST_USE int mb_db_is_wal(struct mb_db *db, bool *wal_out, struct mb_error *err);
/* Makes durable what other programs have committed and not synced (WAL, synchronous NORMAL). After
 * a read in the transaction. */
MB_MUST_USE int mb_db_sync_wal(struct mb_db *db, struct mb_error *err);
/* Changes whenever another connection has committed (PRAGMA data_version). */
MB_MUST_USE int mb_db_data_version(struct mb_db *db, int64_t *version_out, struct mb_error *err);

/* Lets our closing checkpoint the live database where that is safe (docs/DESIGN.md, "the WAL-reset
 * bug"). */
bool mb_db_has_wal_reset_fix(void);
const char *mb_db_library_version(void);

/* A consistent copy into a new file by the backup API. Works while others write. The copy is
 * complete and synced when this returns 0; on failure nothing is left at path. */
MB_MUST_USE int mb_db_backup(struct mb_db *db, const char *path, const struct mb_env *env,
                             struct mb_error *err);

#endif
