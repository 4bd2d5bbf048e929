/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "alloc.h"
#include "assert.h"
#include "buf.h"
#include "check.h"
#include "file.h"
#include "limits.h"
#include "save.h"
#include "seen.h"
#include "text.h"
#include "vfs.h"

#include <sqlite3.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

#define SETTLE_AFTER_MS (26 * INT64_C(3600000))

/* ---- what a database holds, as text ---- */

static sqlite3 *open_db(const char *path)
{
    sqlite3 *db = NULL;

    MB_ASSERT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    return db;
}

/* Appends the rows of a query, a line each. */
static void dump_query(sqlite3 *db, const char *sql, struct mb_buf *out)
{
    sqlite3_stmt *statement = NULL;
    struct mb_error err;
    int step;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        (void)fprintf(stdout, "    %s: %s\n", sqlite3_errmsg(db), sql);
        CHECK_TEXT(sqlite3_errmsg(db), "");
        return;
    }
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const char *text = (const char *)sqlite3_column_text(statement, i);

            MB_ASSERT(mb_buf_append_text(out, text == NULL ? "NULL" : text, &err) == 0 &&
                      mb_buf_append_text(out, "|", &err) == 0);
        }
        MB_ASSERT(mb_buf_append_text(out, "\n", &err) == 0);
    }
    CHECK_INT(step, SQLITE_DONE);
    (void)sqlite3_finalize(statement);
}

/* All of the synced tables as they stand, and what else a merge could reach. */
static char *dump_exactly(const char *path)
{
    static const char *const queries[] = {
        "SELECT * FROM sdk_sessions ORDER BY id",
        "SELECT * FROM observations ORDER BY id",
        "SELECT * FROM session_summaries ORDER BY id",
        "SELECT * FROM user_prompts ORDER BY id",
        "SELECT * FROM sqlite_sequence ORDER BY name",
        "SELECT count(*), sum(length(sql)) FROM sqlite_master",
    };
    sqlite3 *db = open_db(path);
    struct mb_buf out;
    char *text;

    mb_buf_init(&out, 64 * MB_MIB);
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        dump_query(db, queries[i], &out);
    }
    text = mb_alloc_text_n((const char *)out.data, out.size);
    mb_buf_release(&out);
    MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
    return text;
}

/* What must be the same on every machine: without row ids and stubs. */
static void dump_meaning(const char *path, struct mb_buf *out)
{
    static const char *const queries[] = {
        "SELECT 's', content_session_id, project, custom_title, user_prompt, started_at_epoch,"
        " status FROM sdk_sessions WHERE content_session_id IS NOT memory_session_id ORDER BY 2",
        "SELECT 'o', created_at_epoch, title, type, narrative, facts, o.project,"
        " (SELECT content_session_id FROM sdk_sessions s"
        "  WHERE s.memory_session_id = o.memory_session_id"
        "  AND s.memory_session_id <> s.content_session_id)"
        " FROM observations o ORDER BY 2, 3, 8",
        "SELECT 'm', created_at_epoch, request, learned, m.project,"
        " (SELECT content_session_id FROM sdk_sessions s"
        "  WHERE s.memory_session_id = m.memory_session_id"
        "  AND s.memory_session_id <> s.content_session_id)"
        " FROM session_summaries m ORDER BY 2, 3, 6",
        "SELECT 'p', created_at_epoch, prompt_text, content_session_id FROM user_prompts"
        " ORDER BY 2, 3, 4",
    };
    sqlite3 *db = open_db(path);

    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        dump_query(db, queries[i], out);
    }
    MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
}

static char *dump_meaning_text(const char *path)
{
    struct mb_buf out;
    char *text;

    mb_buf_init(&out, 64 * MB_MIB);
    dump_meaning(path, &out);
    text = mb_alloc_text_n((const char *)out.data, out.size);
    mb_buf_release(&out);
    return text;
}

