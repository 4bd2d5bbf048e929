/* SPDX-License-Identifier: MIT */
#include "file.h"

#include "alloc.h"
#include "file_internal.h"
#include "file_test.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "banned.h"

#ifdef __APPLE__
#define ST_MTIME st_mtimespec
#define ST_CTIME st_ctimespec
#else
#define ST_MTIME st_mtim
#define ST_CTIME st_ctim
#endif

#define NS_PER_SECOND ((int64_t)1000000000)
#define SETTLED_NS (2 * NS_PER_SECOND)

#define READ_CHUNK (256 * (size_t)1024)
/* One write() of more than INT_MAX bytes fails on macOS. */
#define WRITE_CHUNK ((size_t)1 << 30)
#define SHOWN_PATH_MAX 512
#define HOLDER_MAX 256

/* ---- the system's calls, with EINTR handled ---- */

static int real_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

static int real_fsync(int fd)
{
#ifdef F_FULLFSYNC
    /* On macOS fsync() leaves the bytes in the drive's cache. Not every file system has the
     * stronger call. */
    if (fcntl(fd, F_FULLFSYNC) == 0) {
        return 0;
    }
#endif
    return fsync(fd);
}

static const struct mb_file_calls real_calls = {
    .open = real_open,
    .write = write,
    .fsync = real_fsync,
    .rename = rename,
};

static const struct mb_file_calls *calls = &real_calls;

const struct mb_file_calls *mb_file_real_calls(void)
{
    return &real_calls;
}

void mb_file_set_calls(const struct mb_file_calls *new_calls)
{
    calls = new_calls == NULL ? &real_calls : new_calls;
}

static int open_file(const char *path, int flags, unsigned mode)
{
    int fd = -1;

    do {
        fd = calls->open(path, flags | O_CLOEXEC, (mode_t)mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t part = size < WRITE_CHUNK ? size : WRITE_CHUNK;
        ssize_t done = calls->write(fd, data, part);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return -1;
        }
        data += done;
        size -= (size_t)done;
    }
    return 0;
}

