/* SPDX-License-Identifier: MIT */
/*
 * The independent model. It knows what was ever written, what a person deleted or changed and
 * where, and which of that the machine's engine had captured (an operation that ended well after
 * it) and published (a push that ended well). Where a disaster leaves both outcomes open, the row
 * is marked unsure and less is asked of it.
 */
#include "alloc.h"
#include "assert.h"
#include "sim_traps.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

static uint64_t hash_key(enum sim_table table, const char *content, int64_t epoch)
{
    uint64_t hash = (uint64_t)table;

    if (table == SIM_SESSION) {
        for (const char *at = content; *at != '\0'; at++) {
            hash = sim_random_mix(hash, (uint64_t)(unsigned char)*at);
        }
        return hash;
    }
    return sim_random_mix(hash, (uint64_t)epoch);
}

static bool is_same(const struct sim_row *row, enum sim_table table, const char *content,
                    int64_t epoch)
{
    return row->table == table &&
           (table == SIM_SESSION ? strcmp(row->content, content) == 0 : row->epoch == epoch);
}

static size_t find_bucket(const struct sim_ledger *ledger, enum sim_table table,
                          const char *content, int64_t epoch)
{
    size_t count = sizeof ledger->buckets / sizeof ledger->buckets[0];
    size_t at = (size_t)(hash_key(table, content, epoch) % count);

    while (ledger->buckets[at] != 0 &&
           !is_same(&ledger->rows[ledger->buckets[at] - 1], table, content, epoch)) {
        at = (at + 1) % count;
    }
    return at;
}

int sim_ledger_find(const struct sim_ledger *ledger, enum sim_table table, const char *content,
                    int64_t epoch)
{
    return ledger->buckets[find_bucket(ledger, table, content, epoch)] - 1;
}

/* Reads the row as its maker's database has it. */
static void read_cells(struct sim_machine *machine, struct sim_row *row)
{
    const struct sim_table_info *info = &sim_tables[row->table];
    sqlite3_stmt *statement = NULL;
    char **cells;
    char *sql = sqlite3_mprintf("SELECT 0");

    for (size_t i = 0; i < info->column_count; i++) {
        bool is_there = sim_db_has(machine, row->table, i);

        row->columns |= is_there ? 1u << i : 0;
        sql = sqlite3_mprintf("%z,%s", sql, is_there ? info->columns[i].name : "NULL");
    }
    sql = row->table == SIM_SESSION ? sqlite3_mprintf("%z FROM %s WHERE content_session_id=%Q", sql,
                                                      info->name, row->content)
                                    : sqlite3_mprintf("%z FROM %s WHERE created_at_epoch=%lld", sql,
                                                      info->name, (long long)row->epoch);
    MB_ASSERT(sqlite3_prepare_v2(machine->db, sql, -1, &statement, NULL) == SQLITE_OK);
    sqlite3_free(sql);
    MB_ASSERT(sqlite3_step(statement) == SQLITE_ROW);
    cells = sim_db_cells(statement, 1, info->column_count);
    memcpy(row->cells, cells, sizeof row->cells);
    free(cells);
    (void)sqlite3_finalize(statement);
}

static bool has_disasters(const struct sim_world *world)
{
    sim_kinds kinds = world->kinds;

    return SIM_HAS(kinds, DBRESTORE) || SIM_HAS(kinds, STATELOSS) || SIM_HAS(kinds, VM) ||
           SIM_HAS(kinds, CLONE) || SIM_HAS(kinds, STORERESTORE) || SIM_HAS(kinds, GONE) ||
           SIM_HAS(kinds, CLONED) || SIM_HAS(kinds, ORPHANS);
}

static void heat(struct sim_world *world, int row)
{
    world->hot[world->hot_count++ % SIM_HOT_MAX] = row;
}

int sim_ledger_made(struct sim_machine *machine, enum sim_table table, const char *content,
                    int64_t epoch, int session)
{
    struct sim_ledger *ledger = machine->world->ledger;
    size_t bucket = find_bucket(ledger, table, content, epoch);
    unsigned bit = 1u << machine->index;
    struct sim_row *row;

    if (ledger->buckets[bucket] == 0) {
        MB_ASSERT(ledger->row_count < SIM_ROWS_MAX);
        row = &ledger->rows[ledger->row_count++];
        ledger->buckets[bucket] = (int16_t)ledger->row_count;
        row->table = table;
        (void)snprintf(row->content, sizeof row->content, "%s", content);
        row->epoch = epoch;
        row->session = session;
        read_cells(machine, row);
    }
    row = &ledger->rows[ledger->buckets[bucket] - 1];
    sim_trap_made(machine, row);
    heat(machine->world, (int)(row - ledger->rows));
    if (row->is_deleted) {
        row->is_unsure = true;
        row->must_live =
            table == SIM_SESSION && row->deleted_by == bit && !has_disasters(machine->world);
    }
    row->made++;
    row->made_by |= bit;
    if (machine->is_busy && machine->fresh_count < SIM_PENDING_MAX) {
        machine->fresh[machine->fresh_count++] = (int)(row - ledger->rows);
    }
    return (int)(row - ledger->rows);
}

