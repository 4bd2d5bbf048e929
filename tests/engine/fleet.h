/* SPDX-License-Identifier: MIT */
#ifndef FLEET_H
#define FLEET_H

/*
 * A few machines for a test: each with a real claude-mem database of some version, its own state
 * folder and clock, all over one store in memory. The engine is opened for each operation and
 * closed after it, as processes do.
 *
 * fleet_new -> fleet_add for each machine -> edit (fleet_sql...), fleet_sync... -> fleet_free.
 */

#include "engine.h"
#include "store.h"

#include <sqlite3.h>

#include <stdint.h>

#define FLEET_MACHINES_MAX 6

struct fleet;

struct fleet_change_count { /* what on_change was told, by kind */
    int64_t counts[MB_CHANGE_HOLD + 1];
};

struct fleet_machine {
    struct fleet *fleet;
    char *folder;
    char *db_path;
    char *state_dir;
    sqlite3 *db; /* claude-mem's connection; closed while an operation runs */
    int64_t now_ms;
    uint64_t random_state;
    struct mb_env env;
    struct mb_store *store; /* owned */
    struct fleet_change_count changes;
    struct mb_push_report pushed; /* of the last operation */
    struct mb_pull_report pulled;
};

struct fleet {
    struct mb_store *store; /* mem; owned */
    size_t count;
    struct fleet_machine *machines[FLEET_MACHINES_MAX];
};

/* "13.25.3", "13.4.0", "10.6.3" */
struct fleet *fleet_new(size_t machine_count); /* that many of 13.25.3 */
struct fleet_machine *fleet_add(struct fleet *fleet, const char *version);
void fleet_free(struct fleet *fleet);

/* ---- the databases ---- */

/* Formats are sqlite3_mprintf's. A failing statement is a failed check. */
void fleet_sql(struct fleet_machine *machine, const char *format, ...);
int64_t fleet_int(struct fleet_machine *machine, const char *format, ...);
const char *fleet_text(struct fleet_machine *machine, const char *format,
                       ...); /* until the next call; "NULL" */
void fleet_close_db(struct fleet_machine *machine);

/* Rows as claude-mem makes them. memory NULL: none yet. */
void fleet_session(struct fleet_machine *machine, const char *content, const char *memory,
                   const char *project);
void fleet_observation(struct fleet_machine *machine, const char *memory, int64_t epoch,
                       const char *title);
void fleet_summary(struct fleet_machine *machine, const char *memory, int64_t epoch,
                   const char *request);
void fleet_prompt(struct fleet_machine *machine, const char *content, int64_t epoch,
                  const char *text);
/* `count` observations at epochs first, first+1, ... with titles "<title> <n>". */
void fleet_observations(struct fleet_machine *machine, const char *memory, int64_t first, int count,
                        const char *title);

/* integrity_check, foreign_key_check, and the full-text indexes against their tables. */
void fleet_check_db(struct fleet_machine *machine);

/* ---- the engine ---- */

struct mb_engine_config fleet_config(struct fleet_machine *machine);
/* An operation that must end well; the report is in machine->pushed or machine->pulled. NULL:
 * plain. */
void fleet_push(struct fleet_machine *machine, const struct mb_push_request *request);
void fleet_pull(struct fleet_machine *machine, const struct mb_pull_request *request);
int fleet_try_push(struct fleet_machine *machine, const struct mb_push_request *request,
                   struct mb_error *err);
int fleet_try_pull(struct fleet_machine *machine, const struct mb_pull_request *request,
                   struct mb_error *err);
void fleet_sync(struct fleet_machine *machine); /* pull, then push */
/* Every machine in turn, `rounds` times, a day and some apart; then all databases and digests are
 * checked. */
void fleet_settle(struct fleet *fleet, int rounds);
void fleet_status(struct fleet_machine *machine, struct mb_status_report *report);
int64_t fleet_conflict_count(struct fleet_machine *machine);

/* ---- the store ---- */

struct fleet_keys {
    size_t count;
    char **keys; /* sorted */
};
/* Keys that hold `part` ("/heads/", "/segments/", ""). Release with fleet_keys_free. */
struct fleet_keys fleet_keys(struct fleet *fleet, const char *part);
void fleet_keys_free(struct fleet_keys *keys);
void fleet_put(struct fleet *fleet, const char *key, const void *data, size_t size);
uint8_t *fleet_get(struct fleet *fleet, const char *key, size_t *size_out); /* given */
void fleet_delete(struct fleet *fleet, const char *key);
const char *fleet_machine_id(struct fleet_machine *machine); /* from status; until the next call */

/* ---- files ---- */

uint8_t *fleet_read_file(const char *path, size_t *size_out); /* given; NULL if it is not there */
void fleet_write_file(const char *path, const void *data, size_t size);
void fleet_copy_folder(const char *from, const char *to);

#endif
