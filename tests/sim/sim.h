/* SPDX-License-Identifier: MIT */
#ifndef SIM_H
#define SIM_H

/*
 * A fleet in one process: 2 to 8 machines, each with a real claude-mem database, its own state
 * folder, clock and faults, over one store in memory. Everything that happens follows from one
 * seed.
 *
 *   sim_random.c   numbers from a seed
 *   sim_script.c   which kinds of trouble a seed has, and its list of events; stories as text
 *   sim_db.c       databases: templates of three versions, scanning, copying
 *   sim_ledger.c   the independent model: what was ever written, what a person deleted
 *   sim_rows.c     rows as claude-mem makes them
 *   sim_edit.c     what claude-mem and people do to a database
 *   sim_world.c    machines, stores, clocks
 *   sim_disaster.c what befalls databases, states, disks and stores
 *   sim_upgrade.c  claude-mem moves on to its newest schema
 *   sim_disk.c     files and stores as a whole
 *   sim_sync.c     the engine, opened, used and closed for each sync; the only file that calls it
 *   sim_judge.c    compares all databases with the ledger
 *   sim_run.c      one seed from setup to verdict
 *   sim_traps.c    which traps of the model a run went through; sim_coverage.c counts them
 *   sim_recipes.c  events in the order that leads into a trap, put among those made by chance
 *
 * The ledger knows nothing of row ids, registers or tombstones: a row is known by the tag that the
 * edit gave it (the content session id, or a creation time that no other row has).
 */

#include "env.h"
#include "error.h"
#include "store.h"

#include <sqlite3.h>

#include <stdint.h>
#include <stdio.h>

#define SIM_MACHINES_MAX 8
#define SIM_ROWS_MAX 4096
#define SIM_EVENTS_MAX 128
#define SIM_ERRORS_MAX 12
#define SIM_ERROR_TEXT 400
#define SIM_PENDING_MAX 512
#define SIM_COLUMNS_MAX 24
#define SIM_TEXT_MAX 64
#define SIM_STOLEN_MAX 512 /* values that a later change replaced */
#define SIM_STEPS_MAX 32   /* names of durable steps */
#define SIM_FAULT_KINDS ((int)MB_STORE_FAULT_SWAP + 1)
#define SIM_SLOTS 6 /* of the store */
#define SIM_STREAMS_MAX 64
#define SIM_HEADS_MAX 1024
#define SIM_HOT_MAX 6

/* ---- numbers from a seed ---- */

struct sim_random {
    uint64_t state;
};
void sim_random_init(struct sim_random *random, uint64_t seed);
uint64_t sim_random_next(struct sim_random *random);
unsigned sim_random_below(struct sim_random *random, unsigned bound); /* bound 0 gives 0 */
bool sim_random_chance(struct sim_random *random, unsigned percent);
uint64_t sim_random_mix(uint64_t a, uint64_t b); /* a hash of both */

/* ---- kinds of trouble: name, how many percent of seeds have it ---- */

/* clang-format off */
#define SIM_KIND_TABLE(X)                                                                          \
    X(REG, "reg", 60)               X(DEL, "del", 50)             X(SESSDEL, "sessdel", 35)         \
    X(RESUME, "resume", 40)         X(REWRITE, "rewrite", 30)     X(MANUAL, "manual", 40)           \
    X(NULLPROMPT, "nullprompt", 30) X(CUT, "cut", 15)             X(COPIES, "copies", 25)           \
    X(ORPHANS, "orphans", 20)       X(MASSDEL, "massdel", 15)     X(CLONED, "cloned", 40)           \
    X(OLDSCHEMA, "oldschema", 40)   X(ROLLBACK, "rollback", 40)   X(WORKER, "worker", 50)           \
    X(CRASH, "crash", 40)           X(RACE, "race", 40)           X(FAULT, "fault", 40)             \
    X(SKEW, "skew", 40)             X(FULL, "full", 15)           X(DBRESTORE, "dbrestore", 25)     \
    X(STATELOSS, "stateloss", 25)   X(VM, "vm", 25)               X(CLONE, "clone", 25)             \
    X(STORERESTORE, "storerestore", 12)                           X(GONE, "gone", 12)               \
    X(MIGRATE, "migrate", 12)       X(HOT, "hot", 60)             X(AIM, "aim", 50)                 \
    X(TWOPROC, "twoproc", 40)       X(DISKFULL, "diskfull", 15)   X(UPGRADE, "upgrade", 12)         \
    X(AWAY, "away", 15)             X(FOLD, "fold", 12)           X(GROW, "grow", 4)                \
    X(BACKUP, "backup", 10)         X(BIG, "big", 10)             X(STRANGE, "strange", 60)         \
    X(REINSTALL, "reinstall", 8)
