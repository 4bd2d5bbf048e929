/* SPDX-License-Identifier: MIT */
/* Proves: none of the things that cJSON (1.7.15 to 1.7.19) lets through, changes or mixes up gets
 * past json.h. Each table names the trap. */
#include "check.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

static const struct mb_json_limits limits = {
    .size_max = 10000000, .depth_max = 2000, .value_count_max = 1000000};

/* Some texts hold NUL bytes, so they come with their sizes. */
#define TEXT(literal) literal, sizeof(literal) - 1

struct trap {
    const char *name;
    const char *text;
    size_t size;
};

/* clang-format off */
static const struct trap refused[] = {
    {"trailing text",                          TEXT("{\"a\":1} xyz")},
    {"two documents",                          TEXT("{}{}")},
    {"NUL behind the document",                TEXT("{}\0")},
    {"NUL as white space",                     TEXT("{\0}")},
    {"control byte as white space",            TEXT("{\x01}")},
    {"form feed as white space",               TEXT("{}\f")},
    {"vertical tab as white space",            TEXT("[1,\v2]")},
    {"byte order mark",                        TEXT("\xEF\xBB\xBF{}")},
    {"NUL in a string",                        TEXT("\"a\0b\"")},
    {"escaped NUL in a string",                TEXT("\"tools/call\\u0000x\"")},
    {"escaped NUL in a key",                   TEXT("{\"method\\u0000x\":1}")},
    {"wrong hex escape",                       TEXT("\"\\u12G4\"")},
    {"short hex escape",                       TEXT("\"\\u12\"")},
    {"unknown escape",                         TEXT("\"\\x41\"")},
    {"escape of a quote mark that JSON lacks", TEXT("\"\\'\"")},
    {"tab in a string",                        TEXT("\"a\tb\"")},
    {"newline in a string",                    TEXT("\"a\nb\"")},
    {"control byte in a string",               TEXT("\"a\x01\"")},
    {"byte FF",                                TEXT("\"\xFF\"")},
    {"overlong NUL",                           TEXT("\"\xC0\x80\"")},
    {"surrogate as UTF-8",                     TEXT("\"\xED\xA0\x80\"")},
    {"cut character",                          TEXT("\"\xE2\x82\"")},
    {"invalid UTF-8 in a key",                 TEXT("{\"\xFF\":1}")},
    {"high surrogate alone",                   TEXT("\"\\uD800\"")},
    {"high surrogate and a letter",            TEXT("\"\\uD800\\u0041\"")},
    {"low surrogate alone",                    TEXT("\"\\uDC00\"")},
    {"leading zero",                           TEXT("01")},
    {"negative leading zero",                  TEXT("-01")},
    {"no digit before the point",              TEXT("-.5")},
    {"no digit behind the point",              TEXT("1.")},
    {"plus sign",                              TEXT("+1")},
    {"point first",                            TEXT(".5")},
    {"exponent without digits",                TEXT("1e")},
    {"exponent with sign only",                TEXT("1e+")},
    {"not a number",                           TEXT("NaN")},
    {"infinity",                               TEXT("-Infinity")},
    {"minus alone",                            TEXT("-")},
    {"hex number",                             TEXT("0x10")},
    {"equal keys",                             TEXT("{\"a\":1,\"a\":2}")},
    {"equal keys, one escaped",                TEXT("{\"a\":1,\"\\u0061\":2}")},
    {"equal keys deep inside",                 TEXT("[{\"x\":{\"b\":0,\"a\":1,\"c\":[],\"a\":1}}]")},
    {"nothing",                                TEXT("")},
    {"white space only",                       TEXT(" \n")},
    {"open object",                            TEXT("{\"1\":1,")},
    {"open array",                             TEXT("[1")},
    {"open string",                            TEXT("\"abc")},
    {"string ends in an escape",               TEXT("\"abc\\")},
    {"comma at the end of an array",           TEXT("[1,]")},
    {"comma at the end of an object",          TEXT("{\"a\":1,}")},
    {"comma first",                            TEXT("[,1]")},
    {"wrong bracket",                          TEXT("[1}")},
    {"wrong brace",                            TEXT("{\"a\":1]")},
    {"key without value",                      TEXT("{\"a\"}")},
    {"key that is a number",                   TEXT("{1:1}")},
    {"key that is null",                       TEXT("{null:1}")},
    {"no comma",                               TEXT("[1 2]")},
    {"bracket only",                           TEXT("]")},
    {"cut literal",                            TEXT("tru")},
    {"literal with capitals",                  TEXT("True")},
    {"literal with more behind",               TEXT("nullx")},
    {"comment",                                TEXT("[1/*x*/]")},
    {"single quotes",                          TEXT("'a'")},
};
/* clang-format on */

