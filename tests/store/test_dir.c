/* SPDX-License-Identifier: MIT */
/* Proves: the folder backend holds in the places where folders are not like memory: other writers,
 * other people's files, links, missing and full drives, rights. */
#include "alloc.h"
#include "assert.h"
#include "check.h"
#include "file.h"
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

/* Files in the folder itself whose names start with prefix. */
static unsigned count_files(const char *folder, const char *prefix)
{
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    unsigned count = 0;

    MB_ASSERT(stream != NULL);
    while ((entry = readdir(stream)) != NULL) {
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0 ? 1 : 0;
    }
    (void)closedir(stream);
    return count;
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

TEST(a_put_leaves_no_temporary_file)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);

    CHECK_INT(put_text(store, "k", "1"), MB_OK);
    CHECK_INT(put_text(store, "k", "2"), MB_OK);
    CHECK_INT(put_text(store, "k", "2"), MB_OK);
    CHECK_INT(count_files(folder, ".m"), 0);
    mb_store_free(store);
    remove_folder(folder);
}

/* ---- what is not ours ---- */

TEST(foreign_files_are_not_listed)
{
    static const char *const names[] = {".stfolder/marker",
                                        ".stversions/a",
                                        ".DS_Store",
                                        ".membridge-tmp-0123456789abcdef",
                                        "a/.membridge-tmp-0123456789abcdef",
                                        "a/.nfs000000000001",
                                        "a/k.sync-conflict-20261122-101112-ABCDEFG",
                                        "a/k.sync-conflict-20261122-101112-ABCDEFG.zst",
                                        "Thumbs.db",
                                        "a/desktop.ini",
                                        "a/k~",
                                        "a/k.tmp",
                                        "a/~syncthing~k",
                                        "a/k (conflicted copy)",
                                        "lost+found/x",
                                        "a/na\xc3\xafve"};
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        plant_file(folder, names[i], "x");
    }
    CHECK_INT(put_text(store, "a/k", "ours"), MB_OK);
    plant_file(folder, "b/copied-by-a-sync-program", "xyz");
    CHECK(list_is(store, "", "a/k=4 b/copied-by-a-sync-program=3"));
    CHECK(list_is(store, "a/", "a/k=4"));
    mb_store_free(store);
    remove_folder(folder);
}

TEST(folders_deeper_than_any_key_are_not_listed)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);

    plant_file(folder, "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/key", "x");
    plant_file(folder, "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/no-key", "x");
    CHECK(list_is(store, "", "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/key=1"));
    CHECK(list_is(store, "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/",
                  "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/key=1"));
    CHECK(list_is(store, "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/", ""));
    mb_store_free(store);
    remove_folder(folder);
}

TEST(links_inside_the_store_are_refused)
{
    char *folder = make_folder();
    char *outside = make_folder();
    char *link_to_folder = mb_file_join(folder, "linked");
    char *link_to_file = mb_file_join(folder, "k");
    char *target = mb_file_join(outside, "secret");
    struct mb_store *store = open_store(folder);
    uint64_t size_bytes = 0;
    struct mb_buf buf;

    plant_file(outside, "secret", "secret");
    MB_ASSERT(symlink(outside, link_to_folder) == 0);
    MB_ASSERT(symlink(target, link_to_file) == 0);
    mb_buf_init(&buf, 1000);
    CHECK_INT(get_text(store, "k", "secret"), MB_ERR_FAILED);
    CHECK_INT(stat_size(store, "k", &size_bytes), MB_ERR_FAILED);
    CHECK_INT(get_text(store, "linked/secret", "secret"), MB_ERR_FAILED);
    CHECK_INT(put_text(store, "linked/new", "x"), MB_ERR_FAILED);
    CHECK_INT(put_text(store, "linked/new/deeper", "x"), MB_ERR_FAILED);
    CHECK_INT(delete_key(store, "linked/secret"), MB_ERR_FAILED);
    CHECK_INT(list_text(store, "linked/", &buf), MB_ERR_FAILED);
    CHECK(list_is(store, "", ""));
    CHECK_INT(count_files(outside, "new"), 0);
    /* A put replaces the link itself, and a delete removes it: neither follows it. */
    CHECK_INT(put_text(store, "k", "ours"), MB_OK);
    CHECK_INT(get_text(store, "k", "ours"), MB_OK);
    CHECK_INT(delete_key(store, "linked"), MB_OK);
    CHECK_INT(count_files(outside, "secret"), 1);
    mb_buf_release(&buf);
    mb_store_free(store);
    store = open_store(outside);
    CHECK_INT(get_text(store, "secret", "secret"), MB_OK);
    mb_store_free(store);
    free(link_to_folder);
    free(link_to_file);
    free(target);
    remove_folder(outside);
    remove_folder(folder);
}

TEST(the_folder_itself_may_be_reached_by_a_link)
{
    char *folder = make_folder();
    char *base = make_folder();
    char *link_path = mb_file_join(base, "link");
    struct mb_store *store = NULL;

    MB_ASSERT(symlink(folder, link_path) == 0);
    store = open_store(link_path);
    CHECK_INT(put_text(store, "a/k", "v"), MB_OK);
    CHECK_INT(get_text(store, "a/k", "v"), MB_OK);
    CHECK(list_is(store, "", "a/k=1"));
    CHECK_INT(count_files(folder, "a"), 1);
    mb_store_free(store);
    free(link_path);
    remove_folder(base);
    remove_folder(folder);
}