/* clang-format on */

enum sim_kind {
#define X(id, name, percent) SIM_KIND_##id,
    SIM_KIND_TABLE(X)
#undef X
        SIM_KINDS
};
typedef uint64_t sim_kinds; /* a bit for each */
#define SIM_HAS(kinds, id) (((kinds) >> (unsigned)SIM_KIND_##id & 1u) != 0)
#define SIM_ALL_KINDS (((sim_kinds)1 << SIM_KINDS) - 1)

/* ---- events: name, weight, the kind that brings it (KINDS: always there) ---- */

/* clang-format off */
#define SIM_EVENT_TABLE(X)                                                                         \
    X(SYNC, "sync", 8, S)            X(PUSH, "push", 2, S)           X(PULL, "pull", 2, S)           \
    X(NEWSESS, "newsess", 2, S)      X(NEWOBS, "newobs", 4, S)       X(NEWSUM, "newsum", 2, S)       \
    X(NEWPROMPT, "newprompt", 2, S)  X(FILL, "fill", 1, S)           X(TITLE, "title", 2, REG)       \
    X(COMPLETE, "complete", 2, REG)  X(PROJECT, "project", 3, REG)   X(MERGEINTO, "mergeinto", 2, REG) \
    X(DEL, "del", 3, DEL)            X(SESSDEL, "sessdel", 2, SESSDEL) X(RESUME, "resume", 4, RESUME) \
    X(REWRITE, "rewrite", 1, REWRITE) X(MANUAL, "manual", 3, MANUAL) X(NULLPROMPT, "nullprompt", 2, NULLPROMPT) \
    X(CUT, "cut", 2, CUT)            X(COPY, "copy", 2, COPIES)      X(ORPHAN, "orphan", 1, ORPHANS) \
    X(BULK, "bulk", 3, MASSDEL)      X(MASSDEL, "massdel", 4, MASSDEL) X(KILL, "kill", 4, CRASH)     \
    X(RACE, "race", 6, RACE)         X(JUMP, "jump", 1, SKEW)        X(FULLPUSH, "fullpush", 1, FULL) \
    X(DBRESTORE, "dbrestore", 2, DBRESTORE)                          X(STATELOSS, "stateloss", 1, STATELOSS) \
    X(VM, "vm", 1, VM)               X(CLONE, "clone", 1, CLONE)     X(STORERESTORE, "storerestore", 1, STORERESTORE) \
    X(GONE, "gone", 1, GONE)         X(MIGRATE, "migrate", 1, MIGRATE) X(UPGRADE, "upgrade", 1, UPGRADE) \
    X(AWAY, "away", 1, AWAY)         X(PUSHES, "pushes", 1, FOLD)    X(GROW, "grow", 1, GROW)         \
    X(DISKFULL, "diskfull", 3, DISKFULL) X(BIG, "big", 1, BIG)       X(BLIND, "blind", 1, FAULT) X(REINSTALL, "reinstall", 1, REINSTALL)
/* clang-format on */

enum sim_event_what {
#define X(id, name, weight, kind) SIM_EVENT_##id,
    SIM_EVENT_TABLE(X)
#undef X
        SIM_EVENT_WHATS
};
const char *sim_event_name(enum sim_event_what what);

struct sim_event {
    enum sim_event_what what;
    unsigned machine; /* taken modulo the machines that live */
    uint64_t seed;    /* all that the event decides by chance comes from here */
};

