/* SPDX-License-Identifier: MIT */

#include "core.h"

#include "alloc.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define DELETE_BOUND_ROWS 20
#define DELETE_BOUND_PERCENT 5
#define TITLE_MAX 100

int mb_core_open_live(struct mb_engine *engine, struct mb_error *err)
{
    if (engine->live != NULL) {
        return 0;
    }
    if (mb_db_open(engine->config.db_path, MB_DB_LIVE, "the database", &engine->live, err) != 0 ||
        mb_db_data_version(engine->live, &engine->schema_version, err) != 0 ||
        mb_schema_load(engine->live, engine->config.with_tool_uses, &engine->schema, err) != 0) {
        mb_core_close_live(engine);
        return -1;
    }
    engine->live_version = -1;
    return 0;
}

void mb_core_close_live(struct mb_engine *engine)
{
    mb_sessions_free(engine->sessions);
    engine->sessions = NULL;
    mb_schema_free(engine->schema);
    engine->schema = NULL;
    mb_db_close(engine->live);
    engine->live = NULL;
    engine->live_version = -1;
}

int mb_core_reload(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_schema *schema = NULL;
    int64_t version;

    if (mb_db_data_version(engine->live, &version, err) != 0) {
        return -1;
    }
    if (version != engine->schema_version) {
        if (mb_schema_load(engine->live, engine->config.with_tool_uses, &schema, err) != 0) {
            return -1;
        }
        mb_schema_free(engine->schema);
        engine->schema = schema;
        engine->schema_version = version;
    }
    mb_sessions_free(engine->sessions);
    engine->sessions = mb_sessions_new(engine->live, engine->schema, engine->state);
    return 0;
}

char *mb_core_key(const struct mb_engine *engine, const char *format, ...)
{
    char rest[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(rest, sizeof(rest), format, args);
    va_end(args);
    return mb_alloc_format("projects/%s/%s", engine->canonical_id, rest);
}

int64_t mb_core_now(const struct mb_engine *engine)
{
    return engine->env->now_ms(engine->env->context);
}

int mb_core_step(const struct mb_engine *engine, const char *name, struct mb_error *err)
{
    return mb_env_step(engine->env, name, err);
}

void mb_core_progress(const struct mb_engine *engine, enum mb_engine_phase phase, int64_t done,
                      int64_t total)
{
    struct mb_engine_progress progress = {phase, done, total};

    if (engine->config.on_progress != NULL) {
        engine->config.on_progress(engine->config.callback_context, &progress);
    }
}

void mb_core_change(const struct mb_engine *engine, enum mb_change_kind kind, int table,
                    const uint8_t id[static MB_ROW_ID_SIZE], const struct mb_value *title,
                    const char *why)
{
    char hex[2 * MB_ROW_ID_SIZE + 1];
    char shown[TITLE_MAX];
    struct mb_engine_change change = {kind, mb_profile_tables[table].name, hex, shown, why};

    if (engine->config.on_change == NULL) {
        return;
    }
    mb_digest_hex(id, MB_ROW_ID_SIZE, hex);
    shown[0] = '\0';
    if (title != NULL && title->type == MB_VALUE_TEXT) {
        mb_text_clean(shown, sizeof(shown), (const char *)title->data, title->size);
    }
    engine->config.on_change(engine->config.callback_context, &change);
}

void mb_core_change_captured(const struct mb_engine *engine, enum mb_change_kind kind, int table,
                             const uint8_t id[static MB_ROW_ID_SIZE], const struct mb_value *title,
                             const char *why)
{
    if (engine->tells_captured) {
        mb_core_change(engine, kind, table, id, title, why);
    }
}

int mb_core_delete_bound(struct mb_engine *engine, int64_t newcomers, int64_t *bound_out,
                         struct mb_error *err)
{
    int64_t count = 0;

    if (mb_db_scalar(engine->state->db, "SELECT count(*) FROM row WHERE NOT suppressed", 0, &count,
                     err) != 0) {
        return -1;
    }
    *bound_out = (count - newcomers) * DELETE_BOUND_PERCENT / 100;
    if (*bound_out < DELETE_BOUND_ROWS) {
        *bound_out = DELETE_BOUND_ROWS;
    }
    return 0;
}
