/* SPDX-License-Identifier: MIT */
/*
 * The verdict: every database against the ledger and against the others. What it proves, by the
 * names in docs/DESIGN.md: nothing-lost, order-free (all equal), no-mass-delete, and that claude-
 * mem's tables, foreign keys and full-text indexes are whole.
 */
#include "alloc.h"
#include "assert.h"
#include "sim_traps.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct found {                  /* a row of a database */
    int row;                    /* in the ledger */
    char session[SIM_TEXT_MAX]; /* content id of the true session it hangs on; "": none */
    char **cells;
    char *registers; /* what of it must be equal everywhere, as one text */
};

struct view { /* a machine's database */
    struct sim_machine *machine;
    size_t count;
    struct found *found; /* ordered by ledger row, then by registers */
    sim_counts counts;
    int first[SIM_ROWS_MAX]; /* index into found, where counts > 0 */
};

static const char *describe(const struct sim_world *world, int index, char out[static 96])
{
    static const char *const names[] = {"session", "observation", "summary", "prompt"};
    const struct sim_row *row = &world->ledger->rows[index];
    const char *name = row->content;

    if (row->table == SIM_OBSERVATION && row->cells[2] != NULL) {
        name = row->cells[2] + 1;
    } else if (row->table == SIM_SUMMARY && row->cells[0] != NULL) {
        name = row->cells[0] + 1;
    } else if (row->table == SIM_PROMPT && row->cells[2] != NULL) {
        name = row->cells[2] + 1;
    }
    (void)snprintf(out, 96, "%s '%.24s' (%" PRId64 ")", names[row->table], name, row->epoch);
    return out;
}

/* ---- reading ---- */

static char *make_query(const struct sim_machine *machine, enum sim_table table)
{
    static const char *const heads[] = {
        "SELECT t.content_session_id, 0, t.content_session_id",
        "SELECT '', t.created_at_epoch, s.content_session_id",
        "SELECT '', t.created_at_epoch, s.content_session_id",
        "SELECT t.content_session_id, t.created_at_epoch, s.content_session_id",
    };
    static const char session_of_memory[] =
        " LEFT JOIN sdk_sessions s ON s.memory_session_id=t.memory_session_id"
        " AND s.content_session_id IS NOT s.memory_session_id";
    const char *join = session_of_memory;
    char *sql = sqlite3_mprintf("%s", heads[table]);

    if (table == SIM_SESSION) {
        join = " WHERE t.content_session_id IS NOT t.memory_session_id";
    } else if (table == SIM_PROMPT) {
        join = machine->version == SIM_13_25_3
                   ? " LEFT JOIN sdk_sessions s ON s.id=t.session_db_id"
                     " AND s.content_session_id IS NOT s.memory_session_id"
                   : " LEFT JOIN sdk_sessions s ON s.content_session_id=t.content_session_id"
                     " AND s.content_session_id IS NOT s.memory_session_id";
    }
    for (size_t i = 0; i < sim_tables[table].column_count; i++) {
        bool is_there = sim_db_has(machine, table, i);

        sql = sqlite3_mprintf("%z, %s%s", sql, is_there ? "t." : "NULL AS ",
                              sim_tables[table].columns[i].name);
    }
    return sqlite3_mprintf("%z FROM %s t%s", sql, sim_tables[table].name, join);
}

/* Registers as text: only of columns that both machines have. */
static char *join_registers(const struct sim_machine *machine, const struct sim_machine *other,
                            enum sim_table table, char *const *cells)
{
    char *text = mb_alloc_text("");

    for (size_t i = 0; i < sim_tables[table].column_count; i++) {
        const struct sim_column *column = &sim_tables[table].columns[i];
        char *longer;

        if (!column->is_register || !sim_db_has(machine, table, i) ||
            !sim_db_has(other, table, i)) {
            continue;
        }
        longer = mb_alloc_format("%s %s=%s", text, column->name,
                                 cells[i] == NULL ? "NULL" : cells[i] + 1);
        free(text);
        text = longer;
    }
    return text;
}

