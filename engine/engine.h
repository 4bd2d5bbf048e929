/* SPDX-License-Identifier: MIT */
#ifndef MB_ENGINE_H
#define MB_ENGINE_H

/*
 * The sync engine: one claude-mem database, one store, and the state between them.
 *
 * open -> push / pull / status / conflicts -> close. An engine that is not read-only holds the
 * project's lock on this machine from open to close. Nothing here prints; progress and row-by-row
 * explanations go to callbacks.
 *
 * Rows move, never files: pull writes the live database in short transactions while claude-mem
 * runs, push reads it. What every step guarantees, and what happens when it is killed, is in
 * docs/DESIGN.md; the invariants named there are named in the code that relies on them.
 */

#include "env.h"
#include "error.h"
#include "store.h"

#include <stdint.h>

struct mb_engine;

enum mb_engine_phase {
    MB_PHASE_CAPTURE = 1, /* reading the database */
    MB_PHASE_BACKUP,
    MB_PHASE_UPLOAD,   /* done and total in bytes */
    MB_PHASE_DOWNLOAD, /* done and total in bytes */
    MB_PHASE_MERGE,    /* done and total in records */
};
struct mb_engine_progress {
    enum mb_engine_phase phase;
    int64_t done;
    int64_t total; /* 0: not known */
};

enum mb_change_kind {
    MB_CHANGE_INSERT = 1,
    MB_CHANGE_UPDATE,
    MB_CHANGE_DELETE,
    MB_CHANGE_PARK, /* kept aside: this claude-mem cannot hold it yet, or its row has not come */
    MB_CHANGE_CONFLICT, /* two machines changed the same value; the other value is kept */
    MB_CHANGE_HOLD,     /* a mass delete that waits for a person */
};
struct mb_engine_change {
    enum mb_change_kind kind;
    const char *table;
    const char *row_id; /* 32 hex digits */
    const char
        *title; /* cleaned for people: title, request, prompt or project; "" if it has none */
    const char
        *why; /* a few words: "new on laptop", "deleted on this machine", "project: a -> b" */
};

struct mb_engine_config {
    const char *project;   /* CLAUDE_PROJECT_ID */
    const char *db_path;   /* claude-mem.db */
    const char *state_dir; /* made if missing, mode 0700; holds state.db and the lock */
    /* For messages, and to notice that another store was named; no secrets; NULL: "". */
    const char *store_name;
    const char *backup_dir; /* made when the first backup is; NULL: no backups (tests) */
    struct mb_store *store; /* borrowed; NULL for operations that need none */
    const struct mb_store_counts *store_counts; /* borrowed; of the trace wrapper, or NULL */
    const struct mb_env *env;                   /* borrowed */
    const char *program;                        /* "membridge 0.1.0" */
    bool is_read_only; /* takes no lock, writes nothing; for status and conflicts */
    bool with_tool_uses;
    int backup_days_max;  /* PULL_BACKUP_MAX_DAYS, 14 */
    int backup_count_max; /* PULL_BACKUP_MAX_COUNT, 50 */
    void *callback_context;
    void (*on_progress)(void *context, const struct mb_engine_progress *progress); /* or NULL */
    void (*on_change)(void *context, const struct mb_engine_change *change);       /* or NULL */
};

/*
 * Copies the texts, borrows the rest. Takes the lock (unless read-only), opens or makes the state,
 * finishes what a killed run left. Does not need the database or the store yet. MB_ERR_LOCKED,
 * MB_ERR_NOT_SET_UP (read-only and there is no state yet), MB_ERR_CORRUPT (state.db damaged: the
 * message says how to set it aside), MB_ERR_FORMAT (state.db of a newer membridge), file errors.
 */
MB_MUST_USE int mb_engine_open(const struct mb_engine_config *config, struct mb_engine **engine_out,
                               struct mb_error *err);
void mb_engine_close(struct mb_engine *engine); /* NULL is fine */

/* First 16 hex digits of SHA-256(project), with a NUL: the project's folder in the store and the
 * state folder. */
#define MB_CANONICAL_ID_SIZE 17
void mb_engine_canonical_id(const char *project, char out[static MB_CANONICAL_ID_SIZE]);

enum mb_outcome {
    MB_OUTCOME_DONE = 1,
    MB_OUTCOME_NOTHING, /* "nothing_to_do" */
    MB_OUTCOME_QUEUED,  /* the store cannot be reached; all is safe in the outbox */
    MB_OUTCOME_UNKNOWN, /* a reply was lost: it may have happened; the next push finds out */
};
const char *mb_engine_outcome_name(enum mb_outcome outcome);

struct mb_engine_machine {
    char id[17];
    char name[64];        /* cleaned */
    int64_t rows_behind;  /* records of that stream that we have not read (0 after a pull) */
    int64_t last_seen_ms; /* time in its newest head; 0: never */
    int64_t sequence;     /* last push of it that we know of */
    bool is_self;
};

