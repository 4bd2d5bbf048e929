/* SPDX-License-Identifier: MIT */
#include "seen.h"

#include "alloc.h"
#include "assert.h"
#include "file.h"

#include <sqlite3.h>

#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct seen {
    uint8_t (*digests)[MB_DIGEST_SIZE];
    size_t count;
};

struct seen *seen_new(void)
{
    return mb_alloc_zeroed(1, sizeof(struct seen));
}

void seen_free(struct seen *seen)
{
    if (seen != NULL) {
        free(seen->digests);
        free(seen);
    }
}

static bool note_digest(struct seen *seen, const uint8_t digest[static MB_DIGEST_SIZE])
{
    for (size_t i = 0; i < seen->count; i++) {
        if (memcmp(seen->digests[i], digest, MB_DIGEST_SIZE) == 0) {
            return false;
        }
    }
    seen->digests = mb_alloc_resize(seen->digests, seen->count + 1, sizeof *seen->digests);
    memcpy(seen->digests[seen->count++], digest, MB_DIGEST_SIZE);
    return true;
}

bool seen_file(struct seen *seen, const char *path)
{
    uint8_t digest[MB_DIGEST_SIZE];
    size_t size = 0;
    uint8_t *data = fleet_read_file(path, &size);

    MB_ASSERT(data != NULL);
    mb_digest_sha256(data, size, digest);
    free(data);
    return note_digest(seen, digest);
}

/* ---- places ---- */

void seen_begin(struct seen_place *place)
{
    place->sha = mb_digest_new();
}

bool seen_end(struct seen *seen, struct seen_place *place)
{
    uint8_t digest[MB_DIGEST_SIZE];

    mb_digest_final(place->sha, digest);
    mb_digest_free(place->sha);
    return note_digest(seen, digest);
}

static void add_part(struct seen_place *place, const void *data, size_t size)
{
    mb_digest_update(place->sha, &size, sizeof size);
    mb_digest_update(place->sha, size == 0 ? "" : data, size);
}

static void add_query(struct seen_place *place, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    MB_ASSERT(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
    add_part(place, sql, strlen(sql));
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const void *data = sqlite3_column_blob(statement, i);

            add_part(place, data, (size_t)sqlite3_column_bytes(statement, i));
        }
    }
    MB_ASSERT(sqlite3_finalize(statement) == SQLITE_OK);
}

void seen_add_database(struct seen_place *place, const char *path)
{
    sqlite3 *db = NULL;

    MB_ASSERT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    add_query(place, db, "SELECT * FROM sdk_sessions ORDER BY id");
    add_query(place, db, "SELECT * FROM observations ORDER BY id");
    add_query(place, db, "SELECT * FROM session_summaries ORDER BY id");
    add_query(place, db, "SELECT * FROM user_prompts ORDER BY id");
    add_query(place, db, "SELECT * FROM sqlite_sequence ORDER BY name");
    MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
}

/* Its tables are listed first: the queries must not overlap. */
static void add_tables(struct seen_place *place, sqlite3 *db)
{
    sqlite3_stmt *list = NULL;

    MB_ASSERT(sqlite3_prepare_v2(db,
                                 "SELECT name FROM sqlite_master WHERE type = 'table'"
                                 " AND name <> 'meta' ORDER BY name",
                                 -1, &list, NULL) == SQLITE_OK);
    while (sqlite3_step(list) == SQLITE_ROW) {
        char *sql =
            mb_alloc_format("SELECT * FROM \"%s\"", (const char *)sqlite3_column_text(list, 0));

        add_query(place, db, sql);
        free(sql);
    }
    MB_ASSERT(sqlite3_finalize(list) == SQLITE_OK);
    if (sqlite3_table_column_metadata(db, NULL, "meta", "key", NULL, NULL, NULL, NULL, NULL) ==
        SQLITE_OK) {
        add_query(place, db,
                  "SELECT * FROM meta WHERE key NOT LIKE 'last\\_%' ESCAPE '\\'"
                  " ORDER BY key");
    }
}

void seen_add_state(struct seen_place *place, const char *folder)
{
    char *path = mb_file_join(folder, "state.db");
    sqlite3 *db = NULL;

    if (mb_file_exists(path)) {
        MB_ASSERT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
        add_tables(place, db);
        MB_ASSERT(sqlite3_close(db) == SQLITE_OK);
    }
    free(path);
}

/* In any order: a backup folder of these tests holds one or none. */
static int add_name(void *context, const char *name, struct mb_error *err)
{
    (void)err;
    add_part(context, name, strlen(name));
    return 0;
}

void seen_add_folder(struct seen_place *place, const char *folder)
{
    struct mb_error err;

    MB_ASSERT(mb_file_list(folder, add_name, place, &err) == 0);
}

void seen_add_store(struct seen_place *place, struct fleet *fleet)
{
    struct fleet_keys keys = fleet_keys(fleet, "");

    for (size_t i = 0; i < keys.count; i++) {
        size_t size = 0;
        uint8_t *data = fleet_get(fleet, keys.keys[i], &size);

        add_part(place, keys.keys[i], strlen(keys.keys[i]));
        add_part(place, data, size);
        free(data);
    }
    fleet_keys_free(&keys);
}
