/* SPDX-License-Identifier: MIT */
/* Which kinds of trouble a seed has, its events, and stories as one line of text. */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct event_info {
    const char *name;
    unsigned weight;
    int kind; /* of enum sim_kind; -1: always there */
};

#define SIM_KIND_S (-1)
static const struct event_info event_infos[SIM_EVENT_WHATS] = {
#define X(id, name, weight, kind) [SIM_EVENT_##id] = {name, weight, SIM_KIND_##kind},
    SIM_EVENT_TABLE(X)
#undef X
};

static const struct {
    const char *name;
    unsigned percent;
} kind_infos[SIM_KINDS] = {
#define X(id, name, percent) [SIM_KIND_##id] = {name, percent},
    SIM_KIND_TABLE(X)
#undef X
};

const char *sim_event_name(enum sim_event_what what)
{
    return event_infos[what].name;
}

static bool is_possible(sim_kinds kinds, int what)
{
    int kind = event_infos[what].kind;

    return kind < 0 || (kinds >> (unsigned)kind & 1u) != 0;
}

void sim_script_make(struct sim_script *script, uint64_t seed, sim_kinds allowed)
{
    struct sim_random random;
    unsigned total = 0;

    memset(script, 0, sizeof *script);
    script->seed = seed;
    sim_random_init(&random, seed);
    for (unsigned i = 0; i < SIM_KINDS; i++) {
        if (sim_random_chance(&random, kind_infos[i].percent)) {
            script->kinds |= (sim_kinds)1 << i;
        }
    }
    script->kinds &= allowed;
    for (int i = 0; i < SIM_EVENT_WHATS; i++) {
        total += is_possible(script->kinds, i) ? event_infos[i].weight : 0;
    }
    script->event_count = 6 + sim_random_below(&random, 50);
    for (size_t i = 0; i < script->event_count; i++) {
        unsigned at = sim_random_below(&random, total);
        int what = 0;

        while (!is_possible(script->kinds, what) || at >= event_infos[what].weight) {
            at -= is_possible(script->kinds, what) ? event_infos[what].weight : 0;
            what++;
        }
        script->events[i] = (struct sim_event){
            .what = (enum sim_event_what)what,
            .machine = sim_random_below(&random, 12),
            .seed = sim_random_next(&random) >> 32,
        };
    }
    sim_recipes_add(script, &random, allowed);
}

static int find_kind(const char *text, size_t size)
{
    for (int i = 0; i < SIM_KINDS; i++) {
        if (strlen(kind_infos[i].name) == size && memcmp(kind_infos[i].name, text, size) == 0) {
            return i;
        }
    }
    return -1;
}

bool sim_script_parse_kinds(const char *text, sim_kinds *kinds_out)
{
    sim_kinds kinds = 0;

    if (strcmp(text, "all") == 0) {
        *kinds_out = SIM_ALL_KINDS;
        return true;
    }
    while (*text != '\0' && strcmp(text, "none") != 0) {
        size_t size = strcspn(text, ",");
        int kind = find_kind(text, size);

        if (kind < 0) {
            return false;
        }
        kinds |= (sim_kinds)1 << (unsigned)kind;
        text += size + (text[size] == ',' ? 1 : 0);
    }
    *kinds_out = kinds;
    return true;
}

void sim_script_print_kinds(FILE *out, sim_kinds kinds)
{
    const char *comma = "";

    if (kinds == 0) {
        fprintf(out, "none");
    }
    for (unsigned i = 0; i < SIM_KINDS; i++) {
        if ((kinds >> i & 1u) != 0) {
            fprintf(out, "%s%s", comma, kind_infos[i].name);
            comma = ",";
        }
    }
}

void sim_script_print(FILE *out, const struct sim_script *script)
{
    fprintf(out, "%" PRIu64 "/", script->seed);
    sim_script_print_kinds(out, script->kinds);
    fprintf(out, "/");
    for (size_t i = 0; i < script->event_count; i++) {
        const struct sim_event *event = &script->events[i];

        fprintf(out, "%s%s.%u.%" PRIx64, i == 0 ? "" : " ", event_infos[event->what].name,
                event->machine, event->seed);
    }
    fprintf(out, "\n");
}

bool sim_script_find_event(const char *text, size_t size, enum sim_event_what *what_out)
{
    for (int i = 0; i < SIM_EVENT_WHATS; i++) {
        if (strlen(event_infos[i].name) == size && memcmp(event_infos[i].name, text, size) == 0) {
            *what_out = (enum sim_event_what)i;
            return true;
        }
    }
    return false;
}

/* "newobs.3.5f" at *text; moves on behind it. */
static bool read_event(const char **text, struct sim_event *event)
{
    size_t size = strcspn(*text, ".");
    char *end = NULL;

    if (!sim_script_find_event(*text, size, &event->what) || (*text)[size] != '.') {
        return false;
    }
    event->machine = (unsigned)strtoul(*text + size + 1, &end, 10);
    if (*end != '.') {
        return false;
    }
    event->seed = strtoull(end + 1, &end, 16);
    *text = end;
    return true;
}

bool sim_script_read(struct sim_script *script, const char *text)
{
    char kinds[1024];
    char *end = NULL;
    size_t size;

    memset(script, 0, sizeof *script);
    script->seed = strtoull(text, &end, 10);
    if (*end != '/') {
        return false;
    }
    text = end + 1;
    size = strcspn(text, "/");
    if (size >= sizeof kinds || text[size] != '/') {
        return false;
    }
    memcpy(kinds, text, size);
    kinds[size] = '\0';
    if (!sim_script_parse_kinds(kinds, &script->kinds)) {
        return false;
    }
    text += size + 1;
    for (;;) {
        text += strspn(text, " \n");
        if (*text == '\0') {
            return true;
        }
        if (script->event_count == SIM_EVENTS_MAX ||
            !read_event(&text, &script->events[script->event_count])) {
            return false;
        }
        script->event_count++;
    }
}
