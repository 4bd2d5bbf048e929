/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "file.h"
#include "init_file.h"
#include "op_list.h"
#include "place.h"
#include "render.h"
#include "session.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define DEFAULT_STORE "~/membridge-store"

struct init_request {
    bool yes;
};

/* What the person decided; owned. */
struct answers {
    char *store; /* as written */
    char *folder;
    char *project;
    char *database;
    bool database_is_named; /* goes into the file */
    bool makes_folder;
};

static void answers_release(struct answers *answers)
{
    free(answers->store);
    free(answers->folder);
    free(answers->project);
    free(answers->database);
}

/* The answer, or the default where nobody is there to ask. */
static int ask(const struct mb_context *ctx, const struct init_request *request,
               const struct mb_host_question *question, char **answer_out, struct mb_error *err)
{
    char *answer = NULL;

    if (ctx->host.ask == NULL || request->yes) {
        *answer_out = mb_alloc_text(question->default_answer);
        return 0;
    }
    if (ctx->host.ask(ctx->host.context, question, &answer, err) != 0) {
        return -1;
    }
    if (answer[0] == '\0') {
        free(answer);
        answer = mb_alloc_text(question->default_answer);
    }
    *answer_out = answer;
    return 0;
}

static int ask_store(const struct mb_context *ctx, const struct init_request *request,
                     struct answers *answers, struct mb_error *err)
{
    const char *known = ctx->places.store;
    struct mb_host_question question = {0};

    if (ctx->places.store_is_bucket) {
        known = NULL; /* nobody named it for us, and this version needs a folder */
    }
    if (known == NULL && ctx->host.ask == NULL && !request->yes) {
        (void)mb_error_set(err, MB_ERR_USAGE, "no store is named, and nobody is here to be asked");
        return mb_error_advise(err,
                               "run 'membridge init --store FOLDER', or 'membridge init --yes' "
                               "for " DEFAULT_STORE);
    }
    question.explanation =
        "Your machines meet in a folder that each of them can see: on a NAS, on a USB stick, or\n"
        "one that Syncthing or the like keeps equal. membridge puts its files there only.";
    question.question = "Folder";
    question.default_answer = known != NULL ? known : DEFAULT_STORE;
    if (ask(ctx, request, &question, &answers->store, err) != 0) {
        return -1;
    }
    return mb_place_resolve(answers->store,
                            known != NULL ? ctx->places.store_origin : "your answer",
                            ctx->places.home, &answers->folder, err);
}

/* A missing folder is made only where its place is beyond doubt: below home, or right in a
 * folder that is there. Anywhere else it may be a drive that is not mounted. */
static int check_folder(const struct mb_context *ctx, const struct init_request *request,
                        struct answers *answers, struct mb_error *err)
{
    struct mb_host_question question = {0};
    char *parent = NULL;
    char *home = NULL;
    char *answer = NULL;
    char shown[512];
    int rc = -1;

    MB_ASSERT(answers->folder != NULL);
    mb_text_clean(shown, sizeof(shown), answers->folder, strlen(answers->folder));
    if (mb_file_is_folder(answers->folder)) {
        return 0;
    }
    if (mb_file_exists(answers->folder)) {
        (void)mb_error_set(err, MB_ERR_USAGE, "'%s' is not a folder", shown);
        return mb_error_advise(err, "name a folder for the store: 'membridge init --store FOLDER'");
    }
    parent = mb_file_parent(answers->folder);
    home = mb_alloc_format("%s/", ctx->places.home);
    if (!mb_file_is_folder(parent) && !mb_text_has_prefix(answers->folder, home)) {
        mb_text_clean(shown, sizeof(shown), parent, strlen(parent));
        (void)mb_error_set(err, MB_ERR_STORE_MISSING, "the folder '%s' is not there", shown);
        (void)mb_error_advise(err, "mount the drive, or make the folder, then run 'membridge init' "
                                   "again");
        goto out;
    }
    question.explanation = "That folder does not exist yet.";
    question.question = "Make it";
    question.default_answer = "yes";
    if (ask(ctx, request, &question, &answer, err) != 0) {
        goto out;
    }
    if (answer[0] != 'y' && answer[0] != 'Y') {
        (void)mb_error_set(err, MB_ERR_STORE_MISSING, "the folder '%s' is not there", shown);
        (void)mb_error_advise(err, "make it, or run 'membridge init' again with another one");
        goto out;
    }
    answers->makes_folder = true;
    rc = 0;
out:
    free(parent);
    free(home);
    free(answer);
    return rc;
}

static int ask_rest(const struct mb_context *ctx, const struct init_request *request,
                    struct answers *answers, struct mb_error *err)
{
    struct mb_host_question question = {0};
    char *expanded = NULL;
    char *answer = NULL;

    question.explanation = "Machines with the same project name share one memory. Most people have "
                           "one.";
    question.question = "Project";
    question.default_answer = ctx->places.project;
    if (ask(ctx, request, &question, &answers->project, err) != 0) {
        return -1;
    }
    question.explanation =
        mb_file_exists(ctx->places.database)
            ? "claude-mem's database was found. It is not opened now."
            : "claude-mem has no database here yet; it makes one when Claude Code "
              "first runs with it.";
    question.question = "Database";
    question.default_answer = ctx->places.database;
    if (ask(ctx, request, &question, &answer, err) != 0) {
        return -1;
    }
    expanded = mb_file_expand_home(answer, ctx->places.home);
    answers->database = mb_file_absolute(expanded);
    free(expanded);
    free(answer);
    answers->database_is_named =
        !ctx->places.database_is_default || strcmp(answers->database, ctx->places.database) != 0;
    return 0;
}

