/* SPDX-License-Identifier: MIT */

#include "attach.h"

#include "alloc.h"
#include "assert.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define ORPHANS "membridge-orphans"

static int run_text_int(struct mb_engine *engine, const char *sql, const char *text, int64_t number,
                        struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->live, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, text);
    mb_db_bind_int(stmt, 2, number);
    return mb_db_run(stmt, err);
}

static int run_two_texts(struct mb_engine *engine, const char *sql, const char *first,
                         const char *second, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->live, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, first);
    mb_db_bind_text(stmt, 2, second);
    return mb_db_run(stmt, err);
}

static char *stub_name(const uint8_t id[static MB_ROW_ID_SIZE], const char *kind)
{
    char hex[2 * MB_ROW_ID_SIZE + 1];

    mb_digest_hex(id, MB_ROW_ID_SIZE, hex);
    hex[16] = '\0';
    return mb_alloc_format("membridge-%s%s", kind, hex);
}

int mb_attach_set_memory(struct mb_engine *engine, int64_t rowid, const char *memory,
                         struct mb_error *err)
{
    const struct mb_session *session;
    char *old;
    int rc = -1;

    if (mb_sessions_need(engine->sessions, rowid, &session, err) != 0) {
        return -1;
    }
    old = mb_alloc_text(session->memory);
    /* Where the schema lacks ON UPDATE CASCADE, parent and children are out of step until both are
     * written. */
    if (mb_db_exec(engine->live, "PRAGMA defer_foreign_keys=ON", err) != 0 ||
        run_text_int(engine, "UPDATE sdk_sessions SET memory_session_id = ?1 WHERE id = ?2", memory,
                     rowid, err) != 0) {
        goto out;
    }
    if (old != NULL &&
        (run_two_texts(
             engine, "UPDATE observations SET memory_session_id = ?1 WHERE memory_session_id = ?2",
             memory, old, err) != 0 ||
         run_two_texts(
             engine,
             "UPDATE session_summaries SET memory_session_id = ?1 WHERE memory_session_id = ?2",
             memory, old, err) != 0)) {
        goto out;
    }
    mb_sessions_refresh(engine->sessions, rowid);
    rc = 0;
out:
    free(old);
    return rc;
}

int mb_attach_note_stub(struct mb_engine *engine, int64_t rowid,
                        const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db, "INSERT OR REPLACE INTO stub(local, id) VALUES(?1, ?2)",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, rowid);
    mb_db_bind_blob(stmt, 2, id, MB_ROW_ID_SIZE);
    return mb_db_run(stmt, err);
}

/* Inserts a stub named `name`; it stands for `id` (or nobody). */
static int insert_stub(struct mb_engine *engine, const char *name,
                       const struct mb_attach_wish *wish, const struct mb_session **session_out,
                       struct mb_error *err)
{
    struct mb_stmt *stmt;
    char now_text[MB_TEXT_SHORT_MAX];
    int64_t now = mb_core_now(engine);
    int64_t rowid;

    if (mb_db_query(
            engine->live,
            "INSERT INTO sdk_sessions(content_session_id, memory_session_id, project, started_at, "
            "started_at_epoch, status) VALUES(?1, ?1, ?2, ?3, ?4, 'completed')",
            &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, name);
    if (wish->project != NULL && wish->project->type == MB_VALUE_TEXT) {
        mb_db_bind_value(stmt, 2, wish->project);
    } else {
        mb_db_bind_text(stmt, 2, "unknown");
    }
    mb_db_bind_text(stmt, 3, mb_text_utc(now_text, now));
    mb_db_bind_int(stmt, 4, now);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    rowid = mb_db_last_rowid(engine->live);
    if (wish->id != NULL && mb_attach_note_stub(engine, rowid, wish->id, err) != 0) {
        return -1;
    }
    mb_sessions_refresh(engine->sessions, rowid);
    return mb_sessions_need(engine->sessions, rowid, session_out, err);
}

/* A parent by name, made if need be. */
static int named_parent(struct mb_engine *engine, const char *name,
                        const struct mb_attach_wish *wish, const struct mb_session **session_out,
                        struct mb_error *err)
{
    const struct mb_session *session = mb_sessions_by_memory(engine->sessions, name);

