/* SPDX-License-Identifier: MIT */
/* What people, claude-mem and other machines do while something else is under way: while deletes
 * are held, while a pull runs, before an upgrade, against a constraint, or to a row that is already
 * published. It neither ends a sync nor changes what others have (no-mass-delete,
 * nothing-lost). */
#include "check.h"
#include "fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define T0 1770000000000

/* Two machines with one session of `count` observations on both, and in both streams. */
static struct fleet *make_pair(int count)
{
    struct fleet *fleet = fleet_new(2);
    struct mb_push_request full = {.is_full = true};

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observations(fleet->machines[0], "m", T0, count, "x");
    fleet_sync(fleet->machines[0]);
    fleet_sync(fleet->machines[1]);
    fleet_push(fleet->machines[1], &full);
    fleet_sync(fleet->machines[0]);
    CHECK_INT(fleet_int(fleet->machines[1], "SELECT count(*) FROM observations"), count);
    return fleet;
}

static void check_count(struct fleet *fleet, const char *table, int64_t count)
{
    for (size_t i = 0; i < fleet->count; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM %s", table), count);
    }
}

/* ---- deletes ---- */

TEST(deletes_that_arrived_and_were_held_stay_held_through_a_heal)
{
    for (int deleter = 0; deleter < 2; deleter++) { /* its stream is read first, or last */
        struct fleet *fleet = fleet_new(2);
        struct fleet_machine *a = fleet->machines[deleter];
        struct fleet_machine *b = fleet->machines[1 - deleter];
        struct mb_status_report report;
        size_t size = 0;
        uint8_t *empty = fleet_read_file(b->db_path, &size);

        fleet_session(b, "s", "m",
                      "p"); /* the rows come from one stream, the deletes from the other */
        fleet_observations(b, "m", T0, 60, "x");
        fleet_sync(b);
        fleet_sync(a);
        for (int id = 15; id <= 30; id += 15) { /* each push may delete 20 */
            fleet_sql(a, "DELETE FROM observations WHERE id<=%d", id);
            fleet_push(a, NULL);
            CHECK_INT(a->pushed.deletes_sent, 15);
        }
        fleet_pull(b, NULL);
        CHECK_INT(b->pulled.deletes_held, 30);
        CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 60);
        fleet_close_db(b);
        fleet_write_file(b->db_path, empty, size);
        fleet_sync(b);
        fleet_sync(b);
        fleet_status(b, &report);
        CHECK(!report.is_healing);
        CHECK_INT(report.deletes_held_in, 30);
        CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 60);
        free(empty);
        fleet_free(fleet);
    }
}

TEST(accepting_deletes_releases_what_was_held_and_holds_what_was_not_shown)
{
    struct fleet *fleet = make_pair(100);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_push_request accept = {.accept_deletes = true};

    fleet_sql(a, "DELETE FROM observations WHERE id<=30");
    fleet_sync(a);
    CHECK_INT(a->pushed.deletes_held, 30);
    fleet_sql(a, "DELETE FROM observations WHERE id<=90");
    fleet_push(a, &accept);
    CHECK_INT(a->pushed.deletes_sent, 30);
    CHECK_INT(a->pushed.deletes_held, 60);
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.deletes_held, 0);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 70);
    fleet_push(a, &accept); /* now they were shown */
    CHECK_INT(a->pushed.deletes_sent, 60);
    CHECK_INT(a->pushed.deletes_held, 0);
    fleet_settle(fleet, 1);
    check_count(fleet, "observations", 10);
    fleet_free(fleet);
}

/* ---- in the middle of a pull ---- */

static int step_count; /* how often the step still does something */

/* claude-mem makes a session just before the database is captured. */
static int make_session(void *context, const char *name, struct mb_error *err)
{
    struct fleet_machine *machine = context;

    (void)err;
    if (step_count > 0 && strcmp(name, "capture-begin") == 0) {
        step_count--;
        fleet_session(machine, "late", "m-late", "p");
        fleet_observation(machine, "m-late", T0 + 100, "of the late session");
        fleet_close_db(machine);
    }
    return 0;
}

