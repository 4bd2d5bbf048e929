/* SPDX-License-Identifier: MIT */
/* Tables, segments and texts that are too large to be looked at, folded or kept in one piece: a
 * change in them is found all the same, what is folded stays within what readers take, and of two
 * texts the longer one is whole everywhere (nothing-lost). */
#include "alloc.h"
#include "check.h"
#include "file.h"
#include "fleet.h"
#include "limits.h"
#include "pack.h"

#include <stdlib.h>

#include "banned.h"

#define T0 1770000000000
#define FOUR_HOURS_MS (4 * INT64_C(3600000))

/* ---- tables ---- */

#define LARGE_ROWS 1001
#define WINDOW_OF_600 10 /* of 64 rows each */

/* A machine that has published a table which is swept by a window of 64 rows. */
static struct fleet *make_large(void)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "s", "m", "p");
    fleet_sql(a,
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
              " INSERT INTO observations(memory_session_id,project,type,title,content_hash"
              ",created_at,created_at_epoch)"
              " SELECT 'm','p','change','x',printf('%%016x',i),'x',%lld+i FROM n",
              LARGE_ROWS, (long long)T0);
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, LARGE_ROWS + 1);
    return fleet;
}

TEST(a_change_in_a_large_table_is_found_by_a_window_that_moves_on)
{
    struct fleet *fleet = make_large();
    struct fleet_machine *a = fleet->machines[0];

    fleet_sql(a, "UPDATE observations SET project='changed' WHERE id=600");
    for (int window = 1; window <= WINDOW_OF_600 + 1; window++) {
        fleet_push(a, NULL);
        CHECK_INT(a->pushed.rows_sent, window == WINDOW_OF_600 ? 1 : 0);
    }
    fleet_free(fleet);
}

TEST(a_large_table_is_looked_at_whole_after_four_hours)
{
    struct fleet *fleet = make_large();
    struct fleet_machine *a = fleet->machines[0];

    fleet_sql(a, "UPDATE observations SET project='changed' WHERE id>=%d", LARGE_ROWS - 2);
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 0);
    a->now_ms += FOUR_HOURS_MS;
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 3);
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 0);
    fleet_free(fleet);
}

/* ---- segments ---- */

#define PUSHES_BEFORE_FOLD 13
#define LARGE_TEXT 500000 /* control characters: six times as much in a segment */

/* The bytes of a segment's lines. */
static size_t unpacked_size(struct fleet *fleet, const char *key)
{
    struct mb_pack_reader *reader = NULL;
    struct mb_error err;
    const char *line;
    size_t line_size;
    size_t size = 0;
    size_t sum = 0;
    uint8_t *data = fleet_get(fleet, key, &size);
    int step = mb_pack_reader_new(data, size, MB_PACK_SEGMENT, MB_LIMIT_SEGMENT_RAW_BYTES,
                                  MB_LIMIT_RECORD_BYTES, &reader, &err);

    CHECK_OK(step, &err);
    while (step >= 0 && (step = mb_pack_reader_next(reader, &line, &line_size, &err)) == 1) {
        sum += line_size + 1;
    }
    CHECK_OK(step, &err);
    mb_pack_reader_free(reader);
    free(data);
    return sum;
}

TEST(a_fold_stays_far_below_what_readers_take)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_keys keys;
    size_t sizes[2] = {0};
    size_t larger;

    fleet_session(a, "s", "m", "p");
    for (int i = 0; i < PUSHES_BEFORE_FOLD; i++) { /* the last three: more than one segment holds */
        fleet_sql(a,
                  "INSERT INTO user_prompts(session_db_id,content_session_id,prompt_number"
                  ",prompt_text,created_at,created_at_epoch)"
                  " VALUES(1,'s',%d,printf('%%.*c',%d,char(1)),'x',%lld)",
                  i, i < PUSHES_BEFORE_FOLD - 3 ? 10 : LARGE_TEXT, (long long)(T0 + i));
        fleet_push(a, NULL);
    }
    keys = fleet_keys(fleet, "/segments/");
    /* What was folded stays for a week. The last two are numbered 13: as pushed, and folded. */
    if (CHECK_INT(keys.count, PUSHES_BEFORE_FOLD + 1)) {
        sizes[0] = unpacked_size(fleet, keys.keys[keys.count - 2]);
        sizes[1] = unpacked_size(fleet, keys.keys[keys.count - 1]);
    }
    larger = sizes[0] > sizes[1] ? sizes[0] : sizes[1];
    CHECK(larger > (size_t)2 * 6 * LARGE_TEXT); /* two of the three */
    CHECK(larger <= MB_SEGMENT_RAW_TARGET);
    fleet_keys_free(&keys);
    fleet_free(fleet);
}

