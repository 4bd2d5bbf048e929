/* SPDX-License-Identifier: MIT */
/* Which traps a run went through, from what befell machines and store. */
#include "sim_traps.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define DAY_MS ((int64_t)86400000)
#define YEAR_MS (365 * DAY_MS)
#define GRACE_MS (7 * DAY_MS) /* of a fold */
#define LONG_MS (60 * DAY_MS)
#define HELD_PERCENT 5 /* of the rows may go at once */

static const char *const trap_names[SIM_TRAPS] = {
#define X(id, name, words) name,
    SIM_TRAP_TABLE(X)
#undef X
};

void sim_trap(struct sim_world *world, enum sim_trap trap)
{
    if ((world->facts.traps >> (unsigned)trap & 1u) == 0) {
        world->facts.traps |= (uint64_t)1 << (unsigned)trap;
        sim_log(world, "      ** %s", trap_names[trap]);
    }
}

static unsigned bit_of(const struct sim_machine *machine)
{
    return 1u << machine->index;
}

static bool is_far_ahead(const struct sim_machine *machine)
{
    return sim_machine_now(machine) - machine->world->clock_ms > 5 * YEAR_MS;
}

/* ---- edits ---- */

static bool has_pending_delete(const struct sim_machine *machine, const struct sim_row *row)
{
    for (size_t i = 0; i < machine->pending_count; i++) {
        if (!machine->pending[i].is_change && !machine->pending[i].is_captured &&
            machine->pending[i].row == row - machine->world->ledger->rows) {
            return true;
        }
    }
    return false;
}

void sim_trap_made(struct sim_machine *machine, struct sim_row *row)
{
    struct sim_world *world = machine->world;
    unsigned bit = bit_of(machine);

    row->is_future = row->is_future || is_far_ahead(machine);
    if (row->table == SIM_SESSION) {
        if (row->is_deleted && has_pending_delete(machine, row)) {
            sim_trap(world, SIM_TRAP_AGAIN_HERE);
        } else if (row->is_deleted && (row->deleted_by & bit) == 0) {
            sim_trap(world, SIM_TRAP_AGAIN_THERE);
        }
    } else if (row->session >= 0) {
        const struct sim_row *session = &world->ledger->rows[row->session];

        if (session->is_deleted && (session->deleted_by & bit) == 0) {
            sim_trap(world, SIM_TRAP_CHILD_OF_DELETED);
        }
    }
}

/* A change that a machine has made and not sent. */
static bool is_changed_elsewhere(const struct sim_machine *machine, const struct sim_row *row)
{
    const struct sim_world *world = machine->world;

    for (size_t i = 0; i < world->machine_count; i++) {
        if (world->machines[i] != machine && (row->changed_by >> i & 1u) != 0 &&
            row->changed_ms > world->machines[i]->sent_ms) {
            return true;
        }
    }
    return false;
}

void sim_trap_deleted(struct sim_machine *machine, int row)
{
    if (is_changed_elsewhere(machine, &machine->world->ledger->rows[row])) {
        sim_trap(machine->world, SIM_TRAP_DELETE_OR_CHANGE);
    }
}

void sim_trap_changed(struct sim_machine *machine, int index)
{
    struct sim_world *world = machine->world;
    struct sim_row *row = &world->ledger->rows[index];

    if ((row->deleted_by & ~bit_of(machine)) != 0) {
        sim_trap(world, SIM_TRAP_DELETE_OR_CHANGE);
    }
    if (row->is_future && !is_far_ahead(machine) && machine->known[index] > 0) {
        sim_trap(world, SIM_TRAP_CLOCK_2035_BEATEN);
    }
    row->changed_by |= bit_of(machine);
    row->changed_ms = world->clock_ms;
}

/* Of rows that are each other's duplicate on every machine, each clean-up keeps one. */
void sim_trap_cleaned(struct sim_machine *machine, const struct sim_row *row)
{
    const struct sim_ledger *ledger = machine->world->ledger;

    for (size_t i = 0; row->twins != 0 && i < ledger->row_count; i++) {
        const struct sim_row *other = &ledger->rows[i];

        if (other != row && other->twins == row->twins &&
            (other->cleaned_by & ~row->cleaned_by) != 0) {
            sim_trap(machine->world, SIM_TRAP_CLEANED_TWICE);
        }
    }
}

