/* SPDX-License-Identifier: MIT */
#include "fingerprint.h"

#include <string.h>

#include "banned.h"

#define PRIME 1099511628211u

uint64_t mb_fingerprint_add(uint64_t fingerprint, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++) {
        fingerprint = (fingerprint ^ bytes[i]) * PRIME;
    }
    return fingerprint;
}

uint64_t mb_fingerprint_add_text(uint64_t fingerprint, const char *text)
{
    return text == NULL ? (fingerprint ^ 0xff) * PRIME
                        : mb_fingerprint_add(fingerprint, text, strlen(text) + 1);
}

int64_t mb_fingerprint_int64(uint64_t fingerprint)
{
    return (int64_t)(fingerprint >> 1 | 1);
}
