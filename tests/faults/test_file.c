/* SPDX-License-Identifier: MIT */
/* Proves: whichever system call of base/file.c fails, during whichever operation of the engine,
 * nothing is lost, done by half, or left behind: locks, new states, backups, copies for a dry run.
 * (nothing-lost, repeatable) */
#include "check.h"
#include "file_test.h"
#include "world.h"

#include <errno.h>

#include "banned.h"

static struct {
    uint64_t fail_at;
    bool is_sticky;
    int errno_value;
    uint64_t count;
    const char *where;
} plan;

static bool fails(const char *call)
{
    plan.count++;
    if (plan.fail_at == 0 || plan.count < plan.fail_at ||
        (plan.count > plan.fail_at && !plan.is_sticky)) {
        return false;
    }
    plan.where = plan.count == plan.fail_at ? call : plan.where;
    errno = plan.errno_value;
    return true;
}

static int faulty_open(const char *path, int flags, mode_t mode)
{
    return fails("open") ? -1 : mb_file_real_calls()->open(path, flags, mode);
}

static ssize_t faulty_write(int fd, const void *data, size_t size)
{
    return fails("write") ? -1 : mb_file_real_calls()->write(fd, data, size);
}

static int faulty_fsync(int fd)
{
    (void)fd;
    return fails("fsync") ? -1 : 0;
}

static int faulty_rename(const char *from, const char *to)
{
    return fails("rename") ? -1 : mb_file_real_calls()->rename(from, to);
}

static const struct mb_file_calls faulty_calls = {
    .open = faulty_open,
    .write = faulty_write,
    .fsync = faulty_fsync,
    .rename = faulty_rename,
};

static void arm(struct world *world, const struct world_fault *fault, uint64_t n)
{
    (void)world;
    plan.fail_at = n;
    plan.is_sticky = fault->is_sticky;
    plan.errno_value = fault->code;
    plan.count = 0;
    plan.where = "nothing";
    mb_file_set_calls(&faulty_calls);
}

static uint64_t disarm(struct world *world)
{
    (void)world;
    mb_file_set_calls(NULL);
    return plan.count;
}

static const char *where(void)
{
    return plan.where;
}

static void loop(const char *name, int errno_value)
{
    const struct world_fault faults[] = {
        {name, arm, disarm, where, false, false, errno_value, 0, false},
        {name, arm, disarm, where, false, false, errno_value, 0, true },
    };

    world_loop(NULL, faults, 2, FAULTS_FILE_SAMPLES);
}

TEST(a_system_call_with_an_io_error_does_no_harm)
{
    loop("EIO", EIO);
}

TEST(a_system_call_on_a_full_disk_does_no_harm)
{
    loop("ENOSPC", ENOSPC);
}

TEST(a_system_call_without_permission_does_no_harm)
{
    loop("EACCES", EACCES);
}

TEST_LIST(TEST_ROW(a_system_call_with_an_io_error_does_no_harm),
          TEST_ROW(a_system_call_on_a_full_disk_does_no_harm),
          TEST_ROW(a_system_call_without_permission_does_no_harm));
