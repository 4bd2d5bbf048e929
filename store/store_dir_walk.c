/* SPDX-License-Identifier: MIT */
#include "assert.h"
#include "limits.h"
#include "store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "banned.h"

#define FOLDER_MODE 0700

/* ---- errors ---- */

bool mb_store_dir_is_lost_reply(int errno_value)
{
    switch (errno_value) {
    case EIO:
    case ESTALE:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENXIO:
    case ENODEV: return true;
    default: return false;
    }
}

static enum mb_code code_of_errno(int errno_value)
{
    if (mb_store_dir_is_lost_reply(errno_value)) {
        return MB_ERR_TEMPORARY;
    }
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return MB_ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS: return MB_ERR_DENIED;
    case ENOENT: return MB_ERR_NOT_FOUND;
    case EMFILE:
    case ENFILE:
    case EBUSY: return MB_ERR_TEMPORARY;
    default: return MB_ERR_FAILED;
    }
}

int mb_store_dir_fail(const struct mb_store_dir *dir, int errno_value, const char *doing,
                      const char *key, struct mb_error *err)
{
    enum mb_code code = code_of_errno(errno_value);

    (void)mb_error_errno(err, code, errno_value, "%s '%s' in the store folder '%s'", doing, key,
                         dir->shown);
    err->code = code;
    if (code == MB_ERR_NO_SPACE) {
        return mb_error_advise(err, "free some space in '%s', then run the command again",
                               dir->shown);
    }
    if (code == MB_ERR_DENIED) {
        return mb_error_advise(err, "make '%s' and all in it yours to read and write", dir->shown);
    }
    if (code == MB_ERR_TEMPORARY) {
        return mb_error_advise(err, "check that '%s' is connected, then run the command again",
                               dir->shown);
    }
    return -1;
}

int mb_store_dir_fail_unknown(const struct mb_store_dir *dir, int errno_value, const char *doing,
                              const char *key, struct mb_error *err)
{
    (void)mb_store_dir_fail(dir, errno_value, doing, key, err);
    err->code = MB_ERR_UNKNOWN_OUTCOME;
    return mb_error_advise(err, "run the command again: repeating is safe");
}

int mb_store_dir_fail_not_found(const struct mb_store_dir *dir, const char *key,
                                struct mb_error *err)
{
    return mb_error_set(err, MB_ERR_NOT_FOUND, "there is no object '%s' in the store folder '%s'",
                        key, dir->shown);
}

int mb_store_dir_fail_odd(const struct mb_store_dir *dir, const char *key, const char *name,
                          const char *what, struct mb_error *err)
{
    (void)mb_error_set(err, MB_ERR_FAILED, "'%s', needed for the object '%s' in '%s', is %s", name,
                       key, dir->shown, what);
    return mb_error_advise(err, "move it out of the store folder '%s'", dir->shown);
}

/* ---- walking down ---- */

void mb_store_dir_close(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

bool mb_store_dir_set_has(const struct mb_store_dir_set *set, ino_t folder)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i] == folder) {
            return true;
        }
    }
    return false;
}

void mb_store_dir_set_add(struct mb_store_dir_set *set, ino_t folder)
{
    if (set->count < MB_STORE_DIR_SET_MAX) {
        set->items[set->count++] = folder;
    }
}

/* File systems that cannot sync a folder (some of FUSE and CIFS) say so with these: nothing is left
 * to be done there. */
int mb_store_dir_sync(int fd)
{
    if (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == ENOSYS) {
        return 0;
    }
    return -1;
}

static int open_root(const struct mb_store_dir *dir, struct mb_error *err)
{
    int fd = open(dir->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        return fd;
    }
    if (errno != ENOENT && errno != ENOTDIR) {
        return mb_store_dir_fail(dir, errno, "opening", ".", err);
    }
    (void)mb_error_set(err, MB_ERR_STORE_MISSING, "the store folder '%s' is %s", dir->shown,
                       errno == ENOENT ? "not there" : "not a folder");
    return mb_error_advise(err, "connect the drive that holds '%s', or check MEMBRIDGE_STORE",
                           dir->shown);
}

