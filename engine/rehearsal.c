/* SPDX-License-Identifier: MIT */

#include "rehearsal.h"

#include "alloc.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* The file must look like the same database to the marks: its inode is that of the
 * copy. */
static int adopt_copy(struct mb_engine *rehearsal, struct mb_error *err)
{
    struct mb_file_stat info;

    if (mb_file_stat(rehearsal->config.db_path, &info, err) != 0 ||
        mb_state_begin(rehearsal->state, err) != 0) {
        return -1;
    }
    if (mb_state_set_int(rehearsal->state, "db_inode", (int64_t)(info.inode & INT64_MAX), err) !=
            0 ||
        mb_state_commit(rehearsal->state, err) != 0) {
        mb_state_rollback(rehearsal->state);
        return -1;
    }
    return 0;
}

/* Was this the file that the state knows? Only then may its copy pass for it. */
static int is_known_file(struct mb_engine *engine, bool *known_out, struct mb_error *err)
{
    struct mb_file_stat info;
    int64_t inode;

    if (mb_file_stat(engine->config.db_path, &info, err) != 0 ||
        mb_state_get_int(engine->state, "db_inode", 0, &inode, err) != 0) {
        return -1;
    }
    *known_out = inode == (int64_t)(info.inode & INT64_MAX);
    return 0;
}

static int copy_database(struct mb_engine *engine, struct mb_engine *rehearsal, const char *folder,
                         struct mb_error *err)
{
    char *path = mb_file_join(folder, "claude-mem.db");
    bool is_known = false;
    int rc = -1;

    if (mb_core_open_live(engine, err) == 0 && is_known_file(engine, &is_known, err) == 0 &&
        mb_db_backup(engine->live, path, engine->env, err) == 0) {
        rehearsal->config.db_path = path;
        path = NULL;
        rc = is_known ? adopt_copy(rehearsal, err) : 0;
    }
    free(path);
    return rc;
}

int mb_rehearsal_run(struct mb_engine *engine, bool with_database, mb_rehearsal_fn fn,
                     void *context, struct mb_error *err)
{
    struct mb_engine rehearsal = *engine;
    struct mb_error ignored;
    char *folder = mb_file_join(engine->config.state_dir, "dry-run");
    char *state_path = mb_file_join(folder, "state.db");
    int rc = -1;

    rehearsal.state = NULL;
    rehearsal.live = NULL;
    rehearsal.schema = NULL;
    rehearsal.sessions = NULL;
    rehearsal.is_rehearsal = true;
    memset(&rehearsal.counts, 0, sizeof(rehearsal.counts));
    if (mb_file_remove_tree(folder, err) != 0 || mb_file_make_folder(folder, 0700, err) != 0 ||
        mb_db_backup(engine->state->db, state_path, engine->env, err) != 0 ||
        mb_state_open(folder, false, engine->env, &rehearsal.state, err) != 0 ||
        (with_database && copy_database(engine, &rehearsal, folder, err) != 0)) {
        goto out;
    }
    rc = fn(&rehearsal, context, err);
out:
    mb_core_close_live(&rehearsal);
    mb_state_close(rehearsal.state);
    if (rehearsal.config.db_path != engine->config.db_path) {
        char *path = NULL;
        memcpy(&path, &rehearsal.config.db_path, sizeof(path));
        free(path);
    }
    if (mb_file_remove_tree(folder, &ignored) != 0 && rc == 0) {
        *err = ignored;
        rc = -1;
    }
    free(folder);
    free(state_path);
    return rc;
}
