/* SPDX-License-Identifier: MIT */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

/* Runs in processes of their own, so that a crash or a hang is a verdict like any other; and
 * stories made short. */

#include "sim.h"

struct sim_child {
    int pid;
    int fd;
};
/* is_quiet: what the child says on stderr is dropped. */
struct sim_child sim_child_start(const struct sim_script *script, bool is_quiet);
void sim_child_wait(struct sim_child *child, struct sim_verdict *verdict);

/* The error without what differs from seed to seed. */
void sim_signature(const char *error, char out[static SIM_ERROR_TEXT]);

/* Drops kinds and events for as long as an error of that signature stays. */
void sim_shrink(struct sim_script *script, const char *signature);

#endif
