/* SPDX-License-Identifier: MIT */

#include "pull_digest.h"

#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* What we have read of each stream, in the form in which covers are kept. */
static int own_covers(struct mb_engine *engine, struct mb_buf *buf, struct mb_error *err)
{
    static const char sql[] =
        "SELECT machine, last, chain FROM stream WHERE last > 0 AND machine <> ?1 UNION ALL "
        "SELECT ?1, last, chain FROM (SELECT last, chain FROM entry ORDER BY last DESC LIMIT 1) "
        "ORDER BY 1";
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(engine->state->db, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_blob(stmt, 1, engine->state->machine, MB_MACHINE_ID_SIZE);
    while ((step = mb_db_step(stmt, err)) == 1) {
        char machine[MB_MACHINE_ID_HEX_SIZE];
        char chain[2 * MB_CHAIN_SIZE + 1];
        size_t machine_size, chain_size;
        const uint8_t *machine_id = mb_db_blob(stmt, 0, &machine_size);
        const uint8_t *chain_id = mb_db_blob(stmt, 2, &chain_size);
        if (machine_size != MB_MACHINE_ID_SIZE || chain_size != MB_CHAIN_SIZE) {
            continue;
        }
        mb_digest_hex(machine_id, MB_MACHINE_ID_SIZE, machine);
        mb_digest_hex(chain_id, MB_CHAIN_SIZE, chain);
        if (mb_buf_append_format(buf, err, "%s:%lld:%s;", machine, (long long)mb_db_int(stmt, 1),
                                 chain) != 0) {
            mb_db_reset(stmt);
            return -1;
        }
    }
    return step;
}

static int save_alarm(struct mb_engine *engine, const char *alarm, struct mb_error *err)
{
    char *known = NULL;
    bool is_same;

    if (mb_state_get_text(engine->state, "digest_alarm", &known, err) != 0) {
        return -1;
    }
    is_same = strcmp(known == NULL ? "" : known, alarm) == 0;
    free(known);
    if (is_same) {
        return 0;
    }
    if (mb_state_begin(engine->state, err) != 0 ||
        mb_state_set_text(engine->state, "digest_alarm", alarm, err) != 0 ||
        mb_state_commit(engine->state, err) != 0) {
        mb_state_rollback(engine->state);
        return -1;
    }
    return 0;
}

int mb_pull_digest_compare(struct mb_engine *engine, struct mb_error *err)
{
    static const char pending[] =
        "SELECT (SELECT count(*) FROM out) + (SELECT count(*) FROM sending) + "
        "(SELECT count(*) FROM held_in) + (SELECT count(*) FROM held_out)";
    struct mb_stmt *stmt;
    struct mb_buf covers;
    char mine[33];
    char alarm[128] = "";
    int64_t count = 0;
    int step = -1;

    mb_buf_init(&covers, MB_LIMIT_HEAD_BYTES * 16);
    mb_state_digest_hex(engine->state, mine);
    if (mb_db_scalar(engine->state->db, pending, 0, &count, err) != 0 ||
        own_covers(engine, &covers, err) != 0) {
        goto out;
    }
    if (count > 0 || covers.size == 0) {
        step = 0;
        goto out;
    }
    if (mb_db_query(
            engine->state->db,
            "SELECT name, lower(hex(digest)) FROM stream WHERE covers = ?1 AND digest IS NOT NULL",
            &stmt, err) != 0) {
        goto out;
    }
    mb_db_bind_text(stmt, 1, mb_buf_text(&covers));
    while ((step = mb_db_step(stmt, err)) == 1) {
        if (strcmp(mb_db_text(stmt, 1), mine) != 0) {
            (void)snprintf(alarm, sizeof(alarm), "%s has read the same and holds other rows",
                           mb_db_text(stmt, 0));
        }
    }
    if (step == 0) {
        step = save_alarm(engine, alarm, err);
    }
out:
    mb_buf_release(&covers);
    return step;
}
