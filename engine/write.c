/* SPDX-License-Identifier: MIT */

#include "write.h"

#include "alloc.h"
#include "assert.h"
#include "attach.h"
#include "capture.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define SQL_MAX (64 * MB_KIB)
#define HASH_HEX 16

/* A list of columns to write, with their values. Values are borrowed. */
struct columns {
    const char *names[MB_LIMIT_COLUMNS + 8];
    struct mb_value values[MB_LIMIT_COLUMNS + 8];
    size_t count;
    char hash[2 * MB_DIGEST_SIZE + 1];
};

static void add(struct columns *list, const char *name, const struct mb_value *value)
{
    MB_ASSERT(list->count < MB_LIMIT_COLUMNS + 8);
    list->names[list->count] = name;
    list->values[list->count++] = *value;
}

static void add_text(struct columns *list, const char *name, const char *text)
{
    struct mb_value value = {MB_VALUE_TEXT, 0, 0, (const uint8_t *)text, 0};

    if (text == NULL) {
        value.type = MB_VALUE_NULL;
    } else {
        value.size = strlen(text);
    }
    add(list, name, &value);
}

static void add_int(struct columns *list, const char *name, int64_t number)
{
    struct mb_value value = {MB_VALUE_INTEGER, number, 0, NULL, 0};

    add(list, name, &value);
}

static struct mb_value *find(struct columns *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->names[i], name) == 0) {
            return &list->values[i];
        }
    }
    return NULL;
}

static int run(struct mb_engine *engine, const struct mb_buf *sql, const struct columns *list,
               int64_t rowid, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->live, mb_buf_text(sql), &stmt, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < list->count; i++) {
        mb_db_bind_value(stmt, (int)i + 1, &list->values[i]);
    }
    if (rowid != 0) {
        mb_db_bind_int(stmt, (int)list->count + 1, rowid);
    }
    return mb_db_run(stmt, err);
}

static int insert(struct mb_engine *engine, const char *table, const struct columns *list,
                  struct mb_error *err)
{
    struct mb_buf sql;
    int rc = -1;

    mb_buf_init(&sql, SQL_MAX);
    if (mb_buf_append_format(&sql, err, "INSERT INTO %s(", table) != 0) {
        goto out;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (mb_buf_append_format(&sql, err, "%s\"%s\"", i == 0 ? "" : ", ", list->names[i]) != 0) {
            goto out;
        }
    }
    if (mb_buf_append_text(&sql, ") VALUES(", err) != 0) {
        goto out;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (mb_buf_append_text(&sql, i == 0 ? "?" : ", ?", err) != 0) {
            goto out;
        }
    }
    if (mb_buf_append_text(&sql, ")", err) == 0) {
        rc = run(engine, &sql, list, 0, err);
    }
out:
    mb_buf_release(&sql);
    return rc;
}

static int update(struct mb_engine *engine, const char *table, int64_t rowid,
                  const struct columns *list, struct mb_error *err)
{
    struct mb_buf sql;
    int rc = -1;

    if (list->count == 0) {
        return 0;
    }
    mb_buf_init(&sql, SQL_MAX);
    if (mb_buf_append_format(&sql, err, "UPDATE %s SET ", table) != 0) {
        goto out;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (mb_buf_append_format(&sql, err, "%s\"%s\" = ?", i == 0 ? "" : ", ", list->names[i]) !=
            0) {
            goto out;
        }
    }
    if (mb_buf_append_text(&sql, " WHERE id = ?", err) == 0) {
        rc = run(engine, &sql, list, rowid, err);
    }
out:
    mb_buf_release(&sql);
    return rc;
}

/* claude-mem's hash of an observation: SHA-256(memory id, NUL, title, NUL, narrative), 16 digits.
 * With a salt where that one is taken by a row that is not the same. */
