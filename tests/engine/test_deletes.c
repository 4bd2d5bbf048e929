/* SPDX-License-Identifier: MIT */
/* A delete is a person's word: it travels and wins, but never more of it at once than a person may
 * have meant (no-mass-delete), and never what others added (nothing-lost). */
#include "check.h"
#include "fleet.h"

#include <stdlib.h>

#include "banned.h"

#define T0 1770000000000

/* Two machines with one session of `count` observations on both. */
static struct fleet *make_pair(int count)
{
    struct fleet *fleet = fleet_new(2);

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observations(fleet->machines[0], "m", T0, count, "x");
    fleet_settle(fleet, 2);
    CHECK_INT(fleet_int(fleet->machines[1], "SELECT count(*) FROM observations"), count);
    return fleet;
}

static void check_count(struct fleet *fleet, const char *table, int64_t count)
{
    for (size_t i = 0; i < fleet->count; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM %s", table), count);
    }
}

TEST(a_delete_travels)
{
    struct fleet *fleet = make_pair(5);

    fleet_sql(fleet->machines[1], "DELETE FROM observations WHERE title='x 3'");
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 4);
    fleet_free(fleet);
}

TEST(a_deleted_row_does_not_come_back_when_everything_is_published_again)
{
    struct fleet *fleet = make_pair(5);
    struct mb_push_request full = {.is_full = true};

    fleet_sql(fleet->machines[0], "DELETE FROM observations WHERE title='x 3'");
    fleet_push(fleet->machines[0], NULL);
    fleet_push(fleet->machines[1], &full); /* it has not heard of the delete */
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 4);
    fleet_free(fleet);
}

TEST(a_session_deleted_here_keeps_the_child_that_was_added_there)
{
    struct fleet *fleet = make_pair(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_sql(a, "DELETE FROM sdk_sessions");
    fleet_observation(b, "m", T0 + 50, "added meanwhile");
    fleet_settle(fleet, 3);
    check_count(fleet, "observations", 1);
    for (size_t i = 0; i < 2; i++) {
        CHECK_TEXT(fleet_text(fleet->machines[i], "SELECT title FROM observations"),
                   "added meanwhile");
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(*) FROM sdk_sessions WHERE content_session_id='s'"),
                  0);
    }
    fleet_free(fleet);
}

TEST(a_session_that_is_made_again_lives_with_its_registers)
{
    struct fleet *fleet = make_pair(1);
    struct fleet_machine *a = fleet->machines[0];

    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='named'");
    fleet_settle(fleet, 1);
    fleet_sql(a, "DELETE FROM sdk_sessions");
    fleet_sync(a);
    fleet_session(a, "s", "m-again", "p");
    fleet_settle(fleet, 3);
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(*) FROM sdk_sessions WHERE content_session_id='s'"),
                  1);
        CHECK_TEXT(fleet_text(fleet->machines[i],
                              "SELECT custom_title FROM sdk_sessions WHERE content_session_id='s'"),
                   "named");
    }
    fleet_free(fleet);
}

TEST(a_row_that_is_now_under_another_rowid_was_not_deleted)
{
    struct fleet *fleet = make_pair(3);

    fleet_sql(fleet->machines[0], "UPDATE observations SET id=id+100 WHERE title='x 1'");
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 3);
    fleet_free(fleet);
}

TEST(a_delete_wins_over_a_change_made_elsewhere_and_the_value_is_listed)
{
    struct fleet *fleet = make_pair(3);

    fleet_sql(fleet->machines[0], "DELETE FROM observations WHERE title='x 1'");
    fleet_sql(fleet->machines[1],
              "UPDATE observations SET merged_into_project='other' WHERE title='x 1'");
    fleet_settle(fleet, 3);
    check_count(fleet, "observations", 2);
    CHECK(fleet_conflict_count(fleet->machines[0]) + fleet_conflict_count(fleet->machines[1]) >= 1);
    fleet_free(fleet);
}

