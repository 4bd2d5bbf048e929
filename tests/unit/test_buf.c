/* SPDX-License-Identifier: MIT */
/* Proves: a buffer never passes its maximum, keeps its content when an append fails, and always
 * ends in a NUL. */
#include "buf.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

TEST(buf_is_an_empty_text_before_the_first_append)
{
    struct mb_buf buf;

    mb_buf_init(&buf, 10);
    CHECK_TEXT(mb_buf_text(&buf), "");
    CHECK(buf.data == NULL);
    mb_buf_clear(&buf);
    mb_buf_release(&buf);
}

TEST(buf_may_be_filled_to_its_maximum_and_no_further)
{
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, 5);
    CHECK_OK(mb_buf_append_text(&buf, "12345", &err), &err);
    CHECK_FAILS(mb_buf_append(&buf, "6", 1, &err), &err, MB_ERR_LIMIT);
    CHECK_FAILS(mb_buf_append_format(&buf, &err, "%d", 6), &err, MB_ERR_LIMIT);
    CHECK_FAILS(mb_buf_append(&buf, "6", SIZE_MAX, &err), &err, MB_ERR_LIMIT);
    CHECK_OK(mb_buf_append(&buf, NULL, 0, &err), &err);
    CHECK_TEXT(mb_buf_text(&buf), "12345");
    CHECK_INT(buf.size, 5);
    mb_buf_release(&buf);
}

TEST(buf_with_maximum_zero_takes_nothing)
{
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, 0);
    CHECK_OK(mb_buf_append_text(&buf, "", &err), &err);
    CHECK_FAILS(mb_buf_append_text(&buf, "x", &err), &err, MB_ERR_LIMIT);
    CHECK_TEXT(mb_buf_text(&buf), "");
    mb_buf_release(&buf);
}

TEST(buf_grows_through_every_size_and_stays_terminated)
{
    struct mb_buf buf;
    struct mb_error err;
    bool all_held = true;

    mb_buf_init(&buf, 100000);
    for (size_t i = 0; i < 100000; i++) {
        char c = (char)('a' + i % 26);
        if (mb_buf_append(&buf, &c, 1, &err) != 0 || buf.data[i + 1] != 0 ||
            buf.data[i] != (uint8_t)c) {
            all_held = false;
        }
    }
    CHECK(all_held);
    CHECK(buf.capacity <= 100001);
    CHECK_FAILS(mb_buf_append_text(&buf, "z", &err), &err, MB_ERR_LIMIT);
    mb_buf_release(&buf);
}

TEST(buf_without_maximum_does_not_overflow)
{
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, SIZE_MAX);
    CHECK_OK(mb_buf_append_format(&buf, &err, "%s %d%%", "half", 50), &err);
    CHECK_OK(mb_buf_append_text(&buf, " done", &err), &err);
    CHECK_TEXT(mb_buf_text(&buf), "half 50% done");
    CHECK_FAILS(mb_buf_append(&buf, "x", SIZE_MAX - 3, &err), &err, MB_ERR_LIMIT);
    mb_buf_release(&buf);
}

TEST(buf_extend_gives_room_behind_the_content)
{
    struct mb_buf buf;
    struct mb_error err;
    uint8_t *start = NULL;

    mb_buf_init(&buf, 100);
    CHECK_OK(mb_buf_append_text(&buf, "ab", &err), &err);
    CHECK_OK(mb_buf_extend(&buf, 3, &start, &err), &err);
    memset(start, 'c', 3);
    CHECK_TEXT(mb_buf_text(&buf), "abccc");
    mb_buf_clear(&buf);
    CHECK_TEXT(mb_buf_text(&buf), "");
    CHECK_INT(buf.size, 0);
    mb_buf_release(&buf);
}

TEST(buf_take_gives_the_content_away)
{
    struct mb_buf buf;
    struct mb_error err;
    size_t size = 99;

    mb_buf_init(&buf, 100);
    uint8_t *nothing = mb_buf_take(&buf, &size);
    CHECK(nothing != NULL);
    CHECK_INT(size, 0);
    free(nothing);
    CHECK_OK(mb_buf_append_text(&buf, "ab", &err), &err);
    uint8_t *data = mb_buf_take(&buf, &size);
    CHECK_TEXT((const char *)data, "ab");
    CHECK_INT(size, 2);
    CHECK(buf.data == NULL);
    CHECK_OK(mb_buf_append_text(&buf, "again", &err), &err);
    CHECK_TEXT(mb_buf_text(&buf), "again");
    free(data);
    mb_buf_release(&buf);
}

TEST_LIST(TEST_ROW(buf_is_an_empty_text_before_the_first_append),
          TEST_ROW(buf_may_be_filled_to_its_maximum_and_no_further),
          TEST_ROW(buf_with_maximum_zero_takes_nothing),
          TEST_ROW(buf_grows_through_every_size_and_stays_terminated),
          TEST_ROW(buf_without_maximum_does_not_overflow),
          TEST_ROW(buf_extend_gives_room_behind_the_content),
          TEST_ROW(buf_take_gives_the_content_away));
