/* SPDX-License-Identifier: MIT */
#ifndef MB_ERROR_H
#define MB_ERROR_H

/*
 * Errors: a code for the program, a sentence for the person.
 *
 * A fallible function returns 0 or -1 and fills *err (never NULL) on -1. The one table below gives
 * each code its name on the wire (--json, MCP), its exit status, whether trying again may help, and
 * the advice shown when the place of failure had none of its own. Exit statuses follow the list in
 * docs/DESIGN.md ("Exit codes") and are never reused; 2 is never used, because hosts read a hook's
 * 2 as "block".
 *
 * Messages: lower case, no full stop, text from outside in single quotes and cleaned, never a
 * secret. Context is added on the way up with mb_error_wrap().
 */

#include <stdbool.h>
#include <stddef.h>

#define MB_MUST_USE __attribute__((warn_unused_result))
/* Ignores a result on purpose; what follows the call must be right either way. */
#define MB_IGNORE(call)                                                                            \
    do {                                                                                           \
        if (call) { /* on purpose */                                                               \
        }                                                                                          \
    } while (0)
#define MB_PRINTF(format_index, first_index)                                                       \
    __attribute__((format(printf, format_index, first_index)))

/* clang-format off */
#define MB_ERROR_TABLE(X) /* code, wire name, exit status, may a retry help, advice */             \
    X(MB_OK,                  "ok",                   0, false, "")                                \
    X(MB_ERR_FAILED,          "failed",               1, false, "run 'membridge status' to see how things stand") \
    X(MB_ERR_NOT_FOUND,       "not_found",            1, false, "run 'membridge status' to see how things stand") \
    X(MB_ERR_LIMIT,           "limit_exceeded",       1, false, "run 'membridge status' to see how things stand") \
    X(MB_ERR_NO_SPACE,        "disk_full",            1, false, "free some space and run the command again; nothing was lost") \
    X(MB_ERR_DENIED,          "access_denied",        1, false, "check who owns the file or folder and its mode") \
    X(MB_ERR_CREDENTIALS,     "credentials_refused",  4, false, "check the access key and the secret key") \
    X(MB_ERR_TEMPORARY,       "temporary",            5, true,  "try again in a moment; nothing was lost") \
    X(MB_ERR_UNKNOWN_OUTCOME, "unknown_outcome",      5, true,  "run 'membridge sync' again: repeating is safe") \
    X(MB_ERR_BUSY,            "database_busy",        5, true,  "try again in a moment: another program is writing to the database") \
    X(MB_ERR_STORE_MISSING,   "store_missing",        5, true,  "mount the drive, or run 'membridge init' if the store was emptied on purpose") \
    X(MB_ERR_DECISION,        "needs_decision",       6, false, "run 'membridge status' to see what waits for you") \
    X(MB_ERR_LOCKED,          "locked",               7, true,  "wait for the other membridge to end, then run the command again") \
    X(MB_ERR_CORRUPT,         "damaged",              8, false, "run 'membridge status'; nothing was changed here") \
    X(MB_ERR_FORMAT,          "unsupported_format",   8, false, "install a newer membridge on this machine") \
    X(MB_ERR_KEY,             "wrong_key",            9, false, "check the encryption key") \
    X(MB_ERR_NOT_SET_UP,      "not_set_up",          10, false, "run 'membridge init'") \
    X(MB_ERR_NO_DATABASE,     "no_database",         10, false, "start Claude Code with claude-mem once, or name the file with CLAUDE_MEM_DB") \
    X(MB_ERR_SCHEMA,          "unsupported_database", 1, false, "run 'membridge version' and see README.md for the versions of claude-mem that are supported") \
    X(MB_ERR_USAGE,           "usage",               64, false, "see 'membridge help'")            \
    X(MB_ERR_INTERRUPTED,     "interrupted",        130, true,  "run the command again: it goes on where it stopped")
/* clang-format on */

enum mb_code {
#define X(code, name, status, retry, advice) code,
    MB_ERROR_TABLE(X)
#undef X
};

#define MB_ERROR_MESSAGE_MAX 1024
#define MB_ERROR_ADVICE_MAX 512

struct mb_error {
    enum mb_code code;
    char message
        [MB_ERROR_MESSAGE_MAX]; /* a sentence without its full stop; cut with "..." if longer */
    char advice[MB_ERROR_ADVICE_MAX]; /* empty: the table's advice counts */
};

/* Makes *err say "no error". */
void mb_error_init(struct mb_error *err);

/* Sets code and message, and forgets earlier advice. Returns -1, for "return mb_error_set(...)". */
int mb_error_set(struct mb_error *err, enum mb_code code, const char *format, ...) MB_PRINTF(3, 4);

/* As mb_error_set, with ": <strerror(errno_value)>" behind it and the code chosen by errno_value
 * where that says more than `code` (ENOSPC, EDQUOT: NO_SPACE; EACCES, EPERM, EROFS: DENIED).
 * Returns -1. */
int mb_error_errno(struct mb_error *err, enum mb_code code, int errno_value, const char *format,
                   ...) MB_PRINTF(4, 5);

/* Puts "<context>: " before the message and keeps code and advice. Returns -1. */
int mb_error_wrap(struct mb_error *err, const char *format, ...) MB_PRINTF(2, 3);

/* Replaces the advice ("what to do next", one sentence or command). Returns -1. */
int mb_error_advise(struct mb_error *err, const char *format, ...) MB_PRINTF(2, 3);

const char *mb_error_name(enum mb_code code);
int mb_error_exit_status(enum mb_code code);
bool mb_error_is_retryable(enum mb_code code);

/* The error's own advice, or its code's. Borrowed from *err or static. */
const char *mb_error_advice(const struct mb_error *err);

#endif
