/* SPDX-License-Identifier: MIT */
/* Machines: their folders, clocks, stores with faults, and the points at which they die or others
 * run. */
#include "alloc.h"
#include "assert.h"
#include "sim_traps.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "banned.h"

#define START_MS 1780000000000 /* May 2026 */

void sim_bad(struct sim_world *world, const char *format, ...)
{
    va_list args;

    if (world->error_count == SIM_ERRORS_MAX) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(world->errors[world->error_count], SIM_ERROR_TEXT, format, args);
    va_end(args);
    sim_log(world, "  !!  %s", world->errors[world->error_count]);
    world->error_count++;
}

void sim_log(struct sim_world *world, const char *format, ...)
{
    va_list args;

    if (world->log != NULL) {
        va_start(args, format);
        (void)vfprintf(world->log, format, args);
        va_end(args);
        fprintf(world->log, "\n");
    }
}

int64_t sim_machine_now(const struct sim_machine *machine)
{
    int64_t now = machine->world->clock_ms;

    if (machine->fixed_ms != 0) {
        now = now - START_MS + machine->fixed_ms;
    }
    return now + machine->skew_ms;
}

/* ---- the machine's env ---- */

static int64_t env_now(void *context)
{
    return sim_machine_now(context);
}

static void env_sleep(void *context, int64_t duration_ms)
{
    struct sim_machine *machine = context;

    machine->world->clock_ms += duration_ms > 0 ? duration_ms : 0;
}

static void env_random(void *context, void *data, size_t size)
{
    struct sim_machine *machine = context;
    uint8_t *out = data;

    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(sim_random_next(&machine->engine_random) >> 40);
    }
}

static bool is_dying_here(struct sim_machine *machine, const char *name)
{
    if (machine->is_dead) {
        return false;
    }
    if (machine->kill_step != NULL && strcmp(machine->kill_step, name) == 0 &&
        machine->kill_left > 0) {
        machine->kill_left--;
        return machine->kill_left == 0;
    }
    return machine->step_count == machine->kill_at;
}

static void note_step(struct sim_machine *machine, const char *name, bool is_dying)
{
    struct sim_world *world = machine->world;
    int step = sim_coverage_step(name);

    machine->step_name = name;
    if (step < 0) {
        sim_bad(world, "docs/DESIGN.md does not name the step '%s'", name);
        return;
    }
    world->facts.steps[step]++;
    world->facts.kills[step] += is_dying ? 1 : 0;
    sim_trap_stepped(machine, name, is_dying);
}

static int env_step(void *context, const char *name, struct mb_error *err)
{
    struct sim_machine *machine = context;
    struct sim_world *world = machine->world;
    struct sim_random random;
    bool is_here;

    machine->step_count++;
    world->clock_ms += machine->step_count % 4;
    is_here = is_dying_here(machine, name);
    note_step(machine, name, is_here);
    if (world->logs_steps) {
        sim_log(world, "        %s step %lld %s", machine->name, (long long)machine->step_count,
                name);
    }
    if (machine->is_dead) {
        sim_bad(world, "%s goes on after it was stopped: step '%s'", machine->name, name);
        return mb_error_set(err, MB_ERR_INTERRUPTED, "stopped");
    }
    if (is_here) {
        machine->is_dead = true;
        world->facts.events[SIM_EVENT_KILL]++;
        sim_log(world, "      %s dies at step %lld '%s'", machine->name,
                (long long)machine->step_count, name);
        return mb_error_set(err, MB_ERR_INTERRUPTED, "stopped");
    }
    if (machine->step_count == machine->race_at && world->on_race != NULL) {
        world->facts.events[SIM_EVENT_RACE]++;
        sim_log(world, "      at %s's step %lld '%s':", machine->name,
                (long long)machine->step_count, name);
        sim_random_init(&random, machine->race_seed);
        world->on_race(machine, &random);
    }
    return 0;
}

/* ---- faults of the store ---- */

