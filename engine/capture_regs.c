/* SPDX-License-Identifier: MIT */

/*
 * Registers that differ from what the state knows: somebody changed them here. A change to NULL is
 * not published: the known value is written back by the next merge. A text that was only cut is
 * left as it is.
 */

#include "alloc.h"
#include "assert.h"
#include "capture.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Rows looked at by one capture, through a window that moves on. Sessions change most: a wider one,
 * and those that were started last. */
#define WINDOW_ROWS 64
#define WINDOW_SESSIONS 256
#define RECENT_SESSIONS 48

static void describe(char *out, size_t size, const struct mb_profile_register *profile,
                     const struct mb_reg *from, const struct mb_reg *to)
{
    char old_text[48] = "nothing";
    char new_text[48] = "nothing";

    if (profile->kind != MB_REGISTER_COLUMN) {
        (void)snprintf(out, size, "%s: attached to another", profile->name);
        return;
    }
    if (from->is_present && from->value.type == MB_VALUE_TEXT && from->value.data != NULL) {
        mb_text_clean(old_text, sizeof(old_text), (const char *)from->value.data, from->value.size);
    }
    if (to->value.type == MB_VALUE_TEXT && to->value.data != NULL) {
        mb_text_clean(new_text, sizeof(new_text), (const char *)to->value.data, to->value.size);
    }
    (void)snprintf(out, size, "%s: %s -> %s", profile->name, old_text, new_text);
}

bool mb_capture_regs_is_fixed(const struct mb_live_row *row,
                              const struct mb_profile_register *profile, const struct mb_reg *kept)
{
    return row->schema->links_by_content && profile->kind == MB_REGISTER_SESSION &&
           kept->is_present && kept->value.type != MB_VALUE_NULL;
}

/* One register: 1 if it is a change to publish, 0 if not. `known` is brought up to date. *touched
 * tells that it was. */
static int compare_register(struct mb_engine *engine, const struct mb_live_row *row,
                            const struct mb_profile_register *profile, const struct mb_reg *local,
                            struct mb_state_row *known, bool *touched)
{
    size_t index = (size_t)(profile - row->schema->profile->registers);
    struct mb_reg *kept = &known->regs.items[index];
    uint64_t seen;
    struct mb_version parent = kept->version;
    bool was_present = kept->is_present;
    char why[160];

    if (!local->is_present || mb_capture_regs_is_fixed(row, profile, kept)) {
        return 0;
    }
    if (mb_regs_same_value(local, kept)) {
        *touched = *touched || kept->is_dirty;
        kept->is_dirty = false;
        return 0;
    }
    seen = mb_regs_fingerprint(local);
    if (kept->is_dirty && kept->seen == seen) {
        return 0; /* still waits to be written back */
    }
    if (profile->rule == MB_RULE_LONGEST) {
        if (mb_regs_compare(profile->rule, local, kept) <= 0) {
            return 0;
        }
        *kept = *local;
        *touched = true;
        return 1;
    }
    *touched = true;
    if (local->value.type == MB_VALUE_NULL && kept->is_present) {
        kept->is_dirty = true;
        kept->seen = seen;
        return 0;
    }
    describe(why, sizeof(why), profile, kept, local);
    *kept = *local;
    /* else: a column that this claude-mem has got since; its value is as old as the row */
    if (was_present) {
        kept->version = mb_state_next_version(engine->state, &parent);
        kept->parent = parent;
    }
    mb_core_change_captured(engine, MB_CHANGE_UPDATE, row->table, known->id, mb_live_title(row),
                            why);
    return local->value.type == MB_VALUE_NULL ? 0 : 1;
}

static int note_unsent(struct mb_engine *engine, const uint8_t id[static MB_ROW_ID_SIZE],
                       struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db, "INSERT OR IGNORE INTO unsent(id) VALUES(?1)", &stmt, err) !=
        0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    return mb_db_run(stmt, err);
}