/* Marks the store and gives this machine its id, through the engine. */
static int set_up_store(const struct mb_context *ctx, const struct answers *answers,
                        struct mb_error *err)
{
    struct mb_context changed = *ctx;
    struct mb_session session;
    bool made = false;
    int rc = -1;

    memset(&session, 0, sizeof(session));
    if (answers->makes_folder) {
        if (mb_file_make_folder(answers->folder, 0700, err) != 0) {
            goto out;
        }
        made = true;
    }
    changed.places.store = answers->folder;
    changed.places.store_origin = "your answer";
    changed.places.project = answers->project;
    changed.places.database = answers->database;
    if (mb_session_open(&changed, MB_SESSION_FULL, &session, err) != 0 ||
        mb_engine_init_store(session.engine, err) != 0) {
        goto out;
    }
    rc = 0;
out:
    mb_session_release(&session);
    if (rc != 0 && made) {
        struct mb_error second;
        mb_error_init(&second);
        if (mb_file_remove_tree(answers->folder, &second) != 0) {
            (void)mb_error_wrap(err, "%s, after", second.message);
        }
    }
    return rc;
}

static void report_done(const struct mb_context *ctx, const struct answers *answers,
                        struct mb_report *report)
{
    const char *would = ctx->is_dry_run ? "would be " : "";
    struct mb_json *json = report->json;
    struct mb_buf *text = &report->text;
    bool has_database = mb_file_exists(answers->database);

    if (ctx->is_dry_run) {
        mb_json_add_bool(json, "dry_run", true);
    }
    mb_render_json_text(json, "store", answers->folder);
    mb_json_add_bool(json, "store_made", answers->makes_folder);
    mb_render_json_text(json, "project", answers->project);
    mb_render_json_text(json, "database", answers->database);
    mb_json_add_bool(json, "database_is_there", has_database);
    mb_render_json_text(json, "config", ctx->places.config_file);
    mb_render_add(text, "Settings %swritten to %s (only you can read it):\n", would,
                  ctx->places.config_file);
    mb_render_add(text, "  store     %s%s\n", answers->folder,
                  !answers->makes_folder ? ""
                  : ctx->is_dry_run      ? "  (would be made)"
                                         : "  (made)");
    mb_render_add(text, "  project   %s\n", answers->project);
    mb_render_add(text, "  database  %s%s\n", answers->database,
                  has_database ? "  (not touched)" : "  (not there yet)");
    if (ctx->is_dry_run) {
        mb_render_add(text, "Dry run: nothing was written.\n");
        return;
    }
    mb_render_add(text, has_database
                            ? "\nNext: run 'membridge sync' here. Then on your other machines: "
                              "install membridge, run\n'membridge init' with the same folder, and "
                              "'membridge sync'.\n"
                            : "\nNext: start Claude Code with claude-mem once, then run 'membridge "
                              "sync'.\n");
}

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    const struct init_request *request = data;
    struct answers answers = {0};
    int rc = -1;

    if (ask_store(ctx, request, &answers, err) != 0 ||
        check_folder(ctx, request, &answers, err) != 0 ||
        ask_rest(ctx, request, &answers, err) != 0) {
        goto out;
    }
    if (!ctx->is_dry_run) {
        const struct mb_init_value values[] = {
            {"MEMBRIDGE_STORE",   answers.folder                                     },
            {"CLAUDE_PROJECT_ID", answers.project                                    },
            {"CLAUDE_MEM_DB",     answers.database_is_named ? answers.database : NULL},
        };
        if (set_up_store(ctx, &answers, err) != 0 ||
            mb_init_file_write(&ctx->places, values, sizeof(values) / sizeof(values[0]), err) !=
                0) {
            goto out;
        }
    }
    report_done(ctx, &answers, report);
    rc = 0;
out:
    answers_release(&answers);
    return rc;
}

/* clang-format off */
static const struct mb_param params[] = {
    {"yes", MB_PARAM_FLAG, NULL, "ask nothing: take options, environment and defaults",
     offsetof(struct init_request, yes), 0, 0},
    {0},
};
/* clang-format on */

const struct mb_op mb_op_init = {
    .name = "init",
    .summary = "Set up membridge on this machine: which folder, which project",
    .help = "Asks for the folder that your machines share, and writes the answers to a config\n"
            "file that only you can read. It never touches a database. Running it again keeps\n"
            "what was set, unless you say otherwise.\n"
            "\n"
            "Examples:\n"
            "  membridge init\n"
            "  membridge init --store /mnt/nas/membridge\n"
            "  membridge init --yes --store ~/Sync/membridge    no questions, for scripts\n",
    .params = params,
    .request_size = sizeof(struct init_request),
    .flags = MB_OP_WRITES_LOCAL | MB_OP_WRITES_REMOTE | MB_OP_CLI_ONLY,
    .run = run,
};