TEST(json_refuses_what_cjson_lets_through)
{
    struct mb_error err;

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct mb_json *json = NULL;
        /* A copy of exactly that size lets the sanitizer see any read behind its end. */
        char *exact = malloc(refused[i].size + 1);
        memcpy(exact + 1, refused[i].text, refused[i].size);
        int rc = mb_json_parse(exact + 1, refused[i].size, &limits, &json, &err);
        if (!CHECK_FAILS(rc, &err, MB_ERR_CORRUPT)) {
            CHECK_TEXT(refused[i].name, "refused");
            mb_json_free(json);
        }
        free(exact);
    }
}

/* Read and printed again these are the same, byte for byte. */
/* clang-format off */
static const char *const exact[] = {
    "9007199254740991",
    "9007199254740993",
    "-9007199254740993",
    "1000000000000000",
    "999999999999999",
    "-999999999999999",
    "9999999999999999",
    "4294967296",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "0",
    "0.30000000000000004",
    "0.1",
    "1.0",
    "1e2",
    "13.5",
    "-0.0",
    "5e-324",
    "1.7976931348623157e308",
    "9223372036854775808",
    "1e999",
    "18446744073709551615",
    "{}",
    "[]",
    "\"\"",
    "\"\xF0\x9F\x98\x80\"",
    "[null,true,false,{\"a\":[]}]",
    "{\"Method\":1,\"method\":2}",
    "\"\x7F\"",
};
/* clang-format on */

TEST(json_prints_what_it_read)
{
    struct mb_error err;

    for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
        struct mb_json *json = NULL;
        if (!CHECK_OK(mb_json_parse(exact[i], strlen(exact[i]), &limits, &json, &err), &err)) {
            continue;
        }
        char *text = mb_json_print(json, false);
        CHECK_TEXT(text, exact[i]);
        free(text);
        mb_json_free(json);
    }
}

TEST(json_keeps_all_of_many_random_integers)
{
    struct mb_error err;
    uint64_t state = 0x9E3779B97F4A7C15;
    bool all_held = true;

    for (int i = 0; i < 20000; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        int64_t value = (int64_t)(state >> (i % 64));
        struct mb_json *built = mb_json_new_array();
        struct mb_json *read = NULL;
        mb_json_add_int64(built, NULL, value);
        char *text = mb_json_print(built, false);
        if (!CHECK_OK(mb_json_parse(text, strlen(text), &limits, &read, &err), &err) ||
            mb_json_as_int64(mb_json_first(read)) != value ||
            mb_json_as_int64(mb_json_first(built)) != value) {
            all_held = false;
        }
        mb_json_free(read);
        mb_json_free(built);
        free(text);
    }
    CHECK(all_held);
}

TEST(json_tells_integers_from_reals_by_their_text)
{
    static const struct {
        const char *text;
        enum mb_json_type type;
    } rows[] = {
        {"13",                   MB_JSON_INTEGER},
        {"13.5",                 MB_JSON_REAL   },
        {"1e2",                  MB_JSON_REAL   },
        {"1.0",                  MB_JSON_REAL   },
        {"-0",                   MB_JSON_INTEGER},
        {"-0.0",                 MB_JSON_REAL   },
        {"1E0",                  MB_JSON_REAL   },
        {"9223372036854775807",  MB_JSON_INTEGER},
        {"1e-1",                 MB_JSON_REAL   },
        {"9223372036854775808",  MB_JSON_REAL   },
        {"4294967296",           MB_JSON_INTEGER},
        {"-9223372036854775809", MB_JSON_REAL   },
    };
    struct mb_error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mb_json *json = NULL;
        CHECK_OK(mb_json_parse(rows[i].text, strlen(rows[i].text), &limits, &json, &err), &err);
        CHECK_INT(mb_json_type(json), rows[i].type);
        mb_json_free(json);
    }
}

