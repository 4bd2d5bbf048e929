/* SPDX-License-Identifier: MIT */
#ifndef MB_TEST_STORE_SUPPORT_H
#define MB_TEST_STORE_SUPPORT_H

/*
 * What the store tests share: a world without real time, objects of known bytes, a listing as text,
 * folders that are removed again, and the conformance suite that every store must pass.
 */

#include "buf.h"
#include "store.h"

/* ---- a world: time passes only by sleeping, randomness comes from a seed ---- */

#define WORLD_SLEEPS_MAX 64

struct world {
    struct mb_env env;
    int64_t now_ms;
    uint64_t seed;
    int64_t sleeps_ms[WORLD_SLEEPS_MAX];
    unsigned sleep_count;
    unsigned step_count;
    unsigned stop_at_step; /* 0: never; n: the nth step fails with MB_ERR_INTERRUPTED */
};

void world_init(struct world *world, uint64_t seed);

/* ---- short forms ---- */

/* Puts text; the result is the code, MB_OK included. */
enum mb_code put_text(struct mb_store *store, const char *key, const char *text);
/* The code of a get; MB_OK only if the object is exactly `text`. MB_ERR_CORRUPT: it is another
 * one. */
enum mb_code get_text(struct mb_store *store, const char *key, const char *text);
/* The code of a stat. */
enum mb_code stat_size(struct mb_store *store, const char *key, uint64_t *size_bytes_out);
enum mb_code delete_key(struct mb_store *store, const char *key);
/* "key=size key=size", sorted, into buf (MB_ERR_LIMIT if buf is too small). */
enum mb_code list_text(struct mb_store *store, const char *prefix, struct mb_buf *buf);
/* As above: is it this text? */
bool list_is(struct mb_store *store, const char *prefix, const char *text);

/* ---- folders and files ---- */

/* Makes an empty folder; given: remove_folder() removes it with its content and frees the path. */
char *make_folder(void);
void remove_folder(char *folder);
/* Writes <folder>/<name> (its folders made) by other means than a store. */
void plant_file(const char *folder, const char *name, const char *text);

/* Files in the folder itself whose names start with prefix. */
unsigned count_files(const char *folder, const char *prefix);

/* ---- conformance ---- */

struct factory {
    const char *name;
    /* Gives an empty store. */
    struct mb_store *(*make)(void *context);
    void *context;
};

/* Runs the whole suite over stores made by the factory. */
void check_conformance(const struct factory *factory);

#endif
