/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "op_list.h"
#include "render.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Where the column of explanations begins. */
#define HELP_COLUMN 26

struct help_request {
    const char *topic; /* NULL: all */
};

static void add_param(const struct mb_param *param, struct mb_buf *text)
{
    char left[80];

    (void)snprintf(left, sizeof(left), "--%s%s%s", param->name, param->value != NULL ? " " : "",
                   param->value != NULL ? param->value : "");
    mb_render_add(text, "  %-*s%s\n", HELP_COLUMN, left, param->help);
}

static void add_params(const struct mb_param *params, struct mb_buf *text)
{
    for (const struct mb_param *param = params; param != NULL && param->name != NULL; param++) {
        if (param->type != MB_PARAM_WORD) {
            add_param(param, text);
        }
    }
}

static void add_params_json(const struct mb_param *params, struct mb_json *parent)
{
    struct mb_json *array = mb_json_add_array(parent, "options");

    for (const struct mb_param *param = params; param != NULL && param->name != NULL; param++) {
        struct mb_json *entry = mb_json_add_object(array, NULL);
        mb_json_add_text(entry, "name", param->name);
        mb_json_add_text(entry, "value", param->value);
        mb_json_add_text(entry, "help", param->help);
    }
}

static void overview(const struct mb_context *ctx, struct mb_report *report)
{
    struct mb_json *commands = mb_json_add_array(report->json, "commands");
    struct mb_buf *text = &report->text;

    mb_render_add(text, "membridge %s: one claude-mem memory on all your machines.\n\n",
                  ctx->version);
    mb_render_add(text, MB_MARK_BOLD "Usage:" MB_MARK_END " membridge [command] [options]\n\n");
    mb_render_add(text, MB_MARK_BOLD "Commands:" MB_MARK_END "\n");
    for (size_t i = 0; mb_ops[i] != NULL; i++) {
        struct mb_json *entry = mb_json_add_object(commands, NULL);
        mb_json_add_text(entry, "name", mb_ops[i]->name);
        mb_json_add_text(entry, "summary", mb_ops[i]->summary);
        add_params_json(mb_ops[i]->params, entry);
        mb_render_add(text, "  %-12s%s\n", mb_ops[i]->name, mb_ops[i]->summary);
    }
    mb_render_add(text, "\nWithout a command: status.\n\n");
    mb_render_add(text, MB_MARK_BOLD "Options of every command:" MB_MARK_END "\n");
    add_params(ctx->global_params, text);
    add_params_json(ctx->global_params, report->json);
    mb_render_add(text, "\n" MB_MARK_BOLD "Getting started:" MB_MARK_END "\n"
                        "  membridge demo            see it work on two pretend machines\n"
                        "  membridge init            choose the folder that your machines share\n"
                        "  membridge sync            on each machine, as often as you like\n\n"
                        "More: 'membridge help <command>', 'membridge help settings', "
                        "'membridge help exit-codes'.\n");
}

static void one_op(const struct mb_context *ctx, const struct mb_op *op, struct mb_report *report)
{
    struct mb_buf *text = &report->text;
    const char *word = "";

    for (const struct mb_param *param = op->params; param != NULL && param->name != NULL; param++) {
        word = param->type == MB_PARAM_WORD ? param->value : word;
    }
    mb_json_add_text(report->json, "name", op->name);
    mb_json_add_text(report->json, "summary", op->summary);
    mb_json_add_text(report->json, "help", op->help);
    add_params_json(op->params, report->json);
    mb_render_add(text, "%s.\n\n", op->summary);
    mb_render_add(text, MB_MARK_BOLD "Usage:" MB_MARK_END " membridge %s %s%s[options]\n\n",
                  op->name, word, word[0] != '\0' ? " " : "");
    mb_render_add(text, "%s\n", op->help);
    if (op->params != NULL && word[0] == '\0') {
        mb_render_add(text, MB_MARK_BOLD "Options:" MB_MARK_END "\n");
        add_params(op->params, text);
        mb_render_add(text, "\n");
    }
    mb_render_add(text, MB_MARK_BOLD "Options of every command:" MB_MARK_END "\n");
    add_params(ctx->global_params, text);
}

