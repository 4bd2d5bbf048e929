/* SPDX-License-Identifier: MIT */
#ifndef MB_SCHEMA_H
#define MB_SCHEMA_H

/*
 * The profile laid over a real database: which of the synced tables it has, which columns, in which
 * roles, and the SQL for them. Read by PRAGMA at every open and whenever the schema has changed:
 * schema_versions is not trusted (docs/DESIGN.md, "claude-mem's databases"). Columns are always
 * named, never counted.
 */

#include "buf.h"
#include "db.h"
#include "profile.h"

struct mb_schema_column {
    char *name;
    int register_index; /* -1: none */
    bool is_identity;
    bool is_local;
};

struct mb_schema_table {
    const struct mb_profile_table *profile;
    bool is_present; /* and switched on */
    struct mb_schema_column
        *columns; /* all but "id", as SELECTed: column i of the table is column i + 1 of a row */
    size_t column_count;
    int memory_column; /* index of memory_session_id, or -1 */
    /* index of the column that names the session (memory_session_id or session_db_id), or -1 */
    int link_column;
    int content_column; /* index of content_session_id, or -1 */
    /* index of content_hash where (memory_session_id, content_hash) is unique, or -1 */
    int hash_column;
    int observation_column; /* index of observation_id (tool_uses), or -1 */
    bool links_by_content;  /* prompts of old schemas: the foreign key is on content_session_id */
    bool has_fts;           /* its full-text twin is there and follows by known triggers */
    char *sql_row;          /* SELECT id, <columns> FROM <table> WHERE id = ?1 */
    char *sql_scan;         /* SELECT id, <columns> FROM <table> WHERE id > ?1 ORDER BY id */
    char *sql_ids;          /* SELECT id FROM <table> */
    char *sql_new_ids;      /* SELECT id FROM <table> WHERE id > ?1 */
    /* As sql_scan, with only what registers need: payload is NULL, a LONGEST register 1 or 0 (is it
     * there?). */
    char *sql_light;
};

struct mb_schema {
    struct mb_schema_table tables[MB_TABLE_COUNT];
    bool content_is_unique; /* sdk_sessions.content_session_id alone is UNIQUE: old schemas */
    bool has_platform;
    /* Of the synced tables and their columns: what could not be held before may be now. */
    int64_t shape;
    int64_t fingerprint; /* of schema_versions: claude-mem has upgraded itself when it changes */
    /* NULL, or a sentence about a trigger or view that our writes would run. */
    char *foreign_trigger;
};

/* MB_ERR_SCHEMA: not claude-mem's, or older than the oldest profile; the message says which. */
MB_MUST_USE int mb_schema_load(struct mb_db *live, bool with_tool_uses,
                               struct mb_schema **schema_out, struct mb_error *err);
void mb_schema_free(struct mb_schema *schema);

/* Index of a column, or -1. */
int mb_schema_column_find(const struct mb_schema_table *table, const char *name);

/* MB_ERR_SCHEMA if the database has triggers or views on our tables that are not claude-mem's own:
 * they would run as us. */
MB_MUST_USE int mb_schema_check_writable(const struct mb_schema *schema, struct mb_error *err);

#endif
