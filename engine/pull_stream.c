/* SPDX-License-Identifier: MIT */

#include "pull_stream.h"

#include "alloc.h"
#include "apply.h"
#include "backup.h"
#include "identity.h"
#include "limits.h"
#include "merge.h"
#include "pack.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Segments kept in memory between the two passes; beyond that on the disk. */
#define CACHE_BYTES_MAX MB_MIB

struct reading {
    struct mb_engine *engine;
    const struct mb_stream_key *key;
    const struct mb_head *head;
    const struct mb_head_entry *entry;
    int64_t behind;  /* records that are still to come after this segment */
    int64_t deletes; /* undecided tombstones of living rows, over all new segments */
    int64_t decided; /* tombstones that a person decided on there */
    bool hold_deletes;
    bool is_inspecting;   /* what fails now is the stream's fault, not the database's */
    bool *is_new;         /* by entry: to be read */
    struct mb_buf *cache; /* by entry: segments that were read and are not merged yet */
    char name[64];
};

int mb_pull_stream_is_seen(struct mb_engine *engine, const char *key, bool *seen_out,
                           struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, "SELECT 1 FROM seen WHERE key = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, key);
    step = mb_db_step(stmt, err);
    mb_db_reset(stmt);
    *seen_out = step == 1;
    return step < 0 ? -1 : 0;
}

static int is_applied(struct mb_engine *engine, const struct mb_head *head,
                      const struct mb_head_entry *entry, bool *applied_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, "SELECT 1 FROM applied WHERE machine = ?1 AND chain = ?2",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, head->machine, MB_MACHINE_ID_SIZE);
    mb_db_bind_blob(stmt, 2, entry->chain, MB_CHAIN_SIZE);
    step = mb_db_step(stmt, err);
    mb_db_reset(stmt);
    *applied_out = step == 1;
    return step < 0 ? -1 : 0;
}

/* ---- one record: is it what it says? ---- */

static int check_version(struct mb_engine *engine, const struct mb_version *version,
                         struct mb_error *err)
{
    int64_t now = mb_core_now(engine);

    if (version->hlc >
        (now > MB_LIMIT_AHEAD_BASE_MS ? now : MB_LIMIT_AHEAD_BASE_MS) + MB_LIMIT_AHEAD_MS) {
        return mb_error_set(err, MB_ERR_CORRUPT, "a record has a time more than 100 years ahead");
    }
    return 0;
}

/* verify-first: the row id must follow from the content, and references must be ids. */
static int check_record(struct mb_engine *engine, const struct mb_record *record,
                        struct mb_error *err)
{
    int table = mb_profile_find(record->table);
    struct mb_identity identity;
    uint8_t id[MB_ROW_ID_SIZE];

    if (check_version(engine, &record->version, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < record->register_count; i++) {
        if (check_version(engine, &record->registers[i].version, err) != 0 ||
            check_version(engine, &record->registers[i].parent, err) != 0) {
            return -1;
        }
    }
    if (table < 0) {
        return 0; /* of a newer membridge: kept as it is */
    }
    for (size_t i = 0; i < record->register_count; i++) {
        int index = mb_profile_register_find(&mb_profile_tables[table], record->registers[i].name);
        const struct mb_value *value = &record->registers[i].value;
        if (index >= 0 && mb_profile_tables[table].registers[index].kind != MB_REGISTER_COLUMN &&
            value->type != MB_VALUE_NULL &&
            (value->type != MB_VALUE_BLOB || value->size != MB_ROW_ID_SIZE)) {
            return mb_error_set(err, MB_ERR_CORRUPT, "a reference is not a row id");
        }
    }
    if (record->kind != MB_RECORD_ROW) {
        return 0;
    }
    if (!mb_identity_from_record(&mb_profile_tables[table], record, &identity)) {
        return mb_error_set(err, MB_ERR_CORRUPT, "a row lacks a part of its identity");
    }
    if (table == MB_TABLE_SESSIONS && identity.values[1].type != MB_VALUE_TEXT) {
        return mb_error_set(err, MB_ERR_CORRUPT, "a session has no content id");
    }
    mb_identity_row_id(engine->state->sha, &identity, record->copy, id);
    if (memcmp(id, record->row_id, MB_ROW_ID_SIZE) != 0) {
        return mb_error_set(err, MB_ERR_CORRUPT, "a row's id does not follow from its content");
    }
    return 0;
}

typedef int (*record_fn)(struct reading *reading, struct mb_record *record, void *context,
                         struct mb_error *err);

/* Calls fn for each record of a segment; fn may take the record. */
static int each_record(struct reading *reading, const struct mb_buf *segment, record_fn fn,
                       void *context, struct mb_error *err)
{
    struct mb_pack_reader *reader = NULL;
    const char *line;
    size_t size;
    int64_t count = 0;
    int step;

    if (mb_pack_reader_new(segment->data, segment->size, MB_PACK_SEGMENT,
                           MB_LIMIT_SEGMENT_RAW_BYTES, MB_LIMIT_RECORD_BYTES, &reader, err) != 0) {
        return -1;
    }
    while ((step = mb_pack_reader_next(reader, &line, &size, err)) == 1) {
        struct mb_record record;
        if (++count > MB_LIMIT_SEGMENT_RECORDS) {
            step = mb_error_set(err, MB_ERR_CORRUPT, "a segment has too many records");
            break;
        }
        if (mb_record_decode(line, size, &record, err) != 0) {
            step = -1;
            break;
        }
        if (fn(reading, &record, context, err) != 0) {
            mb_record_release(&record);
            step = -1;
            break;
        }
        mb_record_release(&record);
    }
    mb_pack_reader_free(reader);
    return step;
}

/* First pass: every record is checked before one is applied, and deletes are weighed. */
static int inspect(struct reading *reading, struct mb_record *record, void *context,
                   struct mb_error *err)
{
    struct mb_state_row row;
    int found;

