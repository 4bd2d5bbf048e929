/* SPDX-License-Identifier: MIT */

#include "journal.h"

#include "alloc.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define KEEP_MERGES 50
#define KEEP_MS ((int64_t)14 * 24 * 3600 * 1000)

int mb_journal_begin(struct mb_engine *engine, const char *what, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db, "INSERT INTO merge(time, what) VALUES(?1, ?2)", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, mb_core_now(engine));
    mb_db_bind_text(stmt, 2, what);
    return mb_db_run(stmt, err);
}

/* What recovery needs of a new row: it is found by its creation time, a session by its content id,
 * and known by its id; payload and long texts stay in the store. */
static void slim(const struct mb_record *record, struct mb_record *slim_out,
                 struct mb_column column_out[static 1], struct mb_register *registers)
{
    int table = mb_profile_find(record->table);
    const struct mb_profile_table *profile = &mb_profile_tables[table < 0 ? 0 : table];
    const struct mb_column *column = mb_record_column(
        record, table == MB_TABLE_SESSIONS ? "content_session_id" : profile->created_column);

    *slim_out = *record;
    if (record->kind != MB_RECORD_ROW || table < 0 || record->register_count > MB_LIMIT_COLUMNS) {
        return;
    }
    slim_out->columns = column_out;
    slim_out->column_count = column == NULL ? 0 : 1;
    if (column != NULL) {
        *column_out = *column;
    }
    slim_out->registers = registers;
    slim_out->register_count = 0;
    for (size_t i = 0; i < record->register_count; i++) {
        int index = mb_profile_register_find(profile, record->registers[i].name);
        if (index < 0 || profile->registers[index].rule != MB_RULE_LONGEST) {
            registers[slim_out->register_count++] = record->registers[i];
        }
    }
}

int mb_journal_add(struct mb_engine *engine, const struct mb_record *record,
                   const struct mb_buf *before, struct mb_error *err)
{
    struct mb_register *registers = mb_alloc((record->register_count + 1) * sizeof(*registers));
    struct mb_column column;
    struct mb_record short_record;
    struct mb_stmt *stmt;
    struct mb_buf line;
    int rc = -1;

    mb_buf_init(&line, MB_LIMIT_RECORD_BYTES);
    slim(record, &short_record, &column, registers);
    if (mb_record_encode(&short_record, &line, err) != 0 ||
        mb_db_query(engine->state->db,
                    "INSERT INTO journal(merge, in_flight, record, before) "
                    "VALUES((SELECT max(id) FROM merge), 1, ?1, ?2)",
                    &stmt, err) != 0) {
        goto out;
    }
    mb_db_bind_blob(stmt, 1, line.data, line.size - 1); /* without its newline */
    mb_db_bind_blob(stmt, 2, before->data, before->size == 0 ? 0 : before->size - 1);
    rc = mb_db_run(stmt, err);
out:
    free(registers);
    mb_buf_release(&line);
    return rc;
}

int mb_journal_forget(struct mb_engine *engine, struct mb_error *err)
{
    return mb_db_exec(engine->state->db, "DELETE FROM journal WHERE in_flight", err);
}

int mb_journal_done(struct mb_engine *engine, struct mb_error *err)
{
    return mb_db_exec(engine->state->db, "UPDATE journal SET in_flight = 0 WHERE in_flight", err);
}

int mb_journal_trim(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db,
                    "DELETE FROM merge WHERE time < ?1 OR id <= (SELECT max(id) FROM merge) - ?2",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, mb_core_now(engine) - KEEP_MS);
    mb_db_bind_int(stmt, 2, KEEP_MERGES);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    return mb_db_exec(
        engine->state->db,
        "DELETE FROM journal WHERE NOT in_flight AND merge NOT IN (SELECT id FROM merge)", err);
}

static int find_session(struct mb_engine *engine, const struct mb_record *record,
                        int64_t *rowid_out, struct mb_error *err)
{
    const struct mb_column *content = mb_record_column(record, "content_session_id");
    struct mb_stmt *list;
    int found = 0;
    int step;

    if (content == NULL) {
        return 0;
    }
    if (mb_db_query(engine->live, "SELECT id FROM sdk_sessions WHERE content_session_id = ?1",
                    &list, err) != 0) {
        return -1;
    }
    mb_db_bind_value(list, 1, &content->value);
    while (found == 0 && (step = mb_db_step(list, err)) == 1) {
        const struct mb_session *session =
            mb_sessions_by_rowid(engine->sessions, mb_db_int(list, 0));
        if (session != NULL && session->has_id && !session->is_stub &&
            memcmp(session->id, record->row_id, MB_ROW_ID_SIZE) == 0) {
            *rowid_out = session->rowid;
            found = 1;
        }
    }
    mb_db_reset(list);
    if (found == 0 && step < 0) {
        return -1;
    }
    return mb_sessions_check(engine->sessions, err) != 0 ? -1 : found;
}

