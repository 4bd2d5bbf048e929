/* SPDX-License-Identifier: MIT */
#include "op_list.h"
#include "transfer.h"

#include "banned.h"

struct pull_request {
    bool heal;
    bool accept_deletes;
    int64_t timeout_s;
};

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    const struct pull_request *request = data;
    const struct mb_transfer_options options = {.heal = request->heal,
                                                .accept_deletes = request->accept_deletes};
    struct mb_session session;
    int rc = -1;

    mb_transfer_deadline(request->timeout_s);
    if (mb_session_open(ctx, MB_SESSION_FULL, &session, err) == 0 &&
        mb_transfer_pull(&session, &options, report->json, report, err) == 0) {
        rc = 0;
    }
    mb_session_release(&session);
    return rc;
}

/* clang-format off */
static const struct mb_param params[] = {
    {"heal", MB_PARAM_FLAG, NULL, "put rows back whose deletes are held here",
     offsetof(struct pull_request, heal), 0, 0},
    {"accept-deletes", MB_PARAM_FLAG, NULL, "apply deletes that arrived and were held here",
     offsetof(struct pull_request, accept_deletes), 0, 0},
    {"timeout", MB_PARAM_INTEGER, "SECONDS", "stop after so many seconds; what was done stays done",
     offsetof(struct pull_request, timeout_s), 1, MB_TRANSFER_TIMEOUT_S_MAX},
    {0},
};
/* clang-format on */

const struct mb_op mb_op_pull = {
    .name = "pull",
    .summary = "Merge what other machines sent into this machine's memory",
    .help = "Fetches what is new in the store and merges it, row by row, into claude-mem's\n"
            "database. claude-mem may keep running: its file is never replaced.\n"
            "\n"
            "Where two machines changed the same value, one stands everywhere and the other is\n"
            "kept: see 'membridge conflicts'. A backup is made before the first merge of a day.\n"
            "\n"
            "Examples:\n"
            "  membridge pull\n"
            "  membridge pull --dry-run --verbose    what would change here, row by row\n"
            "  membridge pull --heal                 rows vanished here by mistake: restore them\n",
    .params = params,
    .request_size = sizeof(struct pull_request),
    .flags = MB_OP_WRITES_LOCAL,
    .run = run,
};
