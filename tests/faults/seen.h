/* SPDX-License-Identifier: MIT */
#ifndef FAULTS_SEEN_H
#define FAULTS_SEEN_H

/* What was checked already, as hashes: most faults leave everything as it was. */

#include "digest.h"
#include "fleet.h"

struct seen;
struct seen_place {
    struct mb_digest *sha;
};

struct seen *seen_new(void);
void seen_free(struct seen *seen); /* NULL is fine */

/* Is this content of a file new? It is noted. */
bool seen_file(struct seen *seen, const char *path);

/* begin, add what makes the place, end: is it new? It is noted. */
void seen_begin(struct seen_place *place);
void seen_add_database(struct seen_place *place, const char *path); /* the synced tables */
void seen_add_state(struct seen_place *place, const char *folder);  /* but for the last results */
void seen_add_folder(struct seen_place *place, const char *folder); /* names */
void seen_add_store(struct seen_place *place, struct fleet *fleet);
bool seen_end(struct seen *seen, struct seen_place *place);

#endif
