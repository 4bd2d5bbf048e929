/* SPDX-License-Identifier: MIT */
#ifndef SIM_REGRESSIONS_H
#define SIM_REGRESSIONS_H

/* Stories that an engine once got wrong, shrunk, each named by the sentence that it disproved. A
 * story stays what it is when the generator of seeds changes. */
struct sim_regression {
    const char *name;
    const char *text; /* as sim --shrink prints it */
};
extern const struct sim_regression sim_regressions[]; /* ends with a NULL name */

#endif
