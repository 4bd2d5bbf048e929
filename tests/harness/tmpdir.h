/* SPDX-License-Identifier: MIT */
#ifndef MB_TMPDIR_H
#define MB_TMPDIR_H

/* One temporary folder per test program, made when first asked for and removed at its end. */

/* The folder. Borrowed. */
const char *tmpdir(void);

/* A path in it that no one else of this program gets: "<folder>/<number>-<name>"; given. */
char *tmpdir_path(const char *name);

/* Called by check_main(). */
void tmpdir_remove(void);

#endif
