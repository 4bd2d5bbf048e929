/* SPDX-License-Identifier: MIT */

#include "live.h"

#include "alloc.h"
#include "assert.h"
#include "fingerprint.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

static bool value_is(const struct mb_value *value, const char *text)
{
    return value->type == MB_VALUE_TEXT && value->size == strlen(text) &&
           memcmp(value->data, text, value->size) == 0;
}

static const struct mb_value *by_name(const struct mb_live_row *row, const char *column)
{
    int index = mb_schema_column_find(row->schema, column);

    return index < 0 ? NULL : &row->values[index];
}

/* The text of a value as a C string, or NULL; session names with NULs inside are nobody's. */
static const char *text_of(const struct mb_value *value)
{
    if (value->type != MB_VALUE_TEXT || memchr(value->data, '\0', value->size) != NULL) {
        return NULL;
    }
    return (const char *)value->data; /* SQLite puts a NUL behind */
}

static const struct mb_session *find_session(struct mb_engine *engine,
                                             const struct mb_live_row *row)
{
    const struct mb_schema_table *schema = row->schema;
    const char *name;

    if (row->table == MB_TABLE_SESSIONS) {
        return mb_sessions_by_rowid(engine->sessions, row->rowid);
    }
    if (schema->profile->link == MB_LINK_MEMORY_ID) {
        name = text_of(&row->values[schema->memory_column]);
        return name == NULL ? NULL : mb_sessions_by_memory(engine->sessions, name);
    }
    if (schema->link_column >= 0) {
        const struct mb_value *link = &row->values[schema->link_column];
        return link->type == MB_VALUE_INTEGER
                   ? mb_sessions_by_rowid(engine->sessions, link->integer)
                   : NULL;
    }
    name = text_of(&row->values[schema->content_column]);
    return name == NULL ? NULL : mb_sessions_by_content(engine->sessions, name);
}

void mb_live_read(struct mb_engine *engine, int table, struct mb_stmt *stmt,
                  struct mb_live_row *row_out)
{
    const struct mb_value *project;
    const struct mb_value *created;

    row_out->table = table;
    row_out->first_id = NULL;
    row_out->schema = &engine->schema->tables[table];
    row_out->rowid = mb_db_int(stmt, 0);
    MB_ASSERT(row_out->schema->column_count <= MB_LIMIT_COLUMNS);
    for (size_t i = 0; i < row_out->schema->column_count; i++) {
        mb_db_value(stmt, (int)i + 1, &row_out->values[i]);
    }
    created = by_name(row_out, row_out->schema->profile->created_column);
    row_out->created = created != NULL && created->type == MB_VALUE_INTEGER ? created->integer : 0;
    row_out->session = find_session(engine, row_out);
    project = by_name(row_out, "project");
    row_out->is_excluded =
        (project != NULL && value_is(project, MB_PROFILE_OBSERVER_PROJECT)) ||
        (row_out->session != NULL && row_out->session->is_excluded) ||
        (table == MB_TABLE_SESSIONS && (row_out->session == NULL || row_out->session->is_stub));
}

