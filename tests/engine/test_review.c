/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "check.h"
#include "file.h"
#include "fleet.h"
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#define MB_MAY_PRINT
#include "banned.h"
#define T0 1770000000000

/* 16: window of registers, then skipped */
TEST(r1_change_in_large_table_is_published)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 20500, "x");
    fleet_sync(a); fleet_sync(a);
    fleet_sql(a, "UPDATE observations SET project='first' WHERE id=20000");
    fleet_sync(a);
    printf("  first change sent %lld\n", (long long)a->pushed.rows_sent);
    fleet_sql(a, "UPDATE observations SET project='second' WHERE id=20001");
    for (int i = 0; i < 5; i++) { fleet_push(a, NULL); printf("  push %d sent %lld\n", i, (long long)a->pushed.rows_sent); }
    a->now_ms += 26 * 3600000LL; 
    for (int i = 0; i < 5; i++) { fleet_push(a, NULL); printf("  later push %d sent %lld\n", i, (long long)a->pushed.rows_sent); }
    fleet_sync(fleet->machines[1]);
    CHECK_INT(fleet_int(fleet->machines[1], "SELECT count(*) FROM observations WHERE project='second'"), 1);
    fleet_free(fleet);
}

/* extra column then full */
TEST(r2_full_push_after_extra_column_came)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *c = fleet->machines[1];
    struct mb_push_request full = {.is_full = true};
    struct mb_error err;
    mb_error_init(&err);
    fleet_sql(a, "ALTER TABLE observations ADD COLUMN mood TEXT");
    fleet_session(a, "s", "m", "p");
    fleet_observation(a, "m", T0, "x");
    fleet_sql(a, "UPDATE observations SET mood='fine'");
    fleet_sync(a);
    fleet_sync(c);
    fleet_sql(c, "ALTER TABLE observations ADD COLUMN mood TEXT");
    fleet_sql(c, "INSERT INTO schema_versions(version,applied_at) VALUES(99,'x')");
    fleet_sync(c);
    printf("  mood at c: %s\n", fleet_text(c, "SELECT mood FROM observations"));
    int rc = fleet_try_push(c, &full, &err);
    printf("  full push rc %d: %s\n", rc, rc ? err.message : "");
    CHECK_INT(rc, 0);
    fleet_free(fleet);
}

/* tool_uses / refused registers: CHECK */
TEST(r3_a_refused_register_is_not_sent_back_as_a_change)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    fleet_session(a, "s", "m", "p");
    fleet_sync(a); fleet_sync(b);
    fleet_sql(a, "PRAGMA ignore_check_constraints=ON");
    fleet_sql(a, "UPDATE sdk_sessions SET status='paused'");
    for (int i = 0; i < 3; i++) { a->now_ms += 1000; b->now_ms += 1000; fleet_sync(a); fleet_sync(b); }
    printf("  a %s\n", fleet_text(a, "SELECT status FROM sdk_sessions"));
    printf("  b %s\n", fleet_text(b, "SELECT status FROM sdk_sessions"));
    CHECK_TEXT(fleet_text(a, "SELECT status FROM sdk_sessions"), "paused");
    fleet_free(fleet);
}