/* What a machine knows, and what it has still to do. */
static void dump_state(const char *folder, struct mb_buf *out)
{
    static const char sql[] =
        "SELECT 'state', (SELECT value FROM meta WHERE key = 'digest'),"
        " 'rows', (SELECT count(*) FROM row), 'tombs', (SELECT count(*) FROM tomb),"
        " 'waiting', (SELECT count(*) FROM out) + (SELECT count(*) FROM sending),"
        " 'flying', (SELECT count(*) FROM journal WHERE in_flight),"
        " 'held', (SELECT count(*) FROM held_out), (SELECT count(*) FROM held_in),"
        " 'dirty', (SELECT count(*) FROM dirty), (SELECT count(*) FROM undead),"
        " 'loose', (SELECT count(*) FROM loose), 'shelf', (SELECT count(*) FROM shelf),"
        " 'stubs', (SELECT count(*) FROM stub), 'conflicts', (SELECT count(*) FROM conflict),"
        " 'heal', (SELECT value FROM meta WHERE key = 'heal'),"
        " 'alarm', (SELECT value FROM meta WHERE key = 'digest_alarm')";
    char *path = mb_file_join(folder, "state.db");
    sqlite3 *db = open_db(path);

    dump_query(db, sql, out);
    MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
    free(path);
}

/* ---- the run without a fault ---- */

static struct world *running; /* whose commits are looked at */

static void allow(struct world *world)
{
    char *dump = dump_exactly(world->a->db_path);

    MB_ASSERT(world->allowed_count < sizeof world->allowed / sizeof world->allowed[0]);
    world->allowed[world->allowed_count++] = dump;
}

static int on_step(void *context, const char *name, struct mb_error *err)
{
    (void)context;
    (void)err;
    if (running != NULL && strcmp(name, "live-committed") == 0) {
        allow(running);
    }
    return 0;
}

/* Time stands still, so that runs can be compared. */
static void on_sleep(void *context, int64_t duration_ms)
{
    (void)context;
    (void)duration_ms;
}

struct mb_engine_config world_config(struct world *world)
{
    struct mb_engine_config config = fleet_config(world->a);

    config.backup_dir = world->backup_dir;
    return config;
}

int world_run(struct world *world, struct mb_error *err)
{
    struct fleet_machine *a = world->a;

    fleet_close_db(a);
    memset(&a->changes, 0, sizeof a->changes);
    memset(&a->pushed, 0, sizeof a->pushed);
    memset(&a->pulled, 0, sizeof a->pulled);
    a->now_ms = world->now_ms;
    a->random_state = world->random_state;
    mb_error_init(err);
    return world->op->run(world, err);
}

/* Everybody syncs until all should be equal; the result as text. */
static char *settle(struct world *world)
{
    struct fleet_machine *turns[] = {world->a, world->b, world->a};
    struct mb_buf out;
    char *text;

    for (size_t i = 0; i < world->fleet->count; i++) {
        world->fleet->machines[i]->now_ms = world->now_ms + SETTLE_AFTER_MS;
    }
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        turns[i]->now_ms += SETTLE_AFTER_MS;
        fleet_sync(turns[i]);
        CHECK_INT(turns[i]->pulled.warning.code, MB_OK);
    }
    fleet_pull(world->c, NULL);
    mb_buf_init(&out, 64 * MB_MIB);
    for (size_t i = 0; i < world->fleet->count; i++) {
        dump_meaning(world->fleet->machines[i]->db_path, &out);
        dump_state(world->fleet->machines[i]->state_dir, &out);
    }
    text = mb_alloc_text_n((const char *)out.data, out.size);
    mb_buf_release(&out);
    return text;
}

void world_check_agreement(struct world *world)
{
    struct mb_status_report first, report;
    struct mb_buf one, other;

    fleet_status(world->a, &first);
    mb_buf_init(&one, 64 * MB_MIB);
    dump_meaning(world->a->db_path, &one);
    for (size_t i = 1; i < world->fleet->count; i++) {
        fleet_status(world->fleet->machines[i], &report);
        mb_buf_init(&other, 64 * MB_MIB);
        dump_meaning(world->fleet->machines[i]->db_path, &other);
        if (first.deletes_held_out + first.deletes_held_in == 0) {
            CHECK_TEXT(report.digest, first.digest);
            CHECK_TEXT(mb_buf_text(&other), mb_buf_text(&one));
        }
        CHECK_TEXT(report.digest_alarm, "");
        CHECK_INT(report.pending_out, 0);
        mb_buf_release(&other);
    }
    mb_buf_release(&one);
}

