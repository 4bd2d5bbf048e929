/* SPDX-License-Identifier: MIT */

#include "db.h"

#include "alloc.h"
#include "assert.h"
#include "db_code.h"
#include "db_neighbours.h"
#include "file.h"
#include "text.h"

#include <sqlite3.h>

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define BUSY_TIMEOUT_MS 5000
#define STATE_LOG_BYTES_KEPT (512 * (uint64_t)1024)
#define BACKUP_PAGES_PER_STEP 256
#define BACKUP_BUSY_RETRIES 200
#define BACKUP_BUSY_WAIT_MS 25

struct mb_stmt {
    struct mb_db *db;
    sqlite3_stmt *handle;
    char *sql;
    struct mb_stmt *next; /* in the connection's cache */
    bool is_stepping;
    uint8_t padded[MB_DB_BLOB_COLUMNS][MB_DB_BLOB_ROOM]; /* short BLOBs of the row */
};

struct mb_db {
    sqlite3 *handle;
    struct mb_stmt *cache;
    char *name;
    char *path;
    int last_code; /* extended result code of the last failure */
    enum mb_db_mode mode;
};

static int fail(struct mb_db *db, int sqlite_code, const char *what, struct mb_error *err)
{
    db->last_code = db->handle != NULL ? sqlite3_extended_errcode(db->handle) : sqlite_code;
    return mb_error_set(
        err, mb_db_code(db->handle, sqlite_code), "%s of %s '%s' failed: %s", what, db->name,
        db->path, db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(sqlite_code));
}

/* The first bytes tell a database from any other file better than SQLite's late "file is not a
 * database". */
static int check_file(const char *path, const char *name, bool may_be_made, struct mb_error *err)
{
    struct mb_file_stat info;
    struct mb_error ignored;

    if (mb_file_stat(path, &info, &ignored) != 0) {
        if (ignored.code == MB_ERR_NOT_FOUND) {
            if (may_be_made) {
                return 0;
            }
            return mb_error_set(err, MB_ERR_NO_DATABASE, "there is no file '%s' for %s", path,
                                name);
        }
        *err = ignored;
        return -1;
    }
    if (!info.is_regular) {
        return mb_error_set(err, MB_ERR_CORRUPT, "%s '%s' is not a regular file", name, path);
    }
    if (info.size == 0 && !may_be_made) {
        return mb_error_set(err, MB_ERR_NO_DATABASE, "%s '%s' is an empty file", name, path);
    }
    return 0;
}

static int configure(struct mb_db *db, enum mb_db_mode mode, struct mb_error *err)
{
    static const char state[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
                                "PRAGMA cache_size=-1000"; /* KiB */
    /* FTS5 of SQLite 3.40 writes much at each statement end: its journal belongs in memory. */
    static const char live[] = "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
                               "PRAGMA wal_autocheckpoint=0; PRAGMA recursive_triggers=OFF;"
                               /* What the state says was merged must not be gone after a power cut,
                                * whatever SQLite was built to do; without WAL that takes EXTRA. */
                               "PRAGMA synchronous=EXTRA";

    (void)sqlite3_extended_result_codes(db->handle, 1);
    (void)sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    if (mode != MB_DB_STATE) {
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    }
    if (mode == MB_DB_STATE) {
        return mb_db_exec(db, state, err);
    }
    if (mode == MB_DB_LIVE) {
        return mb_db_exec(db, live, err);
    }
    return mb_db_exec(db, "PRAGMA query_only=ON; PRAGMA temp_store=MEMORY", err);
}

int mb_db_open(const char *path, enum mb_db_mode mode, const char *name, struct mb_db **db_out,
               struct mb_error *err)
{
    struct mb_db *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    int64_t page_count = 0;
    int rc = -1;

    if (check_file(path, name, mode == MB_DB_STATE, err) != 0) {
        return -1;
    }
    db = mb_alloc_zeroed(1, sizeof(*db));
    db->name = mb_alloc_text(name);
    db->path = mb_alloc_text(path);
    db->mode = mode;
    if (mode == MB_DB_STATE && !mb_file_exists(path) &&
        mb_file_replace(path, "", 0, 0600, err) != 0) {
        goto out;
    }
    rc = sqlite3_open_v2(path, &db->handle, flags, NULL);
    if (rc != SQLITE_OK) {
        rc = fail(db, rc, "opening", err);
        goto out;
    }
    rc = -1;
    if (configure(db, mode, err) != 0) {
        goto out;
    }
    /* The first read finds out whether it is a database at all. */
    if (mb_db_scalar(db, "SELECT count(*) FROM sqlite_master", 0, &page_count, err) != 0) {
        goto out;
    }
    *db_out = db;
    db = NULL;
    rc = 0;
out:
    mb_db_close(db);
    return rc;
}

/* live-safe: the WAL of a database that others have open stays theirs. A path of SQLite's, because
 * it follows links. */
static int leave_to_neighbours(struct mb_db *db)
{
    const char *path = db->handle != NULL ? sqlite3_db_filename(db->handle, "main") : NULL;
    bool found = false;
    int fd = -1;

    if (db->mode == MB_DB_LIVE && path != NULL && path[0] != '\0') {
        fd = mb_db_neighbours_look(path, &found);
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, (int)found,
                                (int *)NULL);
    }
    return fd;
}