TEST(a_session_made_while_the_database_is_opened_is_captured_with_its_rows)
{
    struct fleet *fleet = make_pair(40);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_status_report report;

    fleet_sql(a, "DELETE FROM observations WHERE id<=30");
    fleet_sync(a);
    step_count = 1;
    a->env.step = make_session;
    fleet_pull(a, NULL);
    CHECK_INT(step_count, 0);
    for (int i = 0; i < 2; i++) { /* what is held is no sign of another database */
        fleet_status(a, &report);
        CHECK_INT(report.deletes_held_out, 30);
        CHECK(!report.is_healing);
        fleet_pull(a, NULL);
        CHECK_INT(a->pulled.rows_inserted, 0);
    }
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 2);
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_inserted, 2);
    CHECK_TEXT(fleet_text(b, "SELECT s.content_session_id FROM observations o JOIN sdk_sessions s"
                             " USING(memory_session_id) WHERE o.title='of the late session'"),
               "late");
    fleet_free(fleet);
}

static struct fleet_machine *pusher;

/* Another machine pushes after the heads were listed: its old head is gone. */
static int push_other(void *context, const char *name, struct mb_error *err)
{
    (void)context;
    (void)err;
    if (step_count > 0 && strcmp(name, "merge-done") == 0) {
        step_count--;
        fleet_observation(pusher, "m", T0 + 100, "late");
        fleet_push(pusher, NULL);
    }
    return 0;
}

TEST(a_head_that_is_replaced_while_we_pull_is_looked_for_again)
{
    struct fleet *fleet = make_pair(3);
    struct fleet_machine *c = fleet_add(fleet, "13.25.3");
    char id[32];

    (void)snprintf(id, sizeof id, "%s", fleet_machine_id(fleet->machines[0]));
    /* Streams are read in the order of their ids: the one that is read last. */
    pusher = fleet->machines[strcmp(id, fleet_machine_id(fleet->machines[1])) > 0 ? 0 : 1];
    step_count = 1;
    c->env.step = push_other;
    fleet_pull(c, NULL);
    CHECK_INT(step_count, 0);
    CHECK_INT(c->pulled.warning.code, MB_OK);
    CHECK_TEXT(c->pulled.warning.message, "");
    CHECK_INT(fleet_int(c, "SELECT count(*) FROM observations"), 4);
    fleet_free(fleet);
}

/* ---- values ---- */

TEST(a_full_push_says_a_column_once_that_came_before_the_database_had_it)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_machine *c;
    struct mb_push_request full = {.is_full = true};

    fleet_sql(a, "ALTER TABLE observations ADD COLUMN mood TEXT");
    fleet_session(a, "s", "m", "p");
    fleet_observation(a, "m", T0, "x");
    fleet_sql(a, "UPDATE observations SET mood='fine'");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(b, "ALTER TABLE observations ADD COLUMN mood TEXT;"
                 "INSERT INTO schema_versions(version,applied_at) VALUES(99,'x')");
    fleet_sync(b);
    CHECK_TEXT(fleet_text(b, "SELECT mood FROM observations"), "fine");
    fleet_push(b, &full);
    CHECK_INT(b->pushed.rows_sent, 2);
    c = fleet_add(fleet, "13.25.3");
    fleet_sql(c, "ALTER TABLE observations ADD COLUMN mood TEXT");
    fleet_pull(c, NULL);
    CHECK_INT(c->pulled.warning.code, MB_OK);
    CHECK_TEXT(fleet_text(c, "SELECT mood FROM observations"), "fine");
    fleet_free(fleet);
}

TEST(a_value_that_a_constraint_refuses_is_not_answered_with_the_old_one)
{
    struct fleet *fleet = make_pair(0);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_status_report report_a;
    struct mb_status_report report_b;

    fleet_sql(a, "PRAGMA ignore_check_constraints=ON");
    fleet_sql(a, "UPDATE sdk_sessions SET status='paused'");
    fleet_sync(a);
    CHECK_INT(a->pushed.rows_sent, 1);
    for (int i = 0; i < 3; i++) {
        fleet_sync(b);
        CHECK_INT(b->pushed.rows_sent, 0);
        fleet_sync(a);
        CHECK_INT(a->pulled.rows_updated, 0);
        CHECK_INT(a->pushed.rows_sent, 0);
    }
    CHECK_TEXT(fleet_text(a, "SELECT status FROM sdk_sessions"), "paused");
    CHECK_TEXT(fleet_text(b, "SELECT status FROM sdk_sessions"), "active");
    fleet_status(a, &report_a);
    fleet_status(b, &report_b);
    CHECK_TEXT(report_b.digest, report_a.digest);
    CHECK_INT(report_a.conflicts + report_b.conflicts, 0);
    fleet_sql(b, "UPDATE sdk_sessions SET status='completed'"); /* a person's word, and later */
    fleet_sync(b);
    CHECK_INT(b->pushed.rows_sent, 1);
    fleet_sync(a);
    CHECK_TEXT(fleet_text(a, "SELECT status FROM sdk_sessions"), "completed");
    fleet_free(fleet);
}

