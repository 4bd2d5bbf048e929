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

struct rowids {
    int64_t *items;
    size_t count;
};

static void add_rowid(struct rowids *list, int64_t rowid)
{
    if ((list->count & (list->count - 1)) == 0) { /* at each power of two */
        list->items =
            mb_alloc_resize(list->items, list->count == 0 ? 1 : list->count * 2, sizeof(rowid));
    }
    list->items[list->count++] = rowid;
}

/* The rowids that a bound statement gives, sorted: ORDER BY would read the whole table, where a
 * narrow index has them all. */
static int read_rowids(struct mb_stmt *stmt, struct rowids *list, struct mb_error *err)
{
    int step;

    while ((step = mb_db_step(stmt, err)) == 1) {
        add_rowid(list, mb_db_int(stmt, 0));
    }
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof(*list->items), compare_int64);
    }
    return step;
}

static void add_gone(struct mb_capture_scan *scan, int64_t local, const uint8_t *id)
{
    scan->gone = mb_alloc_resize(scan->gone, scan->gone_count + 1, sizeof(*scan->gone));
    scan->gone[scan->gone_count].local = local;
    memcpy(scan->gone[scan->gone_count++].id, id, MB_ROW_ID_SIZE);
}

/* Walks the database's rowids above `after` and the map side by side; what is not mapped stays in
 * the list. The map has rows known alive, and dead ones to be removed. */
static int compare_with_map(struct mb_engine *engine, int table, int64_t after, struct rowids *list,
                            struct mb_capture_scan *scan, struct mb_error *err)
{
    static const char sql[] =
        "SELECT local, id, 0 FROM row WHERE tbl = ?1 AND local > ?2 "
        "UNION ALL SELECT local, id, 1 FROM undead WHERE tbl = ?1 AND local > ?2 ORDER BY 1";
    struct mb_stmt *stmt;
    size_t next = 0;
    size_t kept = 0;
    size_t size;
    int step;

    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, table);
    mb_db_bind_int(stmt, 2, after);
    while ((step = mb_db_step(stmt, err)) == 1) {
        int64_t local = mb_db_int(stmt, 0);
        while (next < list->count && list->items[next] < local) {
            list->items[kept++] = list->items[next++];
        }
        if (next < list->count && list->items[next] == local) {
            next++;
        } else if (mb_db_int(stmt, 2) == 0) {
            add_gone(scan, local, mb_db_blob(stmt, 1, &size));
        }
    }
    while (next < list->count) {
        list->items[kept++] = list->items[next++];
    }
    list->count = kept;
    return step;
}

static void clear_scan(struct mb_capture_scan *scan)
{
    free(scan->fresh);
    free(scan->gone);
    memset(scan, 0, sizeof(*scan));
}

static int scan_whole(struct mb_engine *engine, int table, struct mb_capture_scan *scan,
                      struct mb_error *err)
{
    struct rowids list = {NULL, 0};
    struct mb_stmt *stmt;
    int rc = mb_db_query(engine->live, engine->schema->tables[table].sql_ids, &stmt, err);

    if (rc == 0) {
        rc = read_rowids(stmt, &list, err);
    }
    if (rc == 0) {
        rc = compare_with_map(engine, table, INT64_MIN, &list, scan, err);
    }
    scan->is_whole = true;
    scan->fresh = list.items;
    scan->fresh_count = list.count;
    return rc;
}

/* Stubs of ours are unmapped: claude-mem may have made true sessions of them. */
static int add_stubs(struct mb_engine *engine, int64_t sequence, struct rowids *list,
                     struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db, "SELECT local FROM stub WHERE local <= ?1", &stmt, err) !=
        0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, sequence);
    return read_rowids(stmt, list, err);
}

/* Only what lies above the last sequence (which a killed merge may have mapped). *adds_up_out: then
 * none below is gone. */
