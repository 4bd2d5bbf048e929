/* SPDX-License-Identifier: MIT */
/* One seed: setup, its events, settling, verdict; then what waits for a person is decided, and
 * judged again. */
#include "sim_traps.h"

#include <string.h>

#include "banned.h"

#define HOUR_MS 3600000

static const struct sim_sync_request whole_sync = {.operations = SIM_OP_PULL | SIM_OP_PUSH};

/* In the middle of a machine's sync: its claude-mem writes, or another machine syncs. */
static void race(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_world *world = machine->world;
    static const enum sim_event_what uses[] = {
        SIM_EVENT_NEWOBS, SIM_EVENT_NEWSESS, SIM_EVENT_NEWPROMPT, SIM_EVENT_NEWSUM,
        SIM_EVENT_FILL,   SIM_EVENT_TITLE,   SIM_EVENT_PROJECT,   SIM_EVENT_COMPLETE,
        SIM_EVENT_MANUAL, SIM_EVENT_DEL,     SIM_EVENT_SESSDEL,   SIM_EVENT_RESUME,
    };
    bool is_allowed[] = {
        true,
        true,
        true,
        true,
        true,
        SIM_HAS(world->kinds, REG),
        SIM_HAS(world->kinds, REG),
        SIM_HAS(world->kinds, REG),
        SIM_HAS(world->kinds, MANUAL),
        SIM_HAS(world->kinds, DEL),
        SIM_HAS(world->kinds, SESSDEL),
        SIM_HAS(world->kinds, RESUME),
    };

    if (SIM_HAS(world->kinds, TWOPROC) && sim_random_chance(random, 30)) {
        sim_sync_second(machine);
        return;
    }
    if (sim_random_chance(random, 40)) {
        struct sim_machine *other = sim_world_living(world, sim_random_below(random, 100));

        if (other != machine && !other->is_busy) {
            sim_sync(other, &whole_sync);
        }
        return;
    }
    for (unsigned i = 1 + sim_random_below(random, 2); i > 0; i--) {
        unsigned pick = sim_random_below(random, sizeof uses / sizeof uses[0]);

        enum sim_event_what what = is_allowed[pick] ? uses[pick] : SIM_EVENT_NEWOBS;

        if (sim_edit(machine, what, random)) {
            sim_trap_edited_meanwhile(machine, what);
        }
    }
}

/* It dies at a step of this name, or not at all. */
static void aim(struct sim_machine *machine, struct sim_random *random, bool is_full)
{
    machine->kill_at = 0;
    machine->kill_step = sim_coverage_step_name(sim_random_below(random, SIM_STEPS_MAX));
    machine->kill_left = 1 + sim_random_below(random, 3);
    if (sim_random_chance(random, 20)) { /* in those pulls only that leave something over */
        machine->kill_step = "leftovers-begin";
        machine->kill_left = 1;
    } else if (SIM_HAS(machine->world->kinds, BACKUP) && sim_random_chance(random, 40)) {
        machine->kill_step = "backup-page";
        machine->kill_left = 1;
    } else if (is_full && sim_random_chance(random, 40)) {
        machine->kill_step = "full-commit";
        machine->kill_left = 1;
    }
}

static void sync_event(struct sim_machine *machine, enum sim_event_what what,
                       struct sim_random *random)
{
    struct sim_sync_request request = whole_sync;

    machine->is_faulty = SIM_HAS(machine->world->kinds, FAULT) && sim_random_chance(random, 50);
    if (what == SIM_EVENT_PUSH) {
        request.operations = SIM_OP_PUSH;
    } else if (what == SIM_EVENT_PULL) {
        request.operations = SIM_OP_PULL;
    } else if (what == SIM_EVENT_FULLPUSH) {
        request.is_full = true;
    } else if (what == SIM_EVENT_KILL) {
        machine->kill_at = 1 + sim_random_below(random, 4u << sim_random_below(random, 5));
    } else if (what == SIM_EVENT_RACE) {
        machine->race_at = 1 + sim_random_below(random, 4u << sim_random_below(random, 5));
        machine->race_seed = sim_random_next(random);
    } else if (what == SIM_EVENT_DISKFULL) {
        machine->full_at = 40000 + (int64_t)sim_random_below(random, 300000);
    }
    if (what == SIM_EVENT_KILL && SIM_HAS(machine->world->kinds, AIM) &&
        sim_random_chance(random, 60)) {
        request.is_full = sim_random_chance(random, 20);
        aim(machine, random, request.is_full);
    }
    sim_sync(machine, &request);
    if (what == SIM_EVENT_KILL && SIM_HAS(machine->world->kinds, TWOPROC)) {
        sim_sync(machine, &whole_sync); /* the next process was waiting for it to die */
    }
    machine->is_faulty = false;
}

