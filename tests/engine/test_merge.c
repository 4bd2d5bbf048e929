/* SPDX-License-Identifier: MIT */
/* Two machines, one memory: what is written on one is on the other, once, whole, and on its
 * session; registers follow the latest change whatever the clocks say; nothing is lost on the way
 * (nothing-lost, order-free). */
#include "check.h"
#include "fleet.h"

#include <stdio.h>
#include <string.h>

#include "banned.h"

#define T0 1770000000000

TEST(two_machines_have_one_memory)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s-a", "m-a", "alpha");
    fleet_observation(a, "m-a", T0 + 1, "first");
    fleet_summary(a, "m-a", T0 + 2, "asked");
    fleet_summary(a, "m-a", T0 + 3, "asked again");
    fleet_prompt(a, "s-a", T0 + 4, "please");
    fleet_session(b, "s-b", "m-b", "beta");
    fleet_observation(b, "m-b", T0 + 5, "second");
    fleet_settle(fleet, 2);
    for (size_t i = 0; i < 2; i++) {
        struct fleet_machine *machine = fleet->machines[i];

        CHECK_INT(fleet_int(machine, "SELECT count(*) FROM sdk_sessions"), 2);
        CHECK_INT(fleet_int(machine, "SELECT count(*) FROM observations"), 2);
        CHECK_INT(fleet_int(machine, "SELECT count(*) FROM session_summaries"), 2);
        CHECK_INT(fleet_int(machine, "SELECT count(*) FROM user_prompts"), 1);
        CHECK_INT(
            fleet_int(
                machine,
                "SELECT count(*) FROM observations o JOIN sdk_sessions s USING(memory_session_id)"
                " WHERE s.content_session_id=iif(o.title='first','s-a','s-b')"),
            2);
        CHECK_INT(
            fleet_int(
                machine,
                "SELECT count(*) FROM user_prompts p JOIN sdk_sessions s ON s.id=p.session_db_id"
                " WHERE s.content_session_id='s-a'"),
            1);
    }
    fleet_free(fleet);
}

TEST(a_second_sync_does_nothing)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_keys before;
    struct fleet_keys after;

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observation(fleet->machines[0], "m", T0, "x");
    fleet_sync(fleet->machines[0]);
    fleet_sync(fleet->machines[1]);
    fleet_sync(fleet->machines[0]);
    before = fleet_keys(fleet, "");
    for (size_t i = 0; i < 2; i++) {
        fleet_sync(fleet->machines[i]);
        CHECK_INT(fleet->machines[i]->pulled.rows_inserted +
                      fleet->machines[i]->pulled.rows_updated +
                      fleet->machines[i]->pulled.rows_deleted,
                  0);
        CHECK_INT(fleet->machines[i]->pulled.outcome, MB_OUTCOME_NOTHING);
        CHECK_INT(fleet->machines[i]->pushed.outcome, MB_OUTCOME_NOTHING);
        CHECK_INT(fleet->machines[i]->pushed.rows_sent, 0);
    }
    after = fleet_keys(fleet, "");
    CHECK_INT(after.count, before.count);
    for (size_t i = 0; i < after.count && i < before.count; i++) {
        CHECK_TEXT(after.keys[i], before.keys[i]);
    }
    fleet_keys_free(&before);
    fleet_keys_free(&after);
    fleet_free(fleet);
}

TEST(what_was_received_is_not_sent_back)
{
    struct fleet *fleet = fleet_new(2);

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observations(fleet->machines[0], "m", T0, 10, "x");
    fleet_push(fleet->machines[0], NULL);
    fleet_sync(fleet->machines[1]);
    CHECK_INT(fleet->machines[1]->pulled.rows_inserted, 11);
    CHECK_INT(fleet->machines[1]->pushed.rows_sent, 0);
    fleet_free(fleet);
}

