/* SPDX-License-Identifier: MIT */

/* What earlier merges and captures left to be done in the live database. */

#include "alloc.h"
#include "apply.h"
#include "attach.h"
#include "capture.h"
#include "write.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* At most so many of each kind a transaction: the worker must get its turn. */
#define BATCH 200
#define SHELF_EVERY_MS ((int64_t)24 * 3600 * 1000)

struct id_list {
    uint8_t ids[BATCH][MB_ROW_ID_SIZE];
    int tables[BATCH];
    int64_t locals[BATCH];
    size_t count;
};

static int read_list(struct mb_engine *engine, const char *sql, struct id_list *list,
                     struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t size;
    int step;

    list->count = 0;
    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, BATCH);
    while ((step = mb_db_step(stmt, err)) == 1) {
        memcpy(list->ids[list->count], mb_db_blob(stmt, 0, &size), MB_ROW_ID_SIZE);
        if (mb_state_table(stmt, 1, &list->tables[list->count], err) != 0) {
            mb_db_reset(stmt);
            return -1;
        }
        list->locals[list->count++] = mb_db_int(stmt, 2);
    }
    return step;
}

static int write_dirty(struct mb_engine *engine, struct id_list *list, struct mb_error *err)
{
    if (read_list(engine,
                  "SELECT d.id, r.tbl, r.local FROM dirty AS d JOIN row AS r ON r.id = d.id "
                  "WHERE r.local IS NOT NULL LIMIT ?1",
                  list, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < list->count; i++) {
        struct mb_state_row known;
        enum mb_write_result result;
        int rc;
        /* What was changed here since it was last looked at is a change, not to be written over. */
        if (mb_capture_regs_at(engine, list->tables[i], list->locals[i], err) != 0 ||
            mb_state_row_find(engine->state, list->ids[i], &known, err) != 1) {
            return -1;
        }
        rc = mb_write_registers(engine, &known, "another machine", &result, err);
        if (rc == 0) {
            engine->counts.updated += result == MB_WRITE_DONE ? 1 : 0;
            rc = mb_state_row_put(engine->state, &known, err);
        }
        mb_regs_release(&known.regs);
        if (rc != 0) {
            return -1;
        }
    }
    return mb_db_exec(engine->state->db, "DELETE FROM dirty WHERE id NOT IN (SELECT id FROM row)",
                      err);
}

static int remove_undead(struct mb_engine *engine, struct id_list *list, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (read_list(engine, "SELECT id, tbl, local FROM undead LIMIT ?1", list, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (mb_write_delete(engine, list->tables[i], list->locals[i], list->ids[i], err) != 0 ||
            mb_db_query(engine->state->db, "DELETE FROM undead WHERE tbl = ?1 AND local = ?2",
                        &stmt, err) != 0) {
            return -1;
        }
        mb_db_bind_int(stmt, 1, list->tables[i]);
        mb_db_bind_int(stmt, 2, list->locals[i]);
        if (mb_db_run(stmt, err) != 0) {
            return -1;
        }
        engine->counts.deleted++;
        mb_core_change(engine, MB_CHANGE_DELETE, list->tables[i], list->ids[i], NULL,
                       "deleted before, came back from an older copy");
    }
    return 0;
}

static int apply_line(struct mb_engine *engine, const char *line, size_t size, struct mb_error *err)
{
    struct mb_apply apply = {engine, "another machine", NULL};
    struct mb_record record;
    struct mb_buf before;
    bool has_effect;
    int rc;

    if (size > 0 && line[size - 1] == '\n') {
        size--;
    }
    if (mb_record_decode(line, size, &record, err) != 0) {
        return -1;
    }
    mb_buf_init(&before, MB_LIMIT_RECORD_BYTES);
    rc = mb_apply_plan(&apply, &record, &has_effect, &before, err);
    if (rc == 0) {
        rc = mb_apply_record(&apply, &record, err);
    }
    mb_buf_release(&before);
    mb_record_release(&record);
    return rc;
}

/* Once a day too: what stood in the way may have been a row that is gone. */
static int shelf_is_due(struct mb_engine *engine, bool *due_out, struct mb_error *err)
{
    int64_t now = mb_core_now(engine);
    int64_t shape, tried;

    *due_out = true;
    if (mb_state_get_int(engine->state, "shelf_shape", 0, &shape, err) != 0 ||
        mb_state_get_int(engine->state, "shelf_time", 0, &tried, err) != 0) {
        return -1;
    }
    *due_out = shape != engine->schema->shape || now < tried || now - tried >= SHELF_EVERY_MS;
    return 0;
}

/* Takes what this claude-mem could not hold off the shelf and tries it again, when claude-mem has
 * changed since. */
static int retry_shelf(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct line {
        char *text;
        size_t size;
    } *lines = NULL;
    size_t count = 0;
    int64_t parked = engine->counts.parked;
    bool is_due;
    int step;

    if (shelf_is_due(engine, &is_due, err) != 0 || !is_due) {
        return is_due ? -1 : 0;
    }
    if (mb_db_query(engine->state->db, "SELECT record FROM shelf", &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        size_t size;
        const uint8_t *data = mb_db_blob(stmt, 0, &size);
        lines = mb_alloc_resize(lines, count + 1, sizeof(*lines));
        lines[count].text = mb_alloc_text_n((const char *)data, size);
        lines[count++].size = size;
    }
    for (size_t i = 0; i < count; i++) {
        step = step == 0 ? apply_line(engine, lines[i].text, lines[i].size, err) : step;
        free(lines[i].text);
    }
    free(lines);
    engine->counts.parked = parked; /* what stays was counted when it came */
    if (step != 0 ||
        mb_state_set_int(engine->state, "shelf_shape", engine->schema->shape, err) != 0) {
        return -1;
    }
    return mb_state_set_int(engine->state, "shelf_time", mb_core_now(engine), err);
}

static int write_extra(struct mb_engine *engine, const struct mb_state_row *known, const char *line,
                       size_t size, struct mb_error *err)
{
    struct mb_record record;
    int rc;

    if (mb_record_decode(line, size > 0 && line[size - 1] == '\n' ? size - 1 : size, &record,
                         err) != 0) {
        return -1;
    }
    rc = mb_write_columns(engine, known->table, known->local, &record, err);
    mb_record_release(&record);
    return rc;
}

/* Columns that the database has got since the rows came. */
static int fill_extra(struct mb_engine *engine, struct mb_error *err)
{
    struct mb_stmt *stmt;
    int64_t tried;
    int step;

    if (mb_state_get_int(engine->state, "extra_shape", 0, &tried, err) != 0) {
        return -1;
    }
    if (tried == engine->schema->shape) {
        return 0;
    }
    if (mb_db_query(engine->state->db, "SELECT id, record FROM extra", &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        struct mb_state_row known;
        uint8_t id[MB_ROW_ID_SIZE];
        size_t size;
        int found;
        memcpy(id, mb_db_blob(stmt, 0, &size), MB_ROW_ID_SIZE);
        found = mb_state_row_find(engine->state, id, &known, err);
        if (found == 1) {
            const uint8_t *line = mb_db_blob(stmt, 1, &size);
            int rc =
                known.has_local ? write_extra(engine, &known, (const char *)line, size, err) : 0;
            mb_regs_release(&known.regs);
            found = rc;
        }
        if (found < 0) {
            mb_db_reset(stmt);
            return -1;
        }
    }
    return step != 0 ? -1
                     : mb_state_set_int(engine->state, "extra_shape", engine->schema->shape, err);
}

int mb_apply_leftovers(struct mb_engine *engine, struct mb_error *err)
{
    struct id_list *list = mb_alloc(sizeof(*list));
    int rc = -1;

    if (write_dirty(engine, list, err) == 0 && remove_undead(engine, list, err) == 0 &&
        retry_shelf(engine, err) == 0 && fill_extra(engine, err) == 0 &&
        mb_attach_tidy(engine, err) == 0) {
        rc = 0;
    }
    free(list);
    return rc;
}

int mb_apply_has_leftovers(struct mb_engine *engine, bool *has_out, struct mb_error *err)
{
    static const char sql[] =
        "SELECT (SELECT count(*) FROM dirty AS d JOIN row AS r ON r.id = d.id "
        "WHERE r.local IS NOT NULL) + (SELECT count(*) FROM undead) + (SELECT count(*) FROM stub)";
    int64_t count, shelf_count, extra_count, extra_shape;
    bool shelf_due;

    if (mb_db_scalar(engine->state->db, sql, 0, &count, err) != 0 ||
        mb_db_scalar(engine->state->db, "SELECT count(*) FROM shelf", 0, &shelf_count, err) != 0 ||
        mb_db_scalar(engine->state->db, "SELECT count(*) FROM extra", 0, &extra_count, err) != 0 ||
        shelf_is_due(engine, &shelf_due, err) != 0 ||
        mb_state_get_int(engine->state, "extra_shape", 0, &extra_shape, err) != 0) {
        return -1;
    }
    *has_out = count > 0 || (shelf_count > 0 && shelf_due) ||
               (extra_count > 0 && extra_shape != engine->schema->shape);
    return 0;
}
