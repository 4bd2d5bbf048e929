/* SPDX-License-Identifier: MIT */

/* The rows of the state: what is known alive, what is dead, and registers without a row. */

#include "alloc.h"
#include "assert.h"
#include "limits.h"
#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define ROW_COLUMNS                                                                                \
    "SELECT id, tbl, local, created, born_hlc, born_machine, suppressed, twin, regs FROM row "

/* The row's part of the digest: its id and the version of each register that is not NULL
 * (docs/FORMAT.md). */
static void contribution(struct mb_state *state, int table, const uint8_t id[static MB_ROW_ID_SIZE],
                         const struct mb_regs *regs, uint64_t words[2])
{
    const struct mb_profile_table *profile = &mb_profile_tables[table];
    uint8_t digest[MB_DIGEST_SIZE];

    mb_digest_update(state->sha, id, MB_ROW_ID_SIZE);
    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        const struct mb_reg *reg = &regs->items[i];
        uint8_t version[8 + MB_MACHINE_ID_SIZE];
        if (!reg->is_present || reg->value.type == MB_VALUE_NULL) {
            continue;
        }
        for (int k = 0; k < 8; k++) {
            version[k] = (uint8_t)((uint64_t)reg->version.hlc >> (56 - 8 * k));
        }
        memcpy(version + 8, reg->version.machine, MB_MACHINE_ID_SIZE);
        mb_digest_update(state->sha, profile->registers[i].name,
                         strlen(profile->registers[i].name) + 1);
        mb_digest_update(state->sha, version, sizeof(version));
    }
    mb_digest_final(state->sha, digest);
    words[0] = words[1] = 0;
    for (int i = 0; i < 16; i++) {
        words[i / 8] = words[i / 8] << 8 | digest[i];
    }
}

static void digest_add(struct mb_state *state, const uint64_t words[2])
{
    uint64_t low = state->digest[1] + words[1];

    state->digest[0] += words[0] + (low < words[1] ? 1 : 0);
    state->digest[1] = low;
    state->is_changed = true;
}

static void digest_subtract(struct mb_state *state, const uint64_t words[2])
{
    uint64_t borrow = state->digest[1] < words[1] ? 1 : 0;

    state->digest[1] -= words[1];
    state->digest[0] -= words[0] + borrow;
    state->is_changed = true;
}

int mb_state_table(struct mb_stmt *stmt, int column, int *table_out, struct mb_error *err)
{
    int64_t table = mb_db_int(stmt, column);

    if (table < 0 || table >= MB_TABLE_COUNT) {
        (void)mb_error_set(err, MB_ERR_CORRUPT, "state.db is damaged: it has a row of no table");
        return mb_error_advise(err, "set state.db aside and run 'membridge sync': the memories are "
                                    "in the database and in the store");
    }
    *table_out = (int)table;
    return 0;
}

static int read_row(struct mb_stmt *stmt, struct mb_state_row *row_out, struct mb_error *err)
{
    struct mb_state_row row;
    const uint8_t *blob;
    size_t size;

    memset(&row, 0, sizeof(row));
    blob = mb_db_blob(stmt, 0, &size);
    memcpy(row.id, blob, MB_ROW_ID_SIZE);
    if (mb_state_table(stmt, 1, &row.table, err) != 0) {
        return -1;
    }
    row.has_local = !mb_db_is_null(stmt, 2);
    row.local = mb_db_int(stmt, 2);
    row.created = mb_db_int(stmt, 3);
    row.born.hlc = mb_db_int(stmt, 4);
    blob = mb_db_blob(stmt, 5, &size);
    if (size == MB_MACHINE_ID_SIZE) {
        memcpy(row.born.machine, blob, MB_MACHINE_ID_SIZE);
    }
    row.is_suppressed = mb_db_int(stmt, 6) != 0;
    row.twin = mb_db_int(stmt, 7);
    blob = mb_db_blob(stmt, 8, &size);
    if (mb_regs_decode(blob, size, &row.regs, err) != 0) {
        return -1;
    }
    *row_out = row;
    return 0;
}

static int find(struct mb_stmt *stmt, struct mb_state_row *row_out, struct mb_error *err)
{
    int step = mb_db_step(stmt, err);
    int rc;

    if (step != 1) {
        return step;
    }
    rc = read_row(stmt, row_out, err);
    mb_db_reset(stmt);
    return rc == 0 ? 1 : -1;
}