    if (session != NULL) {
        *session_out = session;
        return 0;
    }
    return insert_stub(engine, name, wish, session_out, err);
}

static int parent_by_content(struct mb_engine *engine, const struct mb_attach_wish *wish,
                             const struct mb_session **session_out, struct mb_error *err)
{
    const struct mb_session *session;
    int64_t rowid;

    if (wish->content == NULL) {
        return 0;
    }
    session = mb_sessions_by_content(engine->sessions, wish->content);
    if (session != NULL) {
        *session_out = session;
        return 0;
    }
    session = wish->id == NULL ? NULL : mb_sessions_by_id(engine->sessions, wish->id);
    if (session == NULL || !session->is_stub) {
        return insert_stub(engine, wish->content, wish, session_out, err);
    }
    /* Another child made the stub before, without knowing this name: one stub is enough. */
    rowid = session->rowid;
    if (mb_attach_set_memory(engine, rowid, wish->content, err) != 0 ||
        run_text_int(engine, "UPDATE sdk_sessions SET content_session_id = ?1 WHERE id = ?2",
                     wish->content, rowid, err) != 0) {
        return -1;
    }
    mb_sessions_refresh(engine->sessions, rowid);
    return mb_sessions_need(engine->sessions, rowid, session_out, err);
}

int mb_attach_parent(struct mb_engine *engine, const struct mb_attach_wish *wish,
                     const struct mb_session **session_out, struct mb_error *err)
{
    const struct mb_schema_table *table = &engine->schema->tables[wish->table];
    const struct mb_session *session;
    char *name;
    int rc;

    *session_out = NULL;
    if (table->links_by_content) {
        return parent_by_content(engine, wish, session_out, err);
    }
    if (wish->id == NULL) {
        if (table->profile->link == MB_LINK_ROWID) {
            return 0;
        }
        return named_parent(engine, wish->orphan == NULL ? ORPHANS : wish->orphan, wish,
                            session_out, err);
    }
    session = mb_sessions_by_id(engine->sessions, wish->id);
    if (session == NULL) {
        name = stub_name(wish->id, "stub-");
        rc = named_parent(engine, name, wish, session_out, err);
        free(name);
        return rc;
    }
    if (session->memory == NULL && table->profile->link == MB_LINK_MEMORY_ID) {
        int64_t rowid = session->rowid;
        name = stub_name(wish->id, "");
        rc = mb_attach_set_memory(engine, rowid, name, err);
        free(name);
        if (rc != 0) {
            return -1;
        }
        return mb_sessions_need(engine->sessions, rowid, session_out, err);
    }
    *session_out = session;
    return 0;
}

static int exists(struct mb_engine *engine, const char *sql, const char *text, int64_t number,
                  bool *found_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (*found_out) {
        return 0;
    }
    if (mb_db_query(engine->live, sql, &stmt, err) != 0) {
        return -1;
    }
    if (text != NULL) {
        mb_db_bind_text(stmt, 1, text);
    } else {
        mb_db_bind_int(stmt, 1, number);
    }
    step = mb_db_step(stmt, err);
    mb_db_reset(stmt);
    *found_out = step == 1;
    return step < 0 ? -1 : 0;
}

int mb_attach_has_children(struct mb_engine *engine, const struct mb_session *session,
                           bool *has_out, struct mb_error *err)
{
    *has_out = false;
    if (session->memory != NULL &&
        (exists(engine, "SELECT 1 FROM observations WHERE memory_session_id = ?1 LIMIT 1",
                session->memory, 0, has_out, err) != 0 ||
         exists(engine, "SELECT 1 FROM session_summaries WHERE memory_session_id = ?1 LIMIT 1",
                session->memory, 0, has_out, err) != 0)) {
        return -1;
    }
    if (engine->schema->tables[MB_TABLE_PROMPTS].links_by_content) {
        return exists(engine, "SELECT 1 FROM user_prompts WHERE content_session_id = ?1 LIMIT 1",
                      session->content, 0, has_out, err);
    }
    return exists(engine, "SELECT 1 FROM user_prompts WHERE session_db_id = ?1 LIMIT 1", NULL,
                  session->rowid, has_out, err);
}

int mb_attach_make_stub(struct mb_engine *engine, const struct mb_session *session,
                        const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    int64_t rowid = session->rowid;
    bool by_content = false;
    char *name = NULL;
    int rc = -1;

    if (engine->schema->tables[MB_TABLE_PROMPTS].links_by_content &&
        exists(engine, "SELECT 1 FROM user_prompts WHERE content_session_id = ?1 LIMIT 1",
               session->content, 0, &by_content, err) != 0) {
        return -1;
    }
    /* old schemas: prompts hold on to the content id, so the memory id follows it */
    if (by_content) {
        name = mb_alloc_text(session->content);
    } else if (session->memory != NULL) {
        name = mb_alloc_text(session->memory);
    } else {
        name = stub_name(id, "stub-");
    }
    if ((session->memory == NULL || strcmp(session->memory, name) != 0) &&
        mb_attach_set_memory(engine, rowid, name, err) != 0) {
        goto out;
    }
    if (run_text_int(engine,
                     "UPDATE sdk_sessions SET content_session_id = ?1, custom_title = NULL, "
                     "user_prompt = NULL, status = 'completed' WHERE id = ?2",
                     name, rowid, err) != 0 ||
        mb_attach_note_stub(engine, rowid, id, err) != 0) {
        goto out;
    }
    mb_sessions_refresh(engine->sessions, rowid);
    rc = 0;
out:
    free(name);
    return rc;
}

/* Moves what hangs on the stub to the true session, row by row where claude-mem's index on hashes
 * objects. */
static int move_children(struct mb_engine *engine, int64_t stub_rowid, int64_t true_rowid,
                         struct mb_error *err)
{
    const struct mb_session *stub;
    const struct mb_session *session;
    struct mb_stmt *stmt;

