/* SPDX-License-Identifier: MIT */

#include "sessions.h"

#include "alloc.h"
#include "assert.h"
#include "fingerprint.h"
#include "identity.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define BUCKETS_MIN 64
#define NONE SIZE_MAX

enum { BY_ROWID, BY_MEMORY, BY_CONTENT, BY_ID, INDEX_COUNT };

struct mb_sessions {
    struct mb_db *live;
    const struct mb_schema *schema;
    struct mb_state *state;
    struct mb_session *items; /* slots; a removed one has content NULL */
    size_t count;
    size_t *buckets[INDEX_COUNT];
    size_t bucket_count;
    char *sql_all;
    char *sql_one;
};

static size_t hash_bytes(const void *data, size_t size)
{
    uint64_t hash = mb_fingerprint_add(MB_FINGERPRINT_START, data, size);

    return (size_t)(hash ^ hash >> 32);
}

/* The bucket of an item in an index, or NONE if it has no such name. */
static size_t bucket_of(const struct mb_sessions *sessions, const struct mb_session *item,
                        int index)
{
    size_t hash;

    switch (index) {
    case BY_ROWID: hash = hash_bytes(&item->rowid, sizeof(item->rowid)); break;
    case BY_MEMORY:
        if (item->memory == NULL) {
            return NONE;
        }
        hash = hash_bytes(item->memory, strlen(item->memory));
        break;
    case BY_CONTENT: hash = hash_bytes(item->content, strlen(item->content)); break;
    default:
        if (!item->has_id) {
            return NONE;
        }
        hash = hash_bytes(item->id, MB_ROW_ID_SIZE);
        break;
    }
    return hash % sessions->bucket_count;
}

static void link_item(struct mb_sessions *sessions, size_t slot)
{
    for (int index = 0; index < INDEX_COUNT; index++) {
        size_t bucket = bucket_of(sessions, &sessions->items[slot], index);
        if (bucket != NONE) {
            sessions->items[slot].next[index] = sessions->buckets[index][bucket];
            sessions->buckets[index][bucket] = slot;
        }
    }
}

static void unlink_item(struct mb_sessions *sessions, size_t slot)
{
    for (int index = 0; index < INDEX_COUNT; index++) {
        size_t bucket = bucket_of(sessions, &sessions->items[slot], index);
        size_t *link;
        if (bucket == NONE) {
            continue;
        }
        for (link = &sessions->buckets[index][bucket]; *link != slot;
             link = &sessions->items[*link].next[index]) {
            MB_ASSERT(*link != NONE);
        }
        *link = sessions->items[slot].next[index];
    }
}

static void rehash(struct mb_sessions *sessions, size_t bucket_count)
{
    sessions->bucket_count = bucket_count;
    for (int index = 0; index < INDEX_COUNT; index++) {
        sessions->buckets[index] =
            mb_alloc_resize(sessions->buckets[index], bucket_count, sizeof(size_t));
        for (size_t i = 0; i < bucket_count; i++) {
            sessions->buckets[index][i] = NONE;
        }
    }
    for (size_t slot = 0; slot < sessions->count; slot++) {
        if (sessions->items[slot].content != NULL) {
            link_item(sessions, slot);
        }
    }
}

static void free_item(struct mb_session *item)
{
    free(item->memory);
    free(item->content);
    memset(item, 0, sizeof(*item));
}