TEST(null_is_not_published_and_the_known_value_comes_back)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "s", "m", "p");
    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='kept'");
    fleet_settle(fleet, 2);
    fleet_sql(a, "UPDATE sdk_sessions SET custom_title=NULL");
    fleet_settle(fleet, 2);
    CHECK_TEXT(fleet_text(a, "SELECT custom_title FROM sdk_sessions"), "kept");
    CHECK_TEXT(fleet_text(fleet->machines[1], "SELECT custom_title FROM sdk_sessions"), "kept");
    fleet_free(fleet);
}

TEST(known_beats_unknown)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_settle(fleet, 1);
    fleet_sql(b, "UPDATE sdk_sessions SET custom_title='named on b'");
    fleet_sync(b);
    fleet_sql(a,
              "UPDATE sdk_sessions SET"
              " status='completed',completed_at='2026-01-01T00:00:00Z',completed_at_epoch=%lld",
              (long long)T0);
    fleet_settle(fleet, 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK_TEXT(fleet_text(fleet->machines[i],
                              "SELECT custom_title||' '||status||' '||completed_at_epoch"
                              " FROM sdk_sessions"),
                   "named on b completed 1770000000000");
    }
    fleet_free(fleet);
}

TEST(the_later_change_wins)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_settle(fleet, 1);
    fleet_sql(a, "UPDATE sdk_sessions SET project='from a'");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(b, "UPDATE sdk_sessions SET project='from b'");
    fleet_settle(fleet, 2);
    CHECK_TEXT(fleet_text(a, "SELECT project FROM sdk_sessions"), "from b");
    CHECK_TEXT(fleet_text(b, "SELECT project FROM sdk_sessions"), "from b");
    fleet_free(fleet);
}

TEST(a_change_made_today_wins_over_a_row_made_by_a_clock_in_2035)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    a->now_ms = 2060000000000; /* 2035 */
    fleet_session(a, "s", "m", "p");
    fleet_observation(a, "m", 2060000000001, "x");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(b, "UPDATE observations SET project='today'");
    fleet_settle(fleet, 2);
    CHECK_TEXT(fleet_text(a, "SELECT project FROM observations"), "today");
    CHECK_TEXT(fleet_text(b, "SELECT project FROM observations"), "today");
    fleet_free(fleet);
}

TEST(two_changes_of_one_value_are_a_conflict_that_is_kept)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    char won[64];

    fleet_session(a, "s", "m", "p");
    fleet_settle(fleet, 2);
    fleet_sql(a, "UPDATE sdk_sessions SET project='from a'");
    fleet_sql(b, "UPDATE sdk_sessions SET project='from b'");
    fleet_settle(fleet, 2);
    (void)snprintf(won, sizeof won, "%s", fleet_text(a, "SELECT project FROM sdk_sessions"));
    CHECK(strcmp(won, "from a") == 0 || strcmp(won, "from b") == 0);
    CHECK_TEXT(fleet_text(b, "SELECT project FROM sdk_sessions"), won);
    CHECK(fleet_conflict_count(a) + fleet_conflict_count(b) >= 1);
    fleet_free(fleet);
}

TEST(manual_sessions_with_equal_titles_keep_both_rows)
{
    struct fleet *fleet = fleet_new(2);

    for (int i = 0; i < 2; i++) {
        fleet_session(fleet->machines[i], "manual-content-p", "manual-p", "p");
        fleet_observation(fleet->machines[i], "manual-p", T0 + i, "the same title");
    }
    fleet_settle(fleet, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM sdk_sessions"), 1);
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(*) FROM observations WHERE memory_session_id='manual-p'"),
                  2);
    }
    fleet_free(fleet);
}