TEST(a_value_that_is_refused_keeps_no_other_away)
{
    struct fleet *fleet = make_pair(0);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_sql(a, "PRAGMA ignore_check_constraints=ON");
    fleet_sql(a, "UPDATE sdk_sessions SET status='paused'");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='named'");
    fleet_sync(a);
    fleet_sync(b);
    CHECK_TEXT(fleet_text(b, "SELECT custom_title FROM sdk_sessions"), "named");
    CHECK_TEXT(fleet_text(b, "SELECT status FROM sdk_sessions"), "active");
    fleet_free(fleet);
}

TEST(a_row_edited_by_hand_stays_as_it_was_elsewhere)
{
    struct fleet *fleet = make_pair(20);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_push_request full = {.is_full = true};

    fleet_sql(a, "UPDATE observations SET title='by hand' WHERE id=10"); /* another identity */
    fleet_sync(a);
    CHECK_INT(a->pushed.rows_sent, 0);
    fleet_push(a, &full);
    CHECK_INT(a->pushed.rows_sent, 20); /* the session and the other 19 */
    fleet_sql(b, "UPDATE observations SET project='changed' WHERE title='x 9'");
    fleet_settle(fleet, 2);
    CHECK_TEXT(fleet_text(a, "SELECT title||' '||project FROM observations WHERE id=10"),
               "by hand changed");
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations WHERE title='by hand'"), 0);
    check_count(fleet, "observations", 20);
    fleet_free(fleet);
}

static void sync_tool_uses(struct fleet_machine *machine, bool with_tool_uses)
{
    struct mb_engine_config config = fleet_config(machine);
    struct mb_pull_request pull = {0};
    struct mb_push_request push = {0};
    struct mb_engine *engine = NULL;
    struct mb_error err;

    mb_error_init(&err);
    fleet_close_db(machine);
    config.with_tool_uses = with_tool_uses;
    CHECK_OK(mb_engine_open(&config, &engine, &err), &err);
    CHECK_OK(mb_engine_pull(engine, &pull, &machine->pulled, &err), &err);
    CHECK_OK(mb_engine_push(engine, &push, &machine->pushed, &err), &err);
    mb_engine_close(engine);
}

TEST(tool_uses_that_came_before_they_were_switched_on_come_off_the_shelf)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_status_report report;

    fleet_session(a, "s", "m", "p");
    fleet_sql(
        a,
        "INSERT INTO"
        " tool_uses(tool_use_id,content_session_id,project,tool_name,created_at,created_at_epoch)"
        " VALUES('t','s','p','Bash','x',1)");
    for (int round = 0; round < 3; round++) {
        sync_tool_uses(a, true);
        sync_tool_uses(b, round > 0);
        fleet_status(b, &report);
        CHECK_INT(report.rows_parked, round == 0 ? 1 : 0);
        CHECK_INT(fleet_int(b, "SELECT count(*) FROM tool_uses"), round == 0 ? 0 : 1);
        CHECK_INT(b->pulled.rows_inserted, round == 2 ? 0 : 1);
        CHECK_INT(b->pushed.rows_sent, 0);
    }
    CHECK_TEXT(fleet_text(b, "SELECT tool_name FROM tool_uses WHERE tool_use_id='t'"), "Bash");
    fleet_free(fleet);
}

