/* SPDX-License-Identifier: MIT */

/*
 * Folding: a head that lists many small segments gets one in their place, so that heads stay small.
 * Records commute, so a folded segment is simply their content one after another: zstd frames
 * behind one header. It keeps the chain of its last, so that who has read that far has nothing to
 * read again. The old segments stay for a grace time: a reader may hold an older head.
 */

#include "alloc.h"
#include "limits.h"
#include "log.h"
#include "pack.h"
#include "push.h"
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define FOLD_ENTRIES 12
#define FOLD_BYTES_MAX ((int64_t)(16 * MB_MIB))
#define FOLD_RECORDS_MAX (MB_LIMIT_SEGMENT_RECORDS / 4)
#define GRACE_MS ((int64_t)7 * 24 * 3600 * 1000)

struct own_entry {
    struct mb_head_entry entry;
    int64_t raw;     /* bytes when unpacked */
    bool is_changed; /* lost, or back again */
};

struct run { /* entries that are folded into one: a suffix of the list */
    struct own_entry *entries;
    size_t count;
    int64_t bytes;
    int64_t raw;
    int64_t records;
};

static int read_entries(struct mb_engine *engine, struct own_entry **entries_out, size_t *count_out,
                        struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct own_entry *list = NULL;
    size_t count = 0;
    size_t size;
    int step;

    if (mb_db_query(
            engine->state->db,
            "SELECT first, last, chain, name, size, records, lost, raw FROM entry ORDER BY last",
            &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_head_entry *entry;
        const uint8_t *chain = mb_db_blob(stmt, 2, &size);
        list = mb_alloc_resize(list, count + 1, sizeof(*list));
        memset(&list[count], 0, sizeof(list[count]));
        list[count].raw = mb_db_int(stmt, 7);
        entry = &list[count++].entry;
        memcpy(entry->chain, chain, size == MB_CHAIN_SIZE ? size : 0);
        entry->first = mb_db_int(stmt, 0);
        entry->last = mb_db_int(stmt, 1);
        (void)snprintf(entry->name, sizeof(entry->name), "%s", mb_db_text(stmt, 3));
        entry->size_bytes = mb_db_int(stmt, 4);
        entry->record_count = mb_db_int(stmt, 5);
        entry->is_lost = mb_db_int(stmt, 6) != 0;
    }
    *entries_out = list;
    *count_out = count;
    return step;
}

/* From the end: as long as the next older one is not much larger than all that is taken so far.
 * Each byte is then folded a logarithmic number of times in its life. */
static void choose_run(struct own_entry *entries, size_t count, struct run *run)
{
    size_t start = count;

    memset(run, 0, sizeof(*run));
    while (start > 0) {
        const struct own_entry *item = &entries[start - 1];
        int64_t size = item->entry.size_bytes;
        int64_t records = item->entry.is_lost ? 0 : item->entry.record_count;
        /* Readers refuse a segment beyond their limits: a folded one must stay far below them. */
        if (size > 2 * run->bytes + (int64_t)(64 * MB_KIB) || run->bytes + size > FOLD_BYTES_MAX ||
            run->raw + item->raw > (int64_t)MB_SEGMENT_RAW_TARGET ||
            run->records + records > FOLD_RECORDS_MAX) {
            break;
        }
        run->bytes += size;
        run->raw += item->raw;
        run->records += records;
        start--;
    }
    run->entries = entries + start;
    run->count = count - start;
}

static int concatenate(struct mb_engine *engine, const struct run *run, struct mb_buf *folded,
                       struct mb_error *err)
{
    struct mb_buf part;
    int rc = mb_pack_append_header(folded, MB_PACK_SEGMENT, err);

    mb_buf_init(&part, MB_LIMIT_SEGMENT_BYTES);
    for (size_t i = 0; i < run->count && rc == 0; i++) {
        if (run->entries[i].entry.is_lost) {
            continue;
        }
        rc = mb_stream_read_segment(engine, engine->state->machine, &run->entries[i].entry, &part,
                                    err);
        if (rc == 0) {
            rc = mb_buf_append(folded, part.data + MB_PACK_HEADER_SIZE,
                               part.size - MB_PACK_HEADER_SIZE, err);
        }
    }
    mb_buf_release(&part);
    return rc;
}

static int replace_entries(struct mb_engine *engine, const struct run *run, const char *name,
                           int64_t size, struct mb_error *err)
{
    const struct mb_head_entry *last = &run->entries[run->count - 1].entry;
    struct mb_stmt *stmt;

    for (size_t i = 0; i < run->count; i++) {
        if (mb_db_query(engine->state->db,
                        "INSERT OR REPLACE INTO trash(name, since) VALUES(?1, ?2)", &stmt,
                        err) != 0) {
            return -1;
        }
        mb_db_bind_text(stmt, 1, run->entries[i].entry.name);
        mb_db_bind_int(stmt, 2, mb_core_now(engine));
        if (mb_db_run(stmt, err) != 0) {
            return -1;
        }
    }
    if (mb_db_query(engine->state->db, "DELETE FROM entry WHERE last >= ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, run->entries[0].entry.last);
    if (mb_db_run(stmt, err) != 0 ||
        mb_db_query(engine->state->db,
                    "INSERT INTO entry(last, first, chain, name, size, records, lost, raw) "
                    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, last->last);
    mb_db_bind_int(stmt, 2, run->entries[0].entry.first);
    mb_db_bind_blob(stmt, 3, last->chain, MB_CHAIN_SIZE);
    mb_db_bind_text(stmt, 4, name);
    mb_db_bind_int(stmt, 5, size);
    mb_db_bind_int(stmt, 6, run->records);
    mb_db_bind_int(stmt, 7, run->raw);
    return mb_db_run(stmt, err);
}

static int fold_run(struct mb_engine *engine, const struct run *run, struct mb_error *err)
{
    char hex[MB_MACHINE_ID_HEX_SIZE];
    char name[MB_SEGMENT_NAME_SIZE];
    uint8_t digest[MB_DIGEST_SIZE];
    struct mb_buf folded;
    char *key = NULL;
    int rc = -1;

    mb_buf_init(&folded, MB_LIMIT_SEGMENT_BYTES);
    if (concatenate(engine, run, &folded, err) != 0) {
        goto out;
    }
    if (folded.size == MB_PACK_HEADER_SIZE) {
        rc = 0; /* all of them are lost */
        goto out;
    }
    mb_digest_sha256(folded.data, folded.size, digest);
    mb_head_segment_name(run->entries[run->count - 1].entry.last, digest, name);
    mb_digest_hex(engine->state->machine, MB_MACHINE_ID_SIZE, hex);
    key = mb_core_key(engine, "segments/%s/%s", hex, name);
    if (mb_store_put(engine->config.store, key, folded.data, folded.size, err) != 0 ||
        mb_core_step(engine, "fold-put", err) != 0) {
        goto out;
    }
    if (mb_state_begin(engine->state, err) != 0 ||
        replace_entries(engine, run, name, (int64_t)folded.size, err) != 0 ||
        mb_push_head_prepare(engine, err) != 0 || mb_core_step(engine, "fold-commit", err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        goto out;
    }
    mb_log_trace("engine", "event=fold segments=%zu bytes=%zu", run->count, folded.size);
    rc = mb_push_head_put(engine, false, err);
out:
    free(key);
    mb_buf_release(&folded);
    return rc;
}

/* ---- what was folded a grace time ago ---- */

static int empty_trash(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    char hex[MB_MACHINE_ID_HEX_SIZE];
    char **names = NULL;
    size_t count = 0;
    int step;

    if (mb_db_query(
            engine->state->db,
            "SELECT name FROM trash WHERE since < ?1 AND name NOT IN (SELECT name FROM entry)",
            &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, mb_core_now(engine) - GRACE_MS);
    while ((step = mb_db_step(stmt, err)) == 1) {
        names = mb_alloc_resize(names, count + 1, sizeof(*names));
        names[count++] = mb_alloc_text(mb_db_text(stmt, 0));
    }
    mb_digest_hex(engine->state->machine, MB_MACHINE_ID_SIZE, hex);
    for (size_t i = 0; i < count && step == 0; i++) {
        char *key = mb_core_key(engine, "segments/%s/%s", hex, names[i]);
        step = mb_store_delete(engine->config.store, key, err);
        free(key);
        if (step == 0 && (step = mb_state_begin(engine->state, err)) == 0) {
            step = mb_db_query(engine->state->db, "DELETE FROM trash WHERE name = ?1", &stmt, err);
            if (step == 0) {
                mb_db_bind_text(stmt, 1, names[i]);
                step = mb_db_run(stmt, err);
            }
            step = step == 0 ? mb_state_commit(engine->state, err) : step;
            if (step != 0) {
                mb_state_rollback(engine->state);
            }
        }
    }
    mb_stream_names_free(names, count);
    return step;
}

/* Entries that may yet be folded into larger ones. */
static size_t count_small(const struct own_entry *entries, size_t count)
{
    size_t small = 0;

    for (size_t i = 0; i < count; i++) {
        small += entries[i].raw <= (int64_t)MB_SEGMENT_RAW_TARGET / 2 ? 1 : 0;
    }
    return small;
}

int mb_push_fold(struct mb_engine *engine, struct mb_error *err)
{
    struct own_entry *entries = NULL;
    size_t count = 0;
    struct run run;
    int rc = read_entries(engine, &entries, &count, err);

    if (rc == 0 && count_small(entries, count) > FOLD_ENTRIES) {
        choose_run(entries, count, &run);
        if (run.count > 1) {
            rc = fold_run(engine, &run, err);
        }
    }
    free(entries);
    return rc == 0 ? empty_trash(engine, err) : rc;
}

/* ---- lost segments ---- */

static int mark_lost(struct mb_engine *engine, const struct mb_head_entry *entry, bool is_lost,
                     struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db, "UPDATE entry SET lost = ?2 WHERE last = ?1", &stmt, err) !=
        0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, entry->last);
    mb_db_bind_int(stmt, 2, is_lost ? 1 : 0);
    return mb_db_run(stmt, err);
}

/* A list may be stale: what it does not show is asked for by name before it counts as lost. */
static int is_there(struct mb_engine *engine, const char *name, char **listed, size_t listed_count,
                    bool *there_out, struct mb_error *err)
{
    char hex[MB_MACHINE_ID_HEX_SIZE];
    uint64_t size;
    char *key;
    int rc;

    *there_out = true;
    for (size_t i = 0; i < listed_count; i++) {
        if (strcmp(name, listed[i]) == 0) {
            return 0;
        }
    }
    mb_digest_hex(engine->state->machine, MB_MACHINE_ID_SIZE, hex);
    key = mb_core_key(engine, "segments/%s/%s", hex, name);
    rc = mb_store_stat(engine->config.store, key, &size, err);
    free(key);
    if (rc != 0 && err->code == MB_ERR_NOT_FOUND) {
        *there_out = false;
        return 0;
    }
    return rc;
}

/* Is the segment there, with the bytes that we put? */
static int is_whole(struct mb_engine *engine, const struct mb_head_entry *entry, bool *whole_out,
                    struct mb_error *err)
{
    struct mb_buf segment;
    int rc;

    mb_buf_init(&segment, MB_LIMIT_SEGMENT_BYTES);
    rc = mb_stream_read_segment(engine, engine->state->machine, entry, &segment, err);
    mb_buf_release(&segment);
    *whole_out = rc == 0;
    return rc == 0 || err->code == MB_ERR_CORRUPT || err->code == MB_ERR_NOT_FOUND ? 0 : -1;
}

/* Compares entries with the store, by what it lists or (names NULL) by reading them. Those that
 * are back (they were only out of sight) are listed again. */
static int compare_entries(struct mb_engine *engine, struct own_entry *entries, size_t count,
                           char **names, size_t name_count, struct mb_error *err)
{
    for (size_t i = 0; i < count; i++) {
        bool there;
        if ((names == NULL
                 ? is_whole(engine, &entries[i].entry, &there, err)
                 : is_there(engine, entries[i].entry.name, names, name_count, &there, err)) != 0) {
            return -1;
        }
        entries[i].is_changed = there == entries[i].entry.is_lost;
        entries[i].entry.is_lost = !there;
    }
    return 0;
}

static int save_entries(struct mb_engine *engine, const struct own_entry *entries, size_t count,
                        int64_t *lost_out, struct mb_error *err)
{
    bool is_any_back = false;

    if (mb_state_begin(engine->state, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].is_changed) {
            continue;
        }
        if (mark_lost(engine, &entries[i].entry, entries[i].entry.is_lost, err) != 0) {
            goto failed;
        }
        *lost_out += entries[i].entry.is_lost ? 1 : 0;
        is_any_back = is_any_back || !entries[i].entry.is_lost;
    }
    if ((is_any_back && mb_push_head_prepare(engine, err) != 0) ||
        mb_state_commit(engine->state, err) != 0) {
        goto failed;
    }
    return 0;
failed:
    mb_state_rollback(engine->state);
    return -1;
}

int mb_push_fold_find_lost(struct mb_engine *engine, bool reads_all, int64_t *lost_out,
                           struct mb_error *err)
{
    struct own_entry *entries = NULL;
    char **names = NULL;
    size_t name_count = 0;
    size_t count = 0;
    int rc = -1;

    *lost_out = 0;
    if (read_entries(engine, &entries, &count, err) != 0 ||
        (!reads_all &&
         mb_stream_list_segments(engine, engine->state->machine, &names, &name_count, err) != 0)) {
        goto out;
    }
    if (!reads_all && names == NULL) {
        names = mb_alloc_zeroed(1, sizeof(*names)); /* an empty list is a list */
    }
    if (compare_entries(engine, entries, count, names, name_count, err) == 0) {
        rc = save_entries(engine, entries, count, lost_out, err);
    }
out:
    mb_stream_names_free(names, name_count);
    free(entries);
    return rc;
}
