/* SPDX-License-Identifier: MIT */
/* Proves: values are read by path and type, trees are built and printed exactly, large objects are
 * handled in reasonable time, and an error says where. */
#include "check.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

static const struct mb_json_limits limits = {
    .size_max = 100000000, .depth_max = 16, .value_count_max = 200000};

static struct mb_json *parse(const char *text)
{
    struct mb_json *json = NULL;
    struct mb_error err;

    CHECK_OK(mb_json_parse(text, strlen(text), &limits, &json, &err), &err);
    return json;
}

TEST(json_is_read_by_path_and_type)
{
    struct mb_json *json = parse(" {\"a\":{\"t\":\"x\",\"n\":-5,\"b\":true,\"r\":1.5,\"l\":[1,2]},"
                                 "\"\":null}\n");
    const struct mb_json *node = NULL;
    const char *text = NULL;
    int64_t number = 0;
    bool flag = false;
    struct mb_error err;

    CHECK_OK(mb_json_text(json, "a.t", &text, &err), &err);
    CHECK_TEXT(text, "x");
    CHECK_OK(mb_json_int64(json, "a.n", &number, &err), &err);
    CHECK_INT(number, -5);
    CHECK_OK(mb_json_bool(json, "a.b", &flag, &err), &err);
    CHECK(flag);
    CHECK_OK(mb_json_array(json, "a.l", &node, &err), &err);
    CHECK_INT(mb_json_count(node), 2);
    CHECK_INT(mb_json_as_int64(mb_json_next(mb_json_first(node))), 2);
    CHECK(mb_json_next(mb_json_next(mb_json_first(node))) == NULL);
    CHECK(mb_json_key(mb_json_first(node)) == NULL);
    CHECK_OK(mb_json_object(json, "", &node, &err), &err);
    CHECK(node == json);
    CHECK(mb_json_as_real(mb_json_find(json, "a.r")) == 1.5);
    CHECK_TEXT(mb_json_key(mb_json_first(json)), "a");
    CHECK_INT(mb_json_type(mb_json_next(mb_json_first(json))), MB_JSON_NULL);
    mb_json_free(json);
    mb_json_free(NULL);
}

TEST(json_says_what_is_missing_or_of_another_type)
{
    struct mb_json *json = parse("{\"a\":{\"t\":\"x\",\"n\":1.0}}");
    const char *text = "unchanged";
    int64_t number = 77;
    struct mb_error err;

    CHECK_FAILS(mb_json_text(json, "a.u", &text, &err), &err, MB_ERR_CORRUPT);
    CHECK_TEXT(err.message, "'a.u' is missing");
    CHECK_FAILS(mb_json_text(json, "a.t.x", &text, &err), &err, MB_ERR_CORRUPT);
    CHECK_FAILS(mb_json_int64(json, "a.n", &number, &err), &err, MB_ERR_CORRUPT);
    CHECK_TEXT(err.message, "'a.n' is not an integer but a number");
    CHECK_FAILS(mb_json_text(json, "a", &text, &err), &err, MB_ERR_CORRUPT);
    CHECK_TEXT(text, "unchanged");
    CHECK_INT(number, 77);
    mb_json_free(json);
}

TEST(json_escapes_are_decoded_and_written_again)
{
    struct mb_json *json = parse("\"\\u00e4\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\\u001f\"");

    CHECK_TEXT(mb_json_as_text(json), "\xC3\xA4\xF0\x9F\x98\x80\"\\/\b\f\n\r\t\x1F");
    char *text = mb_json_print(json, false);
    CHECK_TEXT(text, "\"\xC3\xA4\xF0\x9F\x98\x80\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\"");
    free(text);
    mb_json_free(json);
}

TEST(json_is_built_and_printed_compact_and_indented)
{
    struct mb_json *json = mb_json_new_object();
    struct mb_json *list = mb_json_add_array(json, "list");

    mb_json_add_int64(list, NULL, INT64_MIN);
    mb_json_add_int64(list, NULL, INT64_MAX);
    mb_json_add_text(mb_json_add_object(list, NULL), "k\"", "v");
    mb_json_add_text(json, "none", NULL);
    mb_json_add_bool(json, "no", false);
    mb_json_add(json, "empty", mb_json_new_array());
    (void)mb_json_add_object(json, "hollow");
    char *compact = mb_json_print(json, false);
    char *indented = mb_json_print(json, true);
    char *part = mb_json_print(mb_json_find(json, "list"), false);
    CHECK_TEXT(compact, "{\"list\":[-9223372036854775808,9223372036854775807,{\"k\\\"\":\"v\"}],"
                        "\"none\":null,\"no\":false,\"empty\":[],\"hollow\":{}}");
    CHECK_TEXT(indented, "{\n  \"list\": [\n    -9223372036854775808,\n    9223372036854775807,\n"
                         "    {\n      \"k\\\"\": \"v\"\n    }\n  ],\n  \"none\": null,\n"
                         "  \"no\": false,\n  \"empty\": [],\n  \"hollow\": {}\n}");
    CHECK_TEXT(part, "[-9223372036854775808,9223372036854775807,{\"k\\\"\":\"v\"}]");
    CHECK(mb_json_as_int64(mb_json_first(mb_json_find(json, "list"))) == INT64_MIN);
    free(compact);
    free(indented);
    free(part);
    mb_json_free(json);
}

