/* SPDX-License-Identifier: MIT */
#include "digest.h"

#include "alloc.h"
#include "assert.h"

/*
 * The low-level functions, which every OpenSSL, LibreSSL and BoringSSL has: deprecated since 3.0 in
 * favour of EVP, whose first use loads the providers and costs each start of the program 1.1 ms
 * (docs/PERFORMANCE.md). The code beneath is the same.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <stdlib.h>

#include "banned.h"

struct mb_digest {
    SHA256_CTX context;
};

struct mb_digest *mb_digest_new(void)
{
    struct mb_digest *digest = mb_alloc_zeroed(1, sizeof(*digest));

    MB_ASSERT(SHA256_Init(&digest->context) == 1);
    return digest;
}

void mb_digest_free(struct mb_digest *digest)
{
    free(digest);
}

void mb_digest_update(struct mb_digest *digest, const void *data, size_t size)
{
    MB_ASSERT(SHA256_Update(&digest->context, data, size) == 1);
}

void mb_digest_final(struct mb_digest *digest, uint8_t out[static MB_DIGEST_SIZE])
{
    MB_ASSERT(SHA256_Final(out, &digest->context) == 1);
    MB_ASSERT(SHA256_Init(&digest->context) == 1);
}

void mb_digest_sha256(const void *data, size_t size, uint8_t out[static MB_DIGEST_SIZE])
{
    struct mb_digest digest;

    MB_ASSERT(SHA256_Init(&digest.context) == 1);
    mb_digest_update(&digest, data, size);
    mb_digest_final(&digest, out);
}

void mb_digest_hex(const uint8_t *data, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 0x0F];
    }
    out[2 * size] = '\0';
}

/* -1 if it is not a lower-case hex digit. */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

bool mb_digest_unhex(const char *text, uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = digit_value(text[2 * i]);
        /* A text that ends early ends the loop here: its NUL is no digit. */
        int low = high < 0 ? -1 : digit_value(text[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        data[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}