void sim_trap_edited_meanwhile(struct sim_machine *machine, enum sim_event_what what)
{
    bool is_between = machine->is_pulling && (strcmp(machine->step_name, "captured") == 0 ||
                                              strcmp(machine->step_name, "merge-begin") == 0 ||
                                              strcmp(machine->step_name, "merge-done") == 0);

    if (!is_between) {
        return;
    }
    switch ((int)what) {
    case SIM_EVENT_NEWSESS:
    case SIM_EVENT_MANUAL:
    case SIM_EVENT_RESUME:
    case SIM_EVENT_NEWOBS: sim_trap(machine->world, SIM_TRAP_MADE_MEANWHILE); break;
    case SIM_EVENT_TITLE:
    case SIM_EVENT_PROJECT:
    case SIM_EVENT_COMPLETE: sim_trap(machine->world, SIM_TRAP_CHANGED_MEANWHILE); break;
    default: break;
    }
}

/* ---- disasters ---- */

static void note_third_copies(struct sim_machine *machine)
{
    const struct sim_ledger *ledger = machine->world->ledger;

    for (size_t i = 0; i < ledger->row_count; i++) {
        if (ledger->rows[i].table == SIM_OBSERVATION && ledger->rows[i].made >= 3 &&
            ledger->rows[i].is_deleted) {
            sim_trap(machine->world, SIM_TRAP_THIRD_COPY);
        }
    }
}

/* Before the ledger forgets: `there` is what the database now holds. */
void sim_trap_replaced(struct sim_machine *machine, enum sim_trap how,
                       const int64_t sequences[static SIM_TABLES], const sim_counts there)
{
    struct sim_world *world = machine->world;

    sim_trap(world, how);
    note_third_copies(machine);
    machine->is_replaced = true;
    machine->is_lower = false;
    for (int i = 0; i < SIM_TABLES && how == SIM_TRAP_RESTORED_IN_PLACE; i++) {
        machine->is_lower = machine->is_lower || sequences[i] < machine->sequences[i];
    }
    for (size_t i = 0; i < world->ledger->row_count; i++) {
        bool is_own = machine->sent[i] > 0 && machine->known[i] > there[i] &&
                      world->ledger->rows[i].made_by == bit_of(machine);

        for (size_t k = 0; k < world->machine_count; k++) {
            is_own = is_own && (world->machines[k] == machine || world->machines[k]->known[i] == 0);
        }
        if (is_own) {
            sim_trap(world, SIM_TRAP_HEAL_OWN);
        }
    }
}

static int64_t count_stubs(struct sim_machine *machine)
{
    return sim_db_int64(machine, "SELECT count(*) FROM sdk_sessions"
                                 " WHERE content_session_id=memory_session_id");
}

/* Before the ledger forgets. */
void sim_trap_state_lost(struct sim_machine *machine)
{
    const struct sim_ledger *ledger = machine->world->ledger;

    note_third_copies(machine);
    if (count_stubs(machine) > 0) {
        sim_trap(machine->world, SIM_TRAP_LOST_WITH_STUBS);
    }
    for (size_t i = 0; i < ledger->row_count; i++) {
        if (machine->known[i] > 0 && machine->sent[i] == 0 &&
            (ledger->rows[i].made_by & bit_of(machine)) != 0) {
            sim_trap(machine->world, SIM_TRAP_LOST_UNSENT);
        }
    }
}

void sim_trap_store_back(struct sim_world *world, bool is_empty)
{
    sim_trap(world, is_empty ? SIM_TRAP_STORE_EMPTY : SIM_TRAP_STORE_BACK);
    for (size_t i = 0; i < world->machine_count; i++) {
        const struct sim_machine *machine = world->machines[i];

        if (machine->is_gone && machine->has_put_head) {
            sim_trap(world, SIM_TRAP_STORE_GONE);
        } else if (!machine->is_gone && !machine->has_put_head && machine->fetched_ever != 0) {
            sim_trap(world, SIM_TRAP_STORE_SILENT);
        }
    }
}

