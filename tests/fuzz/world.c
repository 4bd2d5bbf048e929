/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "alloc.h"
#include "buf.h"
#include "digest.h"
#include "file.h"
#include "limits.h"
#include "tmpdir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROJECT "mem"
#define OBJECTS_MAX 16

struct bytes {
    uint8_t *data;
    size_t size;
};

struct object {
    char *key;
    struct bytes body;
};

struct machine {
    struct world world;
    char *folder;
    char *state_dir;
    struct mb_env env;
    uint64_t random_state;
};

/* Made once. */
static struct {
    struct machine machine;
    struct bytes database;
    struct bytes state;
    struct object objects[OBJECTS_MAX];
    size_t object_count;
    size_t other_count; /* the first of them are another machine's */
    char kept[MB_DIGEST_HEX_SIZE];
} made;

static const char *const tables[] = {"sdk_sessions", "observations", "session_summaries",
                                     "user_prompts"};
/* Rows of each that are kept: those with the lowest ids. */
static const int kept_counts[] = {2, 4, 2, 2};

/* ---- files ---- */

static void remove_beside(const char *path)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char *name = mb_alloc_format("%s%s", path, suffixes[i]);

        (void)unlink(name);
        free(name);
    }
}

/* ---- the world of a machine ---- */

static int64_t env_now(void *context)
{
    return ((struct machine *)context)->world.now_ms;
}

static void env_sleep(void *context, int64_t duration_ms)
{
    ((struct machine *)context)->world.now_ms += duration_ms;
}

static void env_random(void *context, void *data, size_t size)
{
    struct machine *machine = context;

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

static void make_machine(struct machine *machine, const char *name, uint64_t number)
{
    struct mb_error err;

    memset(machine, 0, sizeof *machine);
    machine->folder = tmpdir_path(name);
    FUZZ_CHECK_OK(mb_file_make_folder(machine->folder, 0700, &err), &err);
    machine->world.db_path = mb_file_join(machine->folder, "claude-mem.db");
    machine->state_dir = mb_file_join(machine->folder, "state");
    machine->world.state_path = mb_file_join(machine->state_dir, "state.db");
    machine->world.now_ms = WORLD_NOW_MS;
    machine->random_state = number;
    machine->env = (struct mb_env){machine, env_now, env_sleep, env_random, env_step, "", ""};
    (void)snprintf(machine->env.machine_id, sizeof machine->env.machine_id, "os-%s", name);
    (void)snprintf(machine->env.host_name, sizeof machine->env.host_name, "%s", name);
}

static void release_machine(struct machine *machine)
{
    free(machine->folder);
    free(machine->state_dir);
    free(machine->world.db_path);
    free(machine->world.state_path);
}

/* ---- its database ---- */

static void run_sql(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fuzz_failed(sql, message != NULL ? message : "?", __FILE__, __LINE__);
    }
}

/* A session and its rows; `key` is in all texts that make them who they are. */
static void add_session(sqlite3 *db, const char *key, int observations, int others)
{
    char *sql = sqlite3_mprintf(
        "INSERT INTO sdk_sessions(content_session_id,memory_session_id,project,user_prompt,"
        "started_at,started_at_epoch,status) VALUES('%s-s','%s-m','p','hello',"
        "'2026-05-01T00:00:00.000Z',1777593600000,'active');"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
        " INSERT INTO observations(memory_session_id,project,type,title,narrative,content_hash,"
        "created_at,created_at_epoch) SELECT '%s-m','p','change','%s '||i,'n','h%s'||i,"
        "'2026-05-01T00:00:00.000Z',1777593600000+i FROM n;"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
        " INSERT INTO session_summaries(memory_session_id,project,request,created_at,"
        "created_at_epoch) SELECT '%s-m','p','%s '||i,'2026-05-01T00:00:00.000Z',1777593600000+i"
        " FROM n;"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
        " INSERT INTO user_prompts(session_db_id,content_session_id,prompt_number,prompt_text,"
        "created_at,created_at_epoch) SELECT (SELECT id FROM sdk_sessions WHERE"
        " content_session_id='%s-s'),'%s-s',i,'%s '||i,'2026-05-01T00:00:00.000Z',1777593600000+i"
        " FROM n",
        key, key, observations, key, key, key, others, key, key, others, key, key, key);

    run_sql(db, sql);
    sqlite3_free(sql);
}

