/* SPDX-License-Identifier: MIT */

/*
 * Rows that are merged together: what one of them meets is nothing to the others, and what somebody
 * writes between the plan and the lock is a change, not something to write over (live-safe,
 * nothing-lost).
 */

#include "check.h"
#include "env.h"
#include "file.h"
#include "fleet.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define T0 INT64_C(1760000000000)
#define MANY 173 /* some statements of each size */

TEST(many_rows_of_all_tables_arrive_whole)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_status_report report;

    fleet_session(b, "own", "mine", "p");
    fleet_observations(b, "mine", T0 - 1000, 7, "before");
    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, MANY, "o");
    for (int i = 0; i < MANY; i++) {
        fleet_summary(a, "m", T0 + i, i % 2 == 0 ? "even" : "odd");
        fleet_prompt(a, "s", T0 + i, "prompt");
    }
    fleet_sync(a);
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_inserted, 3 * MANY + 1);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations WHERE memory_session_id='m'"), MANY);
    CHECK_INT(fleet_int(b, "SELECT count(DISTINCT title) FROM observations"), MANY + 7);
    CHECK_INT(
        fleet_int(b, "SELECT count(*) FROM observations_fts WHERE observations_fts MATCH 'o'"),
        MANY);
    fleet_check_db(b);
    fleet_push(b, NULL);
    fleet_status(b, &report);
    CHECK(!report.is_healing); /* the map has each row in its place */
    fleet_settle(fleet, 2);
    fleet_free(fleet);
}

TEST(a_row_that_the_database_refuses_keeps_no_other_away)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_sql(b, "CREATE UNIQUE INDEX only_one ON observations(title)");
    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, MANY, "o");
    fleet_session(a, "t", "n", "p");
    fleet_observation(a, "n", T0 + 500, "o 42");
    fleet_sync(a);
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_inserted, MANY + 2);
    CHECK_INT(b->pulled.rows_parked, 1);
    fleet_check_db(b);
    fleet_sql(b, "DROP INDEX only_one");
    fleet_settle(fleet, 3); /* what was parked is tried again once a day */
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations WHERE title='o 42'"), 2);
    fleet_free(fleet);
}

TEST(equal_titles_of_one_session_in_one_batch_are_both_kept)
{
    struct fleet *fleet = fleet_new(2);
    struct mb_push_request full = {.is_full = true};
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *c = fleet->machines[1];
    struct fleet_machine *b;
    struct fleet_keys keys;
    const char *other;

    for (int i = 0; i < 2; i++) {
        fleet_session(fleet->machines[i], "manual-p", "memory", "p");
        fleet_observation(fleet->machines[i], "memory", T0 + i, "note");
    }
    fleet_sync(a);
    fleet_sync(c);
    fleet_pull(a, NULL);
    CHECK_INT(fleet_int(a, "SELECT count(*) FROM observations WHERE title='note'"), 2);
    fleet_push(a, &full); /* both rows in one stream, and then only there */
    other = fleet_machine_id(c);
    keys = fleet_keys(fleet, other);
    for (size_t i = 0; i < keys.count; i++) {
        fleet_delete(fleet, keys.keys[i]);
    }
    fleet_keys_free(&keys);
    b = fleet_add(fleet, "13.25.3");
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_parked, 0);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations WHERE title='note'"), 2);
    CHECK_INT(fleet_int(b, "SELECT count(DISTINCT content_hash) FROM observations"), 2);
    fleet_free(fleet);
}

TEST(a_row_whose_own_hash_an_equal_row_has_is_not_kept_away)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_error err;

    /* Four equal rows; b gives all but one of them hashes of their own. */
    fleet_session(a, "s", "m", "p");
    fleet_observation(a, "m", T0, "note");
    for (int i = 1; i < 4; i++) {
        fleet_sql(a,
                  "INSERT INTO observations(memory_session_id,project,type,title,narrative,facts,"
                  "content_hash,created_at,created_at_epoch) SELECT memory_session_id,project,type,"
                  "title,narrative,facts,'other%d',created_at,created_at_epoch FROM observations "
                  "WHERE id=1",
                  i);
    }
    fleet_sync(a);
    fleet_sync(b);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 4);
    /* The second goes. The state is lost, and the others are numbered anew: the third as the
     * second, which is dead, the fourth as the third; so the fourth comes back, and its hash is
     * taken. */
    fleet_sql(b, "DELETE FROM observations WHERE id=2");
    fleet_sync(b);
    fleet_sync(a);
    CHECK_OK(mb_file_remove_tree(b->state_dir, &err), &err);
    fleet_settle(fleet, 4);
    for (size_t i = 0; i < 2; i++) {
        struct mb_status_report report;
        fleet_status(fleet->machines[i], &report);
        CHECK_INT(report.rows_parked, 0);
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM observations"), 3);
    }
    fleet_free(fleet);
}

/* ---- between the plan and the lock ---- */

static int step_count;

static int write_after_plan(void *context, const char *name, struct mb_error *err)
{
    struct fleet_machine *machine = context;

    (void)err;
    if (step_count > 0 && strcmp(name, "journal-written") == 0) {
        step_count--;
        fleet_sql(machine, "UPDATE sdk_sessions SET custom_title='mine' WHERE "
                           "content_session_id='s';"
                           "DELETE FROM observations WHERE title='o 3'");
        fleet_session(machine, "late", "made-here", "p");
        fleet_observation(machine, "made-here", T0 + 900, "made here");
        fleet_close_db(machine);
    }
    return 0;
}

TEST(what_is_written_between_the_plan_and_the_lock_is_a_change_of_this_machine)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 10, "o");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='theirs' WHERE content_session_id='s';"
                 "UPDATE observations SET project='q' WHERE title='o 3'");
    fleet_session(a, "late", "made-there", "p");
    fleet_observation(a, "made-there", T0 + 800, "made there");
    fleet_sync(a);
    step_count = 1;
    b->env.step = write_after_plan;
    fleet_pull(b, NULL);
    CHECK_INT(step_count, 0);
    fleet_settle(fleet, 3);
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM observations WHERE "
                                                "title='o 3'"),
                  0);
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(*) FROM observations o JOIN sdk_sessions s "
                            "USING(memory_session_id) WHERE s.content_session_id='late'"),
                  2);
        CHECK_TEXT(fleet_text(fleet->machines[i], "SELECT custom_title FROM sdk_sessions WHERE "
                                                  "content_session_id='s'"),
                   "mine");
    }
    CHECK_INT(fleet_conflict_count(a) + fleet_conflict_count(b) > 0, 1);
    fleet_free(fleet);
}

TEST(rows_that_arrive_get_no_number_that_was_ever_given)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_sync(a);
    fleet_sync(b);
    fleet_observations(b, "m", T0 - 1000, 3, "of b");
    fleet_sql(b, "DELETE FROM observations WHERE id=3");
    fleet_observations(a, "m", T0, MANY, "of a");
    fleet_sync(a);
    fleet_pull(b, NULL);
    CHECK_INT(fleet_int(b, "SELECT min(id) FROM observations WHERE title LIKE 'of a%%'"), 4);
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(many_rows_of_all_tables_arrive_whole),
          TEST_ROW(a_row_that_the_database_refuses_keeps_no_other_away),
          TEST_ROW(equal_titles_of_one_session_in_one_batch_are_both_kept),
          TEST_ROW(a_row_whose_own_hash_an_equal_row_has_is_not_kept_away),
          TEST_ROW(what_is_written_between_the_plan_and_the_lock_is_a_change_of_this_machine),
          TEST_ROW(rows_that_arrive_get_no_number_that_was_ever_given));
