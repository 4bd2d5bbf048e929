/* SPDX-License-Identifier: MIT */
/* Proves: files are replaced whole with the mode asked for, trees are removed without following
 * links, a lock keeps the second one out and dies with its process, and paths are put together
 * right. */
#include "check.h"
#include "file.h"
#include "tmpdir.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
    struct mb_error err;

    CHECK_OK(mb_file_replace(path, text, strlen(text), 0600, &err), &err);
}

static void check_content(const char *path, const char *text)
{
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, 100000);
    CHECK_OK(mb_file_read(path, &buf, &err), &err);
    CHECK_TEXT(mb_buf_text(&buf), text);
    mb_buf_release(&buf);
}

TEST(file_replace_writes_whole_content_with_the_mode_asked_for)
{
    struct mb_error err;
    struct mb_file_stat info;
    char *path = tmpdir_path("config");
    mode_t old = umask(077);

    write_file(path, "one");
    check_content(path, "one");
    CHECK_OK(mb_file_stat(path, &info, &err), &err);
    CHECK_INT(info.mode, 0600);
    CHECK_OK(mb_file_replace(path, "", 0, 0644, &err), &err);
    CHECK_OK(mb_file_stat(path, &info, &err), &err);
    CHECK_INT(info.mode, 0644);
    CHECK_INT(info.size, 0);
    CHECK(info.is_regular && !info.is_folder);
    CHECK_INT(info.owner, getuid());
    check_content(path, "");
    (void)umask(old);
    free(path);
}

TEST(file_replace_replaces_a_link_and_not_what_it_names)
{
    struct mb_error err;
    struct mb_file_stat info;
    char *target = tmpdir_path("target");
    char *link = tmpdir_path("link");

    write_file(target, "old");
    CHECK_INT(symlink(target, link), 0);
    write_file(link, "new");
    check_content(target, "old");
    check_content(link, "new");
    CHECK_OK(mb_file_stat(link, &info, &err), &err);
    free(target);
    free(link);
}

TEST(file_replace_says_what_is_missing)
{
    struct mb_error err;
    char *folder = tmpdir_path("none");
    char *path = mb_file_join(folder, "file");

    CHECK_FAILS(mb_file_replace(path, "x", 1, 0600, &err), &err, MB_ERR_NOT_FOUND);
    CHECK(strstr(err.message, folder) != NULL);
    CHECK(!mb_file_exists(folder));
    free(path);
    free(folder);
}

TEST(file_read_appends_and_stops_at_the_maximum)
{
    struct mb_buf buf;
    struct mb_error err;
    char *path = tmpdir_path("ten");

    write_file(path, "0123456789");
    mb_buf_init(&buf, 12);
    CHECK_OK(mb_buf_append_text(&buf, "ab", &err), &err);
    CHECK_OK(mb_file_read(path, &buf, &err), &err);
    CHECK_TEXT(mb_buf_text(&buf), "ab0123456789");
    mb_buf_release(&buf);
    mb_buf_init(&buf, 11);
    CHECK_OK(mb_buf_append_text(&buf, "ab", &err), &err);
    CHECK_FAILS(mb_file_read(path, &buf, &err), &err, MB_ERR_LIMIT);
    CHECK_TEXT(mb_buf_text(&buf), "ab");
    CHECK_FAILS(mb_file_read(tmpdir(), &buf, &err), &err, MB_ERR_FAILED);
    CHECK_TEXT(mb_buf_text(&buf), "ab");
    mb_buf_release(&buf);
    free(path);
}

TEST(file_read_of_a_missing_file_is_not_found)
{
    struct mb_buf buf;
    struct mb_error err;
    struct mb_file_stat info;
    char *path = tmpdir_path("none");

    mb_buf_init(&buf, 10);
    CHECK_FAILS(mb_file_read(path, &buf, &err), &err, MB_ERR_NOT_FOUND);
    CHECK_FAILS(mb_file_stat(path, &info, &err), &err, MB_ERR_NOT_FOUND);
    CHECK_OK(mb_file_remove(path, &err), &err);
    CHECK_OK(mb_file_remove_tree(path, &err), &err);
    CHECK(!mb_file_exists(path));
    free(path);
}