/* The local row that a record in flight became, if the live database has it: the same identity, at
 * a rowid that the map does not have. */
static int find_inserted(struct mb_engine *engine, int table, const struct mb_record *record,
                         int64_t *rowid_out, struct mb_error *err)
{
    const struct mb_column *created =
        mb_record_column(record, mb_profile_tables[table].created_column);
    struct mb_stmt *list = NULL;
    struct mb_live_row *row;
    char *sql;
    int step;
    int found = 0;

    if (table == MB_TABLE_SESSIONS) {
        return find_session(engine, record, rowid_out, err);
    }
    if (created == NULL || !engine->schema->tables[table].is_present) {
        return 0;
    }
    row = mb_alloc(sizeof(*row));
    sql = mb_alloc_format("SELECT id FROM %s WHERE created_at_epoch = ?1",
                          mb_profile_tables[table].name);
    step = mb_db_prepare(engine->live, sql, &list, err);
    if (step == 0) {
        mb_db_bind_value(list, 1, &created->value);
    }
    while (step >= 0 && found == 0 && (step = mb_db_step(list, err)) == 1) {
        uint8_t id[MB_ROW_ID_SIZE];
        struct mb_stmt *stmt;
        int64_t rowid = mb_db_int(list, 0);
        int mapped = mb_state_id_at(engine->state, table, rowid, id, err);
        int there = mapped != 0 ? mapped : mb_live_find(engine, table, rowid, row, &stmt, err);
        if (mapped == 0 && there == 1) {
            mb_live_row_id(engine, row, record->copy, id);
            found = memcmp(id, record->row_id, MB_ROW_ID_SIZE) == 0 ? 1 : 0;
            *rowid_out = rowid;
            mb_db_reset(stmt);
        }
        step = there < 0 ? -1 : step;
    }
    mb_db_finalize(list);
    free(sql);
    free(row);
    return step < 0 ? -1 : found;
}

/* Registers as the record has them, dirty where the live row differs. */
static int map_inserted(struct mb_engine *engine, int table, const struct mb_record *record,
                        int64_t rowid, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_stmt *stmt = NULL;
    struct mb_state_row known;
    struct mb_regs local, loose;
    int step = mb_live_find(engine, table, rowid, row, &stmt, err);
    int rc = -1;

    mb_regs_init(&local);
    mb_regs_init(&loose);
    memset(&known, 0, sizeof(known));
    if (step != 1) {
        rc = step;
        goto out;
    }
    if (mb_live_regs(engine, row, &local, err) != 0 ||
        mb_state_loose_take(engine->state, record->row_id, &loose, err) < 0) {
        goto out;
    }
    memcpy(known.id, record->row_id, MB_ROW_ID_SIZE);
    known.table = table;
    known.has_local = true;
    known.local = rowid;
    known.created = row->created;
    known.born = record->version;
    known.twin = mb_live_twin(row);
    mb_live_regs_of_record(table, record, &known.regs);
    (void)mb_state_regs_raise(table, &known.regs, &loose);
    for (size_t i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        struct mb_reg *reg = &known.regs.items[i];
        if (!reg->is_present) {
            *reg = local.items[i]; /* a long text: the journal does not hold it */
        }
        if (reg->is_present && local.items[i].is_present &&
            !mb_regs_same_value(reg, &local.items[i])) {
            reg->is_dirty =
                reg->value.type != MB_VALUE_NULL && local.items[i].value.type == MB_VALUE_NULL;
            reg->seen = mb_regs_fingerprint(&local.items[i]);
        }
    }
    rc = mb_state_row_put(engine->state, &known, err);
out:
    mb_db_reset(stmt);
    mb_regs_release(&local);
    mb_regs_release(&loose);
    free(row);
    return rc;
}

/* A register that holds in the live database what the record brought is the record's. */
static int adopt_registers(struct mb_engine *engine, struct mb_state_row *known,
                           const struct mb_record *record, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_stmt *stmt = NULL;
    struct mb_regs local, regs;
    bool is_changed = false;
    int step = mb_live_find(engine, known->table, known->local, row, &stmt, err);
    int rc = -1;

    mb_regs_init(&local);
    mb_live_regs_of_record(known->table, record, &regs);
    if (step != 1) {
        rc = step;
        goto out;
    }
    if (mb_live_regs(engine, row, &local, err) != 0) {
        goto out;
    }
    for (size_t i = 0; mb_profile_tables[known->table].registers[i].name != NULL; i++) {
        struct mb_reg *kept = &known->regs.items[i];
        if (regs.items[i].is_present && mb_regs_same_value(&regs.items[i], &local.items[i]) &&
            mb_regs_compare(mb_profile_tables[known->table].registers[i].rule, &regs.items[i],
                            kept) > 0) {
            *kept = regs.items[i];
            is_changed = true;
        }
    }
    rc = is_changed ? mb_state_row_put(engine->state, known, err) : 0;
out:
    mb_db_reset(stmt);
    mb_regs_release(&local);
    free(row);
    return rc;
}

