/* SPDX-License-Identifier: MIT */
#include "op.h"
#include "op_list.h"

#include <string.h>

#include "banned.h"

const struct mb_op *const mb_ops[] = {
    &mb_op_init,      &mb_op_sync, &mb_op_status,  &mb_op_push, &mb_op_pull,
    &mb_op_conflicts, &mb_op_demo, &mb_op_version, &mb_op_help, NULL,
};

const struct mb_op *mb_ops_find(const char *name)
{
    for (size_t i = 0; mb_ops[i] != NULL; i++) {
        if (strcmp(mb_ops[i]->name, name) == 0) {
            return mb_ops[i];
        }
    }
    return NULL;
}

int mb_ops_run(const struct mb_op *op, struct mb_context *ctx, const void *request,
               struct mb_report *report)
{
    struct mb_error err;

    mb_error_init(&err);
    mb_report_begin(report, op->name);
    if (op->run(ctx, request, report, &err) == 0) {
        mb_report_finish(report);
    } else {
        mb_report_fail(report, op->name, &err);
    }
    return mb_error_exit_status(mb_report_worst(report));
}