    (void)context;
    if (check_record(reading->engine, record, err) != 0) {
        return -1;
    }
    if (record->kind != MB_RECORD_DELETE) {
        return 0;
    }
    if (record->is_decided) {
        reading->decided++;
        return 0;
    }
    found = mb_state_row_find(reading->engine->state, record->row_id, &row, err);
    if (found == 1) { /* known alive, whether or not it is in the database just now */
        reading->deletes += row.is_suppressed ? 0 : 1;
        mb_regs_release(&row.regs);
    }
    return found < 0 ? -1 : 0;
}

static int hold(struct mb_engine *engine, const struct mb_record *record, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct mb_buf line;
    int rc = -1;

    mb_buf_init(&line, MB_LIMIT_RECORD_BYTES);
    if (mb_record_encode(record, &line, err) != 0 || mb_state_begin(engine->state, err) != 0) {
        goto out;
    }
    if (mb_db_query(engine->state->db, "INSERT OR REPLACE INTO held_in(id, record) VALUES(?1, ?2)",
                    &stmt, err) == 0) {
        mb_db_bind_blob(stmt, 1, record->row_id, MB_ROW_ID_SIZE);
        mb_db_bind_blob(stmt, 2, line.data, line.size - 1);
        rc = mb_db_run(stmt, err);
    }
    rc = rc == 0 ? mb_state_commit(engine->state, err) : rc;
    if (rc != 0) {
        mb_state_rollback(engine->state);
    }
out:
    mb_buf_release(&line);
    return rc;
}

static int merge_record(struct reading *reading, struct mb_record *record, void *context,
                        struct mb_error *err)
{
    struct mb_engine *engine = reading->engine;
    struct mb_merge *merge = context;

    if (record->kind == MB_RECORD_DELETE && !record->is_decided && reading->hold_deletes) {
        struct mb_state_row row;
        int found = mb_state_row_find(engine->state, record->row_id, &row, err);
        if (found < 0) {
            return -1;
        }
        if (found == 1) {
            bool is_here = !row.is_suppressed;
            int table = row.table;
            mb_regs_release(&row.regs);
            if (is_here) {
                mb_core_change(engine, MB_CHANGE_HOLD, table, record->row_id, NULL,
                               "deleted elsewhere with many others: waits for your decision");
                return hold(engine, record, err);
            }
        }
    }
    return mb_merge_add(merge, record, err);
}

/* ---- moving the cursor ---- */

static int note_stream(struct reading *reading, struct mb_error *err)
{
    static const char sql[] =
        "INSERT INTO stream(machine, name, head, last, chain, behind, time, missing, covers) "
        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, '') ON CONFLICT(machine) DO UPDATE SET name = "
        "excluded.name, "
        "head = max(head, excluded.head), last = max(last, excluded.last), "
        "chain = CASE WHEN excluded.last >= stream.last THEN excluded.chain ELSE stream.chain END, "
        "behind = excluded.behind, time = max(time, excluded.time)";
    const struct mb_head *head = reading->head;
    struct mb_stmt *stmt;

