/* SPDX-License-Identifier: MIT */
#include "vfs.h"

#include "alloc.h"
#include "assert.h"

#include <sqlite3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

#define SECTOR 512

/* What a power cut would leave of a file, whatever is chosen of the rest. */
struct image {
    struct image *next;
    char *path;
    uint8_t *data; /* as of the last sync; NULL: the file was not there */
    size_t size;
    bool is_changed; /* since then */
    bool is_deleted; /* and its folder was not synced */
    bool is_created; /* likewise */
};

struct vfs_file {
    sqlite3_file base;
    struct image *image; /* borrowed */
    const char *name;    /* for messages; borrowed from the image */
    sqlite3_file *real;  /* behind this struct */
};

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    struct vfs_plan plan;
    bool is_armed;
    uint64_t count;
    bool has_fired;
    bool is_off; /* the power */
    char fired_at[128];
    int open_file_count;
    struct image *images;
} shim;

static const struct {
    const char *name;
    int code; /* when it fails */
} ops[VFS_OP_COUNT] = {
    [VFS_OPEN] = {"open",     SQLITE_CANTOPEN      },
    [VFS_READ] = {"read",     SQLITE_IOERR_READ    },
    [VFS_WRITE] = {"write",    SQLITE_IOERR_WRITE   },
    [VFS_SYNC] = {"sync",     SQLITE_IOERR_FSYNC   },
    [VFS_TRUNCATE] = {"truncate", SQLITE_IOERR_TRUNCATE},
    [VFS_DELETE] = {"delete",   SQLITE_IOERR_DELETE  },
    [VFS_SIZE] = {"size",     SQLITE_IOERR_FSTAT   },
    [VFS_ACCESS] = {"access",   SQLITE_IOERR_ACCESS  },
    [VFS_LOCK] = {"lock",     SQLITE_IOERR_LOCK    },
    [VFS_CONTROL] = {"control",  SQLITE_IOERR         },
    [VFS_SHM_MAP] = {"shm map",  SQLITE_IOERR_SHMMAP  },
    [VFS_SHM_LOCK] = {"shm lock", SQLITE_IOERR_SHMLOCK },
};

/* ---- the fault ---- */

/* SQLITE_OK, or what the operation is to fail with, without effect. */
static int decide(enum vfs_op op, const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');

    if (!shim.is_armed) {
        return SQLITE_OK;
    }
    if (shim.is_off) {
        return ops[op].code;
    }
    if ((shim.plan.ops & VFS_BIT(op)) == 0) {
        return SQLITE_OK;
    }
    shim.count++;
    if (shim.plan.fail_at == 0 || shim.count < shim.plan.fail_at ||
        (shim.count > shim.plan.fail_at && !shim.plan.is_sticky)) {
        return SQLITE_OK;
    }
    if (!shim.has_fired) {
        (void)snprintf(shim.fired_at, sizeof shim.fired_at, "%s of %s", ops[op].name,
                       slash == NULL ? "a temporary file" : slash + 1);
    }
    shim.has_fired = true;
    shim.is_off = shim.plan.is_power_cut;
    return shim.plan.code != 0 ? shim.plan.code : ops[op].code;
}

/* ---- images ---- */

static uint8_t *read_all(const char *path, size_t *size_out)
{
    FILE *in = fopen(path, "rb");
    uint8_t *data = NULL;
    long size;

    if (in == NULL) {
        return NULL;
    }
    MB_ASSERT(fseek(in, 0, SEEK_END) == 0);
    size = ftell(in);
    MB_ASSERT(size >= 0);
    rewind(in);
    data = mb_alloc((size_t)size);
    MB_ASSERT(fread(data, 1, (size_t)size, in) == (size_t)size);
    (void)fclose(in);
    *size_out = (size_t)size;
    return data;
}

/* The image of a file, made before anything is done to it. NULL for temporary files. */
static struct image *find_image(const char *path)
{
    struct image *image;

    if (path == NULL || !shim.is_armed || !shim.plan.is_power_cut) {
        return NULL;
    }
    for (image = shim.images; image != NULL; image = image->next) {
        if (strcmp(image->path, path) == 0) {
            return image;
        }
    }
    image = mb_alloc_zeroed(1, sizeof *image);
    image->path = mb_alloc_text(path);
    image->data = read_all(path, &image->size);
    image->next = shim.images;
    shim.images = image;
    return image;
}

static void note_changed(struct image *image)
{
    if (image != NULL) {
        image->is_changed = true;
    }
}

static void note_synced(struct image *image)
{
    if (image != NULL) {
        free(image->data);
        image->data = read_all(image->path, &image->size);
        image->is_changed = false;
    }
}

/* What was deleted in the folder of a file does not come back. */
static void note_folder_synced(const struct image *of)
{
    size_t size = of == NULL ? 0 : (size_t)(strrchr(of->path, '/') - of->path) + 1;

    for (struct image *image = of == NULL ? NULL : shim.images; image != NULL;
         image = image->next) {
        if (strncmp(image->path, of->path, size) == 0 && strchr(image->path + size, '/') == NULL) {
            if (image->is_deleted) {
                free(image->data);
                image->data = NULL;
                image->size = 0;
            }
            image->is_deleted = false;
            image->is_created = false;
        }
    }
}

