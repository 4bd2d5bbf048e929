/* SPDX-License-Identifier: MIT */
#ifndef MB_DB_CODE_H
#define MB_DB_CODE_H

/* What an error of SQLite means to the program. For db*.c. */

#include "error.h"

struct sqlite3;

/* handle: where the error has just happened; NULL if it is not known. A full disk, a quota and a
 * file size limit are MB_ERR_NO_SPACE, however SQLite puts it. */
enum mb_code mb_db_code(struct sqlite3 *handle, int sqlite_code);

#endif
