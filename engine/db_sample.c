/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "digest.h"
#include "file.h"
#include "sample.h"
#include "text.h"

#include <sqlite3.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* claude-mem waits as long. */
#define BUSY_TIMEOUT_MS 5000
#define SCHEMA_VERSION_LAST 52

struct mb_sample {
    sqlite3 *db;
};

/* What claude-mem 13.25.3 creates, as far as it is synced; triggers word for word. */
/* clang-format off */
static const char *const schema[] = {
    "CREATE TABLE schema_versions ( id INTEGER PRIMARY KEY, version INTEGER UNIQUE NOT "
    "NULL, applied_at TEXT NOT NULL )",
    "CREATE TABLE sdk_sessions ( id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "content_session_id TEXT NOT NULL, memory_session_id TEXT UNIQUE, project TEXT NOT "
    "NULL, platform_source TEXT NOT NULL DEFAULT 'claude', user_prompt TEXT, started_at "
    "TEXT NOT NULL, started_at_epoch INTEGER NOT NULL, completed_at TEXT, "
    "completed_at_epoch INTEGER, status TEXT CHECK(status IN ('active', 'completed', "
    "'failed')) NOT NULL DEFAULT 'active' , worker_port INTEGER, prompt_counter INTEGER "
    "DEFAULT 0, custom_title TEXT, observed_model TEXT, observed_billing TEXT)",
    "CREATE INDEX idx_sdk_sessions_claude_id ON sdk_sessions(content_session_id)",
    "CREATE INDEX idx_sdk_sessions_sdk_id ON sdk_sessions(memory_session_id)",
    "CREATE INDEX idx_sdk_sessions_project ON sdk_sessions(project)",
    "CREATE INDEX idx_sdk_sessions_status ON sdk_sessions(status)",
    "CREATE INDEX idx_sdk_sessions_started ON sdk_sessions(started_at_epoch DESC)",
    "CREATE TABLE \"session_summaries\" ( id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "memory_session_id TEXT NOT NULL, project TEXT NOT NULL, request TEXT, investigated "
    "TEXT, learned TEXT, completed TEXT, next_steps TEXT, files_read TEXT, files_edited "
    "TEXT, notes TEXT, prompt_number INTEGER, created_at TEXT NOT NULL, created_at_epoch "
    "INTEGER NOT NULL, discovery_tokens INTEGER DEFAULT 0, merged_into_project TEXT, "
    "synced_at INTEGER, origin_device_id TEXT, origin_local_id TEXT, sync_rev TEXT NOT "
    "NULL DEFAULT '1', FOREIGN KEY(memory_session_id) REFERENCES "
    "sdk_sessions(memory_session_id) ON DELETE CASCADE ON UPDATE CASCADE )",
    "CREATE INDEX idx_session_summaries_sdk_session ON "
    "session_summaries(memory_session_id)",
    "CREATE INDEX idx_session_summaries_created ON session_summaries(created_at_epoch "
    "DESC)",
    "CREATE TABLE \"observations\" ( id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "memory_session_id TEXT NOT NULL, project TEXT NOT NULL, text TEXT, type TEXT NOT "
    "NULL, title TEXT, subtitle TEXT, facts TEXT, narrative TEXT, concepts TEXT, "
    "files_read TEXT, files_modified TEXT, prompt_number INTEGER, created_at TEXT NOT "
    "NULL, created_at_epoch INTEGER NOT NULL, discovery_tokens INTEGER DEFAULT 0, "
    "content_hash TEXT, generated_by_model TEXT, relevance_count INTEGER DEFAULT 0, "
    "merged_into_project TEXT, agent_type TEXT, agent_id TEXT, metadata TEXT, synced_at "
    "INTEGER, origin_device_id TEXT, origin_local_id TEXT, sync_rev TEXT NOT NULL "
    "DEFAULT '1', FOREIGN KEY(memory_session_id) REFERENCES "
    "sdk_sessions(memory_session_id) ON DELETE CASCADE ON UPDATE CASCADE )",
    "CREATE INDEX idx_observations_sdk_session ON observations(memory_session_id)",
    "CREATE INDEX idx_observations_created ON observations(created_at_epoch DESC)",
    "CREATE VIRTUAL TABLE user_prompts_fts USING fts5( prompt_text, "
    "content='user_prompts', content_rowid='id' )",
    "CREATE INDEX idx_observations_content_hash ON observations(content_hash, "
    "created_at_epoch)",
    "CREATE INDEX idx_sdk_sessions_platform_source ON sdk_sessions(platform_source)",
    "CREATE UNIQUE INDEX ux_observations_session_hash ON observations(memory_session_id, "
    "content_hash)",
    "CREATE UNIQUE INDEX ux_sdk_sessions_platform_content ON "
    "sdk_sessions(platform_source, content_session_id)",
    "CREATE TABLE \"user_prompts\" ( id INTEGER PRIMARY KEY AUTOINCREMENT, session_db_id "
    "INTEGER, content_session_id TEXT NOT NULL, prompt_number INTEGER NOT NULL, "
    "prompt_text TEXT NOT NULL, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT "
    "NULL, synced_at INTEGER, origin_device_id TEXT, origin_local_id TEXT, sync_rev TEXT "
    "NOT NULL DEFAULT '1', FOREIGN KEY(session_db_id) REFERENCES sdk_sessions(id) ON "
    "DELETE CASCADE )",
    "CREATE INDEX idx_user_prompts_claude_session ON user_prompts(content_session_id)",
    "CREATE INDEX idx_user_prompts_created ON user_prompts(created_at_epoch DESC)",
    "CREATE INDEX idx_user_prompts_lookup ON user_prompts(session_db_id, prompt_number)",
    "CREATE INDEX idx_user_prompts_content_lookup ON user_prompts(content_session_id, "
    "prompt_number)",
    "CREATE TRIGGER user_prompts_ai AFTER INSERT ON user_prompts BEGIN\n"
    "          INSERT INTO user_prompts_fts(rowid, prompt_text)\n"
    "          VALUES (new.id, new.prompt_text);\n"
    "        END",
    "CREATE TRIGGER user_prompts_ad AFTER DELETE ON user_prompts BEGIN\n"
    "          INSERT INTO user_prompts_fts(user_prompts_fts, rowid, prompt_text)\n"
    "          VALUES('delete', old.id, old.prompt_text);\n"
    "        END",
    "CREATE TRIGGER user_prompts_au AFTER UPDATE ON user_prompts BEGIN\n"
    "          INSERT INTO user_prompts_fts(user_prompts_fts, rowid, prompt_text)\n"
    "          VALUES('delete', old.id, old.prompt_text);\n"
    "          INSERT INTO user_prompts_fts(rowid, prompt_text)\n"
    "          VALUES (new.id, new.prompt_text);\n"
    "        END",
    "CREATE INDEX idx_observations_unsynced ON observations(id) WHERE synced_at IS NULL",
    "CREATE INDEX idx_session_summaries_unsynced ON session_summaries(id) WHERE "
    "synced_at IS NULL",
    "CREATE INDEX idx_user_prompts_unsynced ON user_prompts(id) WHERE synced_at IS NULL",
    "CREATE UNIQUE INDEX ux_observations_origin ON observations(origin_device_id, "
    "origin_local_id) WHERE origin_device_id IS NOT NULL",
    "CREATE UNIQUE INDEX ux_session_summaries_origin ON "
    "session_summaries(origin_device_id, origin_local_id) WHERE origin_device_id IS NOT "
    "NULL",
    "CREATE UNIQUE INDEX ux_user_prompts_origin ON user_prompts(origin_device_id, "
    "origin_local_id) WHERE origin_device_id IS NOT NULL",
    "CREATE VIRTUAL TABLE observations_fts USING fts5( title, subtitle, narrative, text, "
    "facts, concepts, content='observations', content_rowid='id' )",
    "CREATE TRIGGER observations_ai AFTER INSERT ON observations BEGIN\n"
    "        INSERT INTO observations_fts(rowid, title, subtitle, narrative, text, "
    "facts, concepts)\n"
    "        VALUES (new.id, new.title, new.subtitle, new.narrative, new.text, "
    "new.facts, new.concepts);\n"
    "      END",
    "CREATE TRIGGER observations_ad AFTER DELETE ON observations BEGIN\n"
    "        INSERT INTO observations_fts(observations_fts, rowid, title, subtitle, "
    "narrative, text, facts, concepts)\n"
    "        VALUES('delete', old.id, old.title, old.subtitle, old.narrative, old.text, "
    "old.facts, old.concepts);\n"
    "      END",
    "CREATE TRIGGER observations_au AFTER UPDATE ON observations BEGIN\n"
    "        INSERT INTO observations_fts(observations_fts, rowid, title, subtitle, "
    "narrative, text, facts, concepts)\n"
    "        VALUES('delete', old.id, old.title, old.subtitle, old.narrative, old.text, "
    "old.facts, old.concepts);\n"
    "        INSERT INTO observations_fts(rowid, title, subtitle, narrative, text, "
    "facts, concepts)\n"
    "        VALUES (new.id, new.title, new.subtitle, new.narrative, new.text, "
    "new.facts, new.concepts);\n"
    "      END",
    "CREATE VIRTUAL TABLE session_summaries_fts USING fts5( request, investigated, "
    "learned, completed, next_steps, notes, content='session_summaries', "
    "content_rowid='id' )",
    "CREATE TRIGGER session_summaries_ai AFTER INSERT ON session_summaries BEGIN\n"
    "        INSERT INTO session_summaries_fts(rowid, request, investigated, learned, "
    "completed, next_steps, notes)\n"
    "        VALUES (new.id, new.request, new.investigated, new.learned, new.completed, "
    "new.next_steps, new.notes);\n"
    "      END",
    "CREATE TRIGGER session_summaries_ad AFTER DELETE ON session_summaries BEGIN\n"
    "        INSERT INTO session_summaries_fts(session_summaries_fts, rowid, request, "
    "investigated, learned, completed, next_steps, notes)\n"
    "        VALUES('delete', old.id, old.request, old.investigated, old.learned, "
    "old.completed, old.next_steps, old.notes);\n"
    "      END",
    "CREATE TRIGGER session_summaries_au AFTER UPDATE ON session_summaries BEGIN\n"
    "        INSERT INTO session_summaries_fts(session_summaries_fts, rowid, request, "
    "investigated, learned, completed, next_steps, notes)\n"
    "        VALUES('delete', old.id, old.request, old.investigated, old.learned, "
    "old.completed, old.next_steps, old.notes);\n"
    "        INSERT INTO session_summaries_fts(rowid, request, investigated, learned, "
    "completed, next_steps, notes)\n"
    "        VALUES (new.id, new.request, new.investigated, new.learned, new.completed, "
    "new.next_steps, new.notes);\n"
    "      END",
};
/* clang-format on */

