/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include "alloc.h"
#include "assert.h"
#include "buf.h"
#include "check.h"
#include "digest.h"
#include "file.h"
#include "limits.h"
#include "text.h"
#include "tmpdir.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define START_MS 1780000000000 /* May 2026 */
#define DAY_AND_SOME_MS (26 * INT64_C(3600000))

/* ---- the world of a machine ---- */

static int64_t env_now(void *context)
{
    return ((struct fleet_machine *)context)->now_ms;
}

static void env_sleep(void *context, int64_t duration_ms)
{
    ((struct fleet_machine *)context)->now_ms += duration_ms;
}

static void env_random(void *context, void *data, size_t size)
{
    struct fleet_machine *machine = context;

    for (size_t i = 0; i < size; i++) {
        machine->random_state = machine->random_state * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)data)[i] = (uint8_t)(machine->random_state >> 48);
    }
}

static int env_step(void *context, const char *name, struct mb_error *err)
{
    (void)context;
    (void)name;
    (void)err;
    return 0;
}

static void make_database(const char *path, const char *version)
{
    char *schema_path = mb_alloc_format("%s/schema-%s.sql", FLEET_FIXTURES, version);
    size_t size = 0;
    uint8_t *schema = fleet_read_file(schema_path, &size);
    char *text = mb_alloc_text_n((const char *)schema, size);
    sqlite3 *db = NULL;

    MB_ASSERT(schema != NULL);
    MB_ASSERT(sqlite3_open(path, &db) == SQLITE_OK);
    MB_ASSERT(sqlite3_exec(db,
                           strcmp(version, "13.4.0") == 0
                               ? "PRAGMA synchronous=OFF"
                               : "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
                           NULL, NULL, NULL) == SQLITE_OK);
    MB_ASSERT(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK);
    MB_ASSERT(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK);
    MB_ASSERT(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
    free(text);
    free(schema);
    free(schema_path);
}

struct fleet_machine *fleet_add(struct fleet *fleet, const char *version)
{
    struct fleet_machine *machine = mb_alloc_zeroed(1, sizeof *machine);
    struct mb_error err;

    MB_ASSERT(fleet->count < FLEET_MACHINES_MAX);
    machine->fleet = fleet;
    machine->folder = tmpdir_path("machine");
    MB_ASSERT(mb_file_make_folder(machine->folder, 0700, &err) == 0);
    machine->db_path = mb_file_join(machine->folder, "claude-mem.db");
    machine->state_dir = mb_file_join(machine->folder, "state");
    make_database(machine->db_path, version);
    machine->now_ms = START_MS + (int64_t)fleet->count * 1000;
    machine->random_state = 77 + fleet->count * 1001;
    machine->env = (struct mb_env){machine, env_now, env_sleep, env_random, env_step, "", ""};
    (void)snprintf(machine->env.machine_id, sizeof machine->env.machine_id, "os-%zu", fleet->count);
    (void)snprintf(machine->env.host_name, sizeof machine->env.host_name, "host-%zu", fleet->count);
    machine->store = mb_store_share_new(fleet->store);
    fleet->machines[fleet->count++] = machine;
    return machine;
}

struct fleet *fleet_new(size_t machine_count)
{
    struct fleet *fleet = mb_alloc_zeroed(1, sizeof *fleet);
    struct mb_error err;

    fleet->store = mb_store_mem_new();
    MB_ASSERT(mb_store_mark(fleet->store, &err) == 0);
    for (size_t i = 0; i < machine_count; i++) {
        (void)fleet_add(fleet, "13.25.3");
    }
    return fleet;
}

void fleet_free(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->count; i++) {
        struct fleet_machine *machine = fleet->machines[i];

        fleet_close_db(machine);
        mb_store_free(machine->store);
        free(machine->folder);
        free(machine->db_path);
        free(machine->state_dir);
        free(machine);
    }
    mb_store_free(fleet->store);
    free(fleet);
}

