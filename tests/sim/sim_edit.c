/* SPDX-License-Identifier: MIT */
/*
 * What claude-mem and people do to a database, each in one transaction of claude-mem's own
 * connection. When the engine is writing just then, the database is busy and the edit does not
 * happen. Every value that can change later is made unique ("v<tag>"), so that the judge can tell
 * where it came from.
 */
#include "assert.h"
#include "digest.h"
#include "sim_rows.h"
#include "text.h"

#include <inttypes.h>
#include <string.h>

#include "banned.h"

typedef bool edit_fn(struct sim_machine *machine, struct sim_random *random);

static bool edit_newobs(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;

    return sim_row_some_session(machine, random, &session) &&
           sim_row_new_observation(machine, &session);
}

static bool edit_newsum(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;
    int64_t epoch = sim_row_epoch(machine);
    int64_t tag = sim_row_tag(machine);
    char utc[MB_TEXT_SHORT_MAX];

    return sim_row_some_session(machine, random, &session) &&
           sim_db_exec(machine,
                       "INSERT INTO"
                       " session_summaries(memory_session_id,project,request,investigated,learned,"
                       "completed,next_steps,notes,prompt_number,discovery_tokens,created_at"
                       ",created_at_epoch)"
                       " VALUES(%Q,%Q,'m%lld','looked','learned','done','next',NULL,1,7,%Q,%lld)",
                       session.memory, session.project, (long long)tag, mb_text_utc(utc, epoch),
                       (long long)epoch) &&
           sim_ledger_made(machine, SIM_SUMMARY, "", epoch, session.row) >= 0;
}

static bool edit_newprompt(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;
    bool is_long = SIM_HAS(machine->world->kinds, CUT) && sim_random_chance(random, 50);

    return sim_row_some_session(machine, random, &session) &&
           sim_row_insert_prompt(machine, &session, false, is_long);
}

/* A prompt without a session row, of a session that may exist or not. */
static bool edit_nullprompt(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;

    if (machine->version != SIM_13_25_3) {
        return false;
    }
    if (!sim_random_chance(random, 50) || !sim_row_pick_session(machine, random, &session)) {
        (void)snprintf(session.content, sizeof session.content, "lone%" PRId64,
                       sim_row_tag(machine));
    }
    return sim_row_insert_prompt(machine, &session, true, false);
}

static bool edit_fill(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;

    return sim_row_load_session(
               machine,
               sim_db_pick(machine, random, SIM_TRUE_SESSIONS " AND memory_session_id IS NULL"),
               &session) &&
           sim_row_fill_memory(machine, &session);
}

static bool edit_title(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;

    return sim_row_load_session(
               machine, sim_db_pick(machine, random, SIM_TRUE_SESSIONS " AND custom_title IS NULL"),
               &session) &&
           sim_db_exec(machine, "UPDATE sdk_sessions SET custom_title='v%lld' WHERE id=%lld",
                       (long long)sim_row_tag(machine), (long long)session.id) &&
           (sim_ledger_changed(machine, session.row, ""), true);
}

static bool edit_complete(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;
    int64_t now = sim_machine_now(machine);
    char utc[MB_TEXT_SHORT_MAX];

    return sim_row_load_session(machine,
                                sim_db_pick(machine, random,
                                            SIM_TRUE_SESSIONS " AND"
                                                              " status='active'"),
                                &session) &&
           sim_db_exec(
               machine,
               "UPDATE sdk_sessions SET status='completed',completed_at=%Q,completed_at_epoch=%lld"
               " WHERE id=%lld",
               mb_text_utc(utc, now), (long long)now, (long long)session.id) &&
           (sim_ledger_changed(machine, session.row, ""), true);
}

