/* SPDX-License-Identifier: MIT */
#ifndef MB_STORE_H
#define MB_STORE_H

/*
 * The port: a place that keeps named objects. A folder, a bucket, or memory; the engine knows no
 * more.
 *
 * The model is the weakest store we want to live on (docs/DESIGN.md, "Assumptions about stores"):
 * no conditional write, no ETag, no modification time, no lock, lists that may be stale. What we
 * ask of it: an object is seen whole or not at all, and what was acknowledged stays. Even that is
 * checked: the engine holds a SHA-256 for everything it reads.
 *
 * Keys are '/'-joined parts of [A-Za-z0-9._-]; see mb_store_key_is_valid(). Anything else is
 * MB_ERR_USAGE from every slot, and is left out of every listing: a hostile listing cannot lead out
 * of the folder. No key may be the folder of another one ("a" beside "a/b"): a folder cannot hold
 * both.
 *
 * Wrappers are stores around stores. Production is verify(retry(trace(backend))), tests put fault()
 * inside. A wrapper takes the store it wraps and frees it (share() alone does not).
 *
 * Errors that every slot may give besides its own: MB_ERR_TEMPORARY (unreachable, try again),
 * MB_ERR_STORE_MISSING (the place itself is not there), MB_ERR_DENIED, MB_ERR_CREDENTIALS,
 * MB_ERR_NO_SPACE, MB_ERR_FAILED, MB_ERR_INTERRUPTED.
 */

#include "env.h"
#include "error.h"

#include <stdint.h>

struct mb_buf;
struct mb_store;

struct mb_store_object {
    const char *key; /* borrowed for the call */
    uint64_t size_bytes;
};

/* Called for each object of a listing, in any order. -1 with *err stops the listing, which then
 * returns -1 with that error. Must not call the store that is being listed. */
typedef int (*mb_store_object_fn)(void *context, const struct mb_store_object *object,
                                  struct mb_error *err);

/* Takes the next bytes of an object being read (size > 0; never called for an empty object). data
 * NULL with size 0: forget what came so far, the object is read again from its start. -1 with *err
 * stops the get, which then returns -1 with that error. Must not call the store that is being
 * read. */
typedef int (*mb_store_sink_fn)(void *context, const uint8_t *data, size_t size,
                                struct mb_error *err);

/* The bytes of an object being written, readable at any offset so that a put can be repeated. read
 * fills all of data[0..size), which lies inside the object; -1 with *err stops the put, which then
 * returns -1 with that error and without effect. */
struct mb_store_source {
    uint64_t size_bytes;
    void *context;
    int (*read)(void *context, uint64_t offset, uint8_t *data, size_t size, struct mb_error *err);
};

/*
 * What a backend or wrapper implements. Callers use the checked functions below, which have these
 * contracts too. Outputs are written only on success. Errors that came from a sink, a source or an
 * on_object are handed on as they are and never repeated.
 */
struct mb_store_ops {
    const char *name; /* "dir", "mem", "retry"...: for traces */

    /*
     * Is the place there, and does it hold a store of ours? *has_marker_out tells whether the
     * marker object (MB_STORE_MARKER_KEY) is there: a folder without it is empty, somebody else's,
     * or the bare mount point of a drive that is not mounted. MB_ERR_STORE_MISSING if the folder or
     * bucket itself is not there. May be repeated.
     */
    int (*probe)(struct mb_store *store, bool *has_marker_out, struct mb_error *err);

    /*
     * Writes the whole object, over an older one of that key. Durable when this returns 0. A reader
     * sees all of it or nothing. After MB_ERR_UNKNOWN_OUTCOME it may have happened, or may happen
     * later: our keys are immutable, so putting the same bytes again is always right. After
     * MB_ERR_CORRUPT (from verify() only) the store holds other bytes than were given. After any
     * other error it has not happened.
     */
    int (*put)(struct mb_store *store, const char *key, const struct mb_store_source *source,
               struct mb_error *err);

    /*
     * Feeds the object's bytes to sink in order. MB_ERR_NOT_FOUND; MB_ERR_LIMIT if it is larger
     * than size_bytes_max (before the sink got more than that). The sink may have been fed before
     * an error: what it holds then means nothing. A wrapper that repeats the get tells the sink to
     * start over first (see mb_store_sink_fn). May be repeated.
     */
    int (*get)(struct mb_store *store, const char *key, uint64_t size_bytes_max,
               mb_store_sink_fn sink, void *context, struct mb_error *err);

    /* Size of one object. MB_ERR_NOT_FOUND. May be repeated. */
    int (*stat)(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                struct mb_error *err);

