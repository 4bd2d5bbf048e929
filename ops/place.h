/* SPDX-License-Identifier: MIT */
#ifndef MB_PLACE_H
#define MB_PLACE_H

/* Where a store is, as people write it: a folder, "file:///folder", "s3://bucket". */

#include "error.h"

/*
 * Gives the absolute folder for `text` ("~/" is put in for home, a relative one is taken from the
 * working folder). `origin` is named in messages: "--store", "MEMBRIDGE_STORE". MB_ERR_USAGE for
 * what is no place, MB_ERR_NOT_SET_UP for S3, which this version does not speak.
 */
MB_MUST_USE int mb_place_resolve(const char *text, const char *origin, const char *home,
                                 char **folder_out, struct mb_error *err);

#endif
