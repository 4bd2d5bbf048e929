/* SPDX-License-Identifier: MIT */
#ifndef MB_LOG_H
#define MB_LOG_H

/*
 * Trace lines for those who look for a fault. base, store, engine and ops return errors and never
 * log; they may trace. One line per event: "t=<utc ms> c=<component> key=value ...". The front end
 * chooses by MEMBRIDGE_LOG what is shown and where: a comma list of components ("store", "engine",
 * ...), "all", with "-store" to take one out. Nothing is traced by default. Never a secret, never a
 * row's text.
 */

#include "error.h"

#include <stdint.h>
#include <stdio.h>

/* selection may be NULL (off). stream is borrowed for the life of the process. now_ms stamps the
 * lines. */
void mb_log_open(const char *selection, FILE *stream, int64_t (*now_ms)(void *context),
                 void *context);
bool mb_log_wants(const char *component);
void mb_log_trace(const char *component, const char *format, ...) MB_PRINTF(2, 3);

#endif