/* So many pushes that the stream is folded. */
static void push_often(struct sim_machine *machine, struct sim_random *random)
{
    static const struct sim_sync_request push = {.operations = SIM_OP_PUSH};

    bool is_killed = SIM_HAS(machine->world->kinds, CRASH) && sim_random_chance(random, 60);
    const char *step = sim_random_chance(random, 50) ? "fold-put" : "fold-commit";

    for (unsigned i = 8 + sim_random_below(random, 7); i > 0; i--) {
        machine->kill_step = is_killed ? step : NULL;
        machine->kill_left = 1;
        machine->world->clock_ms += 60000;
        (void)sim_edit(machine, SIM_EVENT_NEWOBS, random);
        sim_sync(machine, &push);
    }
}

/* A store that does not show the heads of one machine: of another to a pull, its own to a push. */
static void sync_blindly(struct sim_machine *machine, struct sim_random *random)
{
    static const struct sim_sync_request pull = {.operations = SIM_OP_PULL};
    static const struct sim_sync_request push = {.operations = SIM_OP_PUSH};
    struct sim_machine *other = sim_world_living(machine->world, sim_random_below(random, 100));

    machine->blind_to = other;
    sim_sync(machine, other == machine ? &push : &pull);
    machine->blind_to = NULL;
}

static void jump(struct sim_machine *machine, struct sim_random *random)
{
    static const int64_t jumps[] = {HOUR_MS,       -HOUR_MS, 24 * HOUR_MS,
                                    -24 * HOUR_MS, -600000,  600000};

    machine->skew_ms += jumps[sim_random_below(random, 6)];
    sim_trap(machine->world, SIM_TRAP_CLOCK_JUMP);
}

void sim_run_event(struct sim_world *world, const struct sim_event *event)
{
    static const int64_t pauses[] = {1000, 1000, 2000, 5000, 15000, 60000, HOUR_MS, 26 * HOUR_MS};
    struct sim_machine *machine = sim_world_living(world, event->machine);
    struct sim_random random;
    bool is_done = true;

    sim_random_init(&random, event->seed);
    world->clock_ms += pauses[sim_random_below(&random, sizeof pauses / sizeof pauses[0])];
    sim_log(world, "  %s %s", machine->name, sim_event_name(event->what));
    switch ((int)event->what) {
    case SIM_EVENT_KILL:
    case SIM_EVENT_RACE:
        sync_event(machine, event->what, &random);
        return; /* counted where they happen */
    case SIM_EVENT_SYNC:
    case SIM_EVENT_PUSH:
    case SIM_EVENT_PULL:
    case SIM_EVENT_DISKFULL:
    case SIM_EVENT_FULLPUSH: sync_event(machine, event->what, &random); break;
    case SIM_EVENT_BLIND: sync_blindly(machine, &random); break;
    case SIM_EVENT_PUSHES: push_often(machine, &random); break;
    case SIM_EVENT_AWAY:
        world->clock_ms += (15 + sim_random_below(&random, 80)) * 24 * (int64_t)HOUR_MS;
        break;
    case SIM_EVENT_JUMP: jump(machine, &random); break;
    case SIM_EVENT_REINSTALL:
    case SIM_EVENT_UPGRADE:
    case SIM_EVENT_DBRESTORE:
    case SIM_EVENT_STATELOSS:
    case SIM_EVENT_VM:
    case SIM_EVENT_CLONE:
    case SIM_EVENT_STORERESTORE:
    case SIM_EVENT_GONE: is_done = sim_disaster(machine, event->what, &random); break;
    default: is_done = sim_edit(machine, event->what, &random); break;
    }
    world->facts.events[event->what] += is_done ? 1 : 0;
}

/* Everybody syncs once. Was there nothing to do? */
static bool settle_round(struct sim_world *world)
{
    bool is_idle = true;

    world->clock_ms += 26 * (int64_t)HOUR_MS; /* past every daily look */
    for (size_t i = 0; i < world->machine_count; i++) {
        sim_sync(world->machines[i], &whole_sync);
        is_idle = is_idle && (world->machines[i]->is_gone || world->machines[i]->is_idle);
    }
    return is_idle;
}

/*
 * At most round_count rounds, until nobody has anything to do; twice, where the store went back,
 * which is believed at the second look. Of each sixteen seeds one goes on to the end, and what is
 * settled must stay so.
 */
