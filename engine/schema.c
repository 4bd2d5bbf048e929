/* SPDX-License-Identifier: MIT */

#include "schema.h"

#include "alloc.h"
#include "fingerprint.h"
#include "limits.h"
#include "schema_triggers.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

int mb_schema_column_find(const struct mb_schema_table *table, const char *name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (strcmp(table->columns[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool is_identity(const struct mb_profile_table *profile, const char *column)
{
    for (size_t i = 0; profile->identity[i].column != NULL; i++) {
        if (strcmp(profile->identity[i].column, column) == 0) {
            return true;
        }
    }
    return false;
}

static void add_column(struct mb_schema_table *table, const char *name)
{
    struct mb_schema_column *column;

    table->columns =
        mb_alloc_resize(table->columns, table->column_count + 1, sizeof(*table->columns));
    column = &table->columns[table->column_count++];
    column->name = mb_alloc_text(name);
    column->register_index = mb_profile_register_find(table->profile, name);
    column->is_identity = is_identity(table->profile, name);
    column->is_local = mb_profile_is_local(table->profile, name);
}

/* A name that needs quoting is not claude-mem's; one that is longer than ours may be is not
 * either. */
static bool is_plain_name(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length < 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
               length;
}

static int load_columns(struct mb_db *live, struct mb_schema_table *table, struct mb_error *err)
{
    struct mb_stmt *stmt;
    bool has_id = false;
    int step;

    if (mb_db_query(live, "SELECT name, hidden FROM pragma_table_xinfo(?1)", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, table->profile->name);
    while ((step = mb_db_step(stmt, err)) == 1) {
        const char *name = mb_db_text(stmt, 0);
        if (mb_db_int(stmt, 1) != 0) {
            continue; /* generated: the database makes it itself */
        }
        if (name == NULL || !is_plain_name(name) || table->column_count >= MB_LIMIT_COLUMNS) {
            mb_db_reset(stmt);
            return mb_error_set(err, MB_ERR_SCHEMA,
                                "table '%s' has a column that is not claude-mem's",
                                table->profile->name);
        }
        if (strcmp(name, "id") == 0) {
            has_id = true;
        } else {
            add_column(table, name);
        }
    }
    if (step < 0) {
        return -1;
    }
    table->is_present = has_id;
    return 0;
}

enum light_form { LIGHT_NOTHING = 1, LIGHT_VALUE, LIGHT_IS_THERE };

/* How a column appears in the light scan. */
static enum light_form light_form(const struct mb_schema_table *table,
                                  const struct mb_schema_column *column)
{
    static const char *const always[] = {"memory_session_id", "session_db_id", "content_session_id",
                                         "content_hash",      "project",       "observation_id"};

    if (strcmp(column->name, table->profile->created_column) == 0) {
        return LIGHT_VALUE;
    }
    if (column->register_index >= 0) {
        return table->profile->registers[column->register_index].rule == MB_RULE_LONGEST
                   ? LIGHT_IS_THERE
                   : LIGHT_VALUE;
    }
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        if (strcmp(column->name, always[i]) == 0) {
            return LIGHT_VALUE;
        }
    }
    return LIGHT_NOTHING;
}

static char *build_select(const struct mb_schema_table *table, bool is_light)
{
    char *list = mb_alloc_text("SELECT id");

    for (size_t i = 0; i < table->column_count; i++) {
        const struct mb_schema_column *column = &table->columns[i];
        enum light_form form = is_light ? light_form(table, column) : LIGHT_VALUE;
        char *longer;
        if (form == LIGHT_NOTHING) {
            longer = mb_alloc_format("%s, NULL", list);
        } else if (form == LIGHT_IS_THERE) {
            longer = mb_alloc_format("%s, \"%s\" IS NOT NULL", list, column->name);
        } else {
            longer = mb_alloc_format("%s, \"%s\"", list, column->name);
        }
        free(list);
        list = longer;
    }
    return list;
}

static void build_sql(struct mb_schema_table *table)
{
    const char *name = table->profile->name;
    char *full = build_select(table, false);
    char *light = build_select(table, true);

    table->sql_row = mb_alloc_format("%s FROM %s WHERE id = ?1", full, name);
    table->sql_scan = mb_alloc_format("%s FROM %s WHERE id > ?1 ORDER BY id", full, name);
    table->sql_light = mb_alloc_format("%s FROM %s WHERE id > ?1 ORDER BY id", light, name);
    table->sql_ids = mb_alloc_format("SELECT id FROM %s", name);
    table->sql_new_ids = mb_alloc_format("SELECT id FROM %s WHERE id > ?1", name);
    free(full);
    free(light);
}

/* Is there a UNIQUE index on exactly these columns ("a" or "a,b", in the index's order)? */
static int has_unique(struct mb_db *live, const char *table, const char *columns, bool *found_out,
                      struct mb_error *err)
{
    static const char sql[] =
        "SELECT count(*) FROM pragma_index_list(?1) AS i WHERE i.\"unique\" AND NOT i.partial AND "
        "(SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY "
        "seqno)) = ?2";
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(live, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, table);
    mb_db_bind_text(stmt, 2, columns);
    step = mb_db_step(stmt, err);
    if (step < 0) {
        return -1;
    }
    *found_out = step == 1 && mb_db_int(stmt, 0) > 0;
    mb_db_reset(stmt);
    return 0;
}

static void find_roles(struct mb_schema_table *table)
{
    table->memory_column = mb_schema_column_find(table, "memory_session_id");
    table->content_column = mb_schema_column_find(table, "content_session_id");
    table->observation_column = mb_schema_column_find(table, "observation_id");
    table->hash_column = mb_profile_find(table->profile->name) == MB_TABLE_OBSERVATIONS
                             ? mb_schema_column_find(table, "content_hash")
                             : -1;
    table->link_column = -1;
    if (table->profile->link == MB_LINK_MEMORY_ID) {
        table->link_column = table->memory_column;
    } else if (table->profile->link == MB_LINK_ROWID) {
        table->link_column = mb_schema_column_find(table, "session_db_id");
        table->links_by_content = table->link_column < 0;
    }
}

static bool has_required_columns(const struct mb_schema_table *table)
{
    if (mb_schema_column_find(table, table->profile->created_column) < 0) {
        return false;
    }
    for (size_t i = 0; table->profile->identity[i].column != NULL; i++) {
        if (table->profile->identity[i].absent == NULL &&
            mb_schema_column_find(table, table->profile->identity[i].column) < 0) {
            return false;
        }
    }
    if (table->profile->link == MB_LINK_MEMORY_ID || table->profile->link == MB_LINK_NONE) {
        return table->memory_column >= 0;
    }
    return table->content_column >= 0;
}

/* Tells what this is not, as exactly as it can. */
static int refuse(struct mb_db *live, const struct mb_schema *schema, struct mb_error *err)
{
    const struct mb_schema_table *sessions = &schema->tables[MB_TABLE_SESSIONS];
    int64_t table_count = 0;

    if (mb_db_scalar(live, "SELECT count(*) FROM sqlite_master WHERE type = 'table'", 0,
                     &table_count, err) != 0) {
        return -1;
    }
    if (sessions->is_present && (mb_schema_column_find(sessions, "claude_session_id") >= 0 ||
                                 mb_schema_column_find(sessions, "sdk_session_id") >= 0)) {
        (void)mb_error_set(
            err, MB_ERR_SCHEMA,
            "the database was written by a claude-mem older than 10.0, which membridge "
            "does not know");
        return mb_error_advise(err,
                               "update claude-mem, start it once so that it upgrades its database, "
                               "then run the command again");
    }
    if (table_count == 0) {
        (void)mb_error_set(err, MB_ERR_SCHEMA, "the database has no tables yet");
        return mb_error_advise(err,
                               "start Claude Code with claude-mem once, so that it makes them");
    }
    (void)mb_error_set(err, MB_ERR_SCHEMA,
                       sessions->is_present
                           ? "the database's tables are not as any claude-mem that "
                             "membridge knows makes them"
                           : "this is a database of another program, not claude-mem's");
    return mb_error_advise(err, "name claude-mem's database with CLAUDE_MEM_DB or --db");
}

/* The applied versions: says only "the same" or "another". */
static int load_fingerprint(struct mb_db *live, struct mb_schema *schema, struct mb_error *err)
{
    struct mb_stmt *stmt;
    uint64_t hash = MB_FINGERPRINT_START;
    int64_t has_table = 0;
    int step;

    if (mb_db_scalar(live, "SELECT count(*) FROM sqlite_master WHERE name = 'schema_versions'", 0,
                     &has_table, err) != 0) {
        return -1;
    }
    if (has_table == 0) {
        schema->fingerprint = mb_fingerprint_int64(hash);
        return 0;
    }
    if (mb_db_query(live, "SELECT version FROM schema_versions ORDER BY version", &stmt, err) !=
        0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        int64_t version = mb_db_int(stmt, 0);
        hash = mb_fingerprint_add(hash, &version, sizeof(version));
    }
    schema->fingerprint = mb_fingerprint_int64(hash);
    return step;
}

static void note_shape(struct mb_schema *schema)
{
    uint64_t hash = MB_FINGERPRINT_START;

    for (int i = 0; i < MB_TABLE_COUNT; i++) {
        const struct mb_schema_table *table = &schema->tables[i];
        uint64_t columns = table->is_present ? 1 : 0;
        for (size_t k = 0; k < table->column_count; k++) { /* in any order */
            columns += mb_fingerprint_add_text(MB_FINGERPRINT_START, table->columns[k].name);
        }
        hash = mb_fingerprint_add(hash, &columns, sizeof(columns));
    }
    schema->shape = mb_fingerprint_int64(hash);
}

static int load_table(struct mb_db *live, struct mb_schema *schema, int index, bool with_tool_uses,
                      struct mb_error *err)
{
    struct mb_schema_table *table = &schema->tables[index];

    table->profile = &mb_profile_tables[index];
    table->memory_column = table->link_column = table->content_column = -1;
    table->hash_column = table->observation_column = -1;
    if (table->profile->is_optional && !with_tool_uses) {
        return 0;
    }
    if (load_columns(live, table, err) != 0) {
        return -1;
    }
    build_sql(table);
    find_roles(table);
    return 0;
}

/* What is read must be a table: a view in its place may never come to an end. */
static int check_tables(struct mb_db *live, struct mb_error *err)
{
    static const char sql[] =
        "SELECT lower(name) FROM sqlite_master WHERE type IN ('table', 'view')"
        " AND coalesce(rootpage, 0) = 0 AND lower(name) IN ('sdk_sessions', 'observations',"
        " 'session_summaries', 'user_prompts', 'tool_uses', 'schema_versions',"
        " 'observations_fts_data', 'session_summaries_fts_data', 'user_prompts_fts_data')";
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(live, sql, &stmt, err) != 0) {
        return -1;
    }
    step = mb_db_step(stmt, err);
    if (step == 1) {
        step = mb_error_set(err, MB_ERR_SCHEMA,
                            "'%s' is not a table as claude-mem makes it: it is a view, or virtual",
                            mb_db_text(stmt, 0));
        mb_db_reset(stmt);
    }
    return step;
}

int mb_schema_load(struct mb_db *live, bool with_tool_uses, struct mb_schema **schema_out,
                   struct mb_error *err)
{
    struct mb_schema *schema = mb_alloc_zeroed(1, sizeof(*schema));
    int rc = -1;

    if (check_tables(live, err) != 0) {
        goto out;
    }
    for (int i = 0; i < MB_TABLE_COUNT; i++) {
        if (load_table(live, schema, i, with_tool_uses, err) != 0) {
            goto out;
        }
    }
    for (int i = 0; i < MB_TABLE_COUNT; i++) {
        const struct mb_schema_table *table = &schema->tables[i];
        if ((!table->is_present && !table->profile->is_optional) ||
            (table->is_present && !has_required_columns(table))) {
            rc = refuse(live, schema, err);
            goto out;
        }
    }
    note_shape(schema);
    schema->has_platform =
        mb_schema_column_find(&schema->tables[MB_TABLE_SESSIONS], "platform_source") >= 0;
    if (has_unique(live, "sdk_sessions", "content_session_id", &schema->content_is_unique, err) !=
            0 ||
        load_fingerprint(live, schema, err) != 0 ||
        mb_schema_triggers_load(live, schema, err) != 0) {
        goto out;
    }
    *schema_out = schema;
    schema = NULL;
    rc = 0;
out:
    mb_schema_free(schema);
    return rc;
}

void mb_schema_free(struct mb_schema *schema)
{
    if (schema == NULL) {
        return;
    }
    for (int i = 0; i < MB_TABLE_COUNT; i++) {
        struct mb_schema_table *table = &schema->tables[i];
        for (size_t k = 0; k < table->column_count; k++) {
            free(table->columns[k].name);
        }
        free(table->columns);
        free(table->sql_row);
        free(table->sql_scan);
        free(table->sql_ids);
        free(table->sql_new_ids);
        free(table->sql_light);
    }
    free(schema->foreign_trigger);
    free(schema);
}

int mb_schema_check_writable(const struct mb_schema *schema, struct mb_error *err)
{
    if (schema->foreign_trigger == NULL) {
        return 0;
    }
    (void)mb_error_set(err, MB_ERR_SCHEMA,
                       "%s; membridge will not write where foreign code would run",
                       schema->foreign_trigger);
    return mb_error_advise(err,
                           "if a newer claude-mem made it, update membridge; otherwise drop it");
}