static void drop_images(void)
{
    while (shim.images != NULL) {
        struct image *image = shim.images;

        shim.images = image->next;
        free(image->path);
        free(image->data);
        free(image);
    }
}

/* splitmix64 */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Of the new content, each sector is there or not; what lies behind the old end is zeros where
 * nothing was written. */
static void lose_some(const struct image *image, uint64_t *seed)
{
    size_t now_size = 0;
    uint8_t *now = read_all(image->path, &now_size);
    size_t size_max = now_size > image->size ? now_size : image->size;
    size_t size = image->size;
    uint8_t *mixed = mb_alloc_zeroed(1, size_max);
    FILE *out;

    if (image->data != NULL) {
        memcpy(mixed, image->data, image->size);
    }
    if (*seed != 0) {
        size = next_random(seed) % 2 == 0 ? now_size : image->size;
    }
    for (size_t at = 0; at < now_size && *seed != 0; at += SECTOR) {
        size_t part = now_size - at < SECTOR ? now_size - at : SECTOR;

        if (next_random(seed) % 2 == 0) {
            memcpy(mixed + at, now + at, part);
            size = at + part > size ? at + part : size;
        }
    }
    if (image->data == NULL && size == 0) {
        (void)unlink(image->path);
    } else { /* in place: it stays the same file */
        out = fopen(image->path, now == NULL ? "wb" : "rb+");
        if (out != NULL) { /* else its folder was removed */
            MB_ASSERT(fwrite(mixed, 1, size, out) == size && fflush(out) == 0);
            MB_ASSERT(ftruncate(fileno(out), (off_t)size) == 0);
            (void)fclose(out);
        }
        MB_ASSERT(out != NULL || now == NULL);
    }
    free(now);
    free(mixed);
}

void vfs_note_rename(const char *from, const char *to)
{
    for (struct image *image = shim.images; image != NULL; image = image->next) {
        if (strcmp(image->path, from) == 0) {
            free(image->path);
            image->path = mb_alloc_text(to);
        }
    }
}

void vfs_lose_unsynced(uint64_t seed)
{
    MB_ASSERT(shim.open_file_count == 0);
    for (struct image *image = shim.images; image != NULL; image = image->next) {
        size_t size = strlen(image->path);

        if (image->is_changed) {
            lose_some(image, &seed);
        }
        if (size > 4 && strcmp(image->path + size - 4, "-wal") == 0) { /* memory, not a file */
            char *shm = mb_alloc_format("%.*s-shm", (int)size - 4, image->path);

            (void)unlink(shm);
            free(shm);
        }
    }
    drop_images();
}

/* ---- files ---- */

static struct vfs_file *file_of(sqlite3_file *file)
{
    return (struct vfs_file *)(void *)file;
}

static int on_close(sqlite3_file *file)
{
    struct vfs_file *self = file_of(file);
    int rc = self->real->pMethods->xClose(self->real);

    shim.open_file_count--;
    return rc;
}

static int on_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_READ, self->name);

    return rc != SQLITE_OK ? rc : self->real->pMethods->xRead(self->real, data, size, offset);
}

static int on_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_WRITE, self->name);

    if (rc != SQLITE_OK) {
        return rc;
    }
    note_changed(self->image);
    return self->real->pMethods->xWrite(self->real, data, size, offset);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_TRUNCATE, self->name);

    if (rc != SQLITE_OK) {
        return rc;
    }
    note_changed(self->image);
    return self->real->pMethods->xTruncate(self->real, size);
}

static int on_sync(sqlite3_file *file, int flags)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_SYNC, self->name);

    (void)flags;
    if (rc == SQLITE_OK) {
        if (self->image != NULL && self->image->is_created) { /* SQLite syncs the folder, too */
            note_folder_synced(self->image);
        }
        note_synced(self->image);
    }
    return rc;
}

static int on_size(sqlite3_file *file, sqlite3_int64 *size_out)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_SIZE, self->name);

    return rc != SQLITE_OK ? rc : self->real->pMethods->xFileSize(self->real, size_out);
}

static int on_lock(sqlite3_file *file, int level)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_LOCK, self->name);

    return rc != SQLITE_OK ? rc : self->real->pMethods->xLock(self->real, level);
}

static int on_unlock(sqlite3_file *file, int level)
{
    struct vfs_file *self = file_of(file);

    return self->real->pMethods->xUnlock(self->real, level);
}

static int on_check_reserved(sqlite3_file *file, int *result_out)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_LOCK, self->name);

    return rc != SQLITE_OK ? rc : self->real->pMethods->xCheckReservedLock(self->real, result_out);
}

static int on_control(sqlite3_file *file, int op, void *argument)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_CONTROL, self->name);

    return rc != SQLITE_OK ? rc : self->real->pMethods->xFileControl(self->real, op, argument);
}

