/* SPDX-License-Identifier: MIT */

#include "write_list.h"

#include "alloc.h"
#include "assert.h"
#include "attach.h"
#include "capture.h"
#include "limits.h"
#include "text.h"
#include "write.h"
#include "write_link.h"
#include "write_savepoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define SQL_MAX (64 * MB_KIB)
#define HASH_HEX 16
#define HASH_TRIES_MAX 20000 /* more than there may be equal rows */

void mb_write_list_add(struct mb_write_list *list, const char *name, const struct mb_value *value)
{
    MB_ASSERT(list->count < MB_WRITE_LIST_MAX);
    list->names[list->count] = name;
    list->values[list->count++] = *value;
}

void mb_write_list_text(struct mb_write_list *list, const char *name, const char *text)
{
    struct mb_value value = {MB_VALUE_TEXT, 0, 0, (const uint8_t *)text, 0};

    if (text == NULL) {
        value.type = MB_VALUE_NULL;
    } else {
        value.size = strlen(text);
    }
    mb_write_list_add(list, name, &value);
}

void mb_write_list_int(struct mb_write_list *list, const char *name, int64_t number)
{
    struct mb_value value = {MB_VALUE_INTEGER, number, 0, NULL, 0};

    mb_write_list_add(list, name, &value);
}

const struct mb_value *mb_write_list_find(const struct mb_write_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->names[i], name) == 0) {
            return &list->values[i];
        }
    }
    return NULL;
}

static int run(struct mb_engine *engine, const struct mb_buf *sql, const struct mb_write_list *list,
               int64_t rowid, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->live, mb_buf_text(sql), &stmt, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < list->count; i++) {
        mb_db_bind_value(stmt, (int)i + 1, &list->values[i]);
    }
    if (rowid != 0) {
        mb_db_bind_int(stmt, (int)list->count + 1, rowid);
    }
    return mb_db_run(stmt, err);
}

int mb_write_list_insert(struct mb_engine *engine, const char *table,
                         const struct mb_write_list *list, struct mb_error *err)
{
    struct mb_buf sql;
    int rc = -1;

    mb_buf_init(&sql, SQL_MAX);
    if (mb_buf_append_format(&sql, err, "INSERT INTO %s(", table) != 0) {
        goto out;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (mb_buf_append_format(&sql, err, "%s\"%s\"", i == 0 ? "" : ", ", list->names[i]) != 0) {
            goto out;
        }
    }
    if (mb_buf_append_text(&sql, ") VALUES(", err) != 0) {
        goto out;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (mb_buf_append_text(&sql, i == 0 ? "?" : ", ?", err) != 0) {
            goto out;
        }
    }
    if (mb_buf_append_text(&sql, ")", err) == 0) {
        rc = run(engine, &sql, list, 0, err);
    }
out:
    mb_buf_release(&sql);
    return rc;
}

bool mb_write_list_is_alike(const struct mb_write_list *a, const struct mb_write_list *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->names[i], b->names[i]) != 0) {
            return false;
        }
    }
    return true;
}