static int sync_file(int fd)
{
    int rc = -1;

    do {
        rc = calls->fsync(fd);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

/* Network, FUSE and FAT file systems cannot sync a folder and say so: they have no stronger promise
 * to give. */
static int sync_folder(int fd)
{
    if (sync_file(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EBADF) {
        return 0;
    }
    return -1;
}

static ssize_t read_some(int fd, void *data, size_t size)
{
    ssize_t got = -1;

    do {
        got = read(fd, data, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

int mb_file_fail(struct mb_error *err, int errno_value, const char *doing, const char *path)
{
    char shown[SHOWN_PATH_MAX];
    bool is_missing = errno_value == ENOENT || errno_value == ENOTDIR;

    mb_text_clean(shown, sizeof(shown), path, strlen(path));
    return mb_error_errno(err, is_missing ? MB_ERR_NOT_FOUND : MB_ERR_FAILED, errno_value,
                          "%s '%s'", doing, shown);
}

/* ---- writing and reading ---- */

/* Makes a new file beside path; *temporary_out is given. The descriptor, or -1 with errno. */
static int open_temporary(const char *folder, unsigned mode, char **temporary_out)
{
    static unsigned counter;

    for (int attempt = 0; attempt < 100; attempt++) {
        struct timespec now = {0};
        (void)clock_gettime(CLOCK_REALTIME, &now);
        /* Unlike names are enough: O_EXCL decides, and what it refuses is tried under another
         * name. */
        char *name =
            mb_alloc_format(".membridge-tmp-%" PRIx64 "-%lx-%lx-%x", (uint64_t)now.tv_sec,
                            (unsigned long)now.tv_nsec, (unsigned long)getpid(), counter++);
        char *path = mb_file_join(folder, name);
        free(name);
        int fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        if (fd >= 0) {
            /* The umask may have taken bits away. Where modes do not exist (FAT) this fails, and
             * none were asked for. */
            (void)fchmod(fd, (mode_t)mode);
            *temporary_out = path;
            return fd;
        }
        int saved = errno;
        free(path);
        errno = saved;
        if (errno != EEXIST) {
            return -1;
        }
    }
    return -1;
}

/* NFS and quotas may report at close() what write() had no room for. EINTR: it is closed all the
 * same. */
static int close_written(int *fd)
{
    int rc = close(*fd);

    *fd = -1;
    return rc != 0 && errno != EINTR ? -1 : 0;
}

int mb_file_replace(const char *path, const void *data, size_t size, unsigned mode,
                    struct mb_error *err)
{
    char *folder = mb_file_parent(path);
    char *temporary = NULL;
    int folder_fd = -1;
    int fd = -1;
    int rc = -1;

    /* Opened before anything is done, so that after the rename only the fsync itself can fail. */
    folder_fd = open_file(folder, O_RDONLY | O_DIRECTORY, 0);
    if (folder_fd < 0) {
        (void)mb_file_fail(err, errno, "opening the folder", folder);
        goto out;
    }
    fd = open_temporary(folder, mode, &temporary);
    if (fd < 0) {
        (void)mb_file_fail(err, errno, "making a temporary file in", folder);
        goto out;
    }
    if (write_all(fd, data, size) != 0 || sync_file(fd) != 0 || close_written(&fd) != 0) {
        (void)mb_file_fail(err, errno, "writing", path);
        goto out;
    }
    if (calls->rename(temporary, path) != 0) {
        (void)mb_file_fail(err, errno, "replacing", path);
        goto out;
    }
    free(temporary);
    temporary = NULL;
    if (sync_folder(folder_fd) != 0) {
        int saved = errno;
        (void)mb_file_fail(err, saved, "making the change durable of", path);
        err->code =
            MB_ERR_UNKNOWN_OUTCOME; /* the new file is there, but may be gone after a power cut */
        goto out;
    }
    rc = 0;
out:
    if (fd >= 0) {
        (void)close(fd);
    }
    if (folder_fd >= 0) {
        (void)close(folder_fd);
    }
    if (temporary != NULL) {
        (void)unlink(temporary);
    }
    free(temporary);
    free(folder);
    return rc;
}

static int read_to_end(int fd, const char *path, struct mb_buf *buf, struct mb_error *err)
{
    for (;;) {
        size_t room = buf->size_max - buf->size;
        size_t part = room < READ_CHUNK ? room : READ_CHUNK;
        uint8_t beyond = 0; /* a full buffer is right if nothing more comes */
        uint8_t *start = &beyond;
        if (part > 0 && mb_buf_extend(buf, part, &start, err) != 0) {
            return -1;
        }
        ssize_t got = read_some(fd, start, part > 0 ? part : 1);
        buf->size -= part; /* until we know how much of it was filled */
        if (got < 0) {
            return mb_file_fail(err, errno, "reading", path);
        }
        if (got == 0) {
            return 0;
        }
        if (part == 0) {
            char shown[SHOWN_PATH_MAX];
            mb_text_clean(shown, sizeof(shown), path, strlen(path));
            return mb_error_set(err, MB_ERR_LIMIT, "'%s' is larger than the %zu bytes allowed here",
                                shown, buf->size_max);
        }
        buf->size += (size_t)got;
    }
}

int mb_file_read(const char *path, struct mb_buf *buf, struct mb_error *err)
{
    size_t size_before = buf->size;
    int fd = open_file(path, O_RDONLY, 0);

    if (fd < 0) {
        return mb_file_fail(err, errno, "opening", path);
    }
    int rc = read_to_end(fd, path, buf, err);
    if (rc != 0) {
        buf->size = size_before;
    }
    if (buf->data != NULL) {
        buf->data[buf->size] = '\0';
    }
    (void)close(fd);
    return rc;
}

/* ---- folders ---- */

static int make_one_folder(const char *path, unsigned mode, struct mb_error *err)
{
    if (mkdir(path, (mode_t)mode) == 0) {
        (void)chmod(path, (mode_t)mode); /* against the umask; see open_temporary() */
        return 0;
    }
    int saved = errno;
    /* Not only EEXIST: mkdir() of a folder that is there may say EROFS, EACCES or EISDIR first. */
    if (mb_file_is_folder(path)) {
        return 0;
    }
    return mb_file_fail(err, saved, "making the folder", path);
}

int mb_file_make_folder(const char *path, unsigned mode, struct mb_error *err)
{
    char *part = mb_alloc_text(path);
    size_t size = strlen(path);
    int rc = -1;

    for (size_t i = 1; i < size; i++) {
        if (part[i] != '/') {
            continue;
        }
        part[i] = '\0';
        if (make_one_folder(part, mode, err) != 0) {
            goto out;
        }
        part[i] = '/';
    }
    rc = make_one_folder(path, mode, err);
out:
    free(part);
    return rc;
}

int mb_file_rename(const char *from, const char *to, struct mb_error *err)
{
    char *folder = mb_file_parent(to);
    int rc = -1;

    if (calls->rename(from, to) != 0) {
        (void)mb_file_fail(err, errno, "renaming to", to);
    } else {
        rc = mb_file_sync_folder(folder, err);
    }
    free(folder);
    return rc;
}

int mb_file_sync_folder(const char *path, struct mb_error *err)
{
    int fd = open_file(path, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0) {
        return mb_file_fail(err, errno, "opening the folder", path);
    }
    int rc = 0;
    if (sync_folder(fd) != 0) {
        rc = mb_file_fail(err, errno, "syncing the folder", path);
    }
    (void)close(fd);
    return rc;
}

int mb_file_remove(const char *path, struct mb_error *err)
{
    if (unlink(path) == 0 || errno == ENOENT) {
        return 0;
    }
    return mb_file_fail(err, errno, "removing", path);
}

/* ---- what is there ---- */

bool mb_file_exists(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

bool mb_file_is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int mb_file_stat(const char *path, struct mb_file_stat *stat_out, struct mb_error *err)
{
    struct stat info;

    if (stat(path, &info) != 0) {
        return mb_file_fail(err, errno, "looking at", path);
    }
    *stat_out = (struct mb_file_stat){
        .device = (uint64_t)info.st_dev,
        .inode = (uint64_t)info.st_ino,
        .size = (uint64_t)info.st_size,
        .mode = (unsigned)info.st_mode & 07777U,
        .owner = (unsigned)info.st_uid,
        .is_regular = S_ISREG(info.st_mode),
        .is_folder = S_ISDIR(info.st_mode),
        .modified_ns = (int64_t)info.ST_MTIME.tv_sec * NS_PER_SECOND + info.ST_MTIME.tv_nsec,
        .changed_ns = (int64_t)info.ST_CTIME.tv_sec * NS_PER_SECOND + info.ST_CTIME.tv_nsec,
    };
    return 0;
}

bool mb_file_is_settled(const struct mb_file_stat *info)
{
    struct timespec now;
    int64_t now_ns;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return false;
    }
    now_ns = (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
    return now_ns - info->modified_ns > SETTLED_NS && now_ns - info->changed_ns > SETTLED_NS;
}

/* ---- the lock ---- */

struct mb_file_lock {
    int fd;
};

/* Says who has the lock, by what its holder wrote into the file; that may be nothing yet. */
static int fail_locked(int fd, struct mb_error *err)
{
    char holder[HOLDER_MAX];
    char shown[HOLDER_MAX];
    ssize_t size = read_some(fd, holder, sizeof(holder) - 1);

    holder[size > 0 ? size : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    mb_text_clean(shown, sizeof(shown), holder, strlen(holder));
    return mb_error_set(err, MB_ERR_LOCKED, "another membridge is at work (%s)",
                        shown[0] == '\0' ? "it has just started" : shown);
}

int mb_file_lock(const char *path, const char *what, struct mb_file_lock **lock_out,
                 struct mb_error *err)
{
    char holder[HOLDER_MAX];
    int rc = -1;
    int fd = open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);

    if (fd < 0) {
        return mb_file_fail(err, errno, "opening the lock", path);
    }
    do {
        rc = flock(fd, LOCK_EX | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        (void)(errno == EWOULDBLOCK ? fail_locked(fd, err)
                                    : mb_file_fail(err, errno, "locking", path));
        (void)close(fd);
        return -1;
    }
    /* Only for messages: a full disk must not keep anybody from the lock. */
    int size = snprintf(holder, sizeof(holder), "process %ld, %s\n", (long)getpid(), what);
    size = size < (int)sizeof(holder) ? size : (int)sizeof(holder) - 1;
    if (ftruncate(fd, 0) == 0) {
        (void)write_all(fd, (const uint8_t *)holder, (size_t)size);
    }
    struct mb_file_lock *lock = mb_alloc(sizeof(*lock));
    lock->fd = fd;
    *lock_out = lock;
    return 0;
}

void mb_file_unlock(struct mb_file_lock *lock)
{
    if (lock == NULL) {
        return;
    }
    /* The file stays: removing it would let two processes lock two files of one name. */
    int rc = ftruncate(lock->fd, 0);
    (void)rc;
    (void)close(lock->fd);
    free(lock);
}

int mb_file_make_temporary(const char *prefix, char **path_out, struct mb_error *err)
{
    const char *folder = getenv("TMPDIR");

    if (folder == NULL || folder[0] == '\0') {
        folder = "/tmp";
    }
    char *name = mb_alloc_format("%sXXXXXX", prefix);
    char *path = mb_file_join(folder, name);
    free(name);
    if (mkdtemp(path) == NULL) {
        int rc = mb_file_fail(err, errno, "making a temporary folder in", folder);
        free(path);
        return rc;
    }
    *path_out = path;
    return 0;
}