/* healing a long text */
TEST(r4_heal_brings_the_longest_text)
{
    for (int order = 0; order < 2; order++) {
    struct fleet *fleet = fleet_new(3);
    struct fleet_machine *cut = fleet->machines[order];
    struct fleet_machine *whole = fleet->machines[1 - order];
    struct fleet_machine *c = fleet->machines[2];
    struct fleet_machine *fresh;
    char *text = mb_alloc_zeroed(1, 3001);
    char *shorter = mb_alloc_zeroed(1, 2001);
    size_t size = 0;
    uint8_t *data;
    memset(text, 'a', 3000);
    memset(shorter, 'a', 2000);
    fleet_session(cut, "s", "m", "p");
    fleet_prompt(cut, "s", T0, shorter);
    fleet_session(whole, "s", "m", "p");
    fleet_prompt(whole, "s", T0, text);
    fleet_settle(fleet, 2);
    printf("  before: %lld %lld %lld\n", (long long)fleet_int(cut, "SELECT length(prompt_text) FROM user_prompts"), (long long)fleet_int(whole, "SELECT length(prompt_text) FROM user_prompts"), (long long)fleet_int(c, "SELECT length(prompt_text) FROM user_prompts"));
    fresh = fleet_add(fleet, "13.25.3");
    fleet_sql(fresh, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(fresh); fleet_close_db(c);
    data = fleet_read_file(fresh->db_path, &size);
    fleet_write_file(c->db_path, data, size);
    free(data);
    for (int i = 0; i < 3; i++) fleet_sync(c);
    printf("  after heal at c: %lld rows, %lld chars\n", (long long)fleet_int(c, "SELECT count(*) FROM user_prompts"), (long long)fleet_int(c, "SELECT length(prompt_text) FROM user_prompts"));
    CHECK_INT(fleet_int(c, "SELECT length(prompt_text) FROM user_prompts"), 3000);
    free(text); free(shorter);
    fleet_free(fleet);
    }
}

/* the worker makes a session between open and begin */
static struct fleet_machine *hooked; static int hook_left;
static int hook_step(void *context, const char *name, struct mb_error *err)
{
    (void)context; (void)err;
    if (strcmp(name, "capture-begin") == 0 && hook_left > 0 && hooked != NULL) {
        hook_left--;
        fleet_session(hooked, "race", "m-race", "p");
        fleet_observation(hooked, "m-race", T0 + 77, "raced");
        fleet_close_db(hooked);
    }
    return 0;
}
TEST(r5_a_session_made_between_open_and_begin_is_captured)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_status_report report;
    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 40, "x");
    fleet_sync(a); fleet_sync(fleet->machines[1]); fleet_sync(a);
    fleet_sql(a, "DELETE FROM observations WHERE id<=30");
    fleet_sync(a);
    fleet_status(a, &report);
    printf("  held %lld healing %d\n", (long long)report.deletes_held_out, report.is_healing);
    hooked = a; hook_left = 1; a->env.step = hook_step;
    fleet_pull(a, NULL);
    fleet_status(a, &report);
    printf("  after race: held %lld healing %d\n", (long long)report.deletes_held_out, report.is_healing);
    hooked = NULL;
    fleet_pull(a, NULL);
    fleet_status(a, &report);
    printf("  next pull: inserted %lld held %lld healing %d\n", (long long)a->pulled.rows_inserted, (long long)report.deletes_held_out, report.is_healing);
    CHECK_INT(report.deletes_held_out, 30);
    fleet_free(fleet);
}

/* fold bomb */
TEST(r6_a_fold_stays_readable)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b;
    struct mb_error err;
    mb_error_init(&err);
    fleet_session(a, "s", "m", "p");
    fleet_sync(a);
    for (int i = 0; i < 15; i++) {
        fleet_sql(a, "INSERT INTO user_prompts(session_db_id,content_session_id,prompt_number,prompt_text,created_at,created_at_epoch) VALUES(1,'s',%d,printf('%%.*c',24000000,'a'),'x',%lld)", i, (long long)(T0 + i));
        fleet_push(a, NULL);
    }
    b = fleet_add(fleet, "13.25.3");
    int rc = fleet_try_pull(b, NULL, &err);
    printf("  pull rc %d, rows %lld warning %s\n", rc, (long long)fleet_int(b, "SELECT count(*) FROM user_prompts"), b->pulled.warning.message);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM user_prompts"), 15);
    fleet_free(fleet);
}

/* held arriving deletes, then a new database */
TEST(r7_held_arrived_deletes_stay_held_through_a_heal)
{
    for (int order = 0; order < 2; order++) {
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[order];
    struct fleet_machine *b = fleet->machines[1 - order];
    struct fleet_machine *fresh;
    struct mb_status_report report;
    size_t size = 0; uint8_t *data;
    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 60, "x");
    fleet_sync(a); fleet_sync(b); fleet_sync(a);
    { struct mb_push_request full = {.is_full = true}; fleet_push(b, &full); }
    fleet_sync(a); fleet_sync(b);
    fleet_sql(a, "DELETE FROM observations WHERE id<=15"); fleet_push(a, NULL);
    fleet_sql(a, "DELETE FROM observations WHERE id<=30"); fleet_push(a, NULL);
    fleet_pull(b, NULL);
    fleet_status(b, &report);
    printf("  held in %lld, rows %lld\n", (long long)report.deletes_held_in, (long long)fleet_int(b, "SELECT count(*) FROM observations"));
    fresh = fleet_add(fleet, "13.25.3");
    fleet_sql(fresh, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(fresh); fleet_close_db(b);
    data = fleet_read_file(fresh->db_path, &size);
    fleet_write_file(b->db_path, data, size); free(data);
    for (int i = 0; i < 3; i++) fleet_sync(b);
    fleet_status(b, &report);
    printf("  after heal: held in %lld, rows %lld\n", (long long)report.deletes_held_in, (long long)fleet_int(b, "SELECT count(*) FROM observations"));
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 60);
    fleet_free(fleet);
    }
}

