/* SPDX-License-Identifier: MIT */
#ifndef MB_DIGEST_H
#define MB_DIGEST_H

/* SHA-256 by OpenSSL (FIPS 180-4), and hexadecimal text. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MB_DIGEST_SIZE 32
#define MB_DIGEST_HEX_SIZE 65 /* 64 digits and a NUL */

struct mb_digest; /* one context, usable for any number of digests one after another */

struct mb_digest *mb_digest_new(void);
void mb_digest_free(struct mb_digest *digest);
void mb_digest_update(struct mb_digest *digest, const void *data, size_t size);
/* Writes the digest of all that was updated since new() or the last final(), and starts over. */
void mb_digest_final(struct mb_digest *digest, uint8_t out[static MB_DIGEST_SIZE]);

void mb_digest_sha256(const void *data, size_t size, uint8_t out[static MB_DIGEST_SIZE]);

/* Lower-case hex with a NUL: `out` has room for 2 * size + 1. */
void mb_digest_hex(const uint8_t *data, size_t size, char *out);
/* False unless text starts with exactly 2 * size lower-case hex digits (what follows them is not
 * looked at). */
bool mb_digest_unhex(const char *text, uint8_t *data, size_t size);

#endif
