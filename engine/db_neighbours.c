/* SPDX-License-Identifier: MIT */
#include "db_neighbours.h"

#include "alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "banned.h"

/* UNIX_SHM_DMS in SQLite's os_unix.c, part of its file format (wal-lock.md): every connection in
 * WAL mode holds a shared lock on this byte for as long as it is open. */
#define SHM_OPEN_BYTE 128

int mb_db_neighbours_look(const char *path, bool *found_out)
{
    char *shm = mb_alloc_format("%s-shm", path);
    int fd = open(shm, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHM_OPEN_BYTE, .l_len = 1};

    if (fd < 0) {
        *found_out = errno != ENOENT;
    } else {
        /* The lock is not taken: this only asks who would be in the way. */
        *found_out = fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
    }
    free(shm);
    return fd;
}

void mb_db_neighbours_release(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}
