/* SPDX-License-Identifier: MIT */
#include "assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "banned.h"

_Noreturn void mb_assert_failed(const char *expression, const char *file, int line)
{
    (void)fprintf(stderr, "membridge: %s:%d: broken guarantee: %s\n", file, line, expression);
    abort();
}
