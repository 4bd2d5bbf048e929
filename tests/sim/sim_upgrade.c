/* SPDX-License-Identifier: MIT */
/*
 * claude-mem updates itself: an older database becomes one of the newest schema, in the same file
 * and with the same rowids, without the duplicates that the new unique index refuses, and with
 * another version in schema_versions.
 */
#include "assert.h"
#include "sim_traps.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Copies a table's rows, in the columns that both schemas have. */
static void copy_table(sqlite3 *db, enum sim_table table)
{
    static const char columns[] = "SELECT group_concat(name) FROM pragma_table_info('%s','main')"
                                  " WHERE name IN (SELECT name FROM pragma_table_info('%s','old'))";
    const char *name = sim_tables[table].name;
    char *sql = sqlite3_mprintf(columns, name, name);
    sqlite3_stmt *statement = NULL;
    bool is_prompt = table == SIM_PROMPT;

    MB_ASSERT(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
    MB_ASSERT(sqlite3_step(statement) == SQLITE_ROW);
    sqlite3_free(sql);
    sql = sqlite3_mprintf("INSERT OR IGNORE INTO main.%s(%s%s) SELECT %s%s FROM old.%s ORDER BY id",
                          name, (const char *)sqlite3_column_text(statement, 0),
                          is_prompt ? ",session_db_id" : "",
                          (const char *)sqlite3_column_text(statement, 0),
                          is_prompt ? ",(SELECT s.id FROM old.sdk_sessions s WHERE"
                                      " s.content_session_id=user_prompts.content_session_id)"
                                    : "",
                          name);
    MB_ASSERT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_free(sql);
    (void)sqlite3_finalize(statement);
}

/* The newest template, filled from the file at old_path. */
static void fill(const char *path, const char *old_path)
{
    static const char rest[] =
        "DELETE FROM main.sqlite_sequence WHERE name IN (SELECT name FROM old.sqlite_sequence);"
        "INSERT INTO main.sqlite_sequence(name,seq) SELECT name,seq FROM old.sqlite_sequence"
        " WHERE name IN (SELECT name FROM main.sqlite_master);"
        "INSERT INTO main.schema_versions(version,applied_at) SELECT 1+max(version),'2026-06-01'"
        " FROM (SELECT version FROM main.schema_versions UNION SELECT version FROM"
        " old.schema_versions);"
        "DETACH old";
    sqlite3 *db = NULL;
    char *sql = sqlite3_mprintf("ATTACH %Q AS old", old_path);

    MB_ASSERT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    MB_ASSERT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_free(sql);
    for (int i = 0; i < SIM_TABLES; i++) {
        copy_table(db, (enum sim_table)i);
    }
    MB_ASSERT(sqlite3_exec(db, rest, NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
}

static void note_removed(struct sim_machine *machine, const sim_counts before)
{
    struct sim_ledger *ledger = machine->world->ledger;
    sim_counts after;

    sim_db_count(machine, after);
    for (size_t i = 0; i < ledger->row_count; i++) {
        if (after[i] < before[i]) {
            ledger->rows[i].cleaned_by |= 1u << machine->index;
            sim_trap_cleaned(machine, &ledger->rows[i]);
        }
    }
}

bool sim_upgrade(struct sim_machine *machine)
{
    char path[sizeof machine->db_path + 16];
    struct sim_image image = {0};
    sim_counts before;

    if (machine->version == SIM_13_25_3 || machine->is_restored || machine->is_replaced) {
        return false;
    }
    sim_ledger_migrated(machine);
    sim_db_count(machine, before);
    sim_disaster_image(machine, &image); /* nothing is left in the WAL */
    free(image.data);
    (void)snprintf(path, sizeof path, "%s.upgraded", machine->db_path);
    MB_ASSERT(sim_disk_write(path, sim_db_template(SIM_13_25_3, machine->is_wal)));
    fill(path, machine->db_path);
    MB_ASSERT(sim_disk_read(path, &image));
    sim_disk_remove(path);
    sim_disaster_replace(machine, &image);
    free(image.data);
    machine->version = SIM_13_25_3;
    note_removed(machine, before);
    sim_trap(machine->world, SIM_TRAP_UPGRADED);
    return true;
}