static void add_found(struct view *view, sqlite3_stmt *statement, enum sim_table table)
{
    struct sim_world *world = view->machine->world;
    const char *content = (const char *)sqlite3_column_text(statement, 0);
    const char *session = (const char *)sqlite3_column_text(statement, 2);
    int64_t epoch = sqlite3_column_int64(statement, 1);
    int row = sim_ledger_find(world->ledger, table, content, epoch);
    struct found *found;

    if (row < 0) {
        sim_bad(world, "a row that nobody wrote at %s: %s '%s' (%" PRId64 ")", view->machine->name,
                sim_tables[table].name, content, epoch);
        return;
    }
    view->found = mb_alloc_resize(view->found, view->count + 1, sizeof *view->found);
    found = &view->found[view->count++];
    memset(found, 0, sizeof *found);
    found->row = row;
    (void)snprintf(found->session, sizeof found->session, "%s", session == NULL ? "" : session);
    found->cells = sim_db_cells(statement, 3, sim_tables[table].column_count);
    view->counts[row]++;
}

static void read_view(struct view *view, struct sim_machine *machine)
{
    view->machine = machine;
    (void)sim_db_open(machine);
    for (int i = 0; i < SIM_TABLES; i++) {
        sqlite3_stmt *statement = NULL;
        char *sql = make_query(machine, (enum sim_table)i);

        if (sqlite3_prepare_v2(machine->db, sql, -1, &statement, NULL) != SQLITE_OK) {
            sim_bad(machine->world, "cannot read %s at %s: %s", sim_tables[i].name, machine->name,
                    sqlite3_errmsg(machine->db));
        }
        sqlite3_free(sql);
        while (statement != NULL && sqlite3_step(statement) == SQLITE_ROW) {
            add_found(view, statement, (enum sim_table)i);
        }
        (void)sqlite3_finalize(statement);
    }
}

static int compare_found(const void *a, const void *b)
{
    const struct found *x = a;
    const struct found *y = b;

    if (x->row != y->row) {
        return x->row < y->row ? -1 : 1;
    }
    if (strcmp(x->registers, y->registers) != 0) {
        return strcmp(x->registers, y->registers);
    }
    return strcmp(x->session, y->session);
}

static void order_view(struct view *view, const struct sim_machine *reference)
{
    const struct sim_ledger *ledger = view->machine->world->ledger;

    for (size_t i = 0; i < view->count; i++) {
        view->found[i].registers = join_registers(
            view->machine, reference, ledger->rows[view->found[i].row].table, view->found[i].cells);
    }
    if (view->count > 0) {
        qsort(view->found, view->count, sizeof *view->found, compare_found);
    }
    for (size_t i = view->count; i > 0; i--) {
        view->first[view->found[i - 1].row] = (int)(i - 1);
    }
}

static void release_view(struct view *view)
{
    for (size_t i = 0; i < view->count; i++) {
        for (size_t k = 0; k < SIM_COLUMNS_MAX; k++) {
            free(view->found[i].cells[k]);
        }
        free(view->found[i].cells);
        free(view->found[i].registers);
    }
    free(view->found);
    free(view);
}

/* ---- one database by itself ---- */

static void check_text(struct sim_machine *machine, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(machine->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW ||
        strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
        sim_bad(machine->world, "%s at %s: %s", sql, machine->name,
                statement == NULL ? sqlite3_errmsg(machine->db)
                                  : (const char *)sqlite3_column_text(statement, 0));
    }
    (void)sqlite3_finalize(statement);
}