TEST(a_pipe_in_the_place_of_an_object_does_not_hang)
{
    char *folder = make_folder();
    char *path = mb_file_join(folder, "k");
    struct mb_store *store = open_store(folder);

    MB_ASSERT(mkfifo(path, 0600) == 0);
    CHECK_INT(get_text(store, "k", ""), MB_ERR_FAILED);
    CHECK(list_is(store, "", ""));
    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_INT(get_text(store, "k", "v"), MB_OK);
    mb_store_free(store);
    free(path);
    remove_folder(folder);
}

TEST(an_object_and_a_folder_of_one_name_exclude_each_other)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);

    CHECK_INT(put_text(store, "a", "v"), MB_OK);
    CHECK_INT(put_text(store, "a/b", "v"), MB_ERR_FAILED);
    CHECK_INT(put_text(store, "c/d", "v"), MB_OK);
    CHECK_INT(put_text(store, "c", "v"), MB_ERR_FAILED);
    CHECK(list_is(store, "", "a=1 c/d=1"));
    CHECK_INT(count_files(folder, ".m"), 0);
    mb_store_free(store);
    remove_folder(folder);
}

/* ---- the same bytes again ---- */

TEST(the_same_bytes_are_not_written_again)
{
    char *folder = make_folder();
    char *path = mb_file_join(folder, "k");
    struct mb_store *store = open_store(folder);
    struct mb_file_stat first;
    struct mb_file_stat second;
    struct mb_error err;

    CHECK_INT(put_text(store, "k", "same"), MB_OK);
    CHECK_OK(mb_file_stat(path, &first, &err), &err);
    CHECK_INT(first.mode & 0777, 0600);
    CHECK_INT(put_text(store, "k", "same"), MB_OK);
    CHECK_OK(mb_file_stat(path, &second, &err), &err);
    CHECK_INT(first.inode, second.inode);
    mb_store_free(store);
    free(path);
    remove_folder(folder);
}

/* ---- places that are not there ---- */

static void check_missing(const char *folder)
{
    struct mb_store *store = open_store(folder);
    struct mb_error err;
    struct mb_buf buf;
    uint64_t size_bytes = 0;
    bool has_marker = false;

    mb_buf_init(&buf, 1000);
    CHECK_FAILS(mb_store_probe(store, &has_marker, &err), &err, MB_ERR_STORE_MISSING);
    CHECK(strstr(err.message, folder) != NULL);
    CHECK(strstr(mb_error_advice(&err), folder) != NULL);
    CHECK_INT(put_text(store, "a/k", "v"), MB_ERR_STORE_MISSING);
    CHECK_INT(get_text(store, "a/k", "v"), MB_ERR_STORE_MISSING);
    CHECK_INT(stat_size(store, "k", &size_bytes), MB_ERR_STORE_MISSING);
    CHECK_INT(list_text(store, "", &buf), MB_ERR_STORE_MISSING);
    CHECK_INT(list_text(store, "a/", &buf), MB_ERR_STORE_MISSING);
    CHECK_INT(delete_key(store, "k"), MB_ERR_STORE_MISSING);
    CHECK_FAILS(mb_store_mark(store, &err), &err, MB_ERR_STORE_MISSING);
    mb_buf_release(&buf);
    mb_store_free(store);
}

TEST(a_missing_folder_is_said_by_every_slot_and_never_made)
{
    char *base = make_folder();
    char *folder = mb_file_join(base, "not-mounted");

    check_missing(folder);
    CHECK(!mb_file_exists(folder));
    free(folder);
    remove_folder(base);
}

TEST(a_file_in_the_place_of_the_folder_is_a_missing_store)
{
    char *base = make_folder();
    char *folder = mb_file_join(base, "file");

    plant_file(base, "file", "not a folder");
    check_missing(folder);
    free(folder);
    remove_folder(base);
}

TEST(an_empty_mount_point_has_no_marker)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);
    struct mb_error err;
    bool has_marker = true;

    CHECK_OK(mb_store_probe(store, &has_marker, &err), &err);
    CHECK(!has_marker);
    plant_file(folder, MB_STORE_MARKER_KEY "/x", "a folder of that name is no marker");
    CHECK_OK(mb_store_probe(store, &has_marker, &err), &err);
    CHECK(!has_marker);
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
    TEST_ROW(a_put_leaves_no_temporary_file),
    TEST_ROW(foreign_files_are_not_listed),
    TEST_ROW(folders_deeper_than_any_key_are_not_listed),
    TEST_ROW(links_inside_the_store_are_refused),
    TEST_ROW(the_folder_itself_may_be_reached_by_a_link),
    TEST_ROW(a_pipe_in_the_place_of_an_object_does_not_hang),
    TEST_ROW(an_object_and_a_folder_of_one_name_exclude_each_other),
    TEST_ROW(the_same_bytes_are_not_written_again),
    TEST_ROW(a_missing_folder_is_said_by_every_slot_and_never_made),
    TEST_ROW(a_file_in_the_place_of_the_folder_is_a_missing_store),
    TEST_ROW(an_empty_mount_point_has_no_marker),
    TEST_ROW(a_folder_without_rights_is_denied),
    TEST_ROW(a_put_that_does_not_fit_leaves_nothing),
    TEST_ROW(folders_that_vanish_during_a_listing_are_no_error));
/* clang-format on */
