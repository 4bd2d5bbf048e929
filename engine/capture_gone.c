/* SPDX-License-Identifier: MIT */

/*
 * Mapped rows that are gone. Who removed them decides: claude-mem's own clean-up (no tombstone, not
 * put back), a person (a tombstone), or something that nobody may have meant (a mass delete: held
 * until a person releases it; no-mass-delete).
 */

#include "alloc.h"
#include "capture.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct gone {
    int table;
    struct mb_capture_gone row;
    bool is_held; /* since an earlier capture */
};

struct gone_list {
    struct gone *items;
    size_t count;
};

static int is_held(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE], bool *held_out,
                   struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(state->db, "SELECT 1 FROM held_out WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    step = mb_db_step(stmt, err);
    mb_db_reset(stmt);
    *held_out = step == 1;
    return step < 0 ? -1 : 0;
}

/* A row that vanished under one rowid and stands under another was not deleted: its mapping has
 * moved meanwhile. */
static int collect(struct mb_capture *capture, struct gone_list *list, struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;

    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        const struct mb_capture_scan *scan = &capture->scans[table];
        for (size_t i = 0; i < scan->gone_count; i++) {
            struct mb_state_row row;
            struct gone *item;
            int found = mb_state_row_find(state, scan->gone[i].id, &row, err);
            bool stays = found == 1 && row.has_local && row.local == scan->gone[i].local;
            if (found == 1) {
                mb_regs_release(&row.regs);
            }
            if (found < 0) {
                return -1;
            }
            if (!stays) {
                continue;
            }
            list->items = mb_alloc_resize(list->items, list->count + 1, sizeof(*list->items));
            item = &list->items[list->count];
            item->table = table;
            item->row = scan->gone[i];
            if (is_held(state, item->row.id, &item->is_held, err) != 0) {
                return -1;
            }
            list->count++;
        }
    }
    return 0;
}

/* Removed by claude-mem itself: other machines keep theirs, nobody puts it back here. */
static int suppress(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                    struct mb_error *err)
{
    struct mb_state_row row;
    int found = mb_state_row_find(state, id, &row, err);
    int rc;

    if (found != 1) {
        return found;
    }
    row.has_local = false;
    row.is_suppressed = true;
    rc = mb_state_row_put(state, &row, err);
    mb_regs_release(&row.regs);
    return rc;
}

static int compare_twins(const void *a, const void *b)
{
    int64_t left, right;

    memcpy(&left, a, sizeof(left));
    memcpy(&right, b, sizeof(right));
    return left < right ? -1 : left > right;
}

/* Twin fingerprints of all observations that stand, sorted. Only read when something vanished. */
static int read_twins(struct mb_engine *engine, int64_t **twins_out, size_t *count_out,
                      struct mb_error *err)
{
    struct mb_stmt *stmt = NULL;
    int64_t *twins = NULL;
    size_t count = 0;
    size_t capacity = 0;
    int step;

    if (mb_db_prepare(engine->live, engine->schema->tables[MB_TABLE_OBSERVATIONS].sql_light, &stmt,
                      err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, INT64_MIN);
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_live_row row;
        mb_live_read(engine, MB_TABLE_OBSERVATIONS, stmt, &row);
        if (count == capacity) {
            capacity = capacity == 0 ? 1024 : capacity * 2;
            twins = mb_alloc_resize(twins, capacity, sizeof(*twins));
        }
        twins[count++] = mb_live_twin(&row);
    }
    mb_db_finalize(stmt);
    if (count > 0) {
        qsort(twins, count, sizeof(*twins), compare_twins);
    }
    *twins_out = twins;
    *count_out = count;
    return step;
}

