/* SPDX-License-Identifier: MIT */

#include "apply.h"

#include "alloc.h"
#include "apply_bulk.h"
#include "assert.h"
#include "capture.h"
#include "conflict.h"
#include "log.h"
#include "write.h"
#include "write_insert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

static const struct mb_value *record_title(int table, const struct mb_record *record)
{
    const struct mb_profile_table *profile = &mb_profile_tables[table];

    for (size_t i = 0; profile->title[i] != NULL; i++) {
        const struct mb_column *column = mb_record_column(record, profile->title[i]);
        const struct mb_register *reg = mb_record_register(record, profile->title[i]);
        const struct mb_value *value = column != NULL ? &column->value
                                       : reg != NULL  ? &reg->value
                                                      : NULL;
        if (value != NULL && value->type == MB_VALUE_TEXT && value->size > 0) {
            return value;
        }
    }
    return NULL;
}

int mb_apply_shelve(struct mb_engine *engine, const struct mb_record *record, const char *why,
                    struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct mb_buf line;
    int rc = -1;

    mb_buf_init(&line, MB_LIMIT_RECORD_BYTES);
    if (mb_record_encode(record, &line, err) != 0 ||
        mb_db_query(engine->state->db,
                    "INSERT OR IGNORE INTO shelf(id, record, tbl, why) VALUES(?1, ?2, ?3, ?4)",
                    &stmt, err) != 0) {
        goto out;
    }
    mb_db_bind_blob(stmt, 1, record->row_id, MB_ROW_ID_SIZE);
    mb_db_bind_blob(stmt, 2, line.data, line.size);
    mb_db_bind_text(stmt, 3, record->table);
    mb_db_bind_text(stmt, 4, why);
    if (mb_db_run(stmt, err) != 0) {
        goto out;
    }
    if (mb_db_changes(engine->state->db) > 0) {
        engine->counts.parked++;
        mb_log_trace("engine", "event=shelved table=%s why='%s'", record->table, why);
    }
    rc = 0;
out:
    mb_buf_release(&line);
    return rc;
}

static int unshelve(struct mb_engine *engine, const uint8_t id[static MB_ROW_ID_SIZE],
                    struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db, "DELETE FROM shelf WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    return mb_db_run(stmt, err);
}

static int is_in(struct mb_engine *engine, const char *sql, const uint8_t id[static MB_ROW_ID_SIZE],
                 bool *found_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    step = mb_db_step(stmt, err);
    mb_db_reset(stmt);
    *found_out = step == 1;
    return step < 0 ? -1 : 0;
}

/* ---- deletes ---- */

/* A session's registers are kept through its death, with the texts that its row still has. */
static int keep_dead_session(struct mb_engine *engine, struct mb_state_row *known,
                             struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_stmt *stmt = NULL;
    struct mb_regs local;
    int step =
        known->has_local ? mb_live_find(engine, known->table, known->local, row, &stmt, err) : 0;
    int rc = -1;

    mb_regs_init(&local);
    if (step < 0 || (step == 1 && mb_live_regs(engine, row, &local, err) != 0)) {
        goto out;
    }
    (void)mb_state_regs_raise(known->table, &known->regs, &local); /* takes the texts at hand */
    rc = mb_state_loose_merge(engine->state, known->id, known->table, &known->regs, err);
out:
    mb_db_reset(stmt);
    mb_regs_release(&local);
    free(row);
    return rc;
}

/* While the row still has its title. */
static int tell_delete(const struct mb_apply *apply, const struct mb_state_row *known,
                       struct mb_error *err)
{
    struct mb_engine *engine = apply->engine;
    struct mb_live_row *row;
    struct mb_stmt *stmt = NULL;
    char why[128];
    int step;

