/* SPDX-License-Identifier: MIT */
/* Proves: the folder backend holds in the places where folders are not like memory: other people's
 * files, links, names that are taken, files that change under our hands, drives that are gone. */
#include "alloc.h"
#include "assert.h"
#include "check.h"
#include "file.h"
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "banned.h"

static struct mb_env env; /* the real one: two processes must not choose the same temporary names */

static struct mb_store *open_store(const char *folder)
{
    mb_env_init_system(&env);
    return mb_store_dir_new(folder, &env);
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

static void make_temporary(const char *folder, const char *name, int64_t age_s)
{
    char *path = mb_alloc_format("%s/%s", folder, name);
    struct timespec times[2];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_INT(clock_gettime(CLOCK_REALTIME, &times[0]), 0);
    times[0].tv_sec -= (time_t)age_s;
    times[1] = times[0];
    CHECK_INT(futimens(fd, times), 0);
    (void)close(fd);
    free(path);
}

TEST(what_a_killed_put_left_goes_with_a_later_put_when_it_is_a_day_old)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);
    char *below = mb_alloc_format("%s/a", folder);

    CHECK_INT(put_text(store, "a/k", "1"), MB_OK);
    mb_store_free(store);
    store = open_store(folder);
    make_temporary(below, ".membridge-tmp-0123456789abcdef", 60 * 60 * 25);
    make_temporary(below, ".membridge-tmp-1123456789abcdef", 60 * 60 * 23); /* somebody's at work */
    make_temporary(below, ".somebody-else", 60 * 60 * 25);
    make_temporary(folder, ".membridge-tmp-2123456789abcdef", 60 * 60 * 25);
    CHECK_INT(put_text(store, "a/k", "1"), MB_OK); /* it is there: nothing is written */
    CHECK_INT(count_files(below, ".membridge-tmp-"), 2);
    CHECK_INT(put_text(store, "a/k2", "2"), MB_OK);
    CHECK_INT(count_files(below, ".membridge-tmp-"), 1);
    CHECK_INT(count_files(below, ".somebody-else"), 1);
    CHECK_INT(count_files(folder, ".membridge-tmp-2"), 1); /* another folder */
    CHECK_INT(put_text(store, "k", "3"), MB_OK);
    CHECK_INT(count_files(folder, ".membridge-tmp-2"), 0);
    mb_store_free(store);
    free(below);
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
    CHECK_INT(put_text(store, "k", "secret"), MB_OK); /* as the link's target has it */
    CHECK_INT(get_text(store, "k", "secret"), MB_OK);
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

/* ---- other programs at work during a call ---- */

struct meddler {
    const char *folder;
    uint64_t fed_bytes;
    unsigned call_count;
};

static int grow_the_file(void *context, const uint8_t *data, size_t size, struct mb_error *err)
{
    struct meddler *meddler = context;
    char *path = mb_file_join(meddler->folder, "k");
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    (void)data;
    (void)err;
    MB_ASSERT(fd >= 0 && write(fd, "more", 4) == 4);
    (void)close(fd);
    free(path);
    meddler->fed_bytes += size;
    meddler->call_count++;
    return 0;
}

TEST(a_file_that_grows_while_it_is_read_keeps_to_the_limit)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);
    struct meddler meddler = {.folder = folder};
    struct mb_error err;

    CHECK_INT(put_text(store, "k", "12345"), MB_OK);
    CHECK_FAILS(mb_store_get_sink(store, "k", 5, grow_the_file, &meddler, &err), &err,
                MB_ERR_LIMIT);
    CHECK_INT(meddler.fed_bytes, 5);
    CHECK_INT(meddler.call_count, 1);
    mb_store_free(store);
    remove_folder(folder);
}

static int remove_all_else(void *context, const struct mb_store_object *object,
                           struct mb_error *err)
{
    struct meddler *meddler = context;

    meddler->call_count++;
    for (unsigned i = 0; i < 8; i++) {
        char *path = mb_alloc_format("%s/%u", meddler->folder, i);

        if (object->key[0] != (char)('0' + (char)i)) {
            CHECK_OK(mb_file_remove_tree(path, err), err);
        }
        free(path);
    }
    return 0;
}

TEST(a_folder_that_is_removed_while_it_is_listed_is_no_error)
{
    char *folder = make_folder();
    struct mb_store *store = open_store(folder);
    struct meddler meddler = {.folder = folder};
    struct mb_error err;
    char key[16];

    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(key, sizeof(key), "%u/k", i);
        CHECK_INT(put_text(store, key, "v"), MB_OK);
    }
    CHECK_OK(mb_store_list(store, "", remove_all_else, &meddler, &err), &err);
    CHECK_INT(meddler.call_count, 1);
    mb_store_free(store);
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

/* clang-format off */
TEST_LIST(
    TEST_ROW(a_put_leaves_no_temporary_file),
    TEST_ROW(what_a_killed_put_left_goes_with_a_later_put_when_it_is_a_day_old),
    TEST_ROW(foreign_files_are_not_listed),
    TEST_ROW(folders_deeper_than_any_key_are_not_listed),
    TEST_ROW(links_inside_the_store_are_refused),
    TEST_ROW(the_folder_itself_may_be_reached_by_a_link),
    TEST_ROW(a_pipe_in_the_place_of_an_object_does_not_hang),
    TEST_ROW(an_object_and_a_folder_of_one_name_exclude_each_other),
    TEST_ROW(the_same_bytes_are_not_written_again),
    TEST_ROW(a_file_that_grows_while_it_is_read_keeps_to_the_limit),
    TEST_ROW(a_folder_that_is_removed_while_it_is_listed_is_no_error),
    TEST_ROW(a_missing_folder_is_said_by_every_slot_and_never_made),
    TEST_ROW(a_file_in_the_place_of_the_folder_is_a_missing_store),
    TEST_ROW(an_empty_mount_point_has_no_marker));
/* clang-format on */
