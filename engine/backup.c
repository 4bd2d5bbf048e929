/* SPDX-License-Identifier: MIT */

#include "backup.h"

#include "alloc.h"
#include "file.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define STAMP_SIZE 15 /* 20261123T004712 */

/* "2026-11-23T00:47:12Z" without its marks, so that names sort by time and Windows can hold
 * them. */
static void make_stamp(char out[static STAMP_SIZE + 1], int64_t time_ms)
{
    char utc[MB_TEXT_SHORT_MAX];
    size_t count = 0;

    (void)mb_text_utc(utc, time_ms);
    for (const char *c = utc; *c != '\0' && count < STAMP_SIZE; c++) {
        if (strchr("-:Z", *c) == NULL) {
            out[count++] = *c;
        }
    }
    out[count] = '\0';
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct listing {
    char *prefix;
    char **names;
    size_t count;
};

static int on_name(void *context, const char *name, struct mb_error *err)
{
    struct listing *list = context;

    (void)err;
    if (mb_text_has_prefix(name, list->prefix) && mb_text_has_suffix(name, ".db") &&
        strlen(name) > strlen(list->prefix) + STAMP_SIZE) {
        list->names = mb_alloc_resize(list->names, list->count + 1, sizeof(*list->names));
        list->names[list->count++] = mb_alloc_text(name);
    }
    return 0;
}

/* Retention: by the time in the name, never by the file's; the newest stays whatever its age. */
static int thin(const struct mb_engine *engine, struct mb_error *err)
{
    struct listing list = {mb_alloc_format("%s-", engine->canonical_id), NULL, 0};
    char oldest[STAMP_SIZE + 1];
    size_t prefix_size = strlen(list.prefix);
    int rc = mb_file_list(engine->config.backup_dir, on_name, &list, err);

    make_stamp(oldest, mb_core_now(engine) - engine->config.backup_days_max * DAY_MS);
    if (list.count > 0) {
        qsort(list.names, list.count, sizeof(*list.names), compare_names);
    }
    for (size_t i = 0; i < list.count; i++) {
        bool is_too_many = engine->config.backup_count_max > 0 &&
                           list.count - i > (size_t)engine->config.backup_count_max;
        bool is_too_old = engine->config.backup_days_max > 0 &&
                          strncmp(list.names[i] + prefix_size, oldest, STAMP_SIZE) < 0;
        if (rc == 0 && i + 1 < list.count && (is_too_many || is_too_old)) {
            char *path = mb_file_join(engine->config.backup_dir, list.names[i]);
            rc = mb_file_remove(path, err);
            free(path);
        }
        free(list.names[i]);
    }
    free(list.names);
    free(list.prefix);
    return rc;
}

static int note_done(struct mb_engine *engine, int64_t day, struct mb_error *err)
{
    if (mb_state_begin(engine->state, err) != 0) {
        return -1;
    }
    if (mb_state_set_int(engine->state, "backup_day", day, err) != 0 ||
        mb_state_set_int(engine->state, "backup_wanted", 0, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

int mb_backup_if_due(struct mb_engine *engine, const char *why, struct mb_error *err)
{
    int64_t now = mb_core_now(engine);
    int64_t last_day, wanted;
    char stamp[STAMP_SIZE + 1];
    char *name = NULL;
    char *path = NULL;
    char *partial = NULL;
    int rc = -1;

    if (engine->config.backup_dir == NULL || engine->is_rehearsal) {
        return 0;
    }
    if (mb_state_get_int(engine->state, "backup_day", -1, &last_day, err) != 0 ||
        mb_state_get_int(engine->state, "backup_wanted", 0, &wanted, err) != 0) {
        return -1;
    }
    if (why == NULL && wanted == 0 && last_day == now / DAY_MS) {
        return 0;
    }
    if (mb_core_open_live(engine, err) != 0 ||
        mb_file_make_folder(engine->config.backup_dir, 0700, err) != 0) {
        return -1;
    }
    make_stamp(stamp, now);
    name = mb_alloc_format("%s-%s-%s.db", engine->canonical_id, stamp,
                           why != NULL   ? why
                           : wanted != 0 ? "unusual"
                                         : "daily");
    path = mb_file_join(engine->config.backup_dir, name);
    partial = mb_alloc_format("%s/%s.partial", engine->config.backup_dir, engine->canonical_id);
    mb_core_progress(engine, MB_PHASE_BACKUP, 0, 0);
    if (mb_file_exists(path)) {
        rc = 0; /* one of this very second */
        goto out;
    }
    /* Under another name until it is whole: a killed copy must not count as the newest backup. */
    if (mb_file_remove(partial, err) != 0 ||
        mb_db_backup(engine->live, partial, engine->env, err) != 0) {
        goto out;
    }
    if (mb_file_rename(partial, path, err) != 0) {
        struct mb_error ignored;
        MB_IGNORE(mb_file_remove(partial, &ignored));
        goto out;
    }
    if (thin(engine, err) != 0) {
        goto out;
    }
    rc = note_done(engine, now / DAY_MS, err);
out:
    free(name);
    free(path);
    free(partial);
    return rc;
}
