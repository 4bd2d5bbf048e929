/* SPDX-License-Identifier: MIT */

#include "engine.h"

#include "alloc.h"
#include "conflict.h"
#include "core.h"
#include "file.h"
#include "pull.h"
#include "push.h"
#include "rehearsal.h"
#include "stream.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

static char *copy_or_null(const char *text)
{
    return text == NULL ? NULL : mb_alloc_text(text);
}

void mb_engine_canonical_id(const char *project, char out[static MB_CANONICAL_ID_SIZE])
{
    uint8_t digest[MB_DIGEST_SIZE];

    mb_digest_sha256(project, strlen(project), digest);
    mb_digest_hex(digest, (MB_CANONICAL_ID_SIZE - 1) / 2, out);
}

const char *mb_engine_outcome_name(enum mb_outcome outcome)
{
    switch (outcome) {
    case MB_OUTCOME_DONE: return "done";
    case MB_OUTCOME_QUEUED: return "queued";
    case MB_OUTCOME_UNKNOWN: return "unknown";
    case MB_OUTCOME_NOTHING:
    default: return "nothing_to_do";
    }
}

static int take_lock(struct mb_engine *engine, struct mb_error *err)
{
    char *path;
    int rc;

    if (mb_file_make_folder(engine->config.state_dir, 0700, err) != 0) {
        return -1;
    }
    path = mb_file_join(engine->config.state_dir, "lock");
    rc = mb_file_lock(path, "membridge", &engine->lock, err);
    free(path);
    return rc;
}

int mb_engine_open(const struct mb_engine_config *config, struct mb_engine **engine_out,
                   struct mb_error *err)
{
    struct mb_engine *engine = mb_alloc_zeroed(1, sizeof(*engine));
    int rc = -1;

    engine->config = *config;
    engine->config.project = mb_alloc_text(config->project);
    engine->config.db_path = mb_alloc_text(config->db_path);
    engine->config.state_dir = mb_alloc_text(config->state_dir);
    engine->config.backup_dir = copy_or_null(config->backup_dir);
    engine->config.store_name = mb_alloc_text(config->store_name == NULL ? "" : config->store_name);
    engine->config.program = mb_alloc_text(config->program == NULL ? "membridge" : config->program);
    engine->env = config->env;
    engine->live_version = -1;
    mb_engine_canonical_id(config->project, engine->canonical_id);
    if ((!config->is_read_only && take_lock(engine, err) != 0) ||
        mb_state_open(config->state_dir, config->is_read_only, config->env, &engine->state, err) !=
            0) {
        goto out;
    }
    *engine_out = engine;
    engine = NULL;
    rc = 0;
out:
    mb_engine_close(engine);
    return rc;
}

static void free_text(const char *text)
{
    char *owned = NULL;

    memcpy(&owned, &text, sizeof(owned));
    free(owned);
}

void mb_engine_close(struct mb_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    mb_core_close_live(engine);
    mb_state_close(engine->state);
    mb_file_unlock(engine->lock);
    free_text(engine->config.project);
    free_text(engine->config.db_path);
    free_text(engine->config.state_dir);
    free_text(engine->config.backup_dir);
    free_text(engine->config.store_name);
    free_text(engine->config.program);
    free(engine);
}

/* ---- results ---- */

static int save_result(struct mb_engine *engine, const char *what, const char *outcome,
                       const char *message, struct mb_error *err)
{
    struct mb_error ignored;
    char key[64];

    /* The last step of all, and only for people to read: it need not survive a power cut. */
    if (mb_db_exec(engine->state->db, "PRAGMA synchronous=NORMAL", err) != 0 ||
        mb_state_begin(engine->state, err) != 0) {
        return -1;
    }
    (void)snprintf(key, sizeof(key), "last_%s_time", what);
    if (mb_state_set_int(engine->state, key, mb_core_now(engine), err) != 0) {
        goto failed;
    }
    (void)snprintf(key, sizeof(key), "last_%s_outcome", what);
    if (mb_state_set_text(engine->state, key, outcome, err) != 0) {
        goto failed;
    }
    (void)snprintf(key, sizeof(key), "last_%s_message", what);
    if (mb_state_set_text(engine->state, key, message, err) == 0 &&
        mb_state_commit(engine->state, err) == 0) {
        return mb_db_exec(engine->state->db, "PRAGMA synchronous=FULL", err);
    }
failed:
    mb_state_rollback(engine->state);
    MB_IGNORE(mb_db_exec(engine->state->db, "PRAGMA synchronous=FULL", &ignored));
    return -1;
}

/* The outcome is kept for status. A result that could not be kept takes nothing from the operation
 * itself. */
static int finish_operation(struct mb_engine *engine, const char *what, int rc,
                            enum mb_outcome outcome, const struct mb_error *reason,
                            struct mb_error *err)
{
    struct mb_error ignored;