    /*
     * Every object whose key starts with prefix ("", or a valid key and '/'), each once, in any
     * order; objects whose names are not keys are left out. A prefix under which there is nothing
     * gives nothing. May be stale or partial on some stores. on_object may have been called before
     * an error; a retrying wrapper collects before it hands on, so that it never sees an object
     * twice. MB_ERR_LIMIT after MB_LIMIT_LISTING objects.
     */
    int (*list)(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                void *context, struct mb_error *err);

    /* Removes the object; a missing one is fine. MB_ERR_UNKNOWN_OUTCOME as for put. May be
     * repeated. */
    int (*delete_object)(struct mb_store *store, const char *key, struct mb_error *err);

    void (*free)(struct mb_store *store);
};

struct mb_store {
    const struct mb_store_ops *ops; /* a backend embeds this struct as its first member */
};

/* The object that says "a store of ours": a constant, so that any number of machines may put it. */
#define MB_STORE_MARKER_KEY "membridge-store"
#define MB_STORE_MARKER_TEXT                                                                       \
    "This folder or bucket is a membridge store, format 1. Leave this file here.\n"

/* Parts of a key: a listing does not look deeper, so that a hostile folder cannot exhaust it. */
#define MB_STORE_KEY_PARTS_MAX 16
/* Bytes of one part: NAME_MAX of the file systems we know. */
#define MB_STORE_KEY_PART_BYTES_MAX 255

/*
 * At most MB_LIMIT_KEY_BYTES bytes, at most MB_STORE_KEY_PARTS_MAX parts joined by '/'. A part is 1
 * to MB_STORE_KEY_PART_BYTES_MAX of [A-Za-z0-9._-], does not start with '.', and is not a name that
 * other programs leave in a synced folder: "*.sync-conflict-*", "*.tmp", "Thumbs.db",
 * "desktop.ini". NULL is not valid.
 */
bool mb_store_key_is_valid(const char *key);

/* Is data[0..size) one valid part of a key? For backends that meet foreign names. */
bool mb_store_key_part_is_valid(const char *data, size_t size);

/* ---- the slots, with their arguments checked (contracts above) ---- */

MB_MUST_USE int mb_store_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err);
MB_MUST_USE int mb_store_put(struct mb_store *store, const char *key, const void *data, size_t size,
                             struct mb_error *err);
MB_MUST_USE int mb_store_put_source(struct mb_store *store, const char *key,
                                    const struct mb_store_source *source, struct mb_error *err);
/* The whole object into buf, which is cleared first, must have room for size_bytes_max, and is
 * empty after a failure. */
MB_MUST_USE int mb_store_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                             struct mb_buf *buf, struct mb_error *err);
MB_MUST_USE int mb_store_get_sink(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                                  mb_store_sink_fn sink, void *context, struct mb_error *err);
MB_MUST_USE int mb_store_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                              struct mb_error *err);
MB_MUST_USE int mb_store_list(struct mb_store *store, const char *prefix,
                              mb_store_object_fn on_object, void *context, struct mb_error *err);
MB_MUST_USE int mb_store_delete(struct mb_store *store, const char *key, struct mb_error *err);
void mb_store_free(struct mb_store *store); /* NULL is fine */

/* Puts the marker. */
MB_MUST_USE int mb_store_mark(struct mb_store *store, struct mb_error *err);

/* ---- backends ---- */

/* In memory, for tests and the simulation. Never fails by itself. */
struct mb_store *mb_store_mem_new(void);

/*
 * A folder, which may itself be synced by others (Syncthing, a NAS, NFS, a USB stick). An object is
 * a file at <folder>/<key>, mode 0600 in folders of mode 0700: the store belongs to one user; widen
 * it by an ACL if it must be shared. Written by temporary file (".membridge-tmp-<random>" beside
 * it), fsync, rename, fsync of the folders; no lock and no modification time is relied on. An
 * object that already holds the very bytes is made durable, but not written again (a sync program
 * would see two versions of it). What is not ours is not listed: names that are not parts of keys
 * (.stfolder, .DS_Store, temporary files of a writer that died) and whatever is not a regular file.
 * Symbolic links inside the folder are refused; the folder itself may be reached through one. The
 * folder itself is never made here, and folders below it are never removed.
 *
 * `folder` is copied, env is borrowed for the store's life. Opening does not touch the disk.
 * RLIMIT_FSIZE gives MB_ERR_NO_SPACE if the process ignores SIGXFSZ.
 */
struct mb_store *mb_store_dir_new(const char *folder, const struct mb_env *env);

/* ---- wrappers: each takes `inner` ---- */

