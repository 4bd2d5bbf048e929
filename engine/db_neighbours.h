/* SPDX-License-Identifier: MIT */
#ifndef MB_DB_NEIGHBOURS_H
#define MB_DB_NEIGHBOURS_H

/*
 * Has another process the database open? SQLite asks that when a connection is closed: the last
 * one writes the WAL back and deletes it. It looks for a lock on the database file, and that lock
 * may be missing: a process loses it when it closes any descriptor of that file. claude-mem's
 * worker does so when it copies its database (a one-time upgrade of its). Then SQLite would delete
 * the WAL under the worker, and what the worker writes afterwards would be lost.
 *
 * So this looks for the other lock that everybody holds who has a database in WAL mode open, that
 * on the -shm file.
 */

#include <stdbool.h>

/*
 * Gives a descriptor, or -1, for mb_db_neighbours_release(), which is called when our own
 * connection to the database at path is closed, not before: closing it drops our own locks.
 * *found_out: somebody is there, or that cannot be known. A database that is not in WAL mode, and
 * this process, are no neighbours.
 */
int mb_db_neighbours_look(const char *path, bool *found_out);
void mb_db_neighbours_release(int fd);

#endif