TEST(file_read_takes_a_large_file_whole)
{
    struct mb_buf buf;
    struct mb_error err;
    char *path = tmpdir_path("large");
    size_t size = 3 * 1024 * 1024 + 17;
    uint8_t *data = malloc(size);

    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 31 >> 3);
    }
    CHECK_OK(mb_file_replace(path, data, size, 0600, &err), &err);
    mb_buf_init(&buf, size);
    CHECK_OK(mb_file_read(path, &buf, &err), &err);
    CHECK_INT(buf.size, size);
    CHECK_BYTES(buf.data, data, size);
    mb_buf_release(&buf);
    free(data);
    free(path);
}

TEST(file_make_folder_makes_parents_and_accepts_what_is_there)
{
    struct mb_error err;
    struct mb_file_stat info;
    char *top = tmpdir_path("a");
    char *deep = mb_file_join(top, "b//c/");

    CHECK_OK(mb_file_make_folder(deep, 0700, &err), &err);
    CHECK_OK(mb_file_make_folder(deep, 0700, &err), &err);
    CHECK(mb_file_is_folder(deep));
    CHECK_OK(mb_file_stat(top, &info, &err), &err);
    CHECK_INT(info.mode, 0700);
    CHECK(info.is_folder);
    CHECK_OK(mb_file_sync_folder(deep, &err), &err);
    char *file = mb_file_join(top, "file");
    char *below = mb_file_join(file, "x");
    write_file(file, "x");
    CHECK_FAILS(mb_file_make_folder(file, 0700, &err), &err, MB_ERR_FAILED);
    CHECK(mb_file_make_folder(below, 0700, &err) == -1);
    free(below);
    free(file);
    free(deep);
    free(top);
}

TEST(file_remove_tree_does_not_follow_links)
{
    struct mb_error err;
    char *outside = tmpdir_path("outside");
    char *tree = tmpdir_path("tree");
    char *kept = mb_file_join(outside, "kept");
    char *link = mb_file_join(tree, "link");
    char *alias = tmpdir_path("alias");

    CHECK_OK(mb_file_make_folder(outside, 0700, &err), &err);
    CHECK_OK(mb_file_make_folder(tree, 0700, &err), &err);
    write_file(kept, "kept");
    CHECK_INT(symlink(outside, link), 0);
    CHECK_INT(symlink(outside, alias), 0);
    CHECK(mb_file_remove_tree(alias, &err) == -1);
    CHECK_OK(mb_file_remove_tree(tree, &err), &err);
    CHECK(!mb_file_exists(tree));
    check_content(kept, "kept");
    free(outside);
    free(tree);
    free(kept);
    free(link);
    free(alias);
}

TEST(file_remove_tree_empties_wide_and_deep_folders)
{
    struct mb_error err;
    char *tree = tmpdir_path("tree");
    char *deep = mb_file_join(tree, "1");

    for (int i = 0; i < 60; i++) {
        char *next = mb_file_join(deep, "d");
        free(deep);
        deep = next;
    }
    CHECK_OK(mb_file_make_folder(deep, 0700, &err), &err);
    for (int i = 0; i < 500; i++) {
        char name[] = {(char)('a' + i % 26), (char)('a' + i / 26), '\0'};
        char *path = mb_file_join(i % 2 == 0 ? deep : tree, name);
        write_file(path, name);
        free(path);
    }
    CHECK_OK(mb_file_remove_tree(tree, &err), &err);
    CHECK(!mb_file_exists(tree));
    free(deep);
    free(tree);
}

TEST(file_exists_sees_a_link_that_leads_nowhere)
{
    char *link = tmpdir_path("dangling");

    CHECK_INT(symlink("/nonexistent/membridge", link), 0);
    CHECK(mb_file_exists(link));
    CHECK(!mb_file_is_folder(link));
    free(link);
}

TEST(file_lock_keeps_a_second_holder_out_and_names_the_first)
{
    struct mb_error err;
    struct mb_file_lock *first = NULL;
    struct mb_file_lock *second = NULL;
    char *path = tmpdir_path("lock");

    CHECK_OK(mb_file_lock(path, "sync", &first, &err), &err);
    CHECK_FAILS(mb_file_lock(path, "gc", &second, &err), &err, MB_ERR_LOCKED);
    CHECK(strstr(err.message, "sync") != NULL);
    CHECK(strstr(err.message, "process ") != NULL);
    CHECK(second == NULL);
    mb_file_unlock(first);
    CHECK_OK(mb_file_lock(path, "gc", &second, &err), &err);
    mb_file_unlock(second);
    mb_file_unlock(NULL);
    free(path);
}