static void make_hash(struct columns *list, const char *memory, const uint8_t *salt)
{
    const struct mb_value *parts[2] = {find(list, "title"), find(list, "narrative")};
    struct mb_digest *digest = mb_digest_new();
    uint8_t full[MB_DIGEST_SIZE];

    mb_digest_update(digest, memory, strlen(memory));
    for (int i = 0; i < 2; i++) {
        mb_digest_update(digest, "", 1);
        if (parts[i] != NULL && parts[i]->type == MB_VALUE_TEXT) {
            mb_digest_update(digest, parts[i]->data, parts[i]->size);
        }
    }
    if (salt != NULL) {
        mb_digest_update(digest, salt, MB_ROW_ID_SIZE);
    }
    mb_digest_final(digest, full);
    mb_digest_free(digest);
    mb_digest_hex(full, HASH_HEX / 2, list->hash);
}

static int hash_is_taken(struct mb_engine *engine, const char *memory, const char *hash,
                         bool *taken_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->live,
                    "SELECT 1 FROM observations WHERE memory_session_id = ?1 AND content_hash = ?2",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, memory);
    mb_db_bind_text(stmt, 2, hash);
    step = mb_db_step(stmt, err);
    mb_db_reset(stmt);
    *taken_out = step == 1;
    return step < 0 ? -1 : 0;
}

static int add_hash(struct mb_engine *engine, struct columns *list, const char *memory,
                    const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    bool is_taken;

    make_hash(list, memory, NULL);
    if (hash_is_taken(engine, memory, list->hash, &is_taken, err) != 0) {
        return -1;
    }
    if (is_taken) {
        make_hash(list, memory, id);
    }
    add_text(list, "content_hash", list->hash);
    return 0;
}

/* Keeps what this database has no column for, for the day it has. */
static int keep_extra(struct mb_engine *engine, const struct mb_record *record,
                      const struct mb_schema_table *table, struct mb_error *err)
{
    struct mb_record extra = *record;
    struct mb_stmt *stmt;
    struct mb_buf line;
    int rc = -1;

    extra.column_count = 0;
    extra.register_count = 0;
    extra.columns = mb_alloc_zeroed(record->column_count + 1, sizeof(*extra.columns));
    mb_buf_init(&line, MB_LIMIT_RECORD_BYTES);
    for (size_t i = 0; i < record->column_count; i++) {
        bool is_identity = strcmp(record->columns[i].name, "platform_source") == 0;
        if (mb_schema_column_find(table, record->columns[i].name) < 0 && !is_identity) {
            extra.columns[extra.column_count++] = record->columns[i];
        }
    }
    if (extra.column_count == 0) {
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
                        const struct mb_state_row *known, struct columns *list)
{
    for (size_t i = 0; i < record->column_count; i++) {
        int index = mb_schema_column_find(table, record->columns[i].name);
        if (index >= 0 && !table->columns[index].is_local &&
            table->columns[index].register_index < 0) {
            add(list, record->columns[i].name, &record->columns[i].value);
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
            add(list, reg->name, &value->value);
        } else if (sent != NULL) {
            add(list, reg->name, &sent->value);
        }
    }
}

static const struct mb_value *register_value(const struct mb_state_row *known, const char *name)
{
    int index = mb_profile_register_find(&mb_profile_tables[known->table], name);

    return index < 0 || !known->regs.items[index].is_present ? NULL
                                                             : &known->regs.items[index].value;
}

static const uint8_t *reference(const struct mb_state_row *known, const char *name)
{
    const struct mb_value *value = register_value(known, name);

    return value != NULL && value->type == MB_VALUE_BLOB && value->size == MB_ROW_ID_SIZE
               ? value->data
               : NULL;
}

/* The columns by which a child names its parent. */
static int add_parent(struct mb_engine *engine, const struct mb_schema_table *table,
                      const struct mb_state_row *known, const char *orphan, struct columns *list,
                      struct mb_error *err)
{
    const struct mb_value *content_value = find(list, "content_session_id");
    char *content = NULL;
    struct mb_attach_wish wish = {known->table, reference(known, "session"), orphan, NULL,
                                  register_value(known, "project")};
    const struct mb_session *parent = NULL;
    int rc = 0;

    if (table->profile->link == MB_LINK_NONE) {
        return 0;
    }
    if (content_value != NULL && content_value->type == MB_VALUE_TEXT) {
        content = mb_alloc_text_n((const char *)content_value->data, content_value->size);
        wish.content = content;
    }
    if (table->profile->is_optional) { /* tool_uses: no foreign key, no stub made for it */
        parent = wish.id == NULL ? NULL : mb_sessions_by_id(engine->sessions, wish.id);
    } else {
        rc = mb_attach_parent(engine, &wish, &parent, err);
    }
    free(content);
    if (rc != 0) {
        return -1;
    }
    if (table->profile->link == MB_LINK_MEMORY_ID) {
        MB_ASSERT(parent != NULL && parent->memory != NULL);
        add_text(list, "memory_session_id", parent->memory);
    } else if (table->link_column >= 0 && parent != NULL) {
        add_int(list, "session_db_id", parent->rowid);
    }
    return 0;
}

static int add_observation_link(struct mb_engine *engine, const struct mb_schema_table *table,
                                const struct mb_state_row *known, struct columns *list,
                                struct mb_error *err)
{
    const uint8_t *id = reference(known, "observation");
    struct mb_state_row row;
    int found;

    if (table->observation_column < 0 || id == NULL) {
        return 0;
    }
    found = mb_state_row_find(engine->state, id, &row, err);
    if (found == 1) {
        if (row.has_local) {
            add_int(list, "observation_id", row.local);
        }
        mb_regs_release(&row.regs);
    }
    return found < 0 ? -1 : 0;
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
        if (mb_attach_note_stub(engine, by_memory->rowid, id, err) != 0 ||
            mb_sessions_refresh(engine->sessions, by_memory->rowid, err) != 0) {
            return -1;
        }
        *stub_out = mb_sessions_by_rowid(engine->sessions, rowid);
    }
    return 0;
}

