/* SPDX-License-Identifier: MIT */
#include "sim_rows.h"

#include "alloc.h"
#include "digest.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

int64_t sim_row_tag(struct sim_machine *machine)
{
    return ++machine->world->tag;
}

/* The machine's time, moved on until no row of any machine has it. */
int64_t sim_row_epoch(struct sim_machine *machine)
{
    int64_t epoch = sim_machine_now(machine);

    for (bool is_free = false; !is_free; epoch += is_free ? 0 : 1) {
        is_free = true;
        for (int i = SIM_OBSERVATION; i < SIM_TABLES; i++) {
            is_free = is_free &&
                      sim_ledger_find(machine->world->ledger, (enum sim_table)i, "", epoch) < 0;
        }
    }
    return epoch;
}

void sim_row_hash(const char *memory, const char *title, const char *narrative, char out[static 17])
{
    struct mb_digest *digest = mb_digest_new();
    uint8_t bytes[MB_DIGEST_SIZE];

    mb_digest_update(digest, memory, strlen(memory) + 1);
    mb_digest_update(digest, title, strlen(title) + 1);
    mb_digest_update(digest, narrative, strlen(narrative));
    mb_digest_final(digest, bytes);
    mb_digest_free(digest);
    mb_digest_hex(bytes, 8, out);
}

bool sim_row_load_session(struct sim_machine *machine, int64_t id, struct sim_session *session)
{
    session->id = id;
    if (id < 0) {
        return false;
    }
    sim_db_text(machine, session->content,
                "SELECT content_session_id FROM sdk_sessions WHERE id=%lld", (long long)id);
    sim_db_text(machine, session->memory,
                "SELECT memory_session_id FROM sdk_sessions WHERE id=%lld", (long long)id);
    sim_db_text(machine, session->project, "SELECT project FROM sdk_sessions WHERE id=%lld",
                (long long)id);
    session->row = sim_ledger_find(machine->world->ledger, SIM_SESSION, session->content, 0);
    return session->row >= 0;
}

int64_t sim_row_find(struct sim_machine *machine, const struct sim_row *row)
{
    return row->table == SIM_SESSION
               ? sim_db_int64(machine,
                              "SELECT coalesce(max(id),-1) FROM sdk_sessions WHERE"
                              " content_session_id=%Q"
                              " AND content_session_id IS NOT memory_session_id",
                              row->content)
               : sim_db_int64(machine,
                              "SELECT coalesce(max(id),-1) FROM %s WHERE created_at_epoch=%lld",
                              sim_tables[row->table].name, (long long)row->epoch);
}

int64_t sim_row_hot(struct sim_machine *machine, struct sim_random *random, enum sim_table table)
{
    const struct sim_world *world = machine->world;
    unsigned kept = world->hot_count < SIM_HOT_MAX ? world->hot_count : SIM_HOT_MAX;

    if (!SIM_HAS(world->kinds, HOT) || !sim_random_chance(random, 60)) {
        return -1;
    }
    for (unsigned i = 0; i < kept; i++) { /* the newest first */
        const struct sim_row *row =
            &world->ledger->rows[world->hot[(world->hot_count - 1 - i) % SIM_HOT_MAX]];
        int64_t id = row->table == table ? sim_row_find(machine, row) : -1;

        if (id >= 0 && sim_random_chance(random, 70)) {
            return id;
        }
    }
    return -1;
}

int64_t sim_row_copied(struct sim_machine *machine, struct sim_random *random)
{
    const struct sim_ledger *ledger = machine->world->ledger;

    if (!SIM_HAS(machine->world->kinds, HOT) || !SIM_HAS(machine->world->kinds, COPIES) ||
        !sim_random_chance(random, 60)) {
        return -1;
    }
    for (size_t i = 0; i < ledger->row_count; i++) {
        if (ledger->rows[i].table == SIM_OBSERVATION && ledger->rows[i].made > 1) {
            return sim_row_find(machine, &ledger->rows[i]);
        }
    }
    return -1;
}