    if (mb_db_query(reading->engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, head->machine, MB_MACHINE_ID_SIZE);
    mb_db_bind_text(stmt, 2, reading->name);
    mb_db_bind_int(stmt, 3, head->sequence);
    mb_db_bind_int(stmt, 4, reading->entry == NULL ? 0 : reading->entry->last);
    mb_db_bind_blob(stmt, 5, reading->entry == NULL ? (const uint8_t *)"" : reading->entry->chain,
                    reading->entry == NULL ? 0 : MB_CHAIN_SIZE);
    mb_db_bind_int(stmt, 6, reading->behind);
    mb_db_bind_int(stmt, 7, head->time_ms);
    return mb_db_run(stmt, err);
}

/* In the transaction of the segment's last batch. */
static int finish_segment(void *context, struct mb_error *err)
{
    struct reading *reading = context;
    struct mb_stmt *stmt;

    if (mb_db_query(reading->engine->state->db,
                    "INSERT OR IGNORE INTO applied(machine, chain, last) VALUES(?1, ?2, ?3)", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, reading->head->machine, MB_MACHINE_ID_SIZE);
    mb_db_bind_blob(stmt, 2, reading->entry->chain, MB_CHAIN_SIZE);
    mb_db_bind_int(stmt, 3, reading->entry->last);
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    return note_stream(reading, err);
}

static int append_covers(const struct mb_head *head, struct mb_buf *buf, struct mb_error *err)
{
    for (size_t i = 0; i < head->cover_count; i++) {
        char machine[MB_MACHINE_ID_HEX_SIZE];
        char chain[2 * MB_CHAIN_SIZE + 1];
        mb_digest_hex(head->covers[i].machine, MB_MACHINE_ID_SIZE, machine);
        mb_digest_hex(head->covers[i].chain, MB_CHAIN_SIZE, chain);
        if (mb_buf_append_format(buf, err, "%s:%lld:%s;", machine,
                                 (long long)head->covers[i].sequence, chain) != 0) {
            return -1;
        }
    }
    return 0;
}

/* All of the head is applied. */
static int finish_head(struct reading *reading, struct mb_error *err)
{
    struct mb_state *state = reading->engine->state;
    struct mb_stmt *stmt;
    struct mb_buf covers;
    int rc = -1;

    mb_buf_init(&covers, MB_LIMIT_HEAD_BYTES * 16);
    reading->behind = 0;
    reading->entry = reading->head->entry_count == 0
                         ? NULL
                         : &reading->head->entries[reading->head->entry_count - 1];
    if (append_covers(reading->head, &covers, err) != 0 || mb_state_begin(state, err) != 0) {
        mb_buf_release(&covers);
        return -1;
    }
    if (mb_db_query(state->db, "INSERT OR IGNORE INTO seen(key) VALUES(?1)", &stmt, err) != 0) {
        goto out;
    }
    mb_db_bind_text(stmt, 1, reading->key->key);
    if (mb_db_run(stmt, err) != 0 || note_stream(reading, err) != 0 ||
        mb_db_query(state->db,
                    "UPDATE stream SET digest = ?2, covers = ?3 WHERE machine = ?1 AND head = ?4",
                    &stmt, err) != 0) {
        goto out;
    }
    mb_db_bind_blob(stmt, 1, reading->head->machine, MB_MACHINE_ID_SIZE);
    if (reading->head->has_digest) {
        mb_db_bind_blob(stmt, 2, reading->head->digest, sizeof(reading->head->digest));
    } else {
        mb_db_bind_null(stmt, 2);
    }
    mb_db_bind_text(stmt, 3, mb_buf_text(&covers));
    mb_db_bind_int(stmt, 4, reading->head->sequence);
    if (mb_db_run(stmt, err) == 0) {
        rc = mb_state_commit(state, err);
    }
out:
    if (rc != 0) {
        mb_state_rollback(state);
    }
    mb_buf_release(&covers);
    return rc;
}

/* ---- the head ---- */

/* The entries that were not applied. Each by its own chain, so that one which was lost and is back
 * is read too; a fold keeps the chain of its last, so that what it holds is not read again by
 * those who have that. */
static int find_new(struct reading *reading, struct mb_error *err)
{
    const struct mb_head *head = reading->head;

    reading->behind = 0;
    for (size_t i = 0; i < head->entry_count; i++) {
        bool applied;
        if (is_applied(reading->engine, head, &head->entries[i], &applied, err) != 0) {
            return -1;
        }
        reading->is_new[i] = !applied && !head->entries[i].is_lost;
        reading->behind += reading->is_new[i] ? head->entries[i].record_count : 0;
    }
    return 0;
}

/* A segment's bytes, checked. What the weighing has read is kept for the merge, up to a size. */
static int read_entry(struct reading *reading, size_t index, struct mb_error *err)
{
    const struct mb_head_entry *entry = &reading->head->entries[index];
    struct mb_buf *buf = &reading->cache[index];

    if (buf->size > 0) {
        return 0;
    }
    mb_core_progress(reading->engine, MB_PHASE_DOWNLOAD, 0, entry->size_bytes);
    return mb_stream_read_segment(reading->engine, reading->head->machine, entry, buf, err);
}

static void drop_entry(struct reading *reading, size_t index)
{
    mb_buf_release(&reading->cache[index]);
    mb_buf_init(&reading->cache[index], MB_LIMIT_SEGMENT_BYTES);
}

/* First pass over all that is new, before anything of it is applied: every record is checked, and
 * deletes that come from one machine at once are weighed together. */
static int inspect_all(struct reading *reading, struct mb_error *err)
{
    int64_t bound = 0;
    size_t kept_bytes = 0;

    if (mb_core_delete_bound(reading->engine, 0, &bound, err) != 0) {
        return -1;
    }
    reading->is_inspecting = true;
    for (size_t i = 0; i < reading->head->entry_count; i++) {
        if (!reading->is_new[i]) {
            continue;
        }
        if (read_entry(reading, i, err) != 0) {
            return -1;
        }
        if (each_record(reading, &reading->cache[i], inspect, NULL, err) != 0) {
            char machine[MB_MACHINE_ID_HEX_SIZE];
            mb_digest_hex(reading->head->machine, MB_MACHINE_ID_SIZE, machine);
            return mb_error_wrap(err, "reading 'segments/%s/%s' of %s", machine,
                                 reading->head->entries[i].name, reading->name);
        }
        kept_bytes += reading->cache[i].size;
        if (kept_bytes > CACHE_BYTES_MAX) {
            mb_stream_keep_segment(reading->engine, &reading->head->entries[i], &reading->cache[i]);
            drop_entry(reading, i);
        }
    }
    reading->is_inspecting = false;
    reading->hold_deletes = reading->deletes > bound;
    if (reading->decided > bound) { /* meant, and yet many: a copy of all comes first */
        return mb_backup_if_due(reading->engine, "mass-delete", err);
    }
    return 0;
}

static int merge_entry(struct reading *reading, size_t index, struct mb_error *err)
{
    const struct mb_head_entry *entry = &reading->head->entries[index];
    const struct mb_merge_config config = {reading->name, entry->record_count};
    struct mb_merge *merge = NULL;
    int rc = -1;

    reading->entry = entry;
    reading->behind -= entry->record_count;
    reading->is_inspecting = true;
    if (read_entry(reading, index, err) != 0) {
        return -1;
    }
    reading->is_inspecting = false;
    merge = mb_merge_new(reading->engine, &config);
    if (each_record(reading, &reading->cache[index], merge_record, merge, err) == 0) {
        rc = mb_merge_flush(merge, finish_segment, reading, err);
    }
    mb_merge_free(merge);
    drop_entry(reading, index);
    return rc;
}

static int read_stream(struct reading *reading, struct mb_error *err)
{
    const struct mb_head *head = reading->head;
    int rc = -1;

    mb_text_clean(reading->name, sizeof(reading->name), head->host_name, strlen(head->host_name));
    reading->cache = mb_alloc_zeroed(head->entry_count + 1, sizeof(*reading->cache));
    for (size_t i = 0; i < head->entry_count; i++) {
        mb_buf_init(&reading->cache[i], MB_LIMIT_SEGMENT_BYTES);
    }
    reading->is_new = mb_alloc_zeroed(head->entry_count + 1, sizeof(*reading->is_new));
    if (find_new(reading, err) != 0 || inspect_all(reading, err) != 0) {
        goto out;
    }
    for (size_t i = 0; i < head->entry_count; i++) {
        if (reading->is_new[i] && merge_entry(reading, i, err) != 0) {
            goto out;
        }
    }
    rc = finish_head(reading, err);
out:
    for (size_t i = 0; i < head->entry_count; i++) {
        mb_buf_release(&reading->cache[i]);
    }
    free(reading->cache);
    free(reading->is_new);
    mb_stream_drop_kept(reading->engine); /* also what a killed pull has left */
    return rc;
}

int mb_pull_stream_head(struct mb_engine *engine, const struct mb_stream_key *key,
                        bool *is_its_fault_out, struct mb_error *err)
{
    struct mb_head head;
    struct reading reading;
    int rc = -1;

    memset(&reading, 0, sizeof(reading));
    mb_head_init(&head);
    reading.engine = engine;
    reading.key = key;
    reading.head = &head;
    reading.is_inspecting = true;
    if (mb_stream_read_head(engine, key, &head, err) == 0) {
        reading.is_inspecting = false;
        rc = read_stream(&reading, err);
    }
    *is_its_fault_out = rc != 0 && reading.is_inspecting &&
                        (err->code == MB_ERR_CORRUPT || err->code == MB_ERR_FORMAT ||
                         err->code == MB_ERR_NOT_FOUND);
    mb_head_release(&head);
    return rc;
}
