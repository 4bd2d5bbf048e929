/* SPDX-License-Identifier: MIT */
#include "session.h"

#include "alloc.h"
#include "assert.h"
#include "file.h"
#include "place.h"
#include "render.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

static const char *const phase_names[] = {
    [MB_PHASE_CAPTURE] = "reading the database",
    [MB_PHASE_BACKUP] = "making a backup",
    [MB_PHASE_UPLOAD] = "sending",
    [MB_PHASE_DOWNLOAD] = "fetching",
    [MB_PHASE_MERGE] = "writing to the database",
};
static const char *const kind_names[] = {
    [MB_CHANGE_INSERT] = "insert", [MB_CHANGE_UPDATE] = "update",     [MB_CHANGE_DELETE] = "delete",
    [MB_CHANGE_PARK] = "park",     [MB_CHANGE_CONFLICT] = "conflict", [MB_CHANGE_HOLD] = "hold",
};

static void on_progress(void *context, const struct mb_engine_progress *progress)
{
    const struct mb_session *session = context;
    struct mb_host_progress shown = {0};

    if (session->ctx->host.on_progress == NULL) {
        return;
    }
    MB_ASSERT(progress->phase >= MB_PHASE_CAPTURE && progress->phase <= MB_PHASE_MERGE);
    shown.what = phase_names[progress->phase];
    shown.done = progress->done;
    shown.total = progress->total;
    shown.is_bytes = progress->phase == MB_PHASE_UPLOAD || progress->phase == MB_PHASE_DOWNLOAD;
    session->ctx->host.on_progress(session->ctx->host.context, &shown);
}

static void on_change(void *context, const struct mb_engine_change *change)
{
    struct mb_session *session = context;
    struct mb_json *entry = NULL;

    if (session->changes == NULL) {
        return;
    }
    session->change_count++;
    if (session->change_count > MB_SESSION_CHANGES_MAX) {
        return;
    }
    MB_ASSERT(change->kind >= MB_CHANGE_INSERT && change->kind <= MB_CHANGE_HOLD);
    entry = mb_json_add_object(session->changes, NULL);
    mb_json_add_text(entry, "kind", kind_names[change->kind]);
    mb_render_json_text(entry, "table", change->table);
    mb_render_json_text(entry, "row_id", change->row_id);
    mb_render_json_text(entry, "title", change->title != NULL ? change->title : "");
    mb_render_json_text(entry, "why", change->why != NULL ? change->why : "");
}

char *mb_session_state_folder(const struct mb_context *ctx)
{
    char canonical_id[MB_CANONICAL_ID_SIZE];

    mb_engine_canonical_id(ctx->places.project, canonical_id);
    return mb_file_join(ctx->places.state_root, canonical_id);
}

static int open_store(struct mb_session *session, struct mb_error *err)
{
    const struct mb_context *ctx = session->ctx;

    if (ctx->places.store == NULL) {
        (void)mb_error_set(err, MB_ERR_NOT_SET_UP, "no store is set up on this machine yet");
        return mb_error_advise(err, "run 'membridge init', or name a folder with --store or "
                                    "MEMBRIDGE_STORE");
    }
    if (mb_place_resolve(ctx->places.store, ctx->places.store_origin, ctx->places.home,
                         &session->folder, err) != 0) {
        return -1;
    }
    return ctx->host.open_store(ctx->host.context, session->folder, ctx->env, &session->counts,
                                &session->store, err);
}

int mb_session_open(struct mb_context *ctx, enum mb_session_kind kind, struct mb_session *session,
                    struct mb_error *err)
{
    struct mb_engine_config config = {0};
    char program[64];

    memset(session, 0, sizeof(*session));
    session->ctx = ctx;
    if (kind == MB_SESSION_FULL && open_store(session, err) != 0) {
        return -1;
    }
    session->state_folder = mb_session_state_folder(ctx);
    (void)snprintf(program, sizeof(program), "membridge %s", ctx->version);
    config.project = ctx->places.project;
    config.db_path = ctx->places.database;
    config.state_dir = session->state_folder;
    config.backup_dir = ctx->places.backup_folder;
    config.store = session->store;
    config.store_name = ctx->places.store;
    config.store_counts = session->store != NULL ? &session->counts : NULL;
    config.env = ctx->env;
    config.program = program;
    config.is_read_only = kind == MB_SESSION_STATE_ONLY;
    config.with_tool_uses = ctx->places.with_tool_uses;
    config.backup_days_max = ctx->places.backup_days_max;
    config.backup_count_max = ctx->places.backup_count_max;
    config.callback_context = session;
    config.on_progress = on_progress;
    config.on_change = on_change;
    return mb_engine_open(&config, &session->engine, err);
}

void mb_session_release(struct mb_session *session)
{
    mb_engine_close(session->engine);
    mb_store_free(session->store);
    mb_json_free(session->changes);
    free(session->folder);
    free(session->state_folder);
    memset(session, 0, sizeof(*session));
}

void mb_session_collect(struct mb_session *session)
{
    mb_json_free(session->changes);
    session->changes = NULL;
    session->change_count = 0;
    if (session->ctx->is_verbose) {
        session->changes = mb_json_new_array();
    }
}

static const char *text_of(const struct mb_json *entry, const char *key)
{
    return mb_json_as_text(mb_json_find(entry, key));
}

void mb_session_report_changes(struct mb_session *session, struct mb_json *json,
                               struct mb_buf *text)
{
    char count[MB_RENDER_COUNT_MAX];

    if (session->changes == NULL) {
        return;
    }
    for (const struct mb_json *entry = mb_json_first(session->changes); entry != NULL;
         entry = mb_json_next(entry)) {
        const char *title = text_of(entry, "title");
        mb_render_add(text, "  %-8s %-17s %s%s%s%s" MB_MARK_DIM "(%s)" MB_MARK_END "\n",
                      text_of(entry, "kind"), text_of(entry, "table"), title[0] != '\0' ? "'" : "",
                      title, title[0] != '\0' ? "'" : "", title[0] != '\0' ? " " : "",
                      text_of(entry, "why"));
    }
    if (session->change_count > MB_SESSION_CHANGES_MAX) {
        mb_render_add(
            text, "  ... and %s\n",
            mb_render_count(count, session->change_count - MB_SESSION_CHANGES_MAX, "more", "more"));
    }
    mb_json_add_int64(json, "changes_total", session->change_count);
    mb_json_add(json, "changes", session->changes);
    session->changes = NULL;
}

void mb_session_report_machines(const struct mb_engine_machine *machines, size_t count,
                                struct mb_json *json)
{
    struct mb_json *array = mb_json_add_array(json, "machines");

    for (size_t i = 0; i < count; i++) {
        struct mb_json *entry = NULL;
        if (machines[i].is_self) {
            continue;
        }
        entry = mb_json_add_object(array, NULL);
        mb_render_json_text(entry, "id", machines[i].id);
        mb_render_json_text(entry, "name", machines[i].name);
        mb_json_add_int64(entry, "rows_behind", machines[i].rows_behind);
        mb_render_json_time(entry, "last_seen", machines[i].last_seen_ms);
    }
}
