/* SPDX-License-Identifier: MIT */
/*
 * Chance alone seldom finds the five events that make a trap. A recipe is those events in order;
 * other events come between them, so that each trap is met in many states of the world.
 */
#include "sim.h"

#include <string.h>

#include "banned.h"

struct recipe {
    const char *kinds;
    const char *events; /* name.machine, of two or three machines; after "=" the first ones */
};

/* clang-format off */
static const struct recipe recipes[] = {
    {"crash,aim",                "newobs.0 sync.0 newobs.1 sync.1 kill.0 project.0 sync.0"},
    {"sessdel,hot",              "newsess.0 newobs.0 sync.0 sync.1 sessdel.0 newobs.1 newprompt.1 sync.1 sync.0"},
    {"sessdel,resume,hot",       "newsess.0 newobs.0 sync.0 sync.1 sessdel.0 resume.0 sync.0 sync.1"},
    {"sessdel,resume,hot",       "newsess.0 newobs.0 sync.0 sync.1 sessdel.0 sync.0 sync.1 resume.1 sync.0 sync.1"},
    {"manual,migrate,oldschema,cloned,hot", "manual.0 manual.1 manual.0 manual.1 sync.0 sync.1 sync.0 migrate.0 migrate.1 sync.0 sync.1"},
    {"manual,upgrade,oldschema,hot", "manual.0 manual.1 manual.0 manual.1 sync.0 sync.1 sync.0 upgrade.0 sync.0 upgrade.1 sync.1"},
    {"copies,del,stateloss,hot", "=newsess.0 newobs.0 newsess.0 newobs.0 newsess.0 copy.0 copy.0 copy.0 copy.0 copy.0 copy.0 sync.0 sync.1 del.0 del.1 del.0 sync.0 sync.1 stateloss.0 sync.0 stateloss.1"},
    {"dbrestore",                "dbrestore.0 newobs.0 sync.0 dbrestore.0 newobs.0 newsess.0 newobs.0 newobs.0 sync.0 sync.1"},
    {"dbrestore,hot",            "dbrestore.0 newobs.0 sync.0 dbrestore.0 newobs.0 newsess.0 newobs.0 newsess.0 newobs.0 sync.0 sync.1"},
    {"dbrestore,fault,strange",  "dbrestore.0 newobs.0 push.0 newobs.1 sync.1 dbrestore.0 pull.0 pull.0 sync.0"},
    {"reinstall,fault,strange",  "newobs.0 newobs.1 sync.0 sync.1 reinstall.0 pull.0 newobs.0 sync.0"},
    {"massdel,grow",             "bulk.0 sync.0 massdel.0 push.0 grow.0 push.0 sync.1"},
    {"cloned,orphans",           "sync.0 sync.1 newobs.0 newobs.1"},
    {"manual,hot",               "manual.0 manual.1 manual.0 manual.1 sync.0 sync.1"},
    {"orphans,stateloss,sessdel","newsess.0 newobs.0 newobs.0 orphan.0 sync.0 sync.1 stateloss.1 sync.1 resume.0 sync.0 sync.1"},
    {"orphans,resume,sessdel",   "newsess.0 newobs.0 orphan.0 sync.0 sync.1 resume.0 sync.0 sync.1"},
    {"race,twoproc,reg",         "newobs.1 newsess.1 sync.1 race.0 sync.0 project.1 sync.1 race.0"},
    {"race,reg",                 "newobs.1 sync.1 race.0 newsess.1 newobs.1 sync.1 race.0 newobs.1 sync.1 race.0 newobs.1 sync.1 race.0"},
    {"oldschema,nullprompt",     "nullprompt.0 nullprompt.1 sync.0 sync.1 nullprompt.0 sync.0 sync.1"},
    {"skew,reg,hot",             "newsess.0 newobs.0 sync.0 sync.1 project.1 project.1 jump.0 sync.1 sync.0"},
    {"fault,reg,hot",            "newobs.0 sync.0 sync.1 project.1 project.1 sync.1 blind.2 blind.2 pull.2"},
    {"fault,reg,hot",            "newobs.0 newsum.0 sync.0 sync.1 project.1 mergeinto.1 sync.1 blind.2 blind.2 blind.2"},
    {"fault,reg,hot",            "newobs.0 push.0 sync.1 project.1 project.1 project.1 push.1 blind.2 blind.2 blind.2 blind.2"},
    {"fault,del,hot",            "newobs.0 sync.0 sync.1 del.1 del.1 del.1 sync.1 blind.2 blind.2 pull.2"},
    {"fault,del,reg,hot",        "newobs.0 newsum.0 newprompt.0 sync.0 sync.1 del.1 del.1 del.1 sync.1 blind.2 blind.2 blind.2"},
    {"fault,sessdel,hot",        "newsess.0 newobs.0 sync.0 sync.1 sessdel.1 sync.1 blind.2 blind.2 pull.2"},
    {"clone,fault,strange",      "newobs.0 sync.0 clone.0 newobs.0 push.0 newobs.1 push.1 newobs.2 push.2 newobs.3 push.3"},
    {"vm,fault",                 "newobs.0 push.0 vm.0 newobs.0 push.0 vm.0 vm.0 newobs.0 blind.0 blind.0 blind.0 sync.1 sync.0"},
    {"vm,fault,del",             "newobs.0 sync.0 sync.1 vm.0 newobs.0 push.0 vm.0 vm.0 vm.0 newobs.0 blind.0 blind.0 blind.0 blind.0 push.0"},
    {"vm,fault,strange",         "newobs.0 sync.0 vm.0 newobs.0 push.0 vm.0 newobs.0 push.0 vm.0 newobs.0 push.0 sync.1"},
    {"clone",                    "newobs.0 sync.0 clone.0 newobs.0 sync.0 newobs.2 sync.2 sync.3"},
    {"vm,fault",                 "newobs.0 sync.0 vm.0 newobs.0 sync.0 vm.0 vm.0 newobs.0 sync.0 sync.1"},
    {"fold,away",                "newobs.0 sync.0 sync.1 pushes.0 pushes.0 away.0 newobs.0 push.0 newobs.0 push.0 sync.1 sync.0"},
    {"fold,crash,aim,fault",     "pushes.0 pushes.0 kill.0 newobs.0 sync.0 kill.0 sync.1"},
    {"storerestore,gone",        "newobs.0 newobs.2 sync.0 sync.1 sync.2 storerestore.0 newobs.1 sync.1 gone.2 storerestore.0 sync.0 sync.1"},
    {"storerestore",             "newobs.0 push.0 pull.1 storerestore.0 newobs.0 push.0 pull.1 storerestore.0 storerestore.0"},
    {"stateloss",                "sync.0 newobs.0 newsum.0 pull.0 stateloss.0 sync.0 sync.1"},
    {"del,reg,hot",              "newobs.0 newsum.0 sync.0 sync.1 del.0 project.1 project.1 mergeinto.1 sync.0 sync.1"},
    {"rewrite,worker,cloned",    "newsess.0 sync.0 sync.1 rewrite.0 rewrite.1 newobs.0 newobs.1 sync.0 sync.1"},
    {"upgrade,oldschema,reg",    "newobs.0 newprompt.0 sync.0 sync.1 upgrade.0 mergeinto.0 sync.0 upgrade.1 sync.1"},
    {"diskfull,crash",           "newobs.1 newsum.1 newprompt.1 sync.1 diskfull.0 diskfull.0 diskfull.0 sync.0"},
    {"backup,dbrestore,crash,aim,big","big.0 big.0 big.0 big.0 newobs.1 sync.1 sync.0 dbrestore.0 newobs.0 sync.0 dbrestore.0 kill.0 kill.0 away.0 newobs.1 sync.1 kill.0 sync.0"},
    {"backup,dbrestore,crash,aim,big","big.0 big.0 big.0 big.0 newobs.1 sync.1 sync.0 dbrestore.0 newobs.0 sync.0 dbrestore.0 kill.0 kill.0 kill.0 away.0 newobs.0 kill.0 away.0 newobs.1 sync.1 kill.0 sync.0"},
    {"full,crash,aim",           "newobs.0 sync.0 fullpush.0 kill.0 fullpush.0 kill.0 sync.0"},
};
/* clang-format on */

