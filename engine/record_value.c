/* SPDX-License-Identifier: MIT */
#include "assert.h"
#include "record_part.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "banned.h"

/* ---- Base64 ---- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void mb_record_base64_encode(const uint8_t *data, size_t size, uint8_t *out)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)data[i] << 16;

        bits |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)data[i + 2] : 0;
        *out++ = (uint8_t)base64_digits[bits >> 18];
        *out++ = (uint8_t)base64_digits[bits >> 12 & 63];
        *out++ = left > 1 ? (uint8_t)base64_digits[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? (uint8_t)base64_digits[bits & 63] : '=';
    }
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool mb_record_base64_decode(const char *text, size_t size, uint8_t *out, size_t *size_out)
{
    size_t padding = 0;
    size_t count = 0;

    if (size % 4 != 0) {
        return false;
    }
    while (padding < 2 && padding < size && text[size - padding - 1] == '=') {
        padding++;
    }
    for (size_t i = 0; i < size; i += 4) {
        size_t digits = i + 4 == size ? 4 - padding : 4;
        uint32_t bits = 0;

        for (size_t j = 0; j < 4; j++) {
            int digit = j < digits ? base64_digit(text[i + j]) : 0;

            if (digit < 0) {
                return false;
            }
            bits = bits << 6 | (uint32_t)digit;
        }
        if ((bits & ((1U << (4 - digits) * 8) - 1)) != 0) {
            return false;
        }
        for (size_t j = 0; j < digits - 1; j++) {
            out[count++] = (uint8_t)(bits >> (16 - 8 * j));
        }
    }
    *size_out = count;
    return true;
}

/* ---- Doubles ---- */

/*
 * Written here and not by printf("%a"), because C libraries differ (glibc writes the smallest
 * double as 0x0.0000000000001p-1022, musl and macOS as 0x1p-1074) and strtod() follows the locale.
 */
void mb_record_real_format(double real, char out[static MB_RECORD_REAL_SIZE])
{
    char fraction_text[16];
    uint64_t bits = 0;
    uint64_t fraction = 0;
    int exponent = 0;
    size_t digits = 13;

    MB_ASSERT(!isnan(real));
    memcpy(&bits, &real, sizeof(bits));
    fraction = bits & ((UINT64_C(1) << 52) - 1);
    exponent = (int)(bits >> 52 & 0x7ff);
    if (exponent == 0x7ff) {
        (void)snprintf(out, MB_RECORD_REAL_SIZE, "%sinf", bits >> 63 ? "-" : "");
        return;
    }
    (void)snprintf(fraction_text, sizeof(fraction_text), "%013" PRIx64, fraction);
    while (digits > 0 && fraction_text[digits - 1] == '0') {
        digits--;
    }
    fraction_text[digits] = '\0';
    (void)snprintf(out, MB_RECORD_REAL_SIZE, "%s0x%d%s%sp%+d", bits >> 63 ? "-" : "", exponent != 0,
                   digits > 0 ? "." : "", fraction_text,
                   exponent != 0   ? exponent - 1023
                   : fraction != 0 ? -1022
                                   : 0);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mb_record_real_parse(const char *text, double *real_out)
{
    char canonical[MB_RECORD_REAL_SIZE];
    const char *p = text;
    uint64_t bits = *p == '-' ? UINT64_C(1) << 63 : 0;
    int exponent = 0;
    bool is_normal = false;

    p += *p == '-';
    if (strcmp(p, "inf") == 0) {
        bits |= UINT64_C(0x7ff) << 52;
    } else {
        if (p[0] != '0' || p[1] != 'x' || (p[2] != '0' && p[2] != '1')) {
            return false;
        }
        is_normal = p[2] == '1';
        p += 3;
        p += *p == '.';
        for (int shift = 48; shift >= 0 && hex_digit(*p) >= 0; shift -= 4) {
            bits |= (uint64_t)hex_digit(*p++) << shift;
        }
        if (p[0] != 'p' || (p[1] != '+' && p[1] != '-')) {
            return false;
        }
        for (const char *digit = p + 2; *digit >= '0' && *digit <= '9' && exponent < 1000;
             digit++) {
            exponent = exponent * 10 + (*digit - '0');
        }
        exponent = p[1] == '-' ? -exponent : exponent;
        if (is_normal && (exponent < -1022 || exponent > 1023)) {
            return false;
        }
        bits |= is_normal ? (uint64_t)(exponent + 1023) << 52 : 0;
    }
    memcpy(real_out, &bits, sizeof(bits));
    mb_record_real_format(*real_out, canonical);
    return strcmp(canonical, text) == 0;
}

/* ---- Comparing ---- */

int mb_record_version_compare(const struct mb_version *a, const struct mb_version *b)
{
    if (a->hlc != b->hlc) {
        return a->hlc < b->hlc ? -1 : 1;
    }
    return memcmp(a->machine, b->machine, MB_MACHINE_ID_SIZE);
}

bool mb_record_version_is_zero(const struct mb_version *version)
{
    static const struct mb_version zero;

    return mb_record_version_compare(version, &zero) == 0;
}

/* Orders as the number does, and -0.0 before 0.0: values with different bits are never equal. */
static int compare_reals(double a, double b)
{
    uint64_t bits[2];

    memcpy(&bits[0], &a, sizeof(a));
    memcpy(&bits[1], &b, sizeof(b));
    for (int i = 0; i < 2; i++) {
        bits[i] = bits[i] >> 63 ? ~bits[i] : bits[i] | UINT64_C(1) << 63;
    }
    return (bits[0] > bits[1]) - (bits[0] < bits[1]);
}

int mb_record_value_compare(const struct mb_value *a, const struct mb_value *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = 0;

    if (a->type != b->type) {
        return a->type < b->type ? -1 : 1;
    }
    switch (a->type) {
    case MB_VALUE_NULL: return 0;
    case MB_VALUE_INTEGER: return (a->integer > b->integer) - (a->integer < b->integer);
    case MB_VALUE_REAL: return compare_reals(a->real, b->real);
    case MB_VALUE_TEXT:
    case MB_VALUE_BLOB: break;
    }
    if (common > 0) {
        order = memcmp(a->data, b->data, common);
    }
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

bool mb_record_value_equal(const struct mb_value *a, const struct mb_value *b)
{
    return mb_record_value_compare(a, b) == 0;
}
