/* SPDX-License-Identifier: MIT */
/* Clones, lost states, restored databases, stores that went back, and what stands in the way of a
 * sync. */
#include "alloc.h"
#include "check.h"
#include "file.h"
#include "fleet.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "banned.h"

#define T0 1770000000000

static struct fleet *make_fleet(size_t machine_count, int row_count)
{
    struct fleet *fleet = fleet_new(machine_count);

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observations(fleet->machines[0], "m", T0, row_count, "x");
    fleet_settle(fleet, 2);
    return fleet;
}

static void check_observations(struct fleet *fleet, int64_t count)
{
    for (size_t i = 0; i < fleet->count; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM observations"), count);
    }
}

/* Everything of `from` but its OS machine id. */
static struct fleet_machine *clone_machine(struct fleet_machine *from)
{
    struct fleet_machine *twin = fleet_add(from->fleet, "13.25.3");
    size_t size = 0;
    uint8_t *data;

    fleet_sql(from, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(from);
    data = fleet_read_file(from->db_path, &size);
    fleet_write_file(twin->db_path, data, size);
    free(data);
    fleet_copy_folder(from->state_dir, twin->state_dir);
    twin->now_ms = from->now_ms;
    return twin;
}

TEST(a_cloned_disk_gets_an_id_of_its_own_and_nothing_is_lost)
{
    struct fleet *fleet = make_fleet(2, 5);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *twin = clone_machine(a);
    char id[32];

    fleet_observation(a, "m", T0 + 100, "by the original");
    fleet_observation(twin, "m", T0 + 101, "by the clone");
    (void)snprintf(id, sizeof id, "%s", fleet_machine_id(a));
    fleet_push(twin, NULL); /* before the original has written anything */
    CHECK(strcmp(id, fleet_machine_id(twin)) != 0);
    fleet_settle(fleet, 3);
    (void)snprintf(id, sizeof id, "%s", fleet_machine_id(a));
    CHECK(strcmp(id, fleet_machine_id(twin)) != 0);
    check_observations(fleet, 7);
    fleet_free(fleet);
}

TEST(a_clone_with_the_same_os_machine_id_is_noticed_by_its_heads)
{
    struct fleet *fleet = make_fleet(2, 5);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *twin = clone_machine(a);

    memcpy(twin->env.machine_id, a->env.machine_id, sizeof twin->env.machine_id);
    fleet_observation(a, "m", T0 + 100, "by the original");
    fleet_observation(twin, "m", T0 + 101, "by the clone");
    fleet_settle(fleet, 4);
    check_observations(fleet, 7);
    fleet_free(fleet);
}

TEST(a_machine_that_was_rolled_back_loses_nothing_that_it_had_sent)
{
    struct fleet *fleet = make_fleet(2, 5);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *kept = clone_machine(a);
    size_t size = 0;
    uint8_t *data;
    struct mb_error err;

    fleet->count--; /* it only keeps the copy */
    fleet_observation(a, "m", T0 + 100, "sent, then rolled back");
    fleet_sync(a);
    fleet_close_db(a);
    data = fleet_read_file(kept->db_path, &size);
    fleet_write_file(a->db_path, data, size);
    free(data);
    CHECK_OK(mb_file_remove_tree(a->state_dir, &err), &err);
    fleet_copy_folder(kept->state_dir, a->state_dir);
    fleet_observation(a, "m", T0 + 101, "after");
    fleet_settle(fleet, 4);
    check_observations(fleet, 7);
    fleet->count++;
    fleet_free(fleet);
}

TEST(a_lost_state_costs_a_rescan_and_no_row)
{
    struct fleet *fleet = make_fleet(2, 5);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_error err;

    fleet_observation(a, "m", T0 + 100, "captured and not sent");
    fleet_pull(a, NULL);
    CHECK_OK(mb_file_remove_tree(a->state_dir, &err), &err);
    fleet_settle(fleet, 3);
    check_observations(fleet, 6);
    fleet_free(fleet);
}

TEST(a_restored_database_is_healed_and_deletes_nothing)
{
    struct fleet *fleet = make_fleet(2, 5);
    struct fleet_machine *a = fleet->machines[0];
    size_t size = 0;
    uint8_t *data;

    fleet_sql(a, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(a);
    data = fleet_read_file(a->db_path, &size);
    fleet_observation(a, "m", T0 + 100, "after the copy, sent");
    fleet_sync(a);
    fleet_observation(a, "m", T0 + 101, "after the copy, captured");
    fleet_pull(a, NULL);
    fleet_sql(a, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(a);
    fleet_write_file(a->db_path, data, size);
    free(data);
    fleet_settle(fleet, 3);
    check_observations(fleet, 7);
    fleet_free(fleet);
}

TEST(a_value_of_a_restored_database_does_not_win)
{
    struct fleet *fleet = make_fleet(2, 2);
    struct fleet_machine *a = fleet->machines[0];
    size_t size = 0;
    uint8_t *data;

    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='old'");
    fleet_settle(fleet, 1);
    fleet_sql(a, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(a);
    data = fleet_read_file(a->db_path, &size);
    fleet_sql(a, "UPDATE sdk_sessions SET custom_title='new'");
    fleet_settle(fleet, 1);
    fleet_close_db(a);
    fleet_write_file(a->db_path, data, size);
    free(data);
    fleet_settle(fleet, 3);
    CHECK_TEXT(fleet_text(a, "SELECT custom_title FROM sdk_sessions"), "new");
    CHECK_TEXT(fleet_text(fleet->machines[1], "SELECT custom_title FROM sdk_sessions"), "new");
    fleet_free(fleet);
}

TEST(an_emptied_store_is_whole_again_after_every_machine_has_synced)
{
    struct fleet *fleet = make_fleet(3, 5);
    struct fleet_keys keys;
    struct fleet_machine *fresh;

    fleet_sql(fleet->machines[1], "DELETE FROM observations WHERE title='x 2'");
    fleet_settle(fleet, 2);
    keys = fleet_keys(fleet, "projects/");
    for (size_t i = 0; i < keys.count; i++) {
        fleet_delete(fleet, keys.keys[i]);
    }
    fleet_keys_free(&keys);
    fleet_settle(fleet, 3);
    fresh = fleet_add(fleet, "13.25.3");
    fleet_settle(fleet, 1);
    CHECK_INT(fleet_int(fresh, "SELECT count(*) FROM observations"), 4);
    check_observations(fleet, 4);
    fleet_free(fleet);
}

TEST(a_machine_that_is_gone_for_good_leaves_its_rows)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *fresh;

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observations(fleet->machines[0], "m", T0, 5, "x");
    fleet_push(fleet->machines[0], NULL);
    fresh = fleet->machines[1];
    fleet_sync(fresh);
    CHECK_INT(fleet_int(fresh, "SELECT count(*) FROM observations"), 5);
    fleet_free(fleet);
}

/* Holds the engine open until the pipe is closed. */
static void hold_lock(struct fleet_machine *machine, int ready_fd)
{
    struct mb_engine_config config = fleet_config(machine);
    struct mb_engine *engine = NULL;
    struct mb_error err;

    if (mb_engine_open(&config, &engine, &err) != 0) {
        _exit(1);
    }
    if (write(ready_fd, "x", 1) != 1) {
        _exit(1);
    }
    (void)pause();
    _exit(1);
}

TEST(a_lock_held_by_another_process_is_said_and_freed_when_it_dies)
{
    struct fleet *fleet = make_fleet(1, 1);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_error err;
    int ends[2];
    char byte = 0;
    pid_t pid;

    fleet_close_db(a);
    CHECK_INT(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        hold_lock(a, ends[1]);
    }
    CHECK_INT(read(ends[0], &byte, 1), 1);
    CHECK_FAILS(fleet_try_push(a, NULL, &err), &err, MB_ERR_LOCKED);
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK_OK(fleet_try_push(a, NULL, &err), &err);
    (void)close(ends[0]);
    (void)close(ends[1]);
    fleet_free(fleet);
}

TEST(status_can_be_read_while_another_process_holds_the_lock)
{
    struct fleet *fleet = make_fleet(1, 3);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_engine_config config = fleet_config(a);
    struct mb_engine *engine = NULL;
    struct mb_status_report report;
    struct mb_error err;

    CHECK_OK(mb_engine_open(&config, &engine, &err), &err);
    fleet_status(a, &report);
    CHECK(report.table_count > 0);
    CHECK_INT(report.pending_out, 0);
    mb_engine_close(engine);
    fleet_free(fleet);
}

TEST(status_before_anything_was_set_up_says_so)
{
    struct fleet *fleet = fleet_new(1);
    struct mb_engine_config config = fleet_config(fleet->machines[0]);
    struct mb_engine *engine = NULL;
    struct mb_error err;

    config.is_read_only = true;
    CHECK_FAILS(mb_engine_open(&config, &engine, &err), &err, MB_ERR_NOT_SET_UP);
    CHECK(!mb_file_exists(fleet->machines[0]->state_dir));
    fleet_free(fleet);
}

TEST(no_database_is_an_error_with_a_name)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_error err;

    CHECK_OK(mb_file_remove(a->db_path, &err), &err);
    CHECK_FAILS(fleet_try_pull(a, NULL, &err), &err, MB_ERR_NO_DATABASE);
    CHECK_FAILS(fleet_try_push(a, NULL, &err), &err, MB_ERR_NO_DATABASE);
    CHECK(!mb_file_exists(a->db_path));
    fleet_free(fleet);
}

TEST(a_database_of_something_else_is_refused_and_left_alone)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_error err;
    size_t size = 0;
    uint8_t *data;

    CHECK_OK(mb_file_remove(a->db_path, &err), &err);
    fleet_write_file(
        a->db_path, "this is a text file, and a long enough one to be looked at as a header..", 72);
    CHECK_INT(fleet_try_pull(a, NULL, &err), -1);
    CHECK(err.code == MB_ERR_CORRUPT || err.code == MB_ERR_SCHEMA);
    data = fleet_read_file(a->db_path, &size);
    CHECK_INT(size, 72);
    free(data);
    fleet_free(fleet);
}

/* The rolled back machine does not see that its number was given before. */
TEST(of_two_segments_of_one_number_both_are_read)
{
    struct fleet *fleet = make_fleet(2, 5);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct fleet_machine *kept = clone_machine(a);
    struct fleet_keys heads;
    struct mb_error err;
    size_t size = 0;
    uint8_t *data;

    fleet_observation(a, "m", T0 + 100, "sent, then rolled back");
    fleet_push(a, NULL);
    fleet_pull(b, NULL);
    heads = fleet_keys(fleet, "/heads/");
    for (size_t i = 0; i < heads.count; i++) {
        fleet_delete(fleet, heads.keys[i]);
    }
    fleet_keys_free(&heads);
    fleet_close_db(a);
    data = fleet_read_file(kept->db_path, &size);
    fleet_write_file(a->db_path, data, size);
    free(data);
    CHECK_OK(mb_file_remove_tree(a->state_dir, &err), &err);
    fleet_copy_folder(kept->state_dir, a->state_dir);
    fleet_observation(a, "m", T0 + 101, "after");
    fleet_push(a, NULL);
    fleet_pull(b, NULL);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations WHERE title='after'"), 1);
    fleet_free(fleet);
}

static void restore_database(struct fleet_machine *machine, uint8_t *data, size_t size)
{
    fleet_sql(machine, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(machine);
    fleet_write_file(machine->db_path, data, size);
    free(data);
}

static uint8_t *keep_database(struct fleet_machine *machine, size_t *size_out)
{
    fleet_sql(machine, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(machine);
    return fleet_read_file(machine->db_path, size_out);
}

TEST(a_restored_database_brings_no_deleted_row_back)
{
    struct fleet *fleet = make_fleet(2, 5);
    struct fleet_machine *a = fleet->machines[0];
    size_t size = 0;
    uint8_t *data = keep_database(a, &size);

    fleet_sql(a, "DELETE FROM observations WHERE title='x 1'");
    fleet_settle(fleet, 2);
    restore_database(a, data, size);
    fleet_settle(fleet, 2);
    check_observations(fleet, 4);
    fleet_free(fleet);
}

TEST(a_restored_database_brings_no_deleted_copy_back)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    size_t size = 0;
    uint8_t *data;

    for (int i = 0; i < 2; i++) {
        fleet_session(a, i == 0 ? "s0" : "s1", i == 0 ? "m0" : "m1", "p");
        fleet_observation(a, i == 0 ? "m0" : "m1", T0, "the same row");
    }
    fleet_settle(fleet, 2);
    check_observations(fleet, 2);
    data = keep_database(a, &size);
    fleet_sql(a, "DELETE FROM observations WHERE id=1");
    fleet_settle(fleet, 2);
    check_observations(fleet, 1);
    restore_database(a, data, size);
    fleet_settle(fleet, 2);
    check_observations(fleet, 1);
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(a_cloned_disk_gets_an_id_of_its_own_and_nothing_is_lost),
          TEST_ROW(a_clone_with_the_same_os_machine_id_is_noticed_by_its_heads),
          TEST_ROW(a_machine_that_was_rolled_back_loses_nothing_that_it_had_sent),
          TEST_ROW(a_lost_state_costs_a_rescan_and_no_row),
          TEST_ROW(a_restored_database_is_healed_and_deletes_nothing),
          TEST_ROW(a_value_of_a_restored_database_does_not_win),
          TEST_ROW(an_emptied_store_is_whole_again_after_every_machine_has_synced),
          TEST_ROW(a_machine_that_is_gone_for_good_leaves_its_rows),
          TEST_ROW(a_lock_held_by_another_process_is_said_and_freed_when_it_dies),
          TEST_ROW(status_can_be_read_while_another_process_holds_the_lock),
          TEST_ROW(status_before_anything_was_set_up_says_so),
          TEST_ROW(no_database_is_an_error_with_a_name),
          TEST_ROW(a_database_of_something_else_is_refused_and_left_alone),
          TEST_ROW(of_two_segments_of_one_number_both_are_read),
          TEST_ROW(a_restored_database_brings_no_deleted_row_back),
          TEST_ROW(a_restored_database_brings_no_deleted_copy_back));
