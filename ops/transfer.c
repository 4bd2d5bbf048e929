/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include "alloc.h"
#include "render.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

void mb_transfer_deadline(int64_t timeout_s)
{
    if (timeout_s > 0) {
        mb_env_set_deadline(timeout_s * 1000);
    }
}

static const char *verbose_hint(const struct mb_context *ctx)
{
    return ctx->is_verbose ? "" : " (--verbose shows each row)";
}

/* ---- push ---- */

static void push_json(const struct mb_push_report *done, bool is_dry_run, struct mb_json *json)
{
    if (is_dry_run) {
        mb_json_add_bool(json, "dry_run", true);
    }
    mb_json_add_text(json, "outcome", mb_engine_outcome_name(done->outcome));
    mb_json_add_int64(json, "rows_sent", done->rows_sent);
    mb_json_add_int64(json, "deletes_sent", done->deletes_sent);
    mb_json_add_int64(json, "deletes_held", done->deletes_held);
    mb_json_add_int64(json, "bytes_sent", (int64_t)done->bytes_sent);
    mb_json_add_int64(json, "requests", (int64_t)done->request_count);
    mb_json_add_text(json, "snapshot", "skipped");
    if (done->reason.code != MB_OK) {
        mb_render_json_error(mb_json_add_object(json, "reason"), &done->reason);
    }
}

static void push_text(const struct mb_push_report *done, const struct mb_context *ctx,
                      struct mb_buf *text)
{
    char rows[MB_RENDER_COUNT_MAX];
    char deletes[MB_RENDER_COUNT_MAX];
    char requests[MB_RENDER_COUNT_MAX];
    char bytes[MB_TEXT_SHORT_MAX];

    (void)mb_render_count(rows, done->rows_sent, "change", "changes");
    (void)mb_render_count(deletes, done->deletes_sent, "delete", "deletes");
    (void)mb_render_count(requests, (int64_t)done->request_count, "request", "requests");
    (void)mb_text_bytes(bytes, done->bytes_sent);
    if (ctx->is_dry_run && done->rows_sent == 0) {
        mb_render_add(text, "Push (dry run): there is nothing to send.\n");
    } else if (ctx->is_dry_run) {
        mb_render_add(text, "Push (dry run): would send %s (%s among them). Nothing was sent%s.\n",
                      rows, deletes, verbose_hint(ctx));
    } else if (done->outcome == MB_OUTCOME_NOTHING) {
        mb_render_add(text, "Push: nothing to do, the store has everything from this machine.\n");
    } else if (done->outcome == MB_OUTCOME_DONE) {
        mb_render_add(text, MB_MARK_GOOD "Push: done." MB_MARK_END " %s sent", rows);
        if (done->deletes_sent > 0) {
            mb_render_add(text, ", %s among them", deletes);
        }
        mb_render_add(text, " (%s, %s).\n", bytes, requests);
    } else {
        mb_render_add(text, MB_MARK_WARN "Push: %s." MB_MARK_END "\n",
                      done->outcome == MB_OUTCOME_QUEUED ? "queued on this machine"
                                                         : "sent, but the store did not answer");
    }
}

static void push_problems(const struct mb_push_report *done, struct mb_report *report)
{
    char deletes[MB_RENDER_COUNT_MAX];
    struct mb_error other;

    mb_error_init(&other);
    if (done->outcome == MB_OUTCOME_QUEUED) {
        (void)mb_error_set(&other, MB_ERR_TEMPORARY,
                           "the store cannot be reached, so the changes wait safely on this machine"
                           "%s%s",
                           done->reason.code != MB_OK ? ": " : "", done->reason.message);
        (void)mb_error_advise(&other, "run 'membridge push' again when the store is back; nothing "
                                      "was lost");
    } else if (done->outcome == MB_OUTCOME_UNKNOWN) {
        (void)mb_error_set(&other, MB_ERR_UNKNOWN_OUTCOME,
                           "a reply of the store was lost, so the push may have arrived or not"
                           "%s%s",
                           done->reason.code != MB_OK ? ": " : "", done->reason.message);
        (void)mb_error_advise(&other, "run 'membridge push' again: it finds out, and repeating is "
                                      "safe; the changes are kept on this machine until then");
    }
    mb_report_add_problem(report, &other);
    if (done->deletes_held > 0) {
        (void)mb_render_count(deletes, done->deletes_held, "delete is", "deletes are");
        (void)mb_error_set(&other, MB_ERR_DECISION,
                           "%s held: more rows vanished from this database at once than membridge "
                           "passes on without asking; everything else was synced",
                           deletes);
        (void)mb_error_advise(&other,
                              "meant so: 'membridge push --accept-deletes' deletes them everywhere;"
                              " not meant: 'membridge pull --heal' puts the rows back");
        mb_report_add_problem(report, &other);
    }
}

int mb_transfer_push(struct mb_session *session, const struct mb_transfer_options *options,
                     struct mb_json *json, struct mb_report *report, struct mb_error *err)
{
    struct mb_push_request request = {0};
    struct mb_push_report *done = mb_alloc_zeroed(1, sizeof(*done));
    bool is_dry_run = session->ctx->is_dry_run;
    int rc = -1;

