/* SPDX-License-Identifier: MIT */
#ifndef MB_BACKUP_H
#define MB_BACKUP_H

/*
 * Full copies of the live database: before the first merge of a day, and before anything unusual.
 * Named "<canonical id>-<UTC>-<why>.db"; kept by age and count, never fewer than one.
 */

#include "core.h"

/* Makes one if it is due (or `why` is not NULL), and removes what is too old. Without a backup
 * folder: nothing. */
MB_MUST_USE int mb_backup_if_due(struct mb_engine *engine, const char *why, struct mb_error *err);

#endif
