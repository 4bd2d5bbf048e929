/* SPDX-License-Identifier: MIT */
#ifndef MB_PULL_DIGEST_H
#define MB_PULL_DIGEST_H

#include "core.h"

/* Compares what a head said of its machine's rows with ours, where both have read the same (an
 * alarm, if they differ). */
MB_MUST_USE int mb_pull_digest_compare(struct mb_engine *engine, struct mb_error *err);

#endif