int mb_capture_regs_row(struct mb_engine *engine, const struct mb_live_row *row,
                        struct mb_state_row *known, struct mb_error *err)
{
    const struct mb_profile_table *profile = row->schema->profile;
    struct mb_regs local;
    struct mb_record record;
    uint32_t changed = 0;
    int64_t twin = mb_live_twin(row);
    bool touched = twin != known->twin;
    int rc = -1;

    memset(&record, 0, sizeof(record));
    if (mb_live_regs(engine, row, &local, err) != 0) {
        return -1;
    }
    known->twin = twin;
    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        if (compare_register(engine, row, &profile->registers[i], &local.items[i], known,
                             &touched) == 1) {
            changed |= 1u << i;
        }
    }
    if (touched && mb_state_row_put(engine->state, known, err) != 0) {
        goto out;
    }
    if (changed != 0) {
        mb_live_registers_record(row->table, known->id, &known->regs, changed, &record);
        if (mb_state_out(engine->state, &record, err) != 0 ||
            note_unsent(engine, known->id, err) != 0) {
            goto out;
        }
    }
    rc = 0;
out:
    /* `known` may point at values of `local`: keep them alive with it. */
    mb_live_record_release(&record);
    if (rc == 0 && touched) {
        struct mb_state_row fresh;
        int found = mb_state_row_find(engine->state, known->id, &fresh, err);
        MB_ASSERT(found != 0);
        if (found == 1) {
            mb_regs_release(&known->regs);
            *known = fresh;
        } else {
            rc = -1;
        }
    }
    mb_regs_release(&local);
    return rc;
}

/* In a light row a LONGEST register says only whether it is there. */
static bool differs(const struct mb_live_row *row, const struct mb_regs *local,
                    const struct mb_state_row *known)
{
    const struct mb_profile_table *profile = row->schema->profile;

    if (mb_live_twin(row) != known->twin) {
        return true;
    }
    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        const struct mb_reg *mine = &local->items[i];
        const struct mb_reg *kept = &known->regs.items[i];
        if (!mine->is_present || mb_capture_regs_is_fixed(row, &profile->registers[i], kept)) {
            continue;
        }
        if (profile->registers[i].rule == MB_RULE_LONGEST) {
            if (mine->value.integer == 1 &&
                (!kept->is_present || kept->value.type == MB_VALUE_NULL)) {
                return true;
            }
        } else if (mb_regs_same_value(mine, kept)
                       ? kept->is_dirty
                       : !(kept->is_dirty && kept->seen == mb_regs_fingerprint(mine))) {
            return true;
        }
    }
    return false;
}

int mb_capture_regs_at(struct mb_engine *engine, int table, int64_t rowid, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_stmt *stmt = NULL;
    struct mb_state_row known;
    int found = mb_state_row_at(engine->state, table, rowid, &known, err);
    int rc = found;

    if (found == 1) {
        rc = mb_live_find(engine, table, rowid, row, &stmt, err);
        rc = rc == 1 ? mb_capture_regs_row(engine, row, &known, err) : rc;
        mb_regs_release(&known.regs);
    }
    mb_db_reset(stmt);
    free(row);
    return rc;
}

/* The database's rows and the state's, side by side by rowid. */
struct pairing {
    struct mb_engine *engine;
    int table;
    struct mb_stmt *live;
    struct mb_stmt *kept;
    struct mb_state_row known; /* the state's next row */
    bool has_known;
    int64_t *differing; /* rowids; captured when the walk is over */
    size_t differing_count;
    int64_t seen;
    int64_t last;
};

static int next_known(struct pairing *pairing, struct mb_error *err)
{
    int step;

    if (pairing->has_known) {
        mb_regs_release(&pairing->known.regs);
    }
    step = mb_state_rows_next(pairing->kept, &pairing->known, err);
    pairing->has_known = step == 1;
    return step < 0 ? -1 : 0;
}