TEST(twenty_deletes_at_once_are_a_delete)
{
    struct fleet *fleet = make_pair(40);

    fleet_sql(fleet->machines[0], "DELETE FROM observations WHERE id<=20");
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 20);
    fleet_free(fleet);
}

TEST(a_mass_delete_is_held_and_everything_else_syncs_on)
{
    struct fleet *fleet = make_pair(40);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_status_report report;

    fleet_sql(a, "DELETE FROM observations WHERE id<=25");
    fleet_observation(a, "m", T0 + 100, "new on a");
    fleet_observation(b, "m", T0 + 101, "new on b");
    fleet_settle(fleet, 2);
    CHECK_INT(fleet_int(a, "SELECT count(*) FROM observations"), 17); /* nothing healed */
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 42); /* nothing published */
    fleet_status(a, &report);
    CHECK_INT(report.deletes_held_out, 25);
    fleet_free(fleet);
}

TEST(a_held_delete_goes_out_when_the_person_says_so)
{
    struct fleet *fleet = make_pair(40);
    struct mb_push_request accept = {.accept_deletes = true};
    struct mb_status_report report;

    fleet_sql(fleet->machines[0], "DELETE FROM observations WHERE id<=25");
    fleet_sync(fleet->machines[0]);
    fleet_push(fleet->machines[0], &accept);
    CHECK_INT(fleet->machines[0]->pushed.deletes_sent, 25);
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 15);
    for (size_t i = 0; i < 2; i++) {
        fleet_status(fleet->machines[i], &report);
        CHECK_INT(report.deletes_held_out, 0);
        CHECK_INT(report.deletes_held_in, 0);
    }
    fleet_free(fleet);
}

TEST(a_held_delete_is_taken_back_when_the_person_says_so)
{
    struct fleet *fleet = make_pair(40);
    struct mb_pull_request heal = {.heal = true};
    struct mb_status_report report;

    fleet_sql(fleet->machines[0], "DELETE FROM observations WHERE id<=25");
    fleet_sync(fleet->machines[0]);
    fleet_pull(fleet->machines[0], &heal);
    CHECK_INT(fleet_int(fleet->machines[0], "SELECT count(*) FROM observations"), 40);
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 40);
    fleet_status(fleet->machines[0], &report);
    CHECK_INT(report.deletes_held_out, 0);
    fleet_free(fleet);
}

TEST(a_hold_is_not_weighed_again_when_the_database_grows)
{
    struct fleet *fleet = make_pair(40);
    struct fleet_machine *a = fleet->machines[0];

    fleet_sql(a, "DELETE FROM observations WHERE id<=25");
    fleet_sync(a);
    fleet_observations(a, "m", T0 + 1000, 1000, "more"); /* 5 % of these would be 50 */
    fleet_settle(fleet, 2);
    CHECK_INT(
        fleet_int(fleet->machines[1], "SELECT count(*) FROM observations WHERE title LIKE 'x %%'"),
        40);
    fleet_free(fleet);
}

TEST(many_deletes_that_arrive_without_a_persons_word_are_held_here)
{
    struct fleet *fleet = make_pair(40);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_pull_request accept = {.accept_deletes = true};
    struct mb_status_report report;

    for (int i = 0; i < 2; i++) {
        fleet_sql(a, "DELETE FROM observations WHERE id IN (SELECT id FROM observations LIMIT 15)");
        fleet_push(a, NULL);
    }
    fleet_pull(b, NULL);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 40);
    fleet_status(b, &report);
    CHECK_INT(report.deletes_held_in, 30);
    fleet_pull(b, &accept);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 10);
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 10);
    fleet_free(fleet);
}

TEST(what_a_migration_of_claude_mem_removes_is_no_delete)
{
    struct fleet *fleet = make_pair(5);
    struct fleet_machine *a = fleet->machines[0];

    fleet_sql(a, "BEGIN; DELETE FROM observations WHERE title='x 3';"
                 "INSERT INTO schema_versions(version,applied_at) VALUES(99,'x'); COMMIT");
    fleet_settle(fleet, 2);
    CHECK_INT(fleet_int(fleet->machines[1], "SELECT count(*) FROM observations"), 5);
    CHECK_INT(fleet_int(a, "SELECT count(*) FROM observations"), 4); /* and it is not put back */
    fleet_free(fleet);
}