    mb_core_close_live(engine);
    if (rc != 0 && err->code == MB_ERR_INTERRUPTED) {
        return -1; /* nothing more is written */
    }
    if (rc != 0) {
        MB_IGNORE(save_result(engine, what, mb_error_name(err->code), err->message, &ignored));
    } else {
        MB_IGNORE(save_result(engine, what, mb_engine_outcome_name(outcome),
                              reason->code == MB_OK ? "" : reason->message, &ignored));
    }
    return rc;
}

static struct mb_store_counts counts_now(const struct mb_engine *engine)
{
    static const struct mb_store_counts nothing = {0, 0, 0};

    return engine->config.store_counts == NULL ? nothing : *engine->config.store_counts;
}

/* ---- push ---- */

struct push_call {
    const struct mb_push_request *request;
    struct mb_push_report *report;
};

static int rehearse_push(struct mb_engine *engine, void *context, struct mb_error *err)
{
    struct push_call *call = context;

    return mb_push_run(engine, call->request, call->report, err);
}

int mb_engine_push(struct mb_engine *engine, const struct mb_push_request *request,
                   struct mb_push_report *report_out, struct mb_error *err)
{
    struct mb_store_counts before = counts_now(engine);
    struct mb_store_counts after;
    struct push_call call = {request, report_out};
    int rc;

    memset(report_out, 0, sizeof(*report_out));
    mb_error_init(&report_out->reason);
    if (request->is_dry_run) {
        rc = mb_rehearsal_run(engine, false, rehearse_push, &call, err);
        mb_core_close_live(engine);
        return rc;
    }
    rc = mb_push_run(engine, request, report_out, err);
    after = counts_now(engine);
    report_out->bytes_sent = after.sent_bytes - before.sent_bytes;
    report_out->request_count = after.request_count - before.request_count;
    return finish_operation(engine, "push", rc, report_out->outcome, &report_out->reason, err);
}

/* ---- pull ---- */

struct pull_call {
    const struct mb_pull_request *request;
    struct mb_pull_report *report;
};

