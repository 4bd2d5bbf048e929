/* SPDX-License-Identifier: MIT */

#include "merge.h"

#include "alloc.h"
#include "apply_bulk.h"
#include "assert.h"
#include "capture.h"
#include "journal.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define BATCH_ROWS_MAX 200
#define BATCH_ROWS_MIN 10
#define BATCH_BYTES_MAX (8 * MB_MIB)
#define LOCK_TARGET_MS 60
#define PAUSE_PERCENT                                                                              \
    30 /* of the time the lock was held: with less the worker starves (measured) */
#define LEFTOVER_ROUNDS_MAX 100000

struct mb_merge {
    struct mb_engine *engine;
    struct mb_apply apply;
    char *source;
    int64_t total;
    int64_t done;
    struct mb_record records[BATCH_ROWS_MAX];
    bool has_effect[BATCH_ROWS_MAX];
    size_t count;
    size_t bytes;
    size_t batch_rows;
};

struct mb_merge *mb_merge_new(struct mb_engine *engine, const struct mb_merge_config *config)
{
    struct mb_merge *merge = mb_alloc_zeroed(1, sizeof(*merge));

    merge->engine = engine;
    merge->source = mb_alloc_text(config->source);
    merge->total = config->total;
    merge->apply.engine = engine;
    merge->apply.source = merge->source;
    merge->apply.bulk = mb_apply_bulk_new(&merge->apply);
    merge->batch_rows = BATCH_ROWS_MAX / 4;
    return merge;
}

static void drop_records(struct mb_merge *merge)
{
    for (size_t i = 0; i < merge->count; i++) {
        mb_record_release(&merge->records[i]);
    }
    merge->count = 0;
    merge->bytes = 0;
}

void mb_merge_free(struct mb_merge *merge)
{
    if (merge != NULL) {
        mb_apply_bulk_free(merge->apply.bulk);
        drop_records(merge);
        free(merge->source);
        free(merge);
    }
}

static void roll_back(struct mb_engine *engine)
{
    mb_db_rollback(engine->live);
    mb_state_rollback(engine->state);
    /* The sessions in memory may hold what was rolled back. */
    engine->live_version = -1;
    mb_core_close_live(engine);
}

/* In transactions on both databases. */
static int capture(struct mb_engine *engine, struct mb_error *err)
{
    const struct mb_capture_options options = {.is_in_merge = true};
    bool breathed;

    return mb_journal_recover(engine, err) != 0 ? -1
                                                : mb_capture_run(engine, &options, &breathed, err);
}

static int open_live(struct mb_engine *engine, struct mb_error *err)
{
    return mb_core_open_live(engine, err) != 0 ? -1 : mb_schema_check_writable(engine->schema, err);
}

static int plan(struct mb_merge *merge, struct mb_error *err)
{
    struct mb_buf before;
    int rc = 0;

    mb_buf_init(&before, MB_LIMIT_RECORD_BYTES);
    for (size_t i = 0; i < merge->count && rc == 0; i++) {
        rc = mb_apply_plan(&merge->apply, &merge->records[i], &merge->has_effect[i], &before, err);
        if (rc == 0 && merge->has_effect[i]) {
            rc = mb_journal_add(merge->engine, &merge->records[i], &before, err);
        }
    }
    mb_buf_release(&before);
    return rc;
}

/* Rows before what speaks of them, parents before children, and on the way out the other way round:
 * fewer stubs are made. */
static int rank(const struct mb_record *record)
{
    int table = mb_profile_find(record->table);

    if (record->kind == MB_RECORD_DELETE) {
        return 100 - table;
    }
    return record->kind == MB_RECORD_ROW ? table : 50 + table;
}