TEST(tool_uses_that_were_switched_off_miss_nothing)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    for (int i = 1; i <= 3; i++) {
        fleet_sql(a,
                  "INSERT INTO tool_uses(tool_use_id,content_session_id,project,tool_name,"
                  "created_at,created_at_epoch) VALUES('t%d','s','p','Bash','x',1)",
                  i);
    }
    sync_tool_uses(a, true);
    sync_tool_uses(b, true);
    fleet_sql(a, "UPDATE tool_uses SET cwd='/here', project='q' WHERE tool_use_id='t1'");
    fleet_sql(a, "DELETE FROM tool_uses WHERE tool_use_id='t2'");
    sync_tool_uses(a, true);
    sync_tool_uses(b, false);
    CHECK_INT(b->pulled.warning.code, MB_OK);
    for (int round = 0; round < 2; round++) {
        sync_tool_uses(b, true);
        sync_tool_uses(a, true);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_TEXT(fleet_text(fleet->machines[i], "SELECT group_concat(tool_use_id||project||"
                                                  "coalesce(cwd,'')) FROM tool_uses"),
                   "t1q/here,t3p");
    }
    fleet_free(fleet);
}

/* ---- killed between the two commits ---- */

static int die_when_live_is_committed(void *context, const char *name, struct mb_error *err)
{
    (void)context;
    return strcmp(name, "live-committed") == 0
               ? mb_error_set(err, MB_ERR_INTERRUPTED, "killed by the test")
               : 0;
}

/* The live database has the batch, the state does not know it. */
static void pull_and_die(struct fleet_machine *machine)
{
    int (*step)(void *context, const char *name, struct mb_error *err) = machine->env.step;
    struct mb_error err;

    machine->env.step = die_when_live_is_committed;
    CHECK_FAILS(fleet_try_pull(machine, NULL, &err), &err, MB_ERR_INTERRUPTED);
    machine->env.step = step;
}

TEST(what_a_killed_merge_wrote_is_not_sent_back_as_a_change_of_ours)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 5, "x");
    fleet_sync(a);
    pull_and_die(b);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 5);
    fleet_push(b, NULL);
    CHECK_INT(b->pushed.rows_sent, 0);
    fleet_sync(b);
    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='named'");
    fleet_sync(a);
    pull_and_die(b);
    CHECK_TEXT(fleet_text(b, "SELECT custom_title FROM sdk_sessions"), "named");
    fleet_push(b, NULL);
    CHECK_INT(b->pushed.rows_sent, 0);
    fleet_sync(b);
    fleet_sql(a, "DELETE FROM observations WHERE id=1");
    fleet_sync(a);
    pull_and_die(b);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 4);
    fleet_push(b, NULL);
    CHECK_INT(b->pushed.rows_sent, 0);
    fleet_settle(fleet, 2);
    fleet_free(fleet);
}

TEST(a_second_copy_that_a_killed_merge_wrote_is_found_again)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    for (int i = 0; i < 2; i++) {
        fleet_session(a, i == 0 ? "s0" : "s1", i == 0 ? "m0" : "m1", "p");
        fleet_observation(a, i == 0 ? "m0" : "m1", T0, "the same row");
    }
    fleet_sync(a);
    pull_and_die(b);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 2);
    fleet_push(b, NULL);
    CHECK_INT(b->pushed.rows_sent, 0);
    fleet_settle(fleet, 2);
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(deletes_that_arrived_and_were_held_stay_held_through_a_heal),
          TEST_ROW(accepting_deletes_releases_what_was_held_and_holds_what_was_not_shown),
          TEST_ROW(a_session_made_while_the_database_is_opened_is_captured_with_its_rows),
          TEST_ROW(a_head_that_is_replaced_while_we_pull_is_looked_for_again),
          TEST_ROW(a_full_push_says_a_column_once_that_came_before_the_database_had_it),
          TEST_ROW(a_value_that_a_constraint_refuses_is_not_answered_with_the_old_one),
          TEST_ROW(a_value_that_is_refused_keeps_no_other_away),
          TEST_ROW(a_row_edited_by_hand_stays_as_it_was_elsewhere),
          TEST_ROW(what_a_killed_merge_wrote_is_not_sent_back_as_a_change_of_ours),
          TEST_ROW(tool_uses_that_came_before_they_were_switched_on_come_off_the_shelf),
          TEST_ROW(tool_uses_that_were_switched_off_miss_nothing),
          TEST_ROW(a_second_copy_that_a_killed_merge_wrote_is_found_again));