static void settle(struct sim_world *world, int round_count)
{
    bool goes_on = world->script->seed % 16 == 0;
    int idle_count = 0;

    for (int round = 0; round < round_count; round++) {
        bool is_idle = settle_round(world);
        int idle_wanted = world->is_wiped ? 2 : 1;

        world->is_quiet = true;
        if (!is_idle && idle_count >= idle_wanted) {
            sim_bad(world, "what was settled moves again in round %d", round);
        }
        idle_count = is_idle ? idle_count + 1 : 0;
        if (idle_count >= idle_wanted && !goes_on) {
            break;
        }
    }
    for (size_t i = 0; i < world->machine_count; i++) {
        if (!world->machines[i]->is_gone) {
            sim_sync_status(world->machines[i]);
        }
    }
}

/* Many single deletes may arrive at once and are then held: the person says yes. */
static void accept_arrived(struct sim_world *world)
{
    struct sim_sync_request request = whole_sync;
    bool is_any = false;

    request.accept_in = true;
    for (size_t i = 0; i < world->machine_count; i++) {
        if (!world->machines[i]->is_gone && world->machines[i]->status.deletes_held_in > 0) {
            sim_log(world, "  %s accepts the deletes that arrived", world->machines[i]->name);
            sim_sync(world->machines[i], &request);
            is_any = true;
        }
    }
    if (is_any) {
        settle(world, 3);
    }
}

/* no-mass-delete: what a machine deleted in one go is held there. */
static void check_holds(struct sim_world *world)
{
    for (size_t i = 0; i < world->machine_count; i++) {
        const struct sim_machine *machine = world->machines[i];
        int64_t held = 0;

        for (size_t k = 0; k < world->ledger->row_count; k++) {
            const struct sim_row *row = &world->ledger->rows[k];

            held +=
                (row->guarded_by >> i & 1u) != 0 && !row->is_suppressed && !row->is_deleted ? 1 : 0;
        }
        if (!machine->is_gone && machine->status.is_known &&
            machine->status.deletes_held_out < held) {
            sim_bad(world, "a mass delete of %lld rows is not held at %s (%lld are)",
                    (long long)held, machine->name, (long long)machine->status.deletes_held_out);
        }
    }
}

/* The person decides about each mass delete; the ledger then knows what must come of it. */
static bool decide_holds(struct sim_world *world)
{
    struct sim_ledger *ledger = world->ledger;
    struct sim_random random;
    bool is_any = false;

    sim_random_init(&random, sim_random_mix(world->script->seed, 3));
    for (size_t i = 0; i < world->machine_count; i++) {
        struct sim_machine *machine = world->machines[i];
        struct sim_sync_request request = whole_sync;
        bool is_accepted = sim_random_chance(&random, 50);

        if (machine->is_gone || machine->status.deletes_held_out == 0) {
            continue;
        }
        sim_log(world, "  %s %s its mass delete", machine->name,
                is_accepted ? "accepts" : "takes back");
        request.accept_out = is_accepted;
        request.heal = !is_accepted;
        for (size_t k = 0; k < ledger->row_count; k++) {
            struct sim_row *row = &ledger->rows[k];

            row->is_suppressed = row->is_suppressed || (row->cleaned_by >> i & 1u) != 0;
            row->is_unsure = row->is_unsure || (row->cleaned_by >> i & 1u) != 0;
            if ((row->guarded_by >> i & 1u) == 0) {
                continue;
            }
            row->is_suppressed = row->is_suppressed || world->is_wiped; /* only it knew them */
            row->is_unsure = row->is_unsure || row->guarded_by != 1u << i || row->is_suppressed;
            row->is_deleted = row->is_deleted || is_accepted;
            row->is_dead = row->is_dead || is_accepted;
            row->guarded_by &= ~(1u << i);
        }
        sim_sync(machine, &request);
        is_any = true;
    }
    return is_any;
}

static void judge(struct sim_world *world)
{
    accept_arrived(world);
    check_holds(world);
    sim_judge(world);
}

void sim_run(const struct sim_script *script, FILE *log, bool logs_steps,
             struct sim_verdict *verdict)
{
    struct sim_world *world = sim_world_new(script, log);

    world->logs_steps = logs_steps;
    world->on_race = race;
    sim_world_setup(world);
    for (size_t i = 0; i < script->event_count; i++) {
        sim_run_event(world, &script->events[i]);
    }
    sim_log(world, "  settling");
    sim_world_calm(world);
    world->on_race = NULL;
    settle(world, 6);
    judge(world);
    if (world->error_count == 0 && decide_holds(world)) {
        settle(world, 4);
        judge(world);
    }
    for (size_t i = 0; log != NULL && i < world->machine_count; i++) {
        if (!world->machines[i]->is_gone) {
            sim_db_dump(world->machines[i], log);
        }
    }
    memset(verdict, 0, sizeof *verdict);
    verdict->error_count = world->error_count;
    memcpy(verdict->errors, world->errors, sizeof verdict->errors);
    verdict->facts = world->facts;
    sim_world_free(world);
}
