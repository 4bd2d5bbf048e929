/* SPDX-License-Identifier: MIT */
/* Objects in the store that are damaged, torn, swapped, missing, hostile, or of a later version:
 * noticed before one row is applied (verify-first), and no reason not to merge what is sound. And:
 * a dry run changes nothing. */
#include "alloc.h"
#include "check.h"
#include "digest.h"
#include "file.h"
#include "fleet.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define T0 1770000000000

/* A and B have published five rows each; C has read nothing. */
static struct fleet *make_three(void)
{
    struct fleet *fleet = fleet_new(3);

    for (int i = 0; i < 2; i++) {
        struct fleet_machine *machine = fleet->machines[i];

        fleet_session(machine, i == 0 ? "s-a" : "s-b", i == 0 ? "m-a" : "m-b", "p");
        fleet_observations(machine, i == 0 ? "m-a" : "m-b", T0 + 100 * i, 5, i == 0 ? "a" : "b");
        fleet_push(machine, NULL);
    }
    return fleet;
}

/* The only segment or head of a machine; given. */
static char *only_key(struct fleet_machine *machine, const char *folder)
{
    char *part = mb_alloc_format("/%s/%s/", folder, fleet_machine_id(machine));
    struct fleet_keys keys = fleet_keys(machine->fleet, part);
    char *key;

    CHECK_INT(keys.count, 1);
    key = mb_alloc_text(keys.count == 0 ? "none" : keys.keys[0]);
    fleet_keys_free(&keys);
    free(part);
    return key;
}

static void check_only_b_arrives(struct fleet *fleet, enum mb_code expected)
{
    struct fleet_machine *c = fleet->machines[2];

    fleet_pull(c, NULL);
    CHECK_INT(fleet_int(c, "SELECT count(*) FROM observations WHERE title LIKE 'a %%'"), 0);
    CHECK_INT(fleet_int(c, "SELECT count(*) FROM observations WHERE title LIKE 'b %%'"), 5);
    CHECK(c->pulled.warning.code != MB_OK);
    if (expected != MB_OK) {
        CHECK_TEXT(mb_error_name(c->pulled.warning.code), mb_error_name(expected));
    }
    fleet_check_db(c);
}

/* Whole again: everything comes. */
static void check_heals(struct fleet *fleet, const char *key, const uint8_t *data, size_t size)
{
    fleet_put(fleet, key, data, size);
    fleet_pull(fleet->machines[2], NULL);
    CHECK_INT(fleet_int(fleet->machines[2], "SELECT count(*) FROM observations"), 10);
    CHECK_INT(fleet->machines[2]->pulled.warning.code, MB_OK);
}

TEST(a_damaged_segment_keeps_nothing_else_from_being_merged)
{
    for (int where = 0; where < 3; where++) {
        struct fleet *fleet = make_three();
        char *key = only_key(fleet->machines[0], "segments");
        size_t size = 0;
        uint8_t *data = fleet_get(fleet, key, &size);
        uint8_t *bad = mb_alloc_copy(data, size);

        bad[where == 0 ? 0 : where == 1 ? size / 2 : size - 1] ^= 1;
        fleet_put(fleet, key, bad, size);
        check_only_b_arrives(fleet, MB_ERR_CORRUPT);
        check_heals(fleet, key, data, size);
        free(bad);
        free(data);
        free(key);
        fleet_free(fleet);
    }
}

TEST(a_torn_segment_is_noticed)
{
    struct fleet *fleet = make_three();
    char *key = only_key(fleet->machines[0], "segments");
    size_t size = 0;
    uint8_t *data = fleet_get(fleet, key, &size);

    fleet_put(fleet, key, data, size / 2);
    check_only_b_arrives(fleet, MB_ERR_CORRUPT);
    fleet_put(fleet, key, data, 0);
    check_only_b_arrives(fleet, MB_ERR_CORRUPT);
    check_heals(fleet, key, data, size);
    free(data);
    free(key);
    fleet_free(fleet);
}

TEST(a_missing_segment_is_noticed)
{
    struct fleet *fleet = make_three();
    char *key = only_key(fleet->machines[0], "segments");
    size_t size = 0;
    uint8_t *data = fleet_get(fleet, key, &size);

    fleet_delete(fleet, key);
    check_only_b_arrives(fleet, MB_OK);
    check_heals(fleet, key, data, size);
    free(data);
    free(key);
    fleet_free(fleet);
}

