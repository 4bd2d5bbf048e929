/* SPDX-License-Identifier: MIT */

/*
 * The composition root: the only file that sees every layer. It reads the command line and the
 * settings, builds the world (clock, randomness) and the store, and hands them to the operation.
 */

#include "alloc.h"
#include "args.h"
#include "config.h"
#include "log.h"
#include "output.h"
#include "store.h"
#include "terminal.h"
#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

extern char **environ;

/* A folder answers at once or not for a while (a drive that wakes up, NFS): a few tries over
 * some seconds. */
static const struct mb_store_retry_config retry_config = {
    .attempt_count_max = 4, .delay_first_ms = 200, .delay_max_ms = 2000, .deadline_ms = 15000};

/*
 * The stack, from the engine down:
 *
 *   verify   reads every put back, so that "done" is said of what is there
 *     retry  repeats what may be repeated
 *       trace  counts and traces each request that really goes out
 *         dir    the folder
 */
static int open_store(void *context, const char *place, const struct mb_env *env,
                      struct mb_store_counts *counts, struct mb_store **store_out,
                      struct mb_error *err)
{
    struct mb_store *store = NULL;

    (void)context;
    (void)err;
    store = mb_store_dir_new(place, env);
    store = mb_store_trace_new(store, env, counts);
    store = mb_store_retry_new(store, &retry_config, env);
    *store_out = mb_store_verify_new(store);
    return 0;
}

struct door {
    struct mb_output *output;
    const struct mb_env *env;
};

static void on_progress(void *context, const struct mb_host_progress *progress)
{
    const struct door *door = context;

    mb_output_progress(door->output, progress);
}

static void on_say(void *context, const char *line)
{
    const struct door *door = context;

    mb_output_say(door->output, line);
}

static int on_ask(void *context, const struct mb_host_question *question, char **answer_out,
                  struct mb_error *err)
{
    const struct door *door = context;
    struct mb_env env = *door->env;

    return mb_terminal_ask(&env, question, answer_out, err);
}

static void fill_places(const struct mb_config *config, struct mb_places *places)
{
    places->project = config->project;
    places->database = config->database;
    places->store = config->store;
    places->store_origin = config->store_is_bucket ? "MINIO_ENDPOINT and MINIO_BUCKET"
                                                   : mb_config_origin(config, "MEMBRIDGE_STORE");
    places->store_is_bucket = config->store_is_bucket;
    places->home = config->home;
    places->state_root = config->state_root;
    places->backup_folder = config->backup_folder;
    places->config_file = config->file;
    places->config_read = config->file_read;
    places->database_is_default = mb_config_is_default(config, "CLAUDE_MEM_DB");
    places->project_is_default = mb_config_is_default(config, "CLAUDE_PROJECT_ID");
    places->with_tool_uses = config->with_tool_uses;
    places->backup_days_max = (int)config->backup_days_max;
    places->backup_count_max = (int)config->backup_count_max;
}

/* -h on a command, or on none, is the help command. */
static void turn_into_help(struct mb_args *args)
{
    const char *topic = args->op_word;
    const struct mb_op *help = mb_ops_find("help");
    void *request = mb_alloc_zeroed(1, help->request_size);

    for (const struct mb_param *param = help->params; param->name != NULL; param++) {
        if (param->type == MB_PARAM_WORD) {
            *(const char **)(void *)((char *)request + param->offset) = topic;
        }
    }
    free(args->request);
    args->request = request;
    args->op = help;
}

/* Everything but the command line itself went well: runs the operation. */
static int run_op(const struct mb_args *args, const struct mb_env *env, struct mb_output *output,
                  struct mb_report *report)
{
    const struct mb_op *op = args->op;
    struct mb_args_globals globals = args->globals;
    struct mb_config config = {0};
    struct mb_context ctx = {0};
    struct mb_setting_info *infos = mb_config_infos();
    struct door door = {output, env};
    struct mb_error err;
    int status = 0;

    mb_error_init(&err);
    if ((op->flags & MB_OP_STANDALONE) == 0) {
        if (mb_config_load(&config, environ, mb_args_flag, &globals, &err) != 0) {
            mb_report_fail(report, op->name, &err);
            status = mb_error_exit_status(err.code);
            goto out;
        }
        mb_log_open(config.log, stderr, env->now_ms, env->context);
        fill_places(&config, &ctx.places);
    }
    ctx.version = MB_VERSION;
    ctx.env = env;
    ctx.host.context = &door;
    ctx.host.open_store = open_store;
    ctx.host.on_progress = on_progress;
    ctx.host.say = globals.json || globals.quiet ? NULL : on_say;
    ctx.host.ask = !globals.json && !globals.quiet && mb_terminal_can_ask() ? on_ask : NULL;
    ctx.is_dry_run = globals.dry_run;
    ctx.is_verbose = globals.verbose;
    ctx.global_params = mb_args_global_params;
    ctx.settings = infos;
    status = mb_ops_run(op, &ctx, args->request, report);
out:
    free(infos);
    mb_config_release(&config);
    return status;
}

int main(int argc, char **argv)
{
    const char *term = mb_config_variable(environ, "TERM");
    const unsigned writes = MB_OP_WRITES_LOCAL | MB_OP_WRITES_REMOTE;
    struct mb_output_choice choice = {0};
    struct mb_output output;
    struct mb_report report;
    struct mb_args args;
    struct mb_error err;
    struct mb_env env;
    bool is_answer = true;
    int status = 0;

    mb_alloc_init();
    mb_terminal_prepare();
    mb_terminal_catch_signals();
    mb_env_init_system(&env);
    mb_error_init(&err);
    mb_report_init(&report);
    status = mb_args_parse(&args, argc, argv, &err);
    choice.is_json = args.globals.json;
    choice.is_quiet = args.globals.quiet;
    choice.no_colour = mb_config_variable(environ, "NO_COLOR") != NULL || term == NULL ||
                       strcmp(term, "dumb") == 0;
    mb_output_init(&output, &choice, &env);
    if (status != 0) {
        mb_report_fail(&report, args.op != NULL ? args.op->name : args.op_word, &err);
        status = mb_error_exit_status(err.code);
    } else {
        if (args.globals.help) {
            turn_into_help(&args);
        }
        is_answer = (args.op->flags & writes) == 0;
        status = run_op(&args, &env, &output, &report);
    }
    mb_output_report(&output, &report, is_answer);
    if (mb_output_finish(&output, &err) != 0) {
        mb_output_problem(&output, &err);
        status = status == 0 ? 1 : status;
    }
    mb_report_release(&report);
    mb_args_release(&args);
    return status;
}
