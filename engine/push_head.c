/* SPDX-License-Identifier: MIT */

/* Our head in the store: made, put, looked for, cleaned up. */

#include "alloc.h"
#include "limits.h"
#include "push.h"
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

static int add_entries(struct mb_engine *engine, struct mb_head *head, struct mb_error *err)
{
    static const char sql[] =
        "SELECT first, last, chain, name, size, records, lost FROM entry UNION ALL "
        "SELECT seq, seq, chain, name, length(body), records, 0 FROM sending ORDER BY 2";
    struct mb_stmt *stmt;
    size_t size;
    int step;

    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_head_entry *entry;
        const uint8_t *chain;
        head->entries =
            mb_alloc_resize(head->entries, head->entry_count + 1, sizeof(*head->entries));
        entry = &head->entries[head->entry_count++];
        memset(entry, 0, sizeof(*entry));
        entry->first = mb_db_int(stmt, 0);
        entry->last = mb_db_int(stmt, 1);
        chain = mb_db_blob(stmt, 2, &size);
        memcpy(entry->chain, chain, size == MB_CHAIN_SIZE ? size : 0);
        (void)snprintf(entry->name, sizeof(entry->name), "%s", mb_db_text(stmt, 3));
        entry->size_bytes = mb_db_int(stmt, 4);
        entry->record_count = mb_db_int(stmt, 5);
        entry->is_lost = mb_db_int(stmt, 6) != 0;
    }
    return step;
}

/* What this machine has read of every stream, its own with what is being sent. */
static int add_covers(struct mb_engine *engine, struct mb_head *head, struct mb_error *err)
{
    static const char sql[] =
        "SELECT machine, last, chain FROM stream WHERE last > 0 AND machine <> ?1 UNION ALL "
        "SELECT ?1, last, chain FROM (SELECT last, chain FROM entry UNION ALL SELECT seq, chain "
        "FROM sending "
        "ORDER BY last DESC LIMIT 1) ORDER BY 1";
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, engine->state->machine, MB_MACHINE_ID_SIZE);
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_head_cover *cover;
        size_t machine_size, chain_size;
        const uint8_t *machine = mb_db_blob(stmt, 0, &machine_size);
        const uint8_t *chain = mb_db_blob(stmt, 2, &chain_size);
        if (machine_size != MB_MACHINE_ID_SIZE || chain_size != MB_CHAIN_SIZE) {
            continue;
        }
        head->covers = mb_alloc_resize(head->covers, head->cover_count + 1, sizeof(*head->covers));
        cover = &head->covers[head->cover_count++];
        memcpy(cover->machine, machine, machine_size);
        memcpy(cover->chain, chain, chain_size);
        cover->sequence = mb_db_int(stmt, 1);
    }
    return step;
}

/* The digest is of all that is known alive; while something is held, others cannot come to the
 * same. */
static int add_digest(struct mb_engine *engine, struct mb_head *head, struct mb_error *err)
{
    int64_t held = 0;

    if (mb_db_scalar(engine->state->db,
                     "SELECT (SELECT count(*) FROM held_in) + (SELECT count(*) FROM held_out) + "
                     "(SELECT count(*) FROM out)",
                     0, &held, err) != 0) {
        return -1;
    }
    head->has_digest = held == 0;
    for (int i = 0; i < 16; i++) {
        head->digest[i] = (uint8_t)(engine->state->digest[i / 8] >> (56 - 8 * (i % 8)));
    }
    return 0;
}

int mb_push_head_prepare(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_head head;
    struct mb_buf body;
    struct mb_stmt *stmt;
    char *key = NULL;
    int rc = -1;

    mb_head_init(&head);
    mb_buf_init(&body, MB_LIMIT_HEAD_BYTES);
    memcpy(head.machine, engine->state->machine, MB_MACHINE_ID_SIZE);
    head.time_ms = mb_core_now(engine);
    head.host_name = mb_alloc_text(engine->env->host_name);
    head.program = mb_alloc_text(engine->config.program);
    if (mb_state_get_int(engine->state, "next_head", 1, &head.sequence, err) != 0 ||
        mb_state_set_int(engine->state, "next_head", head.sequence + 1, err) != 0 ||
        add_entries(engine, &head, err) != 0 || add_covers(engine, &head, err) != 0 ||
        add_digest(engine, &head, err) != 0 || mb_head_encode(&head, &body, &key, err) != 0 ||
        mb_db_query(engine->state->db,
                    "INSERT INTO own_head(seq, key, body, is_put) VALUES(?1, ?2, ?3, 0)", &stmt,
                    err) != 0) {
        goto out;
    }
    mb_db_bind_int(stmt, 1, head.sequence);
    mb_db_bind_text(stmt, 2, key);
    mb_db_bind_blob(stmt, 3, body.data, body.size);
    rc = mb_db_run(stmt, err);
out:
    free(key);
    mb_buf_release(&body);
    mb_head_release(&head);
    return rc;
}

