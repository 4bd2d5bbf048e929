/* SPDX-License-Identifier: MIT */
#ifndef MB_STORE_DIR_H
#define MB_STORE_DIR_H

/*
 * Inside the folder backend (mb_store_dir_new() in store.h): the ways into the folder.
 * store_dir_walk.c finds folders and lists; store_dir.c reads and writes the objects in them.
 *
 * Descriptors: -1 is none; whoever is given one closes it with mb_store_dir_close(). `key` is a
 * valid key, for the walk and for messages.
 */

#include "store.h"

#include <sys/types.h>

#define MB_STORE_DIR_SET_MAX 8

/* Folders, by inode; those beyond its size are not remembered. */
struct mb_store_dir_set {
    ino_t items[MB_STORE_DIR_SET_MAX];
    size_t count;
};

struct mb_store_dir {
    struct mb_store base;
    const struct mb_env *env;
    char *folder;
    char shown[384]; /* the folder, for messages */
    /* once is enough for each folder: by this store it was tidied (see put in store_dir.c), and
     * its name in its parent made durable */
    struct mb_store_dir_set tidied;
    struct mb_store_dir_set synced;
};

/* ---- errors; each returns -1 ---- */

/* The code for errno_value, and what to do about it. `doing` as in "reading 'key' in the ...". */
int mb_store_dir_fail(const struct mb_store_dir *dir, int errno_value, const char *doing,
                      const char *key, struct mb_error *err);
/* As above, but MB_ERR_UNKNOWN_OUTCOME whatever errno_value is. */
int mb_store_dir_fail_unknown(const struct mb_store_dir *dir, int errno_value, const char *doing,
                              const char *key, struct mb_error *err);
int mb_store_dir_fail_not_found(const struct mb_store_dir *dir, const char *key,
                                struct mb_error *err);
/* `name`, a part of key, is `what` ("a symbolic link"). */
int mb_store_dir_fail_odd(const struct mb_store_dir *dir, const char *key, const char *name,
                          const char *what, struct mb_error *err);
/* Errors after which a request to a file server may or may not have been served. */
bool mb_store_dir_is_lost_reply(int errno_value);

/* ---- folders ---- */

bool mb_store_dir_set_has(const struct mb_store_dir_set *set, ino_t folder);
void mb_store_dir_set_add(struct mb_store_dir_set *set, ino_t folder);
void mb_store_dir_close(int fd); /* -1 is fine */

/* fsync of a folder. -1 with errno. */
MB_MUST_USE int mb_store_dir_sync(int fd);

/*
 * Opens the folder that the first path_size bytes of key name (they end in '/'; 0: the store's
 * folder itself). is_needed: makes what is missing, and all of the path durable, whoever made it;
 * otherwise MB_ERR_NOT_FOUND. Gives a descriptor, or -1.
 */
MB_MUST_USE int mb_store_dir_open_folder(struct mb_store_dir *dir, const char *key,
                                         size_t path_size, bool is_needed, struct mb_error *err);

/* As above, for the folder that holds the object; *name_out is the last part of key, borrowed. */
MB_MUST_USE int mb_store_dir_open_parent(struct mb_store_dir *dir, const char *key, bool is_needed,
                                         const char **name_out, struct mb_error *err);

/* The list slot. */
MB_MUST_USE int mb_store_dir_list(struct mb_store_dir *dir, const char *prefix,
                                  mb_store_object_fn on_object, void *context,
                                  struct mb_error *err);

#endif