static int take_stub_place(struct mb_engine *engine, const struct mb_session *stub,
                           const struct mb_record *record, const char *content,
                           const struct columns *list, struct mb_error *err)
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
    if (update(engine, "sdk_sessions", rowid, list, err) != 0 ||
        mb_db_query(engine->state->db, "DELETE FROM stub WHERE local = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, rowid);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    return mb_sessions_refresh(engine->sessions, rowid, err);
}

/* The session stands in the database though the map does not have it: dead until this record, it
 * was waiting to be removed. */
static int take_standing(struct mb_engine *engine, const struct mb_session *session,
                         const struct columns *list, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int64_t rowid = session->rowid;

    if (update(engine, "sdk_sessions", rowid, list, err) != 0 ||
        mb_db_query(engine->state->db, "DELETE FROM undead WHERE tbl = ?1 AND local = ?2", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, MB_TABLE_SESSIONS);
    mb_db_bind_int(stmt, 2, rowid);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    return mb_sessions_refresh(engine->sessions, rowid, err);
}

static int insert_session(struct mb_engine *engine, const struct mb_record *record,
                          struct mb_state_row *known, struct columns *list, struct mb_error *err)
{
    const struct mb_value *content_value = find(list, "content_session_id");
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
            add_text(list, "memory_session_id", record->orphan);
        }
        rc = insert(engine, "sdk_sessions", list, err);
        if (rc == 0) {
            known->local = mb_db_last_rowid(engine->live);
            rc = mb_sessions_refresh(engine->sessions, known->local, err);
        }
    }
    free(content);
    return rc;
}

static int insert_child(struct mb_engine *engine, const struct mb_record *record,
                        struct mb_state_row *known, const struct mb_schema_table *table,
                        struct columns *list, struct mb_error *err)
{
    const struct mb_value *memory;

    if (add_parent(engine, table, known, record->orphan, list, err) != 0 ||
        add_observation_link(engine, table, known, list, err) != 0) {
        return -1;
    }
    memory = find(list, "memory_session_id");
    if (table->hash_column >= 0 && memory != NULL &&
        add_hash(engine, list, (const char *)memory->data, known->id, err) != 0) {
        return -1;
    }
    /* claude-mem's own cloud sync takes rows without this for new ones of this device. */
    if (mb_schema_column_find(table, "synced_at") >= 0) {
        add_int(list, "synced_at", mb_core_now(engine));
    }
    if (insert(engine, table->profile->name, list, err) != 0) {
        return -1;
    }
    known->local = mb_db_last_rowid(engine->live);
    return 0;
}

