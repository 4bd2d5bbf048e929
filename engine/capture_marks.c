/* SPDX-License-Identifier: MIT */

/*
 * The marks of a database: what it looked like when it was last captured, in the state's meta
 * table. They tell an unchanged table from a changed one, and our database from another.
 */

#include "alloc.h"
#include "capture.h"
#include "file.h"
#include "fingerprint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define SAMPLE_LOW 2
#define SAMPLE_HIGH 3
#define SAMPLE_COPIES 64
#define KEY_MAX 64

static void make_key(char key[static KEY_MAX], const char *what, int table)
{
    (void)snprintf(key, KEY_MAX, "%s_%s", what, mb_profile_tables[table].name);
}

int mb_capture_marks_sequence(struct mb_engine *engine, int table, int64_t *captured_out,
                              int64_t *now_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    char key[KEY_MAX];
    int step;

    make_key(key, "seq", table);
    if (mb_state_get_int(engine->state, key, 0, captured_out, err) != 0 ||
        mb_db_query(engine->live, "SELECT seq FROM sqlite_sequence WHERE name = ?1", &stmt, err) !=
            0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, mb_profile_tables[table].name);
    step = mb_db_step(stmt, err);
    *now_out = step == 1 ? mb_db_int(stmt, 0) : 0;
    mb_db_reset(stmt);
    return step < 0 ? -1 : 0;
}

/* Does the row that the map has at this rowid still carry its identity? A row that is gone tells
 * nothing. */
static int is_itself(struct mb_engine *engine, int table, int64_t local,
                     const uint8_t id[static MB_ROW_ID_SIZE], bool *itself_out,
                     struct mb_error *err)
{
    struct mb_live_row row;
    struct mb_stmt *stmt;
    uint8_t found[MB_ROW_ID_SIZE];
    int step = mb_live_find(engine, table, local, &row, &stmt, err);

    *itself_out = true;
    if (step != 1) {
        return step;
    }
    *itself_out = false;
    for (int64_t copy = 0; copy < SAMPLE_COPIES && !*itself_out; copy++) {
        mb_live_row_id(engine, &row, copy, found);
        *itself_out = memcmp(found, id, MB_ROW_ID_SIZE) == 0;
    }
    mb_db_reset(stmt);
    return 0;
}

static int check_sample(struct mb_capture *capture, int table, const char *sql, int count,
                        struct mb_error *err)
{
    struct mb_capture_gone sample[SAMPLE_HIGH];
    struct mb_stmt *stmt;
    int found = 0;
    size_t size;
    int step;

    if (mb_db_query(capture->engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, table);
    while (found < count && (step = mb_db_step(stmt, err)) == 1) {
        sample[found].local = mb_db_int(stmt, 0);
        memcpy(sample[found++].id, mb_db_blob(stmt, 1, &size), MB_ROW_ID_SIZE);
    }
    mb_db_reset(stmt);
    for (int i = 0; i < found && !capture->is_other; i++) {
        bool itself;
        if (is_itself(capture->engine, table, sample[i].local, sample[i].id, &itself, err) != 0) {
            return -1;
        }
        capture->is_other = !itself;
    }
    return 0;
}

static int check_table(struct mb_capture *capture, int table, struct mb_error *err)
{
    int64_t captured, now;

    if (!capture->engine->schema->tables[table].is_present) {
        return 0;
    }
    if (mb_capture_marks_sequence(capture->engine, table, &captured, &now, err) != 0) {
        return -1;
    }
    if (now < captured) {
        capture->is_other = true;
        return 0;
    }
    if (check_sample(
            capture, table,
            "SELECT local, id FROM row WHERE tbl = ?1 AND local IS NOT NULL ORDER BY local DESC",
            SAMPLE_HIGH, err) != 0) {
        return -1;
    }
    return check_sample(
        capture, table,
        "SELECT local, id FROM row WHERE tbl = ?1 AND local IS NOT NULL ORDER BY local", SAMPLE_LOW,
        err);
}

/* The names by which children find their session: if they stand, references stand. */
static int sessions_fingerprint(struct mb_engine *engine, int64_t *fingerprint_out,
                                struct mb_error *err)
{
    struct mb_stmt *stmt;
    uint64_t sum = 0;
    int step;

