/* SPDX-License-Identifier: MIT */
#include "op_list.h"
#include "render.h"
#include "session.h"
#include "text.h"

#include <inttypes.h>

#include "banned.h"

struct conflicts_request {
    bool unused; /* a request has at least one byte */
};

struct listing {
    struct mb_json *array;
    struct mb_buf *text;
    int64_t now_ms;
    int64_t count;
};

static int on_conflict(void *context, const struct mb_engine_conflict *conflict,
                       struct mb_error *err)
{
    struct listing *listing = context;
    struct mb_json *entry = NULL;
    char ago[MB_TEXT_SHORT_MAX];

    (void)err;
    listing->count++;
    if (listing->count > MB_SESSION_CHANGES_MAX) {
        return 0;
    }
    entry = mb_json_add_object(listing->array, NULL);
    mb_json_add_int64(entry, "id", conflict->id);
    mb_render_json_text(entry, "table", conflict->table);
    mb_render_json_text(entry, "row_id", conflict->row_id);
    mb_render_json_text(entry, "title", conflict->title);
    mb_render_json_text(entry, "column", conflict->column);
    mb_render_json_text(entry, "kept", conflict->kept_value);
    mb_render_json_text(entry, "other", conflict->other_value);
    mb_render_json_text(entry, "machine", conflict->other_machine);
    mb_render_json_time(entry, "when", conflict->time_ms);

    mb_render_add(listing->text, MB_MARK_BOLD "%" PRId64 "  %s '%s': %s" MB_MARK_END "\n",
                  conflict->id, conflict->table, conflict->title, conflict->column);
    mb_render_add(listing->text, "     kept everywhere  %s\n", conflict->kept_value);
    mb_render_add(listing->text, "     also said        %s  (%s, %s)\n", conflict->other_value,
                  conflict->other_machine, mb_text_ago(ago, conflict->time_ms, listing->now_ms));
    return 0;
}

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    struct mb_session session;
    struct listing listing = {0};
    char count[MB_RENDER_COUNT_MAX];
    int rc = -1;

    (void)data;
    listing.array = mb_json_add_array(report->json, "conflicts");
    listing.text = &report->text;
    listing.now_ms = ctx->env->now_ms(ctx->env->context);
    if (mb_session_open(ctx, MB_SESSION_STATE_ONLY, &session, err) != 0 ||
        mb_engine_conflicts(session.engine, on_conflict, &listing, err) != 0) {
        goto out;
    }
    mb_json_add_int64(report->json, "conflicts_total", listing.count);
    if (listing.count == 0) {
        mb_render_add(&report->text,
                      "No conflicts: no value was changed on two machines at once.\n");
    } else {
        mb_render_add(&report->text,
                      "\n%s. The value that stands is the same on every machine; the other one is "
                      "only kept here,\nso that you can put it back by hand if it was the better "
                      "one.\n",
                      mb_render_count(count, listing.count, "conflict", "conflicts"));
    }
    rc = 0;
out:
    mb_session_release(&session);
    return rc;
}

const struct mb_op mb_op_conflicts = {
    .name = "conflicts",
    .summary = "List values that two machines changed at once",
    .help = "When two machines change the same value without knowing of each other, the later\n"
            "change stands on all machines. The other value is never dropped: it is listed here.\n"
            "\n"
            "Examples:\n"
            "  membridge conflicts\n"
            "  membridge conflicts --json\n",
    .params = NULL,
    .request_size = sizeof(struct conflicts_request),
    .flags = 0,
    .run = run,
};
