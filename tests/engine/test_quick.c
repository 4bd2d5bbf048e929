/* SPDX-License-Identifier: MIT */

/*
 * The cheap ways of capture (marks, counts, windows, unchanged files) never make it miss what the
 * truth would show: where they do not add up, the truth is looked at.
 */

#include "alloc.h"
#include "check.h"
#include "env.h"
#include "file.h"
#include "fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define T0 INT64_C(1760000000000)
#define MANY 400 /* more than one window */

struct counting {
    struct fleet_machine *machine;
    int (*next)(void *context, const char *name, struct mb_error *err);
    int captures;
};

static struct counting counting;

static int count_captures(void *context, const char *name, struct mb_error *err)
{
    counting.captures += strcmp(name, "capture-begin") == 0 ? 1 : 0;
    return counting.next(context, name, err);
}

static void count_on(struct fleet_machine *machine)
{
    counting = (struct counting){machine, machine->env.step, 0};
    machine->env.step = count_captures;
}

/* Until its times can tell a later change: two seconds after the last one. */
static void wait_until_settled(const char *path)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 50000000};
    struct mb_file_stat info;
    struct mb_error err;

    for (int i = 0; i < 200; i++) {
        CHECK_OK(mb_file_stat(path, &info, &err), &err);
        if (mb_file_is_settled(&info)) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    CHECK_TEXT("the file's times are too new", "the file's times are two seconds old");
}

TEST(a_database_that_nobody_wrote_to_is_not_looked_at_again)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "s", "m", "p");
    fleet_close_db(a);
    wait_until_settled(a->db_path);
    fleet_push(a, NULL);
    count_on(a);
    fleet_push(a, NULL);
    CHECK_INT(counting.captures, 0);
    fleet_pull(a, NULL);
    CHECK_INT(counting.captures, 0);
    fleet_observation(a, "m", T0, "new");
    fleet_push(a, NULL);
    CHECK_INT(counting.captures, 1);
    CHECK_INT(a->pushed.rows_sent, 1);
    fleet_free(fleet);
}

TEST(a_database_that_another_has_open_is_not_looked_at_again_either)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];
    sqlite3 *worker = NULL;
    char *log = mb_alloc_format("%s-wal", a->db_path);

    fleet_session(a, "s", "m", "p");
    fleet_close_db(a);
    CHECK_INT(sqlite3_open(a->db_path, &worker), SQLITE_OK);
    CHECK_INT(sqlite3_exec(worker, "UPDATE sdk_sessions SET worker_port=1", NULL, NULL, NULL),
              SQLITE_OK);
    wait_until_settled(log);
    fleet_push(a, NULL);
    count_on(a);
    fleet_push(a, NULL);
    CHECK_INT(counting.captures, 0);
    CHECK_INT(sqlite3_exec(worker, "UPDATE sdk_sessions SET custom_title='new'", NULL, NULL, NULL),
              SQLITE_OK);
    fleet_push(a, NULL);
    CHECK_INT(counting.captures, 1);
    CHECK_INT(a->pushed.rows_sent, 1);
    CHECK_INT(sqlite3_close(worker), SQLITE_OK);
    free(log);
    fleet_free(fleet);
}

TEST(what_was_written_just_before_a_capture_is_not_believed_unchanged)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "s", "m", "p");
    fleet_push(a, NULL);
    count_on(a);
    fleet_push(a, NULL);
    CHECK_INT(counting.captures, 1);
    fleet_free(fleet);
}

TEST(the_truth_is_looked_at_after_four_hours_also_where_nobody_wrote)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "s", "m", "p");
    fleet_close_db(a);
    wait_until_settled(a->db_path);
    fleet_push(a, NULL);
    count_on(a);
    a->now_ms += (int64_t)4 * 3600 * 1000;
    fleet_push(a, NULL);
    CHECK_INT(counting.captures, 1);
    fleet_free(fleet);
}

TEST(a_row_that_goes_while_another_comes_is_missed)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, MANY, "o");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(a, "DELETE FROM observations WHERE id=7");
    fleet_observation(a, "m", T0 + 10000, "new");
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 2);
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_deleted, 1);
    CHECK_INT(b->pulled.rows_inserted, 1);
    fleet_free(fleet);
}

TEST(a_session_that_goes_while_another_comes_is_missed)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];

    for (int i = 0; i < MANY; i++) {
        char content[32];
        (void)snprintf(content, sizeof(content), "s%d", i);
        fleet_session(a, content, NULL, "p");
    }
    fleet_push(a, NULL);
    fleet_sql(a, "DELETE FROM sdk_sessions WHERE id=7");
    fleet_session(a, "new", NULL, "p");
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 2);
    CHECK_INT(a->pushed.deletes_sent, 1);
    fleet_free(fleet);
}