TEST(an_empty_database_deletes_nothing_and_is_healed)
{
    struct fleet *fleet = make_pair(5);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *fresh = fleet_add(fleet, "13.25.3");
    size_t size = 0;
    uint8_t *data;

    fleet_sql(fresh, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(fresh);
    fleet_close_db(a);
    data = fleet_read_file(fresh->db_path, &size);
    fleet_write_file(a->db_path, data, size); /* another file under the same name */
    free(data);
    fleet_settle(fleet, 3);
    check_count(fleet, "observations", 5);
    fleet_free(fleet);
}

TEST(three_deletes_of_which_one_was_made_again_by_hand)
{
    struct fleet *fleet = make_pair(6);
    struct fleet_machine *a = fleet->machines[0];

    fleet_sql(a, "DELETE FROM observations WHERE title IN ('x 1','x 2','x 3')");
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 3);
    fleet_observation(a, "m", T0 + 900, "x 2"); /* saved again: another row */
    fleet_settle(fleet, 2);
    check_count(fleet, "observations", 4);
    fleet_free(fleet);
}

TEST(what_came_since_does_not_raise_the_bound_for_what_went)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 100, "o");
    fleet_push(a, NULL);
    fleet_sql(a, "DELETE FROM observations WHERE id<=25");
    fleet_observations(a, "m", T0 + 10000, 900, "new"); /* 5 % of all would be 48 */
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.deletes_held, 25);
    CHECK_INT(a->pushed.deletes_sent, 0);
    CHECK_INT(a->pushed.rows_sent, 900);
    fleet_free(fleet);
}

TEST(a_deleted_row_stays_dead_where_it_was_deleted_by_another_machine)
{
    struct fleet *fleet = fleet_new(3);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_machine *c = fleet->machines[2];
    struct mb_push_request full = {.is_full = true};

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 5, "x");
    fleet_settle(fleet, 2);
    fleet_sql(a, "DELETE FROM observations WHERE title='x 3'");
    fleet_push(a, NULL);
    fleet_pull(b, NULL);
    fleet_push(c, &full); /* it has not heard of the delete */
    fleet_pull(b, NULL);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 4);
    fleet_free(fleet);
}

TEST(deletes_are_in_what_fills_an_emptied_store)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_keys keys;

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 5, "x");
    fleet_settle(fleet, 2);
    fleet_sql(a, "DELETE FROM observations WHERE title='x 3'");
    fleet_push(a, NULL);
    keys = fleet_keys(fleet, "projects/");
    for (size_t i = 0; i < keys.count; i++) {
        fleet_delete(fleet, keys.keys[i]);
    }
    fleet_keys_free(&keys);
    fleet_sync(a);
    fleet_pull(b, NULL);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 4);
    fleet_free(fleet);
}

TEST(a_change_that_was_not_sent_before_its_row_was_deleted_elsewhere_is_listed_here)
{
    struct fleet *fleet = make_pair(3);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_sql(a, "DELETE FROM observations WHERE title='x 1'");
    fleet_push(a, NULL);
    fleet_sql(b, "UPDATE observations SET merged_into_project='other' WHERE title='x 1'");
    fleet_pull(b, NULL);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 2);
    CHECK_INT(fleet_conflict_count(b), 1);
    fleet_free(fleet);
}

TEST(a_summary_that_is_now_under_another_rowid_was_not_deleted)
{
    struct fleet *fleet = make_pair(0);
    struct fleet_machine *a = fleet->machines[0];

    fleet_summary(a, "m", T0, "request");
    fleet_settle(fleet, 2);
    fleet_sql(a, "UPDATE session_summaries SET id=id+100");
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 0);
    fleet_settle(fleet, 2);
    check_count(fleet, "session_summaries", 1);
    fleet_free(fleet);
}

