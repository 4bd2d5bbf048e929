/* SPDX-License-Identifier: MIT */
#include "op_list.h"
#include "render.h"
#include "transfer.h"

#include "banned.h"

struct sync_request {
    int64_t timeout_s;
};

/* Both halves fail alike when it is the store that fails; the push still captures and queues.
 * Anything else (the database, the lock, a person's Ctrl-C) would only fail a second time. */
static bool may_push_after(const struct mb_error *pull_problem)
{
    return pull_problem->code == MB_ERR_TEMPORARY || pull_problem->code == MB_ERR_UNKNOWN_OUTCOME ||
           pull_problem->code == MB_ERR_STORE_MISSING;
}

static void add_failure(struct mb_json *part, const struct mb_error *problem)
{
    mb_json_add_bool(part, "ok", false);
    mb_render_json_error(mb_json_add_object(part, "error"), problem);
}

static int run_both(struct mb_session *session, struct mb_report *report, struct mb_error *err)
{
    const struct mb_transfer_options options = {0};
    struct mb_json *pull = mb_json_new_object();
    struct mb_json *push = mb_json_new_object();
    struct mb_error pull_error;
    struct mb_error push_error;
    int rc = -1;

    mb_error_init(&pull_error);
    mb_error_init(&push_error);
    if (mb_transfer_pull(session, &options, pull, report, &pull_error) != 0) {
        if (!may_push_after(&pull_error)) {
            *err = pull_error;
            (void)mb_error_wrap(err, "pulling");
            goto out;
        }
        add_failure(pull, &pull_error);
        mb_render_add(&report->text, MB_MARK_WARN "Pull: not possible now." MB_MARK_END "\n");
    } else {
        mb_error_init(&pull_error); /* an error object says nothing after a success */
    }
    if (mb_transfer_push(session, &options, push, report, &push_error) != 0) {
        add_failure(push, &push_error);
        mb_render_add(&report->text, MB_MARK_BAD "Push: failed." MB_MARK_END "\n");
    } else {
        mb_error_init(&push_error); /* an error object says nothing after a success */
    }
    mb_report_add_problem(report, &push_error);
    /* A push that is queued says why, and what to do; the pull failed for the same reason. */
    if (mb_error_exit_status(mb_report_worst(report)) != mb_error_exit_status(pull_error.code)) {
        mb_report_add_problem(report, &pull_error);
    }
    if (pull_error.code != MB_OK || push_error.code != MB_OK) {
        mb_report_mark_failed(report, mb_op_sync.name);
    }
    mb_json_add(report->json, "pull", pull);
    mb_json_add(report->json, "push", push);
    pull = NULL;
    push = NULL;
    rc = 0;
out:
    mb_json_free(pull);
    mb_json_free(push);
    return rc;
}

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    const struct sync_request *request = data;
    struct mb_session session;
    int rc = -1;

    mb_transfer_deadline(request->timeout_s);
    if (mb_session_open(ctx, MB_SESSION_FULL, &session, err) == 0) {
        rc = run_both(&session, report, err);
    }
    mb_session_release(&session);
    return rc;
}

/* clang-format off */
static const struct mb_param params[] = {
    {"timeout", MB_PARAM_INTEGER, "SECONDS", "stop after so many seconds; what was done stays done",
     offsetof(struct sync_request, timeout_s), 1, MB_TRANSFER_TIMEOUT_S_MAX},
    {0},
};
/* clang-format on */

const struct mb_op mb_op_sync = {
    .name = "sync",
    .summary = "Pull, then push: afterwards this machine and the store know the same",
    .help = "The command for every day. Run it on each machine, in any order, as often as you\n"
            "like, while claude-mem runs. After each machine has synced, all hold every memory.\n"
            "\n"
            "Examples:\n"
            "  membridge sync\n"
            "  membridge sync --dry-run              what would come in and go out\n"
            "  membridge sync --store /media/stick   this time over a USB stick\n",
    .params = params,
    .request_size = sizeof(struct sync_request),
    .flags = MB_OP_WRITES_LOCAL | MB_OP_WRITES_REMOTE,
    .run = run,
};
