/* SPDX-License-Identifier: MIT */
#include "digest.h"

#include "alloc.h"
#include "assert.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <stdlib.h>

#include "banned.h"

struct mb_digest {
    EVP_MD_CTX *context;
};

/*
 * Fetched once: looking an algorithm up costs more than hashing a short text. The system's
 * openssl.cnf is not read, so that a provider named there can neither slow us down nor stop us.
 */
static const EVP_MD *sha256(void)
{
    static const EVP_MD *algorithm;

    if (algorithm == NULL) {
        MB_ASSERT(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
        algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
#else
        algorithm = EVP_sha256();
#endif
        MB_ASSERT(algorithm != NULL);
    }
    return algorithm;
}

struct mb_digest *mb_digest_new(void)
{
    struct mb_digest *digest = mb_alloc_zeroed(1, sizeof(*digest));

    digest->context = EVP_MD_CTX_new();
    MB_ASSERT(digest->context != NULL);
    MB_ASSERT(EVP_DigestInit_ex(digest->context, sha256(), NULL) == 1);
    return digest;
}

void mb_digest_free(struct mb_digest *digest)
{
    if (digest == NULL) {
        return;
    }
    EVP_MD_CTX_free(digest->context);
    free(digest);
}

void mb_digest_update(struct mb_digest *digest, const void *data, size_t size)
{
    MB_ASSERT(EVP_DigestUpdate(digest->context, data, size) == 1);
}

void mb_digest_final(struct mb_digest *digest, uint8_t out[static MB_DIGEST_SIZE])
{
    unsigned size = 0;

    MB_ASSERT(EVP_DigestFinal_ex(digest->context, out, &size) == 1);
    MB_ASSERT(size == MB_DIGEST_SIZE);
    MB_ASSERT(EVP_DigestInit_ex(digest->context, sha256(), NULL) == 1);
}

void mb_digest_sha256(const void *data, size_t size, uint8_t out[static MB_DIGEST_SIZE])
{
    static struct mb_digest *digest; /* kept: one is made per process */

    if (digest == NULL) {
        digest = mb_digest_new();
    }
    mb_digest_update(digest, data, size);
    mb_digest_final(digest, out);
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