TEST(a_machine_that_holds_deletes_alarms_nobody)
{
    struct fleet *fleet = make_pair(40);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_status_report report;

    for (int i = 0; i < 2; i++) {
        fleet_sql(a, "DELETE FROM observations WHERE id IN (SELECT id FROM observations LIMIT 15)");
        fleet_push(a, NULL);
    }
    fleet_observation(b, "m", T0 + 100, "so that b has something to say");
    fleet_sync(b);
    fleet_status(b, &report);
    CHECK_INT(report.deletes_held_in, 30);
    fleet_pull(a, NULL);
    fleet_status(a, &report);
    CHECK_TEXT(report.digest_alarm, "");
    fleet_free(fleet);
}

TEST(what_a_clean_up_removed_is_not_put_back_by_a_full_push)
{
    struct fleet *fleet = make_pair(5);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_push_request full = {.is_full = true};

    fleet_sql(a, "DELETE FROM observations WHERE title='x 1'");
    fleet_sql(a, "INSERT INTO schema_versions(version,applied_at) VALUES(900,'now')");
    fleet_sync(a);
    fleet_push(b, &full);
    fleet_sync(a);
    CHECK_INT(fleet_int(a, "SELECT count(*) FROM observations"), 4);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 5);
    fleet_free(fleet);
}

TEST(a_child_that_was_kept_moves_to_its_session_when_that_is_made_again)
{
    struct fleet *fleet = make_pair(0);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_observation(b, "m", T0 + 100, "the child");
    fleet_sql(a, "DELETE FROM sdk_sessions");
    fleet_push(a, NULL);
    fleet_sync(b); /* the child hangs on a stub now */
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM sdk_sessions WHERE content_session_id='s'"), 0);
    fleet_session(b, "s", "again", "p");
    fleet_settle(fleet, 2);
    for (size_t i = 0; i < fleet->count; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM observations o"
                                                " JOIN sdk_sessions s USING(memory_session_id)"
                                                " WHERE s.content_session_id='s'"),
                  1);
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM sdk_sessions"), 1);
    }
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(what_came_since_does_not_raise_the_bound_for_what_went),
          TEST_ROW(a_delete_travels),
          TEST_ROW(a_deleted_row_does_not_come_back_when_everything_is_published_again),
          TEST_ROW(a_session_deleted_here_keeps_the_child_that_was_added_there),
          TEST_ROW(a_session_that_is_made_again_lives_with_its_registers),
          TEST_ROW(a_row_that_is_now_under_another_rowid_was_not_deleted),
          TEST_ROW(a_delete_wins_over_a_change_made_elsewhere_and_the_value_is_listed),
          TEST_ROW(twenty_deletes_at_once_are_a_delete),
          TEST_ROW(a_mass_delete_is_held_and_everything_else_syncs_on),
          TEST_ROW(a_held_delete_goes_out_when_the_person_says_so),
          TEST_ROW(a_held_delete_is_taken_back_when_the_person_says_so),
          TEST_ROW(a_hold_is_not_weighed_again_when_the_database_grows),
          TEST_ROW(many_deletes_that_arrive_without_a_persons_word_are_held_here),
          TEST_ROW(what_a_migration_of_claude_mem_removes_is_no_delete),
          TEST_ROW(an_empty_database_deletes_nothing_and_is_healed),
          TEST_ROW(three_deletes_of_which_one_was_made_again_by_hand),
          TEST_ROW(a_deleted_row_stays_dead_where_it_was_deleted_by_another_machine),
          TEST_ROW(deletes_are_in_what_fills_an_emptied_store),
          TEST_ROW(a_change_that_was_not_sent_before_its_row_was_deleted_elsewhere_is_listed_here),
          TEST_ROW(a_summary_that_is_now_under_another_rowid_was_not_deleted),
          TEST_ROW(a_machine_that_holds_deletes_alarms_nobody),
          TEST_ROW(what_a_clean_up_removed_is_not_put_back_by_a_full_push),
          TEST_ROW(a_child_that_was_kept_moves_to_its_session_when_that_is_made_again));
