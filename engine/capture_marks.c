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
#define VARINT_BYTES_MAX 9

static void make_key(char key[static KEY_MAX], const char *what, int table)
{
    (void)snprintf(key, KEY_MAX, "%s_%s", what, mb_profile_tables[table].name);
}

static int read_sequence(struct mb_engine *engine, int table, int64_t *sequence_out,
                         struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->live, "SELECT seq FROM sqlite_sequence WHERE name = ?1", &stmt, err) !=
        0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, mb_profile_tables[table].name);
    step = mb_db_step(stmt, err);
    *sequence_out = step == 1 ? mb_db_int(stmt, 0) : 0;
    mb_db_reset(stmt);
    return step < 0 ? -1 : 0;
}

static int get_mark(struct mb_engine *engine, const char *what, int table, int64_t *value_out,
                    struct mb_error *err)
{
    char key[KEY_MAX];

    make_key(key, what, table);
    return mb_state_get_int(engine->state, key, 0, value_out, err);
}

static int set_mark(struct mb_engine *engine, const char *what, int table, int64_t value,
                    struct mb_error *err)
{
    char key[KEY_MAX];

    make_key(key, what, table);
    return mb_state_set_int(engine->state, key, value, err);
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
    int64_t now;

    if (!capture->engine->schema->tables[table].is_present) {
        return 0;
    }
    if (get_mark(capture->engine, "seq", table, &capture->sequence[table], err) != 0 ||
        read_sequence(capture->engine, table, &now, err) != 0) {
        return -1;
    }
    if (now < capture->sequence[table]) {
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
    int64_t captured, inode, schema, inode_now;

    if (mb_state_get_int(state, "captured", 0, &captured, err) != 0 ||
        mb_state_get_int(state, "db_inode", 0, &inode, err) != 0 ||
        mb_state_get_int(state, "db_schema", 0, &schema, err) != 0 ||
        file_inode(engine, &inode_now, err) != 0) {
        return -1;
    }
    capture->is_first = captured == 0;
    if (capture->is_first) {
        return 0;
    }
    capture->is_migrated = schema != engine->schema->fingerprint;
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
 * means an untouched table, and the first varint of the averages is the number of its rows
 * (fts5_index.c, fts5_storage.c of SQLite). Rows that were never indexed do not matter: what is
 * compared is how far the count has moved.
 */
static int read_fts(struct mb_engine *engine, int table, int64_t *mark_out, int64_t *count_out,
                    struct mb_error *err)
{
    struct mb_stmt *stmt = NULL;
    char *sql = mb_alloc_format("SELECT block, id FROM %s_data WHERE id IN (1, 10) ORDER BY id",
                                mb_profile_tables[table].fts);
    uint64_t mark = MB_FINGERPRINT_START;
    uint64_t count = 0;
    int rc = mb_db_query(engine->live, sql, &stmt, err);
    int step = rc;

    while (rc == 0 && (step = mb_db_step(stmt, err)) == 1) {
        size_t size;
        const uint8_t *data = mb_db_blob(stmt, 0, &size);
        mark = mb_fingerprint_add(mark, &size, sizeof(size));
        mark = mb_fingerprint_add(mark, data, size);
        for (size_t i = 0; mb_db_int(stmt, 1) == 1 && i < size && i < VARINT_BYTES_MAX; i++) {
            count = count << 7 | (data[i] & 0x7f);
            if ((data[i] & 0x80) == 0) {
                break;
            }
        }
    }
    free(sql);
    *mark_out = mb_fingerprint_int64(mark);
    *count_out = (int64_t)(count & INT64_MAX);
    return step;
}

/* The table's mark (0: it has none that tells of every change) and its number of rows. */
static int read_table(struct mb_engine *engine, int table, int64_t *mark_out, int64_t *count_out,
                      struct mb_error *err)
{
    char *sql;
    int rc;

    if (engine->schema->tables[table].has_fts) {
        return read_fts(engine, table, mark_out, count_out, err);
    }
    *mark_out = 0;
    sql = mb_alloc_format("SELECT count(*) FROM %s", mb_profile_tables[table].name);
    rc = mb_db_scalar(engine->live, sql, 0, count_out, err);
    free(sql);
    return rc;
}

int mb_capture_marks_table(struct mb_capture *capture, int table, int64_t *known_count_out,
                           struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    int64_t mark, mark_now;

    if (get_mark(engine, "seq", table, &capture->sequence[table], err) != 0 ||
        get_mark(engine, "count", table, known_count_out, err) != 0 ||
        get_mark(engine, "fts", table, &mark, err) != 0 ||
        read_table(engine, table, &mark_now, &capture->row_count[table], err) != 0) {
        return -1;
    }
    capture->is_touched[table] = mark_now == 0 || mark != mark_now;
    return 0;
}

int mb_capture_marks_forget(struct mb_engine *engine, int table, struct mb_error *err)
{
    return set_mark(engine, "count", table, -1, err) != 0 ? -1
                                                          : set_mark(engine, "fts", table, 0, err);
}

static int save_table(struct mb_engine *engine, int table, struct mb_error *err)
{
    int64_t sequence, mark, count;

    if (read_sequence(engine, table, &sequence, err) != 0 ||
        read_table(engine, table, &mark, &count, err) != 0 ||
        set_mark(engine, "seq", table, sequence, err) != 0 ||
        set_mark(engine, "count", table, count, err) != 0) {
        return -1;
    }
    return set_mark(engine, "fts", table, mark, err);
}

int mb_capture_marks_save(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_state *state = engine->state;
    int64_t inode;

    if (file_inode(engine, &inode, err) != 0) {
        return -1;
    }
    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        if (engine->schema->tables[table].is_present && save_table(engine, table, err) != 0) {
            return -1;
        }
    }
    if (mb_state_set_int(state, "captured", 1, err) != 0 ||
        mb_state_set_int(state, "db_inode", inode, err) != 0) {
        return -1;
    }
    return mb_state_set_int(state, "db_schema", engine->schema->fingerprint, err);
}

/* ---- the files ---- */

/* "" if it was written too lately, or cannot be seen. */
static void add_file(const char *path, bool is_log, struct mb_capture_stamp *stamp)
{
    struct mb_file_stat info;
    struct mb_error err;
    size_t used = strlen(stamp->text);

    if (mb_file_stat(path, &info, &err) != 0) {
        if (err.code != MB_ERR_NOT_FOUND) {
            stamp->text[0] = '\0';
            return;
        }
        memset(&info, 0, sizeof(info));
    }
    if (is_log) { /* opened by root, SQLite gives it its owner again each time */
        info.changed_ns = info.modified_ns;
    }
    if (!mb_file_is_settled(&info)) {
        stamp->text[0] = '\0';
        return;
    }
    (void)snprintf(stamp->text + used, sizeof(stamp->text) - used, " %llu %llu %llu %lld %lld",
                   (unsigned long long)info.device, (unsigned long long)info.inode,
                   (unsigned long long)info.size, (long long)info.modified_ns,
                   (long long)info.changed_ns);
}

void mb_capture_read_stamp(const struct mb_engine *engine, struct mb_capture_stamp *stamp_out)
{
    char *path = mb_file_real_path(engine->config.db_path); /* SQLite puts the log beside that */
    char *log;

    stamp_out->text[0] = '\0';
    if (path == NULL) {
        return;
    }
    log = mb_alloc_format("%s-wal", path);
    (void)snprintf(stamp_out->text, sizeof(stamp_out->text), "1");
    add_file(path, false, stamp_out);
    if (stamp_out->text[0] != '\0') {
        add_file(log, true, stamp_out);
    }
    free(log);
    free(path);
}

int mb_capture_note_stamp(struct mb_engine *engine, const struct mb_capture_stamp *stamp,
                          struct mb_error *err)
{
    return mb_state_set_text(engine->state, "stamp", stamp->text, err);
}

int mb_capture_is_current(struct mb_engine *engine, int64_t whole_every_ms, bool *current_out,
                          struct mb_error *err)
{
    struct mb_capture_stamp stamp;
    int64_t now = mb_core_now(engine);
    int64_t in_flight = 0;
    int64_t last = 0;
    char *known = NULL;

    *current_out = false;
    mb_capture_read_stamp(engine, &stamp);
    if (stamp.text[0] == '\0') {
        return 0;
    }
    if (mb_state_get_text(engine->state, "stamp", &known, err) != 0 ||
        mb_state_get_int(engine->state, "whole_look", 0, &last, err) != 0 ||
        mb_db_scalar(engine->state->db, "SELECT EXISTS(SELECT 1 FROM journal WHERE in_flight)", 0,
                     &in_flight, err) != 0) {
        free(known);
        return -1;
    }
    *current_out = known != NULL && strcmp(known, stamp.text) == 0 && in_flight == 0 &&
                   now >= last && now - last < whole_every_ms;
    free(known);
    return 0;
}
