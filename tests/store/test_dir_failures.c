/* SPDX-License-Identifier: MIT */
/* Proves: the folder backend makes things durable in the right order, and says exactly what is
 * known when one of these steps fails. fsync() and renameat() are ours in this program. */
#include "check.h"
#include "file.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include "banned.h"

#ifdef __linux__

/* What happened: 'f' a file synced, 'd' a folder synced, 'r' renamed; and what is to fail. */
static struct {
    char events[64];
    size_t event_count;
    size_t fail_at;    /* the event of this index fails... */
    int errno_value;   /* ...with this; 0: none */
    bool takes_effect; /* although it had its effect: the reply was lost */
} disk;

static void expect_failure(size_t fail_at, int errno_value, bool takes_effect)
{
    memset(&disk, 0, sizeof(disk));
    disk.fail_at = fail_at;
    disk.errno_value = errno_value;
    disk.takes_effect = takes_effect;
}

/* True if the event is to fail, errno set. */
static bool note(char event)
{
    size_t index = disk.event_count;

    if (index + 1 < sizeof(disk.events)) {
        disk.events[index] = event;
        disk.event_count++;
    }
    return disk.errno_value != 0 && index == disk.fail_at;
}

int fsync(int fd)
{
    struct stat status;

    if (fstat(fd, &status) == 0 && note(S_ISDIR(status.st_mode) ? 'd' : 'f')) {
        errno = disk.errno_value;
        return -1;
    }
    return 0;
}

/* The C library names the parameters otherwise. NOLINTNEXTLINE(readability-inconsistent-*) */
int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    bool is_failure = note('r');
    long rc = 0;

    if (!is_failure || disk.takes_effect) {
#ifdef SYS_renameat2
        rc = syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
#else
        rc = syscall(SYS_renameat, from_fd, from, to_fd, to);
#endif
    }
    if (is_failure) {
        errno = disk.errno_value;
        return -1;
    }
    return rc == 0 ? 0 : -1;
}

static struct world world;

static struct mb_store *open_store(const char *folder)
{
    world_init(&world, 3);
    return mb_store_dir_new(folder, &world.env);
}

TEST(a_put_syncs_folders_then_the_file_then_renames_then_syncs_its_folder)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);

    expect_failure(0, 0, false);
    CHECK_INT(put_text(store, "a/b/k", "v"), MB_OK);
    CHECK_TEXT(disk.events, "ddfrd");
    expect_failure(0, 0, false);
    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_TEXT(disk.events, "frd");
    /* Already there, but who put it may have died before it was durable. */
    expect_failure(0, 0, false);
    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_TEXT(disk.events, "fd");
    expect_failure(0, 0, false);
    CHECK_INT(delete_key(store, "k"), MB_OK);
    CHECK_TEXT(disk.events, "d");
    mb_store_free(store);
    remove_folder(folder);
}

/* One step of put("a/k") fails; its events are: sync the store's folder, sync the file, rename,
 * sync a. */
static const struct {
    size_t fail_at;
    int errno_value;
    bool takes_effect;
    enum mb_code code;
    bool is_there; /* afterwards */
} cases[] = {
    {0, EIO,       false, MB_ERR_TEMPORARY,       false},
    {0, ENOSPC,    false, MB_ERR_NO_SPACE,        false},
    {0, EINVAL,    false, MB_OK,                  true }, /* cannot sync folders at all */
    {1, EIO,       false, MB_ERR_TEMPORARY,       false},
    {1, ENOSPC,    false, MB_ERR_NO_SPACE,        false},
    {1, EDQUOT,    false, MB_ERR_NO_SPACE,        false},
    {1, EINVAL,    false, MB_ERR_FAILED,          false}, /* a file that cannot be synced is none */
    {2, EACCES,    false, MB_ERR_DENIED,          false},
    {2, EROFS,     false, MB_ERR_DENIED,          false},
    {2, ENOSPC,    false, MB_ERR_NO_SPACE,        false},
    {2, EIO,       false, MB_ERR_UNKNOWN_OUTCOME, false},
    {2, EIO,       true,  MB_ERR_UNKNOWN_OUTCOME, true },
    {2, ETIMEDOUT, true,  MB_ERR_UNKNOWN_OUTCOME, true },
    {2, ESTALE,    true,  MB_ERR_UNKNOWN_OUTCOME, true },
    {2, ENOENT,    true,  MB_ERR_UNKNOWN_OUTCOME, true }, /* asked twice by NFS */
    {3, EIO,       false, MB_ERR_UNKNOWN_OUTCOME, true },
    {3, ENOSPC,    false, MB_ERR_UNKNOWN_OUTCOME, true },
    {3, EINVAL,    false, MB_OK,                  true },
};

TEST(a_failed_step_of_a_put_says_what_is_known)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *folder = make_folder();
        char *below = mb_file_join(folder, "a");
        struct mb_store *store = open_store(folder);
        struct mb_error err;
        int rc;

        expect_failure(cases[i].fail_at, cases[i].errno_value, cases[i].takes_effect);
        mb_error_init(&err);
        rc = mb_store_put(store, "a/k", "v", 1, &err);
        CHECK_INT(rc == 0 ? MB_OK : err.code, cases[i].code);
        if (rc != 0) {
            CHECK(mb_error_advice(&err)[0] != '\0');
            CHECK(strstr(err.message, "a/k") != NULL);
            CHECK(strstr(err.message, folder) != NULL);
        }
        expect_failure(0, 0, false);
        CHECK_INT(get_text(store, "a/k", "v"), cases[i].is_there ? MB_OK : MB_ERR_NOT_FOUND);
        CHECK_INT(count_files(below, ".membridge-tmp-"), 0);
        CHECK_INT(put_text(store, "a/k", "v"), MB_OK);
        CHECK_INT(get_text(store, "a/k", "v"), MB_OK);
        mb_store_free(store);
        free(below);
        remove_folder(folder);
    }
}

TEST(a_delete_that_is_not_durable_is_unknown)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);

    expect_failure(0, 0, false);
    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    expect_failure(0, EIO, false);
    CHECK_INT(delete_key(store, "k"), MB_ERR_UNKNOWN_OUTCOME);
    expect_failure(0, 0, false);
    CHECK_INT(delete_key(store, "k"), MB_OK);
    CHECK_INT(get_text(store, "k", "v"), MB_ERR_NOT_FOUND);
    mb_store_free(store);
    remove_folder(folder);
}

/* As production stacks it: the retry makes the unknown known. */
TEST(a_lost_reply_to_a_rename_is_repaired_by_a_retry)
{
    static const struct mb_store_retry_config config = {
        .attempt_count_max = 2, .delay_first_ms = 10, .delay_max_ms = 10};
    char *folder = make_folder();
    struct mb_store *store =
        mb_store_verify_new(mb_store_retry_new(open_store(folder), &config, &world.env));

    expect_failure(1, EIO, true);
    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_TEXT(disk.events, "frfd");
    CHECK_INT(world.sleep_count, 1);
    mb_store_free(store);
    remove_folder(folder);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(a_put_syncs_folders_then_the_file_then_renames_then_syncs_its_folder),
    TEST_ROW(a_failed_step_of_a_put_says_what_is_known),
    TEST_ROW(a_delete_that_is_not_durable_is_unknown),
    TEST_ROW(a_lost_reply_to_a_rename_is_repaired_by_a_retry));
/* clang-format on */

#else

TEST(not_for_this_system)
{
    CHECK(true);
}

TEST_LIST(TEST_ROW(not_for_this_system));

#endif
