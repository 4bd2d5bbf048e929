/* SPDX-License-Identifier: MIT */

#include "push.h"

#include "alloc.h"
#include "assert.h"
#include "capture.h"
#include "limits.h"
#include "log.h"
#include "merge.h"
#include "pack.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define SEGMENT_CHECK_EVERY_MS ((int64_t)24 * 3600 * 1000)

int mb_push_count_pending(struct mb_engine *engine, int64_t *records_out, struct mb_error *err)
{
    return mb_db_scalar(engine->state->db,
                        "SELECT (SELECT coalesce(sum(records), 0) FROM out) + "
                        "(SELECT coalesce(sum(records), 0) FROM sending)",
                        0, records_out, err);
}

/* ---- who are we ---- */

/* A new stream: what was cut goes back into the outbox, and everything is published under the new
 * id. The old stream may be a clone's, and is read like anybody's. */
static int become_new(struct mb_engine *engine, struct mb_error *err)
{
    static const char sql[] =
        "INSERT INTO out(records, raw, deletes, body) "
        "SELECT records, raw, deletes, substr(body, 9) FROM sending;"
        "DELETE FROM sending; DELETE FROM entry; DELETE FROM own_head; DELETE FROM trash";
    struct mb_state *state = engine->state;

    mb_log_trace("engine", "event=new-machine-id");
    if (mb_state_begin(state, err) != 0 || mb_db_exec(state->db, sql, err) != 0 ||
        mb_state_new_machine(state, err) != 0 ||
        mb_state_set_int(state, "next_segment", 1, err) != 0 ||
        mb_state_set_int(state, "next_head", 1, err) != 0 ||
        mb_state_set_int(state, "full", 1, err) != 0 ||
        mb_state_set_text(state, "os_machine", engine->env->machine_id, err) != 0 ||
        mb_state_commit(state, err) != 0) {
        mb_state_rollback(state);
        return -1;
    }
    return 0;
}

/* The state came from another computer: a cloned disk. */
static int check_computer(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_state *state = engine->state;
    char *known = NULL;
    int rc;

    if (mb_state_get_text(state, "os_machine", &known, err) != 0) {
        return -1;
    }
    if (known != NULL &&
        (engine->env->machine_id[0] == '\0' || strcmp(known, engine->env->machine_id) == 0)) {
        free(known);
        return 0;
    }
    if (known != NULL && known[0] != '\0') {
        free(known);
        return become_new(engine, err);
    }
    free(known);
    rc = mb_state_begin(state, err);
    if (rc == 0 && (mb_state_set_text(state, "os_machine", engine->env->machine_id, err) != 0 ||
                    mb_state_commit(state, err) != 0)) {
        mb_state_rollback(state);
        rc = -1;
    }
    return rc;
}