/* Sets a text column of one row to a new value and notes which value it replaced. */
static bool change_column(struct sim_machine *machine, struct sim_random *random,
                          enum sim_table table, const char *column)
{
    const char *name = sim_tables[table].name;
    char old_value[SIM_TEXT_MAX];
    char content[SIM_TEXT_MAX] = "";
    int64_t epoch = 0;
    int row;
    int64_t id = sim_row_hot(machine, random, table);

    id =
        id >= 0 ? id : sim_db_pick(machine, random, "SELECT id FROM %s ORDER BY id LIMIT 12", name);
    if (id < 0) {
        return false;
    }
    if (table == SIM_SESSION) {
        sim_db_text(machine, content, "SELECT content_session_id FROM sdk_sessions WHERE id=%lld",
                    (long long)id);
    } else {
        epoch = sim_db_int64(machine, "SELECT created_at_epoch FROM %s WHERE id=%lld", name,
                             (long long)id);
    }
    row = sim_ledger_find(machine->world->ledger, table, content, epoch);
    sim_db_text(machine, old_value, "SELECT %s FROM %s WHERE id=%lld", column, name, (long long)id);
    if (row < 0 || !sim_db_exec(machine, "UPDATE %s SET %s='v%lld' WHERE id=%lld", name, column,
                                (long long)sim_row_tag(machine), (long long)id)) {
        return false;
    }
    sim_ledger_changed(machine, row, old_value);
    return true;
}

static bool edit_project(struct sim_machine *machine, struct sim_random *random)
{
    return change_column(machine, random, (enum sim_table)sim_random_below(random, SIM_PROMPT),
                         "project");
}

static bool edit_mergeinto(struct sim_machine *machine, struct sim_random *random)
{
    enum sim_table table = sim_random_chance(random, 50) ? SIM_OBSERVATION : SIM_SUMMARY;

    return machine->version != SIM_10_6_3 &&
           change_column(machine, random, table, "merged_into_project");
}

static bool edit_del(struct sim_machine *machine, struct sim_random *random)
{
    enum sim_table table = (enum sim_table)(SIM_OBSERVATION + (int)sim_random_below(random, 3));
    int64_t id = sim_row_copied(machine, random);

    if (id >= 0) {
        table = SIM_OBSERVATION;
    } else {
        id = sim_row_hot(machine, random, table);
    }
    id = id >= 0 ? id : sim_db_pick(machine, random, "SELECT id FROM %s", sim_tables[table].name);
    return id >= 0 && sim_db_exec(machine, "DELETE FROM %s WHERE id=%lld", sim_tables[table].name,
                                  (long long)id);
}

static bool edit_sessdel(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;

    return sim_row_pick_session(machine, random, &session) &&
           sim_db_exec(machine, "DELETE FROM sdk_sessions WHERE id=%lld", (long long)session.id);
}

/* claude-mem makes the session row again at the next prompt of a session that somebody deleted. */
static bool edit_resume(struct sim_machine *machine, struct sim_random *random)
{
    const struct sim_ledger *ledger = machine->world->ledger;
    const struct sim_row *picked = NULL;
    unsigned count = 0;
    char memory[SIM_TEXT_MAX];

    for (size_t i = 0; i < ledger->row_count; i++) {
        const struct sim_row *row = &ledger->rows[i];

        if (row->table == SIM_SESSION && row->is_deleted &&
            (row->made_by >> machine->index & 1u) != 0 && sim_random_below(random, ++count) == 0) {
            picked = row;
        }
    }
    (void)snprintf(memory, sizeof memory, "again-%s-%" PRId64, machine->name, sim_row_tag(machine));
    return picked != NULL && sim_row_make_session(machine, picked->content, memory, "p0");
}

static bool edit_rewrite(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;

    return sim_row_pick_session(machine, random, &session) && session.memory[0] != '\0' &&
           (sim_row_has_memory(machine, session.row, session.memory), true) &&
           sim_db_exec(machine, "UPDATE sdk_sessions SET memory_session_id='rw%lld' WHERE id=%lld",
                       (long long)sim_row_tag(machine), (long long)session.id);
}

