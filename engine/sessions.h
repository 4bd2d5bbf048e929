/* SPDX-License-Identifier: MIT */
#ifndef MB_SESSIONS_H
#define MB_SESSIONS_H

/*
 * The session rows of the live database, findable by each of their names and kept in memory once
 * asked for. Children name their session by memory id or rowid; records name it by row id; this is
 * where the one becomes the other.
 *
 * A stub is a session row whose content id is its memory id: claude-mem's own way to give orphans a
 * parent. Stubs are local: never published, and their children count as having no known session,
 * except where state.db's table `stub` says which session a stub of ours stands for.
 */

#include "schema.h"
#include "state.h"

struct mb_session {
    int64_t rowid;
    char *memory; /* NULL while it has none */
    char *content;
    bool is_stub;
    bool is_excluded; /* of claude-mem's observer project: never synced */
    bool has_id;      /* `id`: its own, or of the session that the stub stands for */
    uint8_t id[MB_ROW_ID_SIZE];
};

struct mb_sessions;

/* Reads nothing yet. All three are borrowed. */
struct mb_sessions *mb_sessions_new(struct mb_db *live, const struct mb_schema *schema,
                                    struct mb_state *state);
void mb_sessions_free(struct mb_sessions *sessions);

/* Like ferror(3): -1 if a lookup has failed since new(), with its error. Such a lookup found
 * nothing, so nothing that was done since may be committed: whoever commits asks first. NULL has
 * not failed. */
MB_MUST_USE int mb_sessions_check(const struct mb_sessions *sessions, struct mb_error *err);

/* This row was written, or made, or is gone: it is read again when it is next asked for. */
void mb_sessions_refresh(struct mb_sessions *sessions, int64_t rowid);

/* All are read again: what was handed out is no longer valid. */
void mb_sessions_forget(struct mb_sessions *sessions);

/* NULL if there is none. Borrowed until that row is refreshed, or all are forgotten. */
const struct mb_session *mb_sessions_by_rowid(struct mb_sessions *sessions, int64_t rowid);
const struct mb_session *mb_sessions_by_memory(struct mb_sessions *sessions, const char *memory);
/* As by_rowid, of a row that must be there: MB_ERR_FAILED if it is not. */
MB_MUST_USE int mb_sessions_need(struct mb_sessions *sessions, int64_t rowid,
                                 const struct mb_session **session_out, struct mb_error *err);
/* The newest row of this content id (there may be one for each platform). */
const struct mb_session *mb_sessions_by_content(struct mb_sessions *sessions, const char *content);
/* A true session if there is one that was captured, else the stub that stands for it. */
const struct mb_session *mb_sessions_by_id(struct mb_sessions *sessions,
                                           const uint8_t id[static MB_ROW_ID_SIZE]);

#endif
