/* SPDX-License-Identifier: MIT */
#include "env.h"

#include "assert.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "banned.h"

static volatile sig_atomic_t was_interrupted;
static int64_t deadline_at_ms; /* by the monotonic clock; 0: none */

static int64_t clock_ms(clockid_t clock)
{
    struct timespec spec;

    MB_ASSERT(clock_gettime(clock, &spec) == 0);
    return (int64_t)spec.tv_sec * 1000 + spec.tv_nsec / 1000000;
}

static int64_t system_now_ms(void *context)
{
    (void)context;
    return clock_ms(CLOCK_REALTIME);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Sleeps in one piece, but no longer than to the deadline and not on after an interrupt. */
static void system_sleep_ms(void *context, int64_t duration_ms)
{
    int64_t end_ms = 0;

    (void)context;
    if (duration_ms <= 0) {
        return;
    }
    int64_t now_ms = clock_ms(CLOCK_MONOTONIC);
    end_ms = duration_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + duration_ms;
    if (deadline_at_ms != 0) {
        end_ms = least(end_ms, deadline_at_ms);
    }
    while (now_ms < end_ms && !was_interrupted) {
        /* A day at most in one call, so that no platform's time_t is too narrow. */
        int64_t wait_ms = least(end_ms - now_ms, 86400000);
        struct timespec spec = {.tv_sec = (time_t)(wait_ms / 1000),
                                .tv_nsec = (long)(wait_ms % 1000) * 1000000};
        (void)nanosleep(&spec, NULL);
        now_ms = clock_ms(CLOCK_MONOTONIC);
    }
}

static void system_random(void *context, void *data, size_t size)
{
    uint8_t *next = data;

    (void)context;
    while (size > 0) {
        size_t part = size < 256 ? size : 256; /* getentropy's maximum */
#ifdef __linux__
        ssize_t got = getrandom(next, part, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        MB_ASSERT(got > 0);
        part = (size_t)got;
#else
        MB_ASSERT(getentropy(next, part) == 0);
#endif
        next += part;
        size -= part;
    }
}

static int system_step(void *context, const char *name, struct mb_error *err)
{
    (void)context;
    if (was_interrupted) {
        return mb_error_set(err, MB_ERR_INTERRUPTED, "interrupted before '%s'", name);
    }
    if (deadline_at_ms != 0 && clock_ms(CLOCK_MONOTONIC) >= deadline_at_ms) {
        return mb_error_set(err, MB_ERR_TEMPORARY, "out of time before '%s'", name);
    }
    return 0;
}

#ifdef __APPLE__
static void read_machine_id(char out[static MB_ENV_NAME_MAX])
{
    static const char digits[] = "0123456789abcdef";
    const struct timespec wait = {.tv_sec = 1, .tv_nsec = 0};
    uuid_t id;

    out[0] = '\0';
    if (gethostuuid(id, &wait) != 0) {
        return;
    }
    for (size_t i = 0; i < sizeof(id); i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 0x0F];
    }
    out[2 * sizeof(id)] = '\0';
}
#else
/* The first line of the file, or "" if there is no such file. */
static void read_first_line(const char *path, char out[static MB_ENV_NAME_MAX])
{
    size_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    out[0] = '\0';
    if (fd < 0) {
        return;
    }
    while (size < MB_ENV_NAME_MAX - 1) {
        ssize_t got = read(fd, out + size, MB_ENV_NAME_MAX - 1 - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
    }
    out[size] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    (void)close(fd);
}

static void read_machine_id(char out[static MB_ENV_NAME_MAX])
{
    read_first_line("/etc/machine-id", out);
    /* An image that is not started yet holds "uninitialized" (machine-id(5)): shared by all its
     * copies. */
    if (out[0] == '\0' || strcmp(out, "uninitialized") == 0) {
        read_first_line("/var/lib/dbus/machine-id", out);
    }
}
#endif

void mb_env_init_system(struct mb_env *env)
{
    memset(env, 0, sizeof(*env));
    env->now_ms = system_now_ms;
    env->sleep_ms = system_sleep_ms;
    env->random = system_random;
    env->step = system_step;
    read_machine_id(env->machine_id);
    if (gethostname(env->host_name, sizeof(env->host_name) - 1) != 0) {
        env->host_name[0] = '\0';
    }
}

void mb_env_interrupt(void)
{
    was_interrupted = 1;
}

void mb_env_set_deadline(int64_t timeout_ms)
{
    MB_ASSERT(timeout_ms >= 0);
    deadline_at_ms = timeout_ms == 0 ? 0 : clock_ms(CLOCK_MONOTONIC) + timeout_ms;
}

int mb_env_step(const struct mb_env *env, const char *name, struct mb_error *err)
{
    return env->step(env->context, name, err);
}
