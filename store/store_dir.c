/* SPDX-License-Identifier: MIT */
#include "store_dir.h"

#include "alloc.h"
#include "assert.h"
#include "digest.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "banned.h"

/*
 * Every path below the store's folder is walked one part at a time with openat(O_NOFOLLOW), from a
 * descriptor of the folder: neither a link planted in a shared folder nor a drive that is unmounted
 * between two steps can lead us elsewhere.
 *
 * A put goes through these phases; a death or an error after each leaves:
 *
 *   folders made and synced     empty folders
 *   temporary file written      a name that is no key (it starts with '.'), seen by nobody
 *   temporary file synced       the same
 *   renamed                     the object, which a power cut may still take away: outcome unknown
 *   folder synced               the object
 *
 * A temporary file whose writer died stays. The first put of a later day into that folder
 * removes it.
 */

#define PIECE_BYTES ((size_t)256 * 1024)
#define TEMPORARY_PREFIX ".membridge-tmp-"
#define TEMPORARY_RANDOM_BYTES 8
#define TEMPORARY_NAME_SIZE (sizeof(TEMPORARY_PREFIX) + (size_t)2 * TEMPORARY_RANDOM_BYTES)
/* 64 random bits do not meet by chance: more is a broken random source. */
#define TEMPORARY_TRIES_MAX 4
#define FILE_MODE 0600
/* Nobody writes one object for a day. */
#define TEMPORARY_AGE_S_MAX ((int64_t)24 * 60 * 60)

static const struct mb_store_ops dir_ops;

static struct mb_store_dir *downcast(struct mb_store *store)
{
    MB_ASSERT(store->ops == &dir_ops);
    return (struct mb_store_dir *)store;
}

/* ---- reading ---- */

/* Is this a file that can be an object? -1 and *err otherwise. */
static int check_object(const struct mb_store_dir *dir, const char *key, const char *name,
                        const struct stat *status, struct mb_error *err)
{
    if (S_ISREG(status->st_mode)) {
        return 0;
    }
    if (S_ISDIR(status->st_mode)) {
        return mb_store_dir_fail_not_found(dir, key, err);
    }
    return mb_store_dir_fail_odd(
        dir, key, name, S_ISLNK(status->st_mode) ? "a symbolic link" : "not a regular file", err);
}

static int stat_object(const struct mb_store_dir *dir, int parent_fd, const char *name,
                       const char *key, uint64_t *size_bytes_out, struct mb_error *err)
{
    struct stat status;

    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? mb_store_dir_fail_not_found(dir, key, err)
                               : mb_store_dir_fail(dir, errno, "looking at", key, err);
    }
    if (check_object(dir, key, name, &status, err) != 0) {
        return -1;
    }
    *size_bytes_out = (uint64_t)status.st_size;
    return 0;
}

