/* SPDX-License-Identifier: MIT */
/* Proves: whichever system call of mb_file_replace() fails, for whatever reason, the old content is
 * there and no temporary file stays; interrupted and short calls are gone on with. */
#include "check.h"
#include "file.h"
#include "file_test.h"
#include "tmpdir.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct {
    unsigned call_count;
    unsigned fail_at;  /* 1 is the first call; 0: none fails */
    int errno_value;   /* of the failing call */
    bool is_sticky;    /* all calls from fail_at on fail */
    size_t write_max;  /* bytes one write takes; 0: all */
    unsigned eintr_of; /* every call is first interrupted this many times */
    unsigned eintr_count;
} plan;

/* True, with errno, if this call is to fail. */
static bool fails(void)
{
    if (plan.eintr_count < plan.eintr_of) {
        plan.eintr_count++;
        errno = EINTR;
        return true;
    }
    plan.eintr_count = 0;
    plan.call_count++;
    if (plan.fail_at == 0 || plan.call_count < plan.fail_at ||
        (plan.call_count > plan.fail_at && !plan.is_sticky)) {
        return false;
    }
    errno = plan.errno_value;
    return true;
}

static int faulty_open(const char *path, int flags, mode_t mode)
{
    return fails() ? -1 : mb_file_real_calls()->open(path, flags, mode);
}

static ssize_t faulty_write(int fd, const void *data, size_t size)
{
    if (fails()) {
        return -1;
    }
    size_t part = plan.write_max != 0 && plan.write_max < size ? plan.write_max : size;
    return mb_file_real_calls()->write(fd, data, part);
}

static int faulty_fsync(int fd)
{
    return fails() ? -1 : mb_file_real_calls()->fsync(fd);
}

static int faulty_rename(const char *from, const char *to)
{
    plan.eintr_count = plan.eintr_of; /* rename() is never interrupted */
    return fails() ? -1 : mb_file_real_calls()->rename(from, to);
}

static const struct mb_file_calls faulty_calls = {
    .open = faulty_open,
    .write = faulty_write,
    .fsync = faulty_fsync,
    .rename = faulty_rename,
};

static void arm(unsigned fail_at, int errno_value)
{
    memset(&plan, 0, sizeof(plan));
    plan.fail_at = fail_at;
    plan.errno_value = errno_value;
    mb_file_set_calls(&faulty_calls);
}

static void check_content(const char *path, const char *text)
{
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, 1000);
    CHECK_OK(mb_file_read(path, &buf, &err), &err);
    CHECK_TEXT(mb_buf_text(&buf), text);
    mb_buf_release(&buf);
}

static int count_entries(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);

    CHECK(dir != NULL);
    if (dir == NULL) {
        return -1;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 ? 1 : 0;
    }
    (void)closedir(dir);
    return count;
}

/* A folder of its own that holds one file with the content "old"; both given. */
static void make_old(char **folder_out, char **path_out)
{
    struct mb_error err;

    mb_file_set_calls(NULL);
    *folder_out = tmpdir_path("folder");
    *path_out = mb_file_join(*folder_out, "file");
    CHECK_OK(mb_file_make_folder(*folder_out, 0700, &err), &err);
    CHECK_OK(mb_file_replace(*path_out, "old", 3, 0600, &err), &err);
}

/* Lets call N fail for N = 1, 2, ... until none does; gives how many calls there are. */
static unsigned fail_each_call(int errno_value, bool is_sticky, enum mb_code expected)
{
    struct mb_error err;
    unsigned last = 0;

    for (unsigned n = 1; n < 100 && last == 0; n++) {
        char *folder = NULL;
        char *path = NULL;
        make_old(&folder, &path);
        arm(n, errno_value);
        plan.is_sticky = is_sticky;
        int rc = mb_file_replace(path, "new", 3, 0600, &err);
        unsigned call_count = plan.call_count;
        mb_file_set_calls(NULL);
        if (call_count < n) {
            CHECK_OK(rc, &err);
            check_content(path, "new");
            last = n - 1;
        } else if (rc == -1 && err.code == MB_ERR_UNKNOWN_OUTCOME) {
            check_content(path, "new");
        } else {
            CHECK_FAILS(rc, &err, expected);
            check_content(path, "old");
        }
        CHECK_INT(count_entries(folder), 1);
        free(path);
        free(folder);
    }
    return last;
}

