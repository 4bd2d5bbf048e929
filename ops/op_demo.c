/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "demo_text.h"
#include "engine.h"
#include "file.h"
#include "op_list.h"
#include "render.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define MACHINE_COUNT 2
#define SESSIONS_FIRST 30 /* of each machine, before they meet */
#define HOUR_MS ((int64_t)3600 * 1000)
#define FIRST_DAYS ((int64_t)90) /* so long ago they began */

struct demo_request {
    bool unused; /* a request has at least one byte */
};

struct machine {
    const char *name;
    struct mb_env env; /* the real one, with a name and an id of its own */
    char *database;
    char *state_folder;
    struct mb_sample *sample; /* stays open: claude-mem at work */
    struct mb_store *store;
    struct mb_store_counts counts;
    unsigned session_count;
};

struct demo {
    struct mb_context *ctx;
    char *folder;
    char *store_folder;
    struct machine machines[MACHINE_COUNT];
    struct mb_json *checks;
    int64_t failed_count;
    uint64_t first_bytes;   /* moved until the machines were equal for the first time */
    uint64_t session_bytes; /* moved for one new session on each */
    uint64_t delete_bytes;
    uint64_t file_bytes; /* both databases */
};

static void say(const struct demo *demo, const char *format, ...) MB_PRINTF(2, 3);

static void say(const struct demo *demo, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (demo->ctx->host.say != NULL) {
        demo->ctx->host.say(demo->ctx->host.context, line);
    }
}

/* Says whether a promise held, and remembers it. */
static void check(struct demo *demo, bool holds, const char *claim, const char *detail)
{
    struct mb_json *entry = mb_json_add_object(demo->checks, NULL);

    mb_json_add_text(entry, "claim", claim);
    mb_json_add_bool(entry, "holds", holds);
    mb_render_json_text(entry, "detail", detail);
    demo->failed_count += holds ? 0 : 1;
    say(demo, "  %s%s" MB_MARK_END " %s%s%s%s", holds ? MB_MARK_GOOD : MB_MARK_BAD,
        holds ? "ok" : "WRONG", claim, detail[0] != '\0' ? " (" : "", detail,
        detail[0] != '\0' ? ")" : "");
}

static uint64_t moved_bytes(const struct demo *demo)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < MACHINE_COUNT; i++) {
        bytes += demo->machines[i].counts.sent_bytes + demo->machines[i].counts.received_bytes;
    }
    return bytes;
}

static int add_sessions(const struct demo *demo, struct machine *machine, unsigned count,
                        int64_t started_ms, struct mb_error *err)
{
    struct mb_demo_text *text = mb_alloc(sizeof(*text));
    int rc = -1;

    for (unsigned i = 0; i < count; i++) {
        mb_demo_text_session(text, machine->name, machine->session_count++,
                             started_ms + (int64_t)i * 2 * HOUR_MS);
        if (mb_db_sample_add_session(machine->sample, &text->session, err) != 0 ||
            mb_env_step(demo->ctx->env, "demo-session", err) != 0) {
            goto out;
        }
    }
    rc = 0;
out:
    free(text);
    return rc;
}

static int set_up_machine(struct demo *demo, struct machine *machine, const char *name,
                          struct mb_error *err)
{
    char *folder = mb_file_join(demo->folder, name);
    int64_t now_ms = demo->ctx->env->now_ms(demo->ctx->env->context);
    int rc = -1;

    machine->name = name;
    machine->env = *demo->ctx->env;
    (void)snprintf(machine->env.host_name, sizeof(machine->env.host_name), "%s", name);
    (void)snprintf(machine->env.machine_id, sizeof(machine->env.machine_id), "demo-%s", name);
    machine->database = mb_file_join(folder, "claude-mem.db");
    machine->state_folder = mb_file_join(folder, "state");
    if (mb_file_make_folder(folder, 0700, err) != 0 ||
        mb_db_sample_create(machine->database, &machine->sample, err) != 0 ||
        add_sessions(demo, machine, SESSIONS_FIRST, now_ms - FIRST_DAYS * 24 * HOUR_MS, err) != 0 ||
        demo->ctx->host.open_store(demo->ctx->host.context, demo->store_folder, &machine->env,
                                   &machine->counts, &machine->store, err) != 0) {
        goto out;
    }
    rc = 0;
out:
    free(folder);
    return rc;
}

static int sync_machine(struct demo *demo, struct machine *machine, struct mb_error *err)
{
    struct mb_engine_config config = {0};
    struct mb_engine *engine = NULL;
    struct mb_pull_request pull = {0};
    struct mb_push_request push = {0};
    struct mb_pull_report *pulled = mb_alloc_zeroed(1, sizeof(*pulled));
    struct mb_push_report *pushed = mb_alloc_zeroed(1, sizeof(*pushed));
    int rc = -1;

    config.project = "demo";
    config.db_path = machine->database;
    config.state_dir = machine->state_folder;
    config.store = machine->store;
    config.store_counts = &machine->counts;
    config.env = &machine->env;
    config.program = "membridge demo";
    if (mb_engine_open(&config, &engine, err) != 0 ||
        mb_engine_pull(engine, &pull, pulled, err) != 0 ||
        mb_engine_push(engine, &push, pushed, err) != 0) {
        (void)mb_error_wrap(err, "syncing the demo's %s", machine->name);
        goto out;
    }
    say(demo,
        "  %-8s " MB_MARK_DIM "membridge sync" MB_MARK_END "   %lld in, %lld deleted, %lld out",
        machine->name, (long long)pulled->rows_inserted, (long long)pulled->rows_deleted,
        (long long)pushed->rows_sent);
    rc = 0;
out:
    mb_engine_close(engine);
    free(pulled);
    free(pushed);
    return rc;
}

