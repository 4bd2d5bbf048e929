/* SPDX-License-Identifier: MIT */
/* Proves: exactly RFC 3629's UTF-8 is UTF-8, nothing dangerous reaches a terminal, and numbers and
 * times are read and written at their limits. */
#include "check.h"
#include "text.h"

#include <string.h>

#define UTF8(literal) mb_text_is_utf8(literal, sizeof(literal) - 1)

TEST(text_accepts_all_of_utf8)
{
    CHECK(UTF8(""));
    CHECK(UTF8("plain \x7F"));
    CHECK(UTF8("\xC2\x80 \xDF\xBF"));
    CHECK(UTF8("\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF"));
    CHECK(UTF8("\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF"));
}

TEST(text_refuses_what_is_not_utf8)
{
    CHECK(!UTF8("a\0b"));
    CHECK(!UTF8("\xFF"));
    CHECK(!UTF8("\x80"));
    CHECK(!UTF8("\xC0\x80"));         /* overlong NUL */
    CHECK(!UTF8("\xC1\xBF"));         /* overlong */
    CHECK(!UTF8("\xE0\x9F\xBF"));     /* overlong */
    CHECK(!UTF8("\xF0\x8F\xBF\xBF")); /* overlong */
    CHECK(!UTF8("\xED\xA0\x80"));     /* surrogate */
    CHECK(!UTF8("\xED\xBF\xBF"));     /* surrogate */
    CHECK(!UTF8("\xF4\x90\x80\x80")); /* above U+10FFFF */
    CHECK(!UTF8("\xF5\x80\x80\x80"));
    CHECK(!UTF8("\xE2\x82")); /* cut */
    CHECK(!UTF8("\xE2\x82 "));
    CHECK(!UTF8("\xF0\x9F\x98"));
    CHECK(!UTF8("\xC3"));
}

TEST(text_prefix_counts_characters_not_bytes)
{
    const char *text = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z";
    size_t size = strlen(text);

    CHECK_INT(mb_text_prefix(text, size, 0), 0);
    CHECK_INT(mb_text_prefix(text, size, 1), 1);
    CHECK_INT(mb_text_prefix(text, size, 2), 3);
    CHECK_INT(mb_text_prefix(text, size, 3), 6);
    CHECK_INT(mb_text_prefix(text, size, 4), 10);
    CHECK_INT(mb_text_prefix(text, size, 99), 11);
}

#define CLEAN(out, literal) mb_text_clean(out, sizeof(out), literal, sizeof(literal) - 1)

TEST(text_clean_disarms_controls_and_direction_changes)
{
    char out[64];

    CLEAN(out, "Gr\xC3\xBC\xC3\x9F"
               "e");
    CHECK_TEXT(out, "Gr\xC3\xBC\xC3\x9F"
                    "e");
    CLEAN(out, "a\x1b[31mb\nc\td\0e\x7F");
    CHECK_TEXT(out, "a?[31mb?c?d?e?");
    CLEAN(out, "\xC2\x9B"
               "31m"); /* C1 control sequence introducer */
    CHECK_TEXT(out, "?31m");
    CLEAN(
        out,
        "x\xE2\x80\xAEy\xE2\x81\xA6z\xE2\x81\xA9\xE2\x80\xAC"); /* U+202E, U+2066, and their ends */
    CHECK_TEXT(out, "x?y?z??");
    CLEAN(out, "a\xFF\xFE\xE2\x82");
    CHECK_TEXT(out, "a????");
}

TEST(text_clean_cuts_at_a_character_with_dots)
{
    char out[8];

    CLEAN(out, "1234567");
    CHECK_TEXT(out, "1234567");
    CLEAN(out, "12345678");
    CHECK_TEXT(out, "1234...");
    CLEAN(out, "123\xE2\x82\xAC"
               "56");
    CHECK_TEXT(out, "123...");
    CLEAN(out, "\xF0\x9F\x98\x80\xF0\x9F\x98\x80");
    CHECK_TEXT(out, "\xF0\x9F\x98\x80...");
    CLEAN(out, "");
    CHECK_TEXT(out, "");
}

TEST(text_int64_reads_the_whole_range)
{
    struct mb_error err;
    int64_t value = 7;

    CHECK_OK(mb_text_int64("9223372036854775807", "n", INT64_MIN, INT64_MAX, &value, &err), &err);
    CHECK(value == INT64_MAX);
    CHECK_OK(mb_text_int64("-9223372036854775808", "n", INT64_MIN, INT64_MAX, &value, &err), &err);
    CHECK(value == INT64_MIN);
    CHECK_OK(mb_text_int64("-0", "n", 0, 0, &value, &err), &err);
    CHECK_INT(value, 0);
    CHECK_OK(mb_text_int64("0007", "n", 0, 9, &value, &err), &err);
    CHECK_INT(value, 7);
}