TEST(file_lock_is_freed_when_its_process_dies)
{
    struct mb_error err;
    struct mb_file_lock *lock = NULL;
    char *path = tmpdir_path("lock");
    int ready[2];
    char byte = 0;

    CHECK_INT(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        bool held = mb_file_lock(path, "child", &lock, &err) == 0;
        _exit(held && write(ready[1], "x", 1) == 1 && pause() == -1 ? 0 : 1);
    }
    CHECK_INT(read(ready[0], &byte, 1), 1);
    CHECK_FAILS(mb_file_lock(path, "parent", &lock, &err), &err, MB_ERR_LOCKED);
    CHECK_INT(kill(child, SIGKILL), 0);
    CHECK_INT(waitpid(child, NULL, 0), child);
    CHECK_OK(mb_file_lock(path, "parent", &lock, &err), &err);
    mb_file_unlock(lock);
    (void)close(ready[0]);
    (void)close(ready[1]);
    free(path);
}

TEST(file_make_temporary_is_private_and_new_each_time)
{
    struct mb_error err;
    struct mb_file_stat info;
    char *first = NULL;
    char *second = NULL;

    CHECK_OK(mb_file_make_temporary("membridge-test-", &first, &err), &err);
    CHECK_OK(mb_file_make_temporary("membridge-test-", &second, &err), &err);
    CHECK(strcmp(first, second) != 0);
    CHECK_OK(mb_file_stat(first, &info, &err), &err);
    CHECK_INT(info.mode, 0700);
    CHECK_OK(mb_file_remove_tree(first, &err), &err);
    CHECK_OK(mb_file_remove_tree(second, &err), &err);
    free(first);
    free(second);
}

static void check_given(char *actual, const char *expected)
{
    CHECK_TEXT(actual, expected);
    free(actual);
}

TEST(file_paths_are_joined_and_cut)
{
    check_given(mb_file_join("a", "b"), "a/b");
    check_given(mb_file_join("/", "b"), "/b");
    check_given(mb_file_join("a/", "b"), "a/b");
    check_given(mb_file_parent("/a/b"), "/a");
    check_given(mb_file_parent("/a//b"), "/a");
    check_given(mb_file_parent("/a"), "/");
    check_given(mb_file_parent("a"), ".");
    check_given(mb_file_parent("a/b"), "a");
    check_given(mb_file_expand_home("~/x", "/home/u"), "/home/u/x");
    check_given(mb_file_expand_home("~", "/home/u"), "/home/u");
    check_given(mb_file_expand_home("~other/x", "/home/u"), "~other/x");
    check_given(mb_file_expand_home("x/~", "/home/u"), "x/~");
    check_given(mb_file_expand_home("~/x", NULL), "~/x");
}

TEST(file_absolute_has_no_dots_and_no_double_slashes)
{
    check_given(mb_file_absolute("/a/./b//c/"), "/a/b/c");
    check_given(mb_file_absolute("/a/b/../c"), "/a/c");
    check_given(mb_file_absolute("/../.."), "/");
    check_given(mb_file_absolute("/"), "/");
    check_given(mb_file_absolute("/...a/..b"), "/...a/..b");
    char *here = mb_file_absolute(".");
    char *below = mb_file_join(here, "x");
    check_given(mb_file_absolute("x"), below);
    check_given(mb_file_absolute("y/../x"), below);
    CHECK_INT(here[0], '/');
    free(below);
    free(here);
}

TEST_LIST(TEST_ROW(file_replace_writes_whole_content_with_the_mode_asked_for),
          TEST_ROW(file_replace_replaces_a_link_and_not_what_it_names),
          TEST_ROW(file_replace_says_what_is_missing),
          TEST_ROW(file_read_appends_and_stops_at_the_maximum),
          TEST_ROW(file_read_of_a_missing_file_is_not_found),
          TEST_ROW(file_read_takes_a_large_file_whole),
          TEST_ROW(file_make_folder_makes_parents_and_accepts_what_is_there),
          TEST_ROW(file_remove_tree_does_not_follow_links),
          TEST_ROW(file_remove_tree_empties_wide_and_deep_folders),
          TEST_ROW(file_exists_sees_a_link_that_leads_nowhere),
          TEST_ROW(file_lock_keeps_a_second_holder_out_and_names_the_first),
          TEST_ROW(file_lock_is_freed_when_its_process_dies),
          TEST_ROW(file_make_temporary_is_private_and_new_each_time),
          TEST_ROW(file_paths_are_joined_and_cut),
          TEST_ROW(file_absolute_has_no_dots_and_no_double_slashes));
