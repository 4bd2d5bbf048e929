/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "file.h"
#include "op_list.h"
#include "place.h"
#include "render.h"
#include "session.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct status_request {
    bool unused; /* a request has at least one byte */
};

/* Everything the screen and the object are made of. */
struct picture {
    const struct mb_context *ctx;
    int64_t now_ms;
    char *folder; /* of the store */
    bool store_is_there;
    bool store_has_marker;
    bool database_is_there;
    uint64_t database_bytes;
    bool has_state; /* false: nothing was ever synced here */
    struct mb_status_report *state;
};

static void add_result_json(struct mb_json *json, const char *key,
                            const struct mb_engine_result *result)
{
    struct mb_json *entry = NULL;

    if (result->time_ms == 0) {
        mb_json_add_null(json, key);
        return;
    }
    entry = mb_json_add_object(json, key);
    mb_render_json_time(entry, "time", result->time_ms);
    mb_render_json_text(entry, "outcome", result->outcome);
    mb_render_json_text(entry, "message", result->message[0] != '\0' ? result->message : NULL);
}

static void build_json(const struct picture *picture, struct mb_json *json)
{
    const struct mb_status_report *state = picture->state;
    char canonical_id[MB_CANONICAL_ID_SIZE];
    struct mb_json *entry = NULL;

    entry = mb_json_add_object(json, "machine");
    mb_render_json_text(entry, "id", picture->has_state ? state->machine_id : NULL);
    mb_render_json_text(entry, "name", picture->ctx->env->host_name);
    mb_render_json_text(json, "project", picture->ctx->places.project);
    mb_engine_canonical_id(picture->ctx->places.project, canonical_id);
    mb_json_add_text(json, "canonical_id", canonical_id);
    mb_render_json_text(json, "store", picture->folder);
    mb_json_add_bool(json, "store_is_there", picture->store_is_there);
    mb_json_add_bool(json, "store_has_marker", picture->store_has_marker);
    mb_render_json_text(json, "database", picture->ctx->places.database);
    mb_json_add_bool(json, "database_is_there", picture->database_is_there);
    mb_render_json_text(json, "digest", picture->has_state ? state->digest : NULL);
    entry = mb_json_add_object(json, "rows");
    for (size_t i = 0; i < state->table_count; i++) {
        mb_json_add_int64(entry, state->tables[i].name, state->tables[i].row_count);
    }
    mb_json_add_int64(json, "pending_out", state->pending_out);
    mb_json_add_int64(json, "deletes_held_out", state->deletes_held_out);
    mb_json_add_int64(json, "deletes_held_in", state->deletes_held_in);
    mb_json_add_int64(json, "rows_parked", state->rows_parked);
    mb_json_add_int64(json, "conflicts", state->conflicts);
    mb_json_add_bool(json, "is_healing", state->is_healing);
    mb_render_json_text(json, "digest_alarm",
                        state->digest_alarm[0] != '\0' ? state->digest_alarm : NULL);
    add_result_json(json, "last_push", &state->last_push);
    add_result_json(json, "last_pull", &state->last_pull);
    mb_session_report_machines(state->machines, state->machine_count, json);
}

static void line(struct mb_buf *text, const char *label)
{
    mb_render_add(text, "  %-12s", label);
}

/* "nothing_to_do" is for programs. */
static void outcome_words(char out[static 40], const char *outcome)
{
    size_t i = 0;

    for (; outcome[i] != '\0' && i < 39; i++) {
        out[i] = outcome[i];
        if (out[i] == '_') {
            out[i] = ' ';
        }
    }
    out[i] = '\0';
}

static void add_result_text(const struct picture *picture, const char *label,
                            const struct mb_engine_result *result, struct mb_buf *text)
{
    char ago[MB_TEXT_SHORT_MAX];
    char words[40];
    bool is_good =
        strcmp(result->outcome, "done") == 0 || strcmp(result->outcome, "nothing_to_do") == 0;

    line(text, label);
    if (result->time_ms == 0) {
        mb_render_add(text, "never\n");
        return;
    }
    outcome_words(words, result->outcome);
    mb_render_add(text, "%s, %s%s" MB_MARK_END, mb_text_ago(ago, result->time_ms, picture->now_ms),
                  is_good ? MB_MARK_GOOD : MB_MARK_WARN, words);
    if (!is_good && result->message[0] != '\0') {
        mb_render_add(text, " (%s)", result->message);
    }
    mb_render_add(text, "\n");
}

static const char *store_words(const struct picture *picture)
{
    if (!picture->store_is_there) {
        return "  " MB_MARK_BAD "(not there)" MB_MARK_END;
    }
    if (picture->store_has_marker) {
        return "";
    }
    return picture->has_state ? "  " MB_MARK_BAD "(empty: is the drive mounted?)" MB_MARK_END
                              : "  (empty so far)";
}

/* How people call the tables. */
struct table_words {
    const char *table;
    const char *one;
    const char *many;
};