TEST(a_memory_session_id_that_a_worker_holds_is_never_replaced)
{
    struct fleet *fleet = fleet_new(2);

    for (int i = 0; i < 2; i++) {
        fleet_session(fleet->machines[i], "s", i == 0 ? "m-of-a" : "m-of-b", "p");
        fleet_observation(fleet->machines[i], i == 0 ? "m-of-a" : "m-of-b", T0 + i,
                          i == 0 ? "x" : "y");
    }
    fleet_settle(fleet, 2);
    for (int i = 0; i < 2; i++) {
        const char *memory = i == 0 ? "m-of-a" : "m-of-b";

        CHECK_TEXT(fleet_text(fleet->machines[i], "SELECT memory_session_id FROM sdk_sessions"),
                   memory);
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(*) FROM observations WHERE memory_session_id=%Q", memory),
                  2);
    }
    fleet_free(fleet);
}

TEST(databases_that_diverged_before_membridge_are_recognised)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    for (int i = 0; i < 2; i++) { /* the same rows under the same ids */
        fleet_session(fleet->machines[i], "s", "m", "p");
        fleet_sql(fleet->machines[i],
                  "UPDATE sdk_sessions SET started_at_epoch=%lld,started_at='x'", (long long)T0);
        fleet_observations(fleet->machines[i], "m", T0, 5, "shared");
    }
    fleet_observation(a, "m", T0 + 10, "only on a"); /* both have id 6 */
    fleet_observation(b, "m", T0 + 11, "only on b");
    fleet_settle(fleet, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM observations"), 7);
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM sdk_sessions"), 1);
    }
    CHECK_TEXT(fleet_text(a, "SELECT title FROM observations WHERE id=6"), "only on a");
    CHECK_TEXT(fleet_text(b, "SELECT title FROM observations WHERE id=6"), "only on b");
    fleet_free(fleet);
}

TEST(equal_rows_in_two_sessions_are_two_rows_everywhere)
{
    struct fleet *fleet = fleet_new(3);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "s1", "m1", "p");
    fleet_session(a, "s2", "m2", "p");
    fleet_observation(a, "m1", T0, "equal");
    fleet_observation(a, "m2", T0, "equal");
    fleet_settle(fleet, 2);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM observations"), 2);
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(DISTINCT memory_session_id) FROM observations"),
                  2);
    }
    fleet_free(fleet);
}

TEST(orphans_travel_and_hang_on_a_stub_that_is_not_published)
{
    struct fleet *fleet = fleet_new(3);
    struct fleet_machine *a = fleet->machines[0];

    fleet_sql(a, "PRAGMA foreign_keys=OFF");
    fleet_observation(a, "nobody", T0, "lost child");
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 3; i++) {
            fleet->machines[i]->now_ms += 86400000; /* everything is looked at */
            fleet_sync(fleet->machines[i]);
        }
    }
    for (size_t i = 1; i < 3; i++) {
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(*) FROM observations WHERE title='lost child'"),
                  1);
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(*) FROM sdk_sessions"
                            " WHERE content_session_id IS NOT memory_session_id"),
                  0);
        fleet_check_db(fleet->machines[i]);
    }
    CHECK_INT(fleet_int(a, "SELECT count(*) FROM sdk_sessions"), 0);
    fleet_free(fleet);
}

TEST(a_true_session_takes_the_place_of_its_stub)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_sql(a, "PRAGMA foreign_keys=OFF");
    fleet_observation(a, "m", T0, "child");
    fleet_sync(a);
    fleet_sync(b);
    fleet_session(b, "s", "m-of-b",
                  "p"); /* the same child, with its session, as a clone of long ago has it */
    fleet_session(a, "s", "m", "p");
    fleet_settle(fleet, 3);
    CHECK_TEXT(fleet_text(a, "SELECT s.content_session_id FROM observations o JOIN sdk_sessions s"
                             " USING(memory_session_id)"),
               "s");
    CHECK_TEXT(fleet_text(b, "SELECT s.content_session_id FROM observations o JOIN sdk_sessions s"
                             " USING(memory_session_id)"),
               "s");
    fleet_free(fleet);
}

