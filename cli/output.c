/* SPDX-License-Identifier: MIT */
#define MB_MAY_PRINT

#include "output.h"

#include "render.h"
#include "terminal.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define PROGRESS_AFTER_MS 1000
#define PROGRESS_EVERY_MS 100

static const char *const colours[] = {
    [1] = "\033[1m",  /* MB_MARK_BOLD */
    [2] = "\033[32m", /* MB_MARK_GOOD */
    [3] = "\033[33m", /* MB_MARK_WARN */
    [4] = "\033[31m", /* MB_MARK_BAD */
    [5] = "\033[2m",  /* MB_MARK_DIM */
    [6] = "\033[0m",  /* MB_MARK_END */
};
#define MARK_LAST 6

void mb_output_init(struct mb_output *output, const struct mb_output_choice *choice,
                    const struct mb_env *env)
{
    memset(output, 0, sizeof(*output));
    output->env = env;
    output->is_json = choice->is_json;
    output->is_quiet = choice->is_quiet;
    output->has_colour = !choice->no_colour && !choice->is_json && mb_terminal_is_output();
    output->has_progress = !choice->is_quiet && mb_terminal_is_messages();
    output->started_ms = env->now_ms(env->context);
}

static void clear_progress(struct mb_output *output)
{
    if (output->line_width > 0) {
        (void)fprintf(stderr, "\r%*s\r", (int)output->line_width, "");
        (void)fflush(stderr);
        output->line_width = 0;
    }
}

static void flush(struct mb_output *output)
{
    errno = 0;
    if (fflush(stdout) != 0 && output->write_errno == 0) {
        output->write_errno = errno;
    }
}

/* Marks become colour, or nothing. */
static void write_marked(const struct mb_output *output, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c > 0 && *c <= MARK_LAST) {
            if (output->has_colour) {
                (void)fputs(colours[(unsigned char)*c], stdout);
            }
        } else {
            (void)putchar(*c);
        }
    }
}

void mb_output_problem(struct mb_output *output, const struct mb_error *problem)
{
    clear_progress(output);
    (void)fprintf(stderr, "membridge: %s.\n  -> %s.\n", problem->message, mb_error_advice(problem));
}

void mb_output_report(struct mb_output *output, const struct mb_report *report, bool is_answer)
{
    clear_progress(output);
    if (output->is_json) {
        char *text = mb_json_print(report->json, mb_terminal_is_output());
        (void)fputs(text, stdout);
        (void)putchar('\n');
        free(text);
        return;
    }
    if (is_answer || !output->is_quiet) {
        write_marked(output, mb_buf_text(&report->text));
    }
    /* In the order in which it was said, where both go to one place. */
    flush(output);
    for (size_t i = 0; i < report->problem_count; i++) {
        mb_output_problem(output, &report->problems[i]);
    }
}

void mb_output_say(void *context, const char *line)
{
    struct mb_output *output = context;

    if (output->is_json || output->is_quiet) {
        return;
    }
    clear_progress(output);
    write_marked(output, line);
    (void)putchar('\n');
    flush(output);
}

void mb_output_progress(void *context, const struct mb_host_progress *progress)
{
    struct mb_output *output = context;
    int64_t now_ms = output->env->now_ms(output->env->context);
    char line[160];
    char done[MB_TEXT_SHORT_MAX];
    char total[MB_TEXT_SHORT_MAX];
    int width = 0;

    if (!output->has_progress || now_ms - output->started_ms < PROGRESS_AFTER_MS ||
        (now_ms >= output->shown_ms && now_ms - output->shown_ms < PROGRESS_EVERY_MS)) {
        return;
    }
    if (progress->is_bytes) {
        (void)mb_text_bytes(done, (uint64_t)progress->done);
        (void)mb_text_bytes(total, (uint64_t)progress->total);
    } else {
        (void)snprintf(done, sizeof(done), "%lld", (long long)progress->done);
        (void)snprintf(total, sizeof(total), "%lld", (long long)progress->total);
    }
    if (progress->total > 0) {
        width =
            snprintf(line, sizeof(line), "membridge: %s, %s of %s", progress->what, done, total);
    } else {
        width = snprintf(line, sizeof(line), "membridge: %s, %s", progress->what, done);
    }
    clear_progress(output);
    (void)fputs(line, stderr);
    (void)fflush(stderr);
    output->line_width = width > 0 ? (size_t)width : 0;
    output->shown_ms = now_ms;
}

int mb_output_finish(struct mb_output *output, struct mb_error *err)
{
    clear_progress(output);
    flush(output);
    if (output->write_errno == 0 && ferror(stdout) == 0) {
        return 0;
    }
    (void)mb_error_errno(err, MB_ERR_FAILED, output->write_errno != 0 ? output->write_errno : EIO,
                         "the output could not be written");
    return mb_error_advise(err,
                           "the work itself is done; 'membridge status' shows how things stand");
}