/* ---- the engine at work ---- */

void sim_trap_stepped(struct sim_machine *machine, const char *name, bool is_killed)
{
    if (is_killed && strcmp(name, "live-committed") == 0) {
        sim_trap(machine->world, SIM_TRAP_KILLED_BETWEEN);
    }
}

/* The stream of "projects/<id>/<kind>/<stream>/<name>"; false if it is no such key. */
static bool read_key(const char *key, const char *kind, char stream[static SIM_TEXT_MAX],
                     const char **name_out)
{
    const char *at = strstr(key, kind);
    size_t size;

    if (at == NULL) {
        return false;
    }
    at += strlen(kind);
    size = strcspn(at, "/");
    if (at[size] != '/' || size == 0 || size >= SIM_TEXT_MAX) {
        return false;
    }
    memcpy(stream, at, size);
    stream[size] = '\0';
    *name_out = at + size + 1;
    return true;
}

static int find_stream(const struct sim_world *world, const char *stream)
{
    for (size_t i = 0; i < world->stream_count; i++) {
        if (strcmp(world->streams[i].id, stream) == 0) {
            return (int)world->streams[i].machine;
        }
    }
    return -1;
}

static uint64_t hash_text(uint64_t hash, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = sim_random_mix(hash, (uint64_t)(unsigned char)text[i]);
    }
    return hash;
}

static void note_head(struct sim_machine *machine, const char *stream, const char *name,
                      const char *key, enum mb_store_fault_kind kind)
{
    struct sim_world *world = machine->world;
    uint64_t base = hash_text(hash_text(1, stream, strlen(stream)), name, strcspn(name, "-"));
    uint64_t hash = hash_text(2, key, strlen(key));

    machine->has_put_head = true;
    if (kind == MB_STORE_FAULT_LATE || kind == MB_STORE_FAULT_LAZY) {
        sim_trap(world, SIM_TRAP_HEAD_LATE);
    }
    if (find_stream(world, stream) < 0 && world->stream_count < SIM_STREAMS_MAX) {
        (void)snprintf(world->streams[world->stream_count].id, SIM_TEXT_MAX, "%s", stream);
        world->streams[world->stream_count++].machine = machine->index;
    }
    for (size_t i = 0; i < world->head_count; i++) {
        if (world->heads[i].name == base && world->heads[i].hash != hash) {
            sim_trap(world, SIM_TRAP_HEADS_FORK);
        }
    }
    if (world->head_count < SIM_HEADS_MAX) {
        world->heads[world->head_count].name = base;
        world->heads[world->head_count++].hash = hash;
    }
}

void sim_trap_requested(struct sim_machine *machine, const char *slot, const char *key,
                        enum mb_store_fault_kind kind)
{
    static const char *const slots[SIM_SLOTS] = {"put", "get", "stat", "list", "delete", "probe"};
    struct sim_world *world = machine->world;
    char stream[SIM_TEXT_MAX];
    const char *name = "";

    for (int i = 0; i < SIM_SLOTS; i++) {
        world->facts.faults[kind][i] += strcmp(slot, slots[i]) == 0 ? 1 : 0;
    }
    if (strcmp(slot, "put") == 0 && kind != MB_STORE_FAULT_BEFORE && kind != MB_STORE_FAULT_FULL &&
        read_key(key, "/heads/", stream, &name)) {
        note_head(machine, stream, name, key, kind);
    } else if (strcmp(slot, "delete") == 0 && kind == MB_STORE_FAULT_NONE &&
               read_key(key, "/segments/", stream, &name)) {
        world->swept_ms[machine->index] = world->clock_ms;
    } else if (strcmp(slot, "get") == 0 && kind == MB_STORE_FAULT_NONE &&
               read_key(key, "/segments/", stream, &name) && find_stream(world, stream) >= 0) {
        machine->fetched |= 1u << (unsigned)find_stream(world, stream);
    }
    if (strcmp(slot, "list") == 0 && kind == MB_STORE_FAULT_STALE && machine->is_replaced &&
        machine->is_pulling) {
        sim_trap(world, SIM_TRAP_HEAL_STALE);
    }
}