TEST(json_finds_keys_by_case)
{
    const char *text = "{\"Method\":1,\"method\":2}";
    struct mb_json *json = NULL;
    struct mb_error err;
    int64_t value = 0;

    CHECK_OK(mb_json_parse(text, strlen(text), &limits, &json, &err), &err);
    CHECK_OK(mb_json_int64(json, "method", &value, &err), &err);
    CHECK_INT(value, 2);
    CHECK(mb_json_find(json, "METHOD") == NULL);
    mb_json_free(json);
}

/* "[[[...]]]", given. */
static char *nested(size_t depth)
{
    char *text = malloc(2 * depth + 1);

    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = '\0';
    return text;
}

TEST(json_depth_is_limited_by_ours_and_by_cjson_s)
{
    struct mb_error err;
    struct mb_json *json = NULL;
    struct mb_json_limits shallow = limits;
    char *thousand = nested(1000);
    char *more = nested(1001);
    char *three = nested(3);

    CHECK_OK(mb_json_parse(thousand, 2000, &limits, &json, &err), &err);
    char *printed = mb_json_print(json, false);
    CHECK_TEXT(printed, thousand);
    free(printed);
    mb_json_free(json);
    CHECK_FAILS(mb_json_parse(more, 2002, &limits, &json, &err), &err, MB_ERR_LIMIT);
    shallow.depth_max = 2;
    CHECK_FAILS(mb_json_parse(three, 6, &shallow, &json, &err), &err, MB_ERR_LIMIT);
    shallow.depth_max = 3;
    CHECK_OK(mb_json_parse(three, 6, &shallow, &json, &err), &err);
    mb_json_free(json);
    free(thousand);
    free(more);
    free(three);
}

TEST(json_values_and_bytes_are_counted_before_memory_is_taken)
{
    struct mb_error err;
    struct mb_json *json = NULL;
    struct mb_json_limits small = {.size_max = 11, .depth_max = 4, .value_count_max = 4};

    CHECK_OK(mb_json_parse("[[],[],[]]", 10, &small, &json, &err), &err);
    mb_json_free(json);
    CHECK_FAILS(mb_json_parse("[1,2,3,4]", 9, &small, &json, &err), &err, MB_ERR_LIMIT);
    CHECK_FAILS(mb_json_parse("\"0123456789\"", 12, &small, &json, &err), &err, MB_ERR_LIMIT);
}

TEST(json_numbers_of_any_length_are_read_or_refused_whole)
{
    struct mb_error err;
    struct mb_json *json = NULL;
    char digits[80];

    memset(digits, '7', sizeof(digits));
    CHECK_OK(mb_json_parse(digits, 63, &limits, &json, &err), &err);
    CHECK_INT(mb_json_type(json), MB_JSON_REAL);
    CHECK(mb_json_as_real(json) > 7.7e62 && mb_json_as_real(json) < 7.8e62);
    mb_json_free(json);
    CHECK_FAILS(mb_json_parse(digits, 64, &limits, &json, &err), &err, MB_ERR_LIMIT);
}

TEST_LIST(TEST_ROW(json_refuses_what_cjson_lets_through), TEST_ROW(json_prints_what_it_read),
          TEST_ROW(json_keeps_all_of_many_random_integers),
          TEST_ROW(json_tells_integers_from_reals_by_their_text), TEST_ROW(json_finds_keys_by_case),
          TEST_ROW(json_depth_is_limited_by_ours_and_by_cjson_s),
          TEST_ROW(json_values_and_bytes_are_counted_before_memory_is_taken),
          TEST_ROW(json_numbers_of_any_length_are_read_or_refused_whole));