struct sim_script {
    uint64_t seed;
    sim_kinds kinds;
    size_t event_count;
    struct sim_event events[SIM_EVENTS_MAX];
};
void sim_script_make(struct sim_script *script, uint64_t seed, sim_kinds allowed);
bool sim_script_find_event(const char *text, size_t size, enum sim_event_what *what_out);
/* Puts the events of a recipe or two among those of the script, and adds their kinds. */
void sim_recipes_add(struct sim_script *script, struct sim_random *random, sim_kinds allowed);
bool sim_script_parse_kinds(const char *text, sim_kinds *kinds_out); /* "a,b"; "all"; "none" */
void sim_script_print_kinds(FILE *out, sim_kinds kinds);
/* One line, "seed/kinds/event.machine.seed ...", that sim_script_read() understands. */
void sim_script_print(FILE *out, const struct sim_script *script);
bool sim_script_read(struct sim_script *script, const char *text);

/* ---- the ledger ---- */

enum sim_table { SIM_SESSION, SIM_OBSERVATION, SIM_SUMMARY, SIM_PROMPT, SIM_TABLES };

/* A column that the judge looks at. */
struct sim_column {
    const char *name;
    bool is_register; /* may change after insert: must be equal everywhere, not as it was made */
};
struct sim_table_info {
    const char *name;
    size_t column_count;
    const struct sim_column *columns;
};
extern const struct sim_table_info sim_tables[SIM_TABLES];

struct sim_row {
    enum sim_table table;
    char content[SIM_TEXT_MAX]; /* content session id (sessions, prompts) */
    int64_t epoch;              /* the others are found by their creation time, which is unique */
    int session;                /* the session it was made in; -1: none */
    unsigned made;              /* how often it was made: copies, sessions made again */
    unsigned made_by;           /* a bit for each machine */
    unsigned deleted_by;
    unsigned doubtful_by; /* deleted there, perhaps before a capture ever saw the row */
    unsigned guarded_by;  /* machines that deleted it in a mass delete, which must be held */
    unsigned cleaned_by;  /* whose claude-mem removed it in a migration: it is not put back */
    bool is_deleted;      /* a person deleted it somewhere */
    bool is_dead;         /* ... and that was published */
    bool is_unsure;       /* deleted, made again or lost in a way that leaves both outcomes open */
    bool
        is_register_unsure; /* a change was lost with a database or a state: an old value may win */
    bool is_suppressed;     /* a twin's clean-up or a void hold: machines may differ */
    bool is_shared;      /* has the same content hash as others: a delete looks like a clean-up */
    bool is_orphan;      /* its session was taken away with foreign keys off */
    bool is_cut;         /* a prompt that was cut */
    bool must_live;      /* made again by the only one that had deleted it */
    bool is_future;      /* made by a clock far ahead */
    unsigned memory_by;  /* sessions: a bit for each machine that gave it a memory id */
    unsigned changed_by; /* a bit for each machine where a person changed it */
    int64_t changed_ms;  /* when that was last */
    int twins;           /* manual rows of one session and title have the same number; 0: none */
    unsigned columns;    /* bit per column that its maker's database had */
    char *cells[SIM_COLUMNS_MAX]; /* as it was made; owned */
};

/* A delete or a change by a person that waits to be captured and published. */
struct sim_pending {
    int row;
    int64_t stamp; /* machine's operation count when it was made */
    bool is_captured;
    bool is_change;
    char old_value[SIM_TEXT_MAX];
};

struct sim_ledger {
    size_t row_count;
    struct sim_row rows[SIM_ROWS_MAX];
    int16_t buckets[SIM_ROWS_MAX * 2]; /* hash table of row index + 1 */
    size_t stolen_count;
    struct {
        int row;
        char value[SIM_TEXT_MAX];
    } stolen[SIM_STOLEN_MAX];
};

struct sim_machine;
struct sim_world;

int sim_ledger_find(const struct sim_ledger *ledger, enum sim_table table, const char *content,
                    int64_t epoch);
/* Notes a row that was just made at `rowid`; returns its index. */
int sim_ledger_made(struct sim_machine *machine, enum sim_table table, const char *content,
                    int64_t epoch, int session);