int mb_live_find(struct mb_engine *engine, int table, int64_t rowid, struct mb_live_row *row_out,
                 struct mb_stmt **stmt_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (!engine->schema->tables[table].is_present) {
        return 0; /* switched off, or an older schema came back: its rows are out of reach */
    }
    if (mb_db_query(engine->live, engine->schema->tables[table].sql_row, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, rowid);
    step = mb_db_step(stmt, err);
    if (step == 1) {
        mb_live_read(engine, table, stmt, row_out);
        *stmt_out = stmt;
    }
    return step;
}

void mb_live_row_id(struct mb_engine *engine, const struct mb_live_row *row, int64_t copy,
                    uint8_t out[static MB_ROW_ID_SIZE])
{
    struct mb_identity identity = {row->schema->profile, {{0}}};

    for (size_t i = 0; identity.table->identity[i].column != NULL; i++) {
        mb_identity_set(&identity, i, by_name(row, identity.table->identity[i].column));
    }
    mb_identity_row_id(engine->state->sha, &identity, copy, out);
}

/* The row id of the observation that a tool use points at: 1, or 0 if it has none that we know. */
static int observation_id(struct mb_engine *engine, const struct mb_live_row *row,
                          uint8_t id_out[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    const struct mb_value *link;

    if (row->schema->observation_column < 0) {
        return 0;
    }
    link = &row->values[row->schema->observation_column];
    if (link->type != MB_VALUE_INTEGER) {
        return 0;
    }
    return mb_state_id_at(engine->state, MB_TABLE_OBSERVATIONS, link->integer, id_out, err);
}

/* A reference as a value. The id is copied: the sessions in memory may move while the registers
 * are used. */
static int reference_value(struct mb_engine *engine, const struct mb_live_row *row,
                           enum mb_profile_register_kind kind, struct mb_regs *regs,
                           struct mb_value *value_out, struct mb_error *err)
{
    size_t offset = kind == MB_REGISTER_SESSION ? 0 : MB_ROW_ID_SIZE;
    int found;

    if (regs->owned == NULL) {
        regs->owned = mb_alloc_zeroed(2, MB_ROW_ID_SIZE);
    }
    memset(value_out, 0, sizeof(*value_out));
    value_out->type = MB_VALUE_NULL;
    if (kind == MB_REGISTER_SESSION) {
        found = row->session != NULL && row->session->has_id ? 1 : 0;
        if (found == 1) {
            memcpy(regs->owned, row->session->id, MB_ROW_ID_SIZE);
        }
    } else {
        found = observation_id(engine, row, regs->owned + offset, err);
    }
    if (found == 1) {
        value_out->type = MB_VALUE_BLOB;
        value_out->data = regs->owned + offset;
        value_out->size = MB_ROW_ID_SIZE;
    }
    return found < 0 ? -1 : 0;
}

int mb_live_regs(struct mb_engine *engine, const struct mb_live_row *row, struct mb_regs *regs_out,
                 struct mb_error *err)
{
    const struct mb_profile_table *profile = row->schema->profile;
    /* A session's start is a register itself, so it cannot date the others. */
    struct mb_version initial = mb_regs_initial(row->table == MB_TABLE_SESSIONS ? 0 : row->created);

    mb_regs_init(regs_out);
    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        const struct mb_profile_register *reg = &profile->registers[i];
        struct mb_value value;
        if (reg->kind == MB_REGISTER_COLUMN) {
            const struct mb_value *column = by_name(row, reg->name);
            if (column == NULL) {
                continue; /* an older schema: the register is not known here */
            }
            value = *column;
        } else if (reference_value(engine, row, reg->kind, regs_out, &value, err) != 0) {
            mb_regs_release(regs_out);
            return -1;
        }
        mb_regs_make(reg->rule, &value, &initial, &regs_out->items[i]);
    }
    return 0;
}

int64_t mb_live_twin_of(const struct mb_value *memory, const struct mb_value *hash)
{
    uint64_t twin = MB_FINGERPRINT_START;

    if (memory->type != MB_VALUE_TEXT || hash->type != MB_VALUE_TEXT) {
        return 0;
    }
    twin = mb_fingerprint_add(twin, memory->data, memory->size);
    twin = mb_fingerprint_add(twin, "", 1); /* a NUL between */
    twin = mb_fingerprint_add(twin, hash->data, hash->size);
    return mb_fingerprint_int64(mb_fingerprint_add(twin, "", 1));
}

int64_t mb_live_twin(const struct mb_live_row *row)
{
    const struct mb_value *memory;

    if (row->schema->memory_column < 0) {
        return 0;
    }
    memory = &row->values[row->schema->memory_column];
    if (row->table == MB_TABLE_SESSIONS) {
        return memory->type != MB_VALUE_TEXT
                   ? 0
                   : mb_fingerprint_int64(
                         mb_fingerprint_add(MB_FINGERPRINT_START, memory->data, memory->size));
    }
    return row->schema->hash_column < 0
               ? 0
               : mb_live_twin_of(memory, &row->values[row->schema->hash_column]);
}

const struct mb_value *mb_live_title(const struct mb_live_row *row)
{
    const struct mb_profile_table *profile = row->schema->profile;

    for (size_t i = 0; profile->title[i] != NULL; i++) {
        const struct mb_value *value = by_name(row, profile->title[i]);
        if (value != NULL && value->type == MB_VALUE_TEXT && value->size > 0) {
            return value;
        }
    }
    return NULL;
}

void mb_live_registers_record(int table, const uint8_t id[static MB_ROW_ID_SIZE],
                              const struct mb_regs *regs, uint32_t mask,
                              struct mb_record *record_out)
{
    const struct mb_profile_table *profile = &mb_profile_tables[table];

    memset(record_out, 0, sizeof(*record_out));
    record_out->kind = MB_RECORD_REGISTERS;
    record_out->table = profile->name;
    memcpy(record_out->row_id, id, MB_ROW_ID_SIZE);
    record_out->registers =
        mb_alloc_zeroed(MB_PROFILE_REGISTERS_MAX, sizeof(*record_out->registers));
    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        const struct mb_reg *reg = &regs->items[i];
        struct mb_register *target = &record_out->registers[record_out->register_count];
        bool is_at_hand = !reg->is_hashed || reg->value.data != NULL;
        if ((mask >> i & 1) == 0 || !reg->is_present || !is_at_hand) {
            continue;
        }
        target->name = profile->registers[i].name;
        target->version = reg->version;
        target->parent = reg->parent;
        target->value = reg->value;
        record_out->register_count++;
    }
}

