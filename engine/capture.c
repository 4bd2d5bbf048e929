/* SPDX-License-Identifier: MIT */

#include "capture.h"

#include "alloc.h"
#include "assert.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Without WAL, a reader keeps the writer waiting: a long capture lets it through so often. */
#define BREATH_MS 200
#define BREATH_PAUSE_MS 20

static int compare_int64(const void *a, const void *b)
{
    int64_t left, right;

    memcpy(&left, a, sizeof(left));
    memcpy(&right, b, sizeof(right));
    return left < right ? -1 : left > right;
}

/* All rowids in one pass over the narrowest index, sorted afterwards: ORDER BY would read the whole
 * table. */
static int read_ids(struct mb_engine *engine, int table, struct mb_capture_scan *scan,
                    struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t capacity = 0;
    int step;

    if (mb_db_query(engine->live, engine->schema->tables[table].sql_ids, &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        if (scan->id_count == capacity) {
            capacity = capacity == 0 ? 1024 : capacity * 2;
            scan->ids = mb_alloc_resize(scan->ids, capacity, sizeof(*scan->ids));
        }
        scan->ids[scan->id_count++] = mb_db_int(stmt, 0);
    }
    if (scan->id_count > 0) {
        qsort(scan->ids, scan->id_count, sizeof(*scan->ids), compare_int64);
    }
    return step;
}

static void add_fresh(struct mb_capture_scan *scan, int64_t rowid)
{
    if ((scan->fresh_count & (scan->fresh_count - 1)) == 0) { /* at each power of two */
        size_t capacity = scan->fresh_count == 0 ? 1 : scan->fresh_count * 2;
        scan->fresh = mb_alloc_resize(scan->fresh, capacity, sizeof(*scan->fresh));
    }
    scan->fresh[scan->fresh_count++] = rowid;
}

static void add_gone(struct mb_capture_scan *scan, int64_t local, const uint8_t *id)
{
    scan->gone = mb_alloc_resize(scan->gone, scan->gone_count + 1, sizeof(*scan->gone));
    scan->gone[scan->gone_count].local = local;
    memcpy(scan->gone[scan->gone_count++].id, id, MB_ROW_ID_SIZE);
}

/* Walks the database's rowids and the map side by side. The map has rows known alive, and dead ones
 * to be removed. */
static int compare_with_map(struct mb_engine *engine, int table, struct mb_capture_scan *scan,
                            struct mb_error *err)
{
    static const char sql[] = "SELECT local, id, 0 FROM row WHERE tbl = ?1 AND local IS NOT NULL "
                              "UNION ALL SELECT local, id, 1 FROM undead WHERE tbl = ?1 ORDER BY 1";
    struct mb_stmt *stmt;
    size_t next = 0;
    size_t size;
    int step;

    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, table);
    while ((step = mb_db_step(stmt, err)) == 1) {
        int64_t local = mb_db_int(stmt, 0);
        while (next < scan->id_count && scan->ids[next] < local) {
            add_fresh(scan, scan->ids[next++]);
        }
        if (next < scan->id_count && scan->ids[next] == local) {
            next++;
        } else if (mb_db_int(stmt, 2) == 0) {
            add_gone(scan, local, mb_db_blob(stmt, 1, &size));
        }
    }
    while (next < scan->id_count) {
        add_fresh(scan, scan->ids[next++]);
    }
    return step;
}

static void clear_scan(struct mb_capture_scan *scan)
{
    free(scan->ids);
    free(scan->fresh);
    free(scan->gone);
    memset(scan, 0, sizeof(*scan));
}

static int scan_tables(struct mb_capture *capture, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;

    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        struct mb_capture_scan *scan = &capture->scans[table];
        clear_scan(scan);
        if (!engine->schema->tables[table].is_present) {
            continue;
        }
        if (!capture->is_first && !capture->is_other && !capture->is_migrated &&
            mb_capture_marks_table_unchanged(capture, table, &scan->is_skipped, err) != 0) {
            return -1;
        }
        if (!scan->is_skipped && (read_ids(engine, table, scan, err) != 0 ||
                                  compare_with_map(engine, table, scan, err) != 0)) {
            return -1;
        }
    }
    return 0;
}

/* Forgets where rows are, not what they are. What is read again from the store brings back what is
 * missing. */
