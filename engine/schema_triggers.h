/* SPDX-License-Identifier: MIT */
#ifndef MB_SCHEMA_TRIGGERS_H
#define MB_SCHEMA_TRIGGERS_H

/*
 * Every trigger and view that our writes can reach is known, or we do not write. The usual guard,
 * PRAGMA trusted_schema=OFF, breaks every insert on Debian 12 (its FTS5 is not marked innocuous),
 * so the texts are compared: claude-mem's three triggers a table, made of the columns that the
 * full-text table itself declares.
 */

#include "schema.h"

/* Sets has_fts of each table and foreign_trigger. */
MB_MUST_USE int mb_schema_triggers_load(struct mb_db *live, struct mb_schema *schema,
                                        struct mb_error *err);

#endif