    if (engine->config.on_change == NULL) {
        return 0;
    }
    row = mb_alloc(sizeof(*row));
    step = mb_live_find(engine, known->table, known->local, row, &stmt, err);
    (void)snprintf(why, sizeof(why), "deleted on %s", apply->source);
    mb_core_change(engine, MB_CHANGE_DELETE, known->table, known->id,
                   step == 1 ? mb_live_title(row) : NULL, why);
    mb_db_reset(stmt);
    free(row);
    return step < 0 ? -1 : 0;
}

static int apply_delete(const struct mb_apply *apply, int table, const struct mb_record *record,
                        struct mb_error *err)
{
    struct mb_engine *engine = apply->engine;
    struct mb_state *state = engine->state;
    struct mb_state_row known;
    bool is_unsent = false;
    int found = mb_state_row_find(state, record->row_id, &known, err);
    int rc = -1;

    if (found < 0) {
        return -1;
    }
    if (found == 0) {
        return mb_state_tomb_put(state, record->row_id, table, &record->version, record->is_decided,
                                 err);
    }
    if (table == MB_TABLE_SESSIONS &&
        mb_record_version_compare(&known.born, &record->version) > 0) {
        rc = 0; /* made again after this tombstone: it lives */
        goto out;
    }
    if (is_in(engine, "SELECT 1 FROM unsent WHERE id = ?1", record->row_id, &is_unsent, err) != 0 ||
        (is_unsent && mb_conflict_of_deleted(engine, table, record->row_id, &known.regs, NULL,
                                             state->machine, err) != 0)) {
        goto out;
    }
    if (table == MB_TABLE_SESSIONS && keep_dead_session(engine, &known, err) != 0) {
        goto out;
    }
    if (known.has_local) {
        if (tell_delete(apply, &known, err) != 0 ||
            mb_write_delete(engine, table, known.local, record->row_id, err) != 0) {
            goto out;
        }
        engine->counts.deleted++;
    }
    if (mb_state_row_remove(state, record->row_id, err) != 0) {
        goto out;
    }
    rc = mb_state_tomb_put(state, record->row_id, table, &record->version, record->is_decided, err);
out:
    mb_regs_release(&known.regs);
    return rc;
}

/* ---- rows and registers ---- */

/* Where the record's text is not the known one (longer, seen by its hash alone), the row waits for
 * that. */
static void await_texts(const struct mb_record *record, struct mb_state_row *known)
{
    struct mb_regs sent;

    mb_live_regs_of_record(known->table, record, &sent);
    for (size_t i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        struct mb_reg *reg = &known->regs.items[i];
        if (reg->is_present && reg->is_hashed && reg->value.data == NULL &&
            sent.items[i].is_present && !mb_regs_same_value(reg, &sent.items[i])) {
            reg->is_dirty = true;
            reg->seen = mb_regs_fingerprint(&sent.items[i]);
        }
    }
}

static int save_known(struct mb_state *state, const struct mb_state_row *known, bool is_new,
                      struct mb_error *err)
{
    return is_new ? mb_state_row_add(state, known, err) : mb_state_row_put(state, known, err);
}

int mb_apply_note_inserted(const struct mb_apply *apply, const struct mb_record *record,
                           struct mb_state_row *known, bool is_new, struct mb_error *err)
{
    struct mb_engine *engine = apply->engine;
    char why[128];

    if (unshelve(engine, known->id, err) != 0) {
        return -1;
    }
    await_texts(record, known);
    engine->counts.inserted++;
    (void)snprintf(why, sizeof(why), "new from %s", apply->source);
    mb_core_change(engine, MB_CHANGE_INSERT, known->table, known->id,
                   record_title(known->table, record), why);
    return save_known(engine->state, known, is_new, err);
}

int mb_apply_insert(const struct mb_apply *apply, const struct mb_record *record,
                    struct mb_state_row *known, bool is_new, struct mb_error *err)
{
    struct mb_engine *engine = apply->engine;
    enum mb_write_result result;