/* ---- texts ---- */

/* Puts a database without rows in the place of the machine's own, and lets everything come back. */
static void replace_and_heal(struct fleet_machine *machine, const uint8_t *empty, size_t size)
{
    struct mb_status_report report;

    fleet_close_db(machine);
    fleet_write_file(machine->db_path, empty, size);
    fleet_pull(machine, NULL);
    fleet_status(machine, &report);
    CHECK(!report.is_healing);
}

TEST(a_row_that_is_healed_has_its_longest_text)
{
    for (int shorter = 0; shorter < 2; shorter++) { /* its stream is read first, or last */
        struct fleet *fleet = fleet_new(3);
        struct fleet_machine *c = fleet->machines[2];
        size_t size = 0;
        uint8_t *empty = fleet_read_file(c->db_path, &size);

        for (int i = 0; i < 2; i++) {
            struct fleet_machine *machine = fleet->machines[i];

            fleet_session(machine, "s", "m", "p");
            fleet_prompt(machine, "s", T0, "");
            fleet_sql(machine, "UPDATE user_prompts SET prompt_text=printf('%%.*c',%d,'a')",
                      i == shorter ? 2000 : 3000);
        }
        fleet_settle(fleet, 2);
        replace_and_heal(c, empty, size);
        fleet_settle(fleet, 1);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM user_prompts"), 1);
            CHECK_INT(fleet_int(fleet->machines[i], "SELECT length(prompt_text) FROM user_prompts"),
                      3000);
        }
        free(empty);
        fleet_free(fleet);
    }
}

TEST(a_session_that_is_healed_has_the_prompt_that_another_machine_added)
{
    for (int maker = 0; maker < 2; maker++) { /* its stream is read first, or last */
        struct fleet *fleet = fleet_new(3);
        struct fleet_machine *c = fleet->machines[2];
        size_t size = 0;
        uint8_t *empty = fleet_read_file(c->db_path, &size);

        fleet_session(fleet->machines[maker], "s", "m", "p");
        fleet_sql(fleet->machines[maker], "UPDATE sdk_sessions SET user_prompt=NULL");
        fleet_settle(fleet, 2);
        fleet_sql(fleet->machines[1 - maker], "UPDATE sdk_sessions SET user_prompt='added'");
        fleet_settle(fleet, 2);
        replace_and_heal(c, empty, size);
        fleet_settle(fleet, 1);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM sdk_sessions"), 1);
            CHECK_TEXT(fleet_text(fleet->machines[i], "SELECT user_prompt FROM sdk_sessions"),
                       "added");
        }
        free(empty);
        fleet_free(fleet);
    }
}

TEST(a_session_that_is_made_again_has_its_longest_prompt_everywhere)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_sql(a, "UPDATE sdk_sessions SET user_prompt='the long first prompt'");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sync(a);
    fleet_sql(a, "DELETE FROM sdk_sessions");
    fleet_sync(a);
    fleet_sync(b);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM sdk_sessions"), 0);
    a->now_ms += 5000;
    fleet_session(a, "s", "m", "p"); /* says "hello" */
    fleet_sync(a);
    fleet_sync(b);
    fleet_sync(a);
    CHECK_TEXT(fleet_text(a, "SELECT user_prompt FROM sdk_sessions"), "the long first prompt");
    CHECK_TEXT(fleet_text(b, "SELECT user_prompt FROM sdk_sessions"), "the long first prompt");
    for (int i = 0; i < PUSHES_BEFORE_FOLD; i++) { /* who comes now reads it all in one piece */
        fleet_prompt(a, "s", T0 + i, "go on");
        fleet_push(a, NULL);
    }
    (void)fleet_add(fleet, "13.25.3");
    fleet_settle(fleet, 3);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM sdk_sessions"), 1);
        CHECK_TEXT(fleet_text(fleet->machines[i], "SELECT user_prompt FROM sdk_sessions"),
                   "the long first prompt");
    }
    fleet_free(fleet);
}

