/* SPDX-License-Identifier: MIT */
#ifndef MB_OUTPUT_H
#define MB_OUTPUT_H

/*
 * What the person, or the script, gets to see. output.c is the only file that writes stdout: text
 * with colour on a terminal, or one JSON object. stderr has the problems ("membridge: <message>."
 * and "  -> <what to do>") and, on a terminal, a line of progress for work that lasts.
 */

#include "op.h"

struct mb_output {
    const struct mb_env *env; /* borrowed */
    bool is_json;
    bool is_quiet;
    bool has_colour;
    bool has_progress;
    int64_t started_ms;
    int64_t shown_ms;  /* when the line of progress was last drawn */
    size_t line_width; /* of that line; 0: there is none */
    int write_errno;   /* of the first write to stdout that failed */
};

struct mb_output_choice {
    bool is_json;
    bool is_quiet;
    bool no_colour; /* NO_COLOR, TERM=dumb */
};

void mb_output_init(struct mb_output *output, const struct mb_output_choice *choice,
                    const struct mb_env *env);

/* The report of an operation, or of a failure. is_answer: it was asked for (status, help), so
 * --quiet shows it too. */
void mb_output_report(struct mb_output *output, const struct mb_report *report, bool is_answer);

/* For struct mb_host; context is the struct mb_output. */
void mb_output_say(void *context, const char *line);
void mb_output_progress(void *context, const struct mb_host_progress *progress);

/* Flushes. MB_ERR_NO_SPACE or MB_ERR_FAILED if something of it was lost. */
MB_MUST_USE int mb_output_finish(struct mb_output *output, struct mb_error *err);

/* A problem on stderr. */
void mb_output_problem(struct mb_output *output, const struct mb_error *problem);

#endif