static const struct table_words *words_of(const struct mb_engine_table_count *table)
{
    static const struct table_words words[] = {
        {"sdk_sessions",      "session",     "sessions"    },
        {"observations",      "observation", "observations"},
        {"session_summaries", "summary",     "summaries"   },
        {"user_prompts",      "prompt",      "prompts"     },
        {"tool_uses",         "tool use",    "tool uses"   },
        {NULL,                "other row",   "other rows"  },
    };
    const struct table_words *found = words;

    while (found->table != NULL && strcmp(found->table, table->name) != 0) {
        found++;
    }
    return found;
}

static void this_machine(const struct picture *picture, struct mb_buf *text)
{
    const struct mb_places *places = &picture->ctx->places;
    const struct mb_status_report *state = picture->state;
    char canonical_id[MB_CANONICAL_ID_SIZE];
    char bytes[MB_TEXT_SHORT_MAX];
    char shown[512];

    mb_engine_canonical_id(places->project, canonical_id);
    mb_render_add(text, MB_MARK_BOLD "This machine" MB_MARK_END "\n");
    line(text, "name");
    mb_render_add(text, "%s" MB_MARK_DIM "%s%s%s" MB_MARK_END "\n", picture->ctx->env->host_name,
                  picture->has_state ? "  (id " : "", picture->has_state ? state->machine_id : "",
                  picture->has_state ? ")" : "");
    line(text, "project");
    mb_text_clean(shown, sizeof(shown), places->project, strlen(places->project));
    mb_render_add(text, "%s" MB_MARK_DIM "  (%s)" MB_MARK_END "\n", shown, canonical_id);
    line(text, "database");
    mb_text_clean(shown, sizeof(shown), places->database, strlen(places->database));
    if (picture->database_is_there) {
        mb_render_add(text, "%s  (%s)\n", shown, mb_text_bytes(bytes, picture->database_bytes));
    } else {
        mb_render_add(text, "%s  " MB_MARK_WARN "(not there yet)" MB_MARK_END "\n", shown);
    }
    if (state->table_count > 0) {
        line(text, "rows");
        for (size_t i = 0; i < state->table_count; i++) {
            char count[MB_RENDER_COUNT_MAX];
            const struct table_words *words = words_of(&state->tables[i]);
            mb_render_add(
                text, "%s%s", i > 0 ? ", " : "",
                mb_render_count(count, state->tables[i].row_count, words->one, words->many));
        }
        mb_render_add(text, "\n");
    }
    line(text, "store");
    mb_text_clean(shown, sizeof(shown), picture->folder, strlen(picture->folder));
    mb_render_add(text, "%s%s\n", shown, store_words(picture));
}

static void waiting(const struct picture *picture, struct mb_buf *text)
{
    const struct mb_status_report *state = picture->state;
    char count[MB_RENDER_COUNT_MAX];

    line(text, "to send");
    if (state->pending_out == 0) {
        mb_render_add(text, "nothing is waiting since the last push\n");
    } else {
        mb_render_add(text, MB_MARK_WARN "%s" MB_MARK_END " for the next push\n",
                      mb_render_count(count, state->pending_out, "change waits", "changes wait"));
    }
    if (state->deletes_held_out > 0) {
        line(text, "held");
        mb_render_add(
            text,
            MB_MARK_WARN "%s" MB_MARK_END " for you: 'membridge push --accept-deletes' or "
                         "'membridge pull --heal'\n",
            mb_render_count(count, state->deletes_held_out, "delete of this machine waits",
                            "deletes of this machine wait"));
    }
    if (state->deletes_held_in > 0) {
        line(text, "held");
        mb_render_add(text,
                      MB_MARK_WARN "%s" MB_MARK_END " for you: 'membridge pull --accept-deletes' "
                                   "applies them\n",
                      mb_render_count(count, state->deletes_held_in, "delete that arrived waits",
                                      "deletes that arrived wait"));
    }
    if (state->rows_parked > 0) {
        line(text, "put aside");
        mb_render_add(text, "%s until this claude-mem can hold them\n",
                      mb_render_count(count, state->rows_parked, "row", "rows"));
    }
    if (state->conflicts > 0) {
        line(text, "conflicts");
        mb_render_add(
            text, "%s: see 'membridge conflicts'\n",
            mb_render_count(count, state->conflicts, "other value kept", "other values kept"));
    }
    if (state->is_healing) {
        line(text, "healing");
        mb_render_add(text, "the next pull puts back what is missing in the database\n");
    }
    if (state->digest_alarm[0] != '\0') {
        line(text, "alarm");
        mb_render_add(text, MB_MARK_BAD "%s" MB_MARK_END "\n", state->digest_alarm);
    }
    add_result_text(picture, "last push", &state->last_push, text);
    add_result_text(picture, "last pull", &state->last_pull, text);
}

