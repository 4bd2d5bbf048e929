/* SPDX-License-Identifier: MIT */
/* Proves: the folder backend holds when other processes read, write, tidy up and die beside it, and
 * when this one lacks rights or room. */
#include "alloc.h"
#include "assert.h"
#include "check.h"
#include "file.h"
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "banned.h"

static struct mb_env env; /* the real one: two processes must not choose the same temporary names */

static struct mb_store *open_store(const char *folder)
{
    mb_env_init_system(&env);
    return mb_store_dir_new(folder, &env);
}

/* ---- a child process that gives an exit status ---- */

typedef int (*child_fn)(const char *folder);

static int run_child(child_fn child, const char *folder)
{
    int status = 0;
    pid_t pid = fork();

    MB_ASSERT(pid >= 0);
    if (pid == 0) {
        _exit(child(folder));
    }
    MB_ASSERT(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define CHILD_SKIPPED 77

/* ---- whole objects only ---- */

#define LOOP_COUNT 300
#define LOOP_BYTES 200000

/* All bytes of an object are the same; its size follows from them. */
static size_t loop_size(uint8_t byte)
{
    return LOOP_BYTES + (size_t)byte * 100;
}

static int write_in_a_loop(const char *folder)
{
    struct mb_store *store = open_store(folder);
    uint8_t *data = mb_alloc(loop_size(255));
    struct mb_error err;
    int status = 0;

    for (unsigned i = 0; i < LOOP_COUNT && status == 0; i++) {
        uint8_t byte = (uint8_t)(i * 37);

        memset(data, byte, loop_size(byte));
        status = mb_store_put(store, "loop/k", data, loop_size(byte), &err) == 0 ? 0 : 1;
    }
    free(data);
    mb_store_free(store);
    return status;
}

static bool is_whole(const struct mb_buf *buf)
{
    if (buf->size == 0 || buf->size != loop_size(buf->data[0])) {
        return false;
    }
    for (size_t i = 1; i < buf->size; i++) {
        if (buf->data[i] != buf->data[0]) {
            return false;
        }
    }
    return true;
}

TEST(a_reader_sees_whole_objects_while_another_process_writes)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);
    struct mb_error err;
    struct mb_buf buf;
    unsigned torn_count = 0;
    unsigned read_count = 0;
    int status = 0;
    pid_t pid;

    mb_buf_init(&buf, loop_size(255));
    CHECK_INT(put_text(store, "loop/other", "x"), MB_OK);
    pid = fork();
    MB_ASSERT(pid >= 0);
    if (pid == 0) {
        _exit(write_in_a_loop(folder));
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        uint64_t size_bytes = 0;

        if (mb_store_get(store, "loop/k", loop_size(255), &buf, &err) == 0) {
            read_count++;
            torn_count += is_whole(&buf) ? 0 : 1;
        } else {
            CHECK_INT(err.code, MB_ERR_NOT_FOUND);
            CHECK_INT(read_count, 0);
        }
        if (stat_size(store, "loop/k", &size_bytes) == MB_OK) {
            torn_count += (size_bytes - LOOP_BYTES) % 100 == 0 ? 0 : 1;
        }
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_INT(torn_count, 0);
    CHECK(read_count > 0);
    mb_buf_release(&buf);
    mb_store_free(store);
    remove_folder(folder);
}

/* ---- a writer that dies ---- */

static int die_while_reading(void *context, uint64_t offset, uint8_t *data, size_t size,
                             struct mb_error *err)
{
    (void)context;
    (void)err;
    if (offset > 500000) {
        _exit(3);
    }
    memset(data, 'x', size);
    return 0;
}

static int put_and_die(const char *folder)
{
    struct mb_store_source source = {.size_bytes = 1000000, .read = die_while_reading};
    struct mb_store *store = open_store(folder);
    struct mb_error err;

    return mb_store_put_source(store, "k", &source, &err);
}

TEST(a_writer_that_died_leaves_nothing_to_be_seen)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);

    CHECK_INT(put_text(store, "before", "1"), MB_OK);
    CHECK_INT(run_child(put_and_die, folder), 3);
    CHECK_INT(count_files(folder, ".membridge-tmp-"), 1); /* the case has happened */
    CHECK_INT(get_text(store, "k", ""), MB_ERR_NOT_FOUND);
    CHECK(list_is(store, "", "before=1"));
    CHECK_INT(put_text(store, "k", "whole"), MB_OK);
    CHECK(list_is(store, "", "before=1 k=5"));
    mb_store_free(store);
    remove_folder(folder);
}

/* ---- rights: root may do everything, so a child without rights looks ---- */

