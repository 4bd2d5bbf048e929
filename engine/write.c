/* SPDX-License-Identifier: MIT */

#include "write.h"

#include "alloc.h"
#include "assert.h"
#include "attach.h"
#include "capture.h"
#include "limits.h"
#include "text.h"
#include "write_link.h"
#include "write_list.h"
#include "write_savepoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Which registers the live row must get. Their dirty marks go. */
static int choose_registers(struct mb_engine *engine, const struct mb_live_row *row,
                            const struct mb_regs *local, struct mb_state_row *known, uint32_t mask,
                            struct mb_write_list *list, const char **first_name,
                            struct mb_error *err)
{
    const struct mb_profile_table *profile = row->schema->profile;

    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        struct mb_reg *kept = &known->regs.items[i];
        const struct mb_reg *mine = &local->items[i];
        bool is_at_hand = !kept->is_hashed || kept->value.data != NULL;
        if ((mask >> i & 1) == 0) {
            continue;
        }
        if (!is_at_hand && kept->is_dirty && !mb_regs_same_value(kept, mine)) {
            continue; /* waits for the text, which the store has */
        }
        kept->is_dirty = false;
        if (!kept->is_present || kept->value.type == MB_VALUE_NULL ||
            mb_regs_same_value(kept, mine) || !is_at_hand ||
            mb_capture_regs_is_fixed(row, &profile->registers[i], kept) ||
            (profile->registers[i].kind == MB_REGISTER_COLUMN && !mine->is_present) ||
            (profile->registers[i].rule == MB_RULE_LONGEST &&
             mb_regs_compare(MB_RULE_LONGEST, kept, mine) <= 0)) {
            continue;
        }
        *first_name = *first_name == NULL ? profile->registers[i].name : *first_name;
        if (profile->registers[i].kind == MB_REGISTER_SESSION) {
            if (mb_write_link_changed(engine, row, known, list, err) != 0) {
                return -1;
            }
        } else if (profile->registers[i].kind == MB_REGISTER_OBSERVATION) {
            if (mb_write_link_observation(engine, row->schema, known, list, err) != 0) {
                return -1;
            }
        } else {
            mb_write_list_add(list, profile->registers[i].name, &kept->value);
        }
    }
    return 0;
}

/* The database keeps its own value: that is not a change of a person here, and the known one is
 * tried again. */
static void mark_refused(const struct mb_regs *local, struct mb_state_row *known, uint32_t mask)
{
    for (size_t i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        struct mb_reg *kept = &known->regs.items[i];
        const struct mb_reg *mine = &local->items[i];
        if ((mask >> i & 1) != 0 && kept->is_present && mine->is_present &&
            kept->value.type != MB_VALUE_NULL && !mb_regs_same_value(kept, mine)) {
            kept->is_dirty = true;
            kept->seen = mb_regs_fingerprint(mine);
        }
    }
}

/* Writes the registers of the mask in one statement: all or none. */
static int write_some(struct mb_engine *engine, const struct mb_live_row *row,
                      const struct mb_regs *local, struct mb_state_row *known, uint32_t mask,
                      const char **first_name, enum mb_write_result *result_out,
                      struct mb_error *err)
{
    struct mb_write_list *list = mb_alloc_zeroed(1, sizeof(*list));
    int rc = mb_write_savepoint(engine, err);

    *result_out = MB_WRITE_NOTHING;
    if (rc == 0) {
        rc = choose_registers(engine, row, local, known, mask, list, first_name, err);
        if (rc == 0 && list->count > 0) {
            *result_out = MB_WRITE_DONE;
            rc = mb_write_list_update(engine, row->schema->profile->name, known->local, list, err);
        }
        rc = mb_write_savepoint_end(engine, true, rc, result_out, err);
    }
    free(list);
    if (rc == 0 && *result_out == MB_WRITE_REFUSED) {
        mark_refused(local, known, mask);
    }
    return rc;
}

/* One value that is refused must not keep the others away: one by one. */
static int write_each(struct mb_engine *engine, const struct mb_live_row *row,
                      const struct mb_regs *local, struct mb_state_row *known,
                      const char **first_name, enum mb_write_result *result_out,
                      struct mb_error *err)
{
    *result_out = MB_WRITE_REFUSED;
    for (unsigned i = 0; row->schema->profile->registers[i].name != NULL; i++) {
        enum mb_write_result result;
        const char *name = NULL;
        if (write_some(engine, row, local, known, (uint32_t)1 << i, &name, &result, err) != 0) {
            return -1;
        }
        if (result == MB_WRITE_DONE) {
            *result_out = MB_WRITE_DONE;
            *first_name = name;
        }
    }
    return 0;
}

