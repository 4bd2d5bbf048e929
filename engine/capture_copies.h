/* SPDX-License-Identifier: MIT */
#ifndef MB_CAPTURE_COPIES_H
#define MB_CAPTURE_COPIES_H

/*
 * Which id each row that is not mapped gets.
 *
 * Equal rows are copies, numbered from 0. A number once given stays; a new copy takes the lowest
 * free one. Among several at once, the session decides who gets which, so that clones number alike.
 * When the map is rebuilt, known living ids are given out first.
 */

#include "capture.h"

/* One of several equal rows, which are numbered together. */
struct mb_capture_member {
    int64_t rowid;
    uint8_t session[MB_ROW_ID_SIZE]; /* zeros if it has none */
    uint8_t id[MB_ROW_ID_SIZE];
    bool has_id; /* else it is left unsynced */
};

struct mb_capture_candidates { /* rows that are not mapped */
    int64_t *rowids;           /* ascending */
    uint32_t *hashes;          /* of what makes rows equal, by row */
    size_t count;
    struct mb_capture_member *members; /* those that have an equal one among them, by rowid */
    size_t member_count;
};

/* Reads the table's fresh rows (and forgets the list of them) and numbers those that are equal to
 * each other. Rows that never leave the machine are left out. */
MB_MUST_USE int mb_capture_copies_list(struct mb_capture *capture, int table,
                                       struct mb_capture_candidates *list_out,
                                       struct mb_error *err);
void mb_capture_copies_release(struct mb_capture_candidates *list);

/* The id of a row that has no equal one among the new ones: its first, unless that is another
 * row's. Asked when its turn to be added has come. */
MB_MUST_USE int mb_capture_copies_single(struct mb_capture *capture, int table, int64_t rowid,
                                         struct mb_capture_member *member_out,
                                         struct mb_error *err);

/* Is this unmapped row one that the map does not have? A second row of an identity that is unique
 * is left unsynced, and tells nothing. */
MB_MUST_USE int mb_capture_copies_is_newcomer(struct mb_capture *capture,
                                              const struct mb_live_row *row, bool *found_out,
                                              struct mb_error *err);

#endif
