/* SPDX-License-Identifier: MIT */
#ifndef MB_ASSERT_H
#define MB_ASSERT_H

/*
 * MB_ASSERT states what we guarantee and stays on in release: a broken guarantee must not reach
 * anybody's memory. What the world gets wrong is an error (error.h), never an assert.
 */

#define MB_ASSERT(expression)                                                                      \
    ((expression) ? (void)0 : mb_assert_failed(#expression, __FILE__, __LINE__))

_Noreturn void mb_assert_failed(const char *expression, const char *file, int line);

#endif