static void note_twins(struct sim_machine *machine, int row, unsigned project, unsigned title)
{
    unsigned *makers = &machine->world->manual_by[project][title];

    machine->world->ledger->rows[row].twins = (int)(1 + 2 * project + title);
    *makers |= 1u << machine->index;
    if ((*makers & (*makers - 1)) != 0) {
        sim_trap(machine->world, SIM_TRAP_MANUAL_TWINS);
    }
}

/* /api/memory/save: the session has the same ids on every machine; titles repeat. */
static bool edit_manual(struct sim_machine *machine, struct sim_random *random)
{
    unsigned project_number = sim_random_below(random, 2);
    struct sim_session session;
    struct sim_observation made = {.narrative = "saved by hand"};
    char content[SIM_TEXT_MAX];
    char memory[SIM_TEXT_MAX];
    char project[SIM_TEXT_MAX];
    char title[SIM_TEXT_MAX];
    bool is_shared = sim_random_chance(random, 60);
    unsigned number = 0;
    int row;

    if (SIM_HAS(machine->world->kinds, HOT) && sim_random_chance(random, 60)) {
        project_number = 0;
        is_shared = true;
    } else if (is_shared) {
        number = sim_random_below(random, 2);
    }
    (void)snprintf(project, sizeof project, "p%u", project_number);
    (void)snprintf(content, sizeof content, "manual-content-p%u", project_number);
    (void)snprintf(memory, sizeof memory, "manual-p%u", project_number);
    (void)sim_row_make_session(machine, content, memory, project);
    if (!sim_row_load_session(machine,
                              sim_db_int64(machine,
                                           "SELECT coalesce(max(id),-1) FROM sdk_sessions"
                                           " WHERE content_session_id=%Q",
                                           content),
                              &session) ||
        !sim_row_fill_memory(machine, &session)) {
        return false;
    }
    (void)snprintf(title, sizeof title, is_shared ? "same %" PRId64 : "o%" PRId64,
                   is_shared ? (int64_t)number : sim_row_tag(machine));
    made.title = title;
    made.project = session.project;
    made.epoch = sim_row_epoch(machine);
    if (!sim_row_insert_observation(machine, &session, &made)) {
        return true; /* the very title is there: claude-mem keeps the one it has */
    }
    row = sim_ledger_find(machine->world->ledger, SIM_OBSERVATION, "", made.epoch);
    machine->world->ledger->rows[row].is_shared = is_shared;
    if (is_shared) {
        note_twins(machine, row, project_number, number);
    }
    return true;
}

static bool edit_cut(struct sim_machine *machine, struct sim_random *random)
{
    int64_t id =
        sim_db_pick(machine, random, "SELECT id FROM user_prompts WHERE length(prompt_text)>1400");
    int row;

    if (id < 0 ||
        !sim_db_exec(machine,
                     "UPDATE user_prompts SET prompt_text=substr(prompt_text,1,1200) WHERE id=%lld",
                     (long long)id)) {
        return false;
    }
    row = sim_ledger_find(machine->world->ledger, SIM_PROMPT, "",
                          sim_db_int64(machine,
                                       "SELECT created_at_epoch FROM user_prompts WHERE id=%lld",
                                       (long long)id));
    MB_ASSERT(row >= 0);
    machine->world->ledger->rows[row].is_cut = true;
    return true;
}

/* An equal row in another session. Only the first machine makes them: two that do it at the same
 * time make one. */