/* user_prompt of a session made again: order */
TEST(r8_user_prompt_of_a_session_made_again_is_equal_everywhere)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0], *b = fleet->machines[1], *c;
    fleet_session(a, "s", "m", "p");
    fleet_sql(a, "UPDATE sdk_sessions SET user_prompt='the long first prompt'");
    fleet_sync(a); fleet_sync(b); fleet_sync(a);
    fleet_sql(a, "DELETE FROM sdk_sessions");
    fleet_sync(a); fleet_sync(b);
    a->now_ms += 5000;
    fleet_session(a, "s", "m", "p"); /* 'hello' */
    fleet_sync(a); fleet_sync(b); fleet_sync(a);
    for (int i = 0; i < 14; i++) { char t[9]; snprintf(t, 9, "o%d", i); fleet_observation(a, "m", T0 + i, t); fleet_push(a, NULL); }
    c = fleet_add(fleet, "13.25.3");
    fleet_settle(fleet, 3);
    printf("  a %s\n", fleet_text(a, "SELECT user_prompt FROM sdk_sessions"));
    printf("  b %s\n", fleet_text(b, "SELECT user_prompt FROM sdk_sessions"));
    printf("  c %s\n", fleet_text(c, "SELECT user_prompt FROM sdk_sessions"));
    { char t[100]; snprintf(t, sizeof t, "%s", fleet_text(a, "SELECT user_prompt FROM sdk_sessions"));
    CHECK_TEXT(fleet_text(c, "SELECT user_prompt FROM sdk_sessions"), t); }
    fleet_free(fleet);
}

/* a mass delete never shown, released at once */
TEST(r9_accept_releases_only_what_was_held)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0], *b = fleet->machines[1];
    struct mb_push_request accept = {.accept_deletes = true};
    struct mb_status_report report;
    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 100, "x");
    fleet_sync(a); fleet_sync(b); fleet_sync(a);
    fleet_sql(a, "DELETE FROM observations WHERE id<=30");
    fleet_sync(a);
    fleet_sql(a, "DELETE FROM observations WHERE id<=90");
    fleet_push(a, &accept);
    printf("  deletes_sent %lld held %lld\n", (long long)a->pushed.deletes_sent, (long long)a->pushed.deletes_held);
    fleet_sync(b);
    fleet_status(b, &report);
    printf("  b: rows %lld held in %lld\n", (long long)fleet_int(b, "SELECT count(*) FROM observations"), (long long)report.deletes_held_in);
    CHECK_INT(a->pushed.deletes_held, 60);
    fleet_free(fleet);
}

/* the large conflict loser */
TEST(r10_the_losing_value_is_kept_whole)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0], *b = fleet->machines[1];
    fleet_session(a, "s", "m", "p");
    fleet_observation(a, "m", T0, "x");
    fleet_sync(a); fleet_sync(b);
    fleet_sql(a, "UPDATE observations SET concepts=printf('%%.*c',500,'a')"); a->now_ms += 1000;
    fleet_sql(b, "UPDATE observations SET concepts=printf('%%.*c',500,'b')"); b->now_ms += 2000;
    fleet_settle(fleet, 2);
    printf("  conflicts %lld %lld\n", (long long)fleet_conflict_count(a), (long long)fleet_conflict_count(b));
    fleet_free(fleet);
}