/* Hundreds of folders with small files: in memory, where there is such a place. */
static void choose_folder(void)
{
    if (mb_file_is_folder("/dev/shm") && access("/dev/shm", W_OK | X_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0);
    }
}

struct world *world_new(const struct world_op *op)
{
    struct world *world = mb_alloc_zeroed(1, sizeof *world);
    struct mb_error err;

    choose_folder();
    vfs_register();
    world->op = op;
    world->fleet = fleet_new(0);
    world->a = fleet_add(world->fleet, op->version);
    world->b = fleet_add(world->fleet, "13.25.3");
    world->c = fleet_add(world->fleet, "13.25.3");
    world->backup_dir = mb_file_join(world->a->folder, "backups");
    world->a->env.step = on_step;
    world->a->env.sleep_ms = on_sleep;
    op->prepare(world);
    world->now_ms = world->a->now_ms + 5000;
    world->random_state = world->a->random_state;
    for (size_t i = 0; i < world->fleet->count; i++) {
        fleet_close_db(world->fleet->machines[i]);
    }
    world->save = save_new(world->fleet);
    world->seen = seen_new();
    allow(world);
    world->meaning_before = dump_meaning_text(world->a->db_path);
    running = world;
    CHECK_OK(world_run(world, &err), &err);
    running = NULL;
    CHECK_INT(world->a->pulled.warning.code, MB_OK);
    allow(world);
    world->meaning_after = dump_meaning_text(world->a->db_path);
    op->check(world);
    world->settled = settle(world);
    world_check_agreement(world);
    return world;
}

void world_free(struct world *world)
{
    if (world == NULL) {
        return;
    }
    save_free(world->save);
    seen_free(world->seen);
    for (size_t i = 0; i < world->allowed_count; i++) {
        free(world->allowed[i]);
    }
    free(world->settled);
    free(world->meaning_before);
    free(world->meaning_after);
    free(world->backup_dir);
    fleet_free(world->fleet);
    free(world);
}

void world_restore(struct world *world)
{
    for (size_t i = 0; i < world->fleet->count; i++) {
        fleet_close_db(world->fleet->machines[i]);
    }
    save_restore(world->save, world->fleet);
}

/* ---- after a fault ---- */

/* Was it not found sound already, byte by byte? */
static bool is_new_content(struct world *world, const char *path)
{
    char *wal = mb_alloc_format("%s-wal", path);
    char *journal = mb_alloc_format("%s-journal", path);
    bool is_new = mb_file_exists(wal) || mb_file_exists(journal) || seen_file(world->seen, path);

    free(wal);
    free(journal);
    return is_new;
}

static void check_sound(struct world *world, const char *path)
{
    struct mb_buf out;
    sqlite3 *db;

    if (!is_new_content(world, path)) {
        return;
    }
    db = open_db(path);
    mb_buf_init(&out, MB_MIB);
    dump_query(db, "PRAGMA integrity_check", &out);
    CHECK_TEXT(mb_buf_text(&out), "ok|\n");
    mb_buf_release(&out);
    MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
}

/* What SQLite may leave beside a database that it could not close: the next open clears it up. */
static bool is_side_file(const char *name)
{
    return mb_text_has_suffix(name, "-wal") || mb_text_has_suffix(name, "-shm") ||
           mb_text_has_suffix(name, "-journal");
}

static int check_backup(void *context, const char *name, struct mb_error *err)
{
    struct world *world = context;
    char *path = mb_file_join(world->backup_dir, name);

    (void)err;
    if (mb_text_has_suffix(name, ".db")) {
        char *dump = dump_exactly(path);

        check_sound(world, path);
        CHECK_TEXT(dump, world->allowed[0]); /* a backup stands before the first merge */
        free(dump);
    }
    free(path);
    return 0;
}

static int check_half_backup(void *context, const char *name, struct mb_error *err)
{
    (void)context;
    (void)err;
    if (!CHECK(mb_text_has_suffix(name, ".db"))) {
        (void)fprintf(stdout, "    left behind: backups/%s\n", name);
    }
    return 0;
}