/* A short run leaves its few pages in the log, where the next one finds them: a checkpoint would
 * cost it three more syncs. */
static void keep_short_log(struct mb_db *db)
{
    char *path = mb_alloc_format("%s-wal", db->path);
    struct mb_file_stat info;
    struct mb_error ignored;

    if (mb_file_stat(path, &info, &ignored) == 0 && info.size <= STATE_LOG_BYTES_KEPT) {
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    }
    free(path);
}

void mb_db_close(struct mb_db *db)
{
    int fd = -1;

    if (db == NULL) {
        return;
    }
    if (db->mode == MB_DB_STATE) {
        keep_short_log(db);
    }
    while (db->cache != NULL) {
        struct mb_stmt *stmt = db->cache;
        db->cache = stmt->next;
        mb_db_finalize(stmt);
    }
    fd = leave_to_neighbours(db);
    (void)sqlite3_close_v2(db->handle);
    mb_db_neighbours_release(fd);
    free(db->name);
    free(db->path);
    free(db);
}

int mb_db_exec(struct mb_db *db, const char *sql, struct mb_error *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : fail(db, rc, "a statement", err);
}

int mb_db_begin(struct mb_db *db, struct mb_error *err)
{
    int64_t ignored;

    if (mb_db_exec(db, "BEGIN", err) != 0) {
        return -1;
    }
    if (mb_db_scalar(db, "SELECT count(*) FROM sqlite_master", 0, &ignored, err) != 0) {
        mb_db_rollback(db);
        return -1;
    }
    return 0;
}

int mb_db_begin_write(struct mb_db *db, struct mb_error *err)
{
    return mb_db_exec(db, "BEGIN IMMEDIATE", err);
}

int mb_db_commit(struct mb_db *db, struct mb_error *err)
{
    return mb_db_exec(db, "COMMIT", err);
}

void mb_db_rollback(struct mb_db *db)
{
    if (db != NULL && mb_db_in_transaction(db)) {
        for (struct mb_stmt *stmt = db->cache; stmt != NULL; stmt = stmt->next) {
            mb_db_reset(stmt);
        }
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}

bool mb_db_in_transaction(const struct mb_db *db)
{
    return sqlite3_get_autocommit(db->handle) == 0;
}

int mb_db_prepare(struct mb_db *db, const char *sql, struct mb_stmt **stmt_out,
                  struct mb_error *err)
{
    sqlite3_stmt *handle = NULL;
    struct mb_stmt *stmt;
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, NULL);

    if (rc != SQLITE_OK) {
        return fail(db, rc, "preparing a statement", err);
    }
    stmt = mb_alloc_zeroed(1, sizeof(*stmt));
    stmt->db = db;
    stmt->handle = handle;
    stmt->sql = mb_alloc_text(sql);
    *stmt_out = stmt;
    return 0;
}

void mb_db_finalize(struct mb_stmt *stmt)
{
    if (stmt != NULL) {
        (void)sqlite3_finalize(stmt->handle);
        free(stmt->sql);
        free(stmt);
    }
}

int mb_db_query(struct mb_db *db, const char *sql, struct mb_stmt **stmt_out, struct mb_error *err)
{
    struct mb_stmt **link = &db->cache;

    for (struct mb_stmt *stmt = db->cache; stmt != NULL; link = &stmt->next, stmt = stmt->next) {
        if (strcmp(stmt->sql, sql) == 0) {
            MB_ASSERT(!stmt->is_stepping);
            *link = stmt->next; /* to the front: what is used often is found soon */
            stmt->next = db->cache;
            db->cache = stmt;
            (void)sqlite3_clear_bindings(stmt->handle);
            *stmt_out = stmt;
            return 0;
        }
    }
    if (mb_db_prepare(db, sql, stmt_out, err) != 0) {
        return -1;
    }
    (*stmt_out)->next = db->cache;
    db->cache = *stmt_out;
    return 0;
}

void mb_db_bind_null(struct mb_stmt *stmt, int index)
{
    (void)sqlite3_bind_null(stmt->handle, index);
}

void mb_db_bind_int(struct mb_stmt *stmt, int index, int64_t value)
{
    (void)sqlite3_bind_int64(stmt->handle, index, value);
}