    if (mb_write_insert(engine, record, known, &result, err) != 0) {
        return -1;
    }
    if (result != MB_WRITE_REFUSED) {
        return mb_apply_note_inserted(apply, record, known, is_new, err);
    }
    mb_core_change(engine, MB_CHANGE_PARK, known->table, known->id,
                   record_title(known->table, record), err->message);
    if (mb_apply_shelve(engine, record, err->message, err) != 0) {
        return -1;
    }
    return save_known(engine->state, known, is_new, err);
}

/* What else is to be written meets the rows that were collected. */
static int settle(const struct mb_apply *apply, struct mb_error *err)
{
    return apply->bulk == NULL ? 0 : mb_apply_bulk_settle(apply->bulk, err);
}

/* With others, or at once. What *known and *loose own may be taken. */
static int insert_known(const struct mb_apply *apply, const struct mb_record *record,
                        struct mb_state_row *known, struct mb_regs *loose, bool is_new,
                        struct mb_error *err)
{
    if (apply->bulk != NULL && mb_write_insert_is_simple(apply->engine, record, known)) {
        return mb_apply_bulk_add(apply->bulk, record, known, loose, is_new, err);
    }
    return settle(apply, err) != 0 ? -1 : mb_apply_insert(apply, record, known, is_new, err);
}

static int write_known(const struct mb_apply *apply, struct mb_state_row *known,
                       struct mb_error *err)
{
    struct mb_engine *engine = apply->engine;
    enum mb_write_result result;

    if (mb_write_registers(engine, known, apply->source, &result, err) != 0) {
        return -1;
    }
    if (result == MB_WRITE_DONE) {
        engine->counts.updated++;
    }
    return mb_state_row_put(engine->state, known, err);
}

/* A record for a row that is dead. True (1) if it makes a session live again; what it says is kept
 * either way. */
static int meet_tomb(const struct mb_apply *apply, int table, const struct mb_record *record,
                     const struct mb_version *tomb, const struct mb_regs *regs,
                     struct mb_error *err)
{
    struct mb_engine *engine = apply->engine;

    if (table == MB_TABLE_SESSIONS && record->kind == MB_RECORD_ROW &&
        mb_record_version_compare(&record->version, tomb) > 0) {
        return mb_state_tomb_remove(engine->state, record->row_id, err) == 0 ? 1 : -1;
    }
    if (mb_conflict_of_deleted(engine, table, record->row_id, regs,
                               record->kind == MB_RECORD_ROW ? tomb : NULL, NULL, err) != 0) {
        return -1;
    }
    if (table == MB_TABLE_SESSIONS &&
        mb_state_loose_merge(engine->state, record->row_id, table, regs, err) != 0) {
        return -1;
    }
    return 0;
}

/* The row is not known: a new one, unless only registers came. */
static int apply_unknown(const struct mb_apply *apply, int table, const struct mb_record *record,
                         const struct mb_regs *regs, struct mb_error *err)
{
    struct mb_state *state = apply->engine->state;
    const struct mb_column *created;
    struct mb_state_row known;
    struct mb_regs loose;
    int rc = -1;

    if (record->kind == MB_RECORD_REGISTERS) {
        return mb_state_loose_merge(state, record->row_id, table, regs, err);
    }
    mb_regs_init(&loose);
    memset(&known, 0, sizeof(known));
    memcpy(known.id, record->row_id, MB_ROW_ID_SIZE);
    known.table = table;
    known.born = record->version;
    known.regs = *regs;
    known.regs.owned = NULL;
    created = mb_record_column(record, mb_profile_tables[table].created_column);
    known.created = created != NULL && created->value.type == MB_VALUE_INTEGER
                        ? created->value.integer
                        : record->version.hlc;
    if (mb_state_loose_take(state, record->row_id, &loose, err) >= 0) {
        (void)mb_state_regs_raise(table, &known.regs, &loose);
        rc = insert_known(apply, record, &known, &loose, true, err);
    }
    mb_regs_release(&loose);
    return rc;
}

