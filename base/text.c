/* SPDX-License-Identifier: MIT */
#include "text.h"

#include "assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "banned.h"

/* What may follow a first byte (RFC 3629, section 4); the second byte's range shuts out overlong
 * forms, surrogates and code points above U+10FFFF. */
struct lead {
    uint8_t first_min;
    uint8_t first_max;
    uint8_t second_min;
    uint8_t second_max;
    uint8_t size;
};

static const struct lead leads[] = {
    {0xC2, 0xDF, 0x80, 0xBF, 2},
    {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3},
    {0xED, 0xED, 0x80, 0x9F, 3},
    {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4},
    {0xF1, 0xF3, 0x80, 0xBF, 4},
    {0xF4, 0xF4, 0x80, 0x8F, 4},
};

/* Bytes of the character at data, 0 if it is not valid UTF-8. NUL counts as a character here. */
static size_t character_size(const uint8_t *data, size_t size)
{
    if (data[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
        const struct lead *lead = &leads[i];
        if (data[0] < lead->first_min || data[0] > lead->first_max) {
            continue;
        }
        if (size < lead->size || data[1] < lead->second_min || data[1] > lead->second_max) {
            return 0;
        }
        for (size_t k = 2; k < lead->size; k++) {
            if ((data[k] & 0xC0U) != 0x80U) {
                return 0;
            }
        }
        return lead->size;
    }
    return 0;
}

/* Are the next eight bytes ASCII, and none of them NUL? A NUL borrows from the byte above it. */
static bool is_plain_word(const uint8_t *data)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    uint64_t word;

    memcpy(&word, data, sizeof(word));
    return (word & high_bits) == 0 && ((word - UINT64_C(0x0101010101010101)) & high_bits) == 0;
}

bool mb_text_is_utf8(const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size;) {
        if (size - i >= sizeof(uint64_t) && is_plain_word(bytes + i)) {
            i += sizeof(uint64_t);
            continue;
        }
        if (bytes[i] == 0) {
            return false;
        }
        if (bytes[i] < 0x80) {
            i++;
            continue;
        }
        size_t step = character_size(bytes + i, size - i);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}

size_t mb_text_prefix(const char *text, size_t size, size_t char_count)
{
    size_t at = 0;

    while (at < size && char_count > 0) {
        size_t step = character_size((const uint8_t *)text + at, size - at);
        MB_ASSERT(step > 0);
        at += step;
        char_count--;
    }
    return at;
}

static uint32_t code_point(const uint8_t *data, size_t size)
{
    static const uint8_t first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};

    MB_ASSERT(size > 0);
    MB_ASSERT(size < sizeof(first_bits));
    uint32_t value = data[0] & first_bits[size];
    for (size_t i = 1; i < size; i++) {
        value = (value << 6) | (data[i] & 0x3FU);
    }
    return value;
}

/* Controls (C0, DEL, C1), line and paragraph separators, and what changes the direction of text. */
static bool is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

void mb_text_clean(char *out, size_t size_max, const char *text, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t used = 0;
    size_t cut = 0; /* the last place where "..." still fits */

    MB_ASSERT(size_max > sizeof("..."));
    for (size_t i = 0; i < size;) {
        size_t step = character_size(bytes + i, size - i);
        bool is_shown = step > 0 && !is_unsafe(code_point(bytes + i, step));
        size_t more = is_shown ? step : 1;
        if (used + more >= size_max) {
            memcpy(out + cut, "...", sizeof("..."));
            return;
        }
        if (is_shown) {
            memcpy(out + used, bytes + i, step);
        } else {
            out[used] = '?';
        }
        used += more;
        i += step > 0 ? step : 1;
        if (used + sizeof("...") <= size_max) {
            cut = used;
        }
    }
    out[used] = '\0';
}

/* False if text is not a decimal integer of 64 bits. */
static bool parse_int64(const char *text, int64_t *value_out)
{
    bool is_negative = text[0] == '-';
    const char *digit = text + (is_negative ? 1 : 0);
    uint64_t limit = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
    uint64_t value = 0;

    if (*digit == '\0') {
        return false;
    }
    for (; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9') {
            return false;
        }
        uint64_t add = (uint64_t)(*digit - '0');
        if (value > (limit - add) / 10) {
            return false;
        }
        value = value * 10 + add;
    }
    if (!is_negative) {
        *value_out = (int64_t)value;
    } else {
        /* -INT64_MIN has no int64_t of its own. */
        *value_out = value == 0 ? 0 : -(int64_t)(value - 1) - 1;
    }
    return true;
}