int mb_state_row_find(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                      struct mb_state_row *row_out, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(state->db, ROW_COLUMNS "WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    return find(stmt, row_out, err);
}

int mb_state_row_at(struct mb_state *state, int table, int64_t local, struct mb_state_row *row_out,
                    struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(state->db, ROW_COLUMNS "WHERE tbl = ?1 AND local = ?2", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, table);
    mb_db_bind_int(stmt, 2, local);
    return find(stmt, row_out, err);
}

int mb_state_rows_begin(struct mb_state *state, int table, int64_t after, struct mb_stmt **stmt_out,
                        struct mb_error *err)
{
    if (mb_db_query(state->db, ROW_COLUMNS "WHERE tbl = ?1 AND local > ?2 ORDER BY local", stmt_out,
                    err) != 0) {
        return -1;
    }
    mb_db_bind_int(*stmt_out, 1, table);
    mb_db_bind_int(*stmt_out, 2, after);
    return 0;
}

int mb_state_rows_next(struct mb_stmt *stmt, struct mb_state_row *row_out, struct mb_error *err)
{
    int step = mb_db_step(stmt, err);

    if (step == 1 && read_row(stmt, row_out, err) != 0) {
        mb_db_reset(stmt);
        return -1;
    }
    return step;
}

int mb_state_id_at(struct mb_state *state, int table, int64_t local,
                   uint8_t id_out[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t size;
    int step;

    if (mb_db_query(state->db, "SELECT id FROM row WHERE tbl = ?1 AND local = ?2", &stmt, err) !=
        0) {
        return -1;
    }
    mb_db_bind_int(stmt, 1, table);
    mb_db_bind_int(stmt, 2, local);
    step = mb_db_step(stmt, err);
    if (step == 1) {
        const uint8_t *id = mb_db_blob(stmt, 0, &size);
        memcpy(id_out, id, MB_ROW_ID_SIZE);
        mb_db_reset(stmt);
    }
    return step;
}

/* Takes the known row's part out of the digest. */
static int forget_contribution(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                               struct mb_error *err)
{
    struct mb_state_row old;
    uint64_t words[2];
    int found = mb_state_row_find(state, id, &old, err);

    if (found == 1) {
        contribution(state, old.table, id, &old.regs, words);
        digest_subtract(state, words);
        mb_regs_release(&old.regs);
    }
    return found < 0 ? -1 : 0;
}

static bool is_any_dirty(const struct mb_regs *regs)
{
    for (int i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        if (regs->items[i].is_present && regs->items[i].is_dirty) {
            return true;
        }
    }
    return false;
}

static int put_dirty(struct mb_state *state, const struct mb_state_row *row, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(state->db,
                    is_any_dirty(&row->regs) ? "INSERT OR IGNORE INTO dirty(id) VALUES(?1)"
                                             : "DELETE FROM dirty WHERE id = ?1",
                    &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, row->id, MB_ROW_ID_SIZE);
    return mb_db_run(stmt, err);
}

static int write_row(struct mb_state *state, const char *sql, const struct mb_state_row *row,
                     struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct mb_buf regs;
    uint64_t words[2];
    int rc = -1;

    mb_buf_init(&regs, MB_LIMIT_RECORD_BYTES);
    if (mb_regs_encode(&row->regs, false, &regs, err) != 0 ||
        mb_db_query(state->db, sql, &stmt, err) != 0) {
        goto out;
    }
    mb_db_bind_blob(stmt, 1, row->id, MB_ROW_ID_SIZE);
    mb_db_bind_int(stmt, 2, row->table);
    if (row->has_local) {
        mb_db_bind_int(stmt, 3, row->local);
    } else {
        mb_db_bind_null(stmt, 3);
    }
    mb_db_bind_int(stmt, 4, row->created);
    mb_db_bind_int(stmt, 5, row->born.hlc);
    mb_db_bind_blob(stmt, 6, row->born.machine, MB_MACHINE_ID_SIZE);
    mb_db_bind_int(stmt, 7, row->is_suppressed ? 1 : 0);
    mb_db_bind_int(stmt, 8, row->twin);
    mb_db_bind_blob(stmt, 9, regs.data, regs.size);
    rc = mb_db_run(stmt, err);
    if (rc == 0) {
        contribution(state, row->table, row->id, &row->regs, words);
        digest_add(state, words);
    }
out:
    mb_buf_release(&regs);
    return rc;
}

#define ROW_INTO                                                                                   \
    " INTO row(id, tbl, local, created, born_hlc, born_machine, suppressed, twin, regs) "          \
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"

int mb_state_row_add(struct mb_state *state, const struct mb_state_row *row, struct mb_error *err)
{
    if (write_row(state, "INSERT" ROW_INTO, row, err) != 0) {
        return -1;
    }
    return is_any_dirty(&row->regs) ? put_dirty(state, row, err) : 0;
}

int mb_state_row_put(struct mb_state *state, const struct mb_state_row *row, struct mb_error *err)
{
    if (forget_contribution(state, row->id, err) != 0 ||
        write_row(state, "INSERT OR REPLACE" ROW_INTO, row, err) != 0) {
        return -1;
    }
    return put_dirty(state, row, err);
}

static int remove_by_id(struct mb_state *state, const char *sql,
                        const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (mb_db_query(state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    return mb_db_run(stmt, err);
}

int mb_state_row_remove(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                        struct mb_error *err)
{
    if (forget_contribution(state, id, err) != 0 ||
        remove_by_id(state, "DELETE FROM dirty WHERE id = ?1", id, err) != 0 ||
        remove_by_id(state, "DELETE FROM extra WHERE id = ?1", id, err) != 0 ||
        remove_by_id(state, "DELETE FROM shelf WHERE id = ?1", id, err) != 0 ||
        remove_by_id(state, "DELETE FROM held_out WHERE id = ?1", id, err) != 0) {
        return -1;
    }
    return remove_by_id(state, "DELETE FROM row WHERE id = ?1", id, err);
}

int mb_state_tomb_find(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                       struct mb_version *version_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    size_t size;
    int step;

    if (mb_db_query(state->db, "SELECT hlc, machine FROM tomb WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    step = mb_db_step(stmt, err);
    if (step == 1) {
        const uint8_t *machine = mb_db_blob(stmt, 1, &size);
        memset(version_out, 0, sizeof(*version_out));
        version_out->hlc = mb_db_int(stmt, 0);
        if (size == MB_MACHINE_ID_SIZE) {
            memcpy(version_out->machine, machine, MB_MACHINE_ID_SIZE);
        }
        mb_db_reset(stmt);
    }
    return step;
}

int mb_state_tomb_put(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE], int table,
                      const struct mb_version *version, bool is_decided, struct mb_error *err)
{
    static const char sql[] =
        "INSERT INTO tomb(id, tbl, hlc, machine, decided) VALUES(?1, ?2, ?3, ?4, ?5) "
        "ON CONFLICT(id) DO UPDATE SET hlc = excluded.hlc, machine = excluded.machine,"
        " decided = max(decided, excluded.decided)"
        " WHERE (excluded.hlc, excluded.machine) > (tomb.hlc, tomb.machine)";
    struct mb_stmt *stmt;

    if (mb_db_query(state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    mb_db_bind_int(stmt, 2, table);
    mb_db_bind_int(stmt, 3, version->hlc);
    mb_db_bind_blob(stmt, 4, version->machine, MB_MACHINE_ID_SIZE);
    mb_db_bind_int(stmt, 5, is_decided ? 1 : 0);
    return mb_db_run(stmt, err);
}

int mb_state_tomb_remove(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                         struct mb_error *err)
{
    return remove_by_id(state, "DELETE FROM tomb WHERE id = ?1", id, err);
}

bool mb_state_regs_raise(int table, struct mb_regs *into, const struct mb_regs *from)
{
    const struct mb_profile_table *profile = &mb_profile_tables[table];
    bool is_changed = false;

    for (size_t i = 0; profile->registers[i].name != NULL; i++) {
        struct mb_reg *target = &into->items[i];
        const struct mb_reg *source = &from->items[i];
        if (target->is_hashed && target->value.data == NULL && mb_regs_same_value(source, target)) {
            target->value.data = source->value.data; /* the text is at hand now */
        }
        if (source->is_present && mb_regs_compare(profile->registers[i].rule, source, target) > 0) {
            bool was_dirty = target->is_dirty;
            uint64_t seen = target->seen;
            *target = *source;
            target->is_dirty = was_dirty;
            target->seen = seen;
            is_changed = true;
        }
    }
    return is_changed;
}

int mb_state_loose_take(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE],
                        struct mb_regs *regs_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    const uint8_t *blob;
    size_t size;
    int step;

    if (mb_db_query(state->db, "SELECT regs FROM loose WHERE id = ?1", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    step = mb_db_step(stmt, err);
    if (step != 1) {
        return step;
    }
    blob = mb_db_blob(stmt, 0, &size);
    if (mb_regs_decode(blob, size, regs_out, err) != 0) {
        mb_db_reset(stmt);
        return -1;
    }
    mb_db_reset(stmt);
    if (remove_by_id(state, "DELETE FROM loose WHERE id = ?1", id, err) != 0) {
        mb_regs_release(regs_out);
        return -1;
    }
    return 1;
}

int mb_state_loose_merge(struct mb_state *state, const uint8_t id[static MB_ROW_ID_SIZE], int table,
                         const struct mb_regs *regs, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct mb_regs merged;
    struct mb_buf encoded;
    int rc = -1;
    int found;

    mb_regs_init(&merged);
    mb_buf_init(&encoded, MB_LIMIT_RECORD_BYTES);
    found = mb_state_loose_take(state, id, &merged, err);
    if (found < 0) {
        goto out;
    }
    (void)mb_state_regs_raise(table, &merged, regs);
    for (int i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        merged.items[i].is_dirty = false;
    }
    if (mb_regs_encode(&merged, true, &encoded, err) != 0 ||
        mb_db_query(state->db, "INSERT INTO loose(id, tbl, regs) VALUES(?1, ?2, ?3)", &stmt, err) !=
            0) {
        goto out;
    }
    mb_db_bind_blob(stmt, 1, id, MB_ROW_ID_SIZE);
    mb_db_bind_int(stmt, 2, table);
    mb_db_bind_blob(stmt, 3, encoded.data, encoded.size);
    rc = mb_db_run(stmt, err);
out:
    mb_regs_release(&merged);
    mb_buf_release(&encoded);
    return rc;
}