static bool edit_copy(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;
    int64_t id = sim_row_copied(machine, random);
    char memory[SIM_TEXT_MAX];
    char title[SIM_TEXT_MAX];
    char hash[17];
    char narrative[SIM_TEXT_MAX];
    int64_t epoch;
    bool is_new = machine->version != SIM_10_6_3;

    id = id >= 0
             ? id
             : sim_db_pick(machine, random, "SELECT id FROM observations WHERE title LIKE 'o%%'");
    if (machine->index != 0 || id < 0 ||
        !sim_row_load_session(machine, sim_db_pick(machine, random, SIM_TRUE_SESSIONS), &session) ||
        !sim_row_fill_memory(machine, &session)) {
        return false;
    }
    sim_db_text(machine, memory, "SELECT memory_session_id FROM observations WHERE id=%lld",
                (long long)id);
    sim_db_text(machine, title, "SELECT title FROM observations WHERE id=%lld", (long long)id);
    sim_db_text(machine, narrative, "SELECT narrative FROM observations WHERE id=%lld",
                (long long)id);
    epoch = sim_db_int64(machine, "SELECT created_at_epoch FROM observations WHERE id=%lld",
                         (long long)id);
    if (strcmp(memory, session.memory) == 0 ||
        sim_ledger_find(machine->world->ledger, SIM_OBSERVATION, "", epoch) < 0 ||
        machine->world->ledger
                ->rows[sim_ledger_find(machine->world->ledger, SIM_OBSERVATION, "", epoch)]
                .made_by != 1u) {
        return false;
    }
    sim_row_hash(session.memory, title, narrative, hash);
    return sim_db_exec(
               machine,
               "INSERT OR IGNORE INTO"
               " observations(memory_session_id,project,type,title,subtitle,facts,narrative,"
               "concepts,files_read,files_modified,prompt_number,discovery_tokens,content_hash"
               ",created_at,"
               "created_at_epoch%s) SELECT"
               " %Q,project,type,title,subtitle,facts,narrative,concepts,files_read,"
               "files_modified,prompt_number,discovery_tokens,%Q,created_at,created_at_epoch%s"
               " FROM observations WHERE id=%lld",
               is_new ? ",generated_by_model,metadata" : "", session.memory, hash,
               is_new ? ",generated_by_model,metadata" : "", (long long)id) &&
           sqlite3_changes(machine->db) > 0 &&
           sim_ledger_made(machine, SIM_OBSERVATION, "", epoch, session.row) >= 0;
}

static bool edit_bulk(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;
    bool is_made = sim_row_some_session(machine, random, &session);

    for (int i = 0; is_made && i < 30; i++) {
        is_made = sim_row_new_observation(machine, &session);
    }
    return is_made;
}

/* So many rows that the deletes which are held would now pass. */
static bool edit_grow(struct sim_machine *machine, struct sim_random *random)
{
    const struct sim_ledger *ledger = machine->world->ledger;
    struct sim_session session;
    int64_t held = 0;
    int64_t missing;
    bool is_made;

    for (size_t i = 0; i < ledger->row_count; i++) {
        held += (ledger->rows[i].guarded_by >> machine->index & 1u) != 0 ? 1 : 0;
    }
    missing = (held + 1) * 20 - sim_db_int64(machine, "SELECT count(*) FROM observations");
    if (held == 0 || !machine->is_hold_captured || missing <= 0 || missing > 900 ||
        ledger->row_count > SIM_ROWS_MAX / 2) {
        return false;
    }
    is_made = sim_row_some_session(machine, random, &session);
    for (int64_t i = 0; is_made && i < missing; i++) {
        is_made = sim_row_new_observation(machine, &session);
    }
    if (is_made) {
        sim_trap(machine->world, SIM_TRAP_HELD_GROWS);
    }
    return is_made;
}

static bool edit_big(struct sim_machine *machine, struct sim_random *random)
{
    if (!sim_row_new_big(machine, random)) {
        return false;
    }
    sim_trap(machine->world, SIM_TRAP_BIG_ROW);
    return true;
}

