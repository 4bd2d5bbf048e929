/* SPDX-License-Identifier: MIT */
/* Proves: messages are built, wrapped and cut as promised, and the table keeps its rules (no exit
 * status 2, names once). */
#include "check.h"
#include "error.h"

#include <errno.h>
#include <string.h>

static const enum mb_code codes[] = {
#define X(code, name, status, retry, advice) code,
    MB_ERROR_TABLE(X)
#undef X
};
#define CODE_COUNT (sizeof(codes) / sizeof(codes[0]))

TEST(error_table_never_uses_exit_status_2_and_only_ok_is_0)
{
    for (size_t i = 0; i < CODE_COUNT; i++) {
        int status = mb_error_exit_status(codes[i]);
        CHECK(status != 2);
        CHECK((status == 0) == (codes[i] == MB_OK));
        CHECK(status >= 0 && status < 256);
    }
}

TEST(error_table_has_each_name_once_and_advice_for_all)
{
    for (size_t i = 0; i < CODE_COUNT; i++) {
        struct mb_error err = {.code = codes[i]};
        CHECK((mb_error_advice(&err)[0] == '\0') == (codes[i] == MB_OK));
        CHECK(strspn(mb_error_name(codes[i]), "abcdefghijklmnopqrstuvwxyz_") ==
              strlen(mb_error_name(codes[i])));
        for (size_t k = 0; k < i; k++) {
            CHECK(strcmp(mb_error_name(codes[i]), mb_error_name(codes[k])) != 0);
        }
    }
}

TEST(error_set_and_wrap_make_one_sentence)
{
    struct mb_error err;

    mb_error_init(&err);
    CHECK_INT(err.code, MB_OK);
    CHECK_INT(mb_error_set(&err, MB_ERR_CORRUPT, "hash of '%s' differs", "x/1"), -1);
    CHECK_INT(mb_error_wrap(&err, "reading segment %d", 7), -1);
    CHECK_TEXT(err.message, "reading segment 7: hash of 'x/1' differs");
    CHECK_INT(err.code, MB_ERR_CORRUPT);
    CHECK(!mb_error_is_retryable(MB_ERR_CORRUPT));
    CHECK(mb_error_is_retryable(MB_ERR_TEMPORARY));
}

TEST(error_set_may_use_the_message_it_replaces)
{
    struct mb_error err;

    (void)mb_error_set(&err, MB_ERR_FAILED, "inner");
    (void)mb_error_set(&err, MB_ERR_LIMIT, "outer (%s)", err.message);
    CHECK_TEXT(err.message, "outer (inner)");
}

TEST(error_errno_prefers_what_the_number_says)
{
    struct mb_error err;

    CHECK_INT(mb_error_errno(&err, MB_ERR_FAILED, ENOSPC, "writing '%s'", "a"), -1);
    CHECK_INT(err.code, MB_ERR_NO_SPACE);
    CHECK(strncmp(err.message, "writing 'a': ", 13) == 0);
    CHECK(strlen(err.message) > 13);
    (void)mb_error_errno(&err, MB_ERR_FAILED, EDQUOT, "x");
    CHECK_INT(err.code, MB_ERR_NO_SPACE);
    (void)mb_error_errno(&err, MB_ERR_FAILED, EROFS, "x");
    CHECK_INT(err.code, MB_ERR_DENIED);
    (void)mb_error_errno(&err, MB_ERR_TEMPORARY, EIO, "x");
    CHECK_INT(err.code, MB_ERR_TEMPORARY);
}

TEST(error_advice_is_the_code_s_until_replaced_and_set_forgets_it)
{
    struct mb_error err;

    (void)mb_error_set(&err, MB_ERR_USAGE, "no such command");
    CHECK_TEXT(mb_error_advice(&err), "see 'membridge help'");
    CHECK_INT(mb_error_advise(&err, "did you mean '%s'", "sync"), -1);
    CHECK_TEXT(mb_error_advice(&err), "did you mean 'sync'");
    (void)mb_error_wrap(&err, "reading the command");
    CHECK_TEXT(mb_error_advice(&err), "did you mean 'sync'");
    (void)mb_error_set(&err, MB_ERR_USAGE, "again");
    CHECK_TEXT(mb_error_advice(&err), "see 'membridge help'");
}

TEST(error_message_that_is_too_long_is_cut_with_dots_at_a_character)
{
    struct mb_error err;
    char text[2 * MB_ERROR_MESSAGE_MAX];

    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof(text); i += 3) {
            memcpy(text + i, "\xE2\x82\xAC", 4);
        }
        (void)mb_error_set(&err, MB_ERR_FAILED, "%s", text);
        size_t size = strlen(err.message);
        CHECK(size < MB_ERROR_MESSAGE_MAX && size > MB_ERROR_MESSAGE_MAX - 8);
        CHECK_TEXT(err.message + size - 3, "...");
        CHECK_INT((size - 3 - shift) % 3, 0);
    }
    for (int i = 0; i < 100; i++) {
        (void)mb_error_wrap(&err, "going up");
    }
    CHECK(strncmp(err.message, "going up: going up: ", 20) == 0);
    CHECK_TEXT(err.message + strlen(err.message) - 3, "...");
}

TEST_LIST(TEST_ROW(error_table_never_uses_exit_status_2_and_only_ok_is_0),
          TEST_ROW(error_table_has_each_name_once_and_advice_for_all),
          TEST_ROW(error_set_and_wrap_make_one_sentence),
          TEST_ROW(error_set_may_use_the_message_it_replaces),
          TEST_ROW(error_errno_prefers_what_the_number_says),
          TEST_ROW(error_advice_is_the_code_s_until_replaced_and_set_forgets_it),
          TEST_ROW(error_message_that_is_too_long_is_cut_with_dots_at_a_character));