static int build_insert_many(const char *table, const struct mb_write_list *list, size_t list_count,
                             struct mb_buf *sql, struct mb_error *err)
{
    if (mb_buf_append_format(sql, err, "INSERT INTO %s(id", table) != 0) {
        return -1;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (mb_buf_append_format(sql, err, ", \"%s\"", list->names[i]) != 0) {
            return -1;
        }
    }
    if (mb_buf_append_text(sql, ") VALUES", err) != 0) {
        return -1;
    }
    for (size_t row = 0; row < list_count; row++) {
        if (mb_buf_append_text(sql, row == 0 ? "(?" : ",(?", err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < list->count; i++) {
            if (mb_buf_append_text(sql, ",?", err) != 0) {
                return -1;
            }
        }
        if (mb_buf_append_text(sql, ")", err) != 0) {
            return -1;
        }
    }
    return 0;
}

int mb_write_list_insert_many(struct mb_engine *engine, const char *table,
                              const struct mb_write_list *const *lists, size_t list_count,
                              int64_t first, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct mb_buf sql;
    int index = 1;
    int rc = -1;

    mb_buf_init(&sql, SQL_MAX);
    if (build_insert_many(table, lists[0], list_count, &sql, err) != 0 ||
        mb_db_query(engine->live, mb_buf_text(&sql), &stmt, err) != 0) {
        goto out;
    }
    for (size_t row = 0; row < list_count; row++) {
        mb_db_bind_int(stmt, index++, first + (int64_t)row);
        for (size_t i = 0; i < lists[row]->count; i++) {
            mb_db_bind_value(stmt, index++, &lists[row]->values[i]);
        }
    }
    rc = mb_db_run(stmt, err);
out:
    mb_buf_release(&sql);
    return rc;
}

int mb_write_list_update(struct mb_engine *engine, const char *table, int64_t rowid,
                         const struct mb_write_list *list, struct mb_error *err)
{
    struct mb_buf sql;
    int rc = -1;

    if (list->count == 0) {
        return 0;
    }
    mb_buf_init(&sql, SQL_MAX);
    if (mb_buf_append_format(&sql, err, "UPDATE %s SET ", table) != 0) {
        goto out;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (mb_buf_append_format(&sql, err, "%s\"%s\" = ?", i == 0 ? "" : ", ", list->names[i]) !=
            0) {
            goto out;
        }
    }
    if (mb_buf_append_text(&sql, " WHERE id = ?", err) == 0) {
        rc = run(engine, &sql, list, rowid, err);
    }
out:
    mb_buf_release(&sql);
    return rc;
}

/* claude-mem's hash of an observation: SHA-256(memory id, NUL, title, NUL, narrative), 16 digits.
 * Where that one is taken by a row that is not the same, others of this row's own. */
static void make_hash(struct mb_write_list *list, const char *memory,
                      const uint8_t id[static MB_ROW_ID_SIZE])
{
    const struct mb_value *parts[2] = {mb_write_list_find(list, "title"),
                                       mb_write_list_find(list, "narrative")};
    struct mb_digest *digest = mb_digest_new();
    uint8_t full[MB_DIGEST_SIZE];

    mb_digest_update(digest, memory, strlen(memory));
    for (int i = 0; i < 2; i++) {
        mb_digest_update(digest, "", 1);
        if (parts[i] != NULL && parts[i]->type == MB_VALUE_TEXT) {
            mb_digest_update(digest, parts[i]->data, parts[i]->size);
        }
    }
    if (list->hash_tries > 0) {
        mb_digest_update(digest, id, MB_ROW_ID_SIZE);
        mb_digest_update(digest, &list->hash_tries, sizeof(list->hash_tries));
    }
    mb_digest_final(digest, full);
    mb_digest_free(digest);
    mb_digest_hex(full, HASH_HEX / 2, list->hash);
}

int mb_write_list_hash_is_taken(struct mb_engine *engine, const char *memory, const char *hash,
                                bool *taken_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->live,
                    "SELECT 1 FROM observations WHERE memory_session_id = ?1 AND content_hash = ?2",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, memory);
    mb_db_bind_text(stmt, 2, hash);
    step = mb_db_step(stmt, err);
    mb_db_reset(stmt);
    *taken_out = step == 1;
    return step < 0 ? -1 : 0;
}

int mb_write_list_hash(struct mb_engine *engine, struct mb_write_list *list, const char *memory,
                       const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    bool is_taken = true;

    /* The row that this id stood for before the state was lost may hold the second one too. */
    for (; is_taken && list->hash_tries < HASH_TRIES_MAX; list->hash_tries++) {
        make_hash(list, memory, id);
        if (mb_write_list_hash_is_taken(engine, memory, list->hash, &is_taken, err) != 0) {
            return -1;
        }
    }
    if (mb_write_list_find(list, "content_hash") == NULL) {
        mb_write_list_text(list, "content_hash", list->hash);
    }
    return 0;
}