/* openat() of the folder `name` has failed with errno_value. */
static int fail_folder(const struct mb_store_dir *dir, int parent_fd, const char *name,
                       const char *key, bool is_needed, int errno_value, struct mb_error *err)
{
    struct stat status;

    if ((errno_value == ENOTDIR || errno_value == ELOOP) &&
        fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISLNK(status.st_mode)) {
            return mb_store_dir_fail_odd(dir, key, name, "a symbolic link", err);
        }
        return is_needed ? mb_store_dir_fail_odd(dir, key, name, "not a folder", err)
                         : mb_store_dir_fail_not_found(dir, key, err);
    }
    if (errno_value == ENOENT) {
        return mb_store_dir_fail_not_found(dir, key, err);
    }
    return mb_store_dir_fail(dir, errno_value, "opening the folder of", key, err);
}

/* Makes a folder's name in its parent durable, whoever made it. */
static int sync_name(struct mb_store_dir *dir, int parent_fd, int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        return -1;
    }
    if (mb_store_dir_set_has(&dir->synced, status.st_ino)) {
        return 0;
    }
    if (mb_store_dir_sync(parent_fd) != 0) {
        return -1;
    }
    mb_store_dir_set_add(&dir->synced, status.st_ino);
    return 0;
}

/* Opens the folder `name` of parent_fd. is_needed: makes it if it is missing, and durable. Gives a
 * descriptor, or -1. */
static int open_part(struct mb_store_dir *dir, int parent_fd, const char *name, const char *key,
                     bool is_needed, struct mb_error *err)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent_fd, name, flags);

    if (fd < 0 && errno == ENOENT && is_needed) {
        if (mkdirat(parent_fd, name, FOLDER_MODE) != 0 && errno != EEXIST) {
            (void)mb_store_dir_fail(dir, errno, "making the folder of", key, err);
            if (err->code == MB_ERR_NOT_FOUND) {
                err->code = MB_ERR_TEMPORARY; /* the parent was removed meanwhile */
            }
            return -1;
        }
        fd = openat(parent_fd, name, flags);
    }
    if (fd < 0) {
        return fail_folder(dir, parent_fd, name, key, is_needed, errno, err);
    }
    if (is_needed && sync_name(dir, parent_fd, fd) != 0) {
        (void)mb_store_dir_fail(dir, errno, "syncing the folder of", key, err);
        mb_store_dir_close(fd);
        return -1;
    }
    return fd;
}

int mb_store_dir_open_folder(struct mb_store_dir *dir, const char *key, size_t path_size,
                             bool is_needed, struct mb_error *err)
{
    char name[MB_STORE_KEY_PART_BYTES_MAX + 1];
    int fd = open_root(dir, err);
    size_t start = 0;

    while (fd >= 0 && start < path_size) {
        const char *slash = strchr(key + start, '/');
        size_t size = (size_t)(slash - (key + start));
        int child;

        MB_ASSERT(size < sizeof(name));
        memcpy(name, key + start, size);
        name[size] = '\0';
        child = open_part(dir, fd, name, key, is_needed, err);
        mb_store_dir_close(fd);
        fd = child;
        start += size + 1;
    }
    return fd;
}

int mb_store_dir_open_parent(struct mb_store_dir *dir, const char *key, bool is_needed,
                             const char **name_out, struct mb_error *err)
{
    const char *slash = strrchr(key, '/');

    *name_out = slash == NULL ? key : slash + 1;
    return mb_store_dir_open_folder(dir, key, (size_t)(*name_out - key), is_needed, err);
}

/* ---- listing ---- */

/* One folder after another on a stack of our own: a hostile tree cannot exhaust the C stack. */
struct walk {
    const struct mb_store_dir *dir;
    mb_store_object_fn on_object;
    void *context;
    uint64_t entry_count; /* foreign ones too */
    struct {
        DIR *stream;
        size_t key_size; /* of the key up to this folder, with its '/' */
    } levels[MB_STORE_KEY_PARTS_MAX];
    size_t level_count;
    size_t part_count_above; /* parts of the prefix */
    char key[MB_LIMIT_KEY_BYTES + 1];
};

/* Takes fd. */
static int push_level(struct walk *walk, int fd, size_t key_size, struct mb_error *err)
{
    DIR *stream = fdopendir(fd);

    MB_ASSERT(walk->level_count < MB_STORE_KEY_PARTS_MAX);
    if (stream == NULL) {
        (void)mb_store_dir_fail(walk->dir, errno, "listing", walk->key, err);
        mb_store_dir_close(fd);
        return -1;
    }
    walk->levels[walk->level_count].stream = stream;
    walk->levels[walk->level_count].key_size = key_size;
    walk->level_count++;
    return 0;
}