static void check_full_text(struct sim_machine *machine, const char *table)
{
    char *sql = sqlite3_mprintf("INSERT INTO %s_fts(%s_fts,rank) VALUES('integrity-check',1)",
                                table, table);
    int64_t rows = sim_db_int64(machine, "SELECT count(*) FROM %s", table);
    int64_t indexed = sim_db_int64(machine, "SELECT count(*) FROM %s_fts_docsize", table);

    if (sqlite3_exec(machine->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        sim_bad(machine->world, "the full-text index of %s does not agree with it at %s: %s", table,
                machine->name, sqlite3_errmsg(machine->db));
    }
    if (rows != indexed) {
        sim_bad(machine->world,
                "the full-text index of %s has %" PRId64 " of %" PRId64 " rows at %s", table,
                indexed, rows, machine->name);
    }
    sqlite3_free(sql);
}

/* Rows whose parent is missing are claude-mem's old trouble; new ones are ours. */
static void check_foreign_keys(struct sim_machine *machine)
{
    struct sim_world *world = machine->world;
    sqlite3_stmt *statement = NULL;

    MB_ASSERT(sqlite3_prepare_v2(machine->db,
                                 "SELECT \"table\", rowid FROM pragma_foreign_key_check", -1,
                                 &statement, NULL) == SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(statement, 0);
        int64_t id = sqlite3_column_int64(statement, 1);
        int row = -1;

        for (int i = SIM_OBSERVATION; i < SIM_TABLES; i++) {
            if (strcmp(table, sim_tables[i].name) == 0) {
                row = sim_ledger_find(world->ledger, (enum sim_table)i, "",
                                      sim_db_int64(machine,
                                                   "SELECT created_at_epoch FROM %s WHERE id=%lld",
                                                   table, (long long)id));
            }
        }
        if (row < 0 || !world->ledger->rows[row].is_orphan) {
            char text[96];

            sim_bad(world, "a child without its parent at %s: %s", machine->name,
                    row < 0 ? table : describe(world, row, text));
        }
    }
    (void)sqlite3_finalize(statement);
}

static void check_database(struct sim_machine *machine)
{
    check_text(machine, "PRAGMA integrity_check");
    check_foreign_keys(machine);
    for (int i = SIM_OBSERVATION; i < SIM_TABLES; i++) {
        check_full_text(machine, sim_tables[i].name);
    }
}

/* ---- all databases against the ledger ---- */

struct court {
    struct sim_world *world;
    size_t count;
    struct view *views[SIM_MACHINES_MAX];
    struct view *reference; /* the one whose schema has most columns */
    sim_counts seen;        /* by a capture of a living machine, or published by one that is gone */
};

/* An old schema cannot hold a prompt whose session row is missing; and it cannot take the content
 * id from a dead session that prompts still refer to, so that it stays as it is. */
static bool is_beyond_schema(const struct court *court, const struct view *view, int index)
{
    const struct sim_row *row = &court->world->ledger->rows[index];
    int session;

    if (view->machine->version == SIM_13_25_3) {
        return false;
    }
    if (row->table == SIM_PROMPT) {
        session = sim_ledger_find(court->world->ledger, SIM_SESSION, row->content, 0);
        return session < 0 || view->counts[session] == 0;
    }
    if (row->table != SIM_SESSION || !row->is_deleted) {
        return false;
    }
    return sim_db_int64(view->machine,
                        "SELECT count(*) FROM user_prompts WHERE content_session_id=%Q",
                        row->content) > 0;
}

static void check_count(struct court *court, int index, const struct view *view, unsigned most)
{
    struct sim_world *world = court->world;
    const struct sim_row *row = &world->ledger->rows[index];
    bool is_held_here = ((row->guarded_by | row->cleaned_by) >> view->machine->index & 1u) != 0;
    /* What only a hold still knows goes with the store. */
    bool is_beyond = world->is_wiped && (row->guarded_by | row->cleaned_by) != 0;
    unsigned count = view->counts[index];
    unsigned wanted = court->seen[index] == 0     ? 0
                      : row->table == SIM_SESSION ? 1
                                                  : court->seen[index];
    char text[96];

    if (count > most) {
        sim_bad(world, "%s is there twice at %s: %u rows", describe(world, index, text),
                view->machine->name, count);
    }
    if (is_beyond_schema(court, view, index)) {
        if (row->table == SIM_PROMPT && count == 0 && wanted > 0) {
            sim_trap(world, SIM_TRAP_OLD_SCHEMA);
        }
        return;
    }
    if (row->must_live && count == 0) {
        sim_bad(world, "%s was made again and is lost at %s", describe(world, index, text),
                view->machine->name);
    } else if (row->is_dead && !row->is_unsure && row->made == 1 && count > 0) {
        sim_bad(world, "%s is back from the dead at %s", describe(world, index, text),
                view->machine->name);
    } else if (!row->is_deleted && !row->is_unsure && count < wanted && !is_held_here &&
               !is_beyond && !(row->is_suppressed && (row->guarded_by | row->cleaned_by) == 0)) {
        sim_bad(world, "%s is lost at %s (%u of %u)", describe(world, index, text),
                view->machine->name, count, wanted);
    }
}

static void check_payload(struct court *court, const struct view *view, const struct found *found)
{
    struct sim_world *world = court->world;
    const struct sim_row *row = &world->ledger->rows[found->row];
    const struct sim_table_info *info = &sim_tables[row->table];
    char text[96];

    for (size_t i = 0; i < info->column_count; i++) {
        if (info->columns[i].is_register || (row->columns >> i & 1u) == 0 ||
            !sim_db_has(view->machine, row->table, i) ||
            (row->table == SIM_SESSION && row->made > 1 && i < 3) ||
            (row->table == SIM_PROMPT && row->is_cut && i == 2)) {
            continue;
        }
        if ((row->cells[i] == NULL) != (found->cells[i] == NULL) ||
            (row->cells[i] != NULL && strcmp(row->cells[i], found->cells[i]) != 0)) {
            sim_bad(world, "%s has another %s at %s: '%s' was '%s'",
                    describe(world, found->row, text), info->columns[i].name, view->machine->name,
                    found->cells[i] == NULL ? "NULL" : found->cells[i] + 1,
                    row->cells[i] == NULL ? "NULL" : row->cells[i] + 1);
        }
    }
}

/* A value that was replaced, and the change published, must not stand at the end. */
static void check_stolen(struct court *court, const struct view *view, const struct found *found)
{
    const struct sim_row *row = &court->world->ledger->rows[found->row];
    const struct sim_table_info *info = &sim_tables[row->table];
    char text[96];

    if (row->made > 1 || row->is_register_unsure) {
        return;
    }
    for (size_t i = 0; i < info->column_count; i++) {
        if (info->columns[i].is_register && found->cells[i] != NULL &&
            sim_ledger_is_stolen(court->world->ledger, found->row, found->cells[i] + 1)) {
            sim_bad(court->world, "%s has a stale %s at %s: %s",
                    describe(court->world, found->row, text), info->columns[i].name,
                    view->machine->name, found->cells[i] + 1);
        }
    }
}

/* The session that a child was made in, if that is alive beyond doubt, is the one it hangs on. */
static void check_session(struct court *court, const struct view *view, const struct found *found)
{
    struct sim_world *world = court->world;
    const struct sim_row *row = &world->ledger->rows[found->row];
    const struct sim_row *session;
    char text[96];

    if (row->table == SIM_SESSION || row->session < 0 || row->made > 1) {
        return;
    }
    session = &world->ledger->rows[row->session];
    if (session->is_deleted || session->is_unsure || session->is_suppressed ||
        court->seen[row->session] == 0) {
        return;
    }
    if (strcmp(found->session, session->content) != 0) {
        sim_bad(world, "%s hangs on '%s' and not on its session '%s' at %s",
                describe(world, found->row, text), found->session, session->content,
                view->machine->name);
    }
}

/* Can both say what the row hangs on? An old schema knows a prompt's session by its text alone, and
 * keeps the row of a dead session for as long as prompts refer to it. */
static bool may_compare_sessions(const struct court *court, const struct sim_row *row,
                                 const struct view *a, const struct view *b)
{
    bool is_any_old = a->machine->version != SIM_13_25_3 || b->machine->version != SIM_13_25_3;
    const struct sim_row *session =
        row->session < 0 ? NULL : &court->world->ledger->rows[row->session];
    bool is_dead = session != NULL && session->is_deleted;
    /* Its delete is held, or was a clean-up, on one of them. */
    bool is_doubtful = session != NULL &&
                       (session->is_suppressed || (session->guarded_by | session->cleaned_by) != 0);

    return row->table != SIM_SESSION && row->made == 1 && !is_doubtful &&
           !(is_any_old && (row->table == SIM_PROMPT || is_dead));
}

/* Registers and sessions of one row, as two machines have them. */
static void check_equal(struct court *court, int index, const struct view *view)
{
    struct sim_world *world = court->world;
    const struct sim_row *row = &world->ledger->rows[index];
    const struct view *other = court->reference;
    char text[96];

    for (unsigned i = 0; i < view->counts[index]; i++) {
        const struct found *a = &view->found[view->first[index] + (int)i];
        const struct found *b = &other->found[other->first[index] + (int)i];
        char *ours = join_registers(view->machine, other->machine, row->table, a->cells);
        char *theirs = join_registers(view->machine, other->machine, row->table, b->cells);

        if (strcmp(ours, theirs) != 0) {
            sim_bad(world, "%s differs: at %s%s, at %s%s", describe(world, index, text),
                    view->machine->name, ours, other->machine->name, theirs);
        }
        if (may_compare_sessions(court, row, view, other) && strcmp(a->session, b->session) != 0) {
            sim_bad(world, "%s hangs on '%s' at %s and on '%s' at %s", describe(world, index, text),
                    a->session, view->machine->name, b->session, other->machine->name);
        }
        free(ours);
        free(theirs);
    }
}

static void check_row(struct court *court, int index)
{
    struct sim_world *world = court->world;
    const struct sim_row *row = &world->ledger->rows[index];
    unsigned most = row->table == SIM_SESSION ? 1 : row->made;
    size_t errors_before = world->error_count;
    char text[96];

    for (size_t i = 0; i < court->count; i++) {
        check_count(court, index, court->views[i], most);
    }
    for (size_t i = 0; i < court->count; i++) {
        const struct view *view = court->views[i];

        for (unsigned k = 0; k < view->counts[index]; k++) {
            const struct found *found = &view->found[view->first[index] + (int)k];

            check_payload(court, view, found);
            check_stolen(court, view, found);
            check_session(court, view, found);
        }
        if (world->error_count > errors_before || row->is_suppressed ||
            (row->guarded_by | row->cleaned_by) != 0 || is_beyond_schema(court, view, index) ||
            is_beyond_schema(court, court->reference, index)) {
            continue;
        }
        if (view->counts[index] != court->reference->counts[index]) {
            sim_bad(world, "%s is there %u times at %s and %u times at %s",
                    describe(world, index, text), view->counts[index], view->machine->name,
                    court->reference->counts[index], court->reference->machine->name);
        } else {
            check_equal(court, index, view);
        }
    }
}

/* Of rows that clean-ups took for each other's duplicates one lives, on every machine. */
static void check_twins(struct court *court)
{
    const struct sim_ledger *ledger = court->world->ledger;

    for (int twins = 1; twins <= 4; twins++) {
        bool is_cleaned = false;
        bool is_asked = true;

        for (size_t i = 0; i < ledger->row_count; i++) {
            if (ledger->rows[i].twins == twins) {
                is_cleaned = is_cleaned || ledger->rows[i].cleaned_by != 0;
                is_asked = is_asked && !ledger->rows[i].is_deleted && court->seen[i] > 0;
            }
        }
        for (size_t k = 0; is_cleaned && is_asked && k < court->count; k++) {
            unsigned count = 0;

            for (size_t i = 0; i < ledger->row_count; i++) {
                count += ledger->rows[i].twins == twins ? court->views[k]->counts[i] : 0;
            }
            if (count == 0) {
                sim_bad(court->world, "all duplicates in group %d are lost at %s", twins,
                        court->views[k]->machine->name);
            }
        }
    }
}

void sim_judge(struct sim_world *world)
{
    struct court *court = mb_alloc_zeroed(1, sizeof *court);
    size_t errors_before = world->error_count;

    court->world = world;
    for (size_t i = 0; i < world->machine_count; i++) {
        struct sim_machine *machine = world->machines[i];
        struct view *view;

        for (size_t k = 0; k < SIM_ROWS_MAX; k++) {
            uint8_t seen = machine->is_gone ? machine->sent[k] : machine->seen[k];

            court->seen[k] = seen > court->seen[k] ? seen : court->seen[k];
        }
        if (machine->is_gone) {
            continue;
        }
        view = mb_alloc_zeroed(1, sizeof *view);
        read_view(view, machine);
        check_database(machine);
        if (court->reference == NULL || machine->version < court->reference->machine->version) {
            court->reference = view;
        }
        court->views[court->count++] = view;
    }
    for (size_t i = 0; i < court->count; i++) {
        order_view(court->views[i], court->reference->machine);
    }
    for (size_t i = 0; i < world->ledger->row_count; i++) {
        check_row(court, (int)i);
    }
    check_twins(court);
    if (world->error_count == errors_before) {
        sim_judge_status(world);
    }
    for (size_t i = 0; i < court->count; i++) {
        release_view(court->views[i]);
    }
    free(court);
}
