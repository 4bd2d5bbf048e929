/* SPDX-License-Identifier: MIT */
/* The operations of the engine, each with a world in which it has something to do. */
#include "check.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define T0 1770000000000

/* ---- running ---- */

static int push(struct world *world, const struct mb_push_request *request, struct mb_error *err)
{
    struct mb_engine_config config = world_config(world);
    struct mb_engine *engine = NULL;
    int rc = mb_engine_open(&config, &engine, err);

    if (rc == 0) {
        rc = mb_engine_push(engine, request, &world->a->pushed, err);
    }
    mb_engine_close(engine);
    return rc;
}

static int pull(struct world *world, const struct mb_pull_request *request, struct mb_error *err)
{
    struct mb_engine_config config = world_config(world);
    struct mb_engine *engine = NULL;
    int rc = mb_engine_open(&config, &engine, err);

    if (rc == 0) {
        rc = mb_engine_pull(engine, request, &world->a->pulled, err);
    }
    mb_engine_close(engine);
    return rc;
}

static int run_push(struct world *world, struct mb_error *err)
{
    return push(world, &(struct mb_push_request){0}, err);
}

static int run_push_full(struct world *world, struct mb_error *err)
{
    return push(world, &(struct mb_push_request){.is_full = true}, err);
}

static int run_push_accept(struct world *world, struct mb_error *err)
{
    return push(world, &(struct mb_push_request){.accept_deletes = true}, err);
}

static int run_push_dry(struct world *world, struct mb_error *err)
{
    return push(world, &(struct mb_push_request){.is_dry_run = true}, err);
}

static int run_pull(struct world *world, struct mb_error *err)
{
    return pull(world, &(struct mb_pull_request){0}, err);
}

static int run_pull_heal(struct world *world, struct mb_error *err)
{
    return pull(world, &(struct mb_pull_request){.heal = true}, err);
}

static int run_pull_accept(struct world *world, struct mb_error *err)
{
    return pull(world, &(struct mb_pull_request){.accept_deletes = true}, err);
}

static int run_pull_dry(struct world *world, struct mb_error *err)
{
    return pull(world, &(struct mb_pull_request){.is_dry_run = true}, err);
}

static int ignore_conflict(void *context, const struct mb_engine_conflict *conflict,
                           struct mb_error *err)
{
    (void)context;
    (void)conflict;
    (void)err;
    return 0;
}

static int run_status(struct world *world, struct mb_error *err)
{
    struct mb_engine_config config = world_config(world);
    struct mb_status_report report;
    struct mb_engine *engine = NULL;
    int rc;

    config.is_read_only = true;
    rc = mb_engine_open(&config, &engine, err);
    if (rc == 0) {
        rc = mb_engine_status(engine, &report, err);
    }
    if (rc == 0) {
        rc = mb_engine_conflicts(engine, ignore_conflict, NULL, err);
    }
    mb_engine_close(engine);
    return rc;
}

/* ---- preparing ---- */

static void fill(struct fleet_machine *machine, const char *name, int count)
{
    char memory[16];

    (void)snprintf(memory, sizeof memory, "m-%s", name);
    fleet_session(machine, name, memory, "p");
    fleet_observations(machine, memory, T0, count, "sekret row");
    fleet_sql(machine,
              "UPDATE observations SET title = title || ' of %q' WHERE"
              " memory_session_id = %Q",
              name, memory);
    fleet_summary(machine, memory, T0 + 50, "sekret summary");
    fleet_prompt(machine, name, T0 + 60, "sekret prompt");
    fleet_prompt(machine, name, T0 + 61, "sekret second prompt");
}

/* Both machines have a's rows and b's. */
static void share(struct world *world, int count)
{
    fill(world->a, "sa", count);
    fill(world->b, "sb", count);
    fleet_sync(world->a);
    fleet_sync(world->b);
    fleet_sync(world->a);
}