/* O_NONBLOCK: a pipe put in the object's place must not hang us. */
static int open_file(int parent_fd, const char *name)
{
    return openat(parent_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Up to size bytes; 0 at the end of the file. */
static ssize_t read_some(int fd, uint8_t *data, size_t size)
{
    ssize_t count;

    do {
        count = read(fd, data, size);
    } while (count < 0 && errno == EINTR);
    return count;
}

static int fail_too_large(const char *key, uint64_t size_bytes_max, struct mb_error *err)
{
    return mb_error_set(err, MB_ERR_LIMIT, "the object '%s' is larger than %llu bytes", key,
                        (unsigned long long)size_bytes_max);
}

/* A sync program may be writing into the file: its size is checked again while it is read. */
static int feed(const struct mb_store_dir *dir, int fd, const char *key, uint64_t size_bytes_max,
                mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    uint8_t *piece = mb_alloc(PIECE_BYTES);
    uint64_t fed_bytes = 0;
    int rc = -1;

    for (;;) {
        ssize_t count = read_some(fd, piece, PIECE_BYTES);

        if (count < 0) {
            (void)mb_store_dir_fail(dir, errno, "reading", key, err);
            goto out;
        }
        if (count == 0) {
            break;
        }
        if ((uint64_t)count > size_bytes_max - fed_bytes) {
            (void)fail_too_large(key, size_bytes_max, err);
            goto out;
        }
        if (sink(context, piece, (size_t)count, err) != 0) {
            goto out;
        }
        fed_bytes += (uint64_t)count;
    }
    rc = 0;
out:
    free(piece);
    return rc;
}

static int dir_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                   mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    struct mb_store_dir *dir = downcast(store);
    struct stat status;
    const char *name = NULL;
    uint64_t size_bytes = 0;
    int fd = -1;
    int rc = -1;
    int parent_fd = mb_store_dir_open_parent(dir, key, false, &name, err);

    /* Looked at before it is opened: opening a socket or a link gives errors that mislead. */
    if (parent_fd < 0 || stat_object(dir, parent_fd, name, key, &size_bytes, err) != 0) {
        goto out;
    }
    fd = open_file(parent_fd, name);
    if (fd < 0) {
        (void)mb_store_dir_fail(dir, errno, "opening", key, err);
        goto out;
    }
    if (fstat(fd, &status) != 0) {
        (void)mb_store_dir_fail(dir, errno, "looking at", key, err);
        goto out;
    }
    if (check_object(dir, key, name, &status, err) != 0) {
        goto out;
    }
    if ((uint64_t)status.st_size > size_bytes_max) {
        (void)fail_too_large(key, size_bytes_max, err);
        goto out;
    }
    rc = feed(dir, fd, key, size_bytes_max, sink, context, err);
out:
    mb_store_dir_close(fd);
    mb_store_dir_close(parent_fd);
    return rc;
}

static int dir_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                    struct mb_error *err)
{
    struct mb_store_dir *dir = downcast(store);
    const char *name = NULL;
    int rc = -1;
    int parent_fd = mb_store_dir_open_parent(dir, key, false, &name, err);

    if (parent_fd >= 0) {
        rc = stat_object(dir, parent_fd, name, key, size_bytes_out, err);
    }
    mb_store_dir_close(parent_fd);
    return rc;
}

static int dir_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err)
{
    uint64_t size_bytes = 0;

    if (dir_stat(store, MB_STORE_MARKER_KEY, &size_bytes, err) == 0) {
        *has_marker_out = true;
        return 0;
    }
    if (err->code == MB_ERR_NOT_FOUND) {
        *has_marker_out = false;
        return 0;
    }
    return -1;
}

/* ---- writing ---- */

static int compare(int fd, const struct mb_store_source *source, bool *is_same_out,
                   struct mb_error *err)
{
    uint8_t *pieces = mb_alloc(2 * PIECE_BYTES);
    uint64_t offset = 0;
    bool is_same = true;
    int rc = -1;

    while (is_same && offset < source->size_bytes) {
        ssize_t count = read_some(fd, pieces, PIECE_BYTES);

        if (count <= 0 || (uint64_t)count > source->size_bytes - offset) {
            is_same = false; /* cut short, grown, or unreadable: to be written again */
            break;
        }
        if (source->read(source->context, offset, pieces + PIECE_BYTES, (size_t)count, err) != 0) {
            goto out;
        }
        is_same = memcmp(pieces, pieces + PIECE_BYTES, (size_t)count) == 0;
        offset += (uint64_t)count;
    }
    *is_same_out = is_same;
    rc = 0;
out:
    free(pieces);
    return rc;
}

/* Is the object there with these very bytes, and durable? What cannot be seen counts as no; -1 only
 * if the source fails. */
static int find_same(int parent_fd, const char *name, const struct mb_store_source *source,
                     bool *is_same_out, struct mb_error *err)
{
    struct stat status;
    int rc = 0;
    int fd = open_file(parent_fd, name);

    *is_same_out = false;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (uint64_t)status.st_size == source->size_bytes) {
        rc = compare(fd, source, is_same_out, err);
        if (rc == 0 && *is_same_out && fsync(fd) != 0) {
            *is_same_out = false;
        }
    }
    mb_store_dir_close(fd);
    return rc;
}