/*
 * Repeats any request after MB_ERR_TEMPORARY and MB_ERR_UNKNOWN_OUTCOME: at most attempt_count_max
 * attempts (1 or more), the pause before the next one evenly random in [0, delay_first_ms * 2^n]
 * and at most delay_max_ms (full jitter), none begun after deadline_ms since the call (0: no
 * deadline; the clock may jump, so the count is the bound that holds). Before each repetition env's
 * step "store-retry" may stop it. If any attempt of a put or delete had an unknown outcome and none
 * succeeded, the outcome stays unknown whatever the last error was. *config is copied, env is
 * borrowed for the store's life.
 */
struct mb_store_retry_config {
    unsigned attempt_count_max;
    int64_t delay_first_ms;
    int64_t delay_max_ms;
    int64_t deadline_ms;
};
struct mb_store *mb_store_retry_new(struct mb_store *inner,
                                    const struct mb_store_retry_config *config,
                                    const struct mb_env *env);

/* What went over the wire, counted by the trace wrapper. */
struct mb_store_counts {
    uint64_t request_count;  /* calls of any slot, failed ones too */
    uint64_t sent_bytes;     /* of objects whose put succeeded or had an unknown outcome */
    uint64_t received_bytes; /* of objects, that sinks were fed */
};

/* Traces each request (component "store": op, key, bytes, ms, result) and adds to *counts. counts
 * and env are borrowed for the store's life; counts may be NULL. */
struct mb_store *mb_store_trace_new(struct mb_store *inner, const struct mb_env *env,
                                    struct mb_store_counts *counts);

/*
 * Reads every put back and compares it, so that "done" is only said of what is there. If the object
 * is missing or differs, it is put once more; after that MB_ERR_CORRUPT if the store holds other
 * bytes, MB_ERR_UNKNOWN_OUTCOME if it has none or cannot be read. Gets pass through: the engine
 * holds a hash for all that it reads.
 */
struct mb_store *mb_store_verify_new(struct mb_store *inner);

/* Injects faults by plan or by chance; for tests only. A kind that does not fit the slot does
 * nothing. */
enum mb_store_fault_kind {
    MB_STORE_FAULT_NONE,
    /* Any slot fails without effect: MB_ERR_TEMPORARY. */
    MB_STORE_FAULT_BEFORE,
    /* Takes effect (or feeds all), then the reply is lost: put and delete give
     * MB_ERR_UNKNOWN_OUTCOME, the others MB_ERR_TEMPORARY. */
    MB_STORE_FAULT_AFTER,
    /* put, delete: MB_ERR_UNKNOWN_OUTCOME, effect at mb_store_fault_release() or when
     * MB_STORE_FAULT_LATE_REQUESTS more requests came, whichever is first; never, if the store is
     * freed before. */
    MB_STORE_FAULT_LATE,
    /* get: only the first half of the body comes, with no error. */
    MB_STORE_FAULT_SHORT,
    /* list: leaves some objects out; get and stat: MB_ERR_NOT_FOUND. */
    MB_STORE_FAULT_STALE,
    /* put: MB_ERR_NO_SPACE without effect. */
    MB_STORE_FAULT_FULL,
    /* get: one bit differs. */
    MB_STORE_FAULT_FLIP,
    /* put, delete: acknowledged at once, effect as late as that of LATE. */
    MB_STORE_FAULT_LAZY,
    /* get: the body of the object of another key, that which this store was asked for before. */
    MB_STORE_FAULT_SWAP,
};
#define MB_STORE_FAULT_LATE_REQUESTS 16
struct mb_store_fault_config {
    /* Chosen for each request, in order from 0. slot is "put", "get", "stat", "list", "delete" or
     * "probe"; key is the prefix for "list" and "" for "probe". NULL: never a fault. */
    enum mb_store_fault_kind (*choose)(void *context, uint64_t request_index, const char *slot,
                                       const char *key);
    /* Which of the listed objects a stale list leaves out; NULL: every second one. */
    bool (*hide)(void *context, const char *key);
    void *context; /* borrowed for the store's life */
};
struct mb_store *mb_store_fault_new(struct mb_store *inner,
                                    const struct mb_store_fault_config *config);
/* Lets all late puts and deletes take effect, in the order they were made. fault_store is what
 * mb_store_fault_new() gave. On failure those not yet done stay waiting. */
MB_MUST_USE int mb_store_fault_release(struct mb_store *fault_store, struct mb_error *err);

/* A store that hands every call to `inner` and does not free it: for several machines on one store.
 * inner is borrowed for the store's life. */
struct mb_store *mb_store_share_new(struct mb_store *inner);

#endif
