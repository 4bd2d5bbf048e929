/* SPDX-License-Identifier: MIT */

/*
 * Rows that are not mapped: new ones, known ones in another place, and dead ones that came back.
 *
 * Equal rows are copies, numbered from 0. A number once given stays; a new copy takes the lowest
 * free one. Among several at once, the session decides who gets which, so that clones number alike.
 * When the map is rebuilt, known living ids are given out first.
 */

#include "alloc.h"
#include "assert.h"
#include "capture.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct candidate {
    int64_t rowid;
    uint8_t first_id[MB_ROW_ID_SIZE]; /* with copy number 0: equal for equal rows */
    uint8_t session[MB_ROW_ID_SIZE];  /* zeros if it has none */
    uint8_t id[MB_ROW_ID_SIZE];
    bool has_id;
};

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    int order = memcmp(left->first_id, right->first_id, MB_ROW_ID_SIZE);

    if (order == 0) {
        order = memcmp(left->session, right->session, MB_ROW_ID_SIZE);
    }
    if (order == 0) {
        order = left->rowid < right->rowid ? -1 : left->rowid > right->rowid;
    }
    return order;
}

static bool is_present(const struct mb_capture_scan *scan, int64_t rowid)
{
    size_t low = 0;
    size_t high = scan->id_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (scan->ids[middle] == rowid) {
            return true;
        }
        if (scan->ids[middle] < rowid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

enum id_class { ID_TAKEN, ID_ALIVE, ID_DEAD, ID_UNKNOWN };

/* What the state says of an id: taken by a row that stands, known without one, dead, or never
 * seen. */
static int classify(struct mb_capture *capture, int table, const uint8_t id[static MB_ROW_ID_SIZE],
                    enum id_class *class_out, struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;
    struct mb_state_row row;
    struct mb_version version;
    int found = mb_state_row_find(state, id, &row, err);

    if (found == 1) {
        bool stands = row.has_local && is_present(&capture->scans[table], row.local);
        *class_out = stands ? ID_TAKEN : ID_ALIVE;
        mb_regs_release(&row.regs);
        return 0;
    }
    if (found == 0) {
        found = mb_state_tomb_find(state, id, &version, err);
        *class_out = found == 1 ? ID_DEAD : ID_UNKNOWN;
    }
    return found < 0 ? -1 : 0;
}

struct id_pool {
    uint8_t (*ids)[MB_ROW_ID_SIZE];
    size_t count;
};

/* Gathers, for `want` rows that are all equal to the one at rowid, the ids that they may get,
 * lowest numbers first. */
static int gather_ids(struct mb_capture *capture, int table, int64_t rowid, size_t want,
                      struct id_pool pools[static ID_UNKNOWN + 1], struct mb_error *err)
{
    struct mb_live_row row;
    struct mb_stmt *stmt = NULL;
    int step = mb_live_find(capture->engine, table, rowid, &row, &stmt, err);
    int rc = -1;

    if (step != 1) {
        return step < 0
                   ? -1
                   : mb_error_set(err, MB_ERR_FAILED, "a row vanished while it was being read");
    }
    for (int64_t copy = 0; copy < MB_LIVE_COPIES_MAX && pools[ID_UNKNOWN].count < want; copy++) {
        uint8_t id[MB_ROW_ID_SIZE];
        enum id_class class;
        mb_live_row_id(capture->engine, &row, copy, id);
        if (classify(capture, table, id, &class, err) != 0) {
            goto out;
        }
        if (class != ID_TAKEN && pools[class].count < want) {
            memcpy(pools[class].ids[pools[class].count++], id, MB_ROW_ID_SIZE);
        }
    }
    rc = 0;
out:
    mb_db_reset(stmt);
    return rc;
}

/* Numbers a group of equal rows. Known living ids first; on a rebuild the dead ones before new
 * ones, so that a dead row that stands in the other database stays dead. */
static int number_group(struct mb_capture *capture, int table, struct candidate *group,
                        size_t count, struct mb_error *err)
{
    bool is_rebuild = capture->is_other || capture->is_first;
    const enum id_class order[3] = {ID_ALIVE, is_rebuild ? ID_DEAD : ID_UNKNOWN,
                                    is_rebuild ? ID_UNKNOWN : ID_TAKEN};
    struct id_pool pools[ID_UNKNOWN + 1] = {
        {NULL, 0}
    };
    size_t next = 0;
    int rc = -1;

    for (int i = 0; i <= ID_UNKNOWN; i++) {
        pools[i].ids = mb_alloc_zeroed(count, MB_ROW_ID_SIZE);
    }
    if (gather_ids(capture, table, group[0].rowid, count, pools, err) != 0) {
        goto out;
    }
    for (int i = 0; i < 3; i++) {
        for (size_t k = 0; k < pools[order[i]].count && next < count; k++) {
            memcpy(group[next].id, pools[order[i]].ids[k], MB_ROW_ID_SIZE);
            group[next++].has_id = true;
        }
    }
    rc = 0;
out:
    for (int i = 0; i <= ID_UNKNOWN; i++) {
        free(pools[i].ids);
    }
    return rc;
}

static int number_all(struct mb_capture *capture, int table, struct candidate *list, size_t count,
                      struct mb_error *err)
{
    bool is_unique = mb_profile_tables[table].is_unique;

    if (count > 0) {
        qsort(list, count, sizeof(*list), compare_candidates);
    }
    for (size_t start = 0; start < count;) {
        size_t end = start + 1;
        enum id_class class = ID_UNKNOWN;
        while (end < count &&
               memcmp(list[end].first_id, list[start].first_id, MB_ROW_ID_SIZE) == 0) {
            end++;
        }
        if ((end - start == 1 || is_unique) &&
            classify(capture, table, list[start].first_id, &class, err) != 0) {
            return -1;
        }
        if (is_unique || (end - start == 1 && (class == ID_UNKNOWN || class == ID_ALIVE))) {
            /* Of several rows of one unique identity only one is synced. */
            memcpy(list[start].id, list[start].first_id, MB_ROW_ID_SIZE);
            list[start].has_id = class != ID_TAKEN;
        } else if (number_group(capture, table, list + start, end - start, err) != 0) {
            return -1;
        }
        start = end;
    }
    return 0;
}

/* Reads the unmapped rows of a table; those that never leave the machine are left out. */
static int list_candidates(struct mb_capture *capture, int table, struct candidate **list_out,
                           size_t *count_out, struct mb_error *err)
{
    const struct mb_capture_scan *scan = &capture->scans[table];
    struct candidate *list = mb_alloc_zeroed(scan->fresh_count + 1, sizeof(*list));
    size_t count = 0;

    for (size_t i = 0; i < scan->fresh_count; i++) {
        struct mb_live_row row;
        struct mb_stmt *stmt;
        struct candidate *item = &list[count];
        int step = mb_capture_breathe(capture, err) != 0
                       ? -1
                       : mb_live_find(capture->engine, table, scan->fresh[i], &row, &stmt, err);
        if (step < 0) {
            free(list);
            return -1;
        }
        if (step == 1 && !row.is_excluded) {
            item->rowid = row.rowid;
            mb_live_row_id(capture->engine, &row, 0, item->first_id);
            if (row.session != NULL && row.session->has_id) {
                memcpy(item->session, row.session->id, MB_ROW_ID_SIZE);
            }
            count++;
        }
        if (step == 1) {
            mb_db_reset(stmt);
        }
    }
    *list_out = list;
    *count_out = count;
    return 0;
}

/* A second row of an identity that is unique is left unsynced, and tells nothing. */
static int is_newcomer(struct mb_capture *capture, const struct mb_live_row *row, bool *found_out,
                       struct mb_error *err)
{
    uint8_t id[MB_ROW_ID_SIZE];
    enum id_class class = ID_UNKNOWN;

    mb_live_row_id(capture->engine, row, 0, id);
    if (mb_profile_tables[row->table].is_unique &&
        classify(capture, row->table, id, &class, err) != 0) {
        return -1;
    }
    *found_out = class != ID_TAKEN;
    return 0;
}

int mb_capture_rows_reappeared(struct mb_capture *capture, int table, bool *found_out,
                               struct mb_error *err)
{
    const struct mb_capture_scan *scan = &capture->scans[table];
    int64_t captured, now;

    if (!capture->engine->schema->tables[table].is_present || scan->fresh_count == 0) {
        return 0;
    }
    if (mb_capture_marks_sequence(capture->engine, table, &captured, &now, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < scan->fresh_count && scan->fresh[i] <= captured && !*found_out; i++) {
        struct mb_live_row row;
        struct mb_stmt *stmt;
        int step = mb_live_find(capture->engine, table, scan->fresh[i], &row, &stmt, err);
        if (step < 0) {
            return -1;
        }
        if (step == 1) {
            int rc = row.is_excluded ? 0 : is_newcomer(capture, &row, found_out, err);
            mb_db_reset(stmt);
            if (rc != 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int take_off_shelf(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                          struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(state->db, "DELETE FROM shelf WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    return mb_db_run(stmt, err);
}

/* A known row in a new place. Where its registers differ, its values are old ones: they fill what
 * nobody set, and are otherwise written over by the next merge. */
static int rejoin(struct mb_capture *capture, const struct mb_live_row *row,
                  struct mb_state_row *known, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    const struct mb_version oldest = {0, {0}};
    struct mb_regs local;
    uint32_t changed = 0;
    int rc = -1;

    if (mb_live_regs(engine, row, &local, err) != 0) {
        return -1;
    }
    for (size_t i = 0; row->schema->profile->registers[i].name != NULL; i++) {
        struct mb_reg *mine = &local.items[i];
        struct mb_reg *kept = &known->regs.items[i];
        enum mb_profile_rule rule = row->schema->profile->registers[i].rule;
        kept->is_dirty = false;
        if (!mine->is_present || mb_regs_same_value(mine, kept)) {
            continue;
        }
        mine->version = mine->parent = oldest;
        if (mb_regs_compare(rule, mine, kept) > 0) {
            *kept = *mine;
            changed |= 1u << i;
        } else if (rule != MB_RULE_LONGEST) {
            kept->is_dirty = true;
            kept->seen = mb_regs_fingerprint(mine);
        }
    }
    known->has_local = true;
    known->local = row->rowid;
    known->is_suppressed = false;
    known->twin = mb_live_twin(row);
    if (take_off_shelf(engine->state, known->id, err) != 0 ||
        mb_state_row_put(engine->state, known, err) != 0) {
        goto out;
    }
    rc = 0;
    if (changed != 0) {
        struct mb_record record;
        mb_live_registers_record(row->table, known->id, &known->regs, changed, &record);
        rc = mb_state_out(engine->state, &record, err);
        mb_live_record_release(&record);
    }
out:
    mb_regs_release(&local);
    return rc;
}

static int mark_undead(struct mb_engine *engine, const struct mb_live_row *row,
                       const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db,
                    "INSERT OR REPLACE INTO undead(tbl, local, id) VALUES(?1, ?2, ?3)", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, row->table);
    mb_db_bind_int(stmt, 2, row->rowid);
    mb_db_bind_blob(stmt, 3, id, MB_ROW_ID_SIZE);
    return mb_db_run(stmt, err);
}

/* Known values that the row does not hold are written by the next merge. True if one of them is a
 * text that is known by its hash alone: the streams have to be read again for it. */
static bool mark_waiting(struct mb_regs *known, const struct mb_regs *local)
{
    bool is_text_wanted = false;

    for (size_t i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        struct mb_reg *reg = &known->items[i];
        if (reg->is_present && local->items[i].is_present &&
            !mb_regs_same_value(reg, &local->items[i])) {
            reg->is_dirty = true;
            reg->seen = mb_regs_fingerprint(&local->items[i]);
            is_text_wanted = is_text_wanted || (reg->is_hashed && reg->value.data == NULL);
        }
    }
    return is_text_wanted;
}

/* A row that this state has never seen (or a session that is made again): into the map and the
 * outbox. */
static int publish(struct mb_capture *capture, const struct mb_live_row *row,
                   const uint8_t id[static MB_ROW_ID_SIZE], const struct mb_version *born,
                   struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    struct mb_state_row known;
    struct mb_regs local, loose;
    struct mb_record record;
    bool is_text_wanted;
    int found;
    int rc = -1;

    memset(&known, 0, sizeof(known));
    memset(&record, 0, sizeof(record));
    mb_regs_init(&loose);
    if (mb_live_regs(engine, row, &local, err) != 0) {
        return -1;
    }
    memcpy(known.id, id, MB_ROW_ID_SIZE);
    known.table = row->table;
    known.has_local = true;
    known.local = row->rowid;
    known.created = row->created;
    known.born = *born;
    known.twin = mb_live_twin(row);
    known.regs = local;
    known.regs.owned = NULL;
    found = mb_state_loose_take(engine->state, id, &loose, err);
    if (found < 0) {
        goto out;
    }
    (void)mb_state_regs_raise(row->table, &known.regs, &loose);
    is_text_wanted = mark_waiting(&known.regs, &local);
    if (is_text_wanted && mb_state_set_int(engine->state, "heal", 1, err) != 0) {
        goto out;
    }
    if (mb_state_row_put(engine->state, &known, err) != 0 ||
        mb_live_record(engine, row, &known, NULL, &record, err) != 0 ||
        mb_state_out(engine->state, &record, err) != 0) {
        goto out;
    }
    mb_core_change_captured(engine, MB_CHANGE_INSERT, row->table, id, mb_live_title(row),
                            "new on this machine");
    rc = 0;
out:
    mb_live_record_release(&record);
    mb_regs_release(&local);
    mb_regs_release(&loose);
    return rc;
}

static int add_row(struct mb_capture *capture, const struct mb_live_row *row,
                   const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;
    struct mb_version born = mb_regs_initial(row->created);
    struct mb_version tomb;
    struct mb_state_row known;
    int found = mb_state_row_find(state, id, &known, err);
    int rc;

    if (found == 1) {
        rc = rejoin(capture, row, &known, err);
        mb_regs_release(&known.regs);
        return rc;
    }
    if (found < 0) {
        return -1;
    }
    found = mb_state_tomb_find(state, id, &tomb, err);
    if (found < 0) {
        return -1;
    }
    if (found == 1) {
        if (row->table != MB_TABLE_SESSIONS || capture->is_other || capture->is_first) {
            return mark_undead(capture->engine, row, id, err);
        }
        born = mb_state_next_version(state, &tomb); /* made again: it lives */
        if (mb_state_tomb_remove(state, id, err) != 0) {
            return -1;
        }
    }
    return publish(capture, row, id, &born, err);
}

int mb_capture_rows_add(struct mb_capture *capture, int table, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    struct candidate *list = NULL;
    size_t count = 0;
    int rc = -1;

    if (capture->scans[table].fresh_count == 0) {
        return 0;
    }
    if (list_candidates(capture, table, &list, &count, err) != 0 ||
        number_all(capture, table, list, count, err) != 0) {
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        struct mb_live_row row;
        struct mb_stmt *stmt = NULL;
        int step;
        if (!list[i].has_id) {
            continue;
        }
        step = mb_capture_breathe(capture, err) != 0
                   ? -1
                   : mb_live_find(engine, table, list[i].rowid, &row, &stmt, err);
        if (step == 0) {
            continue; /* gone while the worker had its turn */
        }
        if (step < 0 || add_row(capture, &row, list[i].id, err) != 0) {
            mb_db_reset(stmt);
            goto out;
        }
        mb_db_reset(stmt);
        if ((i & 0xfff) == 0xfff) {
            mb_core_progress(engine, MB_PHASE_CAPTURE, (int64_t)i, (int64_t)count);
            if (mb_core_step(engine, "capture-rows", err) != 0) {
                goto out;
            }
        }
    }
    rc = 0;
out:
    free(list);
    return rc;
}
