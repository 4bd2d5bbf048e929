/* SPDX-License-Identifier: MIT */
#ifndef MB_TERMINAL_H
#define MB_TERMINAL_H

/* What a Unix process owes its surroundings: open descriptors, signals, and asking a person. */

#include "op.h"

/* Opens what the caller closed of descriptors 0 to 2, so that no database gets such a number and
 * is written to by a message; what is said on one that was closed fails. Ignores SIGPIPE and
 * SIGXFSZ: both come back as errors of the write. */
void mb_terminal_prepare(void);

/* Ctrl-C and SIGTERM end the work at its next safe point (mb_env_interrupt); a second one ends
 * the process. */
void mb_terminal_catch_signals(void);

bool mb_terminal_can_ask(void);
bool mb_terminal_is_output(void);   /* stdout is a terminal */
bool mb_terminal_is_messages(void); /* stderr is a terminal */

/* struct mb_host's ask: the question goes to stderr, the answer comes from stdin. context is the
 * const struct mb_env *. MB_ERR_INTERRUPTED, MB_ERR_USAGE when the input ends. */
MB_MUST_USE int mb_terminal_ask(void *context, const struct mb_host_question *question,
                                char **answer_out, struct mb_error *err);

#endif
