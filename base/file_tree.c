/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "file.h"
#include "file_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

/* A folder being emptied; the one below it on the stack is its parent. */
struct level {
    DIR *dir;
    char *name;      /* in the parent */
    bool is_changed; /* something was removed since the last rewind */
};

struct removal {
    struct level *levels;
    size_t count;
    size_t capacity;
};

/* Opens a folder, never a link to one. -1 with errno. */
static int push_level(struct removal *removal, int parent_fd, const char *name)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return -1;
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    if (removal->count == removal->capacity) {
        removal->capacity = removal->capacity * 2 + 8;
        removal->levels =
            mb_alloc_resize(removal->levels, removal->capacity, sizeof(removal->levels[0]));
    }
    removal->levels[removal->count] = (struct level){.dir = dir, .name = mb_alloc_text(name)};
    removal->count++;
    return 0;
}

/* Removes the emptied folder on top, by its parent's descriptor. */
static int pop_level(struct removal *removal)
{
    MB_ASSERT(removal->count > 0);
    removal->count--;
    struct level *top = &removal->levels[removal->count];
    int parent_fd = AT_FDCWD;
    (void)closedir(top->dir);
    if (removal->count > 0) {
        struct level *parent = &removal->levels[removal->count - 1];
        parent_fd = dirfd(parent->dir);
        parent->is_changed = true;
    }
    int rc = unlinkat(parent_fd, top->name, AT_REMOVEDIR);
    if (rc != 0 && errno == ENOENT) {
        rc = 0;
    }
    int saved = errno;
    free(top->name);
    errno = saved;
    return rc;
}

/* Removes what the entry names, or goes down into it. */
static int remove_entry(struct removal *removal, const char *name)
{
    struct level *top = &removal->levels[removal->count - 1];
    int fd = dirfd(top->dir);

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return 0;
    }
    if (unlinkat(fd, name, 0) == 0) {
        top->is_changed = true;
        return 0;
    }
    if (errno == ENOENT) {
        return 0;
    }
    int saved = errno; /* EISDIR, or EPERM where POSIX is taken by the word */
    if (saved != EISDIR && saved != EPERM) {
        return -1;
    }
    if (push_level(removal, fd, name) != 0) {
        errno = errno == ENOTDIR || errno == ELOOP ? saved : errno;
        return -1;
    }
    return 0;
}

static int remove_levels(struct removal *removal)
{
    while (removal->count > 0) {
        struct level *top = &removal->levels[removal->count - 1];
        errno = 0;
        struct dirent *entry = readdir(top->dir);
        int rc = 0;
        if (entry != NULL) {
            rc = remove_entry(removal, entry->d_name);
        } else if (errno != 0) {
            rc = -1;
        } else if (top->is_changed) {
            /* Some file systems skip entries when others are removed: read until none is left. */
            top->is_changed = false;
            rewinddir(top->dir);
        } else {
            rc = pop_level(removal);
        }
        if (rc != 0) {
            return -1;
        }
    }
    return 0;
}

int mb_file_remove_tree(const char *path, struct mb_error *err)
{
    struct removal removal = {0};
    int rc = -1;

    if (push_level(&removal, AT_FDCWD, path) != 0) {
        rc = errno == ENOENT ? 0 : mb_file_fail(err, errno, "opening the folder", path);
        goto out;
    }
    if (remove_levels(&removal) != 0) {
        (void)mb_file_fail(err, errno, "removing the folder", path);
        goto out;
    }
    rc = 0;
out:
    for (size_t i = 0; i < removal.count; i++) {
        (void)closedir(removal.levels[i].dir);
        free(removal.levels[i].name);
    }
    free(removal.levels);
    return rc;
}

int mb_file_list(const char *folder, mb_file_name_fn on_name, void *context, struct mb_error *err)
{
    DIR *dir = opendir(folder);
    const struct dirent *item;
    int rc = 0;

    if (dir == NULL) {
        return errno == ENOENT ? 0 : mb_file_fail(err, errno, "opening the folder", folder);
    }
    for (errno = 0; rc == 0 && (item = readdir(dir)) != NULL; errno = 0) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0) {
            rc = on_name(context, item->d_name, err);
        }
    }
    if (rc == 0 && errno != 0) {
        rc = mb_file_fail(err, errno, "reading the folder", folder);
    }
    (void)closedir(dir);
    return rc;
}
