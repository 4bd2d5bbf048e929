/* SPDX-License-Identifier: MIT */
#include "sim_regressions.h"

#include <stddef.h>

#include "banned.h"

const struct sim_regression sim_regressions[] = {
    {NULL, NULL},
};
