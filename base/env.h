/* SPDX-License-Identifier: MIT */
#ifndef MB_ENV_H
#define MB_ENV_H

/*
 * The world as a parameter: clock, sleep, randomness, machine identity, and the points at which
 * work may be stopped. Engine and store take a const struct mb_env * and never call time(),
 * sleep(), rand() or getenv(); with env and store replaced a whole fleet of machines runs in one
 * process from one seed (tests/sim).
 */

#include "error.h"

#include <stdint.h>

#define MB_ENV_NAME_MAX 256

struct mb_env {
    void *context;
    int64_t (*now_ms)(
        void *context); /* UTC wall clock, milliseconds since 1970; may be wrong or jump */
    void (*sleep_ms)(void *context, int64_t duration_ms);
    void (*random)(void *context, void *data, size_t size); /* unpredictable in production */
    /*
     * Called before and after every durable step (a commit, a put, a rename) with its name. 0: go
     * on. Otherwise -1 and *err (MB_ERR_INTERRUPTED, or MB_ERR_TEMPORARY when a deadline has
     * passed): the caller returns at once and writes nothing more. Production stops here on Ctrl-C
     * and deadlines; the simulation kills machines and lets others run in between.
     */
    int (*step)(void *context, const char *name, struct mb_error *err);
    char machine_id
        [MB_ENV_NAME_MAX]; /* the operating system's (/etc/machine-id); "" if it has none */
    char host_name[MB_ENV_NAME_MAX]; /* for people; not trusted, not unique */
};

/* The real world. env->step always goes on until mb_env_interrupt() was called or the deadline has
 * passed. */
void mb_env_init_system(struct mb_env *env);

/* Asks the system env to stop at its next step: async-signal-safe, for use in handlers. */
void mb_env_interrupt(void);

/* The system env's steps fail with MB_ERR_TEMPORARY from this time on (CLOCK_MONOTONIC based; 0:
 * none). */
void mb_env_set_deadline(int64_t timeout_ms);

MB_MUST_USE int mb_env_step(const struct mb_env *env, const char *name, struct mb_error *err);

#endif
