/* SPDX-License-Identifier: MIT */
/*
 * A hostile database in claude-mem's place. A push reads it, or refuses it, and does not write to
 * it. A pull of a sound stream may write to it: what was sound stays sound, and no row goes.
 *
 * Input: one byte of flags (1: nothing was ever synced here; 2: a pull, too), a new line, and a
 * program (world_change_file) that changes a sound database.
 */
#include "alloc.h"
#include "file.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

struct look {
    bool is_sound;
    int64_t counts[4];
};

static int note_first(void *context, int count, char **values, char **names)
{
    (void)names;
    *(bool *)context = count == 1 && values[0] != NULL && strcmp(values[0], "ok") == 0;
    return 0;
}

static int note_count(void *context, int count, char **values, char **names)
{
    (void)count;
    (void)names;
    *(int64_t *)context = strtoll(values[0], NULL, 10);
    return 0;
}

/* What a hostile schema lets us see in a bounded time; -1: this count cannot be had. */
static void look(const struct world *world, struct look *found)
{
    static const char *const counts[] = {
        "SELECT count(*) FROM sdk_sessions", "SELECT count(*) FROM observations",
        "SELECT count(*) FROM session_summaries", "SELECT count(*) FROM user_prompts"};
    sqlite3 *db = world_open_bounded(world->db_path, true);

    found->is_sound = false;
    for (size_t i = 0; i < 4; i++) {
        found->counts[i] = -1;
    }
    if (db == NULL) {
        return;
    }
    if (sqlite3_exec(db, "PRAGMA integrity_check(1)", note_first, &found->is_sound, NULL) !=
        SQLITE_OK) {
        found->is_sound = false;
    }
    for (size_t i = 0; i < 4; i++) {
        if (sqlite3_exec(db, counts[i], note_count, &found->counts[i], NULL) != SQLITE_OK) {
            found->counts[i] = -1;
        }
    }
    FUZZ_CHECK(sqlite3_close(db) == SQLITE_OK);
}

static void try_push(struct world *world)
{
    struct mb_push_report report;
    struct mb_error err;
    char *wal = mb_alloc_format("%s-wal", world->db_path);
    size_t before_size = 0;
    size_t after_size = 0;
    uint8_t *before = world_read_file(world->db_path, &before_size);
    uint8_t *after = NULL;
    /* Without one, nothing can be carried over into the file by closing it. */
    bool has_wal = mb_file_exists(wal);

    MB_IGNORE(world_push(world, NULL, &report, &err));
    after = world_read_file(world->db_path, &after_size);
    FUZZ_CHECK(before != NULL && after != NULL);
    FUZZ_CHECK(has_wal || (before_size == after_size && memcmp(before, after, before_size) == 0));
    free(before);
    free(after);
    free(wal);
}

static void try_pull(struct world *world)
{
    struct mb_pull_report report;
    struct mb_error err;
    struct look before;
    struct look after;

    look(world, &before);
    MB_IGNORE(world_pull(world, NULL, &report, &err));
    look(world, &after);
    FUZZ_CHECK(!before.is_sound || after.is_sound);
    for (size_t i = 0; i < 4; i++) {
        FUZZ_CHECK(!before.is_sound || after.counts[i] >= before.counts[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t flags = fuzz_byte(&input);
    struct world *world = world_reset(true);

    (void)fuzz_byte(&input); /* the new line */
    if ((flags & 1) != 0) {
        world_drop_state(world);
    }
    world_change_file(world->db_path, true, &input);
    try_push(world);
    if ((flags & 2) != 0) {
        try_pull(world);
        try_push(world);
    }
    return 0;
}
