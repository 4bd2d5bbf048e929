/* SPDX-License-Identifier: MIT */
#ifndef MB_PULL_H
#define MB_PULL_H

/* What is new in the store, into the live database. The operation itself: engine.h,
 * mb_engine_pull. */

#include "core.h"

MB_MUST_USE int mb_pull_run(struct mb_engine *engine, const struct mb_pull_request *request,
                            struct mb_pull_report *report, struct mb_error *err);

#endif