/* ---- the databases ---- */

static sqlite3 *open_db(struct fleet_machine *machine)
{
    if (machine->db == NULL) {
        MB_ASSERT(sqlite3_open_v2(machine->db_path, &machine->db, SQLITE_OPEN_READWRITE, NULL) ==
                  SQLITE_OK);
        MB_ASSERT(sqlite3_exec(machine->db, "PRAGMA foreign_keys=ON; PRAGMA synchronous=OFF", NULL,
                               NULL, NULL) == SQLITE_OK);
    }
    return machine->db;
}

void fleet_close_db(struct fleet_machine *machine)
{
    if (machine->db != NULL) {
        MB_ASSERT(sqlite3_close(machine->db) == SQLITE_OK);
        machine->db = NULL;
    }
}

static sqlite3_stmt *prepare(struct fleet_machine *machine, const char *format, va_list args)
{
    sqlite3_stmt *statement = NULL;
    char *sql = sqlite3_vmprintf(format, args);

    if (!CHECK_INT(sqlite3_prepare_v2(open_db(machine), sql, -1, &statement, NULL), SQLITE_OK)) {
        (void)fprintf(stderr, "    %s: %s\n", sqlite3_errmsg(machine->db), sql);
    }
    sqlite3_free(sql);
    return statement;
}

void fleet_sql(struct fleet_machine *machine, const char *format, ...)
{
    va_list args;
    char *sql;

    va_start(args, format);
    sql = sqlite3_vmprintf(format, args);
    va_end(args);
    if (!CHECK_INT(sqlite3_exec(open_db(machine), sql, NULL, NULL, NULL), SQLITE_OK)) {
        (void)fprintf(stderr, "    %s: %s\n", sqlite3_errmsg(machine->db), sql);
    }
    sqlite3_free(sql);
}