/* Each machine once, then the first one again: it went before the other had spoken. */
static int sync_all(struct demo *demo, struct mb_error *err)
{
    if (sync_machine(demo, &demo->machines[0], err) != 0 ||
        sync_machine(demo, &demo->machines[1], err) != 0 ||
        sync_machine(demo, &demo->machines[0], err) != 0) {
        return -1;
    }
    return 0;
}

static int check_equal(struct demo *demo, struct mb_error *err)
{
    char difference[MB_SAMPLE_DIFFERENCE_MAX];
    char count[MB_RENDER_COUNT_MAX];
    int64_t rows = 0;

    if (mb_db_sample_compare(demo->machines[0].sample, demo->machines[1].sample, &rows, difference,
                             err) != 0) {
        return -1;
    }
    check(demo, difference[0] == '\0', "both databases hold the same memories",
          difference[0] != '\0' ? difference
                                : mb_render_count(count, rows, "row compared", "rows compared"));
    return 0;
}

static int check_count(struct demo *demo, int64_t sessions, struct mb_error *err)
{
    char detail[96];
    int64_t found[MACHINE_COUNT] = {0};

    for (size_t i = 0; i < MACHINE_COUNT; i++) {
        if (mb_db_sample_count(demo->machines[i].sample, "sdk_sessions", &found[i], err) != 0) {
            return -1;
        }
    }
    (void)snprintf(detail, sizeof(detail), "%lld and %lld sessions, %lld were written",
                   (long long)found[0], (long long)found[1], (long long)sessions);
    check(demo, found[0] == sessions && found[1] == sessions,
          "nothing was lost and nothing doubled", detail);
    return 0;
}

static int first_meeting(struct demo *demo, struct mb_error *err)
{
    say(demo, MB_MARK_BOLD "1. Two machines with histories of their own meet" MB_MARK_END);
    if (sync_all(demo, err) != 0 || check_equal(demo, err) != 0 ||
        check_count(demo, (int64_t)2 * SESSIONS_FIRST, err) != 0) {
        return -1;
    }
    demo->first_bytes = moved_bytes(demo);
    return 0;
}

static int both_at_once(struct demo *demo, struct mb_error *err)
{
    int64_t now_ms = demo->ctx->env->now_ms(demo->ctx->env->context);

    say(demo, "%s", "");
    say(demo, MB_MARK_BOLD "2. Both are used at once: a new session on each" MB_MARK_END);
    if (add_sessions(demo, &demo->machines[0], 1, now_ms - HOUR_MS, err) != 0 ||
        add_sessions(demo, &demo->machines[1], 1, now_ms - HOUR_MS, err) != 0 ||
        sync_all(demo, err) != 0 || check_equal(demo, err) != 0 ||
        check_count(demo, (int64_t)2 * SESSIONS_FIRST + 2, err) != 0) {
        return -1;
    }
    demo->session_bytes = moved_bytes(demo) - demo->first_bytes;
    return 0;
}

static int delete_travels(struct demo *demo, struct mb_error *err)
{
    struct mb_demo_text *text = mb_alloc(sizeof(*text));
    const char *title = NULL;
    int64_t before = 0;
    int64_t after = 0;
    int rc = -1;

    mb_demo_text_session(text, demo->machines[1].name, 0, 0);
    title = text->observations[0].title;
    say(demo, "%s", "");
    say(demo, MB_MARK_BOLD "3. A memory is deleted on one machine" MB_MARK_END);
    say(demo, "  %s deletes '%s'", demo->machines[0].name, title);
    if (mb_db_sample_count_title(demo->machines[1].sample, title, &before, err) != 0 ||
        mb_db_sample_delete_observation(demo->machines[0].sample, title, err) != 0 ||
        sync_machine(demo, &demo->machines[0], err) != 0 ||
        sync_machine(demo, &demo->machines[1], err) != 0 ||
        mb_db_sample_count_title(demo->machines[1].sample, title, &after, err) != 0) {
        goto out;
    }
    check(demo, before == 1 && after == 0, "it is gone on the other machine too", "");
    if (check_equal(demo, err) != 0) {
        goto out;
    }
    demo->delete_bytes = moved_bytes(demo) - demo->first_bytes - demo->session_bytes;
    rc = 0;
out:
    free(text);
    return rc;
}