static int fail(struct mb_sample *sample, const char *what, struct mb_error *err)
{
    return mb_error_set(err, MB_ERR_FAILED, "%s the sample database: %s", what,
                        sqlite3_errmsg(sample->db));
}

static int exec(struct mb_sample *sample, const char *sql, struct mb_error *err)
{
    if (sqlite3_exec(sample->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return fail(sample, "writing", err);
    }
    return 0;
}

static int prepare(struct mb_sample *sample, sqlite3_stmt **stmt_out, const char *sql,
                   struct mb_error *err)
{
    if (sqlite3_prepare_v2(sample->db, sql, -1, stmt_out, NULL) != SQLITE_OK) {
        return fail(sample, "reading", err);
    }
    return 0;
}

static void bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
    MB_ASSERT(sqlite3_bind_text(stmt, index, text, -1, SQLITE_TRANSIENT) == SQLITE_OK);
}

static void bind_int(sqlite3_stmt *stmt, int index, int64_t value)
{
    MB_ASSERT(sqlite3_bind_int64(stmt, index, value) == SQLITE_OK);
}

static int finish(struct mb_sample *sample, sqlite3_stmt *stmt, struct mb_error *err)
{
    int step = sqlite3_step(stmt);
    int rc = step == SQLITE_DONE ? 0 : fail(sample, "writing", err);

    (void)sqlite3_finalize(stmt);
    return rc;
}