TEST(text_int64_refuses_anything_else)
{
    static const char *const wrong[] = {"",
                                        "-",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "0x1",
                                        "9223372036854775808",
                                        "1e",
                                        "--1",
                                        "١",
                                        "-9223372036854775809",
                                        "99999999999999999999999"};
    struct mb_error err;
    int64_t value = 7;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_FAILS(mb_text_int64(wrong[i], "n", INT64_MIN, INT64_MAX, &value, &err), &err,
                    MB_ERR_USAGE);
    }
    CHECK_FAILS(mb_text_int64("11", "MEMBRIDGE_KEEP", 1, 10, &value, &err), &err, MB_ERR_USAGE);
    CHECK_TEXT(err.message, "MEMBRIDGE_KEEP is 11, which is not between 1 and 10");
    CHECK_INT(value, 7);
}

TEST(text_prefix_and_suffix_are_found)
{
    CHECK(mb_text_has_prefix("heads/a", "heads/"));
    CHECK(mb_text_has_prefix("heads", ""));
    CHECK(!mb_text_has_prefix("head", "heads"));
    CHECK(mb_text_has_suffix("a.json", ".json"));
    CHECK(!mb_text_has_suffix("json", ".json"));
    CHECK(mb_text_has_suffix("json", ""));
}

TEST(text_bytes_are_short)
{
    char out[MB_TEXT_SHORT_MAX];

    CHECK_TEXT(mb_text_bytes(out, 0), "0 bytes");
    CHECK_TEXT(mb_text_bytes(out, 1), "1 byte");
    CHECK_TEXT(mb_text_bytes(out, 812), "812 bytes");
    CHECK_TEXT(mb_text_bytes(out, 1000), "1.0 kB");
    CHECK_TEXT(mb_text_bytes(out, 1449999), "1.4 MB");
    CHECK_TEXT(mb_text_bytes(out, 999949), "999.9 kB");
    CHECK_TEXT(mb_text_bytes(out, 999950), "1.0 MB");
    CHECK_TEXT(mb_text_bytes(out, UINT64_MAX), "18.4 EB");
}

TEST(text_ago_says_it_as_people_do)
{
    char out[MB_TEXT_SHORT_MAX];
    int64_t now = 1795393007000;

    CHECK_TEXT(mb_text_ago(out, 0, now), "never");
    CHECK_TEXT(mb_text_ago(out, now, now), "just now");
    CHECK_TEXT(mb_text_ago(out, now - 1000, now), "1 second ago");
    CHECK_TEXT(mb_text_ago(out, now - 179999, now), "2 minutes ago");
    CHECK_TEXT(mb_text_ago(out, now + 7200000, now), "in 2 hours");
    CHECK_TEXT(mb_text_ago(out, now - 90000000, now), "1 day ago");
    CHECK(mb_text_ago(out, INT64_MIN, INT64_MAX) == out);
    CHECK(mb_text_ago(out, INT64_MAX, INT64_MIN) == out);
}

TEST(text_utc_is_right_at_the_edges_of_the_calendar)
{
    char out[MB_TEXT_SHORT_MAX];

    CHECK_TEXT(mb_text_utc(out, 0), "1970-01-01T00:00:00Z");
    CHECK_TEXT(mb_text_utc(out, -1), "1969-12-31T23:59:59Z");
    CHECK_TEXT(mb_text_utc(out, 951782400000), "2000-02-29T00:00:00Z");
    CHECK_TEXT(mb_text_utc(out, 951868799999), "2000-02-29T23:59:59Z");
    CHECK_TEXT(mb_text_utc(out, 4107542400000), "2100-03-01T00:00:00Z");
    CHECK_TEXT(mb_text_utc(out, 1795394207000), "2026-11-23T00:36:47Z");
    CHECK_TEXT(mb_text_utc(out, INT64_MAX), "9999-12-31T23:59:59Z");
    CHECK_TEXT(mb_text_utc(out, INT64_MIN), "0000-01-01T00:00:00Z");
}

TEST_LIST(TEST_ROW(text_accepts_all_of_utf8), TEST_ROW(text_refuses_what_is_not_utf8),
          TEST_ROW(text_prefix_counts_characters_not_bytes),
          TEST_ROW(text_clean_disarms_controls_and_direction_changes),
          TEST_ROW(text_clean_cuts_at_a_character_with_dots),
          TEST_ROW(text_int64_reads_the_whole_range), TEST_ROW(text_int64_refuses_anything_else),
          TEST_ROW(text_prefix_and_suffix_are_found), TEST_ROW(text_bytes_are_short),
          TEST_ROW(text_ago_says_it_as_people_do),
          TEST_ROW(text_utc_is_right_at_the_edges_of_the_calendar));
