/* SPDX-License-Identifier: MIT */

#include "sessions.h"

#include "alloc.h"
#include "assert.h"
#include "fingerprint.h"
#include "identity.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define BUCKET_COUNT 1024
#define NONE BUCKET_COUNT

enum { BY_ROWID, BY_MEMORY, BY_ID, INDEX_COUNT };

struct item {
    struct mb_session session; /* first: a session handed out is its item */
    struct item *next[INDEX_COUNT];
};

struct mb_sessions {
    struct mb_db *live;
    struct mb_state *state;
    struct item *buckets[INDEX_COUNT][BUCKET_COUNT];
    char *sql_by_rowid;
    char *sql_by_memory;
    bool has_failed;
    struct mb_error failure; /* of the first lookup that failed */
};

static size_t hash_bytes(const void *data, size_t size)
{
    uint64_t hash = mb_fingerprint_add(MB_FINGERPRINT_START, data, size);

    return (size_t)((hash ^ hash >> 32) % BUCKET_COUNT);
}

/* The bucket of a session in an index, or NONE if it has no such name. */
static size_t bucket_of(const struct mb_session *session, int index)
{
    switch (index) {
    case BY_ROWID: return hash_bytes(&session->rowid, sizeof(session->rowid));
    case BY_MEMORY:
        return session->memory == NULL ? NONE
                                       : hash_bytes(session->memory, strlen(session->memory));
    default: return session->has_id ? hash_bytes(session->id, MB_ROW_ID_SIZE) : NONE;
    }
}

static void link_item(struct mb_sessions *sessions, struct item *item)
{
    for (int index = 0; index < INDEX_COUNT; index++) {
        size_t bucket = bucket_of(&item->session, index);
        if (bucket != NONE) {
            item->next[index] = sessions->buckets[index][bucket];
            sessions->buckets[index][bucket] = item;
        }
    }
}

static void free_item(struct item *item)
{
    free(item->session.memory);
    free(item->session.content);
    free(item);
}

static void drop_item(struct mb_sessions *sessions, struct item *item)
{
    for (int index = 0; index < INDEX_COUNT; index++) {
        size_t bucket = bucket_of(&item->session, index);
        struct item **link;
        if (bucket == NONE) {
            continue;
        }
        for (link = &sessions->buckets[index][bucket]; *link != item;
             link = &(*link)->next[index]) {
            MB_ASSERT(*link != NULL);
        }
        *link = item->next[index];
    }
    free_item(item);
}

/* Nothing is found by a lookup that failed; mb_sessions_check() tells. */
static void fail(struct mb_sessions *sessions, const struct mb_error *err)
{
    if (!sessions->has_failed) {
        sessions->has_failed = true;
        sessions->failure = *err;
    }
}

