/* SPDX-License-Identifier: MIT */
#ifndef FAULTS_WORLD_H
#define FAULTS_WORLD_H

/*
 * A small world in which one operation of one machine is run again and again, each time with
 * another fault, and compared with a run that had none.
 *
 * Machine a runs the operation, b is the other one, c is empty until the end: what it then pulls is
 * what the store holds.
 *
 * world_new -> (world_restore, world_run, world_check_fault, world_check_repair)* -> world_free.
 */

#include "fleet.h"

struct world;
struct world_fault;

struct world_op {
    const char *name;
    const char *version; /* of a's database */
    void (*prepare)(struct world *world);
    /* Through the engine, opened and closed. */
    int (*run)(struct world *world, struct mb_error *err);
    void (*check)(struct world *world); /* that the run without a fault had something to do */
};

struct world {
    const struct world_op *op;
    struct fleet *fleet;
    struct fleet_machine *a, *b, *c;
    char *backup_dir;  /* a's, while the operation runs */
    struct save *save; /* all of it, before the operation */
    char *allowed[32]; /* a's database before it, after each commit of it, and at its end */
    size_t allowed_count;
    char *meaning_before, *meaning_after; /* of its database, row ids apart */
    char *settled;                        /* what the run without a fault came to */
    struct seen *seen;                    /* what was looked at already */
    int64_t now_ms;
    uint64_t random_state;
};

extern const struct world_op world_ops[];
extern const size_t world_op_count;

/* Prepares, saves, and runs the operation once without a fault. */
struct world *world_new(const struct world_op *op);
void world_free(struct world *world); /* NULL is fine */

/* Puts databases, states, files and store back to where they were before the operation; all stay
 * the same files. */
void world_restore(struct world *world);

/* The operation, always at the same time of the clock and with the same random numbers. */
int world_run(struct world *world, struct mb_error *err);

/* The engine's configuration of a, with backups. */
struct mb_engine_config world_config(struct world *world);

/*
 * After an operation in which something failed, and with the fault gone:
 * - it succeeded, or failed with a code and a sentence in which there is no row's text;
 * - it left no open file, and no file that is not a database's, the lock or a whole backup (of a
 *   fault that is_kill, the backups are whole);
 * - a's database holds exactly what it held before, or after one of the commits of the run without
 *   a fault, in every column of the synced tables and in sqlite_sequence; its schema is the same;
 *   Of a fault that may_skip one of several streams: each row is one of before the operation or of
 *   its end, ids apart;
 * - integrity, foreign keys and full-text indexes are in order, those of state.db and the backups
 *   too.
 */
void world_check_fault(struct world *world, const struct world_fault *fault, int rc,
                       const struct mb_error *err);

/*
 * Runs the operation again, which must succeed, and lets all settle. Then a, b and c hold the same
 * rows as in the run without a fault, know the same rows and tombstones, have the same digest, and
 * nothing waits, is held, in flight, dirty or loose that did not there.
 *
 * Not done where it was done before: for the same rows in a's database, the same state but for the
 * last results, the same backups and the same objects in the store, since time and randomness are
 * the same too.
 */
void world_check_repair(struct world *world);

/* a, b and c hold the same rows, have the same digest, and nothing waits to be sent. */
void world_check_agreement(struct world *world);

/* For operations of other files: both machines have a's rows and b's. */
void world_prepare_shared(struct world *world);

/* ---- what the loops share ---- */

struct world_fault {
    const char *name;
    void (*arm)(struct world *world, const struct world_fault *fault, uint64_t n); /* 0: none */
    uint64_t (*disarm)(struct world *world); /* how many calls there were */
    const char *(*where)(void);              /* for messages; or NULL */
    bool may_skip;                           /* a whole stream */
    bool is_kill; /* what the operation would have removed may lie about */
    int code;     /* what these mean is arm's business */
    unsigned ops;
    bool is_sticky;
};

/*
 * For each operation and each fault: calls 1, 2, 3 ... fail in turn until a run passes without it.
 * Where there are more than `samples` of them (0: no bound), every p-th, with p prime. Stops at the
 * first failure and tells which it was. op: the name of the only operation; NULL: all.
 */
void world_loop(const char *op, const struct world_fault *faults, size_t fault_count,
                size_t samples);

/* A prime p, so that `total` calls taken each p-th are at most `samples`. */
uint64_t world_stride(uint64_t total, size_t samples);

/* Says what is being run, in case it crashes or a check fails. */
void world_note(const char *format, ...) MB_PRINTF(1, 2);
/* Prints the note once if the running test has failed; true then. */
bool world_has_failed(void);

#endif