    if (mb_db_query(engine->live,
                    "SELECT id, memory_session_id, content_session_id FROM sdk_sessions", &stmt,
                    err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        int64_t rowid = mb_db_int(stmt, 0);
        uint64_t row = mb_fingerprint_add(MB_FINGERPRINT_START, &rowid, sizeof(rowid));
        row = mb_fingerprint_add_text(row, mb_db_text(stmt, 1));
        sum += mb_fingerprint_add_text(row, mb_db_text(stmt, 2)); /* order does not matter */
    }
    *fingerprint_out = mb_fingerprint_int64(sum);
    return step;
}

static int file_inode(struct mb_engine *engine, int64_t *inode_out, struct mb_error *err)
{
    struct mb_file_stat info;

    if (mb_file_stat(engine->config.db_path, &info, err) != 0) {
        return -1;
    }
    *inode_out = (int64_t)(info.inode & INT64_MAX);
    return 0;
}

int mb_capture_marks_check(struct mb_capture *capture, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    struct mb_state *state = engine->state;
    int64_t captured, inode, schema, sessions;
    int64_t inode_now, sessions_now;

    if (mb_state_get_int(state, "captured", 0, &captured, err) != 0 ||
        mb_state_get_int(state, "db_inode", 0, &inode, err) != 0 ||
        mb_state_get_int(state, "db_schema", 0, &schema, err) != 0 ||
        mb_state_get_int(state, "db_sessions", 0, &sessions, err) != 0 ||
        file_inode(engine, &inode_now, err) != 0 ||
        sessions_fingerprint(engine, &sessions_now, err) != 0) {
        return -1;
    }
    capture->is_first = captured == 0;
    if (capture->is_first) {
        return 0;
    }
    capture->is_migrated = schema != engine->schema->fingerprint;
    capture->is_quiet_sessions = sessions == sessions_now;
    /* A device number alone changes with every mount of some file systems. */
    capture->is_other = inode != inode_now;
    for (int table = 0; table < MB_TABLE_COUNT && !capture->is_other; table++) {
        if (check_table(capture, table, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/*
 * FTS5 keeps two records that move with the table: its averages (id 1: row count and sizes) and its
 * structure (id 10: a counter of writes). Where claude-mem's triggers stand, an unchanged pair
 * means an untouched table.
 */
static int fts_mark(struct mb_engine *engine, int table, int64_t *mark_out, struct mb_error *err)
{
    struct mb_stmt *stmt = NULL;
    char *sql = mb_alloc_format("SELECT block FROM %s_data WHERE id IN (1, 10) ORDER BY id",
                                mb_profile_tables[table].fts);
    uint64_t mark = MB_FINGERPRINT_START;
    int rc = mb_db_prepare(engine->live, sql, &stmt, err);
    int step = rc;

    while (rc == 0 && (step = mb_db_step(stmt, err)) == 1) {
        size_t size;
        const uint8_t *data = mb_db_blob(stmt, 0, &size);
        mark = mb_fingerprint_add(mark, &size, sizeof(size));
        mark = mb_fingerprint_add(mark, data, size);
    }
    mb_db_finalize(stmt);
    free(sql);
    *mark_out = mb_fingerprint_int64(mark);
    return step;
}

int mb_capture_marks_table_unchanged(struct mb_capture *capture, int table, bool *unchanged_out,
                                     struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;
    char key[KEY_MAX];
    int64_t now = mb_core_now(capture->engine);
    int64_t mark, mark_now, left, whole;

    *unchanged_out = false;
    capture->is_touched[table] = true;
    if (capture->options.accept_deletes || !capture->is_quiet_sessions ||
        !capture->engine->schema->tables[table].has_fts) {
        return 0;
    }
    make_key(key, "fts", table);
    if (mb_state_get_int(state, key, 0, &mark, err) != 0 ||
        fts_mark(capture->engine, table, &mark_now, err) != 0) {
        return -1;
    }
    capture->is_touched[table] = mark != mark_now;
    make_key(key, "sweep_left", table);
    if (mb_state_get_int(state, key, 0, &left, err) != 0) {
        return -1;
    }
    make_key(key, "regs_whole", table);
    if (mb_state_get_int(state, key, 0, &whole, err) != 0) {
        return -1;
    }
    *unchanged_out =
        mark == mark_now && left == 0 && now >= whole && now - whole < MB_CAPTURE_WHOLE_EVERY_MS;
    return 0;
}

static int save_table(struct mb_engine *engine, int table, struct mb_error *err)
{
    char key[KEY_MAX];
    int64_t captured, now, mark;

    if (mb_capture_marks_sequence(engine, table, &captured, &now, err) != 0) {
        return -1;
    }
    make_key(key, "seq", table);
    if (mb_state_set_int(engine->state, key, now, err) != 0) {
        return -1;
    }
    if (!engine->schema->tables[table].has_fts) {
        return 0;
    }
    make_key(key, "fts", table);
    if (fts_mark(engine, table, &mark, err) != 0) {
        return -1;
    }
    return mb_state_set_int(engine->state, key, mark, err);
}

int mb_capture_marks_save(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_state *state = engine->state;
    int64_t inode, sessions;

    if (file_inode(engine, &inode, err) != 0 || sessions_fingerprint(engine, &sessions, err) != 0) {
        return -1;
    }
    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        if (engine->schema->tables[table].is_present && save_table(engine, table, err) != 0) {
            return -1;
        }
    }
    if (mb_state_set_int(state, "captured", 1, err) != 0 ||
        mb_state_set_int(state, "db_inode", inode, err) != 0 ||
        mb_state_set_int(state, "db_sessions", sessions, err) != 0) {
        return -1;
    }
    return mb_state_set_int(state, "db_schema", engine->schema->fingerprint, err);
}
