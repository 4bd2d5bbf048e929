/* SPDX-License-Identifier: MIT */
#ifndef FAULTS_SAVE_H
#define FAULTS_SAVE_H

/* All files and objects of a fleet, to be put back. The databases must be closed. */

#include "fleet.h"

struct save;

struct save *save_new(struct fleet *fleet);
/* Databases stay the same files (their inode means something); what was not there is removed. */
void save_restore(const struct save *save, struct fleet *fleet);
void save_free(struct save *save);

#endif