TEST(the_losing_value_of_a_conflict_is_kept_whole)
{
    struct fleet *fleet = fleet_new(2);

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observation(fleet->machines[0], "m", T0, "x");
    fleet_sync(fleet->machines[0]);
    fleet_sync(fleet->machines[1]);
    fleet_sql(fleet->machines[0], "UPDATE observations SET concepts=printf('%%.*c',500,'a')");
    fleet_sql(fleet->machines[1], "UPDATE observations SET concepts=printf('%%.*c',500,'b')");
    fleet_settle(fleet, 2);
    for (int i = 0; i < 2; i++) {
        struct fleet_machine *machine = fleet->machines[i];
        char *state_path = mb_file_join(machine->state_dir, "state.db");

        CHECK_INT(fleet_conflict_count(machine), 1);
        CHECK_INT(fleet_int(machine, "SELECT count(*) FROM observations"
                                     " WHERE concepts=printf('%%.*c',500,'b')"),
                  1);
        fleet_sql(machine, "ATTACH %Q AS state", state_path);
        CHECK_INT(fleet_int(machine, "SELECT count(*) FROM state.conflict"
                                     " WHERE col='concepts' AND other=printf('%%.*c',500,'a')"),
                  1);
        free(state_path);
    }
    fleet_free(fleet);
}

TEST(an_outbox_of_several_segments_arrives_whole)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_keys keys;

    fleet_session(a, "s", "m", "p");
    for (int i = 0; i < 4; i++) {
        fleet_sql(a,
                  "INSERT INTO user_prompts(session_db_id,content_session_id,prompt_number"
                  ",prompt_text,created_at,created_at_epoch)"
                  " VALUES(1,'s',%d,printf('%%.*c',%d,char(1)),'x',%lld)",
                  i, LARGE_TEXT, (long long)(T0 + i));
    }
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 5);
    keys = fleet_keys(fleet, "/segments/");
    CHECK(keys.count > 1);
    fleet_keys_free(&keys);
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_inserted, 5);
    CHECK_INT(
        fleet_int(b, "SELECT count(*) FROM user_prompts WHERE length(prompt_text)=%d", LARGE_TEXT),
        4);
    fleet_free(fleet);
}

TEST(a_segment_that_a_killed_pull_left_on_the_disk_does_not_stay_there)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    char *folder = mb_file_join(b->state_dir, "incoming");
    char *path = mb_file_join(folder, "left");
    struct mb_error err;

    fleet_session(a, "s", "m", "p");
    fleet_sync(a);
    CHECK_OK(mb_file_make_folder(folder, 0700, &err), &err);
    fleet_write_file(path, "x", 1);
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_inserted, 1);
    CHECK(!mb_file_exists(folder));
    free(folder);
    free(path);
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(a_segment_that_a_killed_pull_left_on_the_disk_does_not_stay_there),
          TEST_ROW(a_change_in_a_large_table_is_found_by_a_window_that_moves_on),
          TEST_ROW(a_large_table_is_looked_at_whole_after_four_hours),
          TEST_ROW(a_fold_stays_far_below_what_readers_take),
          TEST_ROW(a_row_that_is_healed_has_its_longest_text),
          TEST_ROW(a_session_that_is_healed_has_the_prompt_that_another_machine_added),
          TEST_ROW(a_session_that_is_made_again_has_its_longest_prompt_everywhere),
          TEST_ROW(the_losing_value_of_a_conflict_is_kept_whole),
          TEST_ROW(an_outbox_of_several_segments_arrives_whole));