static void make_database(const char *path, bool is_other)
{
    size_t size = 0;
    uint8_t *schema = world_read_file(FUZZ_SCHEMA, &size);
    char *text = NULL;
    uint8_t digest[MB_DIGEST_SIZE];
    char secret[2][MB_DIGEST_HEX_SIZE];
    sqlite3 *db = NULL;

    FUZZ_CHECK(schema != NULL);
    text = mb_alloc_text_n((const char *)schema, size);
    FUZZ_CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    run_sql(db, "PRAGMA page_size=1024; PRAGMA synchronous=OFF; BEGIN");
    run_sql(db, text);
    if (is_other) {
        add_session(db, "other", 3, 2);
    } else {
        for (int i = 0; i < 2; i++) {
            mb_digest_sha256(i == 0 ? "1" : "2", 1, digest);
            mb_digest_hex(digest, sizeof digest, secret[i]);
            add_session(db, secret[i], 2, 1);
        }
        add_session(db, "edit", 4, 2);
    }
    run_sql(db, "COMMIT; PRAGMA journal_mode=WAL");
    FUZZ_CHECK(sqlite3_close(db) == SQLITE_OK);
    free(text);
    free(schema);
}

/* ---- operations ---- */

static void on_change(void *context, const struct mb_engine_change *change)
{
    (void)context;
    FUZZ_CHECK(change->kind >= MB_CHANGE_INSERT && change->kind <= MB_CHANGE_HOLD);
    FUZZ_CHECK(change->table != NULL && strlen(change->row_id) == 32);
    fuzz_check_shown(change->title);
    fuzz_check_shown(change->why);
}

static struct mb_engine_config make_config(struct machine *machine)
{
    return (struct mb_engine_config){
        .project = PROJECT,
        .db_path = machine->world.db_path,
        .state_dir = machine->state_dir,
        .store_name = "fuzz",
        .store = machine->world.store,
        .env = &machine->env,
        .program = "membridge fuzz",
        .backup_days_max = 14,
        .backup_count_max = 50,
        .on_change = on_change,
    };
}

static void check_machines(const struct mb_engine_machine *machines, size_t count)
{
    FUZZ_CHECK(count <= MB_ENGINE_MACHINES_MAX);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(strlen(machines[i].id) == 16);
        fuzz_check_shown(machines[i].name);
    }
}

int world_pull(struct world *world, const struct mb_pull_request *request,
               struct mb_pull_report *report, struct mb_error *err)
{
    static const struct mb_pull_request plain;
    struct mb_engine_config config = make_config((struct machine *)world);
    struct mb_engine *engine = NULL;
    int rc = -1;

    memset(report, 0, sizeof *report);
    mb_error_init(err);
    if (mb_engine_open(&config, &engine, err) == 0) {
        rc = mb_engine_pull(engine, request != NULL ? request : &plain, report, err);
    }
    mb_engine_close(engine);
    if (rc != 0) {
        fuzz_check_error(err);
    } else {
        check_machines(report->machines, report->machine_count);
        fuzz_check_shown(report->warning.message);
        FUZZ_CHECK(report->rows_inserted >= 0 && report->rows_deleted >= 0);
    }
    return rc;
}

int world_push(struct world *world, const struct mb_push_request *request,
               struct mb_push_report *report, struct mb_error *err)
{
    static const struct mb_push_request plain;
    struct mb_engine_config config = make_config((struct machine *)world);
    struct mb_engine *engine = NULL;
    int rc = -1;

    memset(report, 0, sizeof *report);
    mb_error_init(err);
    if (mb_engine_open(&config, &engine, err) == 0) {
        rc = mb_engine_push(engine, request != NULL ? request : &plain, report, err);
    }
    mb_engine_close(engine);
    if (rc != 0) {
        fuzz_check_error(err);
    } else {
        fuzz_check_shown(report->reason.message);
    }
    return rc;
}