static int open_temporary(const struct mb_store_dir *dir, int parent_fd, const char *key,
                          char name[static TEMPORARY_NAME_SIZE], struct mb_error *err)
{
    uint8_t random[TEMPORARY_RANDOM_BYTES];
    int fd = -1;

    for (int i = 0; i < TEMPORARY_TRIES_MAX; i++) {
        dir->env->random(dir->env->context, random, sizeof(random));
        memcpy(name, TEMPORARY_PREFIX, sizeof(TEMPORARY_PREFIX));
        mb_digest_hex(random, sizeof(random), name + sizeof(TEMPORARY_PREFIX) - 1);
        fd = openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    FILE_MODE);
        if (fd >= 0 || errno != EEXIST) {
            break;
        }
    }
    if (fd < 0) {
        (void)mb_store_dir_fail(dir, errno, "writing", key, err);
        if (err->code == MB_ERR_NOT_FOUND) {
            err->code = MB_ERR_TEMPORARY; /* the folder was removed meanwhile */
        }
    }
    return fd;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t count = write(fd, data, size);

        if (count < 0 && errno != EINTR) {
            return -1;
        }
        if (count > 0) {
            data += count;
            size -= (size_t)count;
        }
    }
    return 0;
}

static int write_source(const struct mb_store_dir *dir, int fd, const char *key,
                        const struct mb_store_source *source, struct mb_error *err)
{
    uint8_t *piece = mb_alloc(PIECE_BYTES);
    uint64_t offset = 0;
    int rc = -1;

    while (offset < source->size_bytes) {
        uint64_t rest = source->size_bytes - offset;
        size_t size = rest < PIECE_BYTES ? (size_t)rest : PIECE_BYTES;

        if (source->read(source->context, offset, piece, size, err) != 0) {
            goto out;
        }
        if (write_all(fd, piece, size) != 0) {
            (void)mb_store_dir_fail(dir, errno, "writing", key, err);
            goto out;
        }
        offset += size;
    }
    if (fsync(fd) != 0) {
        (void)mb_store_dir_fail(dir, errno, "syncing", key, err);
        goto out;
    }
    rc = 0;
out:
    free(piece);
    return rc;
}

/* A file server may have renamed although its answer was lost; asked again, it finds the temporary
 * file gone. */
static int rename_temporary(const struct mb_store_dir *dir, int parent_fd, const char *temporary,
                            const char *name, const char *key, struct mb_error *err)
{
    if (renameat(parent_fd, temporary, parent_fd, name) == 0) {
        return 0;
    }
    if (mb_store_dir_is_lost_reply(errno) || errno == ENOENT) {
        return mb_store_dir_fail_unknown(dir, errno, "renaming", key, err);
    }
    if (errno == EISDIR) {
        return mb_store_dir_fail_odd(dir, key, name, "a folder", err);
    }
    return mb_store_dir_fail(dir, errno, "renaming", key, err);
}

/* Removes what killed puts have left in the folder. `fd` is a file there that was written just now:
 * ages are told by the drive's clock, not by ours. What fails here is tried by the next put. */
static void tidy(struct mb_store_dir *dir, int parent_fd, int fd)
{
    struct stat folder;
    struct stat written;
    struct stat status;
    const struct dirent *entry = NULL;
    DIR *stream = NULL;
    int list_fd = -1;

    if (fstat(parent_fd, &folder) != 0 || fstat(fd, &written) != 0 ||
        mb_store_dir_set_has(&dir->tidied, folder.st_ino)) {
        return;
    }
    mb_store_dir_set_add(&dir->tidied, folder.st_ino);
    list_fd = openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    stream = list_fd >= 0 ? fdopendir(list_fd) : NULL;
    if (stream == NULL) {
        mb_store_dir_close(list_fd);
        return;
    }
    while ((entry = readdir(stream)) != NULL) {
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0 &&
            fstatat(parent_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode) &&
            (int64_t)written.st_mtime - (int64_t)status.st_mtime > TEMPORARY_AGE_S_MAX) {
            (void)unlinkat(parent_fd, entry->d_name, 0);
        }
    }
    (void)closedir(stream);
}