int mb_write_registers(struct mb_engine *engine, struct mb_state_row *known, const char *source,
                       enum mb_write_result *result_out, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_stmt *stmt = NULL;
    struct mb_regs local;
    const char *first_name = NULL;
    char why[160];
    int rc = mb_live_find(engine, known->table, known->local, row, &stmt, err);

    mb_regs_init(&local);
    *result_out = MB_WRITE_NOTHING;
    if (rc != 1) {
        goto out; /* gone: the next capture sees it */
    }
    rc = mb_live_regs(engine, row, &local, err);
    if (rc == 0) {
        rc = write_some(engine, row, &local, known, UINT32_MAX, &first_name, result_out, err);
    }
    if (rc == 0 && *result_out == MB_WRITE_REFUSED) {
        rc = write_each(engine, row, &local, known, &first_name, result_out, err);
    }
    if (rc != 0 || *result_out != MB_WRITE_DONE) {
        goto out;
    }
    (void)snprintf(why, sizeof(why), "%s changed on %s", first_name, source);
    mb_core_change(engine, MB_CHANGE_UPDATE, known->table, known->id, mb_live_title(row), why);
    if (known->table == MB_TABLE_SESSIONS) {
        mb_sessions_refresh(engine->sessions, known->local);
    }
out:
    mb_db_reset(stmt);
    mb_regs_release(&local);
    free(row);
    return rc;
}

int mb_write_delete(struct mb_engine *engine, int table, int64_t rowid,
                    const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    struct mb_stmt *stmt = NULL;
    char *sql;
    int rc;

    if (table == MB_TABLE_SESSIONS) {
        const struct mb_session *session = mb_sessions_by_rowid(engine->sessions, rowid);
        bool has_children = false;
        if (session == NULL) {
            return mb_sessions_check(engine->sessions, err);
        }
        if (mb_attach_has_children(engine, session, &has_children, err) != 0) {
            return -1;
        }
        if (has_children) {
            return mb_attach_make_stub(engine, session, id, err);
        }
    }
    sql = mb_alloc_format("DELETE FROM %s WHERE id = ?1", mb_profile_tables[table].name);
    rc = mb_db_prepare(engine->live, sql, &stmt, err);
    if (rc == 0) {
        mb_db_bind_int(stmt, 1, rowid);
        rc = mb_db_run(stmt, err);
    }
    mb_db_finalize(stmt);
    free(sql);
    if (rc == 0 && table == MB_TABLE_SESSIONS) {
        mb_sessions_refresh(engine->sessions, rowid);
    }
    return rc;
}

static bool is_payload(const struct mb_schema_column *column)
{
    return !column->is_local && !column->is_identity && column->register_index < 0;
}

int mb_write_fill(struct mb_engine *engine, const struct mb_state_row *known,
                  const struct mb_record *record, enum mb_write_result *result_out,
                  struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_write_list *list = mb_alloc_zeroed(1, sizeof(*list));
    struct mb_stmt *stmt = NULL;
    int rc = mb_live_find(engine, known->table, known->local, row, &stmt, err);

    *result_out = MB_WRITE_NOTHING;
    for (size_t i = 0; rc == 1 && i < record->column_count; i++) {
        int index = mb_schema_column_find(row->schema, record->columns[i].name);
        if (index >= 0 && is_payload(&row->schema->columns[index]) &&
            row->values[index].type == MB_VALUE_NULL &&
            record->columns[i].value.type != MB_VALUE_NULL) {
            mb_write_list_add(list, record->columns[i].name, &record->columns[i].value);
        }
    }
    mb_db_reset(stmt);
    if (rc == 1 && list->count > 0) {
        *result_out = MB_WRITE_DONE;
        rc = mb_write_list_update(engine, mb_profile_tables[known->table].name, known->local, list,
                                  err);
        rc = mb_write_savepoint_end(engine, false, rc, result_out, err);
    }
    free(list);
    free(row);
    return rc < 0 ? -1 : 0;
}

int mb_write_columns(struct mb_engine *engine, int table, int64_t rowid,
                     const struct mb_record *record, struct mb_error *err)
{
    const struct mb_schema_table *schema = &engine->schema->tables[table];
    struct mb_write_list *list = mb_alloc_zeroed(1, sizeof(*list));
    int rc;

    for (size_t i = 0; i < record->column_count; i++) {
        int index = mb_schema_column_find(schema, record->columns[i].name);
        if (index >= 0 && is_payload(&schema->columns[index])) {
            mb_write_list_add(list, record->columns[i].name, &record->columns[i].value);
        }
    }
    rc = mb_write_list_update(engine, schema->profile->name, rowid, list, err);
    free(list);
    return rc;
}
