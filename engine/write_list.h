/* SPDX-License-Identifier: MIT */
#ifndef MB_WRITE_LIST_H
#define MB_WRITE_LIST_H

/* A list of columns and values, and the INSERT or UPDATE that it becomes. Values and names are
 * borrowed. */

#include "core.h"
#include "limits.h"

#define MB_WRITE_LIST_MAX (MB_LIMIT_COLUMNS + 8)

struct mb_write_list {
    const char *names[MB_WRITE_LIST_MAX];
    struct mb_value values[MB_WRITE_LIST_MAX];
    size_t count;
    char hash[2 * MB_DIGEST_SIZE + 1]; /* content_hash, where the list has one */
    uint32_t hash_tries;               /* how many were made for it */
};

void mb_write_list_add(struct mb_write_list *list, const char *name, const struct mb_value *value);
void mb_write_list_text(struct mb_write_list *list, const char *name,
                        const char *text); /* NULL: NULL */
void mb_write_list_int(struct mb_write_list *list, const char *name, int64_t number);
/* The value of a column in the list, or NULL. */
const struct mb_value *mb_write_list_find(const struct mb_write_list *list, const char *name);

/* Run the statement in the caller's transaction. An empty update does nothing. */
MB_MUST_USE int mb_write_list_insert(struct mb_engine *engine, const char *table,
                                     const struct mb_write_list *list, struct mb_error *err);
/* Several rows of the same columns as one statement: all or none. They get the rowids from `first`
 * on. */
MB_MUST_USE int mb_write_list_insert_many(struct mb_engine *engine, const char *table,
                                          const struct mb_write_list *const *lists,
                                          size_t list_count, int64_t first, struct mb_error *err);
bool mb_write_list_is_alike(const struct mb_write_list *a, const struct mb_write_list *b);
MB_MUST_USE int mb_write_list_update(struct mb_engine *engine, const char *table, int64_t rowid,
                                     const struct mb_write_list *list, struct mb_error *err);

/* Adds content_hash for an observation under a memory id: claude-mem's own, or where a row that is
 * not the same has that, another. Called again, it puts the next one in its place. */
MB_MUST_USE int mb_write_list_hash(struct mb_engine *engine, struct mb_write_list *list,
                                   const char *memory, const uint8_t id[static MB_ROW_ID_SIZE],
                                   struct mb_error *err);
MB_MUST_USE int mb_write_list_hash_is_taken(struct mb_engine *engine, const char *memory,
                                            const char *hash, bool *taken_out,
                                            struct mb_error *err);

#endif