/* A row that is refused must leave nothing behind: neither a stub made for it nor a name that was
 * changed. */
static int savepoint(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_db_exec(engine->live, "SAVEPOINT one_row", err) != 0) {
        return -1;
    }
    return mb_db_exec(engine->state->db, "SAVEPOINT one_row", err);
}

static int keep_savepoint(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_db_exec(engine->live, "RELEASE one_row", err) != 0) {
        return -1;
    }
    return mb_db_exec(engine->state->db, "RELEASE one_row", err);
}

static int undo_savepoint(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_sessions *sessions = NULL;

    if (mb_db_exec(engine->live, "ROLLBACK TO one_row; RELEASE one_row", err) != 0 ||
        mb_db_exec(engine->state->db, "ROLLBACK TO one_row; RELEASE one_row", err) != 0 ||
        mb_sessions_load(engine->live, engine->schema, engine->state, &sessions, err) != 0) {
        return -1;
    }
    mb_sessions_free(engine->sessions);
    engine->sessions = sessions;
    return 0;
}

/* Ends the row's savepoint. A constraint's refusal is no failure: *err then keeps its reason. */
static int end_savepoint(struct mb_engine *engine, bool is_set, int rc,
                         enum mb_write_result *result_out, struct mb_error *err)
{
    struct mb_error later;

    if (rc == 0) {
        return is_set ? keep_savepoint(engine, err) : 0;
    }
    if (!mb_db_failed_constraint(engine->live) || err->code != MB_ERR_FAILED) {
        return -1;
    }
    *result_out = MB_WRITE_REFUSED;
    if (is_set && undo_savepoint(engine, &later) != 0) {
        *err = later;
        return -1;
    }
    return 0;
}

/* Will the insert be one statement, which takes itself back when it is refused? Savepoints make FTS5 write out what it
 * holds, so they are only set where a stub may have to be made or renamed. */
static bool is_one_statement(struct mb_engine *engine, const struct mb_record *record,
                             const struct mb_state_row *known)
{
    const struct mb_schema_table *table = &engine->schema->tables[known->table];
    const uint8_t *parent_id = reference(known, "session");
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
    struct columns *list;
    bool is_set;
    int rc;

    *result_out = MB_WRITE_REFUSED;
    if (!is_representable(engine, record, known->table, err)) {
        return 0;
    }
    is_set = !is_one_statement(engine, record, known);
    if (is_set && savepoint(engine, err) != 0) {
        return -1;
    }
    *result_out = MB_WRITE_DONE;
    list = mb_alloc_zeroed(1, sizeof(*list));
    add_content(table, record, known, list);
    rc = known->table == MB_TABLE_SESSIONS ? insert_session(engine, record, known, list, err)
                                           : insert_child(engine, record, known, table, list, err);
    free(list);
    if (end_savepoint(engine, is_set, rc, result_out, err) != 0) {
        return -1;
    }
    if (*result_out == MB_WRITE_REFUSED) {
        return 0;
    }
    known->has_local = true;
    return keep_extra(engine, record, table, err) != 0 ? -1 : read_twin(engine, known, err);
}

static int add_changed_link(struct mb_engine *engine, const struct mb_live_row *row,
                            const struct mb_state_row *known, struct columns *list,
                            struct mb_error *err)
{
    size_t before = list->count;

    if (add_parent(engine, row->schema, known, NULL, list, err) != 0) {
        return -1;
    }
    if (list->count > before && row->schema->hash_column >= 0) {
        const struct mb_value *hash = &row->values[row->schema->hash_column];
        const char *memory = (const char *)list->values[before].data;
        bool is_taken = false;
        if (hash->type == MB_VALUE_TEXT &&
            hash_is_taken(engine, memory, (const char *)hash->data, &is_taken, err) != 0) {
            return -1;
        }
        if (is_taken) {
            make_hash(list, memory, known->id);
            add_text(list, "content_hash", list->hash);
        }
    }
    return 0;
}