static int scan_new(struct mb_capture *capture, int table, int64_t known_count,
                    struct mb_capture_scan *scan, bool *adds_up_out, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    struct rowids list = {NULL, 0};
    struct mb_stmt *stmt;
    int rc = mb_db_query(engine->live, engine->schema->tables[table].sql_new_ids, &stmt, err);

    if (rc == 0) {
        mb_db_bind_int(stmt, 1, capture->sequence[table]);
        rc = read_rowids(stmt, &list, err);
    }
    *adds_up_out = capture->row_count[table] == known_count + (int64_t)list.count;
    if (rc == 0) {
        rc = compare_with_map(engine, table, capture->sequence[table], &list, scan, err);
    }
    if (rc == 0 && table == MB_TABLE_SESSIONS) {
        rc = add_stubs(engine, capture->sequence[table], &list, err);
    }
    scan->fresh = list.items;
    scan->fresh_count = list.count;
    return rc;
}

static int scan_table(struct mb_capture *capture, int table, struct mb_error *err)
{
    struct mb_capture_scan *scan = &capture->scans[table];
    bool adds_up = false;
    int64_t known_count = 0;

    if (mb_capture_marks_table(capture, table, &known_count, err) != 0) {
        return -1;
    }
    if (!capture->is_whole && !capture->is_other) {
        if (!capture->is_touched[table]) {
            return 0;
        }
        if (scan_new(capture, table, known_count, scan, &adds_up, err) != 0) {
            return -1;
        }
        if (adds_up) {
            return 0;
        }
        clear_scan(scan);
    }
    return scan_whole(capture->engine, table, scan, err);
}

static int scan_tables(struct mb_capture *capture, struct mb_error *err)
{
    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        clear_scan(&capture->scans[table]);
        if (capture->engine->schema->tables[table].is_present &&
            scan_table(capture, table, err) != 0) {
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
        if (mb_db_run(stmt, err) != 0 || (mb_db_changes(engine->state->db) > 0 &&
                                          mb_capture_marks_forget(engine, table, err) != 0)) {
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

static int find_blank(struct mb_capture *capture, struct mb_error *err)
{
    int64_t knows = 0;

    if (mb_db_scalar(capture->engine->state->db,
                     "SELECT EXISTS(SELECT 1 FROM row) OR EXISTS(SELECT 1 FROM tomb) OR "
                     "EXISTS(SELECT 1 FROM loose)",
                     0, &knows, err) != 0) {
        return -1;
    }
    capture->is_blank = knows == 0;
    return 0;
}

static int capture_all(struct mb_capture *capture, struct mb_error *err)
{
    if (forget_out_of_reach(capture->engine, err) != 0 ||
        mb_capture_marks_check(capture, err) != 0) {
        return -1;
    }
    capture->is_whole = capture->is_whole || capture->is_first || capture->is_migrated ||
                        capture->options.accept_deletes;
    if (capture->is_first && find_blank(capture, err) != 0) {
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
    return mb_capture_regs_of_renamed(capture, err) != 0 ? -1 : mb_capture_gone_all(capture, err);
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
    const struct mb_capture_options *options = &capture->options;
    int64_t now = mb_core_now(capture->engine);
    int64_t last;
    bool is_wal = true;

    if (mb_core_reload(capture->engine, err) != 0 ||
        mb_state_get_int(capture->engine->state, "whole_look", 0, &last, err) != 0 ||
        (capture->options.may_breathe && mb_db_is_wal(capture->engine->live, &is_wal, err) != 0)) {
        return -1;
    }
    capture->is_whole =
        options->whole_every_ms > 0 && (now < last || now - last >= options->whole_every_ms);
    capture->breathes = !is_wal;
    capture->breath_ms = mb_core_now(capture->engine);
    return 0;
}

static int note_capture(struct mb_capture *capture, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;

    if ((capture->is_whole || capture->is_other) &&
        mb_state_set_int(engine->state, "whole_look", mb_core_now(engine), err) != 0) {
        return -1;
    }
    return mb_capture_note_marks(engine, err);
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
        rc = capture.has_breathed ? 0 : note_capture(&capture, err);
    }
    /* What we are about to publish must not be gone here after a power cut: the older value would
     * look like a change. The worker does not sync what it commits. */
    if (rc == 0 && engine->state->is_changed) {
        rc = mb_db_sync_wal(engine->live, err);
    }
    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        clear_scan(&capture.scans[table]);
    }
    free(capture.renamed);
    return rc;
}

int mb_capture_note_marks(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_capture_marks_save(engine, err) != 0) {
        return -1;
    }
    return mb_db_data_version(engine->live, &engine->live_version, err);
}