TEST(swapped_segments_are_noticed)
{
    struct fleet *fleet = make_three();
    char *key_a = only_key(fleet->machines[0], "segments");
    char *key_b = only_key(fleet->machines[1], "segments");
    size_t size_a = 0;
    size_t size_b = 0;
    uint8_t *data_a = fleet_get(fleet, key_a, &size_a);
    uint8_t *data_b = fleet_get(fleet, key_b, &size_b);

    fleet_put(fleet, key_a, data_b, size_b);
    check_only_b_arrives(fleet, MB_ERR_CORRUPT);
    check_heals(fleet, key_a, data_a, size_a);
    free(data_a);
    free(data_b);
    free(key_a);
    free(key_b);
    fleet_free(fleet);
}

TEST(a_damaged_head_keeps_nothing_else_from_being_merged)
{
    struct fleet *fleet = make_three();
    char *key = only_key(fleet->machines[0], "heads");
    size_t size = 0;
    uint8_t *data = fleet_get(fleet, key, &size);
    uint8_t *bad = mb_alloc_copy(data, size);

    bad[size / 2] ^= 4;
    fleet_put(fleet, key, bad, size);
    check_only_b_arrives(fleet, MB_ERR_CORRUPT);
    check_heals(fleet, key, data, size);
    free(bad);
    free(data);
    free(key);
    fleet_free(fleet);
}

/* Puts a head that is right but for one byte of its first eight, under the key that fits it. */
static void put_head_with(struct fleet *fleet, size_t offset, uint8_t value)
{
    char *key = only_key(fleet->machines[0], "heads");
    size_t size = 0;
    uint8_t *data = fleet_get(fleet, key, &size);
    uint8_t digest[MB_DIGEST_SIZE];
    char hex[MB_DIGEST_HEX_SIZE];
    char *dash = strrchr(key, '-');

    fleet_delete(fleet, key);
    data[offset] = value;
    mb_digest_sha256(data, size, digest);
    mb_digest_hex(digest, MB_DIGEST_SIZE, hex);
    if (CHECK(dash != NULL && strlen(dash + 1) == 32)) {
        memcpy(dash + 1, hex, 32);
    }
    fleet_put(fleet, key, data, size);
    free(data);
    free(key);
}

TEST(an_object_of_a_later_format_is_refused_and_not_guessed_at)
{
    struct fleet *fleet = make_three();

    put_head_with(fleet, 5, 2);
    check_only_b_arrives(fleet, MB_ERR_FORMAT);
    fleet_free(fleet);
}

TEST(an_object_with_an_unknown_flag_is_refused)
{
    struct fleet *fleet = make_three();

    put_head_with(fleet, 6, 3); /* encrypted, some day */
    check_only_b_arrives(fleet, MB_ERR_FORMAT);
    fleet_free(fleet);
}

TEST(foreign_objects_in_the_store_do_no_harm)
{
    struct fleet *fleet = make_three();
    struct fleet_machine *c = fleet->machines[2];
    char *key = only_key(fleet->machines[0], "heads");
    char *at = strstr(key, "/heads/");

    *at = '\0';
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {"heads/README", "heads/0123456789abcdef/note",
                                            "heads/zz/0000000001-aa", "segments/x"};
        char *foreign = mb_alloc_format("%s/%s", key, names[i]);

        fleet_put(fleet, foreign, "hello", 5);
        free(foreign);
    }
    fleet_pull(c, NULL);
    CHECK_INT(fleet_int(c, "SELECT count(*) FROM observations"), 10);
    free(key);
    fleet_free(fleet);
}

/* ---- dry runs ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void digest_folder(const char *path, struct mb_digest *digest)
{
    char **names = NULL;
    size_t count = 0;
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        size_t length = strlen(entry->d_name);

        /* SQLite's shared memory is rebuilt by every reader; it holds nothing. */
        if (entry->d_name[0] != '.' &&
            (length < 4 || strcmp(entry->d_name + length - 4, "-shm") != 0)) {
            names = mb_alloc_resize(names, count + 1, sizeof *names);
            names[count++] = mb_alloc_text(entry->d_name);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    if (count > 0) {
        qsort(names, count, sizeof *names, compare_names);
    }
    for (size_t i = 0; i < count; i++) {
        char *child = mb_file_join(path, names[i]);
        size_t size = 0;
        uint8_t *data = mb_file_is_folder(child) ? NULL : fleet_read_file(child, &size);

        if (data == NULL) {
            digest_folder(child, digest);
        } else if (size > 0) { /* an empty WAL is as good as none */
            mb_digest_update(digest, names[i], strlen(names[i]) + 1);
            mb_digest_update(digest, data, size);
        }
        free(data);
        free(child);
        free(names[i]);
    }
    free(names);
}