static void settings(const struct mb_context *ctx, struct mb_report *report)
{
    struct mb_json *array = mb_json_add_array(report->json, "settings");
    struct mb_buf *text = &report->text;

    mb_render_add(text, "A setting comes from its option, else from the environment, else from the "
                        "config file,\nelse it has its default. The config file holds NAME=value "
                        "lines:\n  $XDG_CONFIG_HOME/membridge/config.env, usually "
                        "~/.config/membridge/config.env\n\n");
    for (const struct mb_setting_info *info = ctx->settings; info->env_name != NULL; info++) {
        struct mb_json *entry = mb_json_add_object(array, NULL);
        mb_json_add_text(entry, "name", info->env_name);
        mb_json_add_text(entry, "option", info->flag);
        mb_json_add_text(entry, "default", info->default_value);
        mb_json_add_text(entry, "help", info->help);
        mb_render_add(text, MB_MARK_BOLD "%s" MB_MARK_END "%s%s%s\n    %s", info->env_name,
                      info->flag != NULL ? "  (--" : "", info->flag != NULL ? info->flag : "",
                      info->flag != NULL ? ")" : "", info->help);
        if (info->default_value[0] != '\0') {
            mb_render_add(text, "\n    Default: %s.", info->default_value);
        }
        mb_render_add(text, "\n");
    }
}

static void exit_codes(struct mb_report *report)
{
    static const struct {
        int status;
        const char *meaning;
    } rows[] = {
        {0,   "done, or nothing to do"                                               },
        {1,   "failed"                                                               },
        {4,   "credentials refused"                                                  },
        {5,   "temporary: try again (also: queued, the changes wait on this machine)"},
        {6,   "something needs a person's decision (also: deletes are held)"         },
        {7,   "another membridge of this project is running on this machine"         },
        {8,   "damaged data, or data of a newer membridge"                           },
        {9,   "wrong or missing key"                                                 },
        {10,  "not set up: no store named, or no database yet"                       },
        {64,  "wrong command, option or setting"                                     },
        {130, "interrupted"                                                          },
    };
    struct mb_json *array = mb_json_add_array(report->json, "exit_codes");

    mb_render_add(&report->text, "Exit codes:\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mb_json *entry = mb_json_add_object(array, NULL);
        mb_json_add_int64(entry, "status", rows[i].status);
        mb_json_add_text(entry, "meaning", rows[i].meaning);
        mb_render_add(&report->text, "  %3d  %s\n", rows[i].status, rows[i].meaning);
    }
}

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    const struct help_request *request = data;
    const struct mb_op *op = NULL;
    char shown[64];

    if (request->topic == NULL) {
        overview(ctx, report);
        return 0;
    }
    if (strcmp(request->topic, "settings") == 0) {
        settings(ctx, report);
        return 0;
    }
    if (strcmp(request->topic, "exit-codes") == 0) {
        exit_codes(report);
        return 0;
    }
    op = mb_ops_find(request->topic);
    if (op == NULL) {
        mb_text_clean(shown, sizeof(shown), request->topic, strlen(request->topic));
        return mb_error_set(err, MB_ERR_USAGE, "there is no help on '%s'", shown);
    }
    one_op(ctx, op, report);
    return 0;
}

/* clang-format off */
static const struct mb_param params[] = {
    {"topic", MB_PARAM_WORD, "[command]", "a command, 'settings' or 'exit-codes'",
     offsetof(struct help_request, topic), 0, 0},
    {0},
};
/* clang-format on */

const struct mb_op mb_op_help = {
    .name = "help",
    .summary = "Explain membridge, or one of its commands",
    .help = "Examples:\n"
            "  membridge help\n"
            "  membridge help push\n"
            "  membridge help settings       what can be set, and where\n"
            "  membridge help exit-codes     what a script can rely on\n",
    .params = params,
    .request_size = sizeof(struct help_request),
    .flags = MB_OP_STANDALONE | MB_OP_CLI_ONLY,
    .run = run,
};
