/* SPDX-License-Identifier: MIT */
#ifndef MB_SESSIONS_H
#define MB_SESSIONS_H

/*
 * The session rows of the live database, in memory and findable by each of their names. Children
 * name their session by memory id or rowid; records name it by row id; this is where the one
 * becomes the other.
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
    size_t next[4]; /* private */
};

struct mb_sessions;

MB_MUST_USE int mb_sessions_load(struct mb_db *live, const struct mb_schema *schema,
                                 struct mb_state *state, struct mb_sessions **sessions_out,
                                 struct mb_error *err);
void mb_sessions_free(struct mb_sessions *sessions);

/* Reads one row again (it was written, or made, or is gone). */
MB_MUST_USE int mb_sessions_refresh(struct mb_sessions *sessions, int64_t rowid,
                                    struct mb_error *err);

/* NULL if there is none. Borrowed until the next refresh. */
const struct mb_session *mb_sessions_by_rowid(const struct mb_sessions *sessions, int64_t rowid);
const struct mb_session *mb_sessions_by_memory(const struct mb_sessions *sessions,
                                               const char *memory);
const struct mb_session *mb_sessions_by_content(const struct mb_sessions *sessions,
                                                const char *content);
/* A true session if there is one, else the stub that stands for it. */
const struct mb_session *mb_sessions_by_id(const struct mb_sessions *sessions,
                                           const uint8_t id[static MB_ROW_ID_SIZE]);

#endif
