/* SPDX-License-Identifier: MIT */
#ifndef MB_ATTACH_H
#define MB_ATTACH_H

/*
 * References travel as row ids; here they become what the local database uses: memory ids and
 * rowids. A child whose session is not here gets claude-mem's own kind of parent, a stub: a session
 * row whose content id is its memory id. All of this writes the live database in the caller's
 * transaction and keeps the sessions index true.
 */

#include "live.h"

/* The parent for a child: of session `id`, or (id NULL) of nobody known, at its origin under memory
 * id `orphan` (may be NULL). `content` is a prompt's own content session id, or NULL. Makes a stub
 * if there is no such session. *session_out is borrowed from the index, with a memory id; NULL
 * where the table allows a child without a parent. */
struct mb_attach_wish {
    int table;
    const uint8_t *id;
    const char *orphan;
    const char *content;
    const struct mb_value *project; /* of the child, for the stub; may be NULL */
};
MB_MUST_USE int mb_attach_parent(struct mb_engine *engine, const struct mb_attach_wish *wish,
                                 const struct mb_session **session_out, struct mb_error *err);

/* Turns a session row that must go, but has children that stay, into a stub that stands for it. */
MB_MUST_USE int mb_attach_make_stub(struct mb_engine *engine, const struct mb_session *session,
                                    const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err);

/* Notes which session a stub row stands for. */
MB_MUST_USE int mb_attach_note_stub(struct mb_engine *engine, int64_t rowid,
                                    const uint8_t id[static MB_ROW_ID_SIZE], struct mb_error *err);

MB_MUST_USE int mb_attach_has_children(struct mb_engine *engine, const struct mb_session *session,
                                       bool *has_out, struct mb_error *err);

/* Gives a session another memory id and takes its children along, with or without ON UPDATE
 * CASCADE. */
MB_MUST_USE int mb_attach_set_memory(struct mb_engine *engine, int64_t rowid, const char *memory,
                                     struct mb_error *err);

/* Moves children of stubs to true sessions that are here now, and removes stubs of ours without
 * children. */
MB_MUST_USE int mb_attach_tidy(struct mb_engine *engine, struct mb_error *err);

#endif
