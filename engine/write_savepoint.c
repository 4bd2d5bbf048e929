/* SPDX-License-Identifier: MIT */

#include "write_savepoint.h"

#include "alloc.h"
#include "assert.h"
#include "attach.h"
#include "capture.h"
#include "limits.h"
#include "text.h"
#include "write.h"
#include "write_link.h"
#include "write_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* A row that is refused must leave nothing behind: neither a stub made for it nor a name that was
 * changed. */
int mb_write_savepoint(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_db_exec(engine->live, "SAVEPOINT one_row", err) != 0) {
        return -1;
    }
    return mb_db_exec(engine->state->db, "SAVEPOINT one_row", err);
}

static int keep_savepoint(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_db_exec(engine->live, "RELEASE one_row", err) != 0) {
        return -1;
    }
    return mb_db_exec(engine->state->db, "RELEASE one_row", err);
}

static int undo_savepoint(struct mb_engine *engine, struct mb_error *err)
{
    if (mb_db_exec(engine->live, "ROLLBACK TO one_row; RELEASE one_row", err) != 0 ||
        mb_db_exec(engine->state->db, "ROLLBACK TO one_row; RELEASE one_row", err) != 0) {
        return -1;
    }
    mb_sessions_forget(engine->sessions);
    return 0;
}

/* Ends the row's savepoint. A constraint's refusal is no failure: *err then keeps its reason. */
int mb_write_savepoint_end(struct mb_engine *engine, bool is_set, int rc,
                           enum mb_write_result *result_out, struct mb_error *err)
{
    struct mb_error later;

    if (rc == 0) {
        return is_set ? keep_savepoint(engine, err) : 0;
    }
    if (!mb_db_failed_constraint(engine->live) || err->code != MB_ERR_FAILED) {
        return -1;
    }
    *result_out = MB_WRITE_REFUSED;
    if (is_set && undo_savepoint(engine, &later) != 0) {
        *err = later;
        return -1;
    }
    return 0;
}
