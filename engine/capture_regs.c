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

/* Tables up to this size are looked at whole each time (20 ms); larger ones through a window that
 * moves on. */
#define WHOLE_ROWS_MAX 20000
#define WINDOW_ROWS 2000

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

/* Captures a row that differs. */
static int capture_row(struct mb_engine *engine, int table, int64_t rowid, struct mb_error *err)
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

/* A large table is swept by a window that moves on with each capture, until every row was seen
 * since the marks last moved. */
struct sweep {
    char *whole_key; /* when the whole was last looked at */
    char *after_key; /* the rowid that the window has come to */
    char *left_key;  /* rows still to be seen */
    bool is_whole;
    int64_t after;
    int64_t left;
};

static int begin_sweep(struct mb_capture *capture, int table, struct sweep *sweep,
                       struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;
    int64_t row_count = (int64_t)capture->scans[table].id_count;
    int64_t now = mb_core_now(capture->engine);
    int64_t last_whole;

    sweep->whole_key = mb_alloc_format("regs_whole_%s", mb_profile_tables[table].name);
    sweep->after_key = mb_alloc_format("regs_after_%s", mb_profile_tables[table].name);
    sweep->left_key = mb_alloc_format("sweep_left_%s", mb_profile_tables[table].name);
    if (mb_state_get_int(state, sweep->whole_key, 0, &last_whole, err) != 0 ||
        mb_state_get_int(state, sweep->after_key, 0, &sweep->after, err) != 0 ||
        mb_state_get_int(state, sweep->left_key, 0, &sweep->left, err) != 0) {
        return -1;
    }
    sweep->is_whole = row_count <= WHOLE_ROWS_MAX || capture->is_migrated ||
                      now - last_whole >= MB_CAPTURE_WHOLE_EVERY_MS || now < last_whole;
    if (sweep->is_whole) {
        sweep->after = 0;
        return mb_state_set_int(state, sweep->whole_key, now, err);
    }
    if (capture->is_touched[table]) {
        sweep->left = row_count;
    }
    return 0;
}

static int end_sweep(struct mb_capture *capture, struct sweep *sweep, int64_t seen, int64_t last,
                     bool is_at_end, struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;
    int64_t left = sweep->is_whole || sweep->left <= seen ? 0 : sweep->left - seen;

    if (mb_state_set_int(state, sweep->after_key, is_at_end ? 0 : last, err) != 0) {
        return -1;
    }
    return mb_state_set_int(state, sweep->left_key, left, err);
}

static void release_sweep(struct sweep *sweep)
{
    free(sweep->whole_key);
    free(sweep->after_key);
    free(sweep->left_key);
}

int mb_capture_regs_scan(struct mb_capture *capture, int table, struct mb_error *err)
{
    struct sweep sweep = {NULL, NULL, NULL, false, 0, 0};
    struct pairing pairing;
    int more = 0;
    int rc = -1;

    if (capture->scans[table].is_skipped) {
        return 0;
    }
    memset(&pairing, 0, sizeof(pairing));
    pairing.engine = capture->engine;
    pairing.table = table;
    if (begin_sweep(capture, table, &sweep, err) != 0) {
        goto out;
    }
    if (!capture->is_first) { /* a first capture has just read everything */
        more = walk(&pairing, sweep.after, sweep.is_whole ? INT64_MAX : WINDOW_ROWS, err);
    }
    for (size_t i = 0; i < pairing.differing_count && more >= 0; i++) {
        if (capture_row(capture->engine, table, pairing.differing[i], err) != 0) {
            goto out;
        }
    }
    if (more >= 0) {
        rc = end_sweep(capture, &sweep, pairing.seen, pairing.last, more == 0, err);
    }
out:
    free(pairing.differing);
    release_sweep(&sweep);
    return rc;
}
