/* SPDX-License-Identifier: MIT */
#ifndef MB_REPORT_H
#define MB_REPORT_H

/* What an operation leaves behind: a JSON object, text for a person, and problems. */

#include "buf.h"
#include "error.h"
#include "json.h"

/*
 * json is an object that holds "ok": true and "operation" when run() is called; run() adds to it.
 * Problems are why a report that is complete still asks for somebody (queued, held deletes): the
 * worst of them decides the exit status. They are said on stderr, and are "notices" in the JSON;
 * the worst is "error" if is_failed.
 */
#define MB_REPORT_PROBLEMS_MAX 6
struct mb_report {
    struct mb_json *json;
    struct mb_buf text;
    size_t problem_count;
    struct mb_error problems[MB_REPORT_PROBLEMS_MAX];
    bool is_failed; /* "ok" is false although there is a report: one half of a sync failed */
};

/* Room for the longest list of changes that a report shows. */
#define MB_REPORT_TEXT_MAX ((size_t)64 * 1024 * 1024)

void mb_report_init(struct mb_report *report);
void mb_report_release(struct mb_report *report);
/* One that says the same as an earlier one, or no error at all, is left out. */
void mb_report_add_problem(struct mb_report *report, const struct mb_error *problem);
/* MB_OK if there is none. */
enum mb_code mb_report_worst(const struct mb_report *report);
/* Starts json anew with "ok": true or false and the operation's name (NULL: null). A run() that
 * has a report in spite of a failure marks it as failed before it adds anything. */
void mb_report_begin(struct mb_report *report, const char *name);
void mb_report_mark_failed(struct mb_report *report, const char *name);

/* The same report with nothing but the failure in it. */
void mb_report_fail(struct mb_report *report, const char *name, const struct mb_error *problem);
/* Adds "notices", and "error" if is_failed, for the problems. */
void mb_report_finish(struct mb_report *report);

#endif