/* head vanishes between list and get: another machine pushes while we pull */
static struct fleet_machine *other; static int other_left;
static int push_step(void *context, const char *name, struct mb_error *err)
{
    (void)context; (void)err;
    if (strcmp(name, "merge-done") == 0 && other_left > 0) {
        struct fleet_machine *o = other;
        other_left--;
        fleet_observation(o, "m2", T0 + 500 + other_left, "late");
        fleet_push(o, NULL);
    }
    return 0;
}
TEST(r11_a_head_that_goes_while_we_pull_is_no_warning)
{
    for (int order = 0; order < 2; order++) {
    struct fleet *fleet = fleet_new(3);
    struct fleet_machine *c = fleet->machines[2];
    for (int i = 0; i < 2; i++) {
        char content[8], memory[8];
        snprintf(content, 8, "s%d", i + 1); snprintf(memory, 8, "m%d", i + 1);
        fleet_session(fleet->machines[i == order ? 0 : 1], content, memory, "p");
        fleet_observations(fleet->machines[i == order ? 0 : 1], memory, T0 + 10 * i, 3, "x");
        fleet_push(fleet->machines[i == order ? 0 : 1], NULL);
    }
    other = fleet->machines[order == 1 ? 0 : 1]; other_left = 1; c->env.step = push_step;
    fleet_pull(c, NULL);
    printf("  warning: %s\n", c->pulled.warning.message);
    CHECK_INT(c->pulled.warning.code, MB_OK);
    fleet_free(fleet);
    }
}

TEST(r13_tool_uses_switched_on_later)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0], *b = fleet->machines[1];
    struct mb_status_report report;
    fleet_session(a, "s", "m", "p");
    fleet_sql(a, "INSERT INTO tool_uses(tool_use_id,content_session_id,project,tool_name,created_at,created_at_epoch) VALUES('t','s','p','Bash','x',1)");
    for (int on = 0; on < 3; on++) {
        for (int i = 0; i < 2; i++) {
            struct fleet_machine *m = fleet->machines[i];
            struct mb_engine_config config = fleet_config(m);
            struct mb_engine *engine = NULL; struct mb_error err;
            struct mb_pull_request pr = {0}; struct mb_push_request pu = {0};
            config.with_tool_uses = i == 0 || on > 0;
            CHECK(mb_engine_open(&config, &engine, &err) == 0);
            CHECK(mb_engine_pull(engine, &pr, &m->pulled, &err) == 0);
            CHECK(mb_engine_push(engine, &pu, &m->pushed, &err) == 0);
            mb_engine_close(engine);
        }
        fleet_status(b, &report);
        printf("  round %d: b has %lld tool uses, parked %lld\n", on, (long long)fleet_int(b, "SELECT count(*) FROM tool_uses"), (long long)report.rows_parked);
    }
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM tool_uses"), 1);
    fleet_free(fleet);
}

/* an identity edited in place, by hand; last: it may abort */
TEST(r12_a_title_edited_by_hand_does_not_abort)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_push_request full = {.is_full = true};
    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 20, "x");
    fleet_sync(a); fleet_sync(fleet->machines[1]);
    fleet_sql(a, "UPDATE observations SET title='redacted' WHERE id=10");
    fleet_sync(a);
    printf("  after edit: sent %lld\n", (long long)a->pushed.rows_sent); fflush(stdout);
    fleet_push(a, &full);
    printf("  full: sent %lld\n", (long long)a->pushed.rows_sent);
    fleet_free(fleet);
}
TEST_LIST(TEST_ROW(r8_user_prompt_of_a_session_made_again_is_equal_everywhere), TEST_ROW(r13_tool_uses_switched_on_later), TEST_ROW(r6_a_fold_stays_readable), TEST_ROW(r1_change_in_large_table_is_published), TEST_ROW(r2_full_push_after_extra_column_came), TEST_ROW(r3_a_refused_register_is_not_sent_back_as_a_change), TEST_ROW(r4_heal_brings_the_longest_text), TEST_ROW(r5_a_session_made_between_open_and_begin_is_captured), TEST_ROW(r7_held_arrived_deletes_stay_held_through_a_heal), TEST_ROW(r9_accept_releases_only_what_was_held), TEST_ROW(r10_the_losing_value_is_kept_whole), TEST_ROW(r11_a_head_that_goes_while_we_pull_is_no_warning), TEST_ROW(r12_a_title_edited_by_hand_does_not_abort));