void mb_db_bind_text(struct mb_stmt *stmt, int index, const char *text)
{
    (void)sqlite3_bind_text(stmt->handle, index, text, -1, SQLITE_TRANSIENT);
}

void mb_db_bind_blob(struct mb_stmt *stmt, int index, const void *data, size_t size)
{
    (void)sqlite3_bind_blob64(stmt->handle, index, size == 0 ? "" : data, size, SQLITE_TRANSIENT);
}

void mb_db_bind_blob_borrowed(struct mb_stmt *stmt, int index, const void *data, size_t size)
{
    (void)sqlite3_bind_blob64(stmt->handle, index, size == 0 ? "" : data, size, SQLITE_STATIC);
}

void mb_db_bind_value(struct mb_stmt *stmt, int index, const struct mb_value *value)
{
    const char *text = value->size == 0 ? "" : (const char *)value->data;

    switch (value->type) {
    case MB_VALUE_INTEGER: (void)sqlite3_bind_int64(stmt->handle, index, value->integer); break;
    case MB_VALUE_REAL: (void)sqlite3_bind_double(stmt->handle, index, value->real); break;
    case MB_VALUE_TEXT:
        (void)sqlite3_bind_text64(stmt->handle, index, text, value->size, SQLITE_TRANSIENT,
                                  SQLITE_UTF8);
        break;
    case MB_VALUE_BLOB: mb_db_bind_blob(stmt, index, value->data, value->size); break;
    case MB_VALUE_NULL:
    default: (void)sqlite3_bind_null(stmt->handle, index); break;
    }
}

int mb_db_step(struct mb_stmt *stmt, struct mb_error *err)
{
    int rc = sqlite3_step(stmt->handle);

    if (rc == SQLITE_ROW) {
        stmt->is_stepping = true;
        return 1;
    }
    stmt->is_stepping = false;
    if (rc != SQLITE_DONE) {
        (void)fail(stmt->db, rc, "a statement", err);
        (void)sqlite3_reset(stmt->handle);
        return -1;
    }
    (void)sqlite3_reset(stmt->handle);
    return 0;
}

int mb_db_run(struct mb_stmt *stmt, struct mb_error *err)
{
    int rc = mb_db_step(stmt, err);

    MB_ASSERT(rc != 1);
    return rc;
}

void mb_db_reset(struct mb_stmt *stmt)
{
    if (stmt != NULL) {
        stmt->is_stepping = false;
        (void)sqlite3_reset(stmt->handle);
    }
}

int64_t mb_db_int(struct mb_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt->handle, column);
}

const char *mb_db_text(struct mb_stmt *stmt, int column)
{
    return (const char *)sqlite3_column_text(stmt->handle, column);
}

const uint8_t *mb_db_blob(struct mb_stmt *stmt, int column, size_t *size_out)
{
    const uint8_t *data = sqlite3_column_blob(stmt->handle, column);
    size_t size = (size_t)sqlite3_column_bytes(stmt->handle, column);
    uint8_t *padded;

    *size_out = size;
    if (size >= MB_DB_BLOB_ROOM) {
        return data;
    }
    MB_ASSERT(column >= 0 && column < MB_DB_BLOB_COLUMNS);
    padded = stmt->padded[column];
    memset(padded, 0, MB_DB_BLOB_ROOM);
    if (size > 0) {
        memcpy(padded, data, size);
    }
    return padded;
}

bool mb_db_is_null(struct mb_stmt *stmt, int column)
{
    return sqlite3_column_type(stmt->handle, column) == SQLITE_NULL;
}

void mb_db_value(struct mb_stmt *stmt, int column, struct mb_value *value_out)
{
    memset(value_out, 0, sizeof(*value_out));
    switch (sqlite3_column_type(stmt->handle, column)) {
    case SQLITE_INTEGER:
        value_out->type = MB_VALUE_INTEGER;
        value_out->integer = sqlite3_column_int64(stmt->handle, column);
        break;
    case SQLITE_FLOAT:
        value_out->type = MB_VALUE_REAL;
        value_out->real = sqlite3_column_double(stmt->handle, column);
        break;
    case SQLITE_TEXT:
        value_out->type = MB_VALUE_TEXT;
        value_out->data = sqlite3_column_text(stmt->handle, column);
        value_out->size = (size_t)sqlite3_column_bytes(stmt->handle, column);
        break;
    case SQLITE_BLOB:
        value_out->type = MB_VALUE_BLOB;
        value_out->data = sqlite3_column_blob(stmt->handle, column);
        value_out->size = (size_t)sqlite3_column_bytes(stmt->handle, column);
        break;
    default: value_out->type = MB_VALUE_NULL; break;
    }
}