/* Raw SQL: more rows at once than may go without a person's word. */
static bool edit_massdel(struct sim_machine *machine, struct sim_random *random)
{
    static const char epochs[] =
        "SELECT created_at_epoch FROM observations WHERE title LIKE 'o%' ORDER BY id LIMIT ?";
    const struct sim_ledger *ledger = machine->world->ledger;
    sqlite3_stmt *statement = NULL;
    int rows[64];
    int count = 0;
    int known = 0;
    int wanted = 25 + (int)sim_random_below(random, 10);

    if (sqlite3_prepare_v2(sim_db_open(machine), epochs, -1, &statement, NULL) != SQLITE_OK) {
        return false;
    }
    (void)sqlite3_bind_int(statement, 1, wanted);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        int row = sim_ledger_find(ledger, SIM_OBSERVATION, "", sqlite3_column_int64(statement, 0));

        rows[count] = row;
        known += row >= 0 && machine->known[row] > 0 && ledger->rows[row].made == 1 ? 1 : 0;
        count++;
    }
    (void)sqlite3_finalize(statement);
    if (count < wanted || known < count ||
        sim_db_int64(machine, "SELECT count(*) FROM observations") > 300) {
        return false; /* not surely over the bound */
    }
    if (!sim_db_exec(machine,
                     "DELETE FROM observations WHERE id IN (SELECT id FROM observations"
                     " WHERE title LIKE 'o%%' ORDER BY id LIMIT %d)",
                     wanted)) {
        return false;
    }
    sim_ledger_mass_deleted(machine, rows, (size_t)count);
    return true;
}

/* Of rows with one title in a manual session one stays; which, another claude-mem decides
 * otherwise. */
static bool keep_one_twin(struct sim_machine *machine, struct sim_random *random)
{
    const struct sim_ledger *ledger = machine->world->ledger;
    size_t kept[5] = {0};
    unsigned counts[5] = {0};
    bool is_done = true;

    for (size_t i = 0; i < ledger->row_count; i++) {
        int twins = ledger->rows[i].twins;

        if (twins > 0 && sim_row_find(machine, &ledger->rows[i]) >= 0 &&
            sim_random_below(random, ++counts[twins]) == 0) {
            kept[twins] = i;
        }
    }
    for (size_t i = 0; i < ledger->row_count; i++) {
        const struct sim_row *row = &ledger->rows[i];

        if (row->twins > 0 && counts[row->twins] > 1 && kept[row->twins] != i) {
            is_done = is_done &&
                      sim_db_exec(machine, "DELETE FROM observations WHERE created_at_epoch=%lld",
                                  (long long)row->epoch);
        }
    }
    return is_done;
}

/* What claude-mem's migration 29 does, where two rows of one session have one hash. */
static bool edit_migrate(struct sim_machine *machine, struct sim_random *random)
{
    sim_ledger_migrated(machine);
    if (SIM_HAS(machine->world->kinds, HOT) && !keep_one_twin(machine, random)) {
        return false;
    }
    return sim_db_exec(
               machine,
               "DELETE FROM observations WHERE content_hash IS NOT NULL AND id NOT IN (SELECT"
               " min(id)"
               " FROM observations GROUP BY memory_session_id,content_hash)") &&
           sim_db_exec(
               machine,
               "INSERT INTO schema_versions(version,applied_at) SELECT max(version)+1,'2026-01-01'"
               " FROM schema_versions");
}