static int measure_files(struct demo *demo, struct mb_error *err)
{
    for (size_t i = 0; i < MACHINE_COUNT; i++) {
        struct machine *machine = &demo->machines[i];
        struct mb_file_stat stat;
        mb_db_sample_close(machine->sample); /* claude-mem stops: all is in the file itself */
        machine->sample = NULL;
        if (mb_file_stat(machine->database, &stat, err) != 0) {
            return -1;
        }
        demo->file_bytes += stat.size;
    }
    return 0;
}

static void tell_cost(struct demo *demo, struct mb_json *json)
{
    uint64_t copy_bytes = demo->file_bytes; /* one upload and one download of one file */
    char moved[MB_TEXT_SHORT_MAX];
    char copied[MB_TEXT_SHORT_MAX];
    char other[MB_TEXT_SHORT_MAX];

    say(demo, "%s", "");
    say(demo, MB_MARK_BOLD "4. What it cost" MB_MARK_END);
    (void)mb_text_bytes(copied, copy_bytes);
    say(demo, "  a new session on each    %s moved", mb_text_bytes(moved, demo->session_bytes));
    say(demo, "  one delete               %s moved", mb_text_bytes(moved, demo->delete_bytes));
    say(demo, "  everything, first time   %s moved", mb_text_bytes(other, demo->first_bytes));
    say(demo,
        "  copying the file once    %s (up and down), and one machine's memories would be lost",
        copied);
    mb_json_add_int64(json, "bytes_first_sync", (int64_t)demo->first_bytes);
    mb_json_add_int64(json, "bytes_new_sessions", (int64_t)demo->session_bytes);
    mb_json_add_int64(json, "bytes_delete", (int64_t)demo->delete_bytes);
    mb_json_add_int64(json, "bytes_copying_the_file", (int64_t)copy_bytes);
}

static int play(struct demo *demo, struct mb_error *err)
{
    static const char *const names[MACHINE_COUNT] = {"laptop", "desktop"};

    if (mb_file_make_temporary("membridge-demo-", &demo->folder, err) != 0) {
        return -1;
    }
    demo->store_folder = mb_file_join(demo->folder, "store");
    say(demo, "Two pretend machines, a laptop and a desktop, each with claude-mem running, and a");
    say(demo, "folder that both see. Your own memory is not touched.");
    say(demo, "%s", "");
    if (mb_file_make_folder(demo->store_folder, 0700, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < MACHINE_COUNT; i++) {
        if (set_up_machine(demo, &demo->machines[i], names[i], err) != 0) {
            return -1;
        }
    }
    if (first_meeting(demo, err) != 0 || both_at_once(demo, err) != 0 ||
        delete_travels(demo, err) != 0 || measure_files(demo, err) != 0) {
        return -1;
    }
    return 0;
}

/* Leaves nothing behind, however far it came. */
static int tidy_up(struct demo *demo, struct mb_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < MACHINE_COUNT; i++) {
        mb_db_sample_close(demo->machines[i].sample);
        mb_store_free(demo->machines[i].store);
        free(demo->machines[i].database);
        free(demo->machines[i].state_folder);
    }
    if (demo->folder != NULL) {
        rc = mb_file_remove_tree(demo->folder, err);
    }
    free(demo->folder);
    free(demo->store_folder);
    return rc;
}

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    struct demo *demo = mb_alloc_zeroed(1, sizeof(*demo));
    struct mb_error problem;
    int rc = -1;

    (void)data;
    mb_error_init(&problem);
    demo->ctx = ctx;
    demo->checks = mb_json_new_array();
    rc = play(demo, err);
    if (rc == 0 && demo->failed_count > 0) {
        mb_report_mark_failed(report, mb_op_demo.name);
    }
    if (rc == 0) {
        tell_cost(demo, report->json);
    }
    mb_json_add(report->json, "checks", demo->checks);
    if (tidy_up(demo, rc == 0 ? err : &problem) != 0) {
        rc = -1;
    }
    if (rc == 0 && demo->failed_count > 0) {
        (void)mb_error_set(&problem, MB_ERR_FAILED, "the demo found %lld of its checks wrong",
                           (long long)demo->failed_count);
        (void)mb_error_advise(&problem, "please report this with the output above");
        mb_report_add_problem(report, &problem);
    } else if (rc == 0) {
        mb_render_add(&report->text, "\nAll checks held, and nothing of the demo is left on this "
                                     "machine.\nNext: 'membridge init'.\n");
    }
    free(demo);
    return rc;
}

const struct mb_op mb_op_demo = {
    .name = "demo",
    .summary = "Show it working on two pretend machines in a temporary folder",
    .help = "Makes two small claude-mem databases and a store in a temporary folder, uses both at\n"
            "once, syncs them, compares them row by row, deletes a memory on one, and counts the\n"
            "bytes. Your own memory is not touched, and nothing is left behind. Exit status 0\n"
            "means that every check held.\n"
            "\n"
            "Examples:\n"
            "  membridge demo\n"
            "  membridge demo --json\n",
    .params = NULL,
    .request_size = sizeof(struct demo_request),
    .flags = MB_OP_STANDALONE | MB_OP_CLI_ONLY,
    .run = run,
};
