/* SPDX-License-Identifier: MIT */
#ifndef MB_JSON_SCAN_H
#define MB_JSON_SCAN_H

/*
 * The strict half of json.h: reads a text by the grammar of RFC 8259 without building anything, so
 * that what reaches cJSON is known to be right. It also notes which numbers cJSON, which keeps
 * doubles and writes 15 digits, would change.
 */

#include "json.h"

struct mb_json_exact {
    size_t ordinal; /* counted over all numbers of the text, from 0 */
    size_t offset;
    size_t size;
};

/* Numbers to be kept as text: those with fraction or exponent, of more than 15 digits, or "-0". In
 * text order. */
struct mb_json_scan {
    struct mb_json_exact *numbers;
    size_t count;
    size_t capacity;
};

/* MB_ERR_CORRUPT or MB_ERR_LIMIT. *scan must be zeroed; release it in any case. */
MB_MUST_USE int mb_json_scan(const char *text, size_t size, const struct mb_json_limits *limits,
                             struct mb_json_scan *scan, struct mb_error *err);
void mb_json_scan_release(struct mb_json_scan *scan);

#endif