static int connect(const char *path, int flags, struct mb_sample **sample_out, struct mb_error *err)
{
    struct mb_sample *sample = mb_alloc_zeroed(1, sizeof(*sample));
    int rc = -1;

    if (sqlite3_open_v2(path, &sample->db, flags, NULL) != SQLITE_OK) {
        (void)fail(sample, "opening", err);
        goto out;
    }
    (void)sqlite3_busy_timeout(sample->db, BUSY_TIMEOUT_MS);
    if (exec(sample, "PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL;", err) != 0) {
        goto out;
    }
    *sample_out = sample;
    sample = NULL;
    rc = 0;
out:
    mb_db_sample_close(sample);
    return rc;
}

int mb_db_sample_open(const char *path, struct mb_sample **sample_out, struct mb_error *err)
{
    return connect(path, SQLITE_OPEN_READWRITE, sample_out, err);
}

int mb_db_sample_create(const char *path, struct mb_sample **sample_out, struct mb_error *err)
{
    struct mb_sample *sample = NULL;
    sqlite3_stmt *stmt = NULL;
    int rc = -1;

    if (mb_file_exists(path)) {
        return mb_error_set(err, MB_ERR_USAGE, "'%s' is there already", path);
    }
    if (connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &sample, err) != 0 ||
        exec(sample, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; BEGIN;", err) !=
            0) {
        goto out;
    }
    for (size_t i = 0; i < sizeof(schema) / sizeof(schema[0]); i++) {
        if (exec(sample, schema[i], err) != 0) {
            goto out;
        }
    }
    for (int version = 4; version <= SCHEMA_VERSION_LAST; version++) {
        if (prepare(sample, &stmt,
                    "INSERT INTO schema_versions(version, applied_at) VALUES (?1, datetime('now'))",
                    err) != 0) {
            goto out;
        }
        bind_int(stmt, 1, version);
        if (finish(sample, stmt, err) != 0) {
            goto out;
        }
    }
    if (exec(sample, "COMMIT", err) != 0) {
        goto out;
    }
    *sample_out = sample;
    sample = NULL;
    rc = 0;
out:
    mb_db_sample_close(sample);
    return rc;
}