static int note_put(struct mb_engine *engine, int64_t seq, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_state_begin(engine->state, err) != 0) {
        return -1;
    }
    if (mb_db_query(engine->state->db, "UPDATE own_head SET is_put = 1 WHERE seq = ?1", &stmt,
                    err) == 0) {
        mb_db_bind_int(stmt, 1, seq);
        if (mb_db_run(stmt, err) == 0 && mb_state_commit(engine->state, err) == 0) {
            return 0;
        }
    }
    mb_state_rollback(engine->state);
    return -1;
}

int mb_push_head_put(struct mb_engine *engine, bool again, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct mb_buf body;
    char *key = NULL;
    int64_t seq = 0;
    bool is_put = false;
    size_t size;
    int rc = -1;
    int step;

    mb_buf_init(&body, MB_LIMIT_HEAD_BYTES);
    if (mb_db_query(engine->state->db,
                    "SELECT seq, key, body, is_put FROM own_head ORDER BY seq DESC LIMIT 1", &stmt,
                    err) != 0) {
        return -1;
    }
    step = mb_db_step(stmt, err);
    if (step == 1) {
        const uint8_t *data = mb_db_blob(stmt, 2, &size);
        seq = mb_db_int(stmt, 0);
        is_put = mb_db_int(stmt, 3) != 0;
        key = mb_core_key(engine, "%s", mb_db_text(stmt, 1));
        step = mb_buf_append(&body, data, size, err);
        mb_db_reset(stmt);
    }
    if (step != 0 || key == NULL || (is_put && !again)) {
        rc = step;
        goto out;
    }
    if (mb_store_put(engine->config.store, key, body.data, body.size, err) != 0) {
        (void)mb_error_wrap(err, "putting this machine's head into the store");
        goto out;
    }
    if (mb_core_step(engine, "head-put", err) == 0 && note_put(engine, seq, err) == 0) {
        rc = 0;
    }
out:
    free(key);
    mb_buf_release(&body);
    return rc;
}

/* Those that we wrote ourselves, and no others. */
int mb_push_head_clean(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct old {
        int64_t seq;
        char *key;
    } *list = NULL;
    size_t count = 0;
    int step;

    if (mb_db_query(
            engine->state->db,
            "SELECT seq, key FROM own_head WHERE seq < (SELECT max(seq) FROM own_head WHERE "
            "is_put)",
            &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        list = mb_alloc_resize(list, count + 1, sizeof(*list));
        list[count].seq = mb_db_int(stmt, 0);
        list[count++].key = mb_core_key(engine, "%s", mb_db_text(stmt, 1));
    }
    for (size_t i = 0; i < count; i++) {
        if (step == 0) {
            step = mb_store_delete(engine->config.store, list[i].key, err);
        }
        if (step == 0 && (step = mb_state_begin(engine->state, err)) == 0) {
            step =
                mb_db_query(engine->state->db, "DELETE FROM own_head WHERE seq = ?1", &stmt, err);
            if (step == 0) {
                mb_db_bind_int(stmt, 1, list[i].seq);
                step = mb_db_run(stmt, err);
            }
            step = step == 0 ? mb_state_commit(engine->state, err) : step;
            if (step != 0) {
                mb_state_rollback(engine->state);
            }
        }
        free(list[i].key);
    }
    free(list);
    return step;
}

int mb_push_head_check(struct mb_engine *engine, struct mb_push_head_look *look_out,
                       struct mb_error *err)
{
    struct mb_stream_list heads = {NULL, 0};
    struct mb_stmt *stmt;
    char *newest = NULL;
    int step;
    int rc = -1;

    memset(look_out, 0, sizeof(*look_out));
    if (mb_stream_list_heads(engine, engine->state->machine, &heads, err) != 0) {
        return -1;
    }
    look_out->has_any = heads.count > 0;
    for (size_t i = 0; i < heads.count; i++) {
        if (mb_db_query(engine->state->db, "SELECT 1 FROM own_head WHERE key = ?1", &stmt, err) !=
            0) {
            goto out;
        }
        mb_db_bind_text(stmt, 1, heads.items[i].key);
        step = mb_db_step(stmt, err);
        mb_db_reset(stmt);
        if (step < 0) {
            goto out;
        }
        look_out->has_foreign = look_out->has_foreign || step == 0;
    }
    if (mb_db_query(engine->state->db,
                    "SELECT key FROM own_head WHERE is_put ORDER BY seq DESC LIMIT 1", &stmt,
                    err) != 0) {
        goto out;
    }
    step = mb_db_step(stmt, err);
    if (step == 1) {
        newest = mb_alloc_text(mb_db_text(stmt, 0));
        mb_db_reset(stmt);
        look_out->is_missing = true;
        for (size_t i = 0; i < heads.count; i++) {
            look_out->is_missing = look_out->is_missing && strcmp(heads.items[i].key, newest) != 0;
        }
    }
    rc = step < 0 ? -1 : 0;
out:
    free(newest);
    mb_stream_list_release(&heads);
    return rc;
}