TEST(a_session_that_was_started_last_is_looked_at_each_time)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "mine", NULL, "p");
    for (int i = 0; i < MANY; i++) { /* as if they had come from another machine since */
        char content[32];
        (void)snprintf(content, sizeof(content), "s%d", i);
        fleet_session(a, content, NULL, "p");
    }
    fleet_sql(a, "UPDATE sdk_sessions SET started_at_epoch=started_at_epoch-%d WHERE id>1",
              86400000);
    fleet_push(a, NULL);
    for (int i = 0; i < 3; i++) {
        fleet_sql(a, "UPDATE sdk_sessions SET custom_title='title %d' WHERE id=1", i);
        fleet_push(a, NULL);
        CHECK_INT(a->pushed.rows_sent, 1);
    }
    fleet_free(fleet);
}

TEST(children_follow_a_session_that_gets_its_name_late)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_sql(a, "PRAGMA foreign_keys=OFF");
    fleet_session(a, "old", "other", "p");
    fleet_observations(a, "other", T0 + 100000, MANY, "filler");
    fleet_observation(a, "m", T0, "orphan"); /* the first window is far behind by then */
    fleet_session(a, "s", NULL, "p");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(a, "UPDATE sdk_sessions SET memory_session_id='m' WHERE content_session_id='s'");
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 1);
    fleet_pull(b, NULL);
    CHECK_TEXT(fleet_text(b, "SELECT s.content_session_id FROM observations AS o JOIN sdk_sessions "
                             "AS s ON s.memory_session_id=o.memory_session_id WHERE "
                             "o.title='orphan'"),
               "s");
    fleet_free(fleet);
}

TEST(a_change_that_the_window_has_not_come_to_is_not_written_over)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, MANY, "o");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(a, "UPDATE observations SET project='old' WHERE id=%d", MANY);
    a->now_ms += (int64_t)5 * 3600 * 1000;
    fleet_push(a, NULL);
    b->now_ms = a->now_ms;
    fleet_sql(b, "UPDATE observations SET project='new' WHERE title='o %d'", MANY - 1);
    fleet_pull(b, NULL);
    fleet_push(b, NULL);
    fleet_pull(a, NULL);
    CHECK_TEXT(fleet_text(b, "SELECT project FROM observations WHERE title='o %d'", MANY - 1),
               "new");
    CHECK_TEXT(fleet_text(a, "SELECT project FROM observations WHERE title='o %d'", MANY - 1),
               "new");
    CHECK_INT(fleet_conflict_count(a) + fleet_conflict_count(b) > 0, 1);
    fleet_settle(fleet, 3);
    fleet_free(fleet);
}

TEST(a_stub_that_becomes_a_true_session_is_published)
{
    struct fleet *fleet = fleet_new(0);
    struct fleet_machine *a = fleet_add(fleet, "10.6.3");
    struct fleet_machine *b = fleet_add(fleet, "10.6.3");

    fleet_session(a, "s", "m", "p");
    fleet_prompt(a, "s", T0, "prompt");
    fleet_settle(fleet, 2);
    fleet_sql(b, "DELETE FROM user_prompts");
    fleet_sql(b, "DELETE FROM sdk_sessions");
    fleet_prompt(a, "s", T0 + 1, "not seen by who deleted");
    fleet_push(b, NULL);
    fleet_sync(a); /* the new prompt keeps a stub */
    CHECK_INT(fleet_int(a, "SELECT count(*) FROM sdk_sessions WHERE memory_session_id='s'"), 1);
    fleet_sql(a, "UPDATE sdk_sessions SET memory_session_id='m2'"); /* it goes on here */
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 1);
    fleet_settle(fleet, 2);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM sdk_sessions WHERE content_session_id='s' AND"
                           " memory_session_id IS NOT 's'"),
              1);
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(a_database_that_nobody_wrote_to_is_not_looked_at_again),
          TEST_ROW(a_database_that_another_has_open_is_not_looked_at_again_either),
          TEST_ROW(what_was_written_just_before_a_capture_is_not_believed_unchanged),
          TEST_ROW(the_truth_is_looked_at_after_four_hours_also_where_nobody_wrote),
          TEST_ROW(a_row_that_goes_while_another_comes_is_missed),
          TEST_ROW(a_session_that_goes_while_another_comes_is_missed),
          TEST_ROW(a_session_that_was_started_last_is_looked_at_each_time),
          TEST_ROW(children_follow_a_session_that_gets_its_name_late),
          TEST_ROW(a_change_that_the_window_has_not_come_to_is_not_written_over),
          TEST_ROW(a_stub_that_becomes_a_true_session_is_published));