TEST(json_built_integers_are_integers_of_the_same_value)
{
    static const int64_t values[] = {
        0,         -1,       999999999999999, 1000000000000000, -1000000000000000, 9007199254740993,
        INT64_MAX, INT64_MIN};
    struct mb_json *list = mb_json_new_array();
    size_t i = 0;

    for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
        mb_json_add_int64(list, NULL, values[k]);
    }
    for (const struct mb_json *node = mb_json_first(list); node != NULL;
         node = mb_json_next(node)) {
        CHECK_INT(mb_json_type(node), MB_JSON_INTEGER);
        CHECK_INT(mb_json_as_int64(node), values[i]);
        i++;
    }
    mb_json_free(list);
}

TEST(json_integers_keep_their_places_among_other_numbers)
{
    struct mb_json *json = parse("{\"a\":[1,9007199254740993,{\"b\":2.5,\"c\":[]}],\"d\":-0,"
                                 "\"e\":9223372036854775807,\"f\":7,\"g\":[[9007199254740995]]}");
    struct mb_error err;
    int64_t value = 0;

    const struct mb_json *second = mb_json_next(mb_json_first(mb_json_find(json, "a")));
    CHECK_INT(mb_json_as_int64(second), 9007199254740993);
    CHECK_OK(mb_json_int64(json, "d", &value, &err), &err);
    CHECK_INT(value, 0);
    CHECK_OK(mb_json_int64(json, "e", &value, &err), &err);
    CHECK(value == INT64_MAX);
    CHECK_OK(mb_json_int64(json, "f", &value, &err), &err);
    CHECK_INT(value, 7);
    char *text = mb_json_print(json, false);
    CHECK_TEXT(text, "{\"a\":[1,9007199254740993,{\"b\":2.5,\"c\":[]}],\"d\":0,"
                     "\"e\":9223372036854775807,\"f\":7,\"g\":[[9007199254740995]]}");
    free(text);
    mb_json_free(json);
}

/* An object of count keys; the last is equal to the first if has_twin. Given. */
static char *wide_object(size_t count, bool has_twin, size_t *size_out)
{
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, SIZE_MAX);
    CHECK_OK(mb_buf_append_text(&buf, "{", &err), &err);
    for (size_t i = 0; i < count; i++) {
        size_t name = has_twin && i + 1 == count ? 0 : i;
        if (mb_buf_append_format(&buf, &err, "%s\"key-%zu\":%zu", i == 0 ? "" : ",", name, i) !=
            0) {
            break;
        }
    }
    CHECK_OK(mb_buf_append_text(&buf, "}", &err), &err);
    return (char *)mb_buf_take(&buf, size_out);
}

TEST(json_object_of_a_hundred_thousand_keys_is_checked_for_equal_ones)
{
    struct mb_json *json = NULL;
    struct mb_error err;
    size_t size = 0;

    char *text = wide_object(100000, false, &size);
    CHECK_OK(mb_json_parse(text, size, &limits, &json, &err), &err);
    CHECK_INT(mb_json_count(json), 100000);
    char *printed = mb_json_print(json, false);
    CHECK_TEXT(printed, text);
    free(printed);
    mb_json_free(json);
    free(text);
    text = wide_object(100000, true, &size);
    CHECK_FAILS(mb_json_parse(text, size, &limits, &json, &err), &err, MB_ERR_CORRUPT);
    CHECK(strstr(err.message, "'key-0'") != NULL);
    free(text);
}

TEST(json_error_tells_the_byte)
{
    struct mb_json *json = NULL;
    struct mb_error err;

    CHECK_FAILS(mb_json_parse("[1, 2,, 3]", 10, &limits, &json, &err), &err, MB_ERR_CORRUPT);
    CHECK_TEXT(err.message, "not valid JSON at byte 6: a value was expected");
    CHECK_FAILS(mb_json_parse("[\"\xC3\xA4\xFF\"]", 7, &limits, &json, &err), &err, MB_ERR_CORRUPT);
    CHECK_TEXT(err.message, "not valid JSON at byte 4: not UTF-8, or a NUL byte");
    CHECK(json == NULL);
}

TEST(json_same_keys_in_different_objects_are_fine)
{
    mb_json_free(parse("[{\"a\":1},{\"a\":{\"a\":2}}]"));
}

TEST(json_append_text_leaves_the_buffer_alone_when_it_does_not_fit)
{
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, 12);
    CHECK_OK(mb_json_append_text(&buf, "a\nb", 3, &err), &err);
    CHECK_TEXT(mb_buf_text(&buf), "\"a\\nb\"");
    CHECK_FAILS(mb_json_append_text(&buf, "12345", 5, &err), &err, MB_ERR_LIMIT);
    CHECK_FAILS(mb_json_append_text(&buf, "\x01", 1, &err), &err, MB_ERR_LIMIT);
    CHECK_TEXT(mb_buf_text(&buf), "\"a\\nb\"");
    CHECK_OK(mb_json_append_text(&buf, "", 0, &err), &err);
    CHECK_TEXT(mb_buf_text(&buf), "\"a\\nb\"\"\"");
    mb_buf_release(&buf);
}

TEST_LIST(TEST_ROW(json_is_read_by_path_and_type),
          TEST_ROW(json_says_what_is_missing_or_of_another_type),
          TEST_ROW(json_escapes_are_decoded_and_written_again),
          TEST_ROW(json_is_built_and_printed_compact_and_indented),
          TEST_ROW(json_built_integers_are_integers_of_the_same_value),
          TEST_ROW(json_integers_keep_their_places_among_other_numbers),
          TEST_ROW(json_object_of_a_hundred_thousand_keys_is_checked_for_equal_ones),
          TEST_ROW(json_error_tells_the_byte),
          TEST_ROW(json_same_keys_in_different_objects_are_fine),
          TEST_ROW(json_append_text_leaves_the_buffer_alone_when_it_does_not_fit));
