/* SPDX-License-Identifier: MIT */
#include "engine.h"
#include "op_list.h"
#include "render.h"

#include "banned.h"

struct version_request {
    bool unused; /* a request has at least one byte */
};

static int run(struct mb_context *ctx, const void *data, struct mb_report *report,
               struct mb_error *err)
{
    struct mb_engine_versions versions;

    (void)data;
    (void)err;
    mb_engine_library_versions(&versions);
    mb_json_add_text(report->json, "version", ctx->version);
    mb_json_add_text(report->json, "sqlite", versions.sqlite);
    mb_json_add_bool(report->json, "sqlite_has_wal_reset_fix", versions.sqlite_has_wal_reset_fix);
    mb_render_add(&report->text, "membridge %s\n", ctx->version);
    if (ctx->is_verbose) {
        mb_render_add(&report->text, "SQLite %s\n", versions.sqlite);
        mb_render_add(&report->text,
                      "Copyright the membridge contributors. MIT licence: do as you like, no "
                      "warranty.\n");
    }
    return 0;
}

const struct mb_op mb_op_version = {
    .name = "version",
    .summary = "Print the version of membridge",
    .help = "Examples:\n"
            "  membridge version\n"
            "  membridge version --verbose   also the libraries\n"
            "  membridge version --json\n",
    .params = NULL,
    .request_size = sizeof(struct version_request),
    .flags = MB_OP_STANDALONE,
    .run = run,
};
