/* SPDX-License-Identifier: MIT */
/* The traps that broke simpler designs than this one, each by itself; docs/TESTING.md has the
 * whole list, with the tests in other files and the scenarios of the simulation. */
#include "alloc.h"
#include "check.h"
#include "file.h"
#include "fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

#define T0 1770000000000
#define DAY_MS ((int64_t)86400000)

static void check_everywhere(struct fleet *fleet, const char *sql, int64_t wanted)
{
    for (size_t i = 0; i < fleet->count; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "%s", sql), wanted);
        fleet_check_db(fleet->machines[i]);
    }
}

static const char count_observations[] = "SELECT count(*) FROM observations";

/* Two machines of a version with one session of `count` observations on both. */
static struct fleet *make_pair(const char *version, int count)
{
    struct fleet *fleet = fleet_new(0);

    for (int i = 0; i < 2; i++) {
        (void)fleet_add(fleet, version);
    }
    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observations(fleet->machines[0], "m", T0, count, "x");
    fleet_settle(fleet, 2);
    return fleet;
}

struct kept { /* a database as it was */
    uint8_t *data;
    size_t size;
};

static struct kept keep_database(struct fleet_machine *machine)
{
    struct kept kept = {0};

    fleet_sql(machine, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(machine);
    kept.data = fleet_read_file(machine->db_path, &kept.size);
    return kept;
}

/* Under the same inode, as a restore in place does it. */
static void restore_database(struct fleet_machine *machine, const struct kept *kept)
{
    FILE *file;

    fleet_sql(machine, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(machine);
    file = fopen(machine->db_path, "r+b");
    if (CHECK(file != NULL)) {
        CHECK_INT(fwrite(kept->data, 1, kept->size, file), kept->size);
        CHECK_INT(fclose(file), 0);
    }
    CHECK_INT(truncate(machine->db_path, (off_t)kept->size), 0);
}

struct hidden { /* objects that the store does not show for a while */
    struct fleet_keys keys;
    uint8_t *data[64];
    size_t sizes[64];
};

static void hide(struct fleet *fleet, const char *part, struct hidden *hidden)
{
    hidden->keys = fleet_keys(fleet, part);
    CHECK(hidden->keys.count > 0 && hidden->keys.count <= 64);
    for (size_t i = 0; i < hidden->keys.count; i++) {
        hidden->data[i] = fleet_get(fleet, hidden->keys.keys[i], &hidden->sizes[i]);
        fleet_delete(fleet, hidden->keys.keys[i]);
    }
}

static void show(struct fleet *fleet, struct hidden *hidden)
{
    for (size_t i = 0; i < hidden->keys.count; i++) {
        fleet_put(fleet, hidden->keys.keys[i], hidden->data[i], hidden->sizes[i]);
        free(hidden->data[i]);
    }
    fleet_keys_free(&hidden->keys);
}

static char *heads_of(struct fleet_machine *machine)
{
    return mb_alloc_format("/heads/%s/", fleet_machine_id(machine));
}

/* ---- sessions ---- */

TEST(a_session_deleted_and_made_again_between_two_captures_lives)
{
    struct fleet *fleet = make_pair("13.25.3", 2);
    struct fleet_machine *a = fleet->machines[0];

    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='named'");
    fleet_settle(fleet, 2);
    fleet_sql(a, "DELETE FROM sdk_sessions");
    fleet_session(a, "s", "m-again", "p");
    fleet_settle(fleet, 3);
    check_everywhere(fleet, "SELECT count(*) FROM sdk_sessions WHERE content_session_id='s'", 1);
    check_everywhere(fleet, "SELECT count(*) FROM sdk_sessions", 1);
    check_everywhere(fleet, count_observations, 0); /* they were deleted with the first one */
    fleet_free(fleet);
}

TEST(a_session_deleted_here_and_made_again_there_lives_in_whatever_order_it_is_read)
{
    for (int first = 0; first < 2; first++) {
        struct fleet *fleet = make_pair("13.25.3", 1);
        struct fleet_machine *a = fleet->machines[0];
        struct fleet_machine *b = fleet->machines[1];
        struct fleet_machine *late = fleet_add(fleet, "13.25.3");
        struct hidden hidden;
        char *part;

        fleet_sql(a, "UPDATE sdk_sessions SET custom_title='named'");
        fleet_settle(fleet, 2);
        fleet_sql(a, "DELETE FROM sdk_sessions");
        fleet_sync(a);
        fleet_sync(b);
        CHECK_INT(fleet_int(b, "SELECT count(*) FROM sdk_sessions"), 0);
        b->now_ms += 1000;
        fleet_session(b, "s", "m-again", "p");
        fleet_sync(b);
        part = heads_of(first == 0 ? a : b);
        hide(fleet, part, &hidden);
        fleet_pull(late, NULL);
        show(fleet, &hidden);
        free(part);
        fleet_settle(fleet, 3);
        check_everywhere(fleet,
                         "SELECT count(*) FROM sdk_sessions WHERE content_session_id='s'"
                         " AND custom_title='named'",
                         1);
        fleet_free(fleet);
    }
}

TEST(a_state_lost_with_stubs_in_the_database_publishes_none)
{
    struct fleet *fleet = fleet_new(3);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_error err;

    fleet_sql(a, "PRAGMA foreign_keys=OFF");
    fleet_observation(a, "m", T0, "child");
    fleet_sync(a);
    fleet_sync(b);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM sdk_sessions"), 1);
    CHECK_OK(mb_file_remove_tree(b->state_dir, &err), &err);
    fleet_sync(b);
    fleet_sync(fleet->machines[2]);
    for (size_t i = 1; i < 3; i++) {
        CHECK_INT(fleet_int(fleet->machines[i],
                            "SELECT count(*) FROM sdk_sessions"
                            " WHERE content_session_id IS NOT memory_session_id"),
                  0);
    }
    fleet_session(a, "s", "m", "p");
    fleet_settle(fleet, 3);
    check_everywhere(fleet,
                     "SELECT count(*) FROM observations o JOIN sdk_sessions s"
                     " USING(memory_session_id) WHERE s.content_session_id='s'",
                     1);
    check_everywhere(fleet, "SELECT count(*) FROM sdk_sessions", 1);
    fleet_free(fleet);
}

TEST(clones_with_orphans_here_and_the_session_there_have_one_of_each_row)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct kept kept;

    fleet_session(a, "s", "m", "p");
    fleet_observations(a, "m", T0, 4, "x");
    kept = keep_database(a);
    fleet_close_db(b);
    fleet_write_file(b->db_path, kept.data, kept.size);
    free(kept.data);
    fleet_sql(b, "PRAGMA foreign_keys=OFF");
    fleet_sql(b, "DELETE FROM sdk_sessions");
    fleet_observation(b, "m", T0 + 50, "made after the cloning");
    fleet_close_db(b);
    fleet_settle(fleet, 3);
    check_everywhere(fleet,
                     "SELECT count(*) FROM observations o JOIN sdk_sessions s"
                     " USING(memory_session_id) WHERE s.content_session_id='s'",
                     5);
    check_everywhere(fleet, count_observations, 5);
    fleet_free(fleet);
}

/* ---- equal rows ---- */

TEST(two_migrations_that_each_remove_the_others_copy_leave_one_everywhere)
{
    struct fleet *fleet = fleet_new(0);

    for (int i = 0; i < 2; i++) {
        (void)fleet_add(fleet, "10.6.3");
        fleet_session(fleet->machines[i], "manual-content-p", "manual-p", "p");
        fleet_observation(fleet->machines[i], "manual-p", T0 + i, "the same title");
    }
    fleet_settle(fleet, 2);
    check_everywhere(fleet, count_observations, 2);
    for (int i = 0; i < 2; i++) {
        fleet_sql(fleet->machines[i], "DELETE FROM observations WHERE created_at_epoch=%lld",
                  (long long)(T0 + 1 - i)); /* each keeps its own */
        fleet_sql(fleet->machines[i],
                  "INSERT INTO schema_versions(version,applied_at) VALUES(900,'now')");
    }
    fleet_settle(fleet, 3);
    for (int i = 0; i < 2; i++) {
        CHECK(fleet_int(fleet->machines[i], count_observations) >= 1);
        CHECK_INT(fleet->machines[i]->pushed.deletes_sent, 0);
    }
    (void)fleet_add(fleet, "13.25.3"); /* nothing was lost to who comes later */
    fleet_settle(fleet, 1);
    CHECK_INT(fleet_int(fleet->machines[2], count_observations), 2);
    fleet_free(fleet);
}

TEST(a_third_copy_keeps_its_number_when_one_goes_and_the_map_is_rebuilt)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_error err;

