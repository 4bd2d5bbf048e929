/* SPDX-License-Identifier: MIT */
#ifndef MB_ALLOC_H
#define MB_ALLOC_H

/*
 * Small allocations. When memory is out, the process ends with one line on stderr: every durable
 * step of ours may be killed and repeated, so dying is safe. Sizes that come from outside are
 * checked against a named limit (limits.h) before they get here. All results are given: free()
 * releases them.
 */

#include <stddef.h>

/* Once, at the program's start: large blocks go back to the system when they are freed, whatever
 * was freed before them (glibc would learn to keep them). */
void mb_alloc_init(void);
void *mb_alloc(size_t size);                                  /* size 0 is served as 1 */
void *mb_alloc_zeroed(size_t count, size_t size);             /* checks the product for overflow */
void *mb_alloc_resize(void *data, size_t count, size_t size); /* likewise; data may be NULL */
char *mb_alloc_text(const char *text);                        /* NULL gives NULL */
char *mb_alloc_text_n(const char *text, size_t size);         /* adds the NUL */
char *mb_alloc_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *mb_alloc_copy(const void *data, size_t size);

#endif