static struct sim_pending *add_pending(struct sim_machine *machine, int row)
{
    struct sim_pending *pending;

    if (machine->pending_count == SIM_PENDING_MAX) {
        machine->world->ledger->rows[row].is_unsure = true;
        machine->world->ledger->rows[row].is_register_unsure = true;
        return NULL;
    }
    pending = &machine->pending[machine->pending_count++];
    memset(pending, 0, sizeof *pending);
    pending->row = row;
    pending->stamp = machine->operation_count;
    return pending;
}

static bool is_fresh(const struct sim_machine *machine, int row)
{
    for (size_t i = 0; i < machine->fresh_count; i++) {
        if (machine->fresh[i] == row) {
            return true;
        }
    }
    return false;
}

/* More deletes than this in one capture may be held; a capture's true bound is never lower. */
#define HOLD_BOUND 20

/* A row whose delete may be held lives on elsewhere; a change made to it here that was not captured
 * before it went is gone with it. */
static void doubt_uncaptured_changes(struct sim_machine *machine, int row)
{
    for (size_t i = 0; i < machine->pending_count; i++) {
        if (machine->pending[i].row == row && machine->pending[i].is_change &&
            !machine->pending[i].is_captured) {
            machine->world->ledger->rows[row].is_register_unsure = true;
        }
    }
}

/* Deletes not known to be captured: together with a mass delete they may be held with it. */
static void doubt_uncaptured_deletes(struct sim_machine *machine)
{
    struct sim_ledger *ledger = machine->world->ledger;
    size_t kept = 0;

    for (size_t i = 0; i < machine->pending_count; i++) {
        struct sim_pending *pending = &machine->pending[i];

        if (!pending->is_change && !pending->is_captured) {
            ledger->rows[pending->row].is_unsure = true;
            ledger->rows[pending->row].is_suppressed = true;
            doubt_uncaptured_changes(machine, pending->row);
            continue;
        }
        machine->pending[kept++] = *pending;
    }
    machine->pending_count = kept;
}

static unsigned count_uncaptured_deletes(const struct sim_machine *machine)
{
    unsigned count = 0;

    for (size_t i = 0; i < machine->pending_count; i++) {
        count += !machine->pending[i].is_change && !machine->pending[i].is_captured ? 1 : 0;
    }
    return count;
}

void sim_ledger_deleted(struct sim_machine *machine, int row_index)
{
    struct sim_row *row = &machine->world->ledger->rows[row_index];

    row->is_deleted = true;
    row->must_live = false;
    row->deleted_by |= 1u << machine->index;
    sim_trap_deleted(machine, row_index);
    heat(machine->world, row_index);
    if (row->is_shared || machine->is_migrated || machine->is_holding) {
        row->is_unsure = true;
        row->is_suppressed = true;
        return;
    }
    if (machine->known[row_index] == 0 || is_fresh(machine, row_index)) {
        row->is_unsure = true;
        row->doubtful_by |= 1u << machine->index;
        return;
    }
    (void)add_pending(machine, row_index);
    if (count_uncaptured_deletes(machine) > HOLD_BOUND) {
        doubt_uncaptured_deletes(machine);
        machine->is_holding = true;
    }
}