    for (int i = 0; i < 3; i++) {
        char *name = mb_alloc_format("s%d", i);

        fleet_session(a, name, name, "p");
        fleet_observation(a, name, T0, "the same row");
        fleet_settle(fleet, i == 2 ? 2 : 1); /* the third comes when two are known */
        free(name);
    }
    check_everywhere(fleet, count_observations, 3);
    fleet_sql(fleet->machines[1], "DELETE FROM observations WHERE memory_session_id IN"
                                  " (SELECT memory_session_id FROM sdk_sessions"
                                  " WHERE content_session_id='s1')");
    fleet_settle(fleet, 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK_OK(mb_file_remove_tree(fleet->machines[i]->state_dir, &err), &err);
        fleet_settle(fleet, 2);
        check_everywhere(fleet, count_observations, 2);
        check_everywhere(fleet,
                         "SELECT count(*) FROM observations o JOIN sdk_sessions s"
                         " USING(memory_session_id) WHERE s.content_session_id='s1'",
                         0);
    }
    fleet_free(fleet);
}

/* ---- another database ---- */

TEST(a_database_restored_in_place_and_grown_past_its_old_sequence_is_noticed)
{
    struct fleet *fleet = make_pair("13.25.3", 5);
    struct fleet_machine *a = fleet->machines[0];
    struct kept kept = keep_database(a);

    fleet_observations(a, "m", T0 + 100, 3, "after the copy");
    fleet_settle(fleet, 1);
    restore_database(a, &kept);
    free(kept.data);
    CHECK_INT(fleet_int(a, count_observations), 5);
    fleet_observations(a, "m", T0 + 200, 6, "after the restore"); /* their ids were others' */
    fleet_settle(fleet, 3);
    check_everywhere(fleet, count_observations, 14);
    fleet_free(fleet);
}

