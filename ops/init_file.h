/* SPDX-License-Identifier: MIT */
#ifndef MB_INIT_FILE_H
#define MB_INIT_FILE_H

/* Writes config.env for `membridge init`: NAME=value lines that a shell reads alike. */

#include "op.h"

struct mb_init_value {
    const char *name;
    const char *value; /* NULL: leave what the file says */
};

/*
 * Sets the values in places->config_file and keeps its other lines. If it does not exist yet and
 * the predecessor's file was read, that one's settings other than its S3 keys come along, because
 * it is not read any more once ours exists. The file is made with mode 0600, its folder with 0700;
 * durable when this returns 0.
 */
MB_MUST_USE int mb_init_file_write(const struct mb_places *places,
                                   const struct mb_init_value *values, size_t value_count,
                                   struct mb_error *err);

#endif