static bool read_step(const char **text, unsigned base, struct sim_event *event)
{
    size_t size = strcspn(*text, ".");

    if (!sim_script_find_event(*text, size, &event->what)) {
        return false;
    }
    event->machine = (base + (unsigned)((*text)[size + 1] - '0')) % 12;
    *text += size + 2;
    *text += strspn(*text, " ");
    return true;
}

static void insert(struct sim_script *script, size_t at, const struct sim_event *event)
{
    memmove(&script->events[at + 1], &script->events[at],
            (script->event_count - at) * sizeof script->events[0]);
    script->events[at] = *event;
    script->event_count++;
}

static void add(struct sim_script *script, struct sim_random *random, const struct recipe *recipe)
{
    const char *text = recipe->events;
    unsigned base = *text == '=' ? 0 : sim_random_below(random, 12);
    size_t at = sim_random_below(random, (unsigned)script->event_count + 1);
    struct sim_event event;

    text += *text == '=' ? 1 : 0;
    while (*text != '\0' && script->event_count < SIM_EVENTS_MAX &&
           read_step(&text, base, &event)) {
        event.seed = sim_random_next(random) >> 32;
        insert(script, at, &event);
        at += sim_random_chance(random, 25) ? 2 : 1;
        at = at < script->event_count ? at : script->event_count;
    }
}

void sim_recipes_add(struct sim_script *script, struct sim_random *random, sim_kinds allowed)
{
    unsigned count = 1 + sim_random_below(random, 3);

    for (unsigned i = 0; i < count; i++) {
        const struct recipe *recipe =
            &recipes[sim_random_below(random, sizeof recipes / sizeof recipes[0])];
        sim_kinds kinds = 0;

        if (sim_script_parse_kinds(recipe->kinds, &kinds) && (kinds & ~allowed) == 0) {
            script->kinds |= kinds;
            add(script, random, recipe);
        }
    }
}
