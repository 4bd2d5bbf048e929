/* SPDX-License-Identifier: MIT */
/*
 * The engine as processes use it: opened, used and closed for each sync. The only file of the
 * simulation that calls it, and only through engine.h. An operation may only fail for a cause that
 * the simulation gave it.
 */
#include "assert.h"
#include "engine.h"
#include "sim_traps.h"

#include <string.h>
#include <sys/resource.h>

#include "banned.h"

static struct mb_engine_config make_config(struct sim_machine *machine, bool is_read_only)
{
    return (struct mb_engine_config){
        .project = "sim",
        .db_path = machine->db_path,
        .state_dir = machine->state_dir,
        .store = is_read_only ? NULL : machine->store,
        .env = &machine->env,
        .program = "membridge sim",
        .is_read_only = is_read_only,
        .backup_dir = SIM_HAS(machine->world->kinds, BACKUP) ? machine->backup_dir : NULL,
        .backup_days_max = 14,
        .backup_count_max = 50,
    };
}

/* Files of this process may grow to `size_bytes` (0: to any size), as if the disk were full. */
static void limit_files(int64_t size_bytes)
{
    struct rlimit limit;

    MB_ASSERT(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = size_bytes == 0 ? limit.rlim_max : (rlim_t)size_bytes;
    MB_ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static bool is_fault_code(enum mb_code code)
{
    return code == MB_ERR_TEMPORARY || code == MB_ERR_UNKNOWN_OUTCOME || code == MB_ERR_NO_SPACE ||
           code == MB_ERR_CORRUPT;
}

/* The limit stands for a full disk. SQLite says FULL for that and no more than "disk I/O error" for
 * the limit, of which the engine then asks the files the reason; a rollback journal is closed by
 * then. */
static bool is_full_code(const struct mb_error *err)
{
    return err->code == MB_ERR_NO_SPACE ||
           (err->code == MB_ERR_FAILED && strstr(err->message, "disk I/O error") != NULL);
}

/* Was there a cause? */
static void check_failure(struct sim_machine *machine, const char *what, const struct mb_error *err)
{
    machine->is_idle = false;
    sim_log(machine->world, "      %s %s fails: %s: %s", machine->name, what,
            mb_error_name(err->code), err->message);
    if (machine->is_dead) {
        if (err->code != MB_ERR_INTERRUPTED) {
            sim_bad(machine->world, "%s says '%s' when it was stopped at %s: %s", what,
                    mb_error_name(err->code), machine->name, err->message);
        }
    } else if (machine->full_at != 0 && is_full_code(err)) {
        sim_trap(machine->world, SIM_TRAP_DISK_FULL);
    } else if (machine->fault_count == 0 || !is_fault_code(err->code)) {
        sim_bad(machine->world, "%s fails without a cause at %s: %s: %s", what, machine->name,
                mb_error_name(err->code), err->message);
    }
}

static void begin_operation(struct sim_machine *machine, bool is_pulling)
{
    machine->operation_count++;
    machine->fresh_count = 0;
    machine->is_pulling = is_pulling;
    if (!machine->world->is_quiet) {
        sim_db_count(machine, machine->before);
        sim_trap_begins(machine);
    }
    if (!machine
             ->has_worker) { /* claude-mem is not running, until an edit in the middle starts it */
        sim_db_close(machine);
    }
}

static void end_operation(struct sim_machine *machine, bool is_sent)
{
    sim_ledger_captured(machine);
    if (is_sent) {
        sim_ledger_sent(machine);
    }
    sim_trap_ended(machine, is_sent);
}

static bool may_have_damage(const struct sim_world *world)
{
    sim_kinds kinds = world->kinds;

    return SIM_HAS(kinds, FAULT) || SIM_HAS(kinds, STORERESTORE) || SIM_HAS(kinds, VM) ||
           SIM_HAS(kinds, CLONE);
}

/* A round of settling in which nothing happens is not worth a line. */
static bool is_silent(const struct sim_machine *machine, int64_t rows,
                      const struct mb_error *problem)
{
    return machine->world->is_quiet && rows == 0 && problem->code == MB_OK;
}

static void log_pull(struct sim_machine *machine, const struct mb_pull_report *report)
{
    int64_t rows =
        report->rows_inserted + report->rows_updated + report->rows_deleted + report->rows_parked;
    bool is_warned = report->warning.code != MB_OK;

    if (!is_silent(machine, rows, &report->warning)) {
        sim_log(machine->world,
                "      %s pull: +%lld ~%lld -%lld parked %lld conflicts %lld held %lld%s%s",
                machine->name, (long long)report->rows_inserted, (long long)report->rows_updated,
                (long long)report->rows_deleted, (long long)report->rows_parked,
                (long long)report->conflicts, (long long)report->deletes_held,
                is_warned ? " warning: " : "", is_warned ? report->warning.message : "");
    }
    if (is_warned && machine->fault_count == 0 && !may_have_damage(machine->world)) {
        sim_bad(machine->world, "pull warns without a cause at %s: %s", machine->name,
                report->warning.message);
    }
}

static void pull(struct sim_machine *machine, struct mb_engine *engine,
                 const struct sim_sync_request *request)
{
    struct mb_pull_request wanted = {.accept_deletes = request->accept_in, .heal = request->heal};
    struct mb_pull_report report = {0};
    struct mb_error err;
    int rc;

    begin_operation(machine, true);
    limit_files(machine->full_at);
    rc = mb_engine_pull(engine, &wanted, &report, &err);
    limit_files(0);
    if (rc != 0) {
        check_failure(machine, "pull", &err);
        return;
    }
    machine->is_idle = machine->is_idle &&
                       report.rows_inserted + report.rows_updated + report.rows_deleted == 0 &&
                       report.conflicts == 0 && report.warning.code == MB_OK;
    log_pull(machine, &report);
    end_operation(machine, false);
}

static void push(struct sim_machine *machine, struct mb_engine *engine,
                 const struct sim_sync_request *request)
{
    struct mb_push_request wanted = {.is_full = request->is_full,
                                     .accept_deletes = request->accept_out};
    struct mb_push_report report = {0};
    struct mb_error err;
    bool is_sent;
    int rc;

    begin_operation(machine, false);
    limit_files(machine->full_at);
    rc = mb_engine_push(engine, &wanted, &report, &err);
    limit_files(0);
    if (rc != 0) {
        check_failure(machine, "push", &err);
        return;
    }
    is_sent = report.outcome == MB_OUTCOME_DONE || report.outcome == MB_OUTCOME_NOTHING;
    machine->is_idle = machine->is_idle && report.outcome == MB_OUTCOME_NOTHING;
    if (!is_silent(machine, report.rows_sent, &report.reason)) {
        sim_log(machine->world, "      %s push: %s, sent %lld (%lld deletes), held %lld",
                machine->name, mb_engine_outcome_name(report.outcome), (long long)report.rows_sent,
                (long long)report.deletes_sent, (long long)report.deletes_held);
    }
    if (!is_sent && machine->full_at != 0 && report.reason.code == MB_ERR_NO_SPACE) {
        sim_trap(machine->world, SIM_TRAP_DISK_FULL);
    } else if (!is_sent && machine->fault_count == 0) {
        sim_bad(machine->world, "push is '%s' without a cause at %s: %s",
                mb_engine_outcome_name(report.outcome), machine->name, report.reason.message);
    }
    end_operation(machine, is_sent);
}

void sim_sync(struct sim_machine *machine, const struct sim_sync_request *request)
{
    struct mb_engine_config config = make_config(machine, false);
    struct mb_engine *engine = NULL;
    struct mb_error err;
    int rc;

    if (machine->is_busy || machine->is_gone) {
        return;
    }
    machine->is_busy = true;
    machine->is_dead = false;
    machine->step_count = 0;
    machine->fault_count = 0;
    machine->is_idle = true;
    limit_files(machine->full_at);
    rc = mb_engine_open(&config, &engine, &err);
    limit_files(0);
    if (rc != 0) {
        check_failure(machine, "open", &err);
        goto out;
    }
    if ((request->operations & SIM_OP_PULL) != 0) {
        pull(machine, engine, request);
    }
    if (!machine->is_dead && (request->operations & SIM_OP_PUSH) != 0) {
        push(machine, engine, request);
    }
    mb_engine_close(engine);
out:
    machine->full_at = 0;
    machine->kill_step = NULL;
    machine->is_busy = false;
    machine->is_dead = false;
    machine->kill_at = 0;
    machine->race_at = 0;
}

void sim_sync_second(struct sim_machine *machine)
{
    struct mb_engine_config config = make_config(machine, false);
    struct mb_status_report report;
    struct mb_engine *engine = NULL;
    struct mb_error err;

    if (mb_engine_open(&config, &engine, &err) == 0) {
        sim_bad(machine->world, "two processes work at once at %s", machine->name);
        mb_engine_close(engine);
        return;
    }
    if (err.code != MB_ERR_LOCKED) {
        sim_bad(machine->world, "the second process at %s hears '%s': %s", machine->name,
                mb_error_name(err.code), err.message);
    }
    config = make_config(machine, true);
    if (mb_engine_open(&config, &engine, &err) != 0) {
        sim_bad(machine->world, "no status while another process works at %s: %s", machine->name,
                err.message);
        return;
    }
    if (mb_engine_status(engine, &report, &err) != 0) {
        sim_bad(machine->world, "no status while another process works at %s: %s", machine->name,
                err.message);
    }
    mb_engine_close(engine);
    sim_trap(machine->world, SIM_TRAP_TWO_PROCESSES);
}

/* What status does not tell. */
static void read_state(struct sim_machine *machine)
{
    static const char sql[] = "SELECT (SELECT count(*) FROM journal WHERE in_flight),"
                              " (SELECT count(*) FROM tomb)";
    char path[sizeof machine->state_dir + 16];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;

    (void)snprintf(path, sizeof path, "%s/state.db", machine->state_dir);
    MB_ASSERT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    MB_ASSERT(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
    MB_ASSERT(sqlite3_step(statement) == SQLITE_ROW);
    machine->status.in_flight = sqlite3_column_int64(statement, 0);
    machine->status.tombstones = sqlite3_column_int64(statement, 1);
    (void)sqlite3_finalize(statement);
    MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
}

void sim_sync_status(struct sim_machine *machine)
{
    struct mb_engine_config config = make_config(machine, true);
    struct mb_status_report report;
    struct mb_engine *engine = NULL;
    struct mb_error err;

    memset(&report, 0, sizeof report);
    machine->step_count = 0;
    machine->status.is_known = false;
    if (mb_engine_open(&config, &engine, &err) != 0) {
        check_failure(machine, "open for status", &err);
        return;
    }
    if (mb_engine_status(engine, &report, &err) != 0) {
        check_failure(machine, "status", &err);
    } else {
        machine->status.is_known = true;
        memcpy(machine->status.digest, report.digest, sizeof machine->status.digest);
        memcpy(machine->status.digest_alarm, report.digest_alarm,
               sizeof machine->status.digest_alarm);
        machine->status.pending_out = report.pending_out;
        machine->status.deletes_held_out = report.deletes_held_out;
        machine->status.deletes_held_in = report.deletes_held_in;
        machine->status.rows_parked = report.rows_parked;
        machine->status.conflicts = report.conflicts;
        read_state(machine);
    }
    mb_engine_close(engine);
}
