/* SPDX-License-Identifier: MIT */

/*
 * "Everything": every row, register version, change without a row and tombstone that this machine
 * knows, appended to its outbox. It is what makes a store whole again that was emptied, and what a
 * new stream begins with.
 */

#include "alloc.h"
#include "limits.h"
#include "live.h"
#include "push.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

static int read_extra(struct mb_engine *engine, const uint8_t id[static MB_ROW_ID_SIZE],
                      struct mb_record *extra_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t size;
    int step;

    if (mb_db_query(engine->state->db, "SELECT record FROM extra WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    step = mb_db_step(stmt, err);
    if (step == 1) {
        const uint8_t *line = mb_db_blob(stmt, 0, &size);
        step = mb_record_decode((const char *)line, size > 0 ? size - 1 : 0, extra_out, err) == 0
                   ? 1
                   : -1;
        mb_db_reset(stmt);
    }
    return step;
}

/* A row of the live database: its content from there, its versions from the state. */
static int publish_row(struct mb_engine *engine, const struct mb_state_row *known,
                       struct mb_live_row *row, struct mb_error *err)
{
    struct mb_record record, extra;
    struct mb_stmt *stmt = NULL;
    int has_extra = 0;
    int step = mb_live_find(engine, known->table, known->local, row, &stmt, err);
    int rc = -1;

    memset(&record, 0, sizeof(record));
    if (step != 1) {
        return step; /* held: gone here, and not believed */
    }
    has_extra = read_extra(engine, known->id, &extra, err);
    if (has_extra >= 0) {
        rc = mb_live_record(engine, row, known, has_extra == 1 ? &extra : NULL, &record, err);
        if (rc == 0) {
            rc = mb_state_out(engine->state, &record, err);
        } else if (rc == 1) {
            rc = 0; /* edited by hand: the others have it as it was */
        }
    }
    if (has_extra == 1) {
        mb_record_release(&extra);
    }
    mb_live_record_release(&record);
    mb_db_reset(stmt);
    return rc;
}

struct id_list {
    uint8_t (*ids)[MB_ROW_ID_SIZE];
    size_t count;
    size_t capacity;
};

static int list_rows(struct mb_engine *engine, int table, struct id_list *list,
                     struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t size;
    int step;

    list->count = 0;
    if (mb_db_query(engine->state->db,
                    "SELECT id FROM row WHERE tbl = ?1 AND local IS NOT NULL ORDER BY local", &stmt,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, table);
    while ((step = mb_db_step(stmt, err)) == 1) {
        if (list->count == list->capacity) {
            list->capacity = list->capacity == 0 ? 1024 : list->capacity * 2;
            list->ids = mb_alloc_resize(list->ids, list->capacity, MB_ROW_ID_SIZE);
        }
        memcpy(list->ids[list->count++], mb_db_blob(stmt, 0, &size), MB_ROW_ID_SIZE);
    }
    return step;
}

static int publish_rows(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_live_row *row = mb_alloc(sizeof(*row));
    struct id_list list = {NULL, 0, 0};
    int rc = 0;

    for (int table = 0; table < MB_TABLE_COUNT && rc == 0; table++) {
        rc = engine->schema->tables[table].is_present ? list_rows(engine, table, &list, err) : 0;
        for (size_t i = 0; i < list.count && rc == 0 && engine->schema->tables[table].is_present;
             i++) {
            struct mb_state_row known;
            int found = mb_state_row_find(engine->state, list.ids[i], &known, err);
            rc = found == 1 ? publish_row(engine, &known, row, err) : found;
            if (found == 1) {
                mb_regs_release(&known.regs);
            }
        }
    }
    free(list.ids);
    free(row);
    return rc;
}

static int publish_tombs(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, "SELECT id, tbl, hlc, machine, decided FROM tomb", &stmt,
                    err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_record record;
        size_t size;
        int table;
        if (mb_state_table(stmt, 1, &table, err) != 0) {
            mb_db_reset(stmt);
            return -1;
        }
        memset(&record, 0, sizeof(record));
        record.kind = MB_RECORD_DELETE;
        record.table = mb_profile_tables[table].name;
        memcpy(record.row_id, mb_db_blob(stmt, 0, &size), MB_ROW_ID_SIZE);
        record.version.hlc = mb_db_int(stmt, 2);
        memcpy(record.version.machine, mb_db_blob(stmt, 3, &size), MB_MACHINE_ID_SIZE);
        record.is_decided = mb_db_int(stmt, 4) != 0;
        if (mb_state_out(engine->state, &record, err) != 0) {
            mb_db_reset(stmt);
            return -1;
        }
    }
    return step;
}

/* Registers whose row is not here: rows that have not come, dead sessions, and rows known alive but
 * not in the database. */
static int publish_loose(struct mb_engine *engine, const char *sql, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_record record;
        struct mb_regs regs;
        size_t size;
        int table;
        int rc;
        const uint8_t *blob = mb_db_blob(stmt, 2, &size);
        if (mb_state_table(stmt, 1, &table, err) != 0 ||
            mb_regs_decode(blob, size, &regs, err) != 0) {
            mb_db_reset(stmt);
            return -1;
        }
        blob = mb_db_blob(stmt, 0, &size);
        mb_live_registers_record(table, blob, &regs, UINT32_MAX, &record);
        rc = record.register_count == 0 ? 0 : mb_state_out(engine->state, &record, err);
        mb_live_record_release(&record);
        mb_regs_release(&regs);
        if (rc != 0) {
            mb_db_reset(stmt);
            return -1;
        }
    }
    return step;
}

static int publish_shelf(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, "SELECT record FROM shelf", &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_record record;
        size_t size;
        const uint8_t *line = mb_db_blob(stmt, 0, &size);
        int rc = mb_record_decode((const char *)line, size > 0 ? size - 1 : 0, &record, err);
        if (rc == 0) {
            rc = mb_state_out(engine->state, &record, err);
            mb_record_release(&record);
        }
        if (rc != 0) {
            mb_db_reset(stmt);
            return -1;
        }
    }
    return step;
}

int mb_push_full(struct mb_engine *engine, struct mb_error *err)
{
    if (publish_rows(engine, err) != 0 || publish_shelf(engine, err) != 0 ||
        publish_loose(engine, "SELECT id, tbl, regs FROM row WHERE local IS NULL", err) != 0 ||
        publish_loose(engine, "SELECT id, tbl, regs FROM loose", err) != 0) {
        return -1;
    }
    return publish_tombs(engine, err);
}
