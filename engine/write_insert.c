/* SPDX-License-Identifier: MIT */

#include "write_insert.h"

#include "alloc.h"
#include "assert.h"
#include "attach.h"
#include "capture.h"
#include "limits.h"
#include "text.h"
#include "write.h"
#include "write_link.h"
#include "write_list.h"
#include "write_savepoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* How many columns are kept of this row already? */
static int count_extra(struct mb_engine *engine, const uint8_t id[static MB_ROW_ID_SIZE],
                       size_t *count_out, struct mb_error *err)
{
    struct mb_record kept;
    struct mb_stmt *stmt;
    size_t size;
    int step;

    *count_out = 0;
    if (mb_db_query(engine->state->db, "SELECT record FROM extra WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    step = mb_db_step(stmt, err);
    if (step == 1) {
        const uint8_t *line = mb_db_blob(stmt, 0, &size);
        step = mb_record_decode((const char *)line, size > 0 ? size - 1 : 0, &kept, err);
        if (step == 0) {
            *count_out = kept.column_count;
            mb_record_release(&kept);
        }
    }
    mb_db_reset(stmt);
    return step < 0 ? -1 : 0;
}

int mb_write_insert_keep_extra(struct mb_engine *engine, const struct mb_record *record,
                               struct mb_error *err)
{
    const struct mb_schema_table *table = &engine->schema->tables[mb_profile_find(record->table)];
    struct mb_record extra = *record;
    struct mb_stmt *stmt;
    struct mb_buf line;
    size_t kept_count;
    int rc = -1;

    extra.column_count = 0;
    extra.register_count = 0;
    extra.columns = NULL;
    for (size_t i = 0; i < record->column_count; i++) {
        bool is_identity = strcmp(record->columns[i].name, "platform_source") == 0;
        if (mb_schema_column_find(table, record->columns[i].name) < 0 && !is_identity) {
            extra.columns =
                mb_alloc_resize(extra.columns, extra.column_count + 1, sizeof(*extra.columns));
            extra.columns[extra.column_count++] = record->columns[i];
        }
    }
    if (extra.column_count == 0) {
        return 0;
    }
    mb_buf_init(&line, MB_LIMIT_RECORD_BYTES);
    if (count_extra(engine, record->row_id, &kept_count, err) != 0) {
        goto out;
    }
    if (kept_count >= extra.column_count) { /* payload does not change */
        rc = 0;
        goto out;
    }
    if (mb_record_encode(&extra, &line, err) != 0 ||
        mb_db_query(engine->state->db, "INSERT OR REPLACE INTO extra(id, record) VALUES(?1, ?2)",
                    &stmt, err) != 0) {
        goto out;
    }
    mb_db_bind_blob(stmt, 1, record->row_id, MB_ROW_ID_SIZE);
    mb_db_bind_blob(stmt, 2, line.data, line.size);
    rc = mb_db_run(stmt, err);
out:
    free(extra.columns);
    mb_buf_release(&line);
    return rc;
}

/* Identity and payload columns that exist here, and registers: the known value, or the record's own
 * text where the state has only its hash. */
static void add_content(const struct mb_schema_table *table, const struct mb_record *record,
                        const struct mb_state_row *known, struct mb_write_list *list)
{
    for (size_t i = 0; i < record->column_count; i++) {
        int index = mb_schema_column_find(table, record->columns[i].name);
        if (index >= 0 && !table->columns[index].is_local &&
            table->columns[index].register_index < 0) {
            mb_write_list_add(list, record->columns[i].name, &record->columns[i].value);
        }
    }
    for (size_t i = 0; table->profile->registers[i].name != NULL; i++) {
        const struct mb_profile_register *reg = &table->profile->registers[i];
        const struct mb_reg *value = &known->regs.items[i];
        const struct mb_register *sent = mb_record_register(record, reg->name);
        if (reg->kind != MB_REGISTER_COLUMN || mb_schema_column_find(table, reg->name) < 0) {
            continue;
        }
        if (value->is_present && (!value->is_hashed || value->value.data != NULL)) {
            mb_write_list_add(list, reg->name, &value->value);
        } else if (sent != NULL) {
            mb_write_list_add(list, reg->name, &sent->value);
        }
    }
}

static void refuse(struct mb_error *err, const char *why)
{
    (void)mb_error_set(err, MB_ERR_SCHEMA, "%s", why);
}

/* The stub whose place a true session takes: one that an old schema's prompt made under its content
 * id (which is UNIQUE), or one that stands for it, or one named as the session was named at its
 * origin. Where there are several, the others are noted to stand for it, and tidied later. */
static int find_stub(struct mb_engine *engine, const struct mb_record *record,
                     const uint8_t id[static MB_ROW_ID_SIZE], const char *content,
                     const struct mb_session **stub_out, struct mb_error *err)
{
    const struct mb_session *by_content = mb_sessions_by_content(engine->sessions, content);
    const struct mb_session *by_id = mb_sessions_by_id(engine->sessions, id);
    const struct mb_session *by_memory =
        record->orphan == NULL ? NULL : mb_sessions_by_memory(engine->sessions, record->orphan);
    bool content_is_ours = by_content != NULL && by_content->is_stub;
    bool memory_is_ours = by_memory != NULL && by_memory->is_stub && !by_memory->has_id;

    *stub_out = content_is_ours                   ? by_content
                : by_id != NULL && by_id->is_stub ? by_id
                : memory_is_ours                  ? by_memory
                                                  : NULL;
    if (memory_is_ours && *stub_out != by_memory) {
        int64_t rowid = (*stub_out)->rowid;
        if (mb_attach_note_stub(engine, by_memory->rowid, id, err) != 0) {
            return -1;
        }
        mb_sessions_refresh(engine->sessions, by_memory->rowid);
        return mb_sessions_need(engine->sessions, rowid, stub_out, err);
    }
    return 0;
}

static int take_stub_place(struct mb_engine *engine, const struct mb_session *stub,
                           const struct mb_record *record, const char *content,
                           const struct mb_write_list *list, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int64_t rowid = stub->rowid;
    bool is_made_up = stub->memory == NULL || mb_text_has_prefix(stub->memory, "membridge-stub-") ||
                      strcmp(stub->memory, content) == 0;

    if (is_made_up) {
        char hex[2 * MB_ROW_ID_SIZE + 1];
        char *memory;
        bool is_free = record->orphan != NULL && strcmp(record->orphan, content) != 0 &&
                       mb_sessions_by_memory(engine->sessions, record->orphan) == NULL;
        int rc;
        mb_digest_hex(record->row_id, 8, hex);
        memory = is_free ? mb_alloc_text(record->orphan) : mb_alloc_format("membridge-%s", hex);
        rc = mb_attach_set_memory(engine, rowid, memory, err);
        free(memory);
        if (rc != 0) {
            return -1;
        }
    }
    if (mb_write_list_update(engine, "sdk_sessions", rowid, list, err) != 0 ||
        mb_db_query(engine->state->db, "DELETE FROM stub WHERE local = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, rowid);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    mb_sessions_refresh(engine->sessions, rowid);
    return 0;
}

/* The session stands in the database though the map does not have it: dead until this record, it
 * was waiting to be removed. */
static int take_standing(struct mb_engine *engine, const struct mb_session *session,
                         const struct mb_write_list *list, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int64_t rowid = session->rowid;

    if (mb_write_list_update(engine, "sdk_sessions", rowid, list, err) != 0 ||
        mb_db_query(engine->state->db, "DELETE FROM undead WHERE tbl = ?1 AND local = ?2", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, MB_TABLE_SESSIONS);
    mb_db_bind_int(stmt, 2, rowid);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    mb_sessions_refresh(engine->sessions, rowid);
    return 0;
}

static int insert_session(struct mb_engine *engine, const struct mb_record *record,
                          struct mb_state_row *known, struct mb_write_list *list,
                          struct mb_error *err)
{
    const struct mb_value *content_value = mb_write_list_find(list, "content_session_id");
    const struct mb_session *standing = mb_sessions_by_id(engine->sessions, known->id);
    const struct mb_session *stub;
    char *content;
    int rc = -1;

    MB_ASSERT(content_value != NULL);
    if (standing != NULL && !standing->is_stub) {
        known->local = standing->rowid;
        return take_standing(engine, standing, list, err);
    }
    content = mb_alloc_text_n((const char *)content_value->data, content_value->size);
    if (find_stub(engine, record, known->id, content, &stub, err) != 0) {
        free(content);
        return -1;
    }
    if (stub != NULL) {
        known->local = stub->rowid;
        rc = take_stub_place(engine, stub, record, content, list, err);
    } else {
        bool is_free = record->orphan != NULL && strcmp(record->orphan, content) != 0 &&
                       mb_sessions_by_memory(engine->sessions, record->orphan) == NULL;
        if (is_free) {
            mb_write_list_text(list, "memory_session_id", record->orphan);
        }
        rc = mb_write_list_insert(engine, "sdk_sessions", list, err);
        if (rc == 0) {
            known->local = mb_db_last_rowid(engine->live);
            mb_sessions_refresh(engine->sessions, known->local);
        }
    }
    free(content);
    return rc;
}

int mb_write_insert_list(struct mb_engine *engine, const struct mb_record *record,
                         const struct mb_state_row *known, struct mb_write_list *list,
                         struct mb_error *err)
{
    const struct mb_schema_table *table = &engine->schema->tables[known->table];
    const struct mb_value *memory;

    add_content(table, record, known, list);
    if (mb_write_link_parent(engine, table, known, record->orphan, list, err) != 0 ||
        mb_write_link_observation(engine, table, known, list, err) != 0) {
        return -1;
    }
    memory = mb_write_list_find(list, "memory_session_id");
    if (table->hash_column >= 0 && memory != NULL &&
        mb_write_list_hash(engine, list, (const char *)memory->data, known->id, err) != 0) {
        return -1;
    }
    /* claude-mem's own cloud sync takes rows without this for new ones of this device. */
    if (mb_schema_column_find(table, "synced_at") >= 0) {
        mb_write_list_int(list, "synced_at", mb_core_now(engine));
    }
    return 0;
}

static int insert_child(struct mb_engine *engine, const struct mb_record *record,
                        struct mb_state_row *known, struct mb_write_list *list,
                        struct mb_error *err)
{
    if (mb_write_insert_list(engine, record, known, list, err) != 0 ||
        mb_write_list_insert(engine, mb_profile_tables[known->table].name, list, err) != 0) {
        return -1;
    }
    known->local = mb_db_last_rowid(engine->live);
    return 0;
}

/* Will the insert be one statement, which takes itself back when it is refused? Savepoints make
 * FTS5 write out what it holds, so they are only set where a stub may have to be made or renamed.
 * */
static bool is_one_statement(struct mb_engine *engine, const struct mb_record *record,
                             const struct mb_state_row *known)
{
    const struct mb_schema_table *table = &engine->schema->tables[known->table];
    const uint8_t *parent_id = mb_write_link_reference(known, "session");
    const struct mb_session *parent;

    if (known->table == MB_TABLE_SESSIONS) {
        return record->orphan != NULL && mb_sessions_by_id(engine->sessions, known->id) == NULL &&
               mb_sessions_by_memory(engine->sessions, record->orphan) == NULL &&
               engine->schema->has_platform;
    }
    if (table->links_by_content) {
        return false;
    }
    parent = parent_id == NULL ? NULL : mb_sessions_by_id(engine->sessions, parent_id);
    return parent != NULL && parent->memory != NULL;
}

static bool is_representable(struct mb_engine *engine, const struct mb_record *record, int table,
                             struct mb_error *err)
{
    const struct mb_column *platform = mb_record_column(record, "platform_source");

    if (!engine->schema->tables[table].is_present) {
        refuse(err, "this claude-mem has no such table");
        return false;
    }
    if (table == MB_TABLE_SESSIONS && !engine->schema->has_platform && platform != NULL &&
        (platform->value.type != MB_VALUE_TEXT ||
         platform->value.size != strlen(MB_PROFILE_PLATFORM) ||
         memcmp(platform->value.data, MB_PROFILE_PLATFORM, platform->value.size) != 0)) {
        refuse(err, "this claude-mem knows no platforms but claude");
        return false;
    }
    return true;
}

static int read_twin(struct mb_engine *engine, struct mb_state_row *known, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct mb_stmt *stmt = NULL;
    int step = mb_live_find(engine, known->table, known->local, row, &stmt, err);

    if (step == 1) {
        known->twin = mb_live_twin(row);
        mb_db_reset(stmt);
    }
    free(row);
    return step < 0 ? -1 : 0;
}

int mb_write_insert(struct mb_engine *engine, const struct mb_record *record,
                    struct mb_state_row *known, enum mb_write_result *result_out,
                    struct mb_error *err)
{
    const struct mb_schema_table *table = &engine->schema->tables[known->table];
    struct mb_write_list *list;
    bool is_set;
    int rc;

    *result_out = MB_WRITE_REFUSED;
    if (!is_representable(engine, record, known->table, err)) {
        return 0;
    }
    is_set = !is_one_statement(engine, record, known);
    if (is_set && mb_write_savepoint(engine, err) != 0) {
        return -1;
    }
    *result_out = MB_WRITE_DONE;
    list = mb_alloc_zeroed(1, sizeof(*list));
    if (known->table == MB_TABLE_SESSIONS) {
        add_content(table, record, known, list);
        rc = insert_session(engine, record, known, list, err);
    } else {
        rc = insert_child(engine, record, known, list, err);
    }
    free(list);
    if (mb_write_savepoint_end(engine, is_set, rc, result_out, err) != 0) {
        return -1;
    }
    if (*result_out == MB_WRITE_REFUSED) {
        return 0;
    }
    known->has_local = true;
    return mb_write_insert_keep_extra(engine, record, err) != 0 ? -1
                                                                : read_twin(engine, known, err);
}

bool mb_write_insert_is_simple(struct mb_engine *engine, const struct mb_record *record,
                               const struct mb_state_row *known)
{
    struct mb_error ignored;

    return known->table != MB_TABLE_SESSIONS && !mb_profile_tables[known->table].is_optional &&
           is_representable(engine, record, known->table, &ignored) &&
           is_one_statement(engine, record, known);
}