static enum mb_store_fault_kind pick_fault(struct sim_machine *machine, const char *slot)
{
    static const enum mb_store_fault_kind on_put[] = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_AFTER,
                                                      MB_STORE_FAULT_LATE, MB_STORE_FAULT_FULL};
    static const enum mb_store_fault_kind on_get[] = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_AFTER,
                                                      MB_STORE_FAULT_SHORT,  MB_STORE_FAULT_FLIP,
                                                      MB_STORE_FAULT_STALE,  MB_STORE_FAULT_STALE};
    static const enum mb_store_fault_kind on_others[] = {
        MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_AFTER, MB_STORE_FAULT_STALE};
    struct sim_random *random = &machine->fault_random;
    bool is_put = strcmp(slot, "put") == 0;
    bool is_delete = strcmp(slot, "delete") == 0;

    /* Puts that come late after they were acknowledged: who reads them back finds out. */
    if (SIM_HAS(machine->world->kinds, STRANGE) && sim_random_chance(random, 40)) {
        if (strcmp(slot, "get") == 0) {
            return MB_STORE_FAULT_SWAP;
        }
        if (is_delete || is_put) {
            return is_delete || !machine->verifies || sim_random_chance(random, 50)
                       ? (is_delete && sim_random_chance(random, 50) ? MB_STORE_FAULT_LAZY
                                                                     : MB_STORE_FAULT_LATE)
                       : MB_STORE_FAULT_LAZY;
        }
    }
    if (is_put) {
        return on_put[sim_random_below(random, 4)];
    }
    if (strcmp(slot, "get") == 0) {
        return on_get[sim_random_below(random, 6)];
    }
    return on_others[sim_random_below(random, 3)];
}

static enum mb_store_fault_kind choose_fault(void *context, uint64_t request_index,
                                             const char *slot, const char *key)
{
    struct sim_machine *machine = context;
    enum mb_store_fault_kind kind = MB_STORE_FAULT_NONE;
    bool is_list =
        machine->is_faulty && SIM_HAS(machine->world->kinds, STRANGE) && strcmp(slot, "list") == 0;

    (void)request_index;
    if (machine->is_dead && (strcmp(slot, "put") == 0 || strcmp(slot, "delete") == 0)) {
        sim_bad(machine->world, "%s goes on after it was stopped: %s %s", machine->name, slot, key);
    }
    if (machine->blind_to != NULL && strcmp(slot, "list") == 0) {
        kind = MB_STORE_FAULT_STALE;
        machine->fault_count++;
    } else if (is_list && sim_random_chance(&machine->fault_random, 30)) {
        kind = MB_STORE_FAULT_STALE;
        machine->fault_count++;
    } else if (machine->is_faulty && sim_random_chance(&machine->fault_random, 12)) {
        kind = pick_fault(machine, slot);
        machine->fault_count++;
        sim_log(machine->world, "        fault %d: %s %s", (int)kind, slot, key);
    }
    sim_trap_requested(machine, slot, key, kind);
    return kind;
}

static bool hide_key(void *context, const char *key)
{
    struct sim_machine *machine = context;
    unsigned percent = SIM_HAS(machine->world->kinds, STRANGE) ? 50 : 30;
    bool is_hidden = sim_random_chance(&machine->fault_random, percent);

    if (machine->blind_to != NULL) {
        is_hidden = sim_trap_owner(machine->world, key) == (int)machine->blind_to->index;
    }
    if (is_hidden) {
        sim_trap_hidden(machine, key);
    }
    return is_hidden;
}

static void make_store(struct sim_machine *machine)
{
    struct mb_store_fault_config fault = {choose_fault, hide_key, machine};
    struct mb_store_retry_config retry = {.attempt_count_max = 2};

    sim_random_init(&machine->fault_random,
                    sim_random_mix(machine->world->script->seed, 1000 + machine->index));
    machine->fault = mb_store_fault_new(mb_store_share_new(machine->world->store), &fault);
    machine->store = mb_store_retry_new(machine->fault, &retry, &machine->env);
    machine->verifies = machine->world->script->seed % 2 == 0;
    if (machine->verifies) {
        machine->store = mb_store_verify_new(machine->store);
    }
}

/* ---- machines ---- */

