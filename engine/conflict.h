/* SPDX-License-Identifier: MIT */
#ifndef MB_CONFLICT_H
#define MB_CONFLICT_H

/* Conflicts: values that lost against a value made without knowing them. Kept, listed, never
 * dropped in silence. */

#include "live.h"

/* Compares the registers of a record with those known and notes each conflict among them. */
MB_MUST_USE int mb_conflict_check(struct mb_engine *engine, int table,
                                  const uint8_t id[static MB_ROW_ID_SIZE],
                                  const struct mb_regs *known, const struct mb_regs *incoming,
                                  const struct mb_value *title, struct mb_error *err);

/* A row that was deleted had values changed by somebody who did not know: notes those of `regs`
 * that have a version of a machine; with `after`, only those later than it; with `machine`, only
 * its own. */
MB_MUST_USE int mb_conflict_of_deleted(struct mb_engine *engine, int table,
                                       const uint8_t id[static MB_ROW_ID_SIZE],
                                       const struct mb_regs *regs, const struct mb_version *after,
                                       const uint8_t *machine, struct mb_error *err);

MB_MUST_USE int mb_conflict_list(struct mb_engine *engine, mb_engine_conflict_fn on_conflict,
                                 void *context, struct mb_error *err);

#endif
