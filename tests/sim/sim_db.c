/* SPDX-License-Identifier: MIT */
/*
 * claude-mem's databases: a template file of each version and journal mode, made once a process
 * from the schemas in tests/fixtures; claude-mem's own connection to a machine's database; and what
 * is in it, in the ledger's terms.
 */
#include "alloc.h"
#include "assert.h"
#include "file.h"
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

const char *const sim_version_names[SIM_VERSIONS] = {"13.25.3", "13.4.0", "10.6.3"};

#define PAYLOAD(name)                                                                              \
    {                                                                                              \
        name, false                                                                                \
    }
#define REGISTER(name)                                                                             \
    {                                                                                              \
        name, true                                                                                 \
    }
static const struct sim_column session_columns[] = {
    PAYLOAD("user_prompt"),     PAYLOAD("started_at"),        PAYLOAD("started_at_epoch"),
    REGISTER("project"),        REGISTER("completed_at"),     REGISTER("completed_at_epoch"),
    REGISTER("status"),         REGISTER("custom_title"),     PAYLOAD("platform_source"),
    REGISTER("observed_model"), REGISTER("observed_billing"),
};
static const struct sim_column observation_columns[] = {
    PAYLOAD("text"),
    PAYLOAD("type"),
    PAYLOAD("title"),
    PAYLOAD("subtitle"),
    PAYLOAD("facts"),
    PAYLOAD("narrative"),
    PAYLOAD("concepts"),
    PAYLOAD("files_read"),
    PAYLOAD("files_modified"),
    PAYLOAD("prompt_number"),
    PAYLOAD("created_at"),
    PAYLOAD("created_at_epoch"),
    REGISTER("project"),
    PAYLOAD("discovery_tokens"),
    PAYLOAD("generated_by_model"),
    PAYLOAD("metadata"),
    PAYLOAD("agent_type"),
    REGISTER("merged_into_project"),
};
static const struct sim_column summary_columns[] = {
    PAYLOAD("request"),          PAYLOAD("investigated"),
    PAYLOAD("learned"),          PAYLOAD("completed"),
    PAYLOAD("next_steps"),       PAYLOAD("files_read"),
    PAYLOAD("files_edited"),     PAYLOAD("notes"),
    PAYLOAD("prompt_number"),    PAYLOAD("created_at"),
    PAYLOAD("created_at_epoch"), PAYLOAD("discovery_tokens"),
    REGISTER("project"),         REGISTER("merged_into_project"),
};
static const struct sim_column prompt_columns[] = {
    PAYLOAD("content_session_id"), PAYLOAD("prompt_number"),    PAYLOAD("prompt_text"),
    PAYLOAD("created_at"),         PAYLOAD("created_at_epoch"),
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])
const struct sim_table_info sim_tables[SIM_TABLES] = {
    [SIM_SESSION] = {"sdk_sessions",      COUNT(session_columns),     session_columns    },
    [SIM_OBSERVATION] = {"observations",      COUNT(observation_columns), observation_columns},
    [SIM_SUMMARY] = {"session_summaries", COUNT(summary_columns),     summary_columns    },
    [SIM_PROMPT] = {"user_prompts",      COUNT(prompt_columns),      prompt_columns     },
};

static struct sim_image templates[SIM_VERSIONS][2];
static unsigned column_masks[SIM_VERSIONS][SIM_TABLES];

/* Which of the judge's columns this version has. */
static unsigned find_columns(sqlite3 *db, enum sim_table table)
{
    const struct sim_table_info *info = &sim_tables[table];
    unsigned mask = 0;

    for (size_t i = 0; i < info->column_count; i++) {
        if (sqlite3_table_column_metadata(db, NULL, info->name, info->columns[i].name, NULL, NULL,
                                          NULL, NULL, NULL) == SQLITE_OK) {
            mask |= 1u << i;
        }
    }
    return mask;
}

static bool make_template(const char *schema, int version, int is_wal)
{
    sqlite3 *db = NULL;
    char *path = mb_file_join(sim_disk_scratch(), "template.db");
    bool is_made = false;

    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_exec(db, is_wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE", NULL,
                     NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK) {
        for (int i = 0; i < SIM_TABLES; i++) {
            column_masks[version][i] = find_columns(db, (enum sim_table)i);
        }
        is_made = true;
    } else {
        fprintf(stderr, "sim: %s\n", sqlite3_errmsg(db));
    }
    is_made = sqlite3_close(db) == SQLITE_OK && is_made;
    is_made = is_made && sim_disk_read(path, &templates[version][is_wal]);
    sim_disk_remove(path);
    free(path);
    return is_made;
}

