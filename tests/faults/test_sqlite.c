/* SPDX-License-Identifier: MIT */
/* Proves: whichever operation of SQLite on its files fails, with whatever error, during whichever
 * operation of the engine, nothing is lost, done by half, or left behind (world.h says exactly
 * what). The databases are the live one, state.db, backups and the copies of a dry run.
 * (nothing-lost, repeatable) */
#include "check.h"
#include "vfs.h"
#include "world.h"

#include <sqlite3.h>

#include "banned.h"

static void arm(struct world *world, const struct world_fault *fault, uint64_t n)
{
    const struct vfs_plan plan = {
        .ops = fault->ops, .fail_at = n, .is_sticky = fault->is_sticky, .code = fault->code};

    (void)world;
    vfs_arm(&plan);
}

static uint64_t disarm(struct world *world)
{
    (void)world;
    return vfs_disarm();
}

#define CHANGES                                                                                    \
    (VFS_BIT(VFS_WRITE) | VFS_BIT(VFS_SYNC) | VFS_BIT(VFS_TRUNCATE) | VFS_BIT(VFS_DELETE))
#define SPACE (VFS_BIT(VFS_WRITE) | VFS_BIT(VFS_SHM_MAP))
#define LOCKS (VFS_BIT(VFS_LOCK) | VFS_BIT(VFS_SHM_LOCK))
#define LOOKS (VFS_BIT(VFS_READ) | VFS_BIT(VFS_SIZE) | VFS_BIT(VFS_ACCESS) | VFS_BIT(VFS_CONTROL))
#define OPENS (VFS_BIT(VFS_OPEN) | VFS_BIT(VFS_SHM_MAP))

static void loop(const char *name, unsigned ops, bool is_sticky, int code)
{
    const struct world_fault fault = {name,  arm,  disarm, vfs_fired_at, false,
                                      false, code, ops,    is_sticky};

    world_loop(NULL, &fault, 1, FAULTS_SAMPLES);
}

TEST(a_change_of_a_file_that_fails_once_does_no_harm)
{
    loop("an I/O error", CHANGES, false, 0);
}

TEST(a_disk_that_takes_no_more_changes_does_no_harm)
{
    loop("I/O errors", CHANGES, true, 0);
}

TEST(a_full_disk_does_no_harm)
{
    loop("a disk full for a moment", SPACE, false, SQLITE_FULL);
    loop("a full disk", SPACE, true, SQLITE_FULL);
}

TEST(a_look_at_a_file_that_fails_does_no_harm)
{
    loop("an I/O error in reading", LOOKS, false, 0);
}

TEST(a_file_that_cannot_be_opened_does_no_harm)
{
    loop("an open that fails", OPENS, false, SQLITE_CANTOPEN);
    loop("opens that fail", OPENS, true, SQLITE_CANTOPEN);
}

TEST(a_lock_that_is_not_to_be_had_does_no_harm)
{
    loop("a lock that is taken for a moment", LOCKS, false, SQLITE_BUSY);
    loop("a lock that stays taken", LOCKS, true, SQLITE_BUSY);
    loop("an I/O error in locking", LOCKS, false, 0);
}

TEST(a_disk_that_is_gone_does_no_harm)
{
    loop("a disk that is gone", VFS_ALL, true, 0);
}

/* After some errors SQLite rolls back by itself. What the state has in memory (its digest, the open
 * block of the outbox) once stayed, and the next commit wrote it. */
TEST(what_sqlite_rolled_back_by_itself_is_forgotten)
{
    const struct world_fault fault = {
        "each I/O error in reading", arm,  disarm, vfs_fired_at, false, false, 0,
        VFS_BIT(VFS_READ),           false};

    world_loop("push", &fault, 1, 0);
}

TEST_LIST(TEST_ROW(a_change_of_a_file_that_fails_once_does_no_harm),
          TEST_ROW(a_disk_that_takes_no_more_changes_does_no_harm),
          TEST_ROW(a_full_disk_does_no_harm), TEST_ROW(a_look_at_a_file_that_fails_does_no_harm),
          TEST_ROW(a_file_that_cannot_be_opened_does_no_harm),
          TEST_ROW(a_lock_that_is_not_to_be_had_does_no_harm),
          TEST_ROW(a_disk_that_is_gone_does_no_harm),
          TEST_ROW(what_sqlite_rolled_back_by_itself_is_forgotten));
