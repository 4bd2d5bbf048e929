/* SPDX-License-Identifier: MIT */
#ifndef FAULTS_VFS_H
#define FAULTS_VFS_H

/*
 * A SQLite VFS over the real one, registered as the default, that counts what SQLite asks of the
 * system, and lets the Nth of these operations fail, or cuts the power there. It also keeps what
 * each file held when it was last synced, so that a power cut can take away what was not.
 *
 * Nothing is really synced: the tests write hundreds of small databases.
 */

#include <stdbool.h>
#include <stdint.h>

enum vfs_op {
    VFS_OPEN,
    VFS_READ,
    VFS_WRITE,
    VFS_SYNC,
    VFS_TRUNCATE,
    VFS_DELETE,
    VFS_SIZE,
    VFS_ACCESS,
    VFS_LOCK, /* to take one; giving one back never fails */
    VFS_CONTROL,
    VFS_SHM_MAP,
    VFS_SHM_LOCK, /* likewise */
    VFS_OP_COUNT,
};
#define VFS_BIT(op) (1U << (op))
#define VFS_ALL (VFS_BIT(VFS_OP_COUNT) - 1)

struct vfs_plan {
    unsigned ops;      /* which are counted: VFS_BIT()s */
    uint64_t fail_at;  /* 1 is the first; 0: none fails */
    bool is_sticky;    /* all counted ones from there on fail */
    bool is_power_cut; /* from there on nothing has any effect, counted or not */
    int code;          /* SQLite's; 0: the I/O error that fits each operation */
};

void vfs_register(void);
/* Starts counting. The files that are there now are taken for synced. */
void vfs_arm(const struct vfs_plan *plan);
/* Ends the faults. How many operations were counted. */
uint64_t vfs_disarm(void);
bool vfs_has_fired(void);       /* since vfs_arm() */
const char *vfs_fired_at(void); /* "write of state.db-wal"; borrowed */
bool vfs_power_is_off(void);
int vfs_open_file_count(void);

/* A file that SQLite wrote got another name. */
void vfs_note_rename(const char *from, const char *to);

/*
 * Brings the files that were written since vfs_arm() into a state in which a power cut might leave
 * them: of what was not synced, each sector is there or is not, as `seed` decides (0: nothing of it
 * is there). All files must be closed.
 */
void vfs_lose_unsynced(uint64_t seed);

#endif