    if (mb_sessions_need(engine->sessions, stub_rowid, &stub, err) != 0 ||
        mb_sessions_need(engine->sessions, true_rowid, &session, err) != 0) {
        return -1;
    }
    if (stub->memory != NULL && session->memory != NULL) {
        if (run_two_texts(
                engine,
                "UPDATE observations SET memory_session_id = ?1, content_hash = CASE WHEN EXISTS "
                "(SELECT 1 FROM observations AS o WHERE o.memory_session_id = ?1 AND "
                "o.content_hash "
                "= observations.content_hash) THEN lower(hex(randomblob(8))) ELSE content_hash END "
                "WHERE memory_session_id = ?2",
                session->memory, stub->memory, err) != 0 ||
            run_two_texts(
                engine,
                "UPDATE session_summaries SET memory_session_id = ?1 WHERE memory_session_id = ?2",
                session->memory, stub->memory, err) != 0) {
            return -1;
        }
    }
    if (engine->schema->tables[MB_TABLE_PROMPTS].links_by_content) {
        return 0;
    }
    if (mb_db_query(engine->live,
                    "UPDATE user_prompts SET session_db_id = ?1 WHERE session_db_id = ?2", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, true_rowid);
    mb_db_bind_int(stmt, 2, stub_rowid);
    return mb_db_run(stmt, err);
}

static int forget_stub(struct mb_engine *engine, int64_t rowid, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db, "DELETE FROM stub WHERE local = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, rowid);
    return mb_db_run(stmt, err);
}

static int tidy_one(struct mb_engine *engine, int64_t rowid,
                    const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    const struct mb_session *stub = mb_sessions_by_rowid(engine->sessions, rowid);
    const struct mb_session *session = mb_sessions_by_id(engine->sessions, id);
    bool has_children = false;
    struct mb_stmt *stmt;

    if (stub == NULL || !stub->is_stub) {
        return forget_stub(engine, rowid, err);
    }
    if (session != NULL && !session->is_stub) {
        int64_t true_rowid = session->rowid;
        if (session->memory == NULL) {
            char *name = stub_name(id, "");
            int rc = mb_attach_set_memory(engine, true_rowid, name, err);
            free(name);
            if (rc != 0) {
                return -1;
            }
        }
        if (move_children(engine, rowid, true_rowid, err) != 0 ||
            mb_sessions_need(engine->sessions, rowid, &stub, err) != 0) {
            return -1;
        }
    }
    if (mb_attach_has_children(engine, stub, &has_children, err) != 0 || has_children) {
        return has_children ? 0 : -1;
    }
    if (mb_db_query(engine->live, "DELETE FROM sdk_sessions WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, rowid);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    mb_sessions_refresh(engine->sessions, rowid);
    return forget_stub(engine, rowid, err);
}

int mb_attach_tidy(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct stub {
        int64_t rowid;
        uint8_t id[MB_ROW_ID_SIZE];
    } *stubs = NULL;
    size_t count = 0;
    size_t size;
    int step;

    if (mb_db_query(engine->state->db, "SELECT local, id FROM stub", &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        const uint8_t *id = mb_db_blob(stmt, 1, &size);
        stubs = mb_alloc_resize(stubs, count + 1, sizeof(*stubs));
        stubs[count].rowid = mb_db_int(stmt, 0);
        memcpy(stubs[count++].id, id, MB_ROW_ID_SIZE);
    }
    for (size_t i = 0; i < count && step == 0; i++) {
        step = tidy_one(engine, stubs[i].rowid, stubs[i].id, err);
    }
    free(stubs);
    return step;
}
