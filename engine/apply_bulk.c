/* SPDX-License-Identifier: MIT */

#include "apply_bulk.h"

#include "alloc.h"
#include "assert.h"
#include "write_insert.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Rows of one INSERT; what is left over goes in smaller ones, so that few statements are kept. */
#define ROWS_LARGE 50
#define ROWS_SMALL 10
#define ENTRIES_MAX 200

struct entry {
    const struct mb_record *record;
    struct mb_state_row known;
    uint8_t *loose; /* what registers that waited for the row point into */
    bool is_new;
    bool is_inserted; /* in the live database, not in the state */
};

struct mb_apply_bulk {
    const struct mb_apply *apply;
    struct entry entries[ENTRIES_MAX];
    size_t count;
    size_t first_waiting; /* entries from here on are not inserted yet; their lists follow */
    struct mb_write_list lists[ROWS_LARGE];
};

struct mb_apply_bulk *mb_apply_bulk_new(const struct mb_apply *apply)
{
    struct mb_apply_bulk *bulk = mb_alloc_zeroed(1, sizeof(*bulk));

    bulk->apply = apply;
    return bulk;
}

void mb_apply_bulk_clear(struct mb_apply_bulk *bulk)
{
    for (size_t i = 0; i < bulk->count; i++) {
        mb_regs_release(&bulk->entries[i].known.regs);
        free(bulk->entries[i].loose);
    }
    bulk->count = 0;
    bulk->first_waiting = 0;
}

void mb_apply_bulk_free(struct mb_apply_bulk *bulk)
{
    if (bulk != NULL) {
        mb_apply_bulk_clear(bulk);
        free(bulk);
    }
}