int sim_trap_owner(const struct sim_world *world, const char *key)
{
    char stream[SIM_TEXT_MAX];
    const char *name = "";

    return read_key(key, "/heads/", stream, &name) ? find_stream(world, stream) : -1;
}

void sim_trap_hidden(struct sim_machine *machine, const char *key)
{
    int owner = sim_trap_owner(machine->world, key);

    machine->hidden |= owner >= 0 ? 1u << (unsigned)owner : 0;
}

void sim_trap_begins(struct sim_machine *machine)
{
    machine->hidden = machine->fetched = 0;
    if (machine->is_lower) {
        int64_t sequences[SIM_TABLES];
        bool is_lower = false;

        sim_db_sequences(machine, sequences);
        for (int i = 0; i < SIM_TABLES; i++) {
            is_lower = is_lower || sequences[i] < machine->sequences[i];
        }
        if (!is_lower) {
            sim_trap(machine->world, SIM_TRAP_OUTGROWN);
        }
        machine->is_lower = false;
    }
}

/* Rows of machines that were not shown, of which those that were read had something to say. */
static void note_order(struct sim_machine *machine)
{
    struct sim_world *world = machine->world;

    for (size_t i = 0; i < world->ledger->row_count; i++) {
        const struct sim_row *row = &world->ledger->rows[i];
        unsigned tellers = machine->fetched & ~row->made_by;

        if (machine->seen[i] > 0 || (row->made_by & ~machine->hidden) != 0) {
            continue;
        }
        for (unsigned k = 0; k < world->machine_count; k++) {
            if ((tellers >> k & 1u) == 0) {
                continue;
            }
            if ((row->changed_by >> k & 1u) != 0 && row->changed_ms < world->machines[k]->sent_ms) {
                sim_trap(world, SIM_TRAP_CHANGE_FIRST);
            }
            if (row->is_dead && (row->deleted_by >> k & 1u) != 0) {
                sim_trap(world, SIM_TRAP_DELETE_FIRST);
            }
        }
    }
}

static void note_pulled(struct sim_machine *machine)
{
    struct sim_world *world = machine->world;

    for (size_t i = 0; i < world->machine_count; i++) {
        if (world->machines[i] != machine && machine->pulled_ms != 0 &&
            (machine->fetched_ever >> i & 1u) != 0 && world->swept_ms[i] > machine->pulled_ms &&
            world->clock_ms - machine->pulled_ms > GRACE_MS) {
            sim_trap(world, SIM_TRAP_SLEPT_THROUGH);
        }
    }
    if (machine->pulled_ms != 0 && world->clock_ms - machine->pulled_ms > LONG_MS) {
        sim_trap(world, SIM_TRAP_SLEPT_MONTHS);
    }
    if (machine->hidden != 0 && machine->fetched != 0) {
        note_order(machine);
    }
    machine->fetched_ever |= machine->fetched;
    machine->pulled_ms = world->clock_ms;
    machine->is_replaced = false;
}

static void note_sent(struct sim_machine *machine)
{
    int64_t now = sim_machine_now(machine);

    if (machine->has_put_head && now < YEAR_MS) {
        sim_trap(machine->world, SIM_TRAP_CLOCK_1970);
    }
    if (machine->has_put_head && is_far_ahead(machine)) {
        sim_trap(machine->world, SIM_TRAP_CLOCK_2035);
    }
    machine->sent_ms = machine->world->clock_ms;
}

void sim_trap_ended(struct sim_machine *machine, bool is_sent)
{
    struct sim_world *world = machine->world;
    int64_t stubs;
    int64_t sessions;

    if (world->is_quiet) {
        return;
    }
    stubs = count_stubs(machine);
    sessions = sim_db_int64(machine, "SELECT count(*) FROM sdk_sessions"
                                     " WHERE content_session_id IS NOT memory_session_id");
    if (stubs < machine->stub_count && sessions > machine->session_count) {
        sim_trap(world, SIM_TRAP_STUB_REPLACED);
    }
    machine->stub_count = stubs;
    machine->session_count = sessions;
    if (machine->is_pulling) {
        note_pulled(machine);
    }
    if (is_sent) {
        note_sent(machine);
    }
}