void mb_db_sample_close(struct mb_sample *sample)
{
    if (sample != NULL) {
        (void)sqlite3_close(sample->db);
        free(sample);
    }
}

/* "2026-11-23T00:36:47.000Z", as JavaScript writes it. */
static void iso_time(char out[static MB_TEXT_SHORT_MAX], int64_t time_ms)
{
    char seconds[MB_TEXT_SHORT_MAX];

    (void)mb_text_utc(seconds, time_ms);
    (void)snprintf(out, MB_TEXT_SHORT_MAX, "%.19s.%03dZ", seconds, (int)(time_ms % 1000));
}

static int insert_session(struct mb_sample *sample, const struct mb_sample_session *session,
                          const char *memory_id, int64_t *id_out, struct mb_error *err)
{
    static const char sql[] =
        "INSERT INTO sdk_sessions(content_session_id, memory_session_id, project, platform_source,"
        " user_prompt, started_at, started_at_epoch, status, prompt_counter)"
        " VALUES (?1, ?2, ?3, 'claude', ?4, ?5, ?6, 'active', 1)";
    sqlite3_stmt *stmt = NULL;
    char started[MB_TEXT_SHORT_MAX];

    iso_time(started, session->started_ms);
    if (prepare(sample, &stmt, sql, err) != 0) {
        return -1;
    }
    bind_text(stmt, 1, session->content_id);
    bind_text(stmt, 2, memory_id);
    bind_text(stmt, 3, session->project);
    bind_text(stmt, 4, session->prompt);
    bind_text(stmt, 5, started);
    bind_int(stmt, 6, session->started_ms);
    if (finish(sample, stmt, err) != 0) {
        return -1;
    }
    *id_out = sqlite3_last_insert_rowid(sample->db);
    return 0;
}