static edit_fn *const edits[SIM_EVENT_WHATS] = {
    [SIM_EVENT_NEWSESS] = sim_row_new_session,
    [SIM_EVENT_NEWOBS] = edit_newobs,
    [SIM_EVENT_NEWSUM] = edit_newsum,
    [SIM_EVENT_NEWPROMPT] = edit_newprompt,
    [SIM_EVENT_FILL] = edit_fill,
    [SIM_EVENT_TITLE] = edit_title,
    [SIM_EVENT_COMPLETE] = edit_complete,
    [SIM_EVENT_PROJECT] = edit_project,
    [SIM_EVENT_MERGEINTO] = edit_mergeinto,
    [SIM_EVENT_DEL] = edit_del,
    [SIM_EVENT_SESSDEL] = edit_sessdel,
    [SIM_EVENT_RESUME] = edit_resume,
    [SIM_EVENT_REWRITE] = edit_rewrite,
    [SIM_EVENT_MANUAL] = edit_manual,
    [SIM_EVENT_NULLPROMPT] = edit_nullprompt,
    [SIM_EVENT_CUT] = edit_cut,
    [SIM_EVENT_COPY] = edit_copy,
    [SIM_EVENT_BULK] = edit_bulk,
    [SIM_EVENT_MASSDEL] = edit_massdel,
    [SIM_EVENT_ORPHAN] = edit_sessdel,
    [SIM_EVENT_MIGRATE] = edit_migrate,
    [SIM_EVENT_GROW] = edit_grow,
    [SIM_EVENT_BIG] = edit_big,
};

/* Notes what vanished between two counts, in the way that this event makes rows vanish. */
static void note_vanished(struct sim_machine *machine, enum sim_event_what what,
                          const sim_counts before, const sim_counts after)
{
    struct sim_ledger *ledger = machine->world->ledger;

    for (size_t i = 0; i < ledger->row_count; i++) {
        if (after[i] >= before[i]) {
            continue;
        }
        if (what == SIM_EVENT_MIGRATE) {
            ledger->rows[i].cleaned_by |= 1u << machine->index;
            sim_trap_cleaned(machine, &ledger->rows[i]);
        } else if (what == SIM_EVENT_ORPHAN) {
            sim_ledger_deleted(machine, (int)i);
            ledger->rows[i].is_unsure = true;
        } else if (what != SIM_EVENT_MASSDEL) {
            sim_ledger_deleted(machine, (int)i);
        }
    }
}

/* Whose parent is missing: their foreign key errors are not the engine's. */
static void note_orphans(struct sim_machine *machine)
{
    struct sim_ledger *ledger = machine->world->ledger;

    for (size_t i = 0; i < ledger->row_count; i++) {
        int session = ledger->rows[i].session;

        /* A copy may hang on another session than the first was made in. */
        if (ledger->rows[i].made > 1 || (session >= 0 && ledger->rows[session].is_deleted)) {
            ledger->rows[i].is_orphan = true;
        }
    }
}

static bool takes_away(enum sim_event_what what)
{
    return what == SIM_EVENT_DEL || what == SIM_EVENT_SESSDEL || what == SIM_EVENT_ORPHAN ||
           what == SIM_EVENT_MASSDEL || what == SIM_EVENT_MIGRATE;
}

bool sim_edit(struct sim_machine *machine, enum sim_event_what what, struct sim_random *random)
{
    sim_counts before;
    sim_counts after;
    bool is_done;

    if (edits[what] == NULL || (takes_away(what) && machine->is_restored)) {
        return false;
    }
    (void)sim_db_open(machine);
    if (what == SIM_EVENT_ORPHAN) {
        (void)sqlite3_exec(machine->db, "PRAGMA foreign_keys=OFF", NULL, NULL, NULL);
    }
    /* Not IMMEDIATE: with a rollback journal, a reader would make the commit fail. */
    is_done = sqlite3_exec(machine->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK;
    if (is_done) {
        if (takes_away(what)) {
            sim_db_count(machine, before);
        }
        is_done = edits[what](machine, random);
        if (takes_away(what)) {
            sim_db_count(machine, after);
            note_vanished(machine, what, before, after);
        }
        MB_ASSERT(sqlite3_exec(machine->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    }
    if (what == SIM_EVENT_ORPHAN) {
        note_orphans(machine);
        (void)sqlite3_exec(machine->db, "PRAGMA foreign_keys=ON", NULL, NULL, NULL);
    }
    sim_log(machine->world, "      %s %s%s", machine->name, sim_event_name(what),
            is_done ? "" : " (not now)");
    return is_done;
}