TEST(columns_of_a_newer_claude_mem_pass_through_an_older_one)
{
    struct fleet *fleet = fleet_new(3);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *c = fleet->machines[2];

    fleet_sql(a, "ALTER TABLE observations ADD COLUMN mood TEXT");
    fleet_session(a, "s", "m", "p");
    fleet_observation(a, "m", T0, "x");
    fleet_sql(a, "UPDATE observations SET mood='fine'");
    fleet_sync(a);
    fleet_sync(fleet->machines[1]);
    fleet_sql(c, "ALTER TABLE observations ADD COLUMN mood TEXT");
    fleet_settle(fleet, 2);
    CHECK_TEXT(fleet_text(c, "SELECT mood FROM observations"), "fine");
    fleet_free(fleet);
}

TEST(an_older_schema_parks_what_it_cannot_hold)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *old = fleet_add(fleet, "10.6.3");
    struct mb_status_report report;

    fleet_session(a, "s", "m1", "p");
    fleet_session(a, "t", "m2", "p");
    fleet_sql(a, "UPDATE sdk_sessions SET content_session_id='s',platform_source='codex' WHERE"
                 " content_session_id='t'");
    fleet_observation(a, "m1", T0 + 1, "by claude");
    fleet_observation(a, "m2", T0 + 2, "by codex");
    fleet_settle(fleet, 2);
    CHECK_INT(fleet_int(old, "SELECT count(*) FROM observations WHERE title='by claude'"), 1);
    CHECK_INT(fleet_int(fleet->machines[1], "SELECT count(*) FROM observations"), 2);
    CHECK_INT(fleet_int(fleet->machines[1], "SELECT count(*) FROM sdk_sessions"), 2);
    fleet_status(old, &report);
    CHECK(report.rows_parked > 0);
    fleet_free(fleet);
}

TEST(machines_of_all_versions_share_one_memory)
{
    struct fleet *fleet = fleet_new(1);

    (void)fleet_add(fleet, "13.4.0");
    (void)fleet_add(fleet, "10.6.3");
    for (int i = 0; i < 3; i++) {
        char content[8];
        char memory[8];

        (void)snprintf(content, sizeof content, "s%d", i);
        (void)snprintf(memory, sizeof memory, "m%d", i);
        fleet_session(fleet->machines[i], content, memory, "p");
        fleet_observation(fleet->machines[i], memory, T0 + i, "x");
        fleet_prompt(fleet->machines[i], content, T0 + 10 + i, "please");
    }
    fleet_settle(fleet, 2);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM sdk_sessions"), 3);
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM observations"), 3);
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM user_prompts"), 3);
    }
    CHECK_TEXT(fleet_text(fleet->machines[1], "PRAGMA journal_mode"), "delete");
    fleet_free(fleet);
}

TEST(what_is_not_memory_never_leaves_the_machine)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_session(a, "junk", "m-junk", "observer-sessions");
    fleet_observation(a, "m", T0, "of the observer");
    fleet_sql(a, "UPDATE observations SET project='observer-sessions'");
    fleet_sql(a, "INSERT INTO"
                 " pending_messages(session_db_id,content_session_id,message_type,created_at_epoch)"
                 " VALUES(1,'s','summarize',1)");
    fleet_sql(a, "INSERT INTO sync_state(k,v) VALUES('secret','cursor')");
    fleet_sql(
        a,
        "INSERT INTO"
        " tool_uses(tool_use_id,content_session_id,project,tool_name,created_at,created_at_epoch)"
        " VALUES('t','s','p','Bash','x',1)");
    fleet_settle(fleet, 2);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM pending_messages"), 0);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM sync_state"), 0);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM tool_uses"), 0);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM sdk_sessions"), 1);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 0);
    fleet_free(fleet);
}

TEST(what_came_from_elsewhere_is_not_new_to_claude_mems_own_sync)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 3, "many at once");
    fleet_summary(a, "m", T0, "one");
    fleet_prompt(a, "s", T0, "one");
    fleet_sync(a);
    fleet_sync(b);
    CHECK_INT(fleet_int(b, "SELECT (SELECT count(*) FROM observations WHERE synced_at IS NULL) +"
                           " (SELECT count(*) FROM session_summaries WHERE synced_at IS NULL) +"
                           " (SELECT count(*) FROM user_prompts WHERE synced_at IS NULL)"),
              0);
    CHECK_INT(fleet_int(a, "SELECT count(*) FROM observations WHERE synced_at IS NULL"), 3);
    fleet_free(fleet);
}

