/* SPDX-License-Identifier: MIT */
/* Proves: the power may go at whichever operation of SQLite on its files, and what was not synced
 * be lost, all of it or some sectors: nothing is lost that was captured, nothing is done by half,
 * and nothing comes up that nobody did. (nothing-lost, outbox-first, repeatable)
 *
 * The live database is claude-mem's, and its worker syncs nothing at a commit (WAL, synchronous
 * NORMAL): its last transactions may be gone too, those that we have published among them. */
#include "alloc.h"
#include "check.h"
#include "file_test.h"
#include "vfs.h"
#include "world.h"

#include <sqlite3.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

static struct {
    struct mb_store *plain; /* a's own */
    bool is_some;           /* some of what was not synced is there */
    uint64_t n;
} cut;

/* ---- a machine without power ---- */

static bool is_off(void)
{
    errno = EIO;
    return vfs_power_is_off();
}

static int dead_open(const char *path, int flags, mode_t mode)
{
    return is_off() ? -1 : mb_file_real_calls()->open(path, flags, mode);
}

static ssize_t dead_write(int fd, const void *data, size_t size)
{
    return is_off() ? -1 : mb_file_real_calls()->write(fd, data, size);
}

static int dead_fsync(int fd)
{
    (void)fd;
    return is_off() ? -1 : 0;
}

static int dead_rename(const char *from, const char *to)
{
    if (is_off()) {
        return -1;
    }
    vfs_note_rename(from, to);
    return mb_file_real_calls()->rename(from, to);
}

static const struct mb_file_calls dead_calls = {
    .open = dead_open,
    .write = dead_write,
    .fsync = dead_fsync,
    .rename = dead_rename,
};

static enum mb_store_fault_kind choose(void *context, uint64_t index, const char *slot,
                                       const char *key)
{
    (void)context;
    (void)index;
    (void)slot;
    (void)key;
    return vfs_power_is_off() ? MB_STORE_FAULT_BEFORE : MB_STORE_FAULT_NONE;
}

#define CHANGES                                                                                    \
    (VFS_BIT(VFS_WRITE) | VFS_BIT(VFS_SYNC) | VFS_BIT(VFS_TRUNCATE) | VFS_BIT(VFS_DELETE))

static void arm(struct world *world, const struct world_fault *fault, uint64_t n)
{
    const struct mb_store_fault_config config = {.choose = choose};
    const struct vfs_plan plan = {.ops = CHANGES, .fail_at = n, .is_power_cut = true};

    cut.n = n;
    cut.is_some = fault->code != 0;
    cut.plain = world->a->store;
    world->a->store =
        mb_store_verify_new(mb_store_fault_new(mb_store_share_new(world->fleet->store), &config));
    mb_file_set_calls(&dead_calls);
    vfs_arm(&plan);
}

static uint64_t disarm(struct world *world)
{
    uint64_t total = vfs_disarm();

    mb_file_set_calls(NULL);
    mb_store_free(world->a->store);
    world->a->store = cut.plain;
    if (vfs_has_fired()) {
        vfs_lose_unsynced(cut.is_some ? cut.n : 0);
    }
    return total;
}

static const struct world_fault all_is_lost = {"a power cut", arm, disarm, vfs_fired_at, false,
                                               true,          0,   0,      false};
static const struct world_fault some_is_lost = {
    "a power cut that leaves some sectors", arm, disarm, vfs_fired_at, false, true, 1, 0, false};

TEST(a_power_cut_does_no_harm)
{
    world_loop(NULL, &all_is_lost, 1, FAULTS_SAMPLES);
}

TEST(a_power_cut_that_leaves_some_sectors_does_no_harm)
{
    world_loop(NULL, &some_is_lost, 1, FAULTS_SAMPLES);
}