/* Which session a stub row stands for, by the state. */
static int find_stand_in(struct mb_sessions *sessions, struct mb_session *item,
                         struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t size;
    int step;

    if (mb_db_query(sessions->state->db, "SELECT id FROM stub WHERE local = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, item->rowid);
    step = mb_db_step(stmt, err);
    if (step == 1) {
        const uint8_t *id = mb_db_blob(stmt, 0, &size);
        if (size == MB_ROW_ID_SIZE) {
            memcpy(item->id, id, MB_ROW_ID_SIZE);
            item->has_id = true;
        }
        mb_db_reset(stmt);
    }
    return step < 0 ? -1 : 0;
}

/* Columns: id, content_session_id, memory_session_id, project, platform_source or NULL. */
static int add_from(struct mb_sessions *sessions, struct mb_stmt *stmt, struct mb_error *err)
{
    struct mb_session item;
    struct mb_identity identity;
    struct mb_value platform, content;
    const char *project = mb_db_text(stmt, 3);

    memset(&item, 0, sizeof(item));
    item.rowid = mb_db_int(stmt, 0);
    item.memory = mb_alloc_text(mb_db_text(stmt, 2));
    item.content = mb_alloc_text(mb_db_text(stmt, 1));
    if (item.content == NULL) {
        item.content = mb_alloc_text("");
    }
    item.is_stub = item.memory != NULL && strcmp(item.memory, item.content) == 0;
    item.is_excluded = project != NULL && strcmp(project, MB_PROFILE_OBSERVER_PROJECT) == 0;
    if (item.is_stub) {
        if (find_stand_in(sessions, &item, err) != 0) {
            free_item(&item);
            return -1;
        }
    } else if (!item.is_excluded) {
        identity.table = &mb_profile_tables[MB_TABLE_SESSIONS];
        mb_db_value(stmt, 4, &platform);
        mb_db_value(stmt, 1, &content);
        mb_identity_set(&identity, 0, &platform);
        mb_identity_set(&identity, 1, &content);
        mb_identity_row_id(sessions->state->sha, &identity, 0, item.id);
        item.has_id = true;
    }
    sessions->items =
        mb_alloc_resize(sessions->items, sessions->count + 1, sizeof(*sessions->items));
    sessions->items[sessions->count] = item;
    sessions->count++;
    if (sessions->count > sessions->bucket_count) {
        rehash(sessions, sessions->bucket_count * 2);
    } else {
        link_item(sessions, sessions->count - 1);
    }
    return 0;
}

int mb_sessions_load(struct mb_db *live, const struct mb_schema *schema, struct mb_state *state,
                     struct mb_sessions **sessions_out, struct mb_error *err)
{
    struct mb_sessions *sessions = mb_alloc_zeroed(1, sizeof(*sessions));
    struct mb_stmt *stmt = NULL;
    int step;

    sessions->live = live;
    sessions->schema = schema;
    sessions->state = state;
    sessions->sql_all = mb_alloc_format(
        "SELECT id, content_session_id, memory_session_id, project, %s FROM sdk_sessions",
        schema->has_platform ? "platform_source" : "NULL");
    sessions->sql_one = mb_alloc_format("%s WHERE id = ?1", sessions->sql_all);
    rehash(sessions, BUCKETS_MIN);
    if (mb_db_prepare(live, sessions->sql_all, &stmt, err) != 0) {
        mb_sessions_free(sessions);
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        if (add_from(sessions, stmt, err) != 0) {
            step = -1;
            break;
        }
    }
    mb_db_finalize(stmt);
    if (step < 0) {
        mb_sessions_free(sessions);
        return -1;
    }
    *sessions_out = sessions;
    return 0;
}

void mb_sessions_free(struct mb_sessions *sessions)
{
    if (sessions == NULL) {
        return;
    }
    for (size_t i = 0; i < sessions->count; i++) {
        free_item(&sessions->items[i]);
    }
    for (int index = 0; index < INDEX_COUNT; index++) {
        free(sessions->buckets[index]);
    }
    free(sessions->items);
    free(sessions->sql_all);
    free(sessions->sql_one);
    free(sessions);
}

int mb_sessions_refresh(struct mb_sessions *sessions, int64_t rowid, struct mb_error *err)
{
    const struct mb_session *old = mb_sessions_by_rowid(sessions, rowid);
    struct mb_stmt *stmt = NULL;
    int step;

    if (old != NULL) {
        size_t slot = (size_t)(old - sessions->items);
        unlink_item(sessions, slot);
        free_item(&sessions->items[slot]);
    }
    if (mb_db_prepare(sessions->live, sessions->sql_one, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, rowid);
    step = mb_db_step(stmt, err);
    if (step == 1 && add_from(sessions, stmt, err) != 0) {
        step = -1;
    }
    mb_db_finalize(stmt);
    return step < 0 ? -1 : 0;
}

const struct mb_session *mb_sessions_by_rowid(const struct mb_sessions *sessions, int64_t rowid)
{
    size_t slot =
        sessions->buckets[BY_ROWID][hash_bytes(&rowid, sizeof(rowid)) % sessions->bucket_count];

    while (slot != NONE && sessions->items[slot].rowid != rowid) {
        slot = sessions->items[slot].next[BY_ROWID];
    }
    return slot == NONE ? NULL : &sessions->items[slot];
}

static const struct mb_session *by_text(const struct mb_sessions *sessions, int index,
                                        const char *text)
{
    size_t slot = sessions->buckets[index][hash_bytes(text, strlen(text)) % sessions->bucket_count];

    while (slot != NONE) {
        const struct mb_session *item = &sessions->items[slot];
        if (strcmp(index == BY_MEMORY ? item->memory : item->content, text) == 0) {
            return item;
        }
        slot = item->next[index];
    }
    return NULL;
}

const struct mb_session *mb_sessions_by_memory(const struct mb_sessions *sessions,
                                               const char *memory)
{
    return by_text(sessions, BY_MEMORY, memory);
}

const struct mb_session *mb_sessions_by_content(const struct mb_sessions *sessions,
                                                const char *content)
{
    return by_text(sessions, BY_CONTENT, content);
}

const struct mb_session *mb_sessions_by_id(const struct mb_sessions *sessions,
                                           const uint8_t id[static MB_ROW_ID_SIZE])
{
    size_t slot = sessions->buckets[BY_ID][hash_bytes(id, MB_ROW_ID_SIZE) % sessions->bucket_count];
    const struct mb_session *stub = NULL;

    for (; slot != NONE; slot = sessions->items[slot].next[BY_ID]) {
        const struct mb_session *item = &sessions->items[slot];
        if (memcmp(item->id, id, MB_ROW_ID_SIZE) == 0) {
            if (!item->is_stub) {
                return item;
            }
            stub = item;
        }
    }
    return stub;
}