static void pop_level(struct walk *walk)
{
    MB_ASSERT(walk->level_count > 0);
    walk->level_count--;
    (void)closedir(walk->levels[walk->level_count].stream);
}

static int enter_folder(struct walk *walk, int parent_fd, const char *name, size_t key_size,
                        struct mb_error *err)
{
    int fd = -1;

    /* A key below has one part more than its folder. */
    if (walk->part_count_above + walk->level_count >= MB_STORE_KEY_PARTS_MAX ||
        key_size >= MB_LIMIT_KEY_BYTES) {
        return 0;
    }
    fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
            return 0; /* removed or replaced meanwhile */
        }
        return mb_store_dir_fail(walk->dir, errno, "listing", walk->key, err);
    }
    walk->key[key_size] = '/';
    walk->key[key_size + 1] = '\0';
    return push_level(walk, fd, key_size + 1, err);
}

static int visit(struct walk *walk, const char *name, struct mb_error *err)
{
    size_t folder_size = walk->levels[walk->level_count - 1].key_size;
    int parent_fd = dirfd(walk->levels[walk->level_count - 1].stream);
    size_t name_size = strlen(name);
    struct mb_store_object object = {.key = walk->key};
    struct stat status;

    walk->entry_count++;
    if (walk->entry_count > MB_LIMIT_LISTING) {
        return mb_error_set(err, MB_ERR_LIMIT, "the store folder '%s' holds more than %d files",
                            walk->dir->shown, MB_LIMIT_LISTING);
    }
    if (!mb_store_key_part_is_valid(name, name_size) ||
        folder_size + name_size > MB_LIMIT_KEY_BYTES) {
        return 0;
    }
    memcpy(walk->key + folder_size, name, name_size + 1);
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : mb_store_dir_fail(walk->dir, errno, "listing", walk->key, err);
    }
    if (S_ISDIR(status.st_mode)) {
        return enter_folder(walk, parent_fd, name, folder_size + name_size, err);
    }
    if (!S_ISREG(status.st_mode)) {
        return 0;
    }
    object.size_bytes = (uint64_t)status.st_size;
    return walk->on_object(walk->context, &object, err);
}

/* Visits the next entry of the innermost folder, or leaves it. */
static int walk_on(struct walk *walk, struct mb_error *err)
{
    size_t folder_size = walk->levels[walk->level_count - 1].key_size;
    const struct dirent *entry;

    walk->key[folder_size] = '\0';
    errno = 0;
    entry = readdir(walk->levels[walk->level_count - 1].stream);
    if (entry != NULL) {
        return visit(walk, entry->d_name, err);
    }
    if (errno != 0 && errno != ENOENT) {
        return mb_store_dir_fail(walk->dir, errno, "listing", walk->key, err);
    }
    pop_level(walk);
    return 0;
}

int mb_store_dir_list(struct mb_store_dir *dir, const char *prefix, mb_store_object_fn on_object,
                      void *context, struct mb_error *err)
{
    struct walk walk = {.dir = dir, .on_object = on_object, .context = context};
    size_t prefix_size = strlen(prefix);
    int rc = -1;
    int fd = mb_store_dir_open_folder(dir, prefix, prefix_size, false, err);

    if (fd < 0) {
        return err->code == MB_ERR_NOT_FOUND ? 0 : -1;
    }
    MB_ASSERT(prefix_size < sizeof(walk.key));
    memcpy(walk.key, prefix, prefix_size + 1);
    for (size_t i = 0; i < prefix_size; i++) {
        walk.part_count_above += prefix[i] == '/' ? 1 : 0;
    }
    if (walk.part_count_above >= MB_STORE_KEY_PARTS_MAX) {
        mb_store_dir_close(fd); /* no key is that deep */
        return 0;
    }
    if (push_level(&walk, fd, prefix_size, err) != 0) {
        return -1;
    }
    while (walk.level_count > 0) {
        if (walk_on(&walk, err) != 0) {
            goto out;
        }
    }
    rc = 0;
out:
    while (walk.level_count > 0) {
        pop_level(&walk);
    }
    return rc;
}