struct sim_machine *sim_world_add(struct sim_world *world, enum sim_version version, bool is_wal,
                                  const struct sim_image *database)
{
    struct sim_machine *machine = mb_alloc_zeroed(1, sizeof *machine);

    MB_ASSERT(world->machine_count < SIM_MACHINES_MAX);
    machine->world = world;
    machine->index = (unsigned)world->machine_count;
    machine->name[0] = (char)('A' + (char)machine->index);
    machine->version = version;
    machine->is_wal = is_wal;
    (void)snprintf(machine->folder, sizeof machine->folder, "%s/%s", world->root, machine->name);
    (void)snprintf(machine->db_path, sizeof machine->db_path, "%s/%s/claude-mem.db", world->root,
                   machine->name);
    (void)snprintf(machine->state_dir, sizeof machine->state_dir, "%s/%s/state", world->root,
                   machine->name);
    (void)snprintf(machine->backup_dir, sizeof machine->backup_dir, "%s/%s/backups", world->root,
                   machine->name);
    MB_ASSERT(mkdir(machine->folder, 0700) == 0);
    MB_ASSERT(sim_disk_write(machine->db_path,
                             database != NULL ? database : sim_db_template(version, is_wal)));
    machine->env = (struct mb_env){machine, env_now, env_sleep, env_random, env_step, "", ""};
    (void)snprintf(machine->env.machine_id, sizeof machine->env.machine_id, "os-%s", machine->name);
    (void)snprintf(machine->env.host_name, sizeof machine->env.host_name, "host-%s", machine->name);
    sim_random_init(&machine->engine_random,
                    sim_random_mix(world->script->seed, 2000 + machine->index));
    make_store(machine);
    world->machines[world->machine_count++] = machine;
    sim_log(world, "  machine %s: claude-mem %s, %s", machine->name, sim_version_names[version],
            is_wal ? "wal" : "rollback journal");
    return machine;
}

static void free_machine(struct sim_machine *machine)
{
    sim_db_close(machine);
    mb_store_free(machine->store);
    free(machine->backup.database.data);
    free(machine->rollback.database.data);
    free(machine);
}

unsigned sim_world_living_count(const struct sim_world *world)
{
    unsigned count = 0;

    for (size_t i = 0; i < world->machine_count; i++) {
        count += world->machines[i]->is_gone ? 0 : 1;
    }
    return count;
}

struct sim_machine *sim_world_living(struct sim_world *world, unsigned number)
{
    unsigned left = number % sim_world_living_count(world);

    for (size_t i = 0;; i++) {
        if (!world->machines[i]->is_gone && left-- == 0) {
            return world->machines[i];
        }
    }
}

void sim_world_calm(struct sim_world *world)
{
    struct mb_error err;

    for (size_t i = 0; i < world->machine_count; i++) {
        world->machines[i]->is_faulty = false;
        MB_ASSERT(mb_store_fault_release(world->machines[i]->fault, &err) == 0);
    }
}

/* ---- the world ---- */

struct sim_world *sim_world_new(const struct sim_script *script, FILE *log)
{
    struct sim_world *world = mb_alloc_zeroed(1, sizeof *world);
    struct mb_error err;

    world->script = script;
    world->kinds = script->kinds;
    world->log = log;
    world->clock_ms = START_MS;
    world->ledger = mb_alloc_zeroed(1, sizeof *world->ledger);
    (void)snprintf(world->root, sizeof world->root, "%s/XXXXXX", sim_disk_scratch());
    MB_ASSERT(mkdtemp(world->root) != NULL);
    world->store = mb_store_mem_new();
    MB_ASSERT(mb_store_mark(world->store, &err) == 0);
    return world;
}

void sim_world_free(struct sim_world *world)
{
    for (size_t i = 0; i < world->machine_count; i++) {
        free_machine(world->machines[i]);
    }
    sim_store_forget(&world->store_copy);
    mb_store_free(world->store);
    sim_disk_remove(world->root);
    sim_ledger_release(world->ledger);
    free(world);
}

static void use_for_a_while(struct sim_machine *machine, struct sim_random *random)
{
    static const enum sim_event_what uses[] = {SIM_EVENT_NEWOBS,    SIM_EVENT_NEWOBS,
                                               SIM_EVENT_NEWPROMPT, SIM_EVENT_NEWSUM,
                                               SIM_EVENT_MANUAL,    SIM_EVENT_NEWSESS};
    static const enum sim_event_what changes[] = {SIM_EVENT_TITLE, SIM_EVENT_PROJECT,
                                                  SIM_EVENT_COMPLETE};

    for (unsigned i = sim_random_below(random, 4); i > 0; i--) {
        enum sim_event_what what = uses[sim_random_below(random, 6)];

        if (what == SIM_EVENT_MANUAL && !SIM_HAS(machine->world->kinds, MANUAL)) {
            what = SIM_EVENT_NEWOBS;
        }
        if (machine->world->machine_count > 1 && SIM_HAS(machine->world->kinds, REG) &&
            sim_random_chance(random, 20)) {
            what = changes[sim_random_below(random, 3)];
        }
        machine->world->clock_ms += 5000;
        (void)sim_edit(machine, what, random);
    }
}