static int on_conflict(void *context, const struct mb_engine_conflict *conflict,
                       struct mb_error *err)
{
    (void)context;
    (void)err;
    fuzz_check_shown(conflict->table);
    fuzz_check_shown(conflict->title);
    fuzz_check_shown(conflict->column);
    fuzz_check_shown(conflict->kept_value);
    fuzz_check_shown(conflict->other_value);
    fuzz_check_shown(conflict->other_machine);
    return 0;
}

void world_look(struct world *world)
{
    struct mb_engine_config config = make_config((struct machine *)world);
    struct mb_engine *engine = NULL;
    struct mb_status_report report;
    struct mb_error err;

    mb_error_init(&err);
    config.is_read_only = true;
    if (mb_engine_open(&config, &engine, &err) != 0) {
        fuzz_check_error(&err);
        return;
    }
    memset(&report, 0, sizeof report);
    if (mb_engine_status(engine, &report, &err) == 0) {
        check_machines(report.machines, report.machine_count);
        fuzz_check_shown(report.digest_alarm);
        fuzz_check_shown(report.last_pull.message);
        FUZZ_CHECK(report.table_count <= MB_ENGINE_TABLES_MAX);
    } else {
        fuzz_check_error(&err);
    }
    if (mb_engine_conflicts(engine, on_conflict, NULL, &err) != 0) {
        fuzz_check_error(&err);
    }
    mb_engine_close(engine);
}

char *world_key(const char *below)
{
    char id[MB_CANONICAL_ID_SIZE];

    mb_engine_canonical_id(PROJECT, id);
    return mb_alloc_format("projects/%s/%s", id, below);
}

/* ---- judging ---- */

static void add_rows(struct mb_digest *digest, sqlite3 *db, const char *table, int id_max)
{
    char *sql = sqlite3_mprintf("SELECT * FROM %s WHERE id<=%d ORDER BY id", table, id_max);
    sqlite3_stmt *statement = NULL;
    int step = SQLITE_ERROR;

    FUZZ_CHECK(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            int type = sqlite3_column_type(statement, i);
            const void *data = sqlite3_column_blob(statement, i);
            int size = sqlite3_column_bytes(statement, i);

            mb_digest_update(digest, &type, sizeof type);
            mb_digest_update(digest, &size, sizeof size);
            mb_digest_update(digest, data != NULL ? data : "", (size_t)size);
        }
    }
    FUZZ_CHECK(step == SQLITE_DONE);
    (void)sqlite3_finalize(statement);
    sqlite3_free(sql);
}

/* Of the rows with ids up to id_max; NULL: of all. */
static void fingerprint(sqlite3 *db, const int *id_max, char hex[static 65])
{
    struct mb_digest *digest = mb_digest_new();
    uint8_t bytes[MB_DIGEST_SIZE];

    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        add_rows(digest, db, tables[i], id_max != NULL ? id_max[i] : INT32_MAX);
    }
    mb_digest_final(digest, bytes);
    mb_digest_free(digest);
    mb_digest_hex(bytes, sizeof bytes, hex);
}

static int expect_ok(void *context, int count, char **values, char **names)
{
    (void)context;
    (void)names;
    if (count != 1 || strcmp(values[0], "ok") != 0) {
        fuzz_failed("integrity_check", values[0], __FILE__, __LINE__);
    }
    return 0;
}

static int expect_none(void *context, int count, char **values, char **names)
{
    (void)context;
    (void)names;
    (void)count;
    fuzz_failed("foreign_key_check", values[0], __FILE__, __LINE__);
}