void sim_ledger_mass_deleted(struct sim_machine *machine, const int *rows, size_t count)
{
    struct sim_ledger *ledger = machine->world->ledger;

    doubt_uncaptured_deletes(machine);
    machine->is_holding = true;
    machine->is_hold_captured = false;
    for (size_t i = 0; i < ledger->row_count; i++) { /* held with the mass, if it was seen at all */
        if ((ledger->rows[i].doubtful_by >> machine->index & 1u) != 0) {
            ledger->rows[i].is_suppressed = true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct sim_row *row = &ledger->rows[rows[i]];

        doubt_uncaptured_changes(machine, rows[i]);
        if (machine->is_migrated) {
            row->cleaned_by |= 1u << machine->index;
            continue;
        }
        row->guarded_by |= 1u << machine->index;
        row->is_suppressed = row->is_suppressed || machine->known[rows[i]] == 0;
    }
}

void sim_ledger_migrated(struct sim_machine *machine)
{
    struct sim_ledger *ledger = machine->world->ledger;
    unsigned bit = 1u << machine->index;

    doubt_uncaptured_deletes(machine);
    for (size_t i = 0; i < ledger->row_count; i++) {
        struct sim_row *row = &ledger->rows[i];

        row->cleaned_by |= row->guarded_by & bit;
        row->guarded_by &= ~bit;
    }
    machine->is_migrated = true;
}

void sim_ledger_changed(struct sim_machine *machine, int row, const char *old_value)
{
    struct sim_pending *pending;

    sim_trap_changed(machine, row);
    heat(machine->world, row);
    if (machine->known[row] == 0 || is_fresh(machine, row)) {
        machine->world->ledger->rows[row].is_register_unsure = true;
        return;
    }
    pending = old_value[0] == 'v' ? add_pending(machine, row) : NULL;
    if (pending != NULL) {
        pending->is_change = true;
        (void)snprintf(pending->old_value, sizeof pending->old_value, "%s", old_value);
    }
}

void sim_ledger_forget(struct sim_machine *machine, enum sim_loss loss)
{
    struct sim_ledger *ledger = machine->world->ledger;
    unsigned bit = 1u << machine->index;
    size_t kept = 0;

    for (size_t i = 0; i < machine->pending_count; i++) {
        struct sim_pending *pending = &machine->pending[i];

        if (loss == SIM_LOSS_DATABASE && pending->is_captured) {
            machine->pending[kept++] = *pending;
        } else if (pending->is_change) {
            ledger->rows[pending->row].is_register_unsure = true;
        } else {
            ledger->rows[pending->row].is_unsure = true;
        }
    }
    machine->pending_count = kept;
    for (size_t i = 0; i < ledger->row_count; i++) {
        if ((ledger->rows[i].guarded_by & bit) != 0) {
            ledger->rows[i].is_suppressed = true; /* the hold went with it */
        }
    }
    memset(machine->known, 0, sizeof machine->known);
    machine->is_holding = machine->is_hold_captured = false;
}

static void raise_counts(sim_counts counts, const sim_counts by)
{
    for (size_t i = 0; i < SIM_ROWS_MAX; i++) {
        counts[i] = by[i] > counts[i] ? by[i] : counts[i];
    }
}

void sim_ledger_captured(struct sim_machine *machine)
{
    for (size_t i = 0; i < machine->pending_count; i++) {
        machine->pending[i].is_captured |= machine->pending[i].stamp < machine->operation_count;
    }
    if (machine->world->is_quiet) {
        return;
    }
    sim_db_count(machine, machine->known);
    sim_db_sequences(machine, machine->sequences);
    for (size_t i = 0; i < machine->fresh_count; i++) {
        machine->known[machine->fresh[i]] = 0;
    }
    raise_counts(machine->seen, machine->before);
    raise_counts(machine->seen, machine->known);
    machine->is_restored = false;
    machine->is_migrated = false;
    machine->is_hold_captured = machine->is_holding;
}

void sim_ledger_sent(struct sim_machine *machine)
{
    struct sim_ledger *ledger = machine->world->ledger;
    size_t kept = 0;

    raise_counts(machine->sent, machine->before);
    for (size_t i = 0; i < machine->pending_count; i++) {
        struct sim_pending *pending = &machine->pending[i];

        if (!pending->is_captured || pending->stamp >= machine->operation_count) {
            machine->pending[kept++] = *pending;
        } else if (!pending->is_change) {
            ledger->rows[pending->row].is_dead = true;
        } else if (ledger->stolen_count < SIM_STOLEN_MAX) {
            ledger->stolen[ledger->stolen_count].row = pending->row;
            (void)snprintf(ledger->stolen[ledger->stolen_count++].value, SIM_TEXT_MAX, "%s",
                           pending->old_value);
        }
    }
    machine->pending_count = kept;
}

bool sim_ledger_is_stolen(const struct sim_ledger *ledger, int row, const char *value)
{
    for (size_t i = 0; i < ledger->stolen_count; i++) {
        if (ledger->stolen[i].row == row && strcmp(ledger->stolen[i].value, value) == 0) {
            return true;
        }
    }
    return false;
}

void sim_ledger_release(struct sim_ledger *ledger)
{
    for (size_t i = 0; i < ledger->row_count; i++) {
        for (size_t k = 0; k < SIM_COLUMNS_MAX; k++) {
            free(ledger->rows[i].cells[k]);
        }
    }
    free(ledger);
}
