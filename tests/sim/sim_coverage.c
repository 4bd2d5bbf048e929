/* SPDX-License-Identifier: MIT */
/* What many seeds reached, and what none of them did. */
#include "sim_traps.h"

#include <string.h>

#include "banned.h"

static const struct {
    const char *name;
    const char *words;
} traps[SIM_TRAPS] = {
#define X(id, name, words) {name, words},
    SIM_TRAP_TABLE(X)
#undef X
};

static const char *const steps[] = {
#define X(name) name,
    SIM_STEP_TABLE(X)
#undef X
};
#define STEPS (sizeof steps / sizeof steps[0])

static const char *const fault_names[SIM_FAULT_KINDS] = {
    [MB_STORE_FAULT_NONE] = "none",   [MB_STORE_FAULT_BEFORE] = "before",
    [MB_STORE_FAULT_AFTER] = "after", [MB_STORE_FAULT_LATE] = "late",
    [MB_STORE_FAULT_SHORT] = "short", [MB_STORE_FAULT_STALE] = "stale",
    [MB_STORE_FAULT_FULL] = "full",   [MB_STORE_FAULT_FLIP] = "flip",
    [MB_STORE_FAULT_LAZY] = "lazy",   [MB_STORE_FAULT_SWAP] = "swap",
};
static const char *const slot_names[SIM_SLOTS] = {"put", "get", "stat", "list", "delete", "probe"};

/* Faults that must have happened: a letter of each slot, in the order of slot_names. */
static const char *const fault_slots[SIM_FAULT_KINDS] = {
    [MB_STORE_FAULT_NONE] = "",      [MB_STORE_FAULT_BEFORE] = "pgldb",
    [MB_STORE_FAULT_AFTER] = "pgld", [MB_STORE_FAULT_LATE] = "pd",
    [MB_STORE_FAULT_SHORT] = "g",    [MB_STORE_FAULT_STALE] = "gl",
    [MB_STORE_FAULT_FULL] = "p",     [MB_STORE_FAULT_FLIP] = "g",
    [MB_STORE_FAULT_LAZY] = "pd",    [MB_STORE_FAULT_SWAP] = "g",
};
static const char slot_letters[SIM_SLOTS] = {'p', 'g', 's', 'l', 'd', 'b'};

int sim_coverage_step(const char *name)
{
    for (size_t i = 0; i < STEPS; i++) {
        if (strcmp(steps[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *sim_coverage_step_name(unsigned number)
{
    return steps[number % STEPS];
}

void sim_coverage_add(struct sim_coverage *coverage, const struct sim_facts *facts)
{
    coverage->seeds++;
    for (unsigned i = 0; i < SIM_TRAPS; i++) {
        coverage->traps[i] += facts->traps >> i & 1u;
    }
    for (int i = 0; i < SIM_EVENT_WHATS; i++) {
        coverage->events[i] += facts->events[i];
    }
    for (size_t i = 0; i < STEPS; i++) {
        coverage->steps[i] += facts->steps[i];
        coverage->kills[i] += facts->kills[i];
    }
    for (int i = 0; i < SIM_FAULT_KINDS; i++) {
        for (int k = 0; k < SIM_SLOTS; k++) {
            coverage->faults[i][k] += facts->faults[i][k];
        }
    }
}

static void print_steps(const struct sim_coverage *coverage, FILE *out)
{
    fprintf(out, "steps (reached, killed at):\n");
    for (size_t i = 0; i < STEPS; i++) {
        fprintf(out, "  %8lu %6lu  %s\n", coverage->steps[i], coverage->kills[i], steps[i]);
    }
    fprintf(out, "faults:\n");
    for (int i = MB_STORE_FAULT_NONE + 1; i < SIM_FAULT_KINDS; i++) {
        fprintf(out, "  %-8s", fault_names[i]);
        for (int k = 0; k < SIM_SLOTS; k++) {
            fprintf(out, " %s %lu", slot_names[k], coverage->faults[i][k]);
        }
        fprintf(out, "\n");
    }
}

void sim_coverage_print(const struct sim_coverage *coverage, FILE *out, bool with_steps)
{
    fprintf(out, "events:");
    for (int i = 0; i < SIM_EVENT_WHATS; i++) {
        fprintf(out, " %s %lu", sim_event_name((enum sim_event_what)i), coverage->events[i]);
    }
    fprintf(out, "\ntraps (seeds that went through):\n");
    for (int i = 0; i < SIM_TRAPS; i++) {
        fprintf(out, "  %6lu %5.1f %%  %-24s %s\n", coverage->traps[i],
                coverage->seeds == 0 ? 0.0
                                     : 100.0 * (double)coverage->traps[i] / (double)coverage->seeds,
                traps[i].name, traps[i].words);
    }
    if (with_steps) {
        print_steps(coverage, out);
    }
}

static bool require(unsigned long count, const char *what, const char *name, const char *slot,
                    FILE *out)
{
    if (count == 0) {
        fprintf(out, "never reached: %s %s%s\n", what, name, slot);
    }
    return count != 0;
}

bool sim_coverage_is_whole(const struct sim_coverage *coverage, FILE *out)
{
    bool is_whole = true;

    for (int i = 0; i < SIM_TRAPS; i++) {
        is_whole = require(coverage->traps[i], "trap", traps[i].name, "", out) && is_whole;
    }
    for (int i = 0; i < SIM_EVENT_WHATS; i++) {
        is_whole = require(coverage->events[i], "event", sim_event_name((enum sim_event_what)i), "",
                           out) &&
                   is_whole;
    }
    for (size_t i = 0; i < STEPS; i++) {
        if (strcmp(steps[i], "capture-rows") == 0) {
            continue; /* thousands of new rows at once: tests/engine/test_traps_under_way.c */
        }
        is_whole =
            require(coverage->kills[i], "a death at the step", steps[i], "", out) && is_whole;
    }
    for (int i = 0; i < SIM_FAULT_KINDS; i++) {
        for (int k = 0; k < SIM_SLOTS; k++) {
            if (strchr(fault_slots[i], slot_letters[k]) != NULL) {
                is_whole = require(coverage->faults[i][k], fault_names[i], "fault of ",
                                   slot_names[k], out) &&
                           is_whole;
            }
        }
    }
    return is_whole;
}
