/* SPDX-License-Identifier: MIT */
#ifndef MB_ENV_FILE_H
#define MB_ENV_FILE_H

/*
 * config.env: NAME=value lines, as a shell would read them, without running one. Known are "export
 * ", comments, single and double quotes, backslashes, a leading "~/", and $NAME or ${NAME} for
 * names set further up or in the environment; CRLF line ends are fine.
 *
 * Other people's files may hold anything a shell takes. What we cannot read is remembered with its
 * line and becomes an error only when that very setting is asked for; lines that set nothing are
 * left alone.
 */

#include "error.h"

#include <stddef.h>

struct mb_env_file;

/* Looks up a variable of the environment; NULL if it is not set. */
typedef const char *(*mb_env_file_lookup_fn)(void *context, const char *name);

/*
 * Reads the file. It must be a regular file that only its owner can read (it may hold keys):
 * MB_ERR_DENIED with the chmod command otherwise. MB_ERR_NOT_FOUND, MB_ERR_LIMIT, and the errors of
 * files. lookup is borrowed for the call.
 */
MB_MUST_USE int mb_env_file_read(const char *path, mb_env_file_lookup_fn lookup, void *context,
                                 struct mb_env_file **file_out, struct mb_error *err);

/* The same from memory; never fails. path is for messages. */
struct mb_env_file *mb_env_file_parse(const char *path, const char *text,
                                      mb_env_file_lookup_fn lookup, void *context);
void mb_env_file_free(struct mb_env_file *file); /* NULL is fine */

/* *value_out is borrowed; NULL if the file does not set it. MB_ERR_USAGE, naming the line, if it
 * cannot be read. */
MB_MUST_USE int mb_env_file_get(const struct mb_env_file *file, const char *name,
                                const char **value_out, struct mb_error *err);

#endif