static void set_clock(struct sim_machine *machine, struct sim_random *random)
{
    switch (sim_random_below(random, 6)) {
    case 0: machine->skew_ms = 3600000; break;
    case 1: machine->skew_ms = -3600000; break;
    case 2: machine->fixed_ms = 20000000000; break;   /* 1970 */
    case 3: machine->fixed_ms = 2060000000000; break; /* 2035 */
    default: break;
    }
}

/* Databases that were copied to all machines long ago, and used there since. */
static void diverge(struct sim_world *world, struct sim_random *random)
{
    for (size_t i = 0; i < world->machine_count; i++) {
        struct sim_machine *machine = world->machines[i];

        use_for_a_while(machine, random);
        if (SIM_HAS(world->kinds, DEL) && sim_random_chance(random, 30)) {
            (void)sim_edit(machine, SIM_EVENT_DEL, random);
        }
        if (SIM_HAS(world->kinds, ORPHANS) && sim_random_chance(random, 40)) {
            (void)sim_edit(machine, SIM_EVENT_ORPHAN, random);
        }
    }
}

/* A session that one of the clones took from its children, and another kept. */
static void note_orphaned_clones(struct sim_world *world)
{
    const struct sim_ledger *ledger = world->ledger;
    static sim_counts counts[SIM_MACHINES_MAX];

    for (size_t k = 0; k < world->machine_count; k++) {
        sim_db_count(world->machines[k], counts[k]);
    }
    for (size_t i = 0; i < ledger->row_count; i++) {
        int session = ledger->rows[i].session;
        bool is_orphan = false;
        bool is_whole = false;

        for (size_t k = 0; k < world->machine_count && session >= 0; k++) {
            is_orphan = is_orphan || (counts[k][i] > 0 && counts[k][session] == 0);
            is_whole = is_whole || counts[k][session] > 0;
        }
        if (is_orphan && is_whole) {
            sim_trap(world, SIM_TRAP_CLONED_ORPHANS);
        }
    }
}

void sim_world_setup(struct sim_world *world)
{
    static const unsigned counts[] = {2, 2, 2, 2, 3, 3, 3, 4, 5, 8};
    struct sim_random random;
    struct sim_image first = {0};
    unsigned count;
    bool is_cloned = SIM_HAS(world->kinds, CLONED);

    sim_random_init(&random, sim_random_mix(world->script->seed, 1));
    count = counts[sim_random_below(&random, 10)];
    for (unsigned i = 0; i < count; i++) {
        enum sim_version version = SIM_13_25_3;
        struct sim_machine *machine;
        bool is_wal;

        if (SIM_HAS(world->kinds, OLDSCHEMA)) {
            version = (enum sim_version)sim_random_below(&random, SIM_VERSIONS);
        }
        is_wal = !SIM_HAS(world->kinds, ROLLBACK) ||
                 (version != SIM_13_4_0 && sim_random_chance(&random, 50));
        if (is_cloned && i > 0) {
            version = world->machines[0]->version;
            is_wal = world->machines[0]->is_wal;
        }
        machine = sim_world_add(world, version, is_wal, is_cloned && i > 0 ? &first : NULL);
        machine->has_worker = SIM_HAS(world->kinds, WORKER) && sim_random_chance(&random, 50);
        if (SIM_HAS(world->kinds, SKEW)) {
            set_clock(machine, &random);
        }
        use_for_a_while(machine, &random);
        if (is_cloned && i == 0) {
            use_for_a_while(machine, &random);
            sim_disaster_image(machine, &first);
        }
    }
    if (is_cloned) {
        diverge(world, &random);
        note_orphaned_clones(world);
    }
    free(first.data);
}