TEST(a_text_that_was_cut_here_stays_whole_elsewhere)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_sql(a, "UPDATE sdk_sessions SET user_prompt='a prompt that is long'");
    fleet_settle(fleet, 1);
    fleet_sql(a, "UPDATE sdk_sessions SET user_prompt='a prompt'");
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 0);
    fleet_sync(b);
    CHECK_TEXT(fleet_text(b, "SELECT user_prompt FROM sdk_sessions"), "a prompt that is long");
    fleet_sql(b, "UPDATE sdk_sessions SET custom_title='named'");
    fleet_sync(b);
    fleet_sync(a); /* now the whole row is looked at */
    CHECK_TEXT(fleet_text(a, "SELECT custom_title FROM sdk_sessions"), "named");
    CHECK_INT(a->pushed.rows_sent, 0);
    fleet_free(fleet);
}

TEST(a_change_made_today_wins_over_a_row_that_this_machine_made_by_a_clock_in_2035)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_observation(a, "m", 2060000000001, "x"); /* captured when the clock was right again */
    fleet_sync(a);
    fleet_sync(b);
    fleet_sql(a, "UPDATE observations SET project='today'");
    fleet_settle(fleet, 2);
    CHECK_TEXT(fleet_text(a, "SELECT project FROM observations"), "today");
    CHECK_TEXT(fleet_text(b, "SELECT project FROM observations"), "today");
    fleet_free(fleet);
}

TEST(changes_are_in_order_though_the_clock_went_back_between_them)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_settle(fleet, 1);
    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='z, the first'");
    fleet_sync(a);
    fleet_sync(b);
    a->now_ms -= 3600000;
    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='a, the second'");
    fleet_sync(a);
    fleet_sync(b);
    CHECK_TEXT(fleet_text(b, "SELECT custom_title FROM sdk_sessions"), "a, the second");
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(two_machines_have_one_memory), TEST_ROW(a_second_sync_does_nothing),
          TEST_ROW(what_was_received_is_not_sent_back),
          TEST_ROW(null_is_not_published_and_the_known_value_comes_back),
          TEST_ROW(known_beats_unknown), TEST_ROW(the_later_change_wins),
          TEST_ROW(a_change_made_today_wins_over_a_row_made_by_a_clock_in_2035),
          TEST_ROW(two_changes_of_one_value_are_a_conflict_that_is_kept),
          TEST_ROW(manual_sessions_with_equal_titles_keep_both_rows),
          TEST_ROW(a_memory_session_id_that_a_worker_holds_is_never_replaced),
          TEST_ROW(databases_that_diverged_before_membridge_are_recognised),
          TEST_ROW(equal_rows_in_two_sessions_are_two_rows_everywhere),
          TEST_ROW(orphans_travel_and_hang_on_a_stub_that_is_not_published),
          TEST_ROW(a_true_session_takes_the_place_of_its_stub),
          TEST_ROW(columns_of_a_newer_claude_mem_pass_through_an_older_one),
          TEST_ROW(an_older_schema_parks_what_it_cannot_hold),
          TEST_ROW(machines_of_all_versions_share_one_memory),
          TEST_ROW(what_is_not_memory_never_leaves_the_machine),
          TEST_ROW(what_came_from_elsewhere_is_not_new_to_claude_mems_own_sync),
          TEST_ROW(a_text_that_was_cut_here_stays_whole_elsewhere),
          TEST_ROW(a_change_made_today_wins_over_a_row_that_this_machine_made_by_a_clock_in_2035),
          TEST_ROW(changes_are_in_order_though_the_clock_went_back_between_them));