static int insert_prompt(struct mb_sample *sample, const struct mb_sample_session *session,
                         int64_t session_id, struct mb_error *err)
{
    static const char sql[] =
        "INSERT INTO user_prompts(session_db_id, content_session_id, prompt_number, prompt_text,"
        " created_at, created_at_epoch) VALUES (?1, ?2, 1, ?3, ?4, ?5)";
    sqlite3_stmt *stmt = NULL;
    char created[MB_TEXT_SHORT_MAX];

    iso_time(created, session->started_ms + 1);
    if (prepare(sample, &stmt, sql, err) != 0) {
        return -1;
    }
    bind_int(stmt, 1, session_id);
    bind_text(stmt, 2, session->content_id);
    bind_text(stmt, 3, session->prompt);
    bind_text(stmt, 4, created);
    bind_int(stmt, 5, session->started_ms + 1);
    return finish(sample, stmt, err);
}

static int insert_observation(struct mb_sample *sample, const struct mb_sample_session *session,
                              const char *memory_id, size_t index, struct mb_error *err)
{
    static const char sql[] =
        "INSERT INTO observations(memory_session_id, project, type, title, subtitle, facts,"
        " narrative, concepts, files_read, files_modified, prompt_number, created_at,"
        " created_at_epoch, discovery_tokens, content_hash)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, '[]', '[]', 1, ?9, ?10, 850, ?11)";
    const struct mb_sample_observation *observation = &session->observations[index];
    int64_t created_ms = session->started_ms + 60000 * ((int64_t)index + 1);
    uint8_t digest[MB_DIGEST_SIZE];
    char hash[17];
    char created[MB_TEXT_SHORT_MAX];
    char *hashed = NULL;
    sqlite3_stmt *stmt = NULL;

    hashed = mb_alloc_format("%s%s%s", memory_id, observation->title, observation->narrative);
    mb_digest_sha256(hashed, strlen(hashed), digest);
    mb_digest_hex(digest, 8, hash);
    free(hashed);
    iso_time(created, created_ms);
    if (prepare(sample, &stmt, sql, err) != 0) {
        return -1;
    }
    bind_text(stmt, 1, memory_id);
    bind_text(stmt, 2, session->project);
    bind_text(stmt, 3, observation->type);
    bind_text(stmt, 4, observation->title);
    bind_text(stmt, 5, observation->subtitle);
    bind_text(stmt, 6, observation->facts);
    bind_text(stmt, 7, observation->narrative);
    bind_text(stmt, 8, observation->concepts);
    bind_text(stmt, 9, created);
    bind_int(stmt, 10, created_ms);
    bind_text(stmt, 11, hash);
    return finish(sample, stmt, err);
}