/* Where the state knows only the hash of a text, the row's own text is the one to send. */
static int known_regs(struct mb_engine *engine, const struct mb_live_row *row,
                      const struct mb_state_row *known, struct mb_regs *regs_out,
                      struct mb_error *err)
{
    struct mb_regs local;

    if (mb_live_regs(engine, row, &local, err) != 0) {
        return -1;
    }
    *regs_out = known->regs;
    regs_out->owned = local.owned; /* released with the record; known->regs keeps its own */
    for (int i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        struct mb_reg *reg = &regs_out->items[i];
        if (reg->is_present && reg->is_hashed && reg->value.data == NULL) {
            *reg = local.items[i];
        }
    }
    return 0;
}

static void add_columns(const struct mb_live_row *row, const struct mb_record *extra,
                        struct mb_record *record)
{
    const struct mb_profile_table *profile = row->schema->profile;
    size_t extra_count = extra == NULL ? 0 : extra->column_count;

    record->columns =
        mb_alloc_zeroed(row->schema->column_count + MB_IDENTITY_VALUES_MAX + extra_count + 1,
                        sizeof(*record->columns));
    for (size_t i = 0; profile->identity[i].column != NULL; i++) {
        const char *name = profile->identity[i].column;
        struct mb_identity identity = {profile, {{0}}};
        const struct mb_value *value = by_name(row, name);
        if (mb_profile_register_find(profile, name) >= 0) {
            continue; /* travels as a register */
        }
        mb_identity_set(&identity, i, value);
        record->columns[record->column_count].name = name;
        record->columns[record->column_count++].value = identity.values[i];
    }
    for (size_t i = 0; i < row->schema->column_count; i++) {
        const struct mb_schema_column *column = &row->schema->columns[i];
        if (column->is_identity || column->is_local || column->register_index >= 0) {
            continue;
        }
        record->columns[record->column_count].name = column->name;
        record->columns[record->column_count++].value = row->values[i];
    }
    for (size_t i = 0; i < extra_count; i++) {
        if (mb_schema_column_find(row->schema, extra->columns[i].name) < 0) {
            record->columns[record->column_count++] = extra->columns[i];
        }
    }
}

int mb_live_record(struct mb_engine *engine, const struct mb_live_row *row,
                   const struct mb_state_row *known, const struct mb_record *extra,
                   struct mb_record *record_out, struct mb_error *err)
{
    struct mb_regs regs;
    int64_t copy = 0;
    uint8_t id[MB_ROW_ID_SIZE];

    memset(record_out, 0, sizeof(*record_out));
    /* The state does not keep copy numbers: the id tells. */
    if (row->first_id != NULL) {
        memcpy(id, row->first_id, MB_ROW_ID_SIZE);
    } else {
        mb_live_row_id(engine, row, 0, id);
    }
    for (; memcmp(id, known->id, MB_ROW_ID_SIZE) != 0; mb_live_row_id(engine, row, copy, id)) {
        if (++copy == MB_LIVE_COPIES_MAX) {
            return 1;
        }
    }
    if (known_regs(engine, row, known, &regs, err) != 0) {
        return -1;
    }
    mb_live_registers_record(row->table, known->id, &regs, UINT32_MAX, record_out);
    record_out->kind = MB_RECORD_ROW;
    record_out->copy = copy;
    record_out->version = known->born;
    add_columns(row, extra, record_out);
    record_out->arena = regs.owned;
    if (row->schema->memory_column >= 0 && row->schema->profile->link != MB_LINK_ROWID &&
        (row->table == MB_TABLE_SESSIONS || row->session == NULL || !row->session->has_id)) {
        record_out->orphan = text_of(&row->values[row->schema->memory_column]);
    }
    return 0;
}

void mb_live_record_release(struct mb_record *record)
{
    free(record->columns);
    free(record->registers);
    free(record->arena);
    memset(record, 0, sizeof(*record));
}

void mb_live_regs_of_record(int table, const struct mb_record *record, struct mb_regs *regs_out)
{
    const struct mb_profile_table *profile = &mb_profile_tables[table];

    mb_regs_init(regs_out);
    for (size_t i = 0; i < record->register_count; i++) {
        const struct mb_register *reg = &record->registers[i];
        int index = mb_profile_register_find(profile, reg->name);
        if (index >= 0) {
            mb_regs_make(profile->registers[index].rule, &reg->value, &reg->version,
                         &regs_out->items[index]);
            regs_out->items[index].parent = reg->parent;
        }
    }
}