    request.is_dry_run = is_dry_run;
    request.is_full = options->is_full;
    request.accept_deletes = options->accept_deletes;
    mb_session_collect(session);
    if (mb_engine_push(session->engine, &request, done, err) != 0) {
        goto out;
    }
    push_json(done, is_dry_run, json);
    push_text(done, session->ctx, &report->text);
    mb_session_report_changes(session, json, &report->text);
    push_problems(done, report);
    rc = 0;
out:
    free(done);
    return rc;
}

/* ---- pull ---- */

static void pull_json(const struct mb_pull_report *done, bool is_dry_run, struct mb_json *json)
{
    if (is_dry_run) {
        mb_json_add_bool(json, "dry_run", true);
    }
    mb_json_add_text(json, "outcome", mb_engine_outcome_name(done->outcome));
    mb_json_add_int64(json, "rows_inserted", done->rows_inserted);
    mb_json_add_int64(json, "rows_updated", done->rows_updated);
    mb_json_add_int64(json, "rows_deleted", done->rows_deleted);
    mb_json_add_int64(json, "rows_parked", done->rows_parked);
    mb_json_add_int64(json, "conflicts", done->conflicts);
    mb_json_add_int64(json, "deletes_held", done->deletes_held);
    mb_json_add_int64(json, "bytes_received", (int64_t)done->bytes_received);
    mb_json_add_int64(json, "requests", (int64_t)done->request_count);
    mb_session_report_machines(done->machines, done->machine_count, json);
    if (done->warning.code != MB_OK) {
        mb_render_json_error(mb_json_add_object(json, "warning"), &done->warning);
    }
}

static void pull_text(const struct mb_pull_report *done, const struct mb_context *ctx,
                      struct mb_buf *text)
{
    int64_t total = done->rows_inserted + done->rows_updated + done->rows_deleted;
    char inserted[MB_RENDER_COUNT_MAX];
    char count[MB_RENDER_COUNT_MAX];
    char requests[MB_RENDER_COUNT_MAX];
    char bytes[MB_TEXT_SHORT_MAX];

    (void)mb_render_count(inserted, done->rows_inserted, "row", "rows");
    (void)mb_render_count(requests, (int64_t)done->request_count, "request", "requests");
    (void)mb_text_bytes(bytes, done->bytes_received);
    if (ctx->is_dry_run && total > 0) {
        mb_render_add(text,
                      "Pull (dry run): would add %s, change %" PRId64 " and delete %" PRId64
                      ". Nothing was changed%s.\n",
                      inserted, done->rows_updated, done->rows_deleted, verbose_hint(ctx));
    } else if (total == 0 && done->rows_parked == 0) {
        mb_render_add(
            text, done->warning.code != MB_OK ? "Pull: nothing could be merged of what is new.\n"
                  : ctx->is_dry_run           ? "Pull (dry run): there is nothing to merge.\n"
                                    : "Pull: nothing to do, nothing is new in the store.\n");
    } else {
        mb_render_add(text,
                      MB_MARK_GOOD "Pull: done." MB_MARK_END " %s added, %" PRId64
                                   " changed, %" PRId64 " deleted (%s, %s).\n",
                      inserted, done->rows_updated, done->rows_deleted, bytes, requests);
    }
    if (done->rows_parked > 0) {
        mb_render_add(
            text,
            "  %s put aside: this claude-mem cannot hold them yet, or the rows they speak "
            "of have not come. They are applied when they can be.\n",
            mb_render_count(count, done->rows_parked, "row was", "rows were"));
    }
    if (done->conflicts > 0) {
        mb_render_add(
            text,
            "  %s on two machines at once. One value stands everywhere, the other is "
            "kept: see 'membridge conflicts'.\n",
            mb_render_count(count, done->conflicts, "value was changed", "values were changed"));
    }
}

static void pull_problems(const struct mb_pull_report *done, struct mb_report *report)
{
    char deletes[MB_RENDER_COUNT_MAX];
    struct mb_error held;

    mb_report_add_problem(report, &done->warning);
    if (done->deletes_held > 0) {
        mb_error_init(&held);
        (void)mb_render_count(deletes, done->deletes_held, "delete that", "deletes that");
        (void)mb_error_set(&held, MB_ERR_DECISION,
                           "%s arrived from another machine %s held: more rows at once than "
                           "membridge deletes without asking; everything else was merged",
                           deletes, done->deletes_held == 1 ? "is" : "are");
        (void)mb_error_advise(&held,
                              "meant so: 'membridge pull --accept-deletes' deletes them here "
                              "too; not meant: leave them, the rows stay on this machine");
        mb_report_add_problem(report, &held);
    }
}

int mb_transfer_pull(struct mb_session *session, const struct mb_transfer_options *options,
                     struct mb_json *json, struct mb_report *report, struct mb_error *err)
{
    struct mb_pull_request request = {0};
    struct mb_pull_report *done = mb_alloc_zeroed(1, sizeof(*done));
    bool is_dry_run = session->ctx->is_dry_run;
    int rc = -1;

    request.is_dry_run = is_dry_run;
    request.heal = options->heal;
    request.accept_deletes = options->accept_deletes;
    mb_session_collect(session);
    if (mb_engine_pull(session->engine, &request, done, err) != 0) {
        goto out;
    }
    pull_json(done, is_dry_run, json);
    pull_text(done, session->ctx, &report->text);
    mb_session_report_changes(session, json, &report->text);
    pull_problems(done, report);
    rc = 0;
out:
    free(done);
    return rc;
}
