/* SPDX-License-Identifier: MIT */

#include "db_code.h"

#include <sqlite3.h>

#include <errno.h>

#include "banned.h"

static enum mb_code code_of(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return MB_ERR_BUSY;
    case SQLITE_FULL: return MB_ERR_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return MB_ERR_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN: return MB_ERR_DENIED;
    default: return MB_ERR_FAILED;
    }
}

static int errno_of(sqlite3_file *file)
{
    int system_errno = 0;

    if (file == NULL || file->pMethods == NULL || file->pMethods->xFileControl == NULL ||
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &system_errno) != SQLITE_OK) {
        return 0;
    }
    return system_errno;
}

/* What the system said to the last write. SQLite 3.40 forgets it where a commit fails, but for the
 * files themselves: a WAL that meets a quota says no more than "disk I/O error". */
static int find_errno(sqlite3 *handle)
{
    sqlite3_file *file = NULL;
    int system_errno = sqlite3_system_errno(handle);

    if (system_errno == 0 &&
        sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) == SQLITE_OK) {
        system_errno = errno_of(file);
    }
    if (system_errno == 0 &&
        sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK) {
        system_errno = errno_of(file);
    }
    return system_errno;
}

enum mb_code mb_db_code(struct sqlite3 *handle, int sqlite_code)
{
    int system_errno =
        handle != NULL && (sqlite_code & 0xff) == SQLITE_IOERR ? find_errno(handle) : 0;

    if (system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG) {
        return MB_ERR_NO_SPACE;
    }
    return code_of(sqlite_code);
}
