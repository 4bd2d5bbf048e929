/* SPDX-License-Identifier: MIT */
#ifndef SIM_ROWS_H
#define SIM_ROWS_H

/*
 * Rows as claude-mem makes them, each told to the ledger. All of them run inside the transaction of
 * an edit; false means that it cannot be done just then. Every value that can change later is
 * unique ("v<tag>"), so that the judge can tell where it came from.
 */

#include "sim_traps.h"

/* A session of the machine that the ledger knows. */
struct sim_session {
    int64_t id;
    int row;
    char content[SIM_TEXT_MAX];
    char memory[SIM_TEXT_MAX];
    char project[SIM_TEXT_MAX];
};

struct sim_observation {
    const char *title;
    const char *narrative;
    const char *project;
    int64_t epoch;
};

#define SIM_TRUE_SESSIONS                                                                          \
    "SELECT id FROM sdk_sessions WHERE content_session_id IS NOT memory_session_id"

int64_t sim_row_tag(struct sim_machine *machine);
int64_t sim_row_epoch(struct sim_machine *machine);
void sim_row_hash(const char *memory, const char *title, const char *narrative,
                  char out[static 17]);
bool sim_row_load_session(struct sim_machine *machine, int64_t id, struct sim_session *session);
bool sim_row_pick_session(struct sim_machine *machine, struct sim_random *random,
                          struct sim_session *session);
/* The session of the ledger's row got this memory id here. */
void sim_row_has_memory(struct sim_machine *machine, int row, const char *memory);
bool sim_row_make_session(struct sim_machine *machine, const char *content, const char *memory,
                          const char *project);
bool sim_row_fill_memory(struct sim_machine *machine, struct sim_session *session);
bool sim_row_new_session(struct sim_machine *machine, struct sim_random *random);
/* One to add to: one that is there, or a new one; with a memory id. */
bool sim_row_some_session(struct sim_machine *machine, struct sim_random *random,
                          struct sim_session *session);
bool sim_row_insert_observation(struct sim_machine *machine, const struct sim_session *session,
                                const struct sim_observation *made);
bool sim_row_new_observation(struct sim_machine *machine, const struct sim_session *session);
int64_t sim_row_find(struct sim_machine *machine, const struct sim_row *row); /* -1: not here */
/* The rowid of one that was touched lately on some machine, and stands here; -1: none, or not this
 * time. */
int64_t sim_row_hot(struct sim_machine *machine, struct sim_random *random, enum sim_table table);
/* The same of an observation that has copies. */
int64_t sim_row_copied(struct sim_machine *machine, struct sim_random *random);
bool sim_row_new_big(struct sim_machine *machine, struct sim_random *random);
bool sim_row_insert_prompt(struct sim_machine *machine, const struct sim_session *session,
                           bool is_null, bool is_long);

#endif