TEST(a_heal_that_is_not_shown_all_heads_goes_on_until_nothing_is_missing)
{
    struct fleet *fleet = make_pair("13.25.3", 5);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct kept kept = keep_database(a);
    struct mb_status_report report;
    struct hidden hidden;
    char *part;

    fleet_observation(b, "m", T0 + 100, "of the other machine");
    fleet_settle(fleet, 2);
    restore_database(a, &kept);
    free(kept.data);
    part = heads_of(b);
    hide(fleet, part, &hidden);
    free(part);
    fleet_pull(a, NULL);
    fleet_status(a, &report);
    CHECK(report.is_healing);
    CHECK_INT(fleet_int(a, count_observations), 5);
    show(fleet, &hidden);
    fleet_pull(a, NULL);
    fleet_status(a, &report);
    CHECK(!report.is_healing);
    check_everywhere(fleet, count_observations, 6);
    fleet_settle(fleet, 2);
    fleet_free(fleet);
}

TEST(a_heal_brings_back_what_only_this_machine_ever_published)
{
    struct fleet *fleet = make_pair("13.25.3", 5);
    struct fleet_machine *a = fleet->machines[0];
    struct kept kept = keep_database(a);

    fleet_observation(a, "m", T0 + 100, "published, and read by nobody");
    fleet_push(a, NULL);
    fleet_observation(a, "m", T0 + 101, "captured, and not published");
    fleet_pull(a, NULL);
    restore_database(a, &kept);
    free(kept.data);
    fleet_pull(a, NULL);
    CHECK_INT(fleet_int(a, count_observations), 7);
    fleet_settle(fleet, 2);
    check_everywhere(fleet, count_observations, 7);
    fleet_free(fleet);
}

/* ---- order ---- */

TEST(a_change_and_a_tombstone_that_come_before_their_rows_are_kept)
{
    struct fleet *fleet = make_pair("13.25.3", 3);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_machine *late = fleet_add(fleet, "13.25.3");
    struct hidden hidden;
    char *part = heads_of(a);

    fleet_sql(b, "UPDATE observations SET project='changed' WHERE title='x 0'");
    fleet_sql(b, "DELETE FROM observations WHERE title='x 1'");
    fleet_push(b, NULL);
    CHECK_INT(b->pushed.rows_sent, 2);
    hide(fleet, part, &hidden);
    fleet_pull(late, NULL);
    CHECK_INT(fleet_int(late, count_observations), 0);
    show(fleet, &hidden);
    free(part);
    fleet_pull(late, NULL);
    CHECK_INT(fleet_int(late, count_observations), 2);
    CHECK_TEXT(fleet_text(late, "SELECT project FROM observations WHERE title='x 0'"), "changed");
    fleet_settle(fleet, 2);
    check_everywhere(fleet, count_observations, 2);
    fleet_free(fleet);
}