static int insert_summary(struct mb_sample *sample, const struct mb_sample_session *session,
                          const char *memory_id, struct mb_error *err)
{
    static const char sql[] =
        "INSERT INTO session_summaries(memory_session_id, project, request, investigated, learned,"
        " completed, next_steps, files_read, files_edited, notes, prompt_number, created_at,"
        " created_at_epoch, discovery_tokens)"
        " VALUES (?1, ?2, ?3, '', ?4, ?5, ?6, '[]', '[]', '', 1, ?7, ?8, 1200)";
    int64_t created_ms = session->started_ms + 60000 * ((int64_t)session->observation_count + 2);
    sqlite3_stmt *stmt = NULL;
    char created[MB_TEXT_SHORT_MAX];

    iso_time(created, created_ms);
    if (prepare(sample, &stmt, sql, err) != 0) {
        return -1;
    }
    bind_text(stmt, 1, memory_id);
    bind_text(stmt, 2, session->project);
    bind_text(stmt, 3, session->request);
    bind_text(stmt, 4, session->learned);
    bind_text(stmt, 5, session->completed);
    bind_text(stmt, 6, session->next_steps);
    bind_text(stmt, 7, created);
    bind_int(stmt, 8, created_ms);
    return finish(sample, stmt, err);
}

int mb_db_sample_add_session(struct mb_sample *sample, const struct mb_sample_session *session,
                             struct mb_error *err)
{
    char *memory_id =
        mb_alloc_format("memory-%s-%" PRId64, session->content_id, session->started_ms);
    int64_t session_id = 0;
    int rc = -1;

    if (exec(sample, "BEGIN IMMEDIATE", err) != 0) {
        goto out;
    }
    if (insert_session(sample, session, memory_id, &session_id, err) != 0 ||
        insert_prompt(sample, session, session_id, err) != 0) {
        goto out;
    }
    for (size_t i = 0; i < session->observation_count; i++) {
        if (insert_observation(sample, session, memory_id, i, err) != 0) {
            goto out;
        }
    }
    if (insert_summary(sample, session, memory_id, err) != 0 || exec(sample, "COMMIT", err) != 0) {
        goto out;
    }
    rc = 0;
out:
    if (rc != 0) {
        (void)sqlite3_exec(sample->db, "ROLLBACK", NULL, NULL, NULL);
    }
    free(memory_id);
    return rc;
}

int mb_db_sample_delete_observation(struct mb_sample *sample, const char *title,
                                    struct mb_error *err)
{
    sqlite3_stmt *stmt = NULL;

    if (prepare(sample, &stmt,
                "DELETE FROM observations WHERE id ="
                " (SELECT id FROM observations WHERE title = ?1 ORDER BY id LIMIT 1)",
                err) != 0) {
        return -1;
    }
    bind_text(stmt, 1, title);
    if (finish(sample, stmt, err) != 0) {
        return -1;
    }
    if (sqlite3_changes(sample->db) == 0) {
        return mb_error_set(err, MB_ERR_NOT_FOUND, "there is no observation '%s'", title);
    }
    return 0;
}

static int scalar(struct mb_sample *sample, const char *sql, const char *text, int64_t *value_out,
                  struct mb_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = -1;

    if (prepare(sample, &stmt, sql, err) != 0) {
        goto out;
    }
    if (text != NULL) {
        bind_text(stmt, 1, text);
    }
    if (sqlite3_step(stmt) != SQLITE_ROW) {
        (void)fail(sample, "reading", err);
        goto out;
    }
    *value_out = sqlite3_column_int64(stmt, 0);
    rc = 0;
out:
    (void)sqlite3_finalize(stmt);
    return rc;
}

int mb_db_sample_count(struct mb_sample *sample, const char *table, int64_t *count_out,
                       struct mb_error *err)
{
    char sql[128];

    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM \"%.64s\"", table);
    return scalar(sample, sql, NULL, count_out, err);
}

int mb_db_sample_count_title(struct mb_sample *sample, const char *title, int64_t *count_out,
                             struct mb_error *err)
{
    return scalar(sample, "SELECT count(*) FROM observations WHERE title = ?1", title, count_out,
                  err);
}

/* What two databases must agree on: everything but local ids and what derives from
 * them. The last column is how a person knows the row. */
