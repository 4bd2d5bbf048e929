/* SPDX-License-Identifier: MIT */

#include "pull.h"

#include "alloc.h"
#include "apply.h"
#include "backup.h"
#include "capture.h"
#include "journal.h"
#include "log.h"
#include "merge.h"
#include "pack.h"
#include "pull_digest.h"
#include "pull_stream.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* A stream that we have read is gone or older at so many pulls in a row: then the store was emptied
 * or restored. */
#define MISSING_PULLS 2

struct pull {
    struct mb_engine *engine;
    const struct mb_pull_request *request;
    struct mb_pull_report *report;
    struct mb_stream_list heads;
    bool is_healing;
    bool is_current; /* the database is as it was last captured */
    bool has_work;   /* something may be written: the journal is open */
    bool is_stale;   /* something that was listed was not there */
};

/* Puts deleted rows that wait for a decision back: they are known alive and missing, so healing
 * brings them. */
static int release_by_heal(struct mb_engine *engine, struct mb_error *err)
{
    static const char sql[] = "UPDATE row SET local = NULL WHERE id IN (SELECT id FROM held_out);"
                              "DELETE FROM held_out; DELETE FROM held_in";

    if (mb_state_begin(engine->state, err) != 0 || mb_db_exec(engine->state->db, sql, err) != 0 ||
        mb_state_set_int(engine->state, "heal", 1, err) != 0 ||
        mb_state_set_int(engine->state, "backup_wanted", 1, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

static int forget_cursors(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_state_begin(engine->state, err) != 0 ||
        mb_db_exec(engine->state->db, "DELETE FROM applied; DELETE FROM seen", err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

static int begin_work(struct pull *pull, struct mb_error *err)
{
    struct mb_engine *engine = pull->engine;

    if (pull->has_work) {
        return 0;
    }
    if (mb_core_open_live(engine, err) != 0 || mb_schema_check_writable(engine->schema, err) != 0) {
        return -1;
    }
    if (mb_state_begin(engine->state, err) != 0 || mb_journal_begin(engine, "pull", err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    pull->has_work = true;
    return 0;
}

/* A backup is due before the first merge of a day; only now is it known that there is one. */
static int before_first(struct pull *pull, struct mb_error *err)
{
    if (pull->has_work) {
        return 0;
    }
    if (begin_work(pull, err) != 0) {
        return -1;
    }
    return pull->request->no_backup ? 0 : mb_backup_if_due(pull->engine, NULL, err);
}

/* What is wrong with one stream must not keep the others away: it is told, and tried again by the
 * next pull. */
static int read_head(struct pull *pull, const struct mb_stream_key *key, struct mb_error *err)
{
    struct mb_engine *engine = pull->engine;
    bool is_own = memcmp(key->machine, engine->state->machine, MB_MACHINE_ID_SIZE) == 0;
    bool is_seen = false;
    bool is_its_fault = false;

    if (is_own && !pull->is_healing) {
        return 0;
    }
    if (mb_pull_stream_is_seen(engine, key->key, &is_seen, err) != 0) {
        return -1;
    }
    if (is_seen) {
        return 0;
    }
    if (before_first(pull, err) != 0) {
        return -1;
    }
    if (mb_pull_stream_head(engine, key, &is_its_fault, err) == 0) {
        return 0;
    }
    if (!is_its_fault) {
        return -1;
    }
    mb_log_trace("engine", "event=stream-failed key=%s code=%s", key->key,
                 mb_error_name(err->code));
    if (err->code == MB_ERR_NOT_FOUND) {
        pull->is_stale = true;
    }
    if (err->code == MB_ERR_NOT_FOUND) {
        /* A folder that is synced by others may bring a head before its segments. */
        err->code = MB_ERR_TEMPORARY;
        (void)mb_error_wrap(err, "not everything is there yet");
        (void)mb_error_advise(
            err, "pull again in a moment; if it stays away, run 'membridge push --full' on "
                 "the machine it comes from");
    } else if (err->code == MB_ERR_CORRUPT) {
        (void)mb_error_advise(
            err, "what the other machines sent was merged; run 'membridge push --full' on "
                 "the machine that this comes from");
    }
    if (pull->report->warning.code == MB_OK || err->code != MB_ERR_TEMPORARY) {
        pull->report->warning = *err;
    }
    return engine->live == NULL ? mb_core_open_live(engine, err) : 0;
}

static int read_heads(struct pull *pull, struct mb_error *err)
{
    for (size_t i = 0; i < pull->heads.count; i++) {
        if (read_head(pull, &pull->heads.items[i], err) != 0) {
            return -1;
        }
    }
    if (!pull->is_stale) {
        return 0;
    }
    /* A head was replaced, or a segment folded, between our looking and our reading: look again,
     * once. */
    mb_error_init(&pull->report->warning);
    mb_stream_list_release(&pull->heads);
    if (mb_stream_list_heads(pull->engine, NULL, &pull->heads, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < pull->heads.count; i++) {
        if (read_head(pull, &pull->heads.items[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- streams that went back ---- */

struct lost {
    uint8_t machine[MB_MACHINE_ID_SIZE];
    int64_t missing; /* pulls in a row; 0: it is back */
};

/* The streams whose count changes; given. */
static int list_missing(struct mb_engine *engine, const struct mb_stream_list *heads,
                        struct lost **list_out, size_t *count_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t size;
    int step;

    *list_out = NULL;
    *count_out = 0;
    if (mb_db_query(engine->state->db, "SELECT machine, head, missing FROM stream WHERE head > 0",
                    &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        const uint8_t *machine = mb_db_blob(stmt, 0, &size);
        int64_t known = mb_db_int(stmt, 1);
        int64_t missing = mb_db_int(stmt, 2);
        bool is_there = size != MB_MACHINE_ID_SIZE ||
                        memcmp(machine, engine->state->machine, MB_MACHINE_ID_SIZE) == 0;
        for (size_t i = 0; i < heads->count && !is_there; i++) {
            is_there = memcmp(heads->items[i].machine, machine, MB_MACHINE_ID_SIZE) == 0 &&
                       heads->items[i].sequence >= known;
        }
        if (!is_there || missing > 0) {
            *list_out = mb_alloc_resize(*list_out, *count_out + 1, sizeof(**list_out));
            memcpy((*list_out)[*count_out].machine, machine, MB_MACHINE_ID_SIZE);
            (*list_out)[(*count_out)++].missing = is_there ? 0 : missing + 1;
        }
    }
    return step;
}

static int write_missing(struct mb_engine *engine, const struct lost *lost, struct mb_error *err)
{
    bool is_lost = lost->missing >= MISSING_PULLS;
    struct mb_stmt *stmt;

    if (mb_db_query(engine->state->db,
                    is_lost ? "DELETE FROM stream WHERE machine = ?1"
                            : "UPDATE stream SET missing = ?2 WHERE machine = ?1",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, lost->machine, MB_MACHINE_ID_SIZE);
    if (!is_lost) {
        mb_db_bind_int(stmt, 2, lost->missing);
    }
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    if (!is_lost) {
        return 0;
    }
    mb_log_trace("engine", "event=stream-went-back full=1");
    return mb_state_set_int(engine->state, "full", 1, err);
}

static int note_missing(struct pull *pull, struct mb_error *err)
{
    struct mb_state *state = pull->engine->state;
    struct lost *list = NULL;
    size_t count = 0;
    int rc = list_missing(pull->engine, &pull->heads, &list, &count, err);

    if (rc == 0 && count > 0) {
        rc = mb_state_begin(state, err);
        for (size_t i = 0; i < count && rc == 0; i++) {
            rc = write_missing(pull->engine, &list[i], err);
        }
        rc = rc == 0 ? mb_state_commit(state, err) : rc;
        if (rc != 0) {
            mb_state_rollback(state);
        }
    }
    free(list);
    return rc;
}

/* ---- healing ---- */

static int merge_block(struct mb_engine *engine, const uint8_t *body, size_t size,
                       struct mb_error *err)
{
    const struct mb_merge_config config = {"this machine", 0};
    struct mb_merge *merge = mb_merge_new(engine, &config);
    struct mb_pack_reader *reader = NULL;
    const char *line;
    size_t line_size;
    int step = mb_pack_reader_new(body, size, MB_PACK_SEGMENT, MB_LIMIT_SEGMENT_RAW_BYTES,
                                  MB_LIMIT_RECORD_BYTES, &reader, err);

    while (step == 0 && (step = mb_pack_reader_next(reader, &line, &line_size, err)) == 1) {
        struct mb_record record;
        step = mb_record_decode(line, line_size, &record, err);
        if (step == 0) {
            step = mb_merge_add(merge, &record, err);
            mb_record_release(&record);
        }
    }
    step = step == 0 ? mb_merge_flush(merge, NULL, NULL, err) : -1;
    mb_pack_reader_free(reader);
    mb_merge_free(merge);
    return step;
}

/* Rows that only this machine ever published may still wait in its outbox. */
static int merge_outbox(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct mb_buf *blocks = NULL;
    size_t count = 0;
    int step;

    if (mb_db_query(engine->state->db,
                    "SELECT body, 1 FROM sending UNION ALL SELECT body, 0 FROM out", &stmt,
                    err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        size_t size;
        const uint8_t *body = mb_db_blob(stmt, 0, &size);
        blocks = mb_alloc_resize(blocks, count + 1, sizeof(*blocks));
        mb_buf_init(&blocks[count], MB_LIMIT_SEGMENT_BYTES + MB_PACK_HEADER_SIZE);
        count++;
        if ((mb_db_int(stmt, 1) == 0 &&
             mb_pack_append_header(&blocks[count - 1], MB_PACK_SEGMENT, err) != 0) ||
            mb_buf_append(&blocks[count - 1], body, size, err) != 0) {
            mb_db_reset(stmt);
            step = -1;
            break;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (step == 0) {
            step = merge_block(engine, blocks[i].data, blocks[i].size, err);
        }
        mb_buf_release(&blocks[i]);
    }
    free(blocks);
    return step;
}

/* It goes on until nothing known alive is missing. */
static int check_healed(struct mb_engine *engine, struct mb_error *err)
{
    static const char sql[] =
        "SELECT count(*) FROM row WHERE local IS NULL AND NOT suppressed AND id NOT IN "
        "(SELECT id FROM shelf)";
    int64_t missing = 0;

    if (mb_db_scalar(engine->state->db, sql, 0, &missing, err) != 0) {
        return -1;
    }
    mb_log_trace("engine", "event=heal missing=%lld", (long long)missing);
    if (missing > 0) {
        return 0;
    }
    if (mb_state_begin(engine->state, err) != 0 ||
        mb_state_set_int(engine->state, "heal", 0, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

/* ---- deletes that were held ---- */

static int accept_held(struct mb_engine *engine, struct mb_error *err)
{
    const struct mb_merge_config config = {"another machine", 0};
    struct mb_merge *merge = mb_merge_new(engine, &config);
    struct mb_stmt *stmt;
    char **lines = NULL;
    size_t count = 0;
    int step;

    if (mb_db_query(engine->state->db, "SELECT record FROM held_in", &stmt, err) != 0) {
        mb_merge_free(merge);
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        size_t size;
        const uint8_t *line = mb_db_blob(stmt, 0, &size);
        lines = mb_alloc_resize(lines, count + 1, sizeof(*lines));
        lines[count++] = mb_alloc_text_n((const char *)line, size);
    }
    if (step == 0 && count > 0) {
        step = mb_backup_if_due(engine, "accepted-deletes", err);
    }
    for (size_t i = 0; i < count; i++) {
        struct mb_record record;
        if (step == 0) {
            step = mb_record_decode(lines[i], strlen(lines[i]), &record, err);
            if (step == 0) {
                step = mb_merge_add(merge, &record, err);
                mb_record_release(&record);
            }
        }
        free(lines[i]);
    }
    free(lines);
    step = step == 0 ? mb_merge_flush(merge, NULL, NULL, err) : step;
    mb_merge_free(merge);
    if (step != 0 || mb_state_begin(engine->state, err) != 0) {
        return -1;
    }
    if (mb_db_exec(engine->state->db, "DELETE FROM held_in", err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

/* What was held and has been settled otherwise is held no more. */
static int forget_settled_holds(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_state_begin(engine->state, err) != 0 ||
        mb_db_exec(engine->state->db, "DELETE FROM held_in WHERE id NOT IN (SELECT id FROM row)",
                   err) != 0 ||
        mb_journal_trim(engine, err) != 0 || mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

/* ---- the operation ---- */

static int prepare(struct pull *pull, struct mb_error *err)
{
    struct mb_engine *engine = pull->engine;
    int64_t heal = 0;

    if (mb_capture_is_current(engine, MB_CAPTURE_WHOLE_BY_PULL_MS, &pull->is_current, err) != 0 ||
        (!pull->is_current &&
         (mb_merge_capture(engine, false, MB_CAPTURE_WHOLE_BY_PULL_MS, err) != 0 ||
          mb_schema_check_writable(engine->schema, err) != 0)) ||
        mb_stream_list_heads(engine, NULL, &pull->heads, err) != 0 ||
        mb_stream_check_store(engine, pull->heads.count > 0, !engine->is_rehearsal, err) != 0 ||
        (pull->request->heal && release_by_heal(engine, err) != 0) ||
        mb_state_get_int(engine->state, "heal", 0, &heal, err) != 0) {
        return -1;
    }
    pull->is_healing = heal != 0;
    return pull->is_healing ? forget_cursors(engine, err) : 0;
}

static int finish(struct pull *pull, struct mb_error *err)
{
    struct mb_engine *engine = pull->engine;
    bool accepts = pull->request->accept_deletes;
    bool has_leftovers = false;

    if (note_missing(pull, err) != 0 ||
        ((pull->is_healing || accepts) && begin_work(pull, err) != 0) ||
        (pull->is_healing && merge_outbox(engine, err) != 0) ||
        (accepts && accept_held(engine, err) != 0)) {
        return -1;
    }
    /* Where nothing has moved, what was left over stays. */
    if (!pull->is_current || pull->has_work) {
        if (mb_core_open_live(engine, err) != 0 ||
            mb_apply_has_leftovers(engine, &has_leftovers, err) != 0 ||
            (has_leftovers && mb_merge_leftovers(engine, err) != 0) ||
            (pull->is_healing && check_healed(engine, err) != 0) ||
            forget_settled_holds(engine, err) != 0) {
            return -1;
        }
    }
    return mb_pull_digest_compare(engine, err);
}

static int count_held(struct pull *pull, struct mb_error *err)
{
    return mb_db_scalar(pull->engine->state->db, "SELECT count(*) FROM held_in", 0,
                        &pull->report->deletes_held, err);
}

int mb_pull_run(struct mb_engine *engine, const struct mb_pull_request *request,
                struct mb_pull_report *report, struct mb_error *err)
{
    struct pull pull = {.engine = engine, .request = request, .report = report};
    const struct mb_core_counts *counts = &engine->counts;
    int rc = -1;

    memset(&engine->counts, 0, sizeof(engine->counts));
    engine->tells_captured = false;
    if (prepare(&pull, err) != 0 || read_heads(&pull, err) != 0 || finish(&pull, err) != 0 ||
        count_held(&pull, err) != 0) {
        goto out;
    }
    rc = 0;
out:
    report->rows_inserted = counts->inserted;
    report->rows_updated = counts->updated;
    report->rows_deleted = counts->deleted;
    report->rows_parked = counts->parked;
    report->conflicts = counts->conflicts;
    report->outcome =
        counts->inserted + counts->updated + counts->deleted + counts->parked + counts->conflicts >
                0
            ? MB_OUTCOME_DONE
            : MB_OUTCOME_NOTHING;
    mb_stream_list_release(&pull.heads);
    return rc;
}