/* A seed is one thread, and asks nobody how much memory SQLite has: half of its time goes there. */
static bool lighten(void)
{
    return sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) == SQLITE_OK &&
           sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK &&
           sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 512, 400) == SQLITE_OK;
}

bool sim_db_prepare(const char *fixtures)
{
    if (!lighten()) {
        fprintf(stderr, "sim: SQLite refuses its settings\n");
        return false;
    }
    for (int version = 0; version < SIM_VERSIONS; version++) {
        char *path = mb_alloc_format("%s/schema-%s.sql", fixtures, sim_version_names[version]);
        struct sim_image file = {0};
        bool is_made = sim_disk_read(path, &file);
        char *schema = mb_alloc_text_n((const char *)file.data, file.size);

        for (int is_wal = 0; is_made && is_wal < 2; is_wal++) {
            is_made = make_template(schema, version, is_wal);
        }
        if (!is_made) {
            fprintf(stderr, "sim: cannot make a database from %s\n", path);
        }
        free(schema);
        free(file.data);
        free(path);
        if (!is_made) {
            return false;
        }
    }
    return true;
}

const struct sim_image *sim_db_template(enum sim_version version, bool is_wal)
{
    return &templates[version][is_wal ? 1 : 0];
}

bool sim_db_has(const struct sim_machine *machine, enum sim_table table, size_t column)
{
    return (column_masks[machine->version][table] >> column & 1u) != 0;
}

sqlite3 *sim_db_open(struct sim_machine *machine)
{
    if (machine->db == NULL) {
        MB_ASSERT(sqlite3_open_v2(machine->db_path, &machine->db, SQLITE_OPEN_READWRITE, NULL) ==
                  SQLITE_OK);
        MB_ASSERT(sqlite3_exec(machine->db, "PRAGMA foreign_keys=ON", NULL, NULL, NULL) ==
                  SQLITE_OK);
        (void)sqlite3_exec(machine->db, "PRAGMA synchronous=OFF", NULL, NULL,
                           NULL); /* busy: slow */
    }
    return machine->db;
}

void sim_db_close(struct sim_machine *machine)
{
    if (machine->db != NULL) {
        MB_ASSERT(sqlite3_close(machine->db) == SQLITE_OK);
        machine->db = NULL;
    }
}

/* Prepares a formatted statement; NULL after an error, which is bad unless the database is busy. */
static sqlite3_stmt *prepare(struct sim_machine *machine, const char *format, va_list args)
{
    sqlite3 *db = sim_db_open(machine);
    char *sql = sqlite3_vmprintf(format, args);
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED) {
        sim_bad(machine->world, "claude-mem cannot use its database at %s: %s: %s", machine->name,
                sqlite3_errmsg(db), sql);
    }
    sqlite3_free(sql);
    return statement;
}

/* One step; SQLITE_ROW, SQLITE_DONE, or an error that was reported unless it is BUSY. */
static int step(struct sim_machine *machine, sqlite3_stmt *statement)
{
    int rc = statement == NULL ? SQLITE_BUSY : sqlite3_step(statement);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE && rc != SQLITE_BUSY && rc != SQLITE_LOCKED) {
        sim_bad(machine->world, "claude-mem's statement fails at %s: %s: %s", machine->name,
                sqlite3_errmsg(machine->db), sqlite3_sql(statement));
    }
    return rc;
}

bool sim_db_exec(struct sim_machine *machine, const char *format, ...)
{
    sqlite3_stmt *statement;
    va_list args;
    int rc;

    va_start(args, format);
    statement = prepare(machine, format, args);
    va_end(args);
    do {
        rc = step(machine, statement);
    } while (rc == SQLITE_ROW);
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_DONE;
}