TEST(columns_that_an_older_claude_mem_lacked_when_its_state_was_lost_come_with_its_upgrade)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_error err;

    fleet_sql(a, "ALTER TABLE observations ADD COLUMN mood TEXT");
    fleet_session(a, "s", "m", "p");
    fleet_observation(a, "m", T0, "x");
    fleet_sql(a, "UPDATE observations SET mood='calm'");
    fleet_settle(fleet, 2);
    CHECK_OK(mb_file_remove_tree(b->state_dir, &err), &err);
    fleet_settle(fleet, 2);
    fleet_sql(b, "ALTER TABLE observations ADD COLUMN mood TEXT");
    fleet_settle(fleet, 2);
    CHECK_TEXT(fleet_text(b, "SELECT mood FROM observations"), "calm");
    fleet_free(fleet);
}

/* ---- heads, folds, stores that went back ---- */

TEST(a_head_that_comes_late_is_read_beside_the_newer_one)
{
    struct fleet *fleet = make_pair("13.25.3", 2);
    struct fleet_machine *a = fleet->machines[0];
    struct hidden hidden;
    char *part = heads_of(a);

    fleet_observation(a, "m", T0 + 100, "in the head that comes late");
    fleet_push(a, NULL);
    hide(fleet, part, &hidden);
    fleet_observation(a, "m", T0 + 101, "in the next one");
    fleet_push(a, NULL); /* its own head is gone: it says everything again */
    fleet_pull(fleet->machines[1], NULL);
    show(fleet, &hidden);
    free(part);
    fleet_settle(fleet, 3);
    check_everywhere(fleet, count_observations, 4);
    fleet_free(fleet);
}

TEST(a_reader_that_slept_through_a_fold_misses_nothing)
{
    struct fleet *fleet = make_pair("13.25.3", 2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_keys before = fleet_keys(fleet, "/segments/");
    struct fleet_keys after;
    size_t kept = 0;

    for (int i = 0; i < 20; i++) {
        char *title = mb_alloc_format("push %d", i);

        fleet_observation(a, "m", T0 + 100 + i, title);
        fleet_push(a, NULL);
        free(title);
    }
    a->now_ms += 40 * DAY_MS;
    fleet_observation(a, "m", T0 + 500, "a month later");
    fleet_push(a, NULL);
    fleet_observation(a, "m", T0 + 501, "and once more");
    fleet_push(a, NULL);
    after = fleet_keys(fleet, "/segments/");
    CHECK(after.count < before.count + 22); /* folded, and what was folded is gone */
    for (size_t i = 0; i < before.count; i++) {
        for (size_t k = 0; k < after.count; k++) {
            kept += strcmp(before.keys[i], after.keys[k]) == 0 ? 1 : 0;
        }
    }
    CHECK(kept < before.count); /* what the reader had read last is no more */
    b->now_ms = a->now_ms;
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_inserted, 22);
    CHECK_INT(b->pulled.warning.code, MB_OK);
    fleet_pull(b, NULL);
    CHECK_INT(b->pulled.rows_inserted, 0);
    fleet_settle(fleet, 2);
    check_everywhere(fleet, count_observations, 24);
    fleet_keys_free(&before);
    fleet_keys_free(&after);
    fleet_free(fleet);
}

TEST(a_store_that_went_back_is_filled_by_a_reader_that_never_wrote)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *writer = fleet->machines[0];
    struct fleet_machine *reader = fleet->machines[1];
    struct fleet_machine *fresh;
    struct fleet_keys keys;

    fleet_session(writer, "s", "m", "p");
    fleet_observations(writer, "m", T0, 5, "x");
    fleet_sync(writer);
    fleet_pull(reader, NULL);
    CHECK_INT(fleet_int(reader, count_observations), 5);
    keys = fleet_keys(fleet, "projects/");
    for (size_t i = 0; i < keys.count; i++) {
        fleet_delete(fleet, keys.keys[i]);
    }
    fleet_keys_free(&keys);
    for (int i = 0; i < 3; i++) { /* believed at the second look */
        reader->now_ms += DAY_MS;
        fleet_sync(reader);
    }
    fresh = fleet_add(fleet, "13.25.3");
    fresh->now_ms = reader->now_ms;
    fleet_pull(fresh, NULL);
    CHECK_INT(fleet_int(fresh, count_observations), 5);
    fleet_settle(fleet, 2);
    check_everywhere(fleet, count_observations, 5);
    fleet_free(fleet);
}