/* Which session a stub row stands for, by the state. */
static int find_stand_in(struct mb_sessions *sessions, struct mb_session *session,
                         struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t size;
    int step;

    if (mb_db_query(sessions->state->db, "SELECT id FROM stub WHERE local = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, session->rowid);
    step = mb_db_step(stmt, err);
    if (step == 1) {
        const uint8_t *id = mb_db_blob(stmt, 0, &size);
        if (size == MB_ROW_ID_SIZE) {
            memcpy(session->id, id, MB_ROW_ID_SIZE);
            session->has_id = true;
        }
        mb_db_reset(stmt);
    }
    return step < 0 ? -1 : 0;
}

/* Columns: id, content_session_id, memory_session_id, project, platform_source or NULL. */
static struct item *read_item(struct mb_sessions *sessions, struct mb_stmt *stmt,
                              struct mb_error *err)
{
    struct item *item = mb_alloc_zeroed(1, sizeof(*item));
    struct mb_session *session = &item->session;
    struct mb_identity identity;
    struct mb_value platform, content;
    const char *project = mb_db_text(stmt, 3);
    const char *content_text = mb_db_text(stmt, 1);

    session->rowid = mb_db_int(stmt, 0);
    session->memory = mb_alloc_text(mb_db_text(stmt, 2));
    session->content = mb_alloc_text(content_text == NULL ? "" : content_text);
    session->is_stub = session->memory != NULL && strcmp(session->memory, session->content) == 0;
    session->is_excluded = project != NULL && strcmp(project, MB_PROFILE_OBSERVER_PROJECT) == 0;
    if (session->is_stub) {
        if (find_stand_in(sessions, session, err) != 0) {
            free_item(item);
            return NULL;
        }
    } else if (!session->is_excluded) {
        identity.table = &mb_profile_tables[MB_TABLE_SESSIONS];
        mb_db_value(stmt, 4, &platform);
        mb_db_value(stmt, 1, &content);
        mb_identity_set(&identity, 0, &platform);
        mb_identity_set(&identity, 1, &content);
        mb_identity_row_id(sessions->state->sha, &identity, 0, session->id);
        session->has_id = true;
    }
    return item;
}

static struct item *find_rowid(const struct mb_sessions *sessions, int64_t rowid)
{
    struct item *item = sessions->buckets[BY_ROWID][hash_bytes(&rowid, sizeof(rowid))];

    while (item != NULL && item->session.rowid != rowid) {
        item = item->next[BY_ROWID];
    }
    return item;
}

/* The row that a bound statement finds, kept from now on; NULL if there is none, or on failure. */
static const struct mb_session *take(struct mb_sessions *sessions, struct mb_stmt *stmt)
{
    struct mb_error err;
    struct item *item = NULL;
    int step = mb_db_step(stmt, &err);

    if (step == 1) {
        item = find_rowid(sessions, mb_db_int(stmt, 0));
        if (item == NULL) {
            item = read_item(sessions, stmt, &err);
            step = item == NULL ? -1 : 1;
            if (item != NULL) {
                link_item(sessions, item);
            }
        }
        mb_db_reset(stmt);
    }
    if (step < 0) {
        fail(sessions, &err);
    }
    return item == NULL ? NULL : &item->session;
}

/* The rowid that a query about an id gives, as a session that has this id. */
static const struct mb_session *take_by_id(struct mb_sessions *sessions, const char *sql,
                                           const uint8_t id[static MB_ROW_ID_SIZE])
{
    const struct mb_session *session = NULL;
    struct mb_stmt *stmt;
    struct mb_error err;
    int64_t rowid = 0;
    int step = mb_db_query(sessions->state->db, sql, &stmt, &err);

    if (step == 0) {
        mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
        step = mb_db_step(stmt, &err);
        if (step == 1) {
            rowid = mb_db_int(stmt, 0);
            mb_db_reset(stmt);
            session = mb_sessions_by_rowid(sessions, rowid);
        }
    }
    if (step < 0) {
        fail(sessions, &err);
    }
    return session != NULL && session->has_id && memcmp(session->id, id, MB_ROW_ID_SIZE) == 0
               ? session
               : NULL;
}

struct mb_sessions *mb_sessions_new(struct mb_db *live, const struct mb_schema *schema,
                                    struct mb_state *state)
{
    static const char columns[] = "SELECT id, content_session_id, memory_session_id, project, ";
    struct mb_sessions *sessions = mb_alloc_zeroed(1, sizeof(*sessions));
    const char *platform = schema->has_platform ? "platform_source" : "NULL";

    sessions->live = live;
    sessions->state = state;
    sessions->sql_by_rowid =
        mb_alloc_format("%s%s FROM sdk_sessions WHERE id = ?1", columns, platform);
    sessions->sql_by_memory =
        mb_alloc_format("%s%s FROM sdk_sessions WHERE memory_session_id = ?1", columns, platform);
    return sessions;
}

void mb_sessions_forget(struct mb_sessions *sessions)
{
    for (size_t bucket = 0; bucket < BUCKET_COUNT; bucket++) {
        struct item *item = sessions->buckets[BY_ROWID][bucket];
        while (item != NULL) {
            struct item *next = item->next[BY_ROWID];
            free_item(item);
            item = next;
        }
    }
    memset(sessions->buckets, 0, sizeof(sessions->buckets));
}

void mb_sessions_free(struct mb_sessions *sessions)
{
    if (sessions != NULL) {
        mb_sessions_forget(sessions);
        free(sessions->sql_by_rowid);
        free(sessions->sql_by_memory);
        free(sessions);
    }
}

int mb_sessions_check(const struct mb_sessions *sessions, struct mb_error *err)
{
    if (sessions == NULL || !sessions->has_failed) {
        return 0;
    }
    *err = sessions->failure;
    return -1;
}

void mb_sessions_refresh(struct mb_sessions *sessions, int64_t rowid)
{
    struct item *item = find_rowid(sessions, rowid);

    if (item != NULL) {
        drop_item(sessions, item);
    }
}

const struct mb_session *mb_sessions_by_rowid(struct mb_sessions *sessions, int64_t rowid)
{
    struct item *item = find_rowid(sessions, rowid);
    struct mb_stmt *stmt;
    struct mb_error err;

    if (item != NULL) {
        return &item->session;
    }
    if (mb_db_query(sessions->live, sessions->sql_by_rowid, &stmt, &err) != 0) {
        fail(sessions, &err);
        return NULL;
    }
    mb_db_bind_int(stmt, 1, rowid);
    return take(sessions, stmt);
}

int mb_sessions_need(struct mb_sessions *sessions, int64_t rowid,
                     const struct mb_session **session_out, struct mb_error *err)
{
    *session_out = mb_sessions_by_rowid(sessions, rowid);
    if (*session_out != NULL) {
        return 0;
    }
    if (mb_sessions_check(sessions, err) != 0) {
        return -1;
    }
    return mb_error_set(err, MB_ERR_FAILED, "the session in row %lld is not there any more",
                        (long long)rowid);
}

const struct mb_session *mb_sessions_by_memory(struct mb_sessions *sessions, const char *memory)
{
    struct item *item = sessions->buckets[BY_MEMORY][hash_bytes(memory, strlen(memory))];
    struct mb_stmt *stmt;
    struct mb_error err;

    while (item != NULL && strcmp(item->session.memory, memory) != 0) {
        item = item->next[BY_MEMORY];
    }
    if (item != NULL) {
        return &item->session;
    }
    if (mb_db_query(sessions->live, sessions->sql_by_memory, &stmt, &err) != 0) {
        fail(sessions, &err);
        return NULL;
    }
    mb_db_bind_text(stmt, 1, memory);
    return take(sessions, stmt);
}

const struct mb_session *mb_sessions_by_content(struct mb_sessions *sessions, const char *content)
{
    struct mb_stmt *stmt;
    struct mb_error err;
    int64_t rowid = 0;
    int step = mb_db_query(sessions->live,
                           "SELECT id FROM sdk_sessions WHERE content_session_id = ?1 "
                           "ORDER BY id DESC LIMIT 1",
                           &stmt, &err);

    if (step == 0) {
        mb_db_bind_text(stmt, 1, content);
        step = mb_db_step(stmt, &err);
    }
    if (step < 0) {
        fail(sessions, &err);
        return NULL;
    }
    if (step == 0) {
        return NULL;
    }
    rowid = mb_db_int(stmt, 0);
    mb_db_reset(stmt);
    return mb_sessions_by_rowid(sessions, rowid);
}

const struct mb_session *mb_sessions_by_id(struct mb_sessions *sessions,
                                           const uint8_t id[static MB_ROW_ID_SIZE])
{
    struct item *item = sessions->buckets[BY_ID][hash_bytes(id, MB_ROW_ID_SIZE)];
    const struct mb_session *session;

    for (; item != NULL; item = item->next[BY_ID]) {
        if (!item->session.is_stub && memcmp(item->session.id, id, MB_ROW_ID_SIZE) == 0) {
            return &item->session;
        }
    }
    session = take_by_id(sessions, "SELECT local FROM row WHERE id = ?1 AND local IS NOT NULL", id);
    if (session == NULL) {
        session = take_by_id(sessions, "SELECT local FROM undead WHERE id = ?1", id);
    }
    if (session == NULL) {
        session = take_by_id(
            sessions, "SELECT local FROM stub WHERE id = ?1 ORDER BY local DESC LIMIT 1", id);
    }
    return session;
}