/* New rows, changed values, deleted rows. */
static void change(struct fleet_machine *machine, const char *own)
{
    char memory[16];

    (void)snprintf(memory, sizeof memory, "m-%s", own);
    fleet_session(machine, "snew", "mnew", "q");
    fleet_observation(machine, "mnew", T0 + 100, "sekret new");
    fleet_sql(
        machine,
        "UPDATE sdk_sessions SET user_prompt='sekret, and longer' WHERE content_session_id=%Q",
        own);
    fleet_observation(machine, memory, T0 + 101, "sekret newer");
    fleet_prompt(machine, "snew", T0 + 102, "sekret new prompt");
    fleet_sql(machine,
              "UPDATE sdk_sessions SET custom_title='sekret title', status='completed'"
              " WHERE content_session_id=%Q",
              own);
    fleet_sql(machine, "UPDATE observations SET project='moved' WHERE created_at_epoch=%lld",
              (long long)T0 + 1);
    fleet_sql(machine, "DELETE FROM observations WHERE created_at_epoch=%lld", (long long)T0 + 2);
    fleet_sql(machine, "DELETE FROM session_summaries WHERE memory_session_id=%Q", memory);
}

static void prepare_first_push(struct world *world)
{
    fill(world->a, "sa", 6);
}

static void prepare_later_push(struct world *world)
{
    share(world, 6);
    change(world->a, "sa");
}

static void prepare_fold(struct world *world)
{
    fleet_session(world->a, "sa", "m-sa", "p");
    for (int i = 0; i < 13; i++) {
        char title[32];

        (void)snprintf(title, sizeof title, "sekret fold %d", i);
        fleet_observation(world->a, "m-sa", T0 + i, title);
        if (i < 12) {
            fleet_push(world->a, NULL);
        }
    }
}

void world_prepare_shared(struct world *world)
{
    share(world, 6);
}

/* Two segments in the store. */
static void prepare_first_pull(struct world *world)
{
    fill(world->b, "sb", 6);
    fleet_push(world->b, NULL);
    change(world->b, "sb");
    fleet_push(world->b, NULL);
}

/* The same, and a has rows of its own, some of them equal to b's. */
static void prepare_first_meeting(struct world *world)
{
    prepare_first_pull(world);
    fill(world->a, "sa", 4);
    fill(world->a, "sb", 6);
}

/* Two segments of changes, a whole session deleted, and a change of a's own that is in conflict. */
static void prepare_pull_changes(struct world *world)
{
    share(world, 6);
    change(world->b, "sb");
    fleet_push(world->b, NULL);
    fleet_sql(world->b, "DELETE FROM sdk_sessions WHERE content_session_id='sa'");
    fleet_observations(world->b, "m-sb", T0 + 200, 5, "sekret late");
    fleet_push(world->b, NULL);
    fleet_sql(world->a,
              "UPDATE sdk_sessions SET custom_title='sekret other' WHERE content_session_id='sb'");
    fleet_observation(world->a, "m-sa", T0 + 300, "sekret own");
}

/* A mass delete that waits for a person. */
static void prepare_held(struct world *world)
{
    share(world, 40);
    fleet_sql(world->a, "DELETE FROM observations WHERE id <= 30");
    fleet_push(world->a, NULL);
    CHECK_INT(world->a->pushed.deletes_held, 30);
}

/* Deletes that came, and wait. */
static void prepare_held_in(struct world *world)
{
    share(world, 40);
    for (int i = 15; i <= 30; i += 15) {
        fleet_sql(world->b, "DELETE FROM observations WHERE created_at_epoch < %lld",
                  (long long)T0 + i / 2);
        fleet_push(world->b, NULL);
    }
    fleet_pull(world->a, NULL);
    CHECK(world->a->pulled.deletes_held > 20);
}

/* The same disk in another computer. */
static void prepare_clone(struct world *world)
{
    prepare_later_push(world);
    (void)snprintf(world->a->env.machine_id, sizeof world->a->env.machine_id, "another");
}

