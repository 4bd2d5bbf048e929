/* SPDX-License-Identifier: MIT */
#ifndef MB_OP_LIST_H
#define MB_OP_LIST_H

/* One operation per file; the table in ops.c puts them in order. */

#include "op.h"

extern const struct mb_op mb_op_conflicts;
extern const struct mb_op mb_op_demo;
extern const struct mb_op mb_op_help;
extern const struct mb_op mb_op_init;
extern const struct mb_op mb_op_pull;
extern const struct mb_op mb_op_push;
extern const struct mb_op mb_op_status;
extern const struct mb_op mb_op_sync;
extern const struct mb_op mb_op_version;

#endif
