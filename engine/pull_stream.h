/* SPDX-License-Identifier: MIT */
#ifndef MB_PULL_STREAM_H
#define MB_PULL_STREAM_H

/* One head of one stream: which of its segments are new, and their records into the merge. */

#include "stream.h"

/* Reads and merges what is new under one head, and notes the head as read when all of it was
 * applied. *is_its_fault_out (on -1): the stream is damaged, of a newer version, or gone meanwhile
 * (MB_ERR_CORRUPT, MB_ERR_FORMAT, MB_ERR_NOT_FOUND): other streams can still be merged, and the
 * next pull goes on with this one. Otherwise the error is the store's, the database's or the
 * person's. */
MB_MUST_USE int mb_pull_stream_head(struct mb_engine *engine, const struct mb_stream_key *key,
                                    bool *is_its_fault_out, struct mb_error *err);

/* Is the head fully read? */
MB_MUST_USE int mb_pull_stream_is_seen(struct mb_engine *engine, const char *key, bool *seen_out,
                                       struct mb_error *err);

#endif
