/* SPDX-License-Identifier: MIT */
#ifndef MB_FILE_INTERNAL_H
#define MB_FILE_INTERNAL_H

/* What the files of file.h share among themselves. */

#include "error.h"

/* "<doing> '<path>': <reason>". MB_ERR_NOT_FOUND if the reason is that, else as
 * mb_error_errno(). */
int mb_file_fail(struct mb_error *err, int errno_value, const char *doing, const char *path);

#endif