void sim_ledger_deleted(struct sim_machine *machine, int row);
void sim_ledger_mass_deleted(struct sim_machine *machine, const int *rows, size_t count);
/* The schema moved on: what is gone and not published looks like a clean-up. */
void sim_ledger_migrated(struct sim_machine *machine);
void sim_ledger_changed(struct sim_machine *machine, int row, const char *old_value);
void sim_ledger_captured(struct sim_machine *machine); /* the operation under way ended well */
void sim_ledger_sent(struct sim_machine *machine); /* ... and all that it captured is published */
/* Nothing is known any more of what the machine's state knew and had not published. */
enum sim_loss { SIM_LOSS_DATABASE, SIM_LOSS_STATE };
void sim_ledger_forget(struct sim_machine *machine, enum sim_loss loss);
/* Was this value of the row replaced, and the change published? */
bool sim_ledger_is_stolen(const struct sim_ledger *ledger, int row, const char *value);
void sim_ledger_release(struct sim_ledger *ledger);

/* ---- what happened in a run; sim_traps.h has the names ---- */

struct sim_facts {
    uint64_t traps; /* a bit for each of enum sim_trap */
    unsigned events[SIM_EVENT_WHATS];
    unsigned steps[SIM_STEPS_MAX];
    unsigned kills[SIM_STEPS_MAX];
    unsigned faults[SIM_FAULT_KINDS][SIM_SLOTS];
};

/* ---- machines and their world ---- */

enum sim_version { SIM_13_25_3, SIM_13_4_0, SIM_10_6_3, SIM_VERSIONS };
extern const char *const sim_version_names[SIM_VERSIONS];

typedef uint8_t sim_counts[SIM_ROWS_MAX]; /* of each row of the ledger, how many are there */

struct sim_image { /* a file in memory */
    uint8_t *data;
    size_t size;
};

/* What a machine looked like at some time: for restores and rollbacks. */
struct sim_snapshot {
    bool is_taken;
    char folder[SIM_TEXT_MAX * 5]; /* copy of the state folder; "" if only the database was kept */
    struct sim_image database;
    enum sim_version version;
    int64_t sequences[SIM_TABLES];
    sim_counts seen;
    size_t pending_count;
    struct sim_pending pending[SIM_PENDING_MAX];
};

struct sim_status { /* what the engine says of itself after settling */
    bool is_known;
    char digest[33];
    char digest_alarm[128];
    int64_t pending_out;
    int64_t deletes_held_out;
    int64_t deletes_held_in;
    int64_t rows_parked;
    int64_t conflicts;
    int64_t in_flight; /* records of the journal, and tombstones: from state.db itself */
    int64_t tombstones;
};