static int check_name(void *context, const char *name, struct mb_error *err)
{
    static const char *const known[] = {"claude-mem.db", "state", "backups", "state.db", "lock"};
    bool is_known = false;

    (void)context;
    (void)err;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        is_known = is_known || strcmp(name, known[i]) == 0;
    }
    is_known = is_known || (is_side_file(name) && (mb_text_has_prefix(name, "claude-mem.db-") ||
                                                   mb_text_has_prefix(name, "state.db-")));
    if (!CHECK(is_known)) {
        (void)fprintf(stdout, "    left behind: %s\n", name);
    }
    return 0;
}

static void check_files(struct world *world, bool is_kill)
{
    char *state = mb_file_join(world->a->state_dir, "state.db");
    struct mb_error err;

    CHECK_INT(vfs_open_file_count(), 0);
    if (!is_kill) {
        CHECK_OK(mb_file_list(world->a->folder, check_name, world, &err), &err);
        CHECK_OK(mb_file_list(world->a->state_dir, check_name, world, &err), &err);
        CHECK_OK(mb_file_list(world->backup_dir, check_half_backup, world, &err), &err);
    }
    CHECK_OK(mb_file_list(world->backup_dir, check_backup, world, &err), &err);
    if (mb_file_exists(state)) {
        check_sound(world, state);
    }
    free(state);
}

/* Is each line of the database's meaning one of before, or one of the end? */
static bool has_only_known_lines(struct world *world)
{
    char *now = dump_meaning_text(world->a->db_path);
    bool has_only = true;

    for (char *line = now; *line != '\0';) {
        char *end = strchr(line, '\n');
        char kept = end[1];

        end[1] = '\0';
        has_only = has_only && (strstr(world->meaning_before, line) != NULL ||
                                strstr(world->meaning_after, line) != NULL);
        end[1] = kept;
        line = end + 1;
    }
    free(now);
    return has_only;
}

void world_check_fault(struct world *world, const struct world_fault *fault, int rc,
                       const struct mb_error *err)
{
    const struct mb_error *told[] = {err, &world->a->pushed.reason, &world->a->pulled.warning};
    bool is_allowed = false;
    char *dump;

    CHECK(rc == 0 || (rc == -1 && err->code != MB_OK && err->message[0] != '\0'));
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        CHECK(strstr(told[i]->message, "sekret") == NULL);
        CHECK(strstr(told[i]->advice, "sekret") == NULL);
    }
    check_files(world, fault->is_kill);
    dump = dump_exactly(world->a->db_path);
    for (size_t i = 0; i < world->allowed_count; i++) {
        is_allowed = is_allowed || strcmp(dump, world->allowed[i]) == 0;
    }
    is_allowed = is_allowed || (fault->may_skip && has_only_known_lines(world));
    if (!CHECK(is_allowed)) {
        CHECK_TEXT(dump, world->allowed[world->allowed_count - 1]);
    }
    free(dump);
    if (is_new_content(world, world->a->db_path)) {
        fleet_check_db(world->a);
        fleet_close_db(world->a);
    }
}

/* Is this a place from which nothing was repaired yet? */
static bool is_new_place(struct world *world)
{
    struct seen_place place;

    seen_begin(&place);
    seen_add_database(&place, world->a->db_path);
    seen_add_state(&place, world->a->state_dir);
    seen_add_folder(&place, world->backup_dir);
    seen_add_store(&place, world->fleet);
    return seen_end(world->seen, &place);
}

void world_check_repair(struct world *world)
{
    struct mb_error err;
    char *settled;

    if (!is_new_place(world)) {
        return;
    }
    CHECK_OK(world_run(world, &err), &err);
    CHECK(world->a->pushed.outcome != MB_OUTCOME_QUEUED &&
          world->a->pushed.outcome != MB_OUTCOME_UNKNOWN);
    settled = settle(world);
    CHECK_TEXT(settled, world->settled);
    free(settled);
    for (size_t i = 0; i < world->fleet->count; i++) {
        if (is_new_content(world, world->fleet->machines[i]->db_path)) {
            fleet_check_db(world->fleet->machines[i]);
        }
        fleet_close_db(world->fleet->machines[i]);
    }
}
