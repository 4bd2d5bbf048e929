/* SPDX-License-Identifier: MIT */
#include "assert.h"
#include "op.h"
#include "op_list.h"
#include "render.h"

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

void mb_report_init(struct mb_report *report)
{
    memset(report, 0, sizeof(*report));
    mb_buf_init(&report->text, MB_REPORT_TEXT_MAX);
}

void mb_report_add_problem(struct mb_report *report, const struct mb_error *problem)
{
    if (problem->code == MB_OK) {
        return;
    }
    for (size_t i = 0; i < report->problem_count; i++) {
        if (report->problems[i].code == problem->code &&
            strcmp(report->problems[i].message, problem->message) == 0) {
            return;
        }
    }
    MB_ASSERT(report->problem_count < MB_REPORT_PROBLEMS_MAX);
    report->problems[report->problem_count++] = *problem;
}

/* Damage and failures before decisions, decisions before what goes away by itself. */
static int severity(enum mb_code code)
{
    switch (mb_error_exit_status(code)) {
    case 0: return 0;
    case 5: return 1;
    case 7: return 2;
    case 6: return 3;
    case 130: return 5;
    default: return 4;
    }
}

static const struct mb_error *worst(const struct mb_report *report)
{
    const struct mb_error *found = &report->problems[0];

    for (size_t i = 1; i < report->problem_count; i++) {
        if (severity(report->problems[i].code) > severity(found->code)) {
            found = &report->problems[i];
        }
    }
    return found;
}

enum mb_code mb_report_worst(const struct mb_report *report)
{
    return report->problem_count > 0 ? worst(report)->code : MB_OK;
}

void mb_report_release(struct mb_report *report)
{
    mb_json_free(report->json);
    report->json = NULL;
    mb_buf_release(&report->text);
}

static struct mb_json *begin(const char *name, bool is_ok)
{
    struct mb_json *json = mb_json_new_object();

    mb_json_add_bool(json, "ok", is_ok);
    mb_render_json_text(json, "operation", name);
    return json;
}

void mb_report_mark_failed(struct mb_report *report, const char *name)
{
    mb_json_free(report->json);
    report->json = begin(name, false);
    report->is_failed = true;
}

void mb_ops_fail(const char *name, const struct mb_error *problem, struct mb_report *report)
{
    mb_report_mark_failed(report, name);
    mb_render_json_error(mb_json_add_object(report->json, "error"), problem);
    mb_buf_clear(&report->text);
    report->problem_count = 0;
    mb_report_add_problem(report, problem);
}

static void add_problems(struct mb_report *report)
{
    struct mb_json *notices = NULL;

    if (report->is_failed) {
        mb_render_json_error(mb_json_add_object(report->json, "error"), worst(report));
    }
    notices = mb_json_add_array(report->json, "notices");
    for (size_t i = 0; i < report->problem_count; i++) {
        mb_render_json_error(mb_json_add_object(notices, NULL), &report->problems[i]);
    }
}

int mb_ops_run(const struct mb_op *op, struct mb_context *ctx, const void *request,
               struct mb_report *report)
{
    struct mb_error err;

    mb_error_init(&err);
    report->json = begin(op->name, true);
    if (op->run(ctx, request, report, &err) != 0) {
        mb_ops_fail(op->name, &err, report);
    } else if (report->problem_count > 0) {
        add_problems(report);
    }
    return mb_error_exit_status(mb_report_worst(report));
}