TEST(replace_survives_a_full_disk_at_every_call)
{
    /* Folder, temporary file, write, fsync, rename, fsync of the folder. */
    CHECK_INT(fail_each_call(ENOSPC, false, MB_ERR_NO_SPACE), 6);
    CHECK_INT(fail_each_call(ENOSPC, true, MB_ERR_NO_SPACE), 6);
}

TEST(replace_survives_an_io_error_at_every_call)
{
    CHECK_INT(fail_each_call(EIO, false, MB_ERR_FAILED), 6);
    CHECK_INT(fail_each_call(EIO, true, MB_ERR_FAILED), 6);
}

TEST(replace_survives_a_folder_that_became_read_only_at_every_call)
{
    CHECK_INT(fail_each_call(EROFS, true, MB_ERR_DENIED), 6);
}

TEST(replace_says_unknown_outcome_when_only_the_folder_s_fsync_failed)
{
    struct mb_error err;
    char *folder = NULL;
    char *path = NULL;

    make_old(&folder, &path);
    arm(6, EIO);
    CHECK_FAILS(mb_file_replace(path, "new", 3, 0600, &err), &err, MB_ERR_UNKNOWN_OUTCOME);
    mb_file_set_calls(NULL);
    check_content(path, "new");
    free(path);
    free(folder);
}

TEST(replace_accepts_file_systems_that_cannot_sync_a_folder)
{
    struct mb_error err;
    char *folder = NULL;
    char *path = NULL;

    make_old(&folder, &path);
    arm(6, EINVAL);
    CHECK_OK(mb_file_replace(path, "new", 3, 0600, &err), &err);
    mb_file_set_calls(NULL);
    check_content(path, "new");
    free(path);
    free(folder);
}

TEST(replace_goes_on_after_short_and_interrupted_calls)
{
    struct mb_error err;
    char *folder = NULL;
    char *path = NULL;

    make_old(&folder, &path);
    arm(0, 0);
    plan.write_max = 1;
    plan.eintr_of = 3;
    CHECK_OK(mb_file_replace(path, "a longer text", 13, 0600, &err), &err);
    CHECK_INT(plan.call_count, 5 + 13);
    mb_file_set_calls(NULL);
    check_content(path, "a longer text");
    CHECK_INT(count_entries(folder), 1);
    free(path);
    free(folder);
}

TEST(replace_reports_a_disk_that_fills_up_in_the_middle)
{
    struct mb_error err;
    char *folder = NULL;
    char *path = NULL;

    make_old(&folder, &path);
    arm(8, ENOSPC);
    plan.write_max = 1;
    CHECK_FAILS(mb_file_replace(path, "a longer text", 13, 0600, &err), &err, MB_ERR_NO_SPACE);
    CHECK_INT(plan.call_count, 8);
    mb_file_set_calls(NULL);
    check_content(path, "old");
    CHECK_INT(count_entries(folder), 1);
    free(path);
    free(folder);
}

TEST(rename_syncs_the_folder_and_says_when_that_failed)
{
    struct mb_error err;
    char *folder = NULL;
    char *path = NULL;
    char *final = NULL;

    make_old(&folder, &path);
    final = mb_file_join(folder, "final");
    arm(3, EIO); /* rename, folder opened, folder synced */
    CHECK_FAILS(mb_file_rename(path, final, &err), &err, MB_ERR_FAILED);
    CHECK_INT(plan.call_count, 3);
    mb_file_set_calls(NULL);
    check_content(final, "old");
    free(final);
    free(path);
    free(folder);
}

TEST_LIST(TEST_ROW(replace_survives_a_full_disk_at_every_call),
          TEST_ROW(replace_survives_an_io_error_at_every_call),
          TEST_ROW(replace_survives_a_folder_that_became_read_only_at_every_call),
          TEST_ROW(replace_says_unknown_outcome_when_only_the_folder_s_fsync_failed),
          TEST_ROW(replace_accepts_file_systems_that_cannot_sync_a_folder),
          TEST_ROW(replace_goes_on_after_short_and_interrupted_calls),
          TEST_ROW(replace_reports_a_disk_that_fills_up_in_the_middle),
          TEST_ROW(rename_syncs_the_folder_and_says_when_that_failed));