int64_t sim_db_int64(struct sim_machine *machine, const char *format, ...)
{
    sqlite3_stmt *statement;
    va_list args;
    int64_t value = 0;

    va_start(args, format);
    statement = prepare(machine, format, args);
    va_end(args);
    if (step(machine, statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return value;
}

void sim_db_text(struct sim_machine *machine, char out[static SIM_TEXT_MAX], const char *format,
                 ...)
{
    sqlite3_stmt *statement;
    va_list args;

    out[0] = '\0';
    va_start(args, format);
    statement = prepare(machine, format, args);
    va_end(args);
    if (step(machine, statement) == SQLITE_ROW && sqlite3_column_text(statement, 0) != NULL) {
        (void)snprintf(out, SIM_TEXT_MAX, "%s", (const char *)sqlite3_column_text(statement, 0));
    }
    (void)sqlite3_finalize(statement);
}

int64_t sim_db_pick(struct sim_machine *machine, struct sim_random *random, const char *format, ...)
{
    sqlite3_stmt *statement;
    va_list args;
    int64_t picked = -1;
    unsigned count = 0;

    va_start(args, format);
    statement = prepare(machine, format, args);
    va_end(args);
    while (step(machine, statement) == SQLITE_ROW) {
        count++;
        if (sim_random_below(random, count) == 0) {
            picked = sqlite3_column_int64(statement, 0);
        }
    }
    (void)sqlite3_finalize(statement);
    return picked;
}

/* Rows of the ledger that are in the database; stubs and rows that nobody made are left out. */
void sim_db_count(struct sim_machine *machine, sim_counts counts)
{
    static const char sql[] = "SELECT 0, content_session_id, 0 FROM sdk_sessions"
                              " WHERE content_session_id IS NOT memory_session_id"
                              " UNION ALL SELECT 1, '', created_at_epoch FROM observations"
                              " UNION ALL SELECT 2, '', created_at_epoch FROM session_summaries"
                              " UNION ALL SELECT 3, '', created_at_epoch FROM user_prompts";
    sqlite3_stmt *statement = NULL;

    memset(counts, 0, sizeof(sim_counts));
    if (sqlite3_prepare_v2(sim_db_open(machine), sql, -1, &statement, NULL) != SQLITE_OK) {
        sim_bad(machine->world, "cannot read the database at %s: %s", machine->name,
                sqlite3_errmsg(machine->db));
        return;
    }
    while (step(machine, statement) == SQLITE_ROW) {
        int row = sim_ledger_find(
            machine->world->ledger, (enum sim_table)sqlite3_column_int(statement, 0),
            (const char *)sqlite3_column_text(statement, 1), sqlite3_column_int64(statement, 2));
        if (row >= 0 && counts[row] < UINT8_MAX) {
            counts[row]++;
        }
    }
    (void)sqlite3_finalize(statement);
}

void sim_db_sequences(struct sim_machine *machine, int64_t sequences[static SIM_TABLES])
{
    sqlite3_stmt *statement = NULL;

    memset(sequences, 0, SIM_TABLES * sizeof sequences[0]);
    MB_ASSERT(sqlite3_prepare_v2(sim_db_open(machine), "SELECT name,seq FROM sqlite_sequence", -1,
                                 &statement, NULL) == SQLITE_OK);
    while (step(machine, statement) == SQLITE_ROW) {
        for (int i = 0; i < SIM_TABLES; i++) {
            if (strcmp((const char *)sqlite3_column_text(statement, 0), sim_tables[i].name) == 0) {
                sequences[i] = sqlite3_column_int64(statement, 1);
            }
        }
    }
    (void)sqlite3_finalize(statement);
}

/* Columns of the current row as text with a letter for their type, NULLs as NULL. */
char **sim_db_cells(sqlite3_stmt *statement, size_t first, size_t count)
{
    char **cells = mb_alloc_zeroed(SIM_COLUMNS_MAX, sizeof *cells);

    for (size_t i = 0; i < count; i++) {
        int column = (int)(first + i);
        static const char types[] = "?irtbn";
        int type = sqlite3_column_type(statement, column);

        if (type != SQLITE_NULL) {
            const char *text = (const char *)sqlite3_column_text(statement, column);

            cells[i] = mb_alloc_format("%c%s", types[type], text);
        }
    }
    return cells;
}

/* What is in the database, a line for each row, for a person who looks for a fault. */
void sim_db_dump(struct sim_machine *machine, FILE *out)
{
    static const char *const queries[SIM_TABLES] = {
        "SELECT id, content_session_id, memory_session_id, project, custom_title, status"
        " FROM sdk_sessions",
        "SELECT id, title, memory_session_id, project, created_at_epoch FROM observations",
        "SELECT id, request, memory_session_id, project, created_at_epoch FROM session_summaries",
        "SELECT id, substr(prompt_text, 1, 12), content_session_id, created_at_epoch"
        " FROM user_prompts",
    };

    for (int i = 0; i < SIM_TABLES; i++) {
        sqlite3_stmt *statement = NULL;

        MB_ASSERT(sqlite3_prepare_v2(sim_db_open(machine), queries[i], -1, &statement, NULL) ==
                  SQLITE_OK);
        while (step(machine, statement) == SQLITE_ROW) {
            fprintf(out, "    %s %s", machine->name, sim_tables[i].name);
            for (int k = 0; k < sqlite3_column_count(statement); k++) {
                const char *text = (const char *)sqlite3_column_text(statement, k);

                fprintf(out, " %s", text == NULL ? "NULL" : text);
            }
            fprintf(out, "\n");
        }
        (void)sqlite3_finalize(statement);
    }
}
