/* SPDX-License-Identifier: MIT */
#ifndef MB_STREAM_H
#define MB_STREAM_H

/*
 * The store's side: heads and segments, read and checked. verify-first: no byte from the store is
 * used before its hash, format and limits are checked against what the head, and the head's name,
 * say.
 */

#include "core.h"

struct mb_stream_key {
    char *key; /* below the project's root: "heads/<machine>/<sequence>-<hash>" */
    uint8_t machine[MB_MACHINE_ID_SIZE];
    int64_t sequence;
};
struct mb_stream_list {
    struct mb_stream_key *items; /* by machine, then sequence */
    size_t count;
};

/* All heads of the project, or of one machine (not NULL). One request. */
MB_MUST_USE int mb_stream_list_heads(struct mb_engine *engine, const uint8_t *machine,
                                     struct mb_stream_list *list_out, struct mb_error *err);
void mb_stream_list_release(struct mb_stream_list *list);

/* MB_ERR_NOT_FOUND if it is gone meanwhile; MB_ERR_CORRUPT, MB_ERR_FORMAT. */
MB_MUST_USE int mb_stream_read_head(struct mb_engine *engine, const struct mb_stream_key *key,
                                    struct mb_head *head_out, struct mb_error *err);

/* Reads a segment of a stream into buf and checks it against its name. Likewise. */
MB_MUST_USE int mb_stream_read_segment(struct mb_engine *engine,
                                       const uint8_t machine[static MB_MACHINE_ID_SIZE],
                                       const struct mb_head_entry *entry, struct mb_buf *buf,
                                       struct mb_error *err);

/* A segment that will be read again, on this machine's disk until then; what cannot be kept is
 * fetched again, what was damaged there too. */
void mb_stream_keep_segment(struct mb_engine *engine, const struct mb_head_entry *entry,
                            const struct mb_buf *buf);
void mb_stream_drop_kept(struct mb_engine *engine);

/* Names of all segments of a stream that the store shows; *names_out and each name given. */
MB_MUST_USE int mb_stream_list_segments(struct mb_engine *engine,
                                        const uint8_t machine[static MB_MACHINE_ID_SIZE],
                                        char ***names_out, size_t *count_out, struct mb_error *err);
void mb_stream_names_free(char **names, size_t count);

/* Is the store there, and ours? Asked only where a listing did not show it already (has_heads), or
 * the store is another one than before: nothing new costs one request. A store that this machine
 * used and that has lost its marker is missing, not empty. An empty place gets the marker when
 * may_mark. */
MB_MUST_USE int mb_stream_check_store(struct mb_engine *engine, bool has_heads, bool may_mark,
                                      struct mb_error *err);

#endif