bool sim_row_pick_session(struct sim_machine *machine, struct sim_random *random,
                          struct sim_session *session)
{
    int64_t id = sim_row_hot(machine, random, SIM_SESSION);

    return sim_row_load_session(
        machine, id >= 0 ? id : sim_db_pick(machine, random, SIM_TRUE_SESSIONS), session);
}

void sim_row_has_memory(struct sim_machine *machine, int index, const char *memory)
{
    struct sim_world *world = machine->world;
    struct sim_row *row = &world->ledger->rows[index];

    row->memory_by |= strncmp(memory, "manual-", 7) == 0 ? 0 : 1u << machine->index;
    for (size_t i = 0; i < world->machine_count; i++) {
        if (world->machines[i]->has_worker && (row->memory_by >> i & 1u) != 0 &&
            (row->memory_by & (row->memory_by - 1)) != 0) {
            sim_trap(world, SIM_TRAP_TWO_MEMORY_IDS);
        }
    }
}

bool sim_row_make_session(struct sim_machine *machine, const char *content, const char *memory,
                          const char *project)
{
    int64_t epoch = sim_machine_now(machine);
    char utc[MB_TEXT_SHORT_MAX];
    int row;

    return sim_db_exec(
               machine,
               "INSERT OR IGNORE INTO sdk_sessions(content_session_id,memory_session_id,project,"
               "user_prompt,started_at,started_at_epoch,status)"
               " VALUES(%Q,%Q,%Q,'first prompt of %q',%Q,%lld,'active')",
               content, memory, project, content, mb_text_utc(utc, epoch), (long long)epoch) &&
           sqlite3_changes(machine->db) > 0 &&
           (row = sim_ledger_made(machine, SIM_SESSION, content, 0, -1)) >= 0 &&
           (memory == NULL || (sim_row_has_memory(machine, row, memory), true));
}

bool sim_row_fill_memory(struct sim_machine *machine, struct sim_session *session)
{
    if (session->memory[0] != '\0') {
        return true;
    }
    (void)snprintf(session->memory, sizeof session->memory, "mem-%s-%" PRId64, machine->name,
                   sim_row_tag(machine));
    sim_row_has_memory(machine, session->row, session->memory);
    return sim_db_exec(machine, "UPDATE sdk_sessions SET memory_session_id=%Q WHERE id=%lld",
                       session->memory, (long long)session->id);
}

bool sim_row_new_session(struct sim_machine *machine, struct sim_random *random)
{
    int64_t tag = sim_row_tag(machine);
    char content[SIM_TEXT_MAX];
    char memory[SIM_TEXT_MAX];
    char project[SIM_TEXT_MAX];

    (void)snprintf(content, sizeof content, "s%" PRId64, tag);
    (void)snprintf(memory, sizeof memory, "mem-%s-%" PRId64, machine->name, tag);
    (void)snprintf(project, sizeof project, "p%u", sim_random_below(random, 3));
    return sim_row_make_session(machine, content, sim_random_chance(random, 50) ? memory : NULL,
                                project);
}

/* A session to add to: one that is there, or a new one. */
bool sim_row_some_session(struct sim_machine *machine, struct sim_random *random,
                          struct sim_session *session)
{
    if (!sim_random_chance(random, 25) && sim_row_pick_session(machine, random, session)) {
        return sim_row_fill_memory(machine, session);
    }
    return sim_row_new_session(machine, random) &&
           sim_row_load_session(machine, sqlite3_last_insert_rowid(machine->db), session) &&
           sim_row_fill_memory(machine, session);
}