bool mb_apply_bulk_has(const struct mb_apply_bulk *bulk, const uint8_t id[static MB_ROW_ID_SIZE])
{
    for (size_t i = 0; i < bulk->count; i++) {
        if (memcmp(bulk->entries[i].known.id, id, MB_ROW_ID_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

/* The rowid that the table gives next, above all that it ever gave (AUTOINCREMENT). */
static int next_rowid(struct mb_engine *engine, const char *table, int64_t *rowid_out,
                      struct mb_error *err)
{
    char *sql = mb_alloc_format(
        "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = '%s'), 0), "
        "coalesce((SELECT max(id) FROM %s), 0)) + 1",
        table, table);
    int rc = mb_db_scalar(engine->live, sql, 1, rowid_out, err);

    free(sql);
    return rc;
}

static bool same_value(const struct mb_value *a, const struct mb_value *b)
{
    return a != NULL && b != NULL && a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* Is there an equal one among those that wait, as claude-mem's unique index sees it? */
static bool is_taken(const struct mb_apply_bulk *bulk, const struct mb_write_list *list)
{
    const struct mb_value *memory = mb_write_list_find(list, "memory_session_id");
    const struct mb_value *hash = mb_write_list_find(list, "content_hash");

    for (size_t i = 0; i < bulk->count - bulk->first_waiting; i++) {
        const struct mb_write_list *other = &bulk->lists[i];
        if (same_value(mb_write_list_find(other, "memory_session_id"), memory) &&
            same_value(mb_write_list_find(other, "content_hash"), hash)) {
            return true;
        }
    }
    return false;
}

/* The columns of the next entry, behind those that wait. */
static int build_list(struct mb_apply_bulk *bulk, const struct mb_record *record,
                      const struct mb_state_row *known, struct mb_write_list **list_out,
                      struct mb_error *err)
{
    struct mb_engine *engine = bulk->apply->engine;
    struct mb_write_list *list = &bulk->lists[bulk->count - bulk->first_waiting];

    list->count = 0;
    list->hash_tries = 0;
    if (mb_write_insert_list(engine, record, known, list, err) != 0) {
        return -1;
    }
    while (engine->schema->tables[known->table].hash_column >= 0 && is_taken(bulk, list)) {
        const struct mb_value *memory = mb_write_list_find(list, "memory_session_id");
        if (mb_write_list_hash(engine, list, (const char *)memory->data, known->id, err) != 0) {
            return -1;
        }
    }
    *list_out = list;
    return 0;
}

int mb_apply_bulk_add(struct mb_apply_bulk *bulk, const struct mb_record *record,
                      struct mb_state_row *known, struct mb_regs *loose, bool is_new,
                      struct mb_error *err)
{
    struct mb_write_list *list;
    struct entry *entry;

    if (bulk->count == ENTRIES_MAX && mb_apply_bulk_settle(bulk, err) != 0) {
        return -1;
    }
    if (bulk->first_waiting < bulk->count &&
        bulk->entries[bulk->first_waiting].known.table != known->table &&
        mb_apply_bulk_insert(bulk, err) != 0) {
        return -1;
    }
    if (build_list(bulk, record, known, &list, err) != 0) {
        return -1;
    }
    if (!mb_write_list_is_alike(list, &bulk->lists[0]) &&
        (mb_apply_bulk_insert(bulk, err) != 0 ||
         build_list(bulk, record, known, &list, err) != 0)) {
        return -1;
    }
    entry = &bulk->entries[bulk->count++];
    *entry = (struct entry){record, *known, loose->owned, is_new, false};
    known->regs.owned = NULL;
    loose->owned = NULL;
    return bulk->count - bulk->first_waiting == ROWS_LARGE ? mb_apply_bulk_insert(bulk, err) : 0;
}

static int insert_singly(struct mb_apply_bulk *bulk, struct entry *entries, size_t count,
                         struct mb_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (mb_apply_insert(bulk->apply, entries[i].record, &entries[i].known, entries[i].is_new,
                            err) != 0) {
            return -1;
        }
    }
    return 0;
}

static void mark_inserted(struct mb_apply_bulk *bulk, size_t offset, size_t count, int64_t first)
{
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &bulk->entries[bulk->first_waiting + offset + i];
        const struct mb_write_list *list = &bulk->lists[offset + i];
        const struct mb_value *hash = mb_write_list_find(list, "content_hash");
        const struct mb_value *memory = mb_write_list_find(list, "memory_session_id");
        entry->is_inserted = true;
        entry->known.has_local = true;
        entry->known.local = first + (int64_t)i;
        entry->known.twin = hash == NULL || memory == NULL ? 0 : mb_live_twin_of(memory, hash);
    }
}

static int insert_some(struct mb_apply_bulk *bulk, size_t offset, size_t count,
                       struct mb_error *err)
{
    struct mb_engine *engine = bulk->apply->engine;
    struct entry *entries = &bulk->entries[bulk->first_waiting + offset];
    const char *table = mb_profile_tables[entries[0].known.table].name;
    const struct mb_write_list *lists[ROWS_LARGE];
    int64_t first;

    if (next_rowid(engine, table, &first, err) != 0) {
        return -1;
    }
    if (first > INT64_MAX - ROWS_LARGE) {
        return insert_singly(bulk, entries, count, err); /* SQLite says what is wrong */
    }
    for (size_t i = 0; i < count; i++) {
        lists[i] = &bulk->lists[offset + i];
    }
    if (mb_write_list_insert_many(engine, table, lists, count, first, err) == 0) {
        mark_inserted(bulk, offset, count, first);
        return 0;
    }
    if (!mb_db_failed_constraint(engine->live) || err->code != MB_ERR_FAILED) {
        return -1;
    }
    return insert_singly(bulk, entries, count, err);
}

int mb_apply_bulk_insert(struct mb_apply_bulk *bulk, struct mb_error *err)
{
    size_t count = bulk->count - bulk->first_waiting;

    for (size_t done = 0; done < count;) {
        size_t left = count - done;
        size_t some = left >= ROWS_LARGE ? ROWS_LARGE : left >= ROWS_SMALL ? ROWS_SMALL : 1;
        if (insert_some(bulk, done, some, err) != 0) {
            return -1;
        }
        done += some;
    }
    bulk->first_waiting = bulk->count;
    return 0;
}

int mb_apply_bulk_note(struct mb_apply_bulk *bulk, struct mb_error *err)
{
    MB_ASSERT(bulk->first_waiting == bulk->count);
    for (size_t i = 0; i < bulk->count; i++) {
        struct entry *entry = &bulk->entries[i];
        if (entry->is_inserted &&
            (mb_write_insert_keep_extra(bulk->apply->engine, entry->record, err) != 0 ||
             mb_apply_note_inserted(bulk->apply, entry->record, &entry->known, entry->is_new,
                                    err) != 0)) {
            return -1;
        }
    }
    mb_apply_bulk_clear(bulk);
    return 0;
}

int mb_apply_bulk_settle(struct mb_apply_bulk *bulk, struct mb_error *err)
{
    return mb_apply_bulk_insert(bulk, err) != 0 ? -1 : mb_apply_bulk_note(bulk, err);
}
