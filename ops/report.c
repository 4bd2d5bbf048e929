/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "assert.h"
#include "render.h"

#include <string.h>

#include "banned.h"

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

static struct mb_json *begin_json(const char *name, bool is_ok)
{
    struct mb_json *json = mb_json_new_object();

    mb_json_add_bool(json, "ok", is_ok);
    mb_render_json_text(json, "operation", name);
    return json;
}

void mb_report_begin(struct mb_report *report, const char *name)
{
    mb_json_free(report->json);
    report->json = begin_json(name, true);
}

void mb_report_mark_failed(struct mb_report *report, const char *name)
{
    mb_json_free(report->json);
    report->json = begin_json(name, false);
    report->is_failed = true;
}

void mb_report_fail(struct mb_report *report, const char *name, const struct mb_error *problem)
{
    mb_report_mark_failed(report, name);
    mb_render_json_error(mb_json_add_object(report->json, "error"), problem);
    mb_buf_clear(&report->text);
    report->problem_count = 0;
    mb_report_add_problem(report, problem);
}

void mb_report_finish(struct mb_report *report)
{
    struct mb_json *notices = NULL;

    if (report->problem_count == 0) {
        return;
    }
    if (report->is_failed) {
        mb_render_json_error(mb_json_add_object(report->json, "error"), worst(report));
    }
    notices = mb_json_add_array(report->json, "notices");
    for (size_t i = 0; i < report->problem_count; i++) {
        mb_render_json_error(mb_json_add_object(notices, NULL), &report->problems[i]);
    }
}