static const char *const contents[] = {
    "SELECT platform_source, content_session_id, project, user_prompt, started_at_epoch, status,"
    " custom_title, content_session_id FROM sdk_sessions ORDER BY 1, 2",
    "SELECT content_session_id, prompt_number, prompt_text, created_at, created_at_epoch,"
    " prompt_text FROM user_prompts ORDER BY 1, 5, 3",
    "SELECT s.content_session_id, o.project, o.type, o.title, o.subtitle, o.facts, o.narrative,"
    " o.text, o.concepts, o.created_at, o.created_at_epoch, o.title FROM observations o"
    " LEFT JOIN sdk_sessions s ON s.memory_session_id = o.memory_session_id ORDER BY 11, 4, 7, 1",
    "SELECT s.content_session_id, y.project, y.request, y.learned, y.completed, y.next_steps,"
    " y.notes, y.created_at_epoch, y.request FROM session_summaries y"
    " LEFT JOIN sdk_sessions s ON s.memory_session_id = y.memory_session_id ORDER BY 8, 3, 4, 1",
};

static bool same_value(sqlite3_stmt *a, sqlite3_stmt *b, int column)
{
    bool same_type = sqlite3_column_type(a, column) == sqlite3_column_type(b, column);
    int size = sqlite3_column_bytes(a, column);

    if (!same_type || sqlite3_column_bytes(b, column) != size) {
        return false;
    }
    return size == 0 || memcmp(sqlite3_column_blob(a, column), sqlite3_column_blob(b, column),
                               (size_t)size) == 0;
}

static bool same_row(sqlite3_stmt *a, sqlite3_stmt *b)
{
    for (int column = 0; column < sqlite3_column_count(a); column++) {
        if (!same_value(a, b, column)) {
            return false;
        }
    }
    return true;
}

/* Steps both to their ends, or to the first row that differs. */
static int compare_rows(struct mb_sample *sample, sqlite3_stmt *a, sqlite3_stmt *b, int64_t *count,
                        char difference[static MB_SAMPLE_DIFFERENCE_MAX], struct mb_error *err)
{
    for (;;) {
        int step_a = sqlite3_step(a);
        int step_b = sqlite3_step(b);
        if ((step_a != SQLITE_ROW && step_a != SQLITE_DONE) ||
            (step_b != SQLITE_ROW && step_b != SQLITE_DONE)) {
            return fail(sample, "comparing", err);
        }
        if (step_a == SQLITE_DONE && step_b == SQLITE_DONE) {
            return 0;
        }
        if (step_a != step_b || !same_row(a, b)) {
            sqlite3_stmt *shown = step_a == SQLITE_ROW ? a : b;
            const char *name =
                (const char *)sqlite3_column_text(shown, sqlite3_column_count(shown) - 1);
            (void)snprintf(difference, MB_SAMPLE_DIFFERENCE_MAX, "the row '%.160s' differs",
                           name != NULL ? name : "");
            return 0;
        }
        (*count)++;
    }
}

int mb_db_sample_compare(struct mb_sample *a, struct mb_sample *b, int64_t *row_count_out,
                         char difference[static MB_SAMPLE_DIFFERENCE_MAX], struct mb_error *err)
{
    sqlite3_stmt *stmt_a = NULL;
    sqlite3_stmt *stmt_b = NULL;
    int64_t count = 0;
    int rc = -1;

    difference[0] = '\0';
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]) && difference[0] == '\0'; i++) {
        if (prepare(a, &stmt_a, contents[i], err) != 0 ||
            prepare(b, &stmt_b, contents[i], err) != 0 ||
            compare_rows(a, stmt_a, stmt_b, &count, difference, err) != 0) {
            goto out;
        }
        (void)sqlite3_finalize(stmt_a);
        (void)sqlite3_finalize(stmt_b);
        stmt_a = NULL;
        stmt_b = NULL;
    }
    *row_count_out = count;
    rc = 0;
out:
    (void)sqlite3_finalize(stmt_a);
    (void)sqlite3_finalize(stmt_b);
    return rc;
}