int mb_db_column_count(struct mb_stmt *stmt)
{
    return sqlite3_column_count(stmt->handle);
}

int mb_db_scalar(struct mb_db *db, const char *sql, int64_t otherwise, int64_t *value_out,
                 struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(db, sql, &stmt, err) != 0) {
        return -1;
    }
    step = mb_db_step(stmt, err);
    if (step < 0) {
        return -1;
    }
    *value_out = step == 1 && !mb_db_is_null(stmt, 0) ? mb_db_int(stmt, 0) : otherwise;
    mb_db_reset(stmt);
    return 0;
}

int64_t mb_db_last_rowid(const struct mb_db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

int64_t mb_db_changes(const struct mb_db *db)
{
    return sqlite3_changes64(db->handle);
}

bool mb_db_failed_constraint(const struct mb_db *db)
{
    return (db->last_code & 0xff) == SQLITE_CONSTRAINT;
}

int mb_db_is_wal(struct mb_db *db, bool *wal_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(db, "PRAGMA journal_mode", &stmt, err) != 0) {
        return -1;
    }
    step = mb_db_step(stmt, err);
    *wal_out = step == 1 && mb_db_text(stmt, 0) != NULL && strcmp(mb_db_text(stmt, 0), "wal") == 0;
    mb_db_reset(stmt);
    return step < 0 ? -1 : 0;
}

int mb_db_sync_wal(struct mb_db *db, struct mb_error *err)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&file);

    if (rc == SQLITE_OK && file != NULL && file->pMethods != NULL) {
        rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    }
    return rc == SQLITE_OK ? 0 : fail(db, rc, "syncing the log", err);
}

int mb_db_data_version(struct mb_db *db, int64_t *version_out, struct mb_error *err)
{
    return mb_db_scalar(db, "PRAGMA data_version", 0, version_out, err);
}

bool mb_db_has_wal_reset_fix(void)
{
    int version = sqlite3_libversion_number();

    return version >= 3051003 || (version >= 3050007 && version < 3051000) ||
           (version >= 3044006 && version < 3045000);
}

const char *mb_db_library_version(void)
{
    return sqlite3_libversion();
}

static int copy_pages(sqlite3_backup *backup, sqlite3 *target, const struct mb_env *env,
                      struct mb_error *err)
{
    int busy_count = 0;

    for (;;) {
        int rc = sqlite3_backup_step(backup, BACKUP_PAGES_PER_STEP);
        if (rc == SQLITE_DONE) {
            return 0;
        }
        if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
            if (++busy_count > BACKUP_BUSY_RETRIES) {
                return mb_error_set(err, MB_ERR_BUSY,
                                    "copying the database was kept waiting too long");
            }
            env->sleep_ms(env->context, BACKUP_BUSY_WAIT_MS);
        } else if (rc != SQLITE_OK) {
            return mb_error_set(err, mb_db_code(target, rc), "copying the database failed: %s",
                                sqlite3_errstr(rc));
        }
        if (mb_env_step(env, "backup-page", err) != 0) {
            return -1;
        }
    }
}

int mb_db_backup(struct mb_db *db, const char *path, const struct mb_env *env, struct mb_error *err)
{
    sqlite3 *target = NULL;
    sqlite3_backup *backup = NULL;
    char *parent = mb_file_parent(path);
    char *journal = mb_alloc_format("%s-journal", path);
    int rc = -1;

    /* Made by us, so that nobody else may read it; SQLite would ask the umask. */
    if (mb_file_replace(path, "", 0, 0600, err) != 0) {
        goto out;
    }
    if (sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_exec(target, "PRAGMA synchronous=FULL", NULL, NULL, NULL) != SQLITE_OK) {
        (void)mb_error_set(err, mb_db_code(target, sqlite3_errcode(target)),
                           "cannot write the copy '%s': %s", path, sqlite3_errmsg(target));
        goto out;
    }
    backup = sqlite3_backup_init(target, "main", db->handle, "main");
    if (backup == NULL) {
        (void)mb_error_set(err, MB_ERR_FAILED, "cannot start the copy '%s': %s", path,
                           sqlite3_errmsg(target));
        goto out;
    }
    if (copy_pages(backup, target, env, err) != 0) {
        goto out;
    }
    rc = 0;
out:
    (void)sqlite3_backup_finish(backup);
    (void)sqlite3_close_v2(target);
    if (rc == 0) {
        rc = mb_file_sync_folder(parent, err);
    }
    if (rc != 0) {
        struct mb_error ignored;
        (void)mb_error_wrap(err, "making the backup '%s'", path);
        MB_IGNORE(mb_file_remove(path, &ignored));
        MB_IGNORE(mb_file_remove(journal, &ignored));
    }
    free(journal);
    free(parent);
    return rc;
}