static int compare_row(struct pairing *pairing, struct mb_live_row *row, struct mb_error *err)
{
    struct mb_regs local;

    mb_live_read(pairing->engine, pairing->table, pairing->live, row);
    while (pairing->has_known && pairing->known.local < row->rowid) {
        if (next_known(pairing, err) != 0) {
            return -1;
        }
    }
    if (!pairing->has_known || pairing->known.local != row->rowid) {
        return 0; /* never synced */
    }
    if (mb_live_regs(pairing->engine, row, &local, err) != 0) {
        return -1;
    }
    if (differs(row, &local, &pairing->known)) {
        pairing->differing = mb_alloc_resize(pairing->differing, pairing->differing_count + 1,
                                             sizeof(*pairing->differing));
        pairing->differing[pairing->differing_count++] = row->rowid;
    }
    mb_regs_release(&local);
    return 0;
}

/* Walks the rows after `after`, at most `count_max` of them. 0: came to the end; 1: there are
 * more. */
static int walk(struct pairing *pairing, int64_t after, int64_t count_max, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    int step = -1;

    if (mb_db_prepare(pairing->engine->live,
                      pairing->engine->schema->tables[pairing->table].sql_light, &pairing->live,
                      err) != 0 ||
        mb_state_rows_begin(pairing->engine->state, pairing->table, after, &pairing->kept, err) !=
            0 ||
        next_known(pairing, err) != 0) {
        goto out;
    }
    mb_db_bind_int(pairing->live, 1, after);
    while ((step = mb_db_step(pairing->live, err)) == 1) {
        if (compare_row(pairing, row, err) != 0) {
            step = -1;
            break;
        }
        pairing->last = row->rowid;
        if (++pairing->seen >= count_max) {
            break;
        }
    }
out:
    if (pairing->has_known) {
        mb_regs_release(&pairing->known.regs);
    }
    mb_db_reset(pairing->kept);
    mb_db_finalize(pairing->live);
    free(row);
    return step;
}

/* Captures what differs among the rows after `after`, at most count_max of them. */
static int look_at(struct mb_capture *capture, int table, int64_t after, int64_t count_max,
                   struct pairing *pairing, bool *is_at_end, struct mb_error *err)
{
    int more;

    memset(pairing, 0, sizeof(*pairing));
    pairing->engine = capture->engine;
    pairing->table = table;
    more = walk(pairing, after, count_max, err);
    *is_at_end = more == 0;
    for (size_t i = 0; i < pairing->differing_count && more >= 0; i++) {
        if (table == MB_TABLE_SESSIONS) {
            mb_capture_regs_note_renamed(capture, pairing->differing[i]);
        }
        if (mb_capture_regs_at(capture->engine, table, pairing->differing[i], err) != 0) {
            more = -1;
        }
    }
    free(pairing->differing);
    return more < 0 ? -1 : 0;
}

static int64_t window_of(int table)
{
    return table == MB_TABLE_SESSIONS ? WINDOW_SESSIONS : WINDOW_ROWS;
}

/* The sessions that were started last, which may lie anywhere among those that came from elsewhere.
 */