/* The number of rows that other machines have and we have not read. */
static int64_t machines(const struct picture *picture, struct mb_buf *text)
{
    const struct mb_status_report *state = picture->state;
    int64_t behind = 0;
    size_t others = 0;
    int width = 8;

    mb_render_add(text, "\n" MB_MARK_BOLD "Other machines" MB_MARK_END "\n");
    for (size_t i = 0; i < state->machine_count; i++) {
        int size = (int)strlen(state->machines[i].name);
        width = size > width && !state->machines[i].is_self ? size : width;
    }
    for (size_t i = 0; i < state->machine_count; i++) {
        const struct mb_engine_machine *machine = &state->machines[i];
        char ago[MB_TEXT_SHORT_MAX];
        char count[MB_RENDER_COUNT_MAX];
        if (machine->is_self) {
            continue;
        }
        others++;
        behind += machine->rows_behind;
        mb_render_add(text, "  %-*s  %-24s last seen %-18s " MB_MARK_DIM "%s" MB_MARK_END "\n",
                      width, machine->name,
                      machine->rows_behind == 0
                          ? "all of it is here"
                          : mb_render_count(count, machine->rows_behind, "row not here yet",
                                            "rows not here yet"),
                      mb_text_ago(ago, machine->last_seen_ms, picture->now_ms), machine->id);
    }
    if (others == 0) {
        mb_render_add(text, "  none has been seen in this store yet\n");
    }
    return behind;
}

static void next_step(const struct picture *picture, int64_t behind, struct mb_buf *text)
{
    const struct mb_status_report *state = picture->state;
    const char *next = "nothing: all is well. 'membridge sync' looks for news";

    if (!picture->store_is_there || (picture->has_state && !picture->store_has_marker)) {
        next = "mount or connect the store, then run 'membridge sync'; nothing is lost meanwhile";
    } else if (!picture->database_is_there) {
        next = "start Claude Code with claude-mem once, or name its database with CLAUDE_MEM_DB";
    } else if (!picture->has_state) {
        next = "run 'membridge sync': nothing was synced on this machine yet";
    } else if (state->deletes_held_out > 0 || state->deletes_held_in > 0) {
        next = "decide about the held deletes (above); all else syncs meanwhile";
    } else if (state->pending_out > 0 || behind > 0 || state->is_healing ||
               state->last_push.time_ms == 0 || state->last_pull.time_ms == 0) {
        next = "run 'membridge sync'";
    }
    mb_render_add(text, "\nNext: %s.\n", next);
}

static int look(struct mb_context *ctx, struct picture *picture, struct mb_error *err)
{
    struct mb_session session;
    struct mb_file_stat stat;
    struct mb_error state_error;
    char *marker = NULL;
    int rc = -1;

    mb_error_init(&state_error);
    memset(&session, 0, sizeof(session));
    if (ctx->places.store == NULL) {
        (void)mb_error_set(err, MB_ERR_NOT_SET_UP, "membridge is not set up on this machine yet");
        (void)mb_error_advise(err, "run 'membridge init' to choose the folder your machines share, "
                                   "or 'membridge demo' to see it work first");
        goto out;
    }
    if (mb_place_resolve(ctx->places.store, ctx->places.store_origin, ctx->places.home,
                         &picture->folder, err) != 0) {
        goto out;
    }
    picture->store_is_there = mb_file_is_folder(picture->folder);
    marker = mb_file_join(picture->folder, MB_STORE_MARKER_KEY);
    picture->store_has_marker = mb_file_exists(marker);
    if (mb_file_stat(ctx->places.database, &stat, &state_error) == 0) {
        picture->database_is_there = true;
        picture->database_bytes = stat.size;
    }
    if (mb_session_open(ctx, MB_SESSION_STATE_ONLY, &session, &state_error) == 0) {
        picture->has_state = true;
        if (mb_engine_status(session.engine, picture->state, err) != 0) {
            goto out;
        }
    } else if (state_error.code != MB_ERR_NOT_SET_UP) {
        *err = state_error;
        goto out;
    }
    rc = 0;
out:
    mb_session_release(&session);
    free(marker);
    return rc;
}

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    struct picture picture = {0};
    int64_t behind = 0;
    int rc = -1;

    (void)data;
    picture.ctx = ctx;
    picture.now_ms = ctx->env->now_ms(ctx->env->context);
    picture.state = mb_alloc_zeroed(1, sizeof(*picture.state));
    if (look(ctx, &picture, err) != 0) {
        goto out;
    }
    build_json(&picture, report->json);
    this_machine(&picture, &report->text);
    if (picture.has_state) {
        waiting(&picture, &report->text);
        behind = machines(&picture, &report->text);
    }
    next_step(&picture, behind, &report->text);
    rc = 0;
out:
    free(picture.folder);
    free(picture.state);
    return rc;
}

const struct mb_op mb_op_status = {
    .name = "status",
    .summary = "Show this machine, the store, the other machines and what to do next",
    .help = "Reads what this machine knows. It opens neither the database nor the network, so it\n"
            "is quick and safe at any time; changes made since the last sync are found by the\n"
            "next one. A bare 'membridge' does the same.\n"
            "\n"
            "Examples:\n"
            "  membridge status\n"
            "  membridge status --json\n",
    .params = NULL,
    .request_size = sizeof(struct status_request),
    .flags = 0,
    .run = run,
};