int64_t fleet_int(struct fleet_machine *machine, const char *format, ...)
{
    sqlite3_stmt *statement;
    va_list args;
    int64_t value = -1;

    va_start(args, format);
    statement = prepare(machine, format, args);
    va_end(args);
    if (statement != NULL && sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return value;
}

const char *fleet_text(struct fleet_machine *machine, const char *format, ...)
{
    static char text[512];
    sqlite3_stmt *statement;
    va_list args;

    va_start(args, format);
    statement = prepare(machine, format, args);
    va_end(args);
    (void)snprintf(text, sizeof text, "NULL");
    if (statement != NULL && sqlite3_step(statement) == SQLITE_ROW &&
        sqlite3_column_text(statement, 0) != NULL) {
        (void)snprintf(text, sizeof text, "%s", (const char *)sqlite3_column_text(statement, 0));
    }
    (void)sqlite3_finalize(statement);
    return text;
}

void fleet_session(struct fleet_machine *machine, const char *content, const char *memory,
                   const char *project)
{
    char utc[MB_TEXT_SHORT_MAX];

    fleet_sql(machine,
              "INSERT INTO"
              " sdk_sessions(content_session_id,memory_session_id,project,user_prompt,started_at,"
              "started_at_epoch,status) VALUES(%Q,%Q,%Q,'hello',%Q,%lld,'active')",
              content, memory, project, mb_text_utc(utc, machine->now_ms),
              (long long)machine->now_ms);
}

void fleet_observation(struct fleet_machine *machine, const char *memory, int64_t epoch,
                       const char *title)
{
    char utc[MB_TEXT_SHORT_MAX];
    char hash[17];
    char *text = mb_alloc_format("%s|%s|n", memory, title);
    uint8_t digest[MB_DIGEST_SIZE];
    size_t size = strlen(text);

    text[strlen(memory)] = '\0'; /* memory id, NUL, title, NUL, narrative */
    text[size - 2] = '\0';
    mb_digest_sha256(text, size, digest);
    mb_digest_hex(digest, 8, hash);
    free(text);
    fleet_sql(machine,
              "INSERT INTO"
              " observations(memory_session_id,project,type,title,narrative,facts,content_hash"
              ",created_at,"
              "created_at_epoch) VALUES(%Q,'p','change',%Q,'n','[\"f\"]',%Q,%Q,%lld)",
              memory, title, hash, mb_text_utc(utc, epoch), (long long)epoch);
}

void fleet_observations(struct fleet_machine *machine, const char *memory, int64_t first, int count,
                        const char *title)
{
    fleet_sql(machine, "BEGIN");
    for (int i = 0; i < count; i++) {
        char *numbered = mb_alloc_format("%s %d", title, i);

        fleet_observation(machine, memory, first + i, numbered);
        free(numbered);
    }
    fleet_sql(machine, "COMMIT");
}

void fleet_summary(struct fleet_machine *machine, const char *memory, int64_t epoch,
                   const char *request)
{
    char utc[MB_TEXT_SHORT_MAX];

    fleet_sql(
        machine,
        "INSERT INTO"
        " session_summaries(memory_session_id,project,request,learned,created_at,created_at_epoch)"
        " VALUES(%Q,'p',%Q,'much',%Q,%lld)",
        memory, request, mb_text_utc(utc, epoch), (long long)epoch);
}

void fleet_prompt(struct fleet_machine *machine, const char *content, int64_t epoch,
                  const char *text)
{
    char utc[MB_TEXT_SHORT_MAX];
    bool has_id = fleet_int(machine, "SELECT count(*) FROM pragma_table_info('user_prompts')"
                                     " WHERE name='session_db_id'") == 1;

    fleet_sql(
        machine,
        has_id
            ? "INSERT INTO"
              " user_prompts(session_db_id,content_session_id,prompt_number,prompt_text,created_at,"
              "created_at_epoch) SELECT (SELECT id FROM sdk_sessions WHERE"
              " content_session_id=%Q),%Q,1,%Q,%Q,%lld"
            : "INSERT INTO user_prompts(content_session_id,prompt_number,prompt_text,created_at,"
              "created_at_epoch) SELECT coalesce(%Q,%Q),1,%Q,%Q,%lld",
        content, content, text, mb_text_utc(utc, epoch), (long long)epoch);
}

void fleet_check_db(struct fleet_machine *machine)
{
    static const char *const tables[] = {"observations", "session_summaries", "user_prompts"};

    CHECK_TEXT(fleet_text(machine, "PRAGMA integrity_check"), "ok");
    CHECK_INT(fleet_int(machine, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        fleet_sql(machine, "INSERT INTO %s_fts(%s_fts,rank) VALUES('integrity-check',1)", tables[i],
                  tables[i]);
        CHECK_INT(fleet_int(machine, "SELECT count(*) FROM %s_fts_docsize", tables[i]),
                  fleet_int(machine, "SELECT count(*) FROM %s", tables[i]));
    }
}

/* ---- the engine ---- */

static void note_change(void *context, const struct mb_engine_change *change)
{
    struct fleet_change_count *changes = context;

    if (CHECK(change->kind >= MB_CHANGE_INSERT && change->kind <= MB_CHANGE_HOLD)) {
        changes->counts[change->kind]++;
    }
    CHECK(change->table != NULL && change->row_id != NULL && change->title != NULL &&
          change->why != NULL);
}

struct mb_engine_config fleet_config(struct fleet_machine *machine)
{
    return (struct mb_engine_config){
        .project = "mem",
        .db_path = machine->db_path,
        .state_dir = machine->state_dir,
        .store = machine->store,
        .env = &machine->env,
        .program = "membridge test",
        .backup_days_max = 14,
        .backup_count_max = 50,
        .callback_context = &machine->changes,
        .on_change = note_change,
    };
}

int fleet_try_push(struct fleet_machine *machine, const struct mb_push_request *request,
                   struct mb_error *err)
{
    struct mb_engine_config config = fleet_config(machine);
    struct mb_push_request plain = {0};
    struct mb_engine *engine = NULL;
    int rc;

    fleet_close_db(machine);
    memset(&machine->changes, 0, sizeof machine->changes);
    memset(&machine->pushed, 0, sizeof machine->pushed);
    machine->now_ms += 1000;
    rc = mb_engine_open(&config, &engine, err);
    if (rc == 0) {
        rc = mb_engine_push(engine, request == NULL ? &plain : request, &machine->pushed, err);
    }
    mb_engine_close(engine);
    return rc;
}

int fleet_try_pull(struct fleet_machine *machine, const struct mb_pull_request *request,
                   struct mb_error *err)
{
    struct mb_engine_config config = fleet_config(machine);
    struct mb_pull_request plain = {0};
    struct mb_engine *engine = NULL;
    int rc;

    fleet_close_db(machine);
    memset(&machine->changes, 0, sizeof machine->changes);
    memset(&machine->pulled, 0, sizeof machine->pulled);
    machine->now_ms += 1000;
    rc = mb_engine_open(&config, &engine, err);
    if (rc == 0) {
        rc = mb_engine_pull(engine, request == NULL ? &plain : request, &machine->pulled, err);
    }
    mb_engine_close(engine);
    return rc;
}

void fleet_push(struct fleet_machine *machine, const struct mb_push_request *request)
{
    struct mb_error err;

    mb_error_init(&err);
    CHECK_OK(fleet_try_push(machine, request, &err), &err);
}

void fleet_pull(struct fleet_machine *machine, const struct mb_pull_request *request)
{
    struct mb_error err;

    mb_error_init(&err);
    CHECK_OK(fleet_try_pull(machine, request, &err), &err);
}

void fleet_sync(struct fleet_machine *machine)
{
    fleet_pull(machine, NULL);
    fleet_push(machine, NULL);
}

void fleet_settle(struct fleet *fleet, int rounds)
{
    struct mb_status_report first;

    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < fleet->count; i++) {
            fleet->machines[i]->now_ms += DAY_AND_SOME_MS;
            fleet_sync(fleet->machines[i]);
        }
    }
    for (size_t i = 0; i < fleet->count; i++) {
        struct mb_status_report report;

        fleet_check_db(fleet->machines[i]);
        fleet_status(fleet->machines[i], &report);
        CHECK_INT(report.pending_out, 0);
        CHECK_TEXT(report.digest_alarm, "");
        if (i == 0) {
            first = report;
        } else if (first.rows_parked == 0 && report.rows_parked == 0 &&
                   first.deletes_held_out == 0 && report.deletes_held_out == 0 &&
                   first.deletes_held_in == 0 && report.deletes_held_in == 0) {
            CHECK_TEXT(report.digest, first.digest);
        }
    }
}

