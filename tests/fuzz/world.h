/* SPDX-License-Identifier: MIT */
#ifndef WORLD_H
#define WORLD_H

/*
 * A machine for the drivers that need the whole engine: a small database of claude-mem's, the state
 * that membridge keeps of it, and a store in memory. All of it is made once and put back before
 * each input, so that each meets the same world: same inode, same clock, same randomness.
 *
 * The database holds two kinds of rows. *Kept* ones have texts that nobody can guess, so that no
 * object in a store can rightly speak of them: whatever comes, they must stay as they are. The
 * session "edit-s" and its rows ("edit 1"...) are there to be spoken of.
 */

#include "engine.h"
#include "fuzz.h"

#include <sqlite3.h>

#define WORLD_NOW_MS 1795428000000 /* November 2026 */

struct world {
    char *db_path;
    char *state_path;
    struct mb_store *store;
    int64_t now_ms;
};

/* Makes it, if it is not there yet, and puts all back. with_other: the store also holds the stream
 * of another machine, all of it sound. Borrowed. */
struct world *world_reset(bool with_other);
/* Forgets what membridge knew: as a machine that has never synced. */
void world_drop_state(struct world *world);

/* Operations as processes do them: open, do, close. What they tell is checked (fuzz_check_error,
 * fuzz_check_shown). 0, or -1 with *err. */
int world_pull(struct world *world, const struct mb_pull_request *request,
               struct mb_pull_report *report, struct mb_error *err);
int world_push(struct world *world, const struct mb_push_request *request,
               struct mb_push_report *report, struct mb_error *err);
/* status and conflicts, which only read. */
void world_look(struct world *world);

/* The key below the project's root; given. */
char *world_key(const char *below);

/* The database passes SQLite's checks, with its foreign keys and full-text indexes; with_kept: the
 * kept rows are as they were. hex: over all rows of the tables that are synced. */
void world_check(struct world *world, bool with_kept, char hex[static 65]);

/* A connection whose statements end early: nothing that a text says may take long, or reach another
 * file. with_code: it may make triggers and views. NULL if it cannot be opened. Close it with
 * sqlite3_close(). */
sqlite3 *world_open_bounded(const char *path, bool with_code);
/* Runs a program over a database. A line "@PAGE OFFSET BYTES" (all hex) changes bytes of the file,
 * after all else; every other line is SQL, and may fail. */
void world_change_file(const char *path, bool with_code, struct fuzz_input *input);

uint8_t *world_read_file(const char *path, size_t *size_out); /* given; NULL if it is not there */
void world_write_file(const char *path, const void *data, size_t size); /* in place, not durable */

#endif
