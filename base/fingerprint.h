/* SPDX-License-Identifier: MIT */
#ifndef MB_FINGERPRINT_H
#define MB_FINGERPRINT_H

/*
 * A cheap 64-bit hash (FNV-1a) that says "the same" or "another" of what this machine itself has
 * seen: marks of a database, hash tables. Not for anything that another could choose to collide:
 * that is digest.h's.
 */

#include <stddef.h>
#include <stdint.h>

#define MB_FINGERPRINT_START 14695981039346656037u

uint64_t mb_fingerprint_add(uint64_t fingerprint, const void *data, size_t size);

/* The text with its NUL; NULL counts as a value of its own. */
uint64_t mb_fingerprint_add_text(uint64_t fingerprint, const char *text);

/* As SQLite can keep it, and never 0 ("none"). */
int64_t mb_fingerprint_int64(uint64_t fingerprint);

#endif