void fleet_status(struct fleet_machine *machine, struct mb_status_report *report)
{
    struct mb_engine_config config = fleet_config(machine);
    struct mb_engine *engine = NULL;
    struct mb_error err;

    memset(report, 0, sizeof *report);
    mb_error_init(&err);
    config.is_read_only = true;
    config.store = NULL;
    if (CHECK_OK(mb_engine_open(&config, &engine, &err), &err)) {
        CHECK_OK(mb_engine_status(engine, report, &err), &err);
    }
    mb_engine_close(engine);
}

static int count_conflict(void *context, const struct mb_engine_conflict *conflict,
                          struct mb_error *err)
{
    (void)err;
    CHECK(conflict->table != NULL && conflict->column != NULL && conflict->other_value != NULL);
    ++*(int64_t *)context;
    return 0;
}

int64_t fleet_conflict_count(struct fleet_machine *machine)
{
    struct mb_engine_config config = fleet_config(machine);
    struct mb_engine *engine = NULL;
    struct mb_error err;
    int64_t count = 0;

    mb_error_init(&err);
    config.is_read_only = true;
    if (CHECK_OK(mb_engine_open(&config, &engine, &err), &err)) {
        CHECK_OK(mb_engine_conflicts(engine, count_conflict, &count, &err), &err);
    }
    mb_engine_close(engine);
    return count;
}