/* Which registers the live row must get. Their dirty marks go. */
static int choose_registers(struct mb_engine *engine, const struct mb_live_row *row,
                            const struct mb_regs *local, struct mb_state_row *known,
                            struct columns *list, const char **first_name, struct mb_error *err)
{
    const struct mb_profile_table *profile = row->schema->profile;

    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        struct mb_reg *kept = &known->regs.items[i];
        const struct mb_reg *mine = &local->items[i];
        bool is_at_hand = !kept->is_hashed || kept->value.data != NULL;
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
            if (add_changed_link(engine, row, known, list, err) != 0) {
                return -1;
            }
        } else if (profile->registers[i].kind == MB_REGISTER_OBSERVATION) {
            if (add_observation_link(engine, row->schema, known, list, err) != 0) {
                return -1;
            }
        } else {
            add(list, profile->registers[i].name, &kept->value);
        }
    }
    return 0;
}

/* The database keeps its own values: they are not changes of a person here, and the known ones are tried again. */
static void mark_refused(const struct mb_live_row *row, const struct mb_regs *local,
                         struct mb_state_row *known)
{
    for (size_t i = 0; row->schema->profile->registers[i].name != NULL; i++) {
        struct mb_reg *kept = &known->regs.items[i];
        const struct mb_reg *mine = &local->items[i];
        if (kept->is_present && mine->is_present && kept->value.type != MB_VALUE_NULL &&
            !mb_regs_same_value(kept, mine)) {
            kept->is_dirty = true;
            kept->seen = mb_regs_fingerprint(mine);
        }
    }
}

int mb_write_registers(struct mb_engine *engine, struct mb_state_row *known, const char *source,
                       enum mb_write_result *result_out, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct columns *list = mb_alloc_zeroed(1, sizeof(*list));
    struct mb_stmt *stmt = NULL;
    struct mb_regs local;
    const char *first_name = NULL;
    char why[160];
    int rc = -1;

    mb_regs_init(&local);
    *result_out = MB_WRITE_NOTHING;
    rc = mb_live_find(engine, known->table, known->local, row, &stmt, err);
    if (rc != 1) {
        goto out; /* gone: the next capture sees it */
    }
    rc = -1;
    if (mb_live_regs(engine, row, &local, err) != 0 || savepoint(engine, err) != 0) {
        goto out;
    }
    rc = choose_registers(engine, row, &local, known, list, &first_name, err);
    if (rc == 0 && list->count > 0) {
        *result_out = MB_WRITE_DONE;
        rc = update(engine, row->schema->profile->name, known->local, list, err);
    }
    rc = end_savepoint(engine, true, rc, result_out, err);
    if (rc == 0 && *result_out == MB_WRITE_REFUSED) {
        mark_refused(row, &local, known);
    }
    if (rc != 0 || *result_out != MB_WRITE_DONE) {
        goto out;
    }
    (void)snprintf(why, sizeof(why), "%s changed on %s", first_name, source);
    mb_core_change(engine, MB_CHANGE_UPDATE, known->table, known->id, mb_live_title(row), why);
    if (known->table == MB_TABLE_SESSIONS) {
        rc = mb_sessions_refresh(engine->sessions, known->local, err);
    }
out:
    mb_db_reset(stmt);
    mb_regs_release(&local);
    free(list);
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
            return 0;
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
    return rc == 0 && table == MB_TABLE_SESSIONS ? mb_sessions_refresh(engine->sessions, rowid, err)
                                                 : rc;
}

int mb_write_columns(struct mb_engine *engine, int table, int64_t rowid,
                     const struct mb_record *record, struct mb_error *err)
{
    const struct mb_schema_table *schema = &engine->schema->tables[table];
    struct columns *list = mb_alloc_zeroed(1, sizeof(*list));
    int rc;

    for (size_t i = 0; i < record->column_count; i++) {
        int index = mb_schema_column_find(schema, record->columns[i].name);
        if (index >= 0 && !schema->columns[index].is_local &&
            schema->columns[index].register_index < 0 && !schema->columns[index].is_identity) {
            add(list, record->columns[i].name, &record->columns[i].value);
        }
    }
    rc = update(engine, schema->profile->name, rowid, list, err);
    free(list);
    return rc;
}
