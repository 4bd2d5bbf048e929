/* SPDX-License-Identifier: MIT */
#ifndef MB_FILE_TEST_H
#define MB_FILE_TEST_H

/*
 * A seam for tests only: the system calls by which file.c makes things durable, so that a test can
 * let the Nth of them fail. Production never includes this.
 */

#include <stddef.h>
#include <sys/types.h>

struct mb_file_calls {
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*write)(int fd, const void *data, size_t size);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
};

/* The real ones; borrowed. */
const struct mb_file_calls *mb_file_real_calls(void);

/* calls is borrowed until the next call; NULL brings the real ones back. */
void mb_file_set_calls(const struct mb_file_calls *calls);

#endif