struct sim_machine {
    struct sim_world *world;
    unsigned index;
    char name[2];
    char folder[SIM_TEXT_MAX * 4];
    char db_path[SIM_TEXT_MAX * 4];
    char state_dir[SIM_TEXT_MAX * 4];
    char backup_dir[SIM_TEXT_MAX * 4];
    enum sim_version version;
    bool is_wal;
    bool has_worker; /* keeps its connection open, as a running claude-mem does */
    bool is_gone;
    bool is_restored;      /* in place, and not captured since: deletes there are a known limit */
    bool is_migrated;      /* its schema moved on, not captured yet: deletes look like a clean-up */
    bool is_hold_captured; /* ... and that is known to its state */
    bool is_holding;       /* deleted more than may go at once: later deletes join the hold */
    sqlite3 *db;           /* claude-mem's connection, opened when needed */
    int64_t skew_ms;       /* added to the world's clock */
    int64_t fixed_ms;      /* instead of the world's start, for clocks in 1970 and 2035; 0: none */
    struct mb_env env;
    struct sim_random engine_random;
    struct mb_store *fault; /* inside `store` */
    struct mb_store *store; /* verify?(retry(fault(share(mem)))); owned */
    bool verifies;
    struct sim_random fault_random;
    bool is_faulty;       /* faults are on for this sync */
    unsigned fault_count; /* that fired in this sync */
    /* what step() does */
    int64_t step_count; /* in this operation */
    int64_t kill_at;    /* 0: never */
    bool is_dead;       /* killed in this operation */
    int64_t race_at;    /* 0: never */
    uint64_t race_seed;
    bool is_busy;          /* an operation of this machine is under way */
    const char *kill_step; /* by name, instead of kill_at; NULL: none */
    unsigned kill_left;
    struct sim_machine *blind_to; /* whose heads no list shows in this operation; NULL: nobody's */
    int64_t full_at;              /* bytes that a file may have in this operation; 0: any */
    bool is_idle;                 /* the last sync had nothing to do */
    /* what sim_traps.c notes */
    const char *step_name; /* the last one */
    bool is_pulling;
    bool is_replaced; /* another database than its state knows, and not pulled since */
    bool is_lower;    /* ... of which a sequence went back, with the inode as it was */
    bool has_put_head;
    unsigned hidden;       /* machines of whose streams a list left a head out, in this operation */
    unsigned fetched;      /* machines of whose streams a segment was read, in this operation */
    unsigned fetched_ever; /* ... in any */
    int64_t pulled_ms;     /* the world's clock at the last good pull; 0: never */
    int64_t sent_ms;       /* ... at the last push that sent all */
    int64_t stub_count;    /* in the database, after the last good operation */
    int64_t session_count;
    /* truth */
    int64_t operation_count;
    sim_counts known;   /* in the database at the end of the last good operation */
    sim_counts seen;    /* the most of each that a capture saw */
    sim_counts sent;    /* likewise, and published */
    sim_counts before;  /* in the database when this operation began */
    size_t fresh_count; /* rows made while the operation ran */
    int fresh[SIM_PENDING_MAX];
    size_t pending_count;
    struct sim_pending pending[SIM_PENDING_MAX];
    int64_t sequences[SIM_TABLES]; /* sqlite_sequence at the last good operation */
    struct sim_snapshot backup;    /* of the database */
    struct sim_snapshot rollback;  /* of database and state */
    struct sim_status status;
};

struct sim_store_copy {
    bool is_taken;
    size_t count;
    char **keys;
    struct sim_image *bodies;
};

struct sim_world {
    const struct sim_script *script;
    sim_kinds kinds;
    char root[SIM_TEXT_MAX * 2];
    struct mb_store *store; /* mem */
    struct sim_store_copy store_copy;
    bool is_wiped; /* the store went back or was emptied */
    int64_t clock_ms;
    int64_t tag; /* a number for each thing that is made */
    size_t machine_count;
    struct sim_machine *machines[SIM_MACHINES_MAX]; /* owned */
    struct sim_ledger *ledger;                      /* owned */
    FILE *log;                                      /* NULL: silent */
    bool logs_steps;
    bool is_quiet; /* settling, and every row was counted: nobody edits any more */
    void (*on_race)(struct sim_machine *machine,
                    struct sim_random *random); /* in the middle of a sync */
    struct sim_facts facts;
    unsigned hot_count;
    int hot[SIM_HOT_MAX]; /* rows that were touched last: where machines meet */
    size_t stream_count;
    struct {
        char id[SIM_TEXT_MAX];
        unsigned machine;
    } streams[SIM_STREAMS_MAX];
    size_t head_count;
    struct {
        uint64_t name; /* hash of stream and sequence */
        uint64_t hash; /* of the whole key */
    } heads[SIM_HEADS_MAX];
    int64_t swept_ms[SIM_MACHINES_MAX]; /* when a machine last deleted a segment */
    unsigned manual_by[2][2];           /* machines that saved a title in a manual session */
    size_t error_count;
    char errors[SIM_ERRORS_MAX][SIM_ERROR_TEXT];
};

void sim_bad(struct sim_world *world, const char *format, ...) MB_PRINTF(2, 3);
void sim_log(struct sim_world *world, const char *format, ...) MB_PRINTF(2, 3);

/* sim_world.c */
struct sim_world *sim_world_new(const struct sim_script *script,
                                FILE *log); /* no machines yet; NULL: no folder */
void sim_world_setup(
    struct sim_world *world); /* machines and what they had before membridge came */