/* Takes out of the list what claude-mem removed because its twin is still there. */
static int take_twins(struct mb_capture *capture, struct gone_list *list, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    int64_t *twins = NULL;
    size_t twin_count = 0;
    size_t kept = 0;
    int rc = -1;

    if (read_twins(engine, &twins, &twin_count, err) != 0) {
        goto out;
    }
    for (size_t i = 0; i < list->count; i++) {
        struct mb_state_row row;
        bool has_twin = false;
        /* What is held vanished before: a twin that stands now came later, and tells nothing. */
        if (list->items[i].table == MB_TABLE_OBSERVATIONS && !list->items[i].is_held) {
            if (mb_state_row_find(engine->state, list->items[i].row.id, &row, err) != 1) {
                goto out;
            }
            has_twin = row.twin != 0 && twin_count > 0 &&
                       bsearch(&row.twin, twins, twin_count, sizeof(*twins), compare_twins) != NULL;
            mb_regs_release(&row.regs);
        }
        if (has_twin) {
            if (suppress(engine->state, list->items[i].row.id, err) != 0) {
                goto out;
            }
        } else {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
    rc = 0;
out:
    free(twins);
    return rc;
}

static int hold(struct mb_engine *engine, const struct gone *item, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db, "INSERT OR IGNORE INTO held_out(id) VALUES(?1)", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, item->row.id, MB_ROW_ID_SIZE);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    mb_core_change_captured(engine, MB_CHANGE_HOLD, item->table, item->row.id, NULL,
                            "deleted here with many others: waits for your decision");
    return 0;
}

static int bury(struct mb_engine *engine, const struct gone *item, bool is_decided,
                struct mb_error *err)
{
    struct mb_state *state = engine->state;
    struct mb_state_row row;
    struct mb_record record;
    int found = mb_state_row_find(state, item->row.id, &row, err);
    int rc = -1;

    if (found != 1) {
        return found;
    }
    memset(&record, 0, sizeof(record));
    record.kind = MB_RECORD_DELETE;
    record.table = mb_profile_tables[item->table].name;
    memcpy(record.row_id, item->row.id, MB_ROW_ID_SIZE);
    record.version = mb_state_next_version(state, &row.born);
    record.is_decided = is_decided;
    if (item->table == MB_TABLE_SESSIONS &&
        mb_state_loose_merge(state, item->row.id, item->table, &row.regs, err) != 0) {
        goto out;
    }
    if (mb_state_row_remove(state, item->row.id, err) != 0 ||
        mb_state_tomb_put(state, item->row.id, item->table, &record.version, is_decided, err) !=
            0 ||
        mb_state_out(state, &record, err) != 0) {
        goto out;
    }
    mb_core_change_captured(engine, MB_CHANGE_DELETE, item->table, item->row.id, NULL,
                            "deleted on this machine");
    rc = 0;
out:
    mb_regs_release(&row.regs);
    return rc;
}

/* What was held and has come back, or is no longer known, is held no more. Tables that were not
 * looked at keep theirs. */
static int release_returned(struct mb_capture *capture, struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;

    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        struct mb_stmt *stmt;
        if (!capture->scans[table].is_whole) {
            continue;
        }
        if (mb_db_query(
                state->db,
                "DELETE FROM held_out WHERE id IN (SELECT h.id FROM held_out AS h JOIN row AS r ON "
                "r.id = h.id WHERE r.tbl = ?1 AND r.suppressed)",
                &stmt, err) != 0) {
            return -1;
        }
        mb_db_bind_int(stmt, 1, table);
        if (mb_db_run(stmt, err) != 0) {
            return -1;
        }
    }
    return mb_db_exec(state->db, "DELETE FROM held_out WHERE id NOT IN (SELECT id FROM row)", err);
}

static int release_present(struct mb_capture *capture, struct mb_error *err)
{
    struct mb_stmt *list, *drop;
    struct mb_state *state = capture->engine->state;
    int step;

    if (mb_db_query(state->db,
                    "SELECT h.id, r.tbl, r.local FROM held_out AS h JOIN row AS r ON r.id = h.id",
                    &list, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(list, err)) == 1) {
        const struct mb_capture_scan *scan;
        int64_t local = mb_db_int(list, 2);
        bool is_gone;
        size_t size;
        int table;
        if (mb_state_table(list, 1, &table, err) != 0) {
            mb_db_reset(list);
            return -1;
        }
        scan = &capture->scans[table];
        is_gone = !scan->is_whole;
        for (size_t i = 0; i < scan->gone_count && !is_gone; i++) {
            is_gone = scan->gone[i].local == local;
        }
        if (is_gone) {
            continue;
        }
        if (mb_db_query(state->db, "DELETE FROM held_out WHERE id = ?1", &drop, err) != 0) {
            return -1;
        }
        mb_db_bind_blob(drop, 1, mb_db_blob(list, 0, &size), MB_ROW_ID_SIZE);
        if (mb_db_run(drop, err) != 0) {
            return -1;
        }
    }
    return step;
}

static int weigh(struct mb_capture *capture, const struct gone_list *list, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    int64_t bound = 0;
    int64_t held = 0;
    int64_t fresh;
    bool accepts_held = capture->options.accept_deletes;
    bool accepts_fresh;
    bool holds_fresh;

    for (size_t i = 0; i < list->count; i++) {
        held += list->items[i].is_held ? 1 : 0;
    }
    if (mb_core_delete_bound(engine, capture->published, &bound, err) != 0) {
        return -1;
    }
    fresh = (int64_t)list->count - held;
    /* A person accepts what was shown, or, where nothing was held yet, what was just done. What is
     * held is not weighed again when the database has grown; new deletes beside it add to the
     * mass. */
    accepts_fresh = accepts_held && held == 0;
    holds_fresh = !accepts_fresh && (accepts_held ? fresh : (int64_t)list->count) > bound;
    for (size_t i = 0; i < list->count; i++) {
        const struct gone *item = &list->items[i];
        int rc = 0;
        if (item->is_held) {
            rc = accepts_held ? bury(engine, item, true, err) : 0;
        } else {
            rc = holds_fresh ? hold(engine, item, err)
                             : bury(engine, item, accepts_fresh && fresh > bound, err);
        }
        if (rc != 0) {
            return -1;
        }
    }
    return 0;
}

int mb_capture_gone_all(struct mb_capture *capture, struct mb_error *err)
{
    struct gone_list list = {NULL, 0};
    int rc = -1;

    if (collect(capture, &list, err) != 0) {
        goto out;
    }
    if (capture->is_migrated) {
        for (size_t i = 0; i < list.count; i++) {
            if (suppress(capture->engine->state, list.items[i].row.id, err) != 0) {
                goto out;
            }
        }
        list.count = 0;
    }
    if (list.count > 0 && take_twins(capture, &list, err) != 0) {
        goto out;
    }
    if (list.count > 0 && weigh(capture, &list, err) != 0) {
        goto out;
    }
    if (release_returned(capture, err) != 0 || release_present(capture, err) != 0) {
        goto out;
    }
    rc = mb_db_exec(capture->engine->state->db,
                    "DELETE FROM undead WHERE id NOT IN (SELECT id FROM tomb)", err);
out:
    free(list.items);
    return rc;
}
