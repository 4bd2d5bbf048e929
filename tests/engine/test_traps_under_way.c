/* SPDX-License-Identifier: MIT */
/* Traps of what is under way: the worker writes between capture and merge, a long capture is
 * killed, the disk is full. */
#include "check.h"
#include "fleet.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "banned.h"

#define T0 1770000000000

/* Two machines with one session of `count` observations on both. */
static struct fleet *make_pair(int count)
{
    struct fleet *fleet = fleet_new(2);

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observations(fleet->machines[0], "m", T0, count, "x");
    fleet_settle(fleet, 2);
    return fleet;
}

/* ---- while a merge is under way ---- */

static const char *wanted_step;
static int steps_before;       /* how often it comes before that; then -1 */
static const char *wanted_sql; /* NULL: the machine dies */

static int interrupt(void *context, const char *name, struct mb_error *err)
{
    struct fleet_machine *machine = context;

    if (strcmp(name, wanted_step) != 0 || steps_before < 0 || steps_before-- != 0) {
        return 0;
    }
    if (wanted_sql == NULL) {
        return mb_error_set(err, MB_ERR_INTERRUPTED, "killed by the test");
    }
    fleet_sql(machine, "%s", wanted_sql);
    fleet_close_db(machine);
    return 0;
}

static void interrupt_at(struct fleet_machine *machine, const char *step, int before,
                         const char *sql)
{
    machine->env.step = interrupt;
    wanted_step = step;
    steps_before = before;
    wanted_sql = sql;
}

TEST(a_value_that_the_worker_changes_between_capture_and_merge_is_a_change)
{
    struct fleet *fleet = make_pair(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_sql(b, "UPDATE sdk_sessions SET custom_title='of b'");
    fleet_push(b, NULL);
    a->now_ms = b->now_ms + 1000; /* a's is the later one */
    interrupt_at(a, "captured", 0, "UPDATE sdk_sessions SET custom_title='of a'");
    fleet_pull(a, NULL);
    CHECK_INT(steps_before, -1);
    CHECK_TEXT(fleet_text(a, "SELECT custom_title FROM sdk_sessions"), "of a");
    CHECK_INT(a->pulled.conflicts, 1);
    fleet_settle(fleet, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_TEXT(fleet_text(fleet->machines[i], "SELECT custom_title FROM sdk_sessions"), "of a");
    }
    fleet_free(fleet);
}

TEST(a_session_that_the_worker_makes_again_between_capture_and_merge_is_no_unique_error)
{
    static const char made[] =
        "INSERT INTO sdk_sessions(content_session_id,memory_session_id,project,user_prompt,"
        "started_at,started_at_epoch,status) VALUES('same','m-of-b','p','hello',"
        "'2026-02-02T02:40:00.000Z',1770000000000,'active')";
    struct fleet *fleet = make_pair(1);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "same", "m-of-a", "p");
    fleet_observation(a, "m-of-a", T0 + 9, "y");
    fleet_push(a, NULL);
    interrupt_at(b, "merge-begin", 0, made);
    fleet_pull(b, NULL);
    CHECK_INT(steps_before, -1);
    CHECK_TEXT(fleet_text(b, "SELECT memory_session_id FROM observations WHERE title='y'"),
               "m-of-b");
    fleet_settle(fleet, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(fleet_int(fleet->machines[i], "SELECT count(*) FROM sdk_sessions"), 2);
    }
    fleet_free(fleet);
}

TEST(a_capture_killed_among_thousands_of_rows_begins_again)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];
    struct mb_status_report report;
    struct mb_error err;

    fleet_session(a, "s", "m", "p");
    fleet_sql(a,
              "INSERT INTO observations(memory_session_id,project,type,title,content_hash"
              ",created_at,created_at_epoch) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1"
              " FROM n WHERE i<5000) SELECT 'm','p','change','x '||i,printf('%%016x',i)"
              ",'2026-02-02T02:40:00.000Z',%lld+i FROM n",
              (long long)T0);
    interrupt_at(a, "capture-rows", 0, NULL);
    CHECK_FAILS(fleet_try_push(a, NULL, &err), &err, MB_ERR_INTERRUPTED);
    CHECK_INT(steps_before, -1);
    fleet_status(a, &report);
    CHECK_INT(report.pending_out, 0);
    fleet_push(a, NULL);
    CHECK_INT(a->pushed.rows_sent, 5001);
    fleet_free(fleet);
}

/* ---- a full disk ---- */

/* As if the disk had no room for files of more than so many bytes; 0: any. */
static void limit_files(int64_t size_bytes)
{
    struct rlimit limit;

    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size_bytes == 0 ? limit.rlim_max : (rlim_t)size_bytes;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(a_full_disk_is_said_wherever_it_stops_a_pull_and_costs_no_row)
{
    struct fleet *fleet = make_pair(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    int failed = 0;
    int rc = -1;

    fleet_observations(a, "m", T0 + 100, 60, "y");
    fleet_push(a, NULL);
    for (int64_t size_bytes = 36000; rc != 0 && size_bytes < 2000000; size_bytes += 9000) {
        struct mb_error err;

        limit_files(size_bytes);
        rc = fleet_try_pull(b, NULL, &err);
        limit_files(0);
        if (rc != 0) {
            CHECK_INT(err.code, MB_ERR_NO_SPACE);
            failed++;
        }
        fleet_check_db(b);
    }
    CHECK_INT(rc, 0);
    CHECK(failed >= 3);
    CHECK_INT(fleet_int(b, "SELECT count(*) FROM observations"), 62);
    fleet_push(b, NULL);
    CHECK_INT(b->pushed.rows_sent, 0); /* nothing of it is taken for a change of ours */
    fleet_settle(fleet, 2);
    fleet_free(fleet);
}

/* ---- while a push is under way ---- */

static bool was_segment_put;

static int look_for_heads(void *context, const char *name, struct mb_error *err)
{
    struct fleet_machine *machine = context;
    struct fleet_keys heads = fleet_keys(machine->fleet, "/heads/");
    struct fleet_keys segments = fleet_keys(machine->fleet, "/segments/");

    (void)err;
    if (strcmp(name, "segment-put") == 0) {
        CHECK_INT(segments.count, 1);
        CHECK_INT(heads.count, 0);
        was_segment_put = true;
    }
    fleet_keys_free(&heads);
    fleet_keys_free(&segments);
    return 0;
}

TEST(a_head_lists_only_what_the_store_has)
{
    struct fleet *fleet = fleet_new(1);
    struct fleet_machine *a = fleet->machines[0];

    fleet_session(a, "s", "m", "p");
    a->env.step = look_for_heads;
    was_segment_put = false;
    fleet_push(a, NULL);
    CHECK(was_segment_put);
    fleet_free(fleet);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(a_value_that_the_worker_changes_between_capture_and_merge_is_a_change),
    TEST_ROW(a_session_that_the_worker_makes_again_between_capture_and_merge_is_no_unique_error),
    TEST_ROW(a_capture_killed_among_thousands_of_rows_begins_again),
    TEST_ROW(a_full_disk_is_said_wherever_it_stops_a_pull_and_costs_no_row),
          TEST_ROW(a_head_lists_only_what_the_store_has));
/* clang-format on */