static int look_at_recent(struct mb_capture *capture, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    int64_t rowids[RECENT_SESSIONS];
    struct mb_stmt *stmt;
    int count = 0;
    int step;

    if (mb_db_query(engine->live,
                    "SELECT id FROM sdk_sessions ORDER BY started_at_epoch DESC LIMIT ?1", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, RECENT_SESSIONS);
    while ((step = mb_db_step(stmt, err)) == 1) {
        rowids[count++] = mb_db_int(stmt, 0);
    }
    for (int i = 0; i < count && step == 0; i++) {
        step = mb_capture_regs_at(engine, MB_TABLE_SESSIONS, rowids[i], err);
    }
    return step;
}

/* The window moves on with each capture, until every row was seen since the marks last moved.
 * regs_after_<table>: the rowid that it has come to; sweep_left_<table>: rows still to be seen. */
static int sweep(struct mb_capture *capture, int table, struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;
    const char *name = mb_profile_tables[table].name;
    char *after_key = mb_alloc_format("regs_after_%s", name);
    char *left_key = mb_alloc_format("sweep_left_%s", name);
    bool is_whole = capture->is_whole || capture->is_other;
    struct pairing pairing;
    bool is_at_end = true;
    int64_t after, left;
    int rc = -1;

    if (mb_state_get_int(state, after_key, 0, &after, err) != 0 ||
        mb_state_get_int(state, left_key, 0, &left, err) != 0) {
        goto out;
    }
    left = capture->is_touched[table] ? capture->row_count[table] : left;
    if (!is_whole && (left <= 0 || capture->options.is_in_merge)) {
        rc = left <= 0 ? 0 : mb_state_set_int(state, left_key, left, err);
        goto out;
    }
    if (look_at(capture, table, is_whole ? 0 : after, is_whole ? INT64_MAX : window_of(table),
                &pairing, &is_at_end, err) != 0) {
        goto out;
    }
    left = is_whole || left <= pairing.seen ? 0 : left - pairing.seen;
    if (mb_state_set_int(state, after_key, is_at_end ? 0 : pairing.last, err) == 0) {
        rc = mb_state_set_int(state, left_key, left, err);
    }
out:
    free(after_key);
    free(left_key);
    return rc;
}

int mb_capture_regs_scan(struct mb_capture *capture, int table, struct mb_error *err)
{
    if (capture->is_first) {
        return 0; /* everything was just read */
    }
    if (table == MB_TABLE_SESSIONS && !capture->options.is_in_merge && !capture->is_whole &&
        capture->row_count[table] > WINDOW_SESSIONS && look_at_recent(capture, err) != 0) {
        return -1;
    }
    return sweep(capture, table, err);
}

/* ---- children of sessions that came, or are called otherwise now ---- */

void mb_capture_regs_note_renamed(struct mb_capture *capture, int64_t rowid)
{
    if ((capture->renamed_count & (capture->renamed_count - 1)) == 0) { /* each power of two */
        capture->renamed = mb_alloc_resize(
            capture->renamed, capture->renamed_count == 0 ? 1 : capture->renamed_count * 2,
            sizeof(rowid));
    }
    capture->renamed[capture->renamed_count++] = rowid;
}

/* The mapped rows of a table that name this session. */
static int look_at_children(struct mb_capture *capture, int table, const struct mb_session *session,
                            struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;
    const struct mb_schema_table *schema = &engine->schema->tables[table];
    bool by_rowid = schema->profile->link == MB_LINK_ROWID && !schema->links_by_content;
    const char *text = schema->links_by_content ? session->content : session->memory;
    const char *column = by_rowid                   ? "session_db_id"
                         : schema->links_by_content ? "content_session_id"
                                                    : "memory_session_id";
    struct mb_stmt *stmt = NULL;
    char *sql;
    int step;

    if (!by_rowid && text == NULL) {
        return 0;
    }
    sql = mb_alloc_format("SELECT id FROM %s WHERE %s = ?1 AND id <= ?2", schema->profile->name,
                          column);
    step = mb_db_prepare(engine->live, sql, &stmt, err);
    if (step == 0) {
        if (by_rowid) {
            mb_db_bind_int(stmt, 1, session->rowid);
        } else {
            mb_db_bind_text(stmt, 1, text);
        }
        mb_db_bind_int(stmt, 2, capture->sequence[table]);
    }
    while (step >= 0 && (step = mb_db_step(stmt, err)) == 1) {
        if (mb_capture_regs_at(engine, table, mb_db_int(stmt, 0), err) != 0) {
            step = -1;
        }
    }
    mb_db_finalize(stmt);
    free(sql);
    return step;
}

int mb_capture_regs_of_renamed(struct mb_capture *capture, struct mb_error *err)
{
    struct mb_engine *engine = capture->engine;

    if (capture->is_first || capture->is_other) {
        return 0; /* everything was looked at */
    }
    for (size_t i = 0; i < capture->renamed_count; i++) {
        for (int table = 0; table < MB_TABLE_COUNT; table++) {
            const struct mb_session *session =
                mb_sessions_by_rowid(engine->sessions, capture->renamed[i]);
            const struct mb_schema_table *schema = &engine->schema->tables[table];
            if (session == NULL || !schema->is_present || table == MB_TABLE_SESSIONS ||
                (schema->profile->link == MB_LINK_ROWID && !schema->links_by_content &&
                 schema->link_column < 0)) {
                continue;
            }
            if (look_at_children(capture, table, session, err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}