TEST(a_change_without_its_row_is_in_what_fills_an_emptied_store)
{
    struct fleet *fleet = make_pair("13.25.3", 2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_machine *late = fleet_add(fleet, "13.25.3");
    char *part = heads_of(a);
    struct hidden hidden;
    struct fleet_keys keys;

    fleet_sql(b, "UPDATE observations SET project='changed' WHERE title='x 0'");
    fleet_push(b, NULL); /* b is not seen again */
    hide(fleet, part, &hidden);
    free(part);
    fleet_pull(late, NULL);
    CHECK_INT(fleet_int(late, count_observations), 0);
    show(fleet, &hidden);
    keys = fleet_keys(fleet, "projects/");
    for (size_t i = 0; i < keys.count; i++) {
        fleet_delete(fleet, keys.keys[i]);
    }
    fleet_keys_free(&keys);
    for (int i = 0; i < 3; i++) { /* believed at the second look */
        late->now_ms += DAY_MS;
        fleet_sync(late);
    }
    a->now_ms = late->now_ms;
    fleet_sync(a);
    CHECK_TEXT(fleet_text(a, "SELECT project FROM observations WHERE title='x 0'"), "changed");
    fleet_free(fleet);
}

TEST(an_older_tombstone_that_comes_later_leaves_the_newer_one)
{
    struct fleet *fleet = fleet_new(3);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_machine *c = fleet->machines[2];
    struct fleet_machine *late;
    struct mb_push_request full = {.is_full = true};
    struct hidden of_a, of_c;
    char *part_a;
    char *part_c;

    fleet_session(a, "s", NULL, "p");
    fleet_settle(fleet, 2);
    fleet_sql(a, "DELETE FROM sdk_sessions");
    fleet_sync(a);
    fleet_sync(b);
    fleet_sync(c);
    b->now_ms += 5000;
    fleet_session(b, "s", NULL, "p"); /* made again */
    fleet_push(b, NULL);
    fleet_pull(c, NULL);
    CHECK_INT(fleet_int(c, "SELECT count(*) FROM sdk_sessions"), 1);
    fleet_sql(b, "DELETE FROM sdk_sessions"); /* and deleted again, of which c does not hear */
    fleet_push(b, NULL);
    fleet_push(c, &full);
    part_a = heads_of(a);
    part_c = heads_of(c);
    late = fleet_add(fleet, "13.25.3");
    hide(fleet, part_a, &of_a);
    hide(fleet, part_c, &of_c);
    fleet_pull(late, NULL); /* the newer tombstone */
    show(fleet, &of_a);
    fleet_pull(late, NULL); /* the older one */
    show(fleet, &of_c);
    fleet_pull(late, NULL); /* the row between them */
    CHECK_INT(fleet_int(late, "SELECT count(*) FROM sdk_sessions"), 0);
    free(part_a);
    free(part_c);
    fleet_free(fleet);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(a_session_deleted_and_made_again_between_two_captures_lives),
    TEST_ROW(a_session_deleted_here_and_made_again_there_lives_in_whatever_order_it_is_read),
    TEST_ROW(a_state_lost_with_stubs_in_the_database_publishes_none),
    TEST_ROW(clones_with_orphans_here_and_the_session_there_have_one_of_each_row),
    TEST_ROW(two_migrations_that_each_remove_the_others_copy_leave_one_everywhere),
    TEST_ROW(a_third_copy_keeps_its_number_when_one_goes_and_the_map_is_rebuilt),
    TEST_ROW(a_database_restored_in_place_and_grown_past_its_old_sequence_is_noticed),
    TEST_ROW(a_heal_that_is_not_shown_all_heads_goes_on_until_nothing_is_missing),
    TEST_ROW(a_heal_brings_back_what_only_this_machine_ever_published),
    TEST_ROW(a_change_and_a_tombstone_that_come_before_their_rows_are_kept),
    TEST_ROW(columns_that_an_older_claude_mem_lacked_when_its_state_was_lost_come_with_its_upgrade),
    TEST_ROW(a_head_that_comes_late_is_read_beside_the_newer_one),
    TEST_ROW(a_reader_that_slept_through_a_fold_misses_nothing),
    TEST_ROW(a_store_that_went_back_is_filled_by_a_reader_that_never_wrote),
          TEST_ROW(a_change_without_its_row_is_in_what_fills_an_emptied_store),
          TEST_ROW(an_older_tombstone_that_comes_later_leaves_the_newer_one));
/* clang-format on */
