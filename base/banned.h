/* SPDX-License-Identifier: MIT */
#ifndef MB_BANNED_H
#define MB_BANNED_H

/*
 * Names that must not be used, made a compile error. Included last in every .c file, after all
 * system headers, which use some of them.
 *
 * Everywhere: calls that overflow, cannot report an error, keep hidden state, or run a shell.
 * Outside base (MB_BASE): what has an owner there. Memory is alloc.h; the world (time, sleep, the
 * environment) comes in as a parameter (env.h); only main() ends the process. A front end's one
 * output file defines MB_MAY_PRINT before including this.
 */

/* Some C libraries make macros of these, and poisoning a macro warns. */
#undef alloca
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gets atoi atol sscanf
#pragma GCC poison gmtime localtime ctime asctime mktemp tmpnam system popen rand alloca

#ifndef MB_BASE
#pragma GCC poison malloc calloc realloc getenv time sleep exit
#ifndef MB_MAY_PRINT
#pragma GCC poison printf puts
#endif
#endif

#endif