/* The database of some days ago was put back. */
static void prepare_restored(struct world *world)
{
    size_t size = 0;
    uint8_t *old;
    FILE *out;

    fleet_session(world->a, "early", "m-early", "p");
    fleet_observations(world->a, "m-early", T0 - 50, 3, "sekret early");
    fleet_close_db(world->a);
    old = fleet_read_file(world->a->db_path, &size);
    share(world, 6);
    fleet_close_db(world->a);
    out = fopen(world->a->db_path, "wb");
    if (CHECK(out != NULL && old != NULL)) {
        CHECK_INT(fwrite(old, 1, size, out), size);
        CHECK_INT(fclose(out), 0);
    }
    free(old);
}

/* ---- that they did something ---- */

static void check_sent(struct world *world)
{
    CHECK_INT(world->a->pushed.outcome, MB_OUTCOME_DONE);
    CHECK(world->a->pushed.rows_sent > 0);
}

static void check_folded(struct world *world)
{
    struct fleet_keys segments = fleet_keys(world->fleet, "/segments/");

    check_sent(world);
    CHECK_INT(segments.count, 14); /* thirteen, and one in their place */
    fleet_keys_free(&segments);
}

static void check_deletes_sent(struct world *world)
{
    CHECK_INT(world->a->pushed.deletes_sent, 30);
}

static void check_came(struct world *world)
{
    CHECK(world->a->pulled.rows_inserted > 0);
    CHECK(world->allowed_count >= 4); /* before, two commits or more, after */
}

static void check_changed(struct world *world)
{
    check_came(world);
    CHECK(world->a->pulled.rows_updated > 0);
    CHECK(world->a->pulled.rows_deleted > 0);
    CHECK(world->a->pulled.conflicts > 0);
}

static void check_healed(struct world *world)
{
    CHECK(world->a->pulled.rows_inserted > 0);
}

static void check_deletes_came(struct world *world)
{
    CHECK_INT(world->a->pulled.rows_deleted, 30);
}

static void check_rehearsed(struct world *world)
{
    CHECK(world->a->pulled.rows_inserted > 0);
    CHECK_TEXT(world->allowed[world->allowed_count - 1], world->allowed[0]);
}

static void check_nothing(struct world *world)
{
    CHECK_TEXT(world->allowed[world->allowed_count - 1], world->allowed[0]);
}

#define NEW "13.25.3"
#define NO_WAL "13.4.0"

/* clang-format off */
const struct world_op world_ops[] = {
    { "first push",              NEW,    prepare_first_push,    run_push, check_sent },
    { "push",                    NEW,    prepare_later_push,    run_push, check_sent },
    { "push with a fold",        NEW,    prepare_fold,          run_push, check_folded },
    { "push --full",             NEW,    world_prepare_shared,        run_push_full, check_sent },
    { "push --accept-deletes",   NEW,    prepare_held,          run_push_accept, check_deletes_sent },
    { "push --dry-run",          NEW,    prepare_later_push,    run_push_dry, check_sent },
    { "push of a clone",         NEW,    prepare_clone,         run_push, check_sent },
    { "push without WAL",        NO_WAL, prepare_later_push,    run_push, check_sent },
    { "first pull",              NEW,    prepare_first_pull,    run_pull, check_came },
    { "first pull to own rows",  NEW,    prepare_first_meeting, run_pull, check_came },
    { "pull",                    NEW,    prepare_pull_changes,  run_pull, check_changed },
    { "pull without WAL",        NO_WAL, prepare_pull_changes,  run_pull, check_changed },
    { "pull --heal",             NEW,    prepare_held,          run_pull_heal, check_healed },
    { "pull --accept-deletes",   NEW,    prepare_held_in,       run_pull_accept, check_deletes_came },
    { "pull --dry-run",          NEW,    prepare_pull_changes,  run_pull_dry, check_rehearsed },
    { "pull of an old database", NEW,    prepare_restored,      run_pull, check_healed },
    { "status",                  NEW,    prepare_later_push,    run_status, check_nothing },
};
/* clang-format on */
const size_t world_op_count = sizeof world_ops / sizeof world_ops[0];