static void digest_world(struct fleet_machine *machine, char hex[static MB_DIGEST_HEX_SIZE])
{
    struct mb_digest *digest = mb_digest_new();
    struct fleet_keys keys = fleet_keys(machine->fleet, "");
    uint8_t bytes[MB_DIGEST_SIZE];

    digest_folder(machine->folder, digest);
    for (size_t i = 0; i < keys.count; i++) {
        mb_digest_update(digest, keys.keys[i], strlen(keys.keys[i]) + 1);
    }
    fleet_keys_free(&keys);
    mb_digest_final(digest, bytes);
    mb_digest_free(digest);
    mb_digest_hex(bytes, MB_DIGEST_SIZE, hex);
}

TEST(a_dry_run_tells_what_would_change_and_changes_nothing)
{
    struct fleet *fleet = make_three();
    struct fleet_machine *c = fleet->machines[2];
    struct mb_pull_request dry_pull = {.is_dry_run = true};
    struct mb_push_request dry_push = {.is_dry_run = true};
    char before[MB_DIGEST_HEX_SIZE];
    char after[MB_DIGEST_HEX_SIZE];

    fleet_session(c, "s-c", "m-c", "p");
    fleet_sync(c);
    fleet_observations(c, "m-c", T0 + 500, 3, "c");
    fleet_observation(fleet->machines[0], "m-a", T0 + 600, "a new");
    fleet_push(fleet->machines[0], NULL);
    fleet_sql(c, "PRAGMA wal_checkpoint(TRUNCATE)");
    fleet_close_db(c);
    digest_world(c, before);
    fleet_pull(c, &dry_pull);
    CHECK_INT(c->pulled.rows_inserted, 1);
    CHECK_INT(c->changes.counts[MB_CHANGE_INSERT], 1);
    fleet_push(c, &dry_push);
    CHECK_INT(c->pushed.rows_sent, 3);
    digest_world(c, after);
    CHECK_TEXT(after, before);
    fleet_sync(c);
    CHECK_INT(fleet_int(c, "SELECT count(*) FROM observations"), 14);
    CHECK_INT(c->pushed.rows_sent, 3);
    fleet_free(fleet);
}

TEST(two_machines_that_read_the_same_and_hold_other_rows_are_told)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_engine_config config = fleet_config(b);
    struct mb_engine *engine = NULL;
    struct mb_status_report report;
    struct mb_error err;
    char *path = mb_file_join(b->state_dir, "state.db");
    sqlite3 *db = NULL;

    fleet_session(a, "s", "m", "p");
    fleet_sync(a);
    fleet_sync(b);
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK); /* as a fault of ours might leave it */
    CHECK_INT(sqlite3_exec(db, "UPDATE meta SET value=replace(value,'0','1') WHERE key='digest'",
                           NULL, NULL, NULL),
              SQLITE_OK);
    CHECK_INT(sqlite3_changes(db), 1);
    (void)sqlite3_close(db);
    free(path);
    fleet_pull(b, NULL);
    CHECK_OK(mb_engine_open(&config, &engine, &err), &err);
    CHECK_OK(mb_engine_status(engine, &report, &err), &err);
    CHECK(strstr(report.digest_alarm, "holds other rows") != NULL);
    mb_engine_close(engine);
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(a_damaged_segment_keeps_nothing_else_from_being_merged),
          TEST_ROW(a_torn_segment_is_noticed), TEST_ROW(a_missing_segment_is_noticed),
          TEST_ROW(swapped_segments_are_noticed),
          TEST_ROW(a_damaged_head_keeps_nothing_else_from_being_merged),
          TEST_ROW(an_object_of_a_later_format_is_refused_and_not_guessed_at),
          TEST_ROW(an_object_with_an_unknown_flag_is_refused),
          TEST_ROW(foreign_objects_in_the_store_do_no_harm),
          TEST_ROW(a_dry_run_tells_what_would_change_and_changes_nothing),
          TEST_ROW(two_machines_that_read_the_same_and_hold_other_rows_are_told));
