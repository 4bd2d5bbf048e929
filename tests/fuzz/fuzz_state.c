/* SPDX-License-Identifier: MIT */
/*
 * A damaged state.db. Whatever it says: no crash, and claude-mem's database stays sound.
 *
 * Input: one byte of flags (1: a push first; 2: claude-mem has edited its database; 4: the pull
 * accepts deletes), a new line, and a program (world_change_file) that changes a sound state.
 */
#include "world.h"

#include <string.h>

/* What claude-mem did since. */
#define EDITS                                                                                      \
    "PRAGMA foreign_keys=ON\n"                                                                     \
    "DELETE FROM observations WHERE title='edit 1'\n"                                              \
    "UPDATE observations SET project='mine' WHERE title='edit 2'\n"                                \
    "INSERT INTO user_prompts(session_db_id,content_session_id,prompt_number,prompt_text,"         \
    "created_at,created_at_epoch) VALUES(3,'edit-s',9,'new','now',1777593700000)\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mb_pull_request accepting = {.accept_deletes = true};
    struct fuzz_input input = {data, size};
    uint8_t flags = fuzz_byte(&input);
    struct world *world = world_reset(true);
    struct mb_pull_report pulled;
    struct mb_push_report pushed;
    struct mb_error err;
    char hex[65];

    (void)fuzz_byte(&input); /* the new line */
    if ((flags & 2) != 0) {
        struct fuzz_input edit = {(const uint8_t *)EDITS, strlen(EDITS)};

        world_change_file(world->db_path, false, &edit);
    }
    world_change_file(world->state_path, false, &input);
    world_look(world);
    if ((flags & 1) != 0) {
        MB_IGNORE(world_push(world, NULL, &pushed, &err));
    }
    MB_IGNORE(world_pull(world, (flags & 4) != 0 ? &accepting : NULL, &pulled, &err));
    MB_IGNORE(world_push(world, NULL, &pushed, &err));
    world_look(world);
    world_check(world, false, hex);
    return 0;
}