struct mb_push_request {
    bool is_dry_run;
    bool is_full;        /* publish everything again */
    bool accept_deletes; /* release deletes that were held here */
};
struct mb_push_report {
    enum mb_outcome outcome;
    int64_t rows_sent; /* records: rows, changes and tombstones (a dry run: that would be sent) */
    int64_t deletes_sent;
    int64_t deletes_held; /* waiting for --accept-deletes */
    uint64_t bytes_sent;
    uint64_t request_count;
    struct mb_error reason; /* QUEUED, UNKNOWN: why */
};
/*
 * Captures, then sends what the outbox holds. When the store cannot be reached the result is 0 with
 * QUEUED or UNKNOWN. MB_ERR_NO_DATABASE, MB_ERR_SCHEMA, MB_ERR_CORRUPT, MB_ERR_BUSY,
 * MB_ERR_NO_SPACE, MB_ERR_STORE_MISSING, MB_ERR_DENIED, ...
 */
MB_MUST_USE int mb_engine_push(struct mb_engine *engine, const struct mb_push_request *request,
                               struct mb_push_report *report_out, struct mb_error *err);

#define MB_ENGINE_MACHINES_MAX 64
struct mb_pull_request {
    bool is_dry_run;
    bool heal;           /* put held deletes back: every row known alive is restored here */
    bool accept_deletes; /* apply deletes that arrived and were held here */
    bool no_backup;      /* hooks: never wait for a backup */
};
struct mb_pull_report {
    enum mb_outcome outcome;
    int64_t rows_inserted;
    int64_t rows_updated;
    int64_t rows_deleted;
    int64_t rows_parked;  /* put aside by this pull */
    int64_t conflicts;    /* found by this pull */
    int64_t deletes_held; /* arrived, waiting for a person */
    uint64_t bytes_received;
    uint64_t request_count;
    size_t machine_count;
    struct mb_engine_machine machines[MB_ENGINE_MACHINES_MAX];
    struct mb_error
        /* MB_OK, or what a person should know (a damaged object of one machine: the rest was
         * merged) */
        warning;
};
/* Captures, reads what is new in the store, merges it. A damaged stream does not keep the others
 * from being merged: it is in `warning`, and tried again by the next pull. Errors as for push;
 * MB_ERR_TEMPORARY if the store cannot be reached. */
MB_MUST_USE int mb_engine_pull(struct mb_engine *engine, const struct mb_pull_request *request,
                               struct mb_pull_report *report_out, struct mb_error *err);

struct mb_engine_result { /* of the last push or pull */
    int64_t time_ms;      /* 0: never */
    char outcome[32];     /* an outcome's name or an error's wire name */
    char message[256];    /* of the error; "" if there was none */
};
#define MB_ENGINE_TABLES_MAX 8
struct mb_engine_table_count {
    char name[32];
    int64_t row_count;
};
struct mb_status_report {
    char machine_id[17];
    char host_name[64];
    char canonical_id[MB_CANONICAL_ID_SIZE];
    char digest[33];
    size_t table_count;
    struct mb_engine_table_count tables[MB_ENGINE_TABLES_MAX]; /* rows known alive here */
    int64_t pending_out;      /* records captured and not yet acknowledged */
    int64_t deletes_held_out; /* wait for push --accept-deletes or pull --heal */
    int64_t deletes_held_in;  /* arrived; wait for pull --accept-deletes */
    int64_t rows_parked;
    int64_t conflicts;
    bool is_healing;
    struct mb_engine_result last_push;
    struct mb_engine_result last_pull;
    size_t machine_count;
    struct mb_engine_machine machines[MB_ENGINE_MACHINES_MAX];
    char digest_alarm[128]; /* "" or: which machine has read the same and has other rows */
};
/* From the state alone: no network, and the database is not opened. */
MB_MUST_USE int mb_engine_status(struct mb_engine *engine, struct mb_status_report *report_out,
                                 struct mb_error *err);

struct mb_engine_conflict {
    int64_t id;
    const char *table;
    const char *row_id;
    const char *title;
    const char *column;
    const char *kept_value;  /* cleaned and cut; what stands everywhere */
    const char *other_value; /* likewise; what was kept aside */
    const char *other_machine;
    int64_t time_ms;
};
typedef int (*mb_engine_conflict_fn)(void *context, const struct mb_engine_conflict *conflict,
                                     struct mb_error *err);
MB_MUST_USE int mb_engine_conflicts(struct mb_engine *engine, mb_engine_conflict_fn on_conflict,
                                    void *context, struct mb_error *err);

struct mb_engine_versions {
    char sqlite[16];
    bool sqlite_has_wal_reset_fix; /* docs/DESIGN.md, "the WAL-reset bug" */
};
void mb_engine_library_versions(struct mb_engine_versions *versions_out);

/* Puts the store's marker (membridge init, and the first push to an empty store). MB_ERR_DECISION
 * if the place holds foreign things and no marker; MB_ERR_STORE_MISSING if it is not there. */
MB_MUST_USE int mb_engine_init_store(struct mb_engine *engine, struct mb_error *err);

#endif
