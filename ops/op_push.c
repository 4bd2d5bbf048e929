/* SPDX-License-Identifier: MIT */
#include "op_list.h"
#include "transfer.h"

#include "banned.h"

struct push_request {
    bool is_full;
    bool accept_deletes;
    int64_t timeout_s;
};

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    const struct push_request *request = data;
    const struct mb_transfer_options options = {.is_full = request->is_full,
                                                .accept_deletes = request->accept_deletes};
    struct mb_session session;
    int rc = -1;

    mb_transfer_deadline(request->timeout_s);
    if (mb_session_open(ctx, MB_SESSION_FULL, &session, err) == 0 &&
        mb_transfer_push(&session, &options, report->json, report, err) == 0) {
        rc = 0;
    }
    mb_session_release(&session);
    return rc;
}

/* clang-format off */
static const struct mb_param params[] = {
    {"full", MB_PARAM_FLAG, NULL, "send everything again, not only what is new",
     offsetof(struct push_request, is_full), 0, 0},
    {"accept-deletes", MB_PARAM_FLAG, NULL, "pass on the deletes that were held here",
     offsetof(struct push_request, accept_deletes), 0, 0},
    {"timeout", MB_PARAM_INTEGER, "SECONDS", "stop after so many seconds; what was done stays done",
     offsetof(struct push_request, timeout_s), 1, MB_TRANSFER_TIMEOUT_S_MAX},
    {0},
};
/* clang-format on */

const struct mb_op mb_op_push = {
    .name = "push",
    .summary = "Send what is new in this machine's memory to the store",
    .help = "Reads claude-mem's database (which may be in use), and sends new rows, changes and\n"
            "deletes to the store. If the store cannot be reached they wait on this machine\n"
            "(exit status 5), and the next push sends them.\n"
            "\n"
            "If more rows vanished from the database than is usual, their deletes are held until\n"
            "you decide (exit status 6): --accept-deletes passes them on to all machines,\n"
            "'membridge pull --heal' puts the rows back.\n"
            "\n"
            "Examples:\n"
            "  membridge push\n"
            "  membridge push --dry-run --verbose    what would be sent, row by row\n"
            "  membridge push --timeout 20           give up after 20 seconds\n",
    .params = params,
    .request_size = sizeof(struct push_request),
    .flags = MB_OP_WRITES_LOCAL | MB_OP_WRITES_REMOTE,
    .run = run,
};