void world_check(struct world *world, bool with_kept, char hex[static 65])
{
    sqlite3 *db = NULL;

    FUZZ_CHECK(sqlite3_open_v2(world->db_path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    FUZZ_CHECK(sqlite3_exec(db, "PRAGMA integrity_check", expect_ok, NULL, NULL) == SQLITE_OK);
    FUZZ_CHECK(sqlite3_exec(db, "PRAGMA foreign_key_check", expect_none, NULL, NULL) == SQLITE_OK);
    for (size_t i = 1; i < sizeof tables / sizeof tables[0]; i++) {
        char *sql = sqlite3_mprintf("INSERT INTO %s_fts(%s_fts,rank) VALUES('integrity-check',1)",
                                    tables[i], tables[i]);

        run_sql(db, sql);
        sqlite3_free(sql);
    }
    if (with_kept) {
        fingerprint(db, kept_counts, hex);
        FUZZ_CHECK(strcmp(hex, made.kept) == 0);
    }
    fingerprint(db, NULL, hex);
    FUZZ_CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* ---- making it, and putting it back ---- */

static int on_object(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    (void)context;
    (void)err;
    for (size_t i = 0; i < made.object_count; i++) {
        if (strcmp(made.objects[i].key, object->key) == 0) {
            return 0;
        }
    }
    FUZZ_CHECK(made.object_count < OBJECTS_MAX);
    made.objects[made.object_count++].key = mb_alloc_text(object->key);
    return 0;
}

/* Takes what the store has got since. */
static void note_objects(struct mb_store *store)
{
    size_t before = made.object_count;
    struct mb_error err;
    struct mb_buf buf;

    FUZZ_CHECK_OK(mb_store_list(store, "projects/", on_object, NULL, &err), &err);
    for (size_t i = before; i < made.object_count; i++) {
        struct object *object = &made.objects[i];

        mb_buf_init(&buf, MB_MIB);
        FUZZ_CHECK_OK(mb_store_get(store, object->key, MB_MIB, &buf, &err), &err);
        object->body.data = mb_buf_take(&buf, &object->body.size);
        mb_buf_release(&buf);
    }
}

static void publish(struct machine *machine, struct mb_store *store, bool is_other)
{
    struct mb_push_report report;
    struct mb_error err;

    make_database(machine->world.db_path, is_other);
    machine->world.store = store;
    FUZZ_CHECK_OK(world_push(&machine->world, NULL, &report, &err), &err);
    FUZZ_CHECK(report.outcome == MB_OUTCOME_DONE && report.rows_sent > 0);
    machine->world.store = NULL;
    note_objects(store);
}

static void make(void)
{
    struct mb_store *store = mb_store_mem_new();
    struct machine other;
    struct mb_error err;
    sqlite3 *db = NULL;

    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0); /* thousands of small commits: in memory */
    }
    (void)atexit(tmpdir_remove);
    FUZZ_CHECK_OK(mb_store_mark(store, &err), &err);
    make_machine(&other, "other", 1);
    publish(&other, store, true);
    made.other_count = made.object_count;
    make_machine(&made.machine, "main", 2);
    publish(&made.machine, store, false);
    FUZZ_CHECK(made.object_count > made.other_count && made.other_count > 0);
    made.database.data = world_read_file(made.machine.world.db_path, &made.database.size);
    made.state.data = world_read_file(made.machine.world.state_path, &made.state.size);
    FUZZ_CHECK(made.database.data != NULL && made.state.data != NULL);
    FUZZ_CHECK(sqlite3_open(made.machine.world.db_path, &db) == SQLITE_OK);
    fingerprint(db, kept_counts, made.kept);
    FUZZ_CHECK(sqlite3_close(db) == SQLITE_OK);
    release_machine(&other);
    mb_store_free(store);
}

struct world *world_reset(bool with_other)
{
    struct machine *machine = &made.machine;
    struct mb_error err;

    if (made.database.data == NULL) {
        make();
    }
    remove_beside(machine->world.db_path);
    remove_beside(machine->world.state_path);
    world_write_file(machine->world.db_path, made.database.data, made.database.size);
    world_write_file(machine->world.state_path, made.state.data, made.state.size);
    machine->world.now_ms = WORLD_NOW_MS + 60000;
    machine->random_state = 3;
    mb_store_free(machine->world.store);
    machine->world.store = mb_store_mem_new();
    FUZZ_CHECK_OK(mb_store_mark(machine->world.store, &err), &err);
    for (size_t i = with_other ? 0 : made.other_count; i < made.object_count; i++) {
        const struct object *object = &made.objects[i];

        FUZZ_CHECK_OK(mb_store_put(machine->world.store, object->key, object->body.data,
                                   object->body.size, &err),
                      &err);
    }
    return &machine->world;
}

void world_drop_state(struct world *world)
{
    remove_beside(world->state_path);
    (void)unlink(world->state_path);
}