static int set_flag(struct mb_engine *engine, const char *key, int64_t value, struct mb_error *err)
{
    if (mb_state_begin(engine->state, err) != 0 ||
        mb_state_set_int(engine->state, key, value, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

/* Looks for our segments: daily, and whenever our head is not where we left it. */
static int check_segments(struct mb_engine *engine, bool at_once, struct mb_error *err)
{
    int64_t last = 0;
    int64_t lost = 0;
    int64_t now_ms = mb_core_now(engine);

    if (mb_state_get_int(engine->state, "segments_checked", 0, &last, err) != 0) {
        return -1;
    }
    if (!at_once && now_ms >= last && now_ms - last < SEGMENT_CHECK_EVERY_MS) {
        return 0;
    }
    if (mb_push_fold_find_lost(engine, false, &lost, err) != 0 ||
        (lost > 0 && set_flag(engine, "full", 1, err) != 0)) {
        return -1;
    }
    return set_flag(engine, "segments_checked", now_ms, err);
}

/* Our own head in the store: as we left it, gone (the store was emptied or restored), or another's
 * (a clone of ours). */
static int check_own_head(struct mb_engine *engine, bool *again_out, struct mb_error *err)
{
    struct mb_push_head_look look;

    *again_out = false;
    if (mb_push_head_check(engine, &look, err) != 0 ||
        mb_stream_check_store(engine, look.has_any && !look.is_missing, true, err) != 0) {
        return -1;
    }
    if (look.has_foreign) {
        return become_new(engine, err);
    }
    *again_out = look.is_missing;
    return check_segments(engine, look.is_missing, err);
}

/* ---- everything ---- */

static int publish_all(struct mb_engine *engine, struct mb_error *err)
{
    int rc = -1;

    if (mb_core_open_live(engine, err) != 0 || mb_db_begin(engine->live, err) != 0) {
        return -1;
    }
    if (mb_core_reload(engine, err) != 0) {
        mb_db_rollback(engine->live);
        return -1;
    }
    if (mb_state_begin(engine->state, err) == 0 && mb_push_full(engine, err) == 0 &&
        mb_sessions_check(engine->sessions, err) == 0 &&
        mb_state_set_int(engine->state, "full", 0, err) == 0 &&
        mb_core_step(engine, "full-commit", err) == 0 && mb_state_commit(engine->state, err) == 0) {
        rc = 0;
    } else {
        mb_state_rollback(engine->state);
    }
    mb_db_rollback(engine->live);
    return rc;
}

/* ---- cutting segments ---- */

static int last_entry(struct mb_engine *engine, int64_t *last_out,
                      uint8_t chain[static MB_CHAIN_SIZE], struct mb_error *err)
{
    static const char sql[] = "SELECT last, chain FROM (SELECT last, chain FROM entry UNION ALL "
                              "SELECT seq, chain FROM sending) ORDER BY last DESC LIMIT 1";
    struct mb_stmt *stmt;
    size_t size;
    int step;

    memset(chain, 0, MB_CHAIN_SIZE);
    *last_out = 0;
    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    step = mb_db_step(stmt, err);
    if (step == 1) {
        const uint8_t *blob = mb_db_blob(stmt, 1, &size);
        *last_out = mb_db_int(stmt, 0);
        if (size == MB_CHAIN_SIZE) {
            memcpy(chain, blob, MB_CHAIN_SIZE);
        }
        mb_db_reset(stmt);
    }
    return step < 0 ? -1 : 0;
}

/* What a segment holds, as far as its readers' limits and our reports ask. */
struct content {
    int64_t records;
    int64_t deletes;
    int64_t raw; /* bytes when unpacked */
};

static int insert_sending(struct mb_engine *engine, const struct mb_buf *segment,
                          const struct content *content, struct mb_error *err)
{
    struct mb_stmt *stmt;
    uint8_t digest[MB_DIGEST_SIZE];
    uint8_t before[MB_CHAIN_SIZE];
    uint8_t chain[MB_CHAIN_SIZE];
    char name[MB_SEGMENT_NAME_SIZE];
    int64_t last;

    if (last_entry(engine, &last, before, err) != 0) {
        return -1;
    }
    mb_digest_sha256(segment->data, segment->size, digest);
    mb_head_chain(before, last + 1, digest, chain);
    mb_head_segment_name(last + 1, digest, name);
    if (mb_db_query(engine->state->db,
                    "INSERT INTO sending(seq, name, chain, records, body, deletes, raw) "
                    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, last + 1);
    mb_db_bind_text(stmt, 2, name);
    mb_db_bind_blob(stmt, 3, chain, MB_CHAIN_SIZE);
    mb_db_bind_int(stmt, 4, content->records);
    mb_db_bind_blob_borrowed(stmt, 5, segment->data, segment->size);
    mb_db_bind_int(stmt, 6, content->deletes);
    mb_db_bind_int(stmt, 7, content->raw);
    return mb_db_run(stmt, err);
}

/* One segment of the next blocks, up to the size at which segments are cut. 1 if there was one to
 * cut. */
static int cut_one(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *list, *drop;
    struct mb_buf segment;
    struct content content = {0, 0, 0};
    int64_t last_id = 0;
    int step;
    int rc = -1;

    mb_buf_init(&segment, MB_LIMIT_SEGMENT_BYTES);
    if (mb_pack_append_header(&segment, MB_PACK_SEGMENT, err) != 0 ||
        mb_db_query(engine->state->db,
                    "SELECT id, records, raw, body, deletes FROM out ORDER BY id", &list,
                    err) != 0) {
        goto out;
    }
    while ((step = mb_db_step(list, err)) == 1) {
        size_t size;
        const uint8_t *body = mb_db_blob(list, 3, &size);
        if (last_id != 0 && content.raw + mb_db_int(list, 2) > (int64_t)MB_SEGMENT_RAW_TARGET) {
            mb_db_reset(list);
            break;
        }
        if (mb_buf_append(&segment, body, size, err) != 0) {
            mb_db_reset(list);
            goto out;
        }
        content.records += mb_db_int(list, 1);
        content.deletes += mb_db_int(list, 4);
        content.raw += mb_db_int(list, 2);
        last_id = mb_db_int(list, 0);
    }
    if (step < 0 || last_id == 0) {
        rc = step < 0 ? -1 : 0;
        goto out;
    }
    if (insert_sending(engine, &segment, &content, err) != 0 ||
        mb_db_query(engine->state->db, "DELETE FROM out WHERE id <= ?1", &drop, err) != 0) {
        goto out;
    }
    mb_db_bind_int(drop, 1, last_id);
    rc = mb_db_run(drop, err) == 0 ? 1 : -1;
out:
    mb_buf_release(&segment);
    return rc;
}

/* Freezes the outbox as it is: segments with their names and chain, and the head that will list
 * them. */
static int freeze(struct mb_engine *engine, struct mb_error *err)
{
    int cut = 1;

    if (mb_state_begin(engine->state, err) != 0) {
        return -1;
    }
    while (cut == 1) {
        cut = cut_one(engine, err);
    }
    if (cut != 0 || mb_push_head_prepare(engine, err) != 0 ||
        mb_core_step(engine, "freeze-commit", err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return mb_core_step(engine, "frozen", err);
}

/* ---- sending ---- */

struct sending {
    int64_t seq;
    char *name;
};

static int list_sending(struct mb_engine *engine, struct sending **list_out, size_t *count_out,
                        struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct sending *list = NULL;
    size_t count = 0;
    int step;

    if (mb_db_query(engine->state->db, "SELECT seq, name FROM sending ORDER BY seq", &stmt, err) !=
        0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        list = mb_alloc_resize(list, count + 1, sizeof(*list));
        list[count].seq = mb_db_int(stmt, 0);
        list[count++].name = mb_alloc_text(mb_db_text(stmt, 1));
    }
    *list_out = list;
    *count_out = count;
    return step;
}

static int put_segment(struct mb_engine *engine, const struct sending *item, struct mb_error *err)
{
    char hex[MB_MACHINE_ID_HEX_SIZE];
    struct mb_stmt *stmt;
    char *key;
    int step;
    int rc = 0;

    if (mb_db_query(engine->state->db, "SELECT body FROM sending WHERE seq = ?1", &stmt, err) !=
        0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, item->seq);
    step = mb_db_step(stmt, err);
    if (step == 1) {
        size_t size;
        const uint8_t *data = mb_db_blob(stmt, 0, &size); /* lives as long as the row */
        mb_digest_hex(engine->state->machine, MB_MACHINE_ID_SIZE, hex);
        key = mb_core_key(engine, "segments/%s/%s", hex, item->name);
        mb_core_progress(engine, MB_PHASE_UPLOAD, 0, (int64_t)size);
        rc = mb_store_put(engine->config.store, key, data, size, err);
        if (rc != 0) {
            (void)mb_error_wrap(err, "putting a segment into the store");
        }
        free(key);
        mb_db_reset(stmt);
    }
    return step < 0 || rc != 0 ? -1 : mb_core_step(engine, "segment-put", err);
}

static int put_segments(struct mb_engine *engine, struct mb_error *err)
{
    struct sending *list = NULL;
    size_t count = 0;
    int rc = list_sending(engine, &list, &count, err);

    for (size_t i = 0; i < count; i++) {
        rc = rc == 0 ? put_segment(engine, &list[i], err) : rc;
        free(list[i].name);
    }
    free(list);
    return rc;
}

/* The store has it all: what was sent becomes a part of our stream. */
static int mark_done(struct mb_engine *engine, struct mb_error *err)
{
    static const char sql[] =
        "INSERT INTO entry(last, first, chain, name, size, raw, records, lost) "
        "SELECT seq, seq, chain, name, length(body), raw, records, 0 FROM sending;"
        "DELETE FROM sending; DELETE FROM unsent WHERE NOT EXISTS (SELECT 1 FROM out)";

    if (mb_state_begin(engine->state, err) != 0 || mb_db_exec(engine->state->db, sql, err) != 0 ||
        mb_core_step(engine, "mark-commit", err) != 0 || mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return mb_core_step(engine, "marked-done", err);
}

/* Sends what is frozen, freezes what has come meanwhile, until there is nothing. */
static int send_all(struct mb_engine *engine, bool again, struct mb_push_report *report,
                    struct mb_error *err)
{
    for (;;) {
        int64_t sending = 0;
        int64_t waiting = 0;
        if (mb_db_scalar(engine->state->db, "SELECT count(*) FROM sending", 0, &sending, err) !=
                0 ||
            mb_db_scalar(engine->state->db, "SELECT count(*) FROM out", 0, &waiting, err) != 0) {
            return -1;
        }
        if (sending == 0 && waiting > 0) {
            if (freeze(engine, err) != 0) {
                return -1;
            }
            sending = 1;
        }
        if (sending > 0) {
            int64_t records = 0;
            int64_t deletes = 0;
            if (mb_db_scalar(engine->state->db, "SELECT sum(records) FROM sending", 0, &records,
                             err) != 0 ||
                mb_db_scalar(engine->state->db, "SELECT sum(deletes) FROM sending", 0, &deletes,
                             err) != 0 ||
                put_segments(engine, err) != 0 || mb_push_head_put(engine, true, err) != 0 ||
                mark_done(engine, err) != 0) {
                return -1;
            }
            report->rows_sent += records;
            report->deletes_sent += deletes;
            report->outcome = MB_OUTCOME_DONE;
            again = false;
            continue;
        }
        return mb_push_head_put(engine, again, err);
    }
}

static int full_is_due(struct mb_engine *engine, bool *due_out, struct mb_error *err)
{
    int64_t full = 0;

    if (mb_state_get_int(engine->state, "full", 0, &full, err) != 0) {
        return -1;
    }
    *due_out = full != 0;
    return 0;
}

static int send_to_store(struct mb_engine *engine, const struct mb_push_request *request,
                         struct mb_push_report *report, struct mb_error *err)
{
    bool again = false;
    bool full = false;
    int64_t lost = 0;

    if (check_own_head(engine, &again, err) != 0 || full_is_due(engine, &full, err) != 0) {
        return -1;
    }
    /* A person who asks for everything doubts what is there: each segment is read. */
    if (request->is_full && mb_push_fold_find_lost(engine, true, &lost, err) != 0) {
        return -1;
    }
    /* The lost entries are told in the head that lists what replaces them. */
    if ((full || request->is_full) && publish_all(engine, err) != 0) {
        return -1;
    }
    if (send_all(engine, again, report, err) != 0) {
        return -1;
    }
    /* The outbox is safe in the store: what follows is housekeeping, and the next push does it
     * again. */
    if (mb_push_fold(engine, err) != 0 || mb_push_head_clean(engine, err) != 0) {
        if (err->code == MB_ERR_INTERRUPTED) {
            return -1;
        }
        mb_log_trace("engine", "event=housekeeping-failed code=%s", mb_error_name(err->code));
    }
    return 0;
}

static int capture(struct mb_engine *engine, const struct mb_push_request *request,
                   struct mb_error *err)
{
    bool is_current = false;

    if (!request->accept_deletes && !request->is_full &&
        mb_capture_is_current(engine, MB_CAPTURE_WHOLE_BY_PUSH_MS, &is_current, err) != 0) {
        return -1;
    }
    return is_current ? 0
                      : mb_merge_capture(engine, request->accept_deletes,
                                         MB_CAPTURE_WHOLE_BY_PUSH_MS, err);
}

int mb_push_run(struct mb_engine *engine, const struct mb_push_request *request,
                struct mb_push_report *report, struct mb_error *err)
{
    engine->tells_captured = true;
    report->outcome = MB_OUTCOME_NOTHING;
    if (check_computer(engine, err) != 0 || capture(engine, request, err) != 0 ||
        mb_db_scalar(engine->state->db, "SELECT count(*) FROM held_out", 0, &report->deletes_held,
                     err) != 0) {
        return -1;
    }
    if (engine->is_rehearsal) {
        if (request->is_full && publish_all(engine, err) != 0) {
            return -1;
        }
        if (mb_push_count_pending(engine, &report->rows_sent, err) != 0 ||
            mb_db_scalar(engine->state->db,
                         "SELECT (SELECT coalesce(sum(deletes), 0) FROM out) + "
                         "(SELECT coalesce(sum(deletes), 0) FROM sending)",
                         0, &report->deletes_sent, err) != 0) {
            return -1;
        }
        report->outcome = report->rows_sent > 0 ? MB_OUTCOME_DONE : MB_OUTCOME_NOTHING;
        return 0;
    }
    if (send_to_store(engine, request, report, err) == 0) {
        return 0;
    }
    if (err->code == MB_ERR_TEMPORARY || err->code == MB_ERR_UNKNOWN_OUTCOME) {
        report->outcome = err->code == MB_ERR_TEMPORARY ? MB_OUTCOME_QUEUED : MB_OUTCOME_UNKNOWN;
        report->reason = *err;
        return 0;
    }
    return -1;
}