bool sim_row_insert_observation(struct sim_machine *machine, const struct sim_session *session,
                                const struct sim_observation *made)
{
    bool is_new = machine->version != SIM_10_6_3;
    char utc[MB_TEXT_SHORT_MAX];
    char hash[17];

    sim_row_hash(session->memory, made->title, made->narrative, hash);
    if (!sim_db_exec(machine,
                     "INSERT OR IGNORE INTO"
                     " observations(memory_session_id,project,type,title,subtitle,facts,"
                     "narrative,concepts,files_read,files_modified,prompt_number,discovery_tokens"
                     ",content_hash,"
                     "created_at,created_at_epoch%s) VALUES(%Q,%Q,'discovery',%Q,'it''s a subtitle"
                     " \xc3\xa9',"
                     "'[\"fact %lld\"]',%Q,'[\"how\"]','[]','[\"a.c\"]',1,%lld,%Q,%Q,%lld%s)",
                     is_new ? ",generated_by_model,metadata" : "", session->memory, made->project,
                     made->title, (long long)(made->epoch % 7), made->narrative,
                     (long long)(made->epoch % 1000), hash, mb_text_utc(utc, made->epoch),
                     (long long)made->epoch, is_new ? ",'model-1','{\"a\":1}'" : "") ||
        sqlite3_changes(machine->db) == 0) {
        return false;
    }
    return sim_ledger_made(machine, SIM_OBSERVATION, "", made->epoch, session->row) >= 0;
}

bool sim_row_new_observation(struct sim_machine *machine, const struct sim_session *session)
{
    char title[SIM_TEXT_MAX];
    char narrative[SIM_TEXT_MAX * 2];
    int64_t tag = sim_row_tag(machine);

    (void)snprintf(title, sizeof title, "o%" PRId64, tag);
    (void)snprintf(narrative, sizeof narrative,
                   "What %" PRId64 " is about, with \"quotes\"\nand lines", tag);
    return sim_row_insert_observation(
        machine, session,
        &(struct sim_observation){title, narrative, session->project, sim_row_epoch(machine)});
}

/* A long log, pasted. */
bool sim_row_new_big(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_session session;
    size_t size = 100000 + sim_random_below(random, 400000);
    char title[SIM_TEXT_MAX];
    char *narrative = mb_alloc(size + 1);
    bool is_made;

    for (size_t i = 0; i < size; i++) {
        narrative[i] = (char)('a' + (char)sim_random_below(random, 26));
    }
    narrative[size] = '\0';
    (void)snprintf(title, sizeof title, "big%" PRId64, sim_row_tag(machine));
    is_made =
        sim_row_some_session(machine, random, &session) &&
        sim_row_insert_observation(
            machine, &session,
            &(struct sim_observation){title, narrative, session.project, sim_row_epoch(machine)});
    free(narrative);
    return is_made;
}

bool sim_row_insert_prompt(struct sim_machine *machine, const struct sim_session *session,
                           bool is_null, bool is_long)
{
    int64_t epoch = sim_row_epoch(machine);
    int64_t number =
        sim_db_int64(machine, "SELECT count(*)+1 FROM user_prompts WHERE content_session_id=%Q",
                     session->content);
    char text[1600];
    char utc[MB_TEXT_SHORT_MAX];
    bool is_made;

    (void)snprintf(text, sizeof text, "q%" PRId64 " please", sim_row_tag(machine));
    if (is_long) {
        memset(text + strlen(text), 'x', sizeof text - strlen(text));
        text[1500] = '\0';
    }
    mb_text_utc(utc, epoch);
    if (machine->version == SIM_13_25_3) {
        char id[32];

        (void)snprintf(id, sizeof id, "%" PRId64, session->id);
        is_made =
            sim_db_exec(machine,
                        "INSERT INTO user_prompts(session_db_id,content_session_id,prompt_number,"
                        "prompt_text,created_at,created_at_epoch) VALUES(%s,%Q,%lld,%Q,%Q,%lld)",
                        is_null ? "NULL" : id, session->content, (long long)number, text, utc,
                        (long long)epoch);
    } else {
        is_made =
            sim_db_exec(machine,
                        "INSERT INTO user_prompts(content_session_id,prompt_number,prompt_text,"
                        "created_at,created_at_epoch) VALUES(%Q,%lld,%Q,%Q,%lld)",
                        session->content, (long long)number, text, utc, (long long)epoch);
    }
    return is_made && sim_ledger_made(machine, SIM_PROMPT, session->content, epoch,
                                      is_null ? -1 : session->row) >= 0;
}
