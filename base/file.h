/* SPDX-License-Identifier: MIT */
#ifndef MB_FILE_H
#define MB_FILE_H

/*
 * Files, folders, locks and paths: every call that a native Windows build would have to replace.
 * All files are opened with O_CLOEXEC; modes are given, not left to the umask's mood.
 *
 * mb_file_replace() is the only way a file of ours is written: temporary file in the same folder,
 * write, fsync, rename, fsync of the folder. A reader sees the old bytes or the new ones.
 */

#include "buf.h"
#include "error.h"

#include <stdint.h>

/*
 * Durable when this returns 0. On failure the old file is untouched and the temporary one removed
 * (a killed process may leave ".membridge-tmp-<random>"), but for one case: MB_ERR_UNKNOWN_OUTCOME
 * says that the new file is in place and the folder's fsync failed, so that a power cut may bring
 * the old one back. MB_ERR_NOT_FOUND if the folder is not there. mode e.g. 0600.
 */
MB_MUST_USE int mb_file_replace(const char *path, const void *data, size_t size, unsigned mode,
                                struct mb_error *err);

/* Appends the whole file to buf. MB_ERR_NOT_FOUND, MB_ERR_LIMIT (buf's maximum), MB_ERR_DENIED,
 * MB_ERR_FAILED. */
MB_MUST_USE int mb_file_read(const char *path, struct mb_buf *buf, struct mb_error *err);

/* Makes the folder and its missing parents (mode for those it makes). Existing folders are fine. */
MB_MUST_USE int mb_file_make_folder(const char *path, unsigned mode, struct mb_error *err);

MB_MUST_USE int mb_file_sync_folder(const char *path, struct mb_error *err);

/* Removes a file; a missing one is fine. */
MB_MUST_USE int mb_file_remove(const char *path, struct mb_error *err);

/* Removes a folder with all that is in it, never following symbolic links. A missing one is fine.
 * What is no folder (a link to one, too) is left alone: MB_ERR_NOT_FOUND or MB_ERR_FAILED. */
MB_MUST_USE int mb_file_remove_tree(const char *path, struct mb_error *err);

/* Renames within a folder, over an older file, and syncs the folder. */
MB_MUST_USE int mb_file_rename(const char *from, const char *to, struct mb_error *err);

/* Calls on_name for each name in the folder but "." and "..", in no order. A missing folder has
 * none. -1 from on_name ends it. */
typedef int (*mb_file_name_fn)(void *context, const char *name, struct mb_error *err);
MB_MUST_USE int mb_file_list(const char *folder, mb_file_name_fn on_name, void *context,
                             struct mb_error *err);

bool mb_file_exists(const char *path); /* any kind of file; false also when it cannot be seen */
bool mb_file_is_folder(const char *path);

struct mb_file_stat {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    unsigned mode; /* permission bits */
    unsigned owner;
    bool is_regular;
    bool is_folder;
    int64_t modified_ns; /* of the content, since 1970 */
    int64_t changed_ns;  /* of content, owner, mode or links */
};
/* Follows links. MB_ERR_NOT_FOUND, MB_ERR_DENIED, MB_ERR_FAILED. */
MB_MUST_USE int mb_file_stat(const char *path, struct mb_file_stat *stat_out, struct mb_error *err);

/* Were its times set more than two seconds ago, by the kernel's clock, which sets them (so not by
 * env's)? Only then does a later change show in them: they move in ticks, on some file systems of
 * two seconds. False for times in the future. */
bool mb_file_is_settled(const struct mb_file_stat *info);

/*
 * One advisory lock (flock), freed by the kernel when its holder ends however it ends. The file
 * holds the holder's pid and `what` for messages; its existence means nothing. MB_ERR_LOCKED if
 * another process (or another handle of this one) has it, naming that holder.
 */
struct mb_file_lock;
MB_MUST_USE int mb_file_lock(const char *path, const char *what, struct mb_file_lock **lock_out,
                             struct mb_error *err);
void mb_file_unlock(struct mb_file_lock *lock); /* NULL is fine */

/* Makes a new private folder (mode 0700) below the system's temporary folder; *path_out is
 * given. */
MB_MUST_USE int mb_file_make_temporary(const char *prefix, char **path_out, struct mb_error *err);

/* The path with all links resolved, or NULL if there is no such file; given. */
char *mb_file_real_path(const char *path);

/* "folder/name"; given. */
char *mb_file_join(const char *folder, const char *name);
/* The part before the last '/', "." or "/"; given. */
char *mb_file_parent(const char *path);
/* "~/x" and "~" with HOME put in; anything else as it is; given. */
char *mb_file_expand_home(const char *path, const char *home);
/* Absolute form without ".", ".." and double '/', links not resolved; relative to the working
 * folder (if that was removed: path as it is); given. */
char *mb_file_absolute(const char *path);

#endif