int mb_text_int64(const char *text, const char *what, int64_t min, int64_t max, int64_t *value_out,
                  struct mb_error *err)
{
    int64_t value = 0;
    char shown[64];

    if (!parse_int64(text, &value)) {
        mb_text_clean(shown, sizeof(shown), text, strlen(text));
        return mb_error_set(err, MB_ERR_USAGE, "%s is '%s', which is not a whole number", what,
                            shown);
    }
    if (value < min || value > max) {
        return mb_error_set(err, MB_ERR_USAGE,
                            "%s is %" PRId64 ", which is not between %" PRId64 " and %" PRId64,
                            what, value, min, max);
    }
    *value_out = value;
    return 0;
}

bool mb_text_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool mb_text_has_suffix(const char *text, const char *suffix)
{
    size_t size = strlen(text);
    size_t suffix_size = strlen(suffix);

    return size >= suffix_size && memcmp(text + size - suffix_size, suffix, suffix_size) == 0;
}

char *mb_text_bytes(char out[static MB_TEXT_SHORT_MAX], uint64_t size_bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    uint64_t unit = 1000;
    size_t index = 0;

    if (size_bytes < 1000) {
        (void)snprintf(out, MB_TEXT_SHORT_MAX, "%" PRIu64 " %s", size_bytes,
                       size_bytes == 1 ? "byte" : "bytes");
        return out;
    }
    /* 999,950 is shown as 1.0 MB, not as 1000.0 kB. */
    while (index + 1 < sizeof(units) / sizeof(units[0]) && size_bytes >= unit * 1000 - unit / 20) {
        unit *= 1000;
        index++;
    }
    uint64_t tenth = unit / 10;
    uint64_t tenths = size_bytes / tenth + (size_bytes % tenth >= tenth / 2 ? 1 : 0);
    (void)snprintf(out, MB_TEXT_SHORT_MAX, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
                   units[index]);
    return out;
}

char *mb_text_ago(char out[static MB_TEXT_SHORT_MAX], int64_t then_ms, int64_t now_ms)
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {
        {86400, "day"   },
        {3600,  "hour"  },
        {60,    "minute"},
        {1,     "second"}
    };

    if (then_ms == 0) {
        (void)snprintf(out, MB_TEXT_SHORT_MAX, "never");
        return out;
    }
    bool is_future = then_ms > now_ms;
    uint64_t distance =
        is_future ? (uint64_t)then_ms - (uint64_t)now_ms : (uint64_t)now_ms - (uint64_t)then_ms;
    uint64_t seconds = distance / 1000;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        uint64_t count = seconds / units[i].seconds;
        if (count > 0) {
            (void)snprintf(out, MB_TEXT_SHORT_MAX, "%s%" PRIu64 " %s%s%s", is_future ? "in " : "",
                           count, units[i].name, count == 1 ? "" : "s", is_future ? "" : " ago");
            return out;
        }
    }
    (void)snprintf(out, MB_TEXT_SHORT_MAX, "just now");
    return out;
}

/* Days since 1970 to a date of the Gregorian calendar, counted in eras of 400 years from
 * 0000-03-01. */
static void date_of_days(int64_t days, int64_t *year_out, int64_t *month_out, int64_t *day_out)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153; /* 0 is March */

    *day_out = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    *month_out = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    *year_out = year_of_era + era * 400 + (*month_out <= 2 ? 1 : 0);
}

#define YEAR_0_MS (-62167219200000)
#define YEAR_9999_END_MS 253402300799999

char *mb_text_utc(char out[static MB_TEXT_SHORT_MAX], int64_t time_ms)
{
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;

    if (time_ms < YEAR_0_MS) {
        time_ms = YEAR_0_MS;
    } else if (time_ms > YEAR_9999_END_MS) {
        time_ms = YEAR_9999_END_MS;
    }
    int64_t days = time_ms / 86400000;
    int64_t rest_ms = time_ms % 86400000;
    if (rest_ms < 0) {
        rest_ms += 86400000;
        days--;
    }
    date_of_days(days, &year, &month, &day);
    int64_t seconds = rest_ms / 1000;
    (void)snprintf(out, MB_TEXT_SHORT_MAX,
                   "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64
                   ":%02" PRId64 "Z",
                   year, month, day, seconds / 3600, seconds / 60 % 60, seconds % 60);
    return out;
}
