/* SPDX-License-Identifier: MIT */
#ifndef MB_PROFILE_H
#define MB_PROFILE_H

/*
 * What membridge knows of claude-mem's tables: one declarative table. For each synced table it says
 * which values make a row's identity, which columns are registers (can change after insert, and
 * carry versions), which stay on the machine, and how a child names its session. A column that is
 * none of these is immutable payload, also one that a newer claude-mem adds. schema.c lays this
 * over the tables that a database really has.
 */

#include "record.h"

#define MB_PROFILE_REGISTERS_MAX 16

/* How a register's two values are merged. */
enum mb_profile_rule {
    MB_RULE_NEWEST = 1, /* greatest of (not null, version, value) */
    /* texts that people cut: the longest wins, a local cut is not undone nor published */
    MB_RULE_LONGEST,
};

enum mb_profile_register_kind {
    MB_REGISTER_COLUMN = 1,
    /* the row's session, as row id; its local column is the table's session column */
    MB_REGISTER_SESSION,
    MB_REGISTER_OBSERVATION, /* the observation that a tool use led to, likewise */
};

struct mb_profile_register {
    const char *name; /* of the column; of a reference: its name in records */
    enum mb_profile_register_kind kind;
    enum mb_profile_rule rule;
    /* Made by the program, differs by nature: losing values are not listed as conflicts. */
    bool is_quiet;
};

struct mb_profile_identity {
    const char *column;
    size_t char_count_max; /* only the first so many characters count; 0: all */
    const char
        *absent; /* the value where a schema has no such column or the row NULL in it; NULL: NULL */
};

/* How a table's rows point at their session. */
enum mb_profile_session_link {
    MB_LINK_NONE = 1,
    MB_LINK_MEMORY_ID, /* memory_session_id = sdk_sessions.memory_session_id, NOT NULL */
    MB_LINK_ROWID,     /* session_db_id = sdk_sessions.id; in old schemas by content_session_id */
};

enum mb_profile_table_index {
    MB_TABLE_SESSIONS = 0,
    MB_TABLE_OBSERVATIONS,
    MB_TABLE_SUMMARIES,
    MB_TABLE_PROMPTS,
    MB_TABLE_TOOL_USES,
    MB_TABLE_COUNT
};

struct mb_profile_table {
    const char *name;
    const char *created_column; /* milliseconds; version of values never seen to change */
    const char *fts;            /* its full-text twin, NULL if it never has one */
    bool is_optional;           /* synced only when switched on */
    bool is_unique;             /* a row has no equal copies: identity is UNIQUE in claude-mem */
    enum mb_profile_session_link link;
    const struct mb_profile_identity *identity;  /* ends with column NULL */
    const struct mb_profile_register *registers; /* ends with name NULL */
    const char *const *local;                    /* ends with NULL; besides "id" */
    const char *const *title; /* columns to show a row by, first that is not empty */
};

extern const struct mb_profile_table mb_profile_tables[MB_TABLE_COUNT];

/* Index by name, or -1. */
int mb_profile_find(const char *table);
/* Register index by name, or -1. */
int mb_profile_register_find(const struct mb_profile_table *table, const char *name);
size_t mb_profile_register_count(const struct mb_profile_table *table);
bool mb_profile_is_local(const struct mb_profile_table *table, const char *column);

/* The value of platform_source that older schemas mean. */
#define MB_PROFILE_PLATFORM "claude"
/* Rows of this project are claude-mem's own noise: never synced. */
#define MB_PROFILE_OBSERVER_PROJECT "observer-sessions"

#endif