/* Does a text that the live row lacks (a shorter one came first) stand in what came now? */
static bool has_awaited_text(const struct mb_state_row *known)
{
    for (size_t i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        const struct mb_reg *reg = &known->regs.items[i];
        if (reg->is_present && reg->is_dirty && reg->is_hashed && reg->value.data != NULL) {
            return true;
        }
    }
    return false;
}

/* The state keeps only hashes of long texts: one that comes before its row is here waits with the
 * loose registers. */
static int keep_texts(struct mb_engine *engine, const struct mb_state_row *known,
                      const struct mb_regs *regs, struct mb_error *err)
{
    struct mb_regs texts;
    bool is_any = false;

    mb_regs_init(&texts);
    for (size_t i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        if (regs->items[i].is_present && regs->items[i].is_hashed) {
            texts.items[i] = regs->items[i];
            is_any = true;
        }
    }
    return is_any ? mb_state_loose_merge(engine->state, known->id, known->table, &texts, err) : 0;
}

/* Healing, or off the shelf: the row is known, and comes (back) into the database. */
static int insert_back(const struct mb_apply *apply, const struct mb_record *record,
                       struct mb_state_row *known, struct mb_error *err)
{
    struct mb_regs loose;
    int rc;

    mb_regs_init(&loose);
    if (mb_state_loose_take(apply->engine->state, known->id, &loose, err) < 0) {
        return -1;
    }
    (void)mb_state_regs_raise(known->table, &known->regs, &loose);
    rc = insert_known(apply, record, known, &loose, false, err);
    mb_regs_release(&loose);
    return rc;
}

static int fill_known(struct mb_engine *engine, const struct mb_record *record,
                      const struct mb_state_row *known, struct mb_error *err)
{
    enum mb_write_result result;

    /* What this database lacks may come with an upgrade; the state may have been lost since. */
    if (mb_write_fill(engine, known, record, &result, err) != 0 ||
        mb_write_insert_keep_extra(engine, record, err) != 0) {
        return -1;
    }
    engine->counts.updated += result == MB_WRITE_DONE ? 1 : 0;
    return 0;
}

static int apply_known(const struct mb_apply *apply, const struct mb_record *record,
                       const struct mb_regs *regs, struct mb_state_row *known, struct mb_error *err)
{
    struct mb_engine *engine = apply->engine;
    bool is_changed;

    if (mb_conflict_check(engine, known->table, known->id, &known->regs, regs,
                          record_title(known->table, record), err) != 0) {
        return -1;
    }
    is_changed = mb_state_regs_raise(known->table, &known->regs, regs);
    if (record->kind == MB_RECORD_ROW &&
        mb_record_version_compare(&record->version, &known->born) > 0) {
        known->born = record->version;
        is_changed = true;
    }
    if (known->has_local) {
        if (settle(apply, err) != 0) {
            return -1;
        }
        if (record->kind == MB_RECORD_ROW && fill_known(engine, record, known, err) != 0) {
            return -1;
        }
        return is_changed || has_awaited_text(known) ? write_known(apply, known, err) : 0;
    }
    if (record->kind == MB_RECORD_ROW && !known->is_suppressed) {
        return insert_back(apply, record, known, err);
    }
    if (keep_texts(engine, known, regs, err) != 0) {
        return -1;
    }
    return is_changed ? mb_state_row_put(engine->state, known, err) : 0;
}

static int apply_row(const struct mb_apply *apply, int table, const struct mb_record *record,
                     struct mb_error *err)
{
    struct mb_state *state = apply->engine->state;
    struct mb_state_row known;
    struct mb_version tomb;
    struct mb_regs regs;
    int found;
    int rc;

