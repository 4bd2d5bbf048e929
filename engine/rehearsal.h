/* SPDX-License-Identifier: MIT */
#ifndef MB_REHEARSAL_H
#define MB_REHEARSAL_H

/*
 * A dry run is the real thing on copies: state.db and the live database are copied beside the
 * state, the operation runs on them with the store only read, and the copies are thrown away. What
 * it tells is therefore exactly what would happen, and everything is left as it was. It needs as
 * much free disk as the database is large.
 */

#include "core.h"

typedef int (*mb_rehearsal_fn)(struct mb_engine *engine, void *context, struct mb_error *err);

/* with_database: also copy the live database (a pull writes it); otherwise it is read where it
 * is. */
MB_MUST_USE int mb_rehearsal_run(struct mb_engine *engine, bool with_database, mb_rehearsal_fn fn,
                                 void *context, struct mb_error *err);

#endif