static int forget_map(struct mb_capture *capture, struct mb_error *err)
{
    static const char sql[] =
        "UPDATE row SET local = NULL WHERE local IS NOT NULL; DELETE FROM undead;"
        "DELETE FROM stub; DELETE FROM held_out; DELETE FROM applied; DELETE FROM seen";
    struct mb_engine *engine = capture->engine;

    mb_log_trace("engine", "event=another-database heal=1");
    if (mb_db_exec(engine->state->db, sql, err) != 0 ||
        mb_state_set_int(engine->state, "heal", 1, err) != 0 ||
        mb_state_set_int(engine->state, "backup_wanted", 1, err) != 0) {
        return -1;
    }
    return mb_core_reload(engine, err); /* stubs stand for nobody any more */
}

/* A table that is switched off, or that an older claude-mem lacks, is out of reach: its rows are
 * known and not here, so that nothing is written to them. Back in reach it is looked through like
 * another database's. */
static int forget_out_of_reach(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;

    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        if (engine->schema->tables[table].is_present) {
            continue;
        }
        if (mb_db_query(engine->state->db,
                        "UPDATE row SET local = NULL WHERE tbl = ?1 AND local IS NOT NULL", &stmt,
                        err) != 0) {
            return -1;
        }
        mb_db_bind_int(stmt, 1, table);
        if (mb_db_run(stmt, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int find_other(struct mb_capture *capture, struct mb_error *err)
{
    for (int table = 0; table < MB_TABLE_COUNT && !capture->is_other && !capture->is_first;
         table++) {
        if (mb_capture_rows_reappeared(capture, table, &capture->is_other, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int capture_all(struct mb_capture *capture, struct mb_error *err)
{
    if (forget_out_of_reach(capture->engine, err) != 0 ||
        mb_capture_marks_check(capture, err) != 0) {
        return -1;
    }
    if (capture->is_other && forget_map(capture, err) != 0) {
        return -1;
    }
    if (scan_tables(capture, err) != 0) {
        return -1;
    }
    if (!capture->is_other) {
        if (find_other(capture, err) != 0) {
            return -1;
        }
        if (capture->is_other &&
            (forget_map(capture, err) != 0 || scan_tables(capture, err) != 0)) {
            return -1;
        }
    }
    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        if (capture->engine->schema->tables[table].is_present &&
            mb_capture_rows_add(capture, table, err) != 0) {
            return -1;
        }
    }
    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        if (capture->engine->schema->tables[table].is_present &&
            mb_capture_regs_scan(capture, table, err) != 0) {
            return -1;
        }
    }
    return mb_capture_gone_all(capture, err);
}

int mb_capture_breathe(struct mb_capture *capture, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    int64_t now;

    if (!capture->breathes) {
        return 0;
    }
    now = mb_core_now(engine);
    if (now >= capture->breath_ms && now - capture->breath_ms < BREATH_MS) {
        return 0;
    }
    mb_db_rollback(engine->live);
    engine->env->sleep_ms(engine->env->context, BREATH_PAUSE_MS);
    capture->has_breathed = true;
    capture->breath_ms = mb_core_now(engine);
    return mb_db_begin(engine->live, err);
}

static int prepare(struct mb_capture *capture, struct mb_error *err)
{
    bool is_wal = true;

    if (mb_core_reload(capture->engine, err) != 0 ||
        (capture->options.may_breathe && mb_db_is_wal(capture->engine->live, &is_wal, err) != 0)) {
        return -1;
    }
    capture->breathes = !is_wal;
    capture->breath_ms = mb_core_now(capture->engine);
    return 0;
}

int mb_capture_run(struct mb_engine *engine, const struct mb_capture_options *options,
                   bool *breathed_out, struct mb_error *err)
{
    struct mb_capture capture = {.engine = engine, .options = *options};
    int64_t version = 0;
    int rc = -1;

    MB_ASSERT(mb_db_in_transaction(engine->live) && mb_db_in_transaction(engine->state->db));
    *breathed_out = false;
    if (mb_db_data_version(engine->live, &version, err) != 0) {
        return -1;
    }
    if (version == engine->live_version && !options->accept_deletes) {
        return 0; /* nobody but us has written since the last capture */
    }
    if (prepare(&capture, err) == 0 && capture_all(&capture, err) == 0) {
        *breathed_out = capture.has_breathed;
        rc = capture.has_breathed ? 0 : mb_capture_note_marks(engine, err);
    }
    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        clear_scan(&capture.scans[table]);
    }
    return rc;
}

int mb_capture_note_marks(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_capture_marks_save(engine, err) != 0) {
        return -1;
    }
    return mb_db_data_version(engine->live, &engine->live_version, err);
}