void sim_world_free(struct sim_world *world);
/* database NULL: an empty one of that version. */
struct sim_machine *sim_world_add(struct sim_world *world, enum sim_version version, bool is_wal,
                                  const struct sim_image *database);
struct sim_machine *sim_world_living(struct sim_world *world, unsigned number);
unsigned sim_world_living_count(const struct sim_world *world);
int64_t sim_machine_now(const struct sim_machine *machine);
void sim_world_calm(struct sim_world *world); /* late puts take effect */

/* sim_disaster.c */
void sim_disaster_image(struct sim_machine *machine,
                        struct sim_image *image); /* of the database; given */
/* The same file with another content, by SQLite's backup API. */
void sim_disaster_replace(struct sim_machine *machine, const struct sim_image *image);
bool sim_disaster(struct sim_machine *machine, enum sim_event_what what,
                  struct sim_random *random); /* false: not possible just then */

/* sim_upgrade.c */
bool sim_upgrade(struct sim_machine *machine); /* to the newest schema; false: it has that */

/* sim_disk.c */
const char *sim_disk_scratch(void); /* this process's folder for all its worlds; removed by main */
bool sim_disk_read(const char *path, struct sim_image *image); /* false if it is not there */
bool sim_disk_write(const char *path, const struct sim_image *image);
void sim_disk_copy_folder(const char *from, const char *to); /* of plain files and folders */
void sim_disk_remove(const char *path);
void sim_store_save(struct mb_store *store, struct sim_store_copy *copy);
void sim_store_restore(struct mb_store *store, const struct sim_store_copy *copy);
void sim_store_forget(struct sim_store_copy *copy);

/* sim_db.c */
bool sim_db_prepare(const char *fixtures); /* makes the templates; once a process */
const struct sim_image *sim_db_template(enum sim_version version, bool is_wal);
sqlite3 *sim_db_open(struct sim_machine *machine); /* borrowed; machine->db */
void sim_db_close(struct sim_machine *machine);
bool sim_db_exec(struct sim_machine *machine, const char *format,
                 ...); /* sqlite3_mprintf's; false: busy */
int64_t sim_db_int64(struct sim_machine *machine, const char *format, ...);
void sim_db_text(struct sim_machine *machine, char out[static SIM_TEXT_MAX], const char *format,
                 ...);
/* A row of the first column, chosen by chance; -1 if there is none. */
int64_t sim_db_pick(struct sim_machine *machine, struct sim_random *random, const char *format,
                    ...);
void sim_db_count(struct sim_machine *machine, sim_counts counts);
void sim_db_sequences(struct sim_machine *machine, int64_t sequences[static SIM_TABLES]);
void sim_db_dump(struct sim_machine *machine, FILE *out);
bool sim_db_has(const struct sim_machine *machine, enum sim_table table, size_t column);
char **sim_db_cells(sqlite3_stmt *statement, size_t first, size_t count); /* given */

/* sim_edit.c */
bool sim_edit(struct sim_machine *machine, enum sim_event_what what, struct sim_random *random);

/* sim_sync.c */
enum sim_operation { SIM_OP_PULL = 1, SIM_OP_PUSH = 2 };
struct sim_sync_request {
    unsigned operations; /* of enum sim_operation, pull first */
    bool is_full;
    bool accept_out; /* push --accept-deletes */
    bool accept_in;  /* pull --accept-deletes */
    bool heal;       /* pull --heal */
};
void sim_sync(struct sim_machine *machine, const struct sim_sync_request *request);
void sim_sync_status(struct sim_machine *machine);
/* Another process of ours on this machine while one is at work: it must be sent away. */
void sim_sync_second(struct sim_machine *machine);

/* sim_judge.c */
void sim_judge(struct sim_world *world);
void sim_judge_status(struct sim_world *world); /* called by the other */

/* sim_run.c */
struct sim_verdict {
    size_t error_count;
    char errors[SIM_ERRORS_MAX][SIM_ERROR_TEXT];
    struct sim_facts facts;
};
void sim_run(const struct sim_script *script, FILE *log, bool logs_steps,
             struct sim_verdict *verdict);
void sim_run_event(struct sim_world *world, const struct sim_event *event);

#endif