static int dir_put(struct mb_store *store, const char *key, const struct mb_store_source *source,
                   struct mb_error *err)
{
    struct mb_store_dir *dir = downcast(store);
    char temporary[TEMPORARY_NAME_SIZE] = "";
    const char *name = NULL;
    bool is_there = false; /* under its name */
    int fd = -1;
    int rc = -1;
    int parent_fd = mb_store_dir_open_parent(dir, key, true, &name, err);

    if (parent_fd < 0 || find_same(parent_fd, name, source, &is_there, err) != 0) {
        goto out;
    }
    if (!is_there) {
        fd = open_temporary(dir, parent_fd, key, temporary, err);
        if (fd < 0 || write_source(dir, fd, key, source, err) != 0 ||
            rename_temporary(dir, parent_fd, temporary, name, key, err) != 0) {
            goto out;
        }
        is_there = true;
    }
    if (mb_store_dir_sync(parent_fd) != 0) {
        (void)mb_store_dir_fail_unknown(dir, errno, "syncing the folder of", key, err);
        goto out;
    }
    if (fd >= 0) {
        tidy(dir, parent_fd, fd);
    }
    rc = 0;
out:
    if (fd >= 0 && !is_there) {
        (void)unlinkat(parent_fd, temporary, 0);
    }
    mb_store_dir_close(fd);
    mb_store_dir_close(parent_fd);
    return rc;
}

/* unlinkat() says EISDIR or EPERM for a folder, which is no object. */
static bool is_folder(int parent_fd, const char *name)
{
    struct stat status;

    return fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

static int dir_delete(struct mb_store *store, const char *key, struct mb_error *err)
{
    struct mb_store_dir *dir = downcast(store);
    const char *name = NULL;
    int rc = -1;
    int parent_fd = mb_store_dir_open_parent(dir, key, false, &name, err);

    if (parent_fd < 0) {
        return err->code == MB_ERR_NOT_FOUND ? 0 : -1;
    }
    if (unlinkat(parent_fd, name, 0) != 0 && errno != ENOENT) {
        int errno_value = errno;

        if (is_folder(parent_fd, name)) {
            rc = 0;
        } else if (mb_store_dir_is_lost_reply(errno_value)) {
            (void)mb_store_dir_fail_unknown(dir, errno_value, "removing", key, err);
        } else {
            (void)mb_store_dir_fail(dir, errno_value, "removing", key, err);
        }
        goto out;
    }
    /* Also when it was gone: who removed it may have died before this. */
    if (mb_store_dir_sync(parent_fd) != 0) {
        (void)mb_store_dir_fail_unknown(dir, errno, "syncing the folder of", key, err);
        goto out;
    }
    rc = 0;
out:
    mb_store_dir_close(parent_fd);
    return rc;
}

static int dir_list(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                    void *context, struct mb_error *err)
{
    return mb_store_dir_list(downcast(store), prefix, on_object, context, err);
}

static void dir_free(struct mb_store *store)
{
    struct mb_store_dir *dir = downcast(store);

    free(dir->folder);
    free(dir);
}

static const struct mb_store_ops dir_ops = {
    .name = "dir",
    .probe = dir_probe,
    .put = dir_put,
    .get = dir_get,
    .stat = dir_stat,
    .list = dir_list,
    .delete_object = dir_delete,
    .free = dir_free,
};

struct mb_store *mb_store_dir_new(const char *folder, const struct mb_env *env)
{
    struct mb_store_dir *dir = mb_alloc_zeroed(1, sizeof(*dir));

    MB_ASSERT(folder != NULL && folder[0] != '\0');
    MB_ASSERT(env != NULL);
    dir->base.ops = &dir_ops;
    dir->env = env;
    dir->folder = mb_alloc_text(folder);
    mb_text_clean(dir->shown, sizeof(dir->shown), folder, strlen(folder));
    return &dir->base;
}