    mb_live_regs_of_record(table, record, &regs);
    found = mb_state_tomb_find(state, record->row_id, &tomb, err);
    if (found < 0) {
        return -1;
    }
    if (found == 1) {
        rc = meet_tomb(apply, table, record, &tomb, &regs, err);
        if (rc <= 0) {
            return rc;
        }
    }
    found = mb_state_row_find(state, record->row_id, &known, err);
    if (found < 0) {
        return -1;
    }
    if (found == 0) {
        return apply_unknown(apply, table, record, &regs, err);
    }
    rc = apply_known(apply, record, &regs, &known, err);
    mb_regs_release(&known.regs);
    return rc;
}

int mb_apply_record(const struct mb_apply *apply, const struct mb_record *record,
                    struct mb_error *err)
{
    int table = mb_profile_find(record->table);

    if (apply->bulk != NULL &&
        (record->kind != MB_RECORD_ROW || mb_apply_bulk_has(apply->bulk, record->row_id)) &&
        mb_apply_bulk_settle(apply->bulk, err) != 0) {
        return -1;
    }
    if (table < 0) { /* of a newer membridge */
        return mb_apply_shelve(apply->engine, record, "this membridge does not know the table",
                               err);
    }
    if (record->kind == MB_RECORD_DELETE) {
        return apply_delete(apply, table, record, err);
    }
    return apply_row(apply, table, record, err);
}

/* ---- plan ---- */

static int capture_target(struct mb_engine *engine, struct mb_state_row *known,
                          struct mb_buf *before, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_stmt *stmt = NULL;
    struct mb_record record;
    int step = mb_live_find(engine, known->table, known->local, row, &stmt, err);
    int rc = -1;

    memset(&record, 0, sizeof(record));
    if (step != 1) {
        rc = step;
        goto out;
    }
    if (mb_capture_regs_row(engine, row, known, err) != 0) {
        goto out;
    }
    rc = mb_live_record(engine, row, known, NULL, &record, err);
    if (rc == 0) {
        rc = mb_record_encode(&record, before, err);
    } else if (rc == 1) {
        rc = 0; /* edited by hand: there is no record of it */
    }
out:
    mb_live_record_release(&record);
    mb_db_reset(stmt);
    free(row);
    return rc;
}

static bool awaits_text(const struct mb_state_row *known)
{
    for (size_t i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        const struct mb_reg *reg = &known->regs.items[i];
        if (reg->is_present && reg->is_dirty && reg->is_hashed) {
            return true;
        }
    }
    return false;
}

/* Would the record change what is known of the row? */
static bool changes(const struct mb_record *record, const struct mb_state_row *known)
{
    struct mb_regs regs;

    if (record->kind == MB_RECORD_DELETE) {
        return true;
    }
    mb_live_regs_of_record(known->table, record, &regs);
    for (size_t i = 0; mb_profile_tables[known->table].registers[i].name != NULL; i++) {
        if (mb_regs_compare(mb_profile_tables[known->table].registers[i].rule, &regs.items[i],
                            &known->regs.items[i]) > 0) {
            return true;
        }
    }
    return (record->kind == MB_RECORD_ROW && !known->has_local) || awaits_text(known);
}

int mb_apply_plan(const struct mb_apply *apply, const struct mb_record *record, bool *effect_out,
                  struct mb_buf *before, struct mb_error *err)
{
    struct mb_engine *engine = apply->engine;
    int table = mb_profile_find(record->table);
    struct mb_state_row known;
    int found;
    int rc = 0;

    *effect_out = false;
    mb_buf_clear(before);
    for (size_t i = 0; i < record->register_count; i++) {
        mb_state_see(engine->state, &record->registers[i].version);
    }
    mb_state_see(engine->state, &record->version);
    if (table < 0) {
        return 0;
    }
    found = mb_state_row_find(engine->state, record->row_id, &known, err);
    if (found <= 0) {
        *effect_out = found == 0 && record->kind == MB_RECORD_ROW;
        return found;
    }
    if (changes(record, &known)) {
        *effect_out = true;
        if (known.has_local) {
            rc = capture_target(engine, &known, before, err);
        }
    }
    mb_regs_release(&known.regs);
    return rc;
}