static int read_machines(struct mb_engine *engine, struct mb_engine_machine *machines,
                         size_t *count_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t count = 0;
    size_t size;
    int step;

    if (mb_db_query(
            engine->state->db,
            "SELECT machine, name, behind, time, last FROM stream ORDER BY time DESC, machine",
            &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        const uint8_t *id = mb_db_blob(stmt, 0, &size);
        struct mb_engine_machine *machine = &machines[count];
        const char *name = mb_db_text(stmt, 1);
        if (count == MB_ENGINE_MACHINES_MAX || size != MB_MACHINE_ID_SIZE) {
            continue;
        }
        memset(machine, 0, sizeof(*machine));
        mb_digest_hex(id, size, machine->id);
        (void)snprintf(machine->name, sizeof(machine->name), "%s", name == NULL ? "" : name);
        machine->rows_behind = mb_db_int(stmt, 2);
        machine->last_seen_ms = mb_db_int(stmt, 3);
        machine->sequence = mb_db_int(stmt, 4);
        machine->is_self = memcmp(id, engine->state->machine, MB_MACHINE_ID_SIZE) == 0;
        count++;
    }
    *count_out = count;
    return step;
}

static int rehearse_pull(struct mb_engine *engine, void *context, struct mb_error *err)
{
    struct pull_call *call = context;
    struct mb_pull_report *report = call->report;

    if (mb_pull_run(engine, call->request, report, err) != 0) {
        return -1;
    }
    return read_machines(engine, report->machines, &report->machine_count, err);
}

int mb_engine_pull(struct mb_engine *engine, const struct mb_pull_request *request,
                   struct mb_pull_report *report_out, struct mb_error *err)
{
    struct mb_store_counts before = counts_now(engine);
    struct mb_store_counts after;
    struct pull_call call = {request, report_out};
    int rc;

    memset(report_out, 0, sizeof(*report_out));
    mb_error_init(&report_out->warning);
    if (request->is_dry_run) {
        rc = mb_rehearsal_run(engine, true, rehearse_pull, &call, err);
        mb_core_close_live(engine);
    } else {
        rc = rehearse_pull(engine, &call, err);
    }
    after = counts_now(engine);
    report_out->bytes_received = after.received_bytes - before.received_bytes;
    report_out->request_count = after.request_count - before.request_count;
    if (request->is_dry_run) {
        return rc;
    }
    return finish_operation(engine, "pull", rc, report_out->outcome, &report_out->warning, err);
}

/* ---- status ---- */

static int read_result(struct mb_engine *engine, const char *what, struct mb_engine_result *result,
                       struct mb_error *err)
{
    char key[64];
    char *outcome = NULL;
    char *message = NULL;
    int rc = -1;

    (void)snprintf(key, sizeof(key), "last_%s_time", what);
    if (mb_state_get_int(engine->state, key, 0, &result->time_ms, err) != 0) {
        return -1;
    }
    (void)snprintf(key, sizeof(key), "last_%s_outcome", what);
    if (mb_state_get_text(engine->state, key, &outcome, err) != 0) {
        goto out;
    }
    (void)snprintf(key, sizeof(key), "last_%s_message", what);
    if (mb_state_get_text(engine->state, key, &message, err) != 0) {
        goto out;
    }
    (void)snprintf(result->outcome, sizeof(result->outcome), "%s", outcome == NULL ? "" : outcome);
    mb_text_clean(result->message, sizeof(result->message), message == NULL ? "" : message,
                  message == NULL ? 0 : strlen(message));
    rc = 0;
out:
    free(outcome);
    free(message);
    return rc;
}

static int count_tables(struct mb_engine *engine, struct mb_status_report *report,
                        struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    for (int table = 0; table < MB_TABLE_COUNT; table++) {
        struct mb_engine_table_count *count = &report->tables[report->table_count];
        if (mb_db_query(engine->state->db, "SELECT count(*) FROM row WHERE tbl = ?1", &stmt, err) !=
            0) {
            return -1;
        }
        mb_db_bind_int(stmt, 1, table);
        step = mb_db_step(stmt, err);
        if (step < 0) {
            return -1;
        }
        (void)snprintf(count->name, sizeof(count->name), "%s", mb_profile_tables[table].name);
        count->row_count = mb_db_int(stmt, 0);
        mb_db_reset(stmt);
        if (!mb_profile_tables[table].is_optional || count->row_count > 0) {
            report->table_count++;
        }
    }
    return 0;
}

static int count_waiting(struct mb_engine *engine, struct mb_status_report *report,
                         struct mb_error *err)
{
    struct mb_db *db = engine->state->db;
    int64_t heal = 0;

    if (mb_push_count_pending(engine, &report->pending_out, err) != 0 ||
        mb_db_scalar(db, "SELECT count(*) FROM held_out", 0, &report->deletes_held_out, err) != 0 ||
        mb_db_scalar(db, "SELECT count(*) FROM held_in", 0, &report->deletes_held_in, err) != 0 ||
        mb_db_scalar(db, "SELECT count(*) FROM shelf", 0, &report->rows_parked, err) != 0 ||
        mb_db_scalar(db, "SELECT count(*) FROM conflict", 0, &report->conflicts, err) != 0 ||
        mb_state_get_int(engine->state, "heal", 0, &heal, err) != 0) {
        return -1;
    }
    report->is_healing = heal != 0;
    return 0;
}

int mb_engine_status(struct mb_engine *engine, struct mb_status_report *report_out,
                     struct mb_error *err)
{
    char *alarm = NULL;
    int rc = -1;

    memset(report_out, 0, sizeof(*report_out));
    mb_digest_hex(engine->state->machine, MB_MACHINE_ID_SIZE, report_out->machine_id);
    mb_text_clean(report_out->host_name, sizeof(report_out->host_name), engine->env->host_name,
                  strlen(engine->env->host_name));
    (void)snprintf(report_out->canonical_id, sizeof(report_out->canonical_id), "%s",
                   engine->canonical_id);
    mb_state_digest_hex(engine->state, report_out->digest);
    if (count_tables(engine, report_out, err) != 0 || count_waiting(engine, report_out, err) != 0 ||
        read_result(engine, "push", &report_out->last_push, err) != 0 ||
        read_result(engine, "pull", &report_out->last_pull, err) != 0 ||
        read_machines(engine, report_out->machines, &report_out->machine_count, err) != 0 ||
        mb_state_get_text(engine->state, "digest_alarm", &alarm, err) != 0) {
        goto out;
    }
    (void)snprintf(report_out->digest_alarm, sizeof(report_out->digest_alarm), "%s",
                   alarm == NULL ? "" : alarm);
    rc = 0;
out:
    free(alarm);
    return rc;
}

int mb_engine_conflicts(struct mb_engine *engine, mb_engine_conflict_fn on_conflict, void *context,
                        struct mb_error *err)
{
    return mb_conflict_list(engine, on_conflict, context, err);
}

int mb_engine_init_store(struct mb_engine *engine, struct mb_error *err)
{
    /* A person says that this is the store: what was known of it before does not count. */
    if (mb_state_begin(engine->state, err) != 0) {
        return -1;
    }
    if (mb_state_set_int(engine->state, "store_marked", 0, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    if (engine->config.store == NULL) {
        return mb_error_set(err, MB_ERR_NOT_SET_UP, "no store is named yet");
    }
    return mb_stream_check_store(engine, false, true, err);
}

void mb_engine_library_versions(struct mb_engine_versions *versions_out)
{
    (void)snprintf(versions_out->sqlite, sizeof(versions_out->sqlite), "%s",
                   mb_db_library_version());
    versions_out->sqlite_has_wal_reset_fix = mb_db_has_wal_reset_fix();
}
