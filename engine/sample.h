/* SPDX-License-Identifier: MIT */
#ifndef MB_SAMPLE_H
#define MB_SAMPLE_H

/*
 * A small claude-mem database, made by us: for `membridge demo`, and for tests that need one. The
 * schema is that of claude-mem 13.25.3, word for word (the engine checks the text of triggers), in
 * WAL mode, and the rows are written as claude-mem writes them: ids from its own counters, texts
 * with content hashes, full-text search fed by triggers.
 *
 * mb_db_sample_open() is "claude-mem running": the connection stays open, so that a sync beside it
 * is a sync of a database in use. The words come from the caller.
 */

#include "error.h"

#include <stdint.h>

struct mb_sample;

struct mb_sample_observation {
    const char *type;
    const char *title;
    const char *subtitle;
    const char *facts; /* JSON array of texts */
    const char *narrative;
    const char *concepts; /* JSON array of texts */
};

struct mb_sample_session {
    const char *content_id; /* unique */
    const char *project;
    const char *prompt;
    const char *request;
    const char *learned;
    const char *completed;
    const char *next_steps;
    int64_t started_ms;
    const struct mb_sample_observation *observations;
    size_t observation_count;
};

/* Makes the database (the file must not be there) or opens an existing one. MB_ERR_FAILED and
 * the codes of files. */
MB_MUST_USE int mb_db_sample_create(const char *path, struct mb_sample **sample_out,
                                    struct mb_error *err);
MB_MUST_USE int mb_db_sample_open(const char *path, struct mb_sample **sample_out,
                                  struct mb_error *err);
void mb_db_sample_close(struct mb_sample *sample); /* NULL is fine */

/* A session with its prompt, observations and summary, in one transaction. */
MB_MUST_USE int mb_db_sample_add_session(struct mb_sample *sample,
                                         const struct mb_sample_session *session,
                                         struct mb_error *err);

/* Deletes the oldest observation of that title, as claude-mem's viewer does. MB_ERR_NOT_FOUND. */
MB_MUST_USE int mb_db_sample_delete_observation(struct mb_sample *sample, const char *title,
                                                struct mb_error *err);

MB_MUST_USE int mb_db_sample_count(struct mb_sample *sample, const char *table, int64_t *count_out,
                                   struct mb_error *err);
MB_MUST_USE int mb_db_sample_count_title(struct mb_sample *sample, const char *title,
                                         int64_t *count_out, struct mb_error *err);

/*
 * Compares all sessions, prompts, observations and summaries by what they say (never by local ids).
 * *row_count_out is how many rows were compared. difference is "" if the two hold the same, else a
 * sentence about the first row that one of them lacks.
 */
#define MB_SAMPLE_DIFFERENCE_MAX 256
MB_MUST_USE int mb_db_sample_compare(struct mb_sample *a, struct mb_sample *b,
                                     int64_t *row_count_out,
                                     char difference[static MB_SAMPLE_DIFFERENCE_MAX],
                                     struct mb_error *err);

#endif
