/* SPDX-License-Identifier: MIT */
/* Proves: a full drive is said to be full, keeps what it had, and takes objects again when there is
 * room. The drive is one of 1 MB, mounted by a child in a name space of its own; where that is not
 * allowed the test is reported as not run. */
#include "alloc.h"
#include "check.h"
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/mount.h>
#endif

#define MB_MAY_PRINT
#include "banned.h"

#define CHILD_SKIPPED 77
#define SIZE ((size_t)300000)

#ifdef __linux__
static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0) {
        (void)close(fd);
    }
    return is_done;
}

/* As root of a user name space that holds only us, if we are not root already. */
static bool mount_small_drive(const char *folder)
{
    unsigned user = getuid();
    unsigned group = getgid();
    char line[64];

    if (user == 0) {
        if (unshare(CLONE_NEWNS) != 0) {
            return false;
        }
    } else {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            return false;
        }
        (void)snprintf(line, sizeof(line), "0 %u 1", user);
        if (!write_file("/proc/self/setgroups", "deny") ||
            !write_file("/proc/self/uid_map", line)) {
            return false;
        }
        (void)snprintf(line, sizeof(line), "0 %u 1", group);
        if (!write_file("/proc/self/gid_map", line)) {
            return false;
        }
    }
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", folder, "tmpfs", 0, "size=1m") == 0;
}
#else
static bool mount_small_drive(const char *folder)
{
    (void)folder;
    return false;
}
#endif

/* Runs in the child: gives the number of failed checks. */
static int fill_the_drive(const char *folder)
{
    static struct mb_env env;
    struct mb_store *store = NULL;
    uint8_t *data = mb_alloc_zeroed(1, SIZE);
    struct mb_error err;
    struct mb_buf buf;
    unsigned count = 0;
    int failed_count = 0;
    char key[32];

    if (!mount_small_drive(folder)) {
        free(data);
        return CHILD_SKIPPED;
    }
    mb_env_init_system(&env);
    mb_error_init(&err);
    mb_buf_init(&buf, SIZE);
    store = mb_store_dir_new(folder, &env);
    for (; count < 100; count++) {
        (void)snprintf(key, sizeof(key), "a/k%u", count);
        if (mb_store_put(store, key, data, SIZE, &err) != 0) {
            break;
        }
    }
    failed_count += CHECK_INT(count, 3) ? 0 : 1;
    failed_count += CHECK_INT(err.code, MB_ERR_NO_SPACE) ? 0 : 1;
    failed_count += CHECK(strstr(mb_error_advice(&err), folder) != NULL) ? 0 : 1;
    failed_count += CHECK(list_is(store, "", "a/k0=300000 a/k1=300000 a/k2=300000")) ? 0 : 1;
    failed_count += CHECK_OK(mb_store_get(store, "a/k2", SIZE, &buf, &err), &err) ? 0 : 1;
    failed_count += CHECK_INT(delete_key(store, "a/k0"), MB_OK) ? 0 : 1;
    /* Only if the refused put left nothing behind is there room for this one. */
    failed_count += CHECK_OK(mb_store_put(store, key, data, SIZE, &err), &err) ? 0 : 1;
    mb_buf_release(&buf);
    mb_store_free(store);
    free(data);
    return failed_count;
}

TEST(a_full_drive_says_so_and_keeps_what_it_had)
{
    char *folder = make_folder();
    int status = 0;
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        status = fill_the_drive(folder);
        (void)fflush(stdout);
        _exit(status);
    }
    CHECK(pid > 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPPED) {
        check_not_run("may not mount a drive here");
    } else {
        CHECK_INT(status, 0);
    }
    remove_folder(folder);
}

TEST_LIST(TEST_ROW(a_full_drive_says_so_and_keeps_what_it_had));