static int on_sector_size(sqlite3_file *file)
{
    (void)file;
    return SECTOR;
}

/* None: no write is atomic, and power cuts damage what lies beside it. */
static int on_characteristics(sqlite3_file *file)
{
    (void)file;
    return 0;
}

static int on_shm_map(sqlite3_file *file, int page, int size, int may_extend,
                      void volatile **data_out)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_SHM_MAP, self->name);

    return rc != SQLITE_OK
               ? rc
               : self->real->pMethods->xShmMap(self->real, page, size, may_extend, data_out);
}

static int on_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    struct vfs_file *self = file_of(file);
    int rc = (flags & SQLITE_SHM_UNLOCK) != 0 ? SQLITE_OK : decide(VFS_SHM_LOCK, self->name);

    return rc != SQLITE_OK ? rc : self->real->pMethods->xShmLock(self->real, offset, count, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
    file_of(file)->real->pMethods->xShmBarrier(file_of(file)->real);
}

static int on_shm_unmap(sqlite3_file *file, int may_delete)
{
    return file_of(file)->real->pMethods->xShmUnmap(file_of(file)->real, may_delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no mapped reads: each is counted */
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check_reserved,
    .xFileControl = on_control,
    .xSectorSize = on_sector_size,
    .xDeviceCharacteristics = on_characteristics,
    .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock,
    .xShmBarrier = on_shm_barrier,
    .xShmUnmap = on_shm_unmap,
};

/* ---- the VFS ---- */

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                   int *flags_out)
{
    struct vfs_file *self = file_of(file);
    int rc = decide(VFS_OPEN, path);

    (void)vfs;
    memset(self, 0, sizeof *self);
    if (rc != SQLITE_OK) {
        return rc;
    }
    self->real = (sqlite3_file *)(void *)(self + 1);
    self->image = find_image(path);
    if (self->image != NULL && access(path, F_OK) != 0) {
        self->image->is_created = true;
    }
    self->name = path; /* SQLite keeps it until the file is closed */
    rc = shim.real->xOpen(shim.real, path, self->real, flags, flags_out);
    if (self->real->pMethods != NULL) {
        MB_ASSERT(self->real->pMethods->iVersion >= 2 || path == NULL);
        self->base.pMethods = &methods;
        shim.open_file_count++;
    }
    return rc;
}

static int on_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    struct image *image;
    int rc = decide(VFS_DELETE, path);

    (void)vfs;
    if (rc != SQLITE_OK) {
        return rc;
    }
    image = find_image(path);
    rc = shim.real->xDelete(shim.real, path, 0);
    if (rc == SQLITE_OK && image != NULL) {
        image->is_changed = true;
        image->is_deleted = true;
        if (sync_folder != 0) {
            note_folder_synced(image);
        }
    }
    return rc;
}

static int on_access(sqlite3_vfs *vfs, const char *path, int flags, int *result_out)
{
    int rc = decide(VFS_ACCESS, path);

    (void)vfs;
    return rc != SQLITE_OK ? rc : shim.real->xAccess(shim.real, path, flags, result_out);
}

static int on_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    (void)vfs;
    return shim.real->xFullPathname(shim.real, path, size, out);
}

static int on_random(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    return shim.real->xRandomness(shim.real, size, out);
}

/* Nobody waits: who keeps us waiting in these tests never ends. */
static int on_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int on_time(sqlite3_vfs *vfs, double *time_out)
{
    (void)vfs;
    return shim.real->xCurrentTime(shim.real, time_out);
}

static int on_last_error(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    return shim.is_armed ? 0 : shim.real->xGetLastError(shim.real, size, out);
}

void vfs_register(void)
{
    if (shim.real != NULL) {
        return;
    }
    shim.real = sqlite3_vfs_find(NULL);
    shim.vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct vfs_file) + shim.real->szOsFile,
        .mxPathname = shim.real->mxPathname,
        .zName = "faults",
        .xOpen = on_open,
        .xDelete = on_delete,
        .xAccess = on_access,
        .xFullPathname = on_full_path,
        .xRandomness = on_random,
        .xSleep = on_sleep,
        .xCurrentTime = on_time,
        .xGetLastError = on_last_error,
    };
    MB_ASSERT(sqlite3_vfs_register(&shim.vfs, 1) == SQLITE_OK);
}

void vfs_arm(const struct vfs_plan *plan)
{
    drop_images();
    shim.plan = *plan;
    shim.count = 0;
    shim.has_fired = false;
    shim.is_off = false;
    shim.is_armed = true;
}

uint64_t vfs_disarm(void)
{
    shim.is_armed = false;
    shim.is_off = false;
    return shim.count;
}

bool vfs_has_fired(void)
{
    return shim.has_fired;
}

const char *vfs_fired_at(void)
{
    return shim.has_fired ? shim.fired_at : "nothing";
}

bool vfs_power_is_off(void)
{
    return shim.is_off;
}

int vfs_open_file_count(void)
{
    return shim.open_file_count;
}
