/* SPDX-License-Identifier: MIT */
#ifndef MB_WRITE_SAVEPOINT_H
#define MB_WRITE_SAVEPOINT_H

/*
 * A row that is refused must leave nothing behind: neither a stub made for it nor a name that was
 * changed. One savepoint over both databases, around one row.
 */

#include "core.h"
#include "write.h"

MB_MUST_USE int mb_write_savepoint(struct mb_engine *engine, struct mb_error *err);

/* Ends it (is_set: there is one) after `rc`: keeps what was done, or takes it back. A constraint's
 * refusal is no failure: 0, *result_out is MB_WRITE_REFUSED and *err keeps its reason. */
MB_MUST_USE int mb_write_savepoint_end(struct mb_engine *engine, bool is_set, int rc,
                                       enum mb_write_result *result_out, struct mb_error *err);

#endif