/* Where SQLite was built so (macOS does), a commit in WAL mode is not synced unless one asks. */
static int relax(sqlite3 *db, const char **message_out, const void *thunk)
{
    (void)message_out;
    (void)thunk;
    return sqlite3_exec(db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
}

TEST(a_power_cut_does_no_harm_where_sqlite_does_not_sync_by_itself)
{
    CHECK_INT(sqlite3_auto_extension((void (*)(void))relax), SQLITE_OK);
    world_loop(NULL, &all_is_lost, 1, FAULTS_SAMPLES);
    (void)sqlite3_cancel_auto_extension((void (*)(void))relax);
}

/* ---- beside the worker ---- */

static sqlite3 *worker_open(struct world *world)
{
    sqlite3 *db = NULL;

    CHECK_INT(sqlite3_open_v2(world->a->db_path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    CHECK_INT(
        sqlite3_exec(db, "PRAGMA foreign_keys=ON; PRAGMA synchronous=NORMAL", NULL, NULL, NULL),
        SQLITE_OK);
    return db;
}

#define EDIT_COUNT 3
static unsigned chosen_edits; /* bits */

/* A new row, a changed value and a deleted row, each in its own transaction. They fail when the
 * power is off. */
static void worker_edit(sqlite3 *db)
{
    static const char *const edits[EDIT_COUNT] = {
        ("INSERT INTO observations(memory_session_id,project,type,title,created_at,"
         "created_at_epoch) VALUES('m-sa','p','change','sekret inserted','x',1770000000900)"),
        "UPDATE sdk_sessions SET custom_title='sekret updated' WHERE content_session_id='sb'",
        "DELETE FROM observations WHERE title='sekret row 3 of sb'",
    };

    for (size_t i = 0; i < EDIT_COUNT; i++) {
        if ((chosen_edits >> i & 1) != 0) {
            (void)sqlite3_exec(db, edits[i], NULL, NULL, NULL);
        }
    }
}

/* Its connection stays open to the end: no checkpoint syncs anything. Nor does a push, which only
 * reads; all that is durable of the edits is what capture saw to. */
static int run_beside_worker(struct world *world, struct mb_error *err)
{
    struct mb_engine_config config = world_config(world);
    const struct mb_push_request push = {0};
    struct mb_engine *engine = NULL;
    sqlite3 *worker = worker_open(world);
    int rc;

    worker_edit(worker);
    rc = mb_engine_open(&config, &engine, err);
    if (rc == 0) {
        rc = mb_engine_push(engine, &push, &world->a->pushed, err);
    }
    mb_engine_close(engine);
    CHECK_INT(sqlite3_close(worker), SQLITE_OK);
    return rc;
}

/* The value that the worker changes is not NULL before: back to NULL would not count. */
static void prepare_worker(struct world *world)
{
    world_prepare_shared(world);
    fleet_sql(world->b, "UPDATE sdk_sessions SET custom_title='sekret first'");
    fleet_sync(world->b);
    fleet_sync(world->a);
}

static void check_worker(struct world *world)
{
    CHECK(world->a->pushed.rows_sent > 0);
}

/* Which of the worker's edits a database has. */
struct edits {
    bool is_inserted;
    bool is_updated;
    bool is_deleted;
};

static struct edits look(struct fleet_machine *machine)
{
    struct edits edits = {
        fleet_int(machine, "SELECT count(*) FROM observations WHERE title='sekret inserted'") == 1,
        fleet_int(machine, "SELECT count(*) FROM sdk_sessions WHERE custom_title='sekret updated'"
                           " AND content_session_id='sb'") == 1,
        fleet_int(machine, "SELECT count(*) FROM observations WHERE title='sekret row 3 of sb'") ==
            0,
    };

    fleet_close_db(machine);
    return edits;
}

/* What b could read in the store stays; what a's database still has, too; no other row is touched.
 * Nothing but the three edits can be missing: the rest is counted. */
static void check_after_cut(struct world *world)
{
    struct edits local = look(world->a);
    struct edits published, last;

    fleet_check_db(world->a);
    fleet_close_db(world->a);
    fleet_pull(world->b, NULL);
    published = look(world->b);
    for (int i = 0; i < 2; i++) {
        fleet_sync(world->a);
        fleet_sync(world->b);
    }
    fleet_pull(world->a, NULL);
    fleet_pull(world->c, NULL);
    last = look(world->a);
    CHECK(last.is_inserted || !(published.is_inserted || local.is_inserted));
    CHECK(last.is_updated || !(published.is_updated || local.is_updated));
    CHECK(last.is_deleted || !(published.is_deleted || local.is_deleted));
    CHECK_INT(fleet_int(world->a, "SELECT count(*) FROM observations WHERE title NOT IN"
                                  " ('sekret inserted', 'sekret row 3 of sb')"),
              11);
    CHECK_INT(fleet_int(world->a, "SELECT count(*) FROM sdk_sessions"), 2);
    fleet_check_db(world->a);
    world_check_agreement(world);
}

/* Every p-th call, until a run passes. */
static void cut_beside_worker(unsigned edits)
{
    static const struct world_op op = {"push beside the worker", "13.25.3", prepare_worker,
                                       run_beside_worker, check_worker};
    struct world *world;
    struct mb_error err;
    bool has_fired = true;

    chosen_edits = edits;
    world = world_new(&op);
    for (uint64_t n = 1 + edits % FAULTS_WORKER_STRIDE; has_fired && !check_has_failed();
         n += FAULTS_WORKER_STRIDE) {
        world_restore(world);
        arm(world, n % 2 == 0 ? &all_is_lost : &some_is_lost, n);
        MB_IGNORE(world_run(world, &err));
        (void)disarm(world);
        has_fired = vfs_has_fired();
        world_note("beside the worker, edits %u, a power cut at call %d (%s)", edits, (int)n,
                   vfs_fired_at());
        check_after_cut(world);
    }
    (void)world_has_failed();
    world_free(world);
}

TEST(what_the_worker_did_and_the_power_took_is_not_taken_back_elsewhere)
{
    for (unsigned i = 0; i < EDIT_COUNT; i++) {
        cut_beside_worker(1U << i);
    }
    cut_beside_worker((1U << EDIT_COUNT) - 1);
}

TEST_LIST(TEST_ROW(a_power_cut_does_no_harm),
          TEST_ROW(a_power_cut_that_leaves_some_sectors_does_no_harm),
          TEST_ROW(a_power_cut_does_no_harm_where_sqlite_does_not_sync_by_itself),
          TEST_ROW(what_the_worker_did_and_the_power_took_is_not_taken_back_elsewhere));
