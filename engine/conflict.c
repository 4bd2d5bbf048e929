/* SPDX-License-Identifier: MIT */

#include "conflict.h"

#include "alloc.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define SHOWN_MAX 200

static void show(char out[static SHOWN_MAX], const struct mb_value *value)
{
    switch (value->type) {
    case MB_VALUE_INTEGER: (void)snprintf(out, SHOWN_MAX, "%lld", (long long)value->integer); break;
    case MB_VALUE_REAL: (void)snprintf(out, SHOWN_MAX, "%g", value->real); break;
    case MB_VALUE_TEXT:
        if (value->data == NULL) {
            (void)snprintf(out, SHOWN_MAX, "(a text of %zu bytes)", value->size);
        } else {
            mb_text_clean(out, SHOWN_MAX, (const char *)value->data, value->size);
        }
        break;
    case MB_VALUE_BLOB:
        if (value->size == MB_ROW_ID_SIZE && value->data != NULL) {
            mb_digest_hex(value->data, MB_ROW_ID_SIZE, out);
        } else {
            (void)snprintf(out, SHOWN_MAX, "(%zu bytes)", value->size);
        }
        break;
    case MB_VALUE_NULL:
    default: (void)snprintf(out, SHOWN_MAX, "(nothing)"); break;
    }
}

static int note(struct mb_engine *engine, int table, const uint8_t id[static MB_ROW_ID_SIZE],
                const char *column, const char *kept, const struct mb_reg *other,
                const struct mb_value *title, struct mb_error *err)
{
    struct mb_stmt *stmt;
    char other_text[SHOWN_MAX];
    char shown_title[SHOWN_MAX] = "";
    char why[2 * SHOWN_MAX + 64];

    if (mb_db_query(
            engine->state->db,
            "INSERT OR IGNORE INTO conflict(row, tbl, title, col, kept, other, hlc, machine, time) "
            "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            &stmt, err) != 0) {
        return -1;
    }
    show(other_text, &other->value);
    if (title != NULL && title->type == MB_VALUE_TEXT) {
        mb_text_clean(shown_title, sizeof(shown_title), (const char *)title->data, title->size);
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    mb_db_bind_text(stmt, 2, mb_profile_tables[table].name);
    mb_db_bind_text(stmt, 3, shown_title);
    mb_db_bind_text(stmt, 4, column);
    mb_db_bind_text(stmt, 5, kept);
    mb_db_bind_value(stmt, 6, &other->value); /* whole: it may be wanted back */
    mb_db_bind_int(stmt, 7, other->version.hlc);
    mb_db_bind_blob(stmt, 8, other->version.machine, MB_MACHINE_ID_SIZE);
    mb_db_bind_int(stmt, 9, mb_core_now(engine));
    if (mb_db_run(stmt, err) != 0) {
        return -1;
    }
    if (mb_db_changes(engine->state->db) > 0) {
        engine->counts.conflicts++;
        (void)snprintf(why, sizeof(why), "%s: '%s' stands, '%s' is kept aside", column, kept,
                       other_text);
        mb_core_change(engine, MB_CHANGE_CONFLICT, table, id, title, why);
    }
    return 0;
}

int mb_conflict_check(struct mb_engine *engine, int table, const uint8_t id[static MB_ROW_ID_SIZE],
                      const struct mb_regs *known, const struct mb_regs *incoming,
                      const struct mb_value *title, struct mb_error *err)
{
    const struct mb_profile_table *profile = &mb_profile_tables[table];

    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        const struct mb_profile_register *reg = &profile->registers[i];
        const struct mb_reg *a = &known->items[i];
        const struct mb_reg *b = &incoming->items[i];
        bool incoming_wins;
        char kept[SHOWN_MAX];
        if (reg->is_quiet || !mb_regs_is_conflict(reg->rule, a, b)) {
            continue;
        }
        incoming_wins = mb_regs_compare(reg->rule, b, a) > 0;
        show(kept, &(incoming_wins ? b : a)->value);
        if (note(engine, table, id, reg->name, kept, incoming_wins ? a : b, title, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int mb_conflict_of_deleted(struct mb_engine *engine, int table,
                           const uint8_t id[static MB_ROW_ID_SIZE], const struct mb_regs *regs,
                           const struct mb_version *after, const uint8_t *machine,
                           struct mb_error *err)
{
    static const uint8_t nobody[MB_MACHINE_ID_SIZE] = {0};
    const struct mb_profile_table *profile = &mb_profile_tables[table];

    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        const struct mb_reg *reg = &regs->items[i];
        if (!reg->is_present || reg->value.type == MB_VALUE_NULL ||
            profile->registers[i].is_quiet ||
            memcmp(reg->version.machine, nobody, MB_MACHINE_ID_SIZE) == 0 ||
            (after != NULL && mb_record_version_compare(&reg->version, after) <= 0) ||
            (machine != NULL && memcmp(reg->version.machine, machine, MB_MACHINE_ID_SIZE) != 0)) {
            continue;
        }
        if (note(engine, table, id, profile->registers[i].name, "(deleted)", reg, NULL, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* They were clean when they were written; the state may be damaged since. */
static const char *show_column(struct mb_stmt *stmt, int column, char out[static SHOWN_MAX])
{
    const char *text = mb_db_text(stmt, column);

    mb_text_clean(out, SHOWN_MAX, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
    return out;
}

int mb_conflict_list(struct mb_engine *engine, mb_engine_conflict_fn on_conflict, void *context,
                     struct mb_error *err)
{
    static const char sql[] =
        "SELECT c.id, c.tbl, c.row, c.title, c.col, c.kept, c.other, c.machine, c.time, s.name "
        "FROM conflict AS c LEFT JOIN stream AS s ON s.machine = c.machine ORDER BY c.id";
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_engine_conflict conflict;
        char row_hex[2 * MB_ROW_ID_SIZE + 1] = "";
        char machine_hex[MB_MACHINE_ID_HEX_SIZE] = "";
        char other_text[SHOWN_MAX];
        char shown[5][SHOWN_MAX];
        struct mb_value other;
        uint8_t machine[MB_MACHINE_ID_SIZE] = {0};
        size_t size;
        const uint8_t *blob = mb_db_blob(stmt, 2, &size);
        if (size == MB_ROW_ID_SIZE) {
            mb_digest_hex(blob, size, row_hex);
        }
        blob = mb_db_blob(stmt, 7, &size);
        if (size == MB_MACHINE_ID_SIZE) {
            mb_digest_hex(blob, size, machine_hex);
            memcpy(machine, blob, size);
        }
        memset(&conflict, 0, sizeof(conflict));
        conflict.id = mb_db_int(stmt, 0);
        conflict.table = show_column(stmt, 1, shown[0]);
        conflict.row_id = row_hex;
        conflict.title = show_column(stmt, 3, shown[1]);
        conflict.column = show_column(stmt, 4, shown[2]);
        conflict.kept_value = show_column(stmt, 5, shown[3]);
        mb_db_value(stmt, 6, &other);
        show(other_text, &other);
        conflict.other_value = other_text;
        conflict.other_machine = memcmp(machine, engine->state->machine, MB_MACHINE_ID_SIZE) == 0
                                     ? engine->env->host_name
                                 : mb_db_is_null(stmt, 9) ? machine_hex
                                                          : show_column(stmt, 9, shown[4]);
        conflict.time_ms = mb_db_int(stmt, 8);
        if (on_conflict(context, &conflict, err) != 0) {
            mb_db_reset(stmt);
            return -1;
        }
    }
    return step;
}
