/* SPDX-License-Identifier: MIT */
#ifndef MB_WRITE_INSERT_H
#define MB_WRITE_INSERT_H

/* The parts of mb_write_insert(), for those that insert many rows at once. */

#include "live.h"
#include "write_list.h"

/* A child whose parent is here: its row is one INSERT, and nothing else need be written for it. */
bool mb_write_insert_is_simple(struct mb_engine *engine, const struct mb_record *record,
                               const struct mb_state_row *known);

/* The columns of such a child. Values are borrowed from the record, `known`, the sessions and the
 * list. */
MB_MUST_USE int mb_write_insert_list(struct mb_engine *engine, const struct mb_record *record,
                                     const struct mb_state_row *known, struct mb_write_list *list,
                                     struct mb_error *err);

/* Keeps what the database has no column for, for the day it has; what is kept already stays. */
MB_MUST_USE int mb_write_insert_keep_extra(struct mb_engine *engine, const struct mb_record *record,
                                           struct mb_error *err);

#endif
