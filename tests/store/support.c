/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "alloc.h"
#include "assert.h"
#include "check.h"
#include "file.h"
#include "tmpdir.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* ---- world ---- */

static int64_t world_now_ms(void *context)
{
    return ((struct world *)context)->now_ms;
}

static void world_sleep_ms(void *context, int64_t duration_ms)
{
    struct world *world = context;

    MB_ASSERT(world->sleep_count < WORLD_SLEEPS_MAX);
    world->sleeps_ms[world->sleep_count] = duration_ms;
    world->sleep_count++;
    world->now_ms += duration_ms;
}

/* SplitMix64: any seed will do. */
static void world_random(void *context, void *data, size_t size)
{
    struct world *world = context;
    uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++) {
        uint64_t z = (world->seed += 0x9e3779b97f4a7c15U);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        bytes[i] = (uint8_t)((z ^ (z >> 31)) >> 24);
    }
}

static int world_step(void *context, const char *name, struct mb_error *err)
{
    struct world *world = context;

    world->step_count++;
    if (world->step_count == world->stop_at_step) {
        return mb_error_set(err, MB_ERR_INTERRUPTED, "stopped at '%s'", name);
    }
    return 0;
}

void world_init(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->now_ms = 1000000;
    world->env.context = world;
    world->env.now_ms = world_now_ms;
    world->env.sleep_ms = world_sleep_ms;
    world->env.random = world_random;
    world->env.step = world_step;
}

/* ---- short forms ---- */

static enum mb_code code_of(int rc, const struct mb_error *err)
{
    if (rc == 0) {
        return MB_OK;
    }
    CHECK(rc == -1);
    CHECK(err->code != MB_OK);
    CHECK(err->message[0] != '\0');
    return err->code;
}

enum mb_code put_text(struct mb_store *store, const char *key, const char *text)
{
    struct mb_error err;

    mb_error_init(&err);
    return code_of(mb_store_put(store, key, text, strlen(text), &err), &err);
}

enum mb_code get_text(struct mb_store *store, const char *key, const char *text)
{
    struct mb_error err;
    struct mb_buf buf;
    enum mb_code code;

    mb_error_init(&err);
    mb_buf_init(&buf, 100000);
    code = code_of(mb_store_get(store, key, 100000, &buf, &err), &err);
    if (code == MB_OK && (buf.size != strlen(text) || strcmp(mb_buf_text(&buf), text) != 0)) {
        code = MB_ERR_CORRUPT;
    }
    mb_buf_release(&buf);
    return code;
}

enum mb_code stat_size(struct mb_store *store, const char *key, uint64_t *size_bytes_out)
{
    struct mb_error err;

    mb_error_init(&err);
    return code_of(mb_store_stat(store, key, size_bytes_out, &err), &err);
}

enum mb_code delete_key(struct mb_store *store, const char *key)
{
    struct mb_error err;

    mb_error_init(&err);
    return code_of(mb_store_delete(store, key, &err), &err);
}

#define LISTED_MAX 4096

struct listed {
    char *lines[LISTED_MAX];
    size_t count;
};

static int note_listed(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct listed *listed = context;

    (void)err;
    MB_ASSERT(listed->count < LISTED_MAX);
    listed->lines[listed->count] =
        mb_alloc_format("%s=%llu", object->key, (unsigned long long)object->size_bytes);
    listed->count++;
    return 0;
}

static int compare_lines(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

enum mb_code list_text(struct mb_store *store, const char *prefix, struct mb_buf *buf)
{
    struct listed *listed = mb_alloc_zeroed(1, sizeof(*listed));
    struct mb_error err;
    enum mb_code code;

    mb_error_init(&err);
    mb_buf_clear(buf);
    code = code_of(mb_store_list(store, prefix, note_listed, listed, &err), &err);
    if (listed->count > 1) {
        qsort(listed->lines, listed->count, sizeof(listed->lines[0]), compare_lines);
    }
    for (size_t i = 0; i < listed->count; i++) {
        if (mb_buf_append_format(buf, &err, "%s%s", i == 0 ? "" : " ", listed->lines[i]) != 0) {
            code = err.code;
        }
        free(listed->lines[i]);
    }
    free(listed);
    return code;
}

bool list_is(struct mb_store *store, const char *prefix, const char *text)
{
    struct mb_buf buf;
    bool is_same;

    mb_buf_init(&buf, 100000);
    is_same = list_text(store, prefix, &buf) == MB_OK && strcmp(mb_buf_text(&buf), text) == 0;
    mb_buf_release(&buf);
    return is_same;
}

/* ---- folders and files ---- */

char *make_folder(void)
{
    struct mb_error err;
    char *folder = tmpdir_path("store");

    CHECK_OK(mb_file_make_folder(folder, 0700, &err), &err);
    return folder;
}

void remove_folder(char *folder)
{
    struct mb_error err;

    CHECK_OK(mb_file_remove_tree(folder, &err), &err);
    free(folder);
}

void plant_file(const char *folder, const char *name, const char *text)
{
    struct mb_error err;
    char *path = mb_file_join(folder, name);
    char *parent = mb_file_parent(path);

    CHECK_OK(mb_file_make_folder(parent, 0700, &err), &err);
    CHECK_OK(mb_file_replace(path, text, strlen(text), 0600, &err), &err);
    free(parent);
    free(path);
}

unsigned count_files(const char *folder, const char *prefix)
{
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    unsigned count = 0;

    MB_ASSERT(stream != NULL);
    while ((entry = readdir(stream)) != NULL) {
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0 ? 1 : 0;
    }
    (void)closedir(stream);
    return count;
}