static int apply_all(struct mb_merge *merge, struct mb_error *err)
{
    for (int step = -1; step <= 101; step++) {
        for (size_t i = 0; i < merge->count; i++) {
            if (rank(&merge->records[i]) == step &&
                mb_apply_record(&merge->apply, &merge->records[i], err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* The live database is committed first: the journal tells what a death between the two has left. */
static int commit_live(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_sessions_check(engine->sessions, err) != 0 || mb_capture_note_marks(engine, err) != 0 ||
        mb_core_step(engine, "live-commit", err) != 0 || mb_db_commit(engine->live, err) != 0) {
        return -1;
    }
    return mb_core_step(engine, "live-committed", err);
}

static int commit_state(struct mb_engine *engine, mb_merge_finish_fn finish, void *context,
                        struct mb_error *err)
{
    if (mb_journal_done(engine, err) != 0 || (finish != NULL && finish(context, err) != 0)) {
        return -1;
    }
    return mb_state_commit(engine->state, err);
}

static void give_way(struct mb_engine *engine, int64_t lock_ms)
{
    if (lock_ms > 0 && !engine->is_rehearsal) {
        engine->env->sleep_ms(engine->env->context, lock_ms * PAUSE_PERCENT / 100 + 1);
    }
}

/* The next batch takes as many rows as fit the time that the lock may be held. */
static void adapt(struct mb_merge *merge, int64_t lock_ms)
{
    if (lock_ms > LOCK_TARGET_MS && merge->batch_rows > BATCH_ROWS_MIN) {
        merge->batch_rows =
            merge->batch_rows / 2 < BATCH_ROWS_MIN ? BATCH_ROWS_MIN : merge->batch_rows / 2;
    } else if (lock_ms < LOCK_TARGET_MS / 2 && merge->batch_rows < BATCH_ROWS_MAX) {
        merge->batch_rows =
            merge->batch_rows * 2 > BATCH_ROWS_MAX ? BATCH_ROWS_MAX : merge->batch_rows * 2;
    }
}

/* All that needs no write lock: what was written here is captured, and what the batch will do is
 * durable in the journal. */
static int prepare(struct mb_merge *merge, struct mb_error *err)
{
    struct mb_engine *engine = merge->engine;

    if (mb_core_step(engine, "merge-begin", err) != 0 || open_live(engine, err) != 0 ||
        mb_db_begin(engine->live, err) != 0 || mb_state_begin(engine->state, err) != 0 ||
        capture(engine, err) != 0 || plan(merge, err) != 0 ||
        mb_sessions_check(engine->sessions, err) != 0 || mb_state_commit(engine->state, err) != 0) {
        return -1;
    }
    mb_db_rollback(engine->live); /* it was only read */
    return mb_core_step(engine, "journal-written", err);
}

/* Under the write lock the database must be the one that was planned for: what somebody has written
 * since is captured now, and the plan made anew. */
static int plan_again(struct mb_merge *merge, struct mb_error *err)
{
    struct mb_engine *engine = merge->engine;
    int64_t version;

    if (mb_db_data_version(engine->live, &version, err) != 0) {
        return -1;
    }
    if (version == engine->live_version) {
        return 0;
    }
    if (mb_state_begin(engine->state, err) != 0 || mb_journal_forget(engine, err) != 0 ||
        capture(engine, err) != 0 || plan(merge, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        return -1;
    }
    return 0;
}

static int write_batch(struct mb_merge *merge, mb_merge_finish_fn finish, void *context,
                       int64_t *lock_ms_out, struct mb_error *err)
{
    struct mb_engine *engine = merge->engine;
    int64_t started;

    if (mb_db_begin_write(engine->live, err) != 0) {
        return -1;
    }
    started = mb_core_now(engine);
    if (plan_again(merge, err) != 0 || mb_state_begin(engine->state, err) != 0 ||
        apply_all(merge, err) != 0 || mb_apply_bulk_insert(merge->apply.bulk, err) != 0 ||
        commit_live(engine, err) != 0) {
        return -1;
    }
    *lock_ms_out = mb_core_now(engine) - started;
    return mb_apply_bulk_note(merge->apply.bulk, err) != 0
               ? -1
               : commit_state(engine, finish, context, err);
}

static int run_batch(struct mb_merge *merge, mb_merge_finish_fn finish, void *context,
                     struct mb_error *err)
{
    struct mb_engine *engine = merge->engine;
    int64_t lock_ms = 0;

    if (prepare(merge, err) != 0 || write_batch(merge, finish, context, &lock_ms, err) != 0) {
        mb_apply_bulk_clear(merge->apply.bulk);
        roll_back(engine);
        return -1;
    }
    merge->done += (int64_t)merge->count;
    mb_core_progress(engine, MB_PHASE_MERGE, merge->done, merge->total);
    drop_records(merge);
    if (mb_core_step(engine, "merge-done", err) != 0) {
        return -1;
    }
    adapt(merge, lock_ms);
    give_way(engine, lock_ms);
    return 0;
}

int mb_merge_add(struct mb_merge *merge, struct mb_record *record, struct mb_error *err)
{
    size_t bytes = 0;

    MB_ASSERT(merge->count < BATCH_ROWS_MAX);
    for (size_t i = 0; i < record->column_count; i++) {
        bytes += record->columns[i].value.size;
    }
    for (size_t i = 0; i < record->register_count; i++) {
        bytes += record->registers[i].value.size;
    }
    merge->records[merge->count++] = *record;
    memset(record, 0, sizeof(*record));
    merge->bytes += bytes;
    if (merge->count >= merge->batch_rows || merge->bytes >= BATCH_BYTES_MAX) {
        return run_batch(merge, NULL, NULL, err);
    }
    return 0;
}

int mb_merge_flush(struct mb_merge *merge, mb_merge_finish_fn finish, void *context,
                   struct mb_error *err)
{
    struct mb_engine *engine = merge->engine;

    if (merge->count > 0) {
        return run_batch(merge, finish, context, err);
    }
    if (finish == NULL) {
        return 0;
    }
    if (mb_state_begin(engine->state, err) != 0 || finish(context, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

/* Capture reads; but what a kill left in flight is looked for under the same transaction. */
int mb_merge_capture(struct mb_engine *engine, bool accept_deletes, int64_t whole_every_ms,
                     struct mb_error *err)
{
    struct mb_capture_options options = {
        .accept_deletes = accept_deletes, .whole_every_ms = whole_every_ms, .may_breathe = true};
    struct mb_capture_stamp stamp;
    bool breathed = false;

    mb_capture_read_stamp(engine, &stamp);
    mb_core_progress(engine, MB_PHASE_CAPTURE, 0, 0);
    if (mb_core_step(engine, "capture-begin", err) != 0 || mb_core_open_live(engine, err) != 0 ||
        mb_db_begin(engine->live, err) != 0 || mb_state_begin(engine->state, err) != 0 ||
        mb_journal_recover(engine, err) != 0 ||
        mb_capture_run(engine, &options, &breathed, err) != 0) {
        roll_back(engine);
        return -1;
    }
    options.may_breathe = false;
    if ((breathed && mb_capture_run(engine, &options, &breathed, err) != 0) ||
        mb_sessions_check(engine->sessions, err) != 0 ||
        mb_capture_note_stamp(engine, &stamp, err) != 0 ||
        mb_core_step(engine, "capture-commit", err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        roll_back(engine);
        return -1;
    }
    mb_db_rollback(engine->live); /* it was only read */
    return mb_core_step(engine, "captured", err);
}

/* A number that changes when a round of leftovers got anything done. */
static int count_leftovers(struct mb_engine *engine, int64_t *count_out, struct mb_error *err)
{
    return mb_db_scalar(engine->state->db,
                        "SELECT (SELECT count(*) FROM dirty) + (SELECT count(*) FROM undead) + "
                        "(SELECT count(*) FROM stub)",
                        0, count_out, err);
}

int mb_merge_leftovers(struct mb_engine *engine, struct mb_error *err)
{
    int64_t before = -1;

    for (int round = 0; round < LEFTOVER_ROUNDS_MAX; round++) {
        int64_t started = mb_core_now(engine);
        int64_t now = 0;
        bool has_any = false;
        if (mb_core_open_live(engine, err) != 0 ||
            mb_apply_has_leftovers(engine, &has_any, err) != 0 ||
            count_leftovers(engine, &now, err) != 0) {
            return -1;
        }
        if (!has_any || now == before) {
            return 0;
        }
        before = now;
        if (mb_core_step(engine, "leftovers-begin", err) != 0 || open_live(engine, err) != 0 ||
            mb_db_begin_write(engine->live, err) != 0 || mb_state_begin(engine->state, err) != 0 ||
            capture(engine, err) != 0 || mb_apply_leftovers(engine, err) != 0 ||
            commit_live(engine, err) != 0 || commit_state(engine, NULL, NULL, err) != 0) {
            roll_back(engine);
            return -1;
        }
        give_way(engine, mb_core_now(engine) - started);
    }
    return 0;
}