/* The row is gone, or a stub stands where the session was: the delete was done. */
static int finish_delete(struct mb_engine *engine, struct mb_state_row *known,
                         const struct mb_record *record, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_stmt *stmt = NULL;
    struct mb_state *state = engine->state;
    int step =
        known->has_local ? mb_live_find(engine, known->table, known->local, row, &stmt, err) : 0;
    bool is_stub = step == 1 && known->table == MB_TABLE_SESSIONS && row->session != NULL &&
                   row->session->is_stub;

    mb_db_reset(stmt);
    free(row);
    if (step < 0 || (step == 1 && !is_stub)) {
        return step < 0 ? -1 : 0;
    }
    if (is_stub) {
        if (mb_db_query(state->db, "INSERT OR REPLACE INTO stub(local, id) VALUES(?1, ?2)", &stmt,
                        err) != 0) {
            return -1;
        }
        mb_db_bind_int(stmt, 1, known->local);
        mb_db_bind_blob(stmt, 2, known->id, MB_ROW_ID_SIZE);
        if (mb_db_run(stmt, err) != 0) {
            return -1;
        }
        mb_sessions_refresh(engine->sessions, known->local);
    }
    if (known->table == MB_TABLE_SESSIONS &&
        mb_state_loose_merge(state, known->id, known->table, &known->regs, err) != 0) {
        return -1;
    }
    if (mb_state_row_remove(state, known->id, err) != 0) {
        return -1;
    }
    return mb_state_tomb_put(state, known->id, known->table, &record->version, record->is_decided,
                             err);
}

static int recover_record(struct mb_engine *engine, const struct mb_record *record,
                          struct mb_error *err)
{
    int table = mb_profile_find(record->table);
    struct mb_state_row known;
    struct mb_version tomb;
    int64_t rowid = 0;
    int found;
    int rc = 0;

    if (table < 0) {
        return 0;
    }
    found = mb_state_row_find(engine->state, record->row_id, &known, err);
    if (found == 1) {
        if (record->kind == MB_RECORD_DELETE) {
            rc = finish_delete(engine, &known, record, err);
        } else if (known.has_local) {
            rc = adopt_registers(engine, &known, record, err);
        }
        mb_regs_release(&known.regs);
        return rc;
    }
    if (found < 0 || record->kind != MB_RECORD_ROW) {
        return found;
    }
    found = mb_state_tomb_find(engine->state, record->row_id, &tomb, err);
    if (found == 1 && table == MB_TABLE_SESSIONS &&
        mb_record_version_compare(&record->version, &tomb) > 0) {
        /* A session that was made again: only if it is really here. */
        found = find_inserted(engine, table, record, &rowid, err);
        if (found == 1) {
            rc = mb_state_tomb_remove(engine->state, record->row_id, err);
            return rc == 0 ? map_inserted(engine, table, record, rowid, err) : rc;
        }
        return found;
    }
    if (found != 0) {
        return found < 0 ? -1 : 0;
    }
    found = find_inserted(engine, table, record, &rowid, err);
    return found == 1 ? map_inserted(engine, table, record, rowid, err) : found;
}

static int is_same_file(struct mb_engine *engine, bool *same_out, struct mb_error *err)
{
    struct mb_file_stat info;
    int64_t inode;

    if (mb_file_stat(engine->config.db_path, &info, err) != 0 ||
        mb_state_get_int(engine->state, "db_inode", 0, &inode, err) != 0) {
        return -1;
    }
    *same_out = inode == (int64_t)(info.inode & INT64_MAX);
    return 0;
}

int mb_journal_recover(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int64_t count = 0;
    bool is_same = false;
    int step;

    if (mb_db_scalar(engine->state->db, "SELECT count(*) FROM journal WHERE in_flight", 0, &count,
                     err) != 0) {
        return -1;
    }
    if (count == 0) {
        return 0;
    }
    if (is_same_file(engine, &is_same, err) != 0 || mb_core_reload(engine, err) != 0) {
        return -1;
    }
    if (is_same) {
        if (mb_db_query(engine->state->db, "SELECT record FROM journal WHERE in_flight ORDER BY id",
                        &stmt, err) != 0) {
            return -1;
        }
        while ((step = mb_db_step(stmt, err)) == 1) {
            struct mb_record record;
            size_t size;
            const uint8_t *line = mb_db_blob(stmt, 0, &size);
            int rc = mb_record_decode((const char *)line, size, &record, err);
            if (rc == 0) {
                rc = recover_record(engine, &record, err);
                mb_record_release(&record);
            }
            if (rc != 0) {
                mb_db_reset(stmt);
                return -1;
            }
        }
        if (step < 0) {
            return -1;
        }
    }
    return mb_journal_done(engine, err);
}
