/* SPDX-License-Identifier: MIT */
/*
 * Tells how long a program holds the write lock of a SQLite database in WAL mode, from outside.
 *
 *     LD_PRELOAD=lockwatch.so LOCKWATCH_FILE=/path/to/db-shm LOCKWATCH_LOG=/path/to/log program
 *
 * The write lock is a POSIX lock on byte 120 of the file "-shm" (WAL_WRITE_LOCK in SQLite's
 * wal.c). For each time that it was held a line is appended to the log: when it was taken and
 * for how long, in nanoseconds. The line is written after the lock was given back, so that the
 * writing is not part of what is measured.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS /* it would give fcntl() the name of fcntl64() */
#undef _TIME_BITS
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WRITE_LOCK_BYTE 120

typedef int fcntl_function(int fd, int command, void *argument);

static int64_t
    taken_ns; /* 0: not held. SQLite takes and gives this lock under a mutex of its own. */

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int is_watched(int fd)
{
    const char *file = getenv("LOCKWATCH_FILE");
    char link[64];
    char path[4096];
    ssize_t size;

    if (file == NULL) {
        return 0;
    }
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof(path) - 1);
    if (size < 0) {
        return 0;
    }
    path[size] = '\0';
    return strcmp(path, file) == 0;
}

static void tell(int64_t from_ns, int64_t until_ns)
{
    const char *name = getenv("LOCKWATCH_LOG");
    FILE *log = name == NULL ? NULL : fopen(name, "a");

    if (log == NULL) {
        (void)fprintf(stderr, "lockwatch: LOCKWATCH_LOG cannot be written\n");
        abort(); /* figures without this hold would be wrong */
    }
    (void)fprintf(log, "%lld %lld\n", (long long)from_ns, (long long)(until_ns - from_ns));
    (void)fclose(log);
}

static int watch(fcntl_function *next, int fd, int command, void *argument)
{
    const struct flock *lock = argument;
    int covers = (command == F_SETLK || command == F_SETLKW) && lock->l_whence == SEEK_SET &&
                 lock->l_start <= WRITE_LOCK_BYTE &&
                 (lock->l_len == 0 || lock->l_start + lock->l_len > WRITE_LOCK_BYTE);
    int rc;

    if (!covers || lock->l_type == F_RDLCK || !is_watched(fd)) {
        return next(fd, command, argument);
    }
    if (lock->l_type == F_WRLCK) {
        rc = next(fd, command, argument);
        if (rc == 0 && taken_ns == 0) {
            taken_ns = now_ns();
        }
        return rc;
    }
    rc = next(fd, command, argument);
    if (rc == 0 && taken_ns != 0) {
        int64_t from_ns = taken_ns;

        taken_ns = 0;
        tell(from_ns, now_ns());
    }
    return rc;
}

/* The C library has the function under two names; programs with large files use the second. The
 * arguments of all commands that SQLite uses fit into a pointer. */
#define INTERPOSE(name)                                                                            \
    int name(int fd, int command, ...)                                                             \
    {                                                                                              \
        static fcntl_function *next;                                                               \
        void *argument;                                                                            \
        va_list list;                                                                              \
                                                                                                   \
        if (next == NULL) {                                                                        \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        }                                                                                          \
        va_start(list, command);                                                                   \
        argument = va_arg(list, void *);                                                           \
        va_end(list);                                                                              \
        return watch(next, fd, command, argument);                                                 \
    }

#undef fcntl
#undef fcntl64
INTERPOSE(fcntl)
INTERPOSE(fcntl64)
