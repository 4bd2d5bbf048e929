/* SPDX-License-Identifier: MIT */

/*
 * Rows that are not mapped: new ones, known ones in another place, and dead ones that came back.
 */

#include "alloc.h"
#include "assert.h"
#include "capture_copies.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* How many rows may be seen before the sessions in memory are let go. */
#define SESSIONS_KEPT 4096

/* A stub of ours of which claude-mem has made a true session: it did not come from elsewhere. */
static int was_stub(struct mb_engine *engine, int64_t rowid, bool *was_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, "SELECT 1 FROM stub WHERE local = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, rowid);
    step = mb_db_step(stmt, err);
    mb_db_reset(stmt);
    *was_out = step == 1;
    return step < 0 ? -1 : 0;
}

int mb_capture_rows_reappeared(struct mb_capture *capture, int table, bool *found_out,
                               struct mb_error *err)
{
    const struct mb_capture_scan *scan = &capture->scans[table];

    for (size_t i = 0;
         i < scan->fresh_count && scan->fresh[i] <= capture->sequence[table] && !*found_out; i++) {
        struct mb_live_row row;
        struct mb_stmt *stmt;
        bool is_stub = false;
        int step;
        if (table == MB_TABLE_SESSIONS &&
            was_stub(capture->engine, scan->fresh[i], &is_stub, err) != 0) {
            return -1;
        }
        if (is_stub) {
            continue;
        }
        step = mb_live_find(capture->engine, table, scan->fresh[i], &row, &stmt, err);
        if (step < 0) {
            return -1;
        }
        if (step == 1) {
            int rc =
                row.is_excluded ? 0 : mb_capture_copies_is_newcomer(capture, &row, found_out, err);
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
    found = capture->is_blank ? 0 : mb_state_loose_take(engine->state, id, &loose, err);
    if (found < 0) {
        goto out;
    }
    (void)mb_state_regs_raise(row->table, &known.regs, &loose);
    is_text_wanted = mark_waiting(&known.regs, &local);
    if (is_text_wanted && mb_state_set_int(engine->state, "heal", 1, err) != 0) {
        goto out;
    }
    if (mb_state_row_add(engine->state, &known, err) != 0 ||
        mb_live_record(engine, row, &known, NULL, &record, err) != 0 ||
        mb_state_out(engine->state, &record, err) != 0) {
        goto out;
    }
    capture->published++;
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
    int found = 0;
    int rc;

    if (row->table == MB_TABLE_SESSIONS && !capture->is_first) {
        mb_capture_regs_note_renamed(capture, row->rowid);
    }
    if (capture->is_blank) {
        return publish(capture, row, id, &born, err);
    }
    found = mb_state_row_find(state, id, &known, err);
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

/* id NULL: the row's first one. */
static int add_member(struct mb_capture *capture, int table, int64_t rowid, const uint8_t *id,
                      struct mb_error *err)
{
    uint8_t first_id[MB_ROW_ID_SIZE];
    struct mb_live_row row;
    struct mb_stmt *stmt = NULL;
    int step = mb_capture_breathe(capture, err) != 0
                   ? -1
                   : mb_live_find(capture->engine, table, rowid, &row, &stmt, err);
    int rc;

    if (step != 1) {
        return step; /* 0: gone while the worker had its turn */
    }
    mb_live_row_id(capture->engine, &row, 0, first_id);
    row.first_id = first_id;
    rc = add_row(capture, &row, id == NULL ? first_id : id, err);
    mb_db_reset(stmt);
    return rc;
}

static int add_next(struct mb_capture *capture, int table, int64_t rowid,
                    const struct mb_capture_candidates *list, size_t *next, struct mb_error *err)
{
    struct mb_capture_member member;

    if (*next < list->member_count && list->members[*next].rowid == rowid) {
        member = list->members[(*next)++];
    } else if (capture->is_blank) {
        return add_member(capture, table, rowid, NULL, err);
    } else if (mb_capture_copies_single(capture, table, rowid, &member, err) != 0) {
        return -1;
    }
    return member.has_id ? add_member(capture, table, rowid, member.id, err) : 0;
}

/* Adds the rows by rowid, which is how they lie on the disk. */
static int add_all(struct mb_capture *capture, int table, const struct mb_capture_candidates *list,
                   struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    size_t next = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (add_next(capture, table, list->rowids[i], list, &next, err) != 0) {
            return -1;
        }
        if (i % SESSIONS_KEPT == SESSIONS_KEPT - 1) {
            mb_sessions_forget(engine->sessions);
            mb_core_progress(engine, MB_PHASE_CAPTURE, (int64_t)i, (int64_t)list->count);
            if (mb_core_step(engine, "capture-rows", err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

int mb_capture_rows_add(struct mb_capture *capture, int table, struct mb_error *err)
{
    struct mb_capture_candidates list;
    int rc;

    if (capture->scans[table].fresh_count == 0) {
        return 0;
    }
    if (mb_capture_copies_list(capture, table, &list, err) != 0) {
        return -1;
    }
    rc = add_all(capture, table, &list, err);
    mb_capture_copies_release(&list);
    return rc;
}