/* ---- the store ---- */

struct key_search {
    struct fleet_keys *keys;
    const char *part;
};

static int note_key(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct key_search *search = context;
    struct fleet_keys *keys = search->keys;

    (void)err;
    if (strstr(object->key, search->part) != NULL) {
        keys->keys = mb_alloc_resize(keys->keys, keys->count + 1, sizeof *keys->keys);
        keys->keys[keys->count++] = mb_alloc_text(object->key);
    }
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct fleet_keys fleet_keys(struct fleet *fleet, const char *part)
{
    struct fleet_keys keys = {0};
    struct key_search search = {&keys, part};
    struct mb_error err;

    MB_ASSERT(mb_store_list(fleet->store, "", note_key, &search, &err) == 0);
    if (keys.count > 0) {
        qsort(keys.keys, keys.count, sizeof *keys.keys, compare_keys);
    }
    return keys;
}

void fleet_keys_free(struct fleet_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->keys[i]);
    }
    free(keys->keys);
    memset(keys, 0, sizeof *keys);
}

void fleet_put(struct fleet *fleet, const char *key, const void *data, size_t size)
{
    struct mb_error err;

    MB_ASSERT(mb_store_put(fleet->store, key, data, size, &err) == 0);
}

uint8_t *fleet_get(struct fleet *fleet, const char *key, size_t *size_out)
{
    struct mb_error err;
    struct mb_buf buf;
    uint8_t *data;

    mb_buf_init(&buf, MB_LIMIT_SEGMENT_BYTES);
    MB_ASSERT(mb_store_get(fleet->store, key, MB_LIMIT_SEGMENT_BYTES, &buf, &err) == 0);
    data = mb_buf_take(&buf, size_out);
    mb_buf_release(&buf);
    return data;
}

void fleet_delete(struct fleet *fleet, const char *key)
{
    struct mb_error err;

    MB_ASSERT(mb_store_delete(fleet->store, key, &err) == 0);
}

const char *fleet_machine_id(struct fleet_machine *machine)
{
    static struct mb_status_report report;

    fleet_status(machine, &report);
    return report.machine_id;
}

/* ---- files ---- */

uint8_t *fleet_read_file(const char *path, size_t *size_out)
{
    struct mb_error err;
    struct mb_buf buf;
    uint8_t *data = NULL;

    mb_buf_init(&buf, 256 * MB_MIB);
    if (mb_file_read(path, &buf, &err) == 0) {
        data = mb_buf_take(&buf, size_out);
    }
    mb_buf_release(&buf);
    return data;
}

void fleet_write_file(const char *path, const void *data, size_t size)
{
    struct mb_error err;

    MB_ASSERT(mb_file_replace(path, data, size, 0600, &err) == 0);
}

void fleet_copy_folder(const char *from, const char *to)
{
    DIR *folder = opendir(from);
    struct dirent *entry;
    struct mb_error err;

    MB_ASSERT(folder != NULL);
    MB_ASSERT(mb_file_make_folder(to, 0700, &err) == 0);
    while ((entry = readdir(folder)) != NULL) {
        char *source = mb_file_join(from, entry->d_name);
        char *target = mb_file_join(to, entry->d_name);

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            ;
        } else if (mb_file_is_folder(source)) {
            fleet_copy_folder(source, target);
        } else {
            size_t size = 0;
            uint8_t *data = fleet_read_file(source, &size);

            MB_ASSERT(data != NULL);
            fleet_write_file(target, data, size);
            free(data);
        }
        free(source);
        free(target);
    }
    (void)closedir(folder);
}