static int look_without_rights(const char *folder)
{
    struct mb_store *store = open_store(folder);
    int status = 0;

    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        return CHILD_SKIPPED;
    }
    status |= get_text(store, "open/k", "v") == MB_OK ? 0 : 1;
    status |= put_text(store, "open/k2", "v") == MB_ERR_DENIED ? 0 : 2;
    status |= put_text(store, "new/k", "v") == MB_ERR_DENIED ? 0 : 4;
    status |= delete_key(store, "open/k") == MB_ERR_DENIED ? 0 : 8;
    status |= get_text(store, "closed/k", "v") == MB_ERR_DENIED ? 0 : 16;
    /* What may not be seen is not left out in silence. */
    status |= !list_is(store, "", "open/k=1") ? 0 : 32;
    status |= list_is(store, "open/", "open/k=1") ? 0 : 64;
    mb_store_free(store);
    return status;
}

TEST(a_folder_without_rights_is_denied)
{
    char *folder = make_folder();
    char *parent = mb_file_parent(folder);
    char *open_folder = mb_file_join(folder, "open");
    char *closed_folder = mb_file_join(folder, "closed");
    char *file = mb_file_join(open_folder, "k");

    plant_file(folder, "open/k", "v");
    plant_file(folder, "closed/k", "v");
    MB_ASSERT(chmod(file, 0444) == 0);
    MB_ASSERT(chmod(open_folder, 0555) == 0);
    MB_ASSERT(chmod(closed_folder, 0) == 0);
    MB_ASSERT(chmod(folder, 0555) == 0);
    MB_ASSERT(chmod(parent, 0755) == 0);
    CHECK_INT(run_child(look_without_rights, folder), 0);
    MB_ASSERT(chmod(folder, 0700) == 0);
    MB_ASSERT(chmod(open_folder, 0700) == 0);
    MB_ASSERT(chmod(closed_folder, 0700) == 0);
    free(file);
    free(closed_folder);
    free(open_folder);
    free(parent);
    remove_folder(folder);
}

/* ---- no space ---- */

static int put_past_the_file_size_limit(const char *folder)
{
    struct rlimit limit = {.rlim_cur = 100000, .rlim_max = 100000};
    struct mb_store *store = open_store(folder);
    uint8_t *data = mb_alloc_zeroed(1, 1000000);
    struct mb_error err;
    int status = 0;

    if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return CHILD_SKIPPED;
    }
    status |= mb_store_put(store, "a/k", data, 1000000, &err) == -1 ? 0 : 1;
    status |= err.code == MB_ERR_NO_SPACE ? 0 : 2;
    status |= strstr(mb_error_advice(&err), folder) != NULL ? 0 : 4;
    status |= put_text(store, "a/small", "v") == MB_OK ? 0 : 8;
    free(data);
    mb_store_free(store);
    return status;
}

TEST(a_put_that_does_not_fit_leaves_nothing)
{
    char *folder = make_folder();
    char *below = mb_file_join(folder, "a");
    struct mb_store *store = open_store(folder);

    CHECK_INT(run_child(put_past_the_file_size_limit, folder), 0);
    CHECK(list_is(store, "", "a/small=1"));
    CHECK_INT(count_files(below, ".m"), 0);
    mb_store_free(store);
    free(below);
    remove_folder(folder);
}

/* ---- listing while others work ---- */

static int churn(const char *folder)
{
    struct mb_store *store = open_store(folder);
    char path[512];
    char key[64];
    int status = 0;

    for (unsigned i = 0; i < 200 && status == 0; i++) {
        (void)snprintf(key, sizeof(key), "churn/%u/k", i % 10);
        /* Its folder may be removed while it is written. */
        (void)put_text(store, key, "x");
        status |= delete_key(store, key) == MB_OK ? 0 : 2;
        (void)snprintf(path, sizeof(path), "%s/churn/%u", folder, i % 10);
        (void)rmdir(path); /* as a sync program does with folders that became empty */
    }
    mb_store_free(store);
    return status;
}

TEST(folders_that_vanish_during_a_listing_are_no_error)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);
    struct mb_buf buf;
    int status = 0;
    pid_t pid;

    mb_buf_init(&buf, 10000);
    CHECK_INT(put_text(store, "stays/k", "v"), MB_OK);
    pid = fork();
    MB_ASSERT(pid >= 0);
    if (pid == 0) {
        _exit(churn(folder));
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (!CHECK_INT(list_text(store, "", &buf), MB_OK) ||
            !CHECK(strstr(mb_buf_text(&buf), "stays/k=1") != NULL)) {
            MB_ASSERT(waitpid(pid, &status, 0) == pid);
            break;
        }
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    mb_buf_release(&buf);
    mb_store_free(store);
    remove_folder(folder);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(a_reader_sees_whole_objects_while_another_process_writes),
    TEST_ROW(a_writer_that_died_leaves_nothing_to_be_seen),
    TEST_ROW(a_folder_without_rights_is_denied),
    TEST_ROW(a_put_that_does_not_fit_leaves_nothing),
    TEST_ROW(folders_that_vanish_during_a_listing_are_no_error));
/* clang-format on */
