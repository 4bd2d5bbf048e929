/* SPDX-License-Identifier: MIT */
#ifndef MB_ARGS_H
#define MB_ARGS_H

/*
 * The command line, read against the table of operations: "membridge [command] [--name value |
 * --name=value | --flag]...". Options may stand before the command too. Long names only (and -h),
 * never abbreviated, so that a new option cannot change what a script means. A bare "membridge" is
 * "membridge status".
 */

#include "op.h"

/* Options of every command. */
struct mb_args_globals {
    bool json;
    bool quiet;
    bool verbose;
    bool dry_run;
    bool help;
    const char *project;
    const char *store;
    const char *database;
};

struct mb_args {
    const struct mb_op *op;
    struct mb_args_globals globals;
    void *request;       /* of the op */
    const char *op_word; /* what was written, for messages; NULL: nothing */
};

extern const struct mb_param mb_args_global_params[]; /* ends with name NULL */

/* Borrows argv. MB_ERR_USAGE with a suggestion; args->globals.json is right also on failure.
 * Release in any case. */
MB_MUST_USE int mb_args_parse(struct mb_args *args, int argc, char *const *argv,
                              struct mb_error *err);
void mb_args_release(struct mb_args *args);

/* For mb_config_load(). context is the struct mb_args_globals. */
const char *mb_args_flag(void *context, const char *flag);

#endif
