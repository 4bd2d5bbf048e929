/* SPDX-License-Identifier: MIT */
/* Proves: nothing is traced by default, the selection is followed, and a line is "t=.. c=.. ..". */
#include "check.h"
#include "log.h"

#include <string.h>

static int64_t fixed_now_ms(void *context)
{
    return *(const int64_t *)context;
}

TEST(log_is_off_until_something_is_selected)
{
    CHECK(!mb_log_wants("store"));
    mb_log_trace("store", "op=%s", "put");
    mb_log_open(NULL, stderr, NULL, NULL);
    CHECK(!mb_log_wants("store"));
    mb_log_open("all", NULL, NULL, NULL);
    CHECK(!mb_log_wants("store"));
}

TEST(log_selection_is_followed_from_left_to_right)
{
    mb_log_open("store,engine", stderr, NULL, NULL);
    CHECK(mb_log_wants("store"));
    CHECK(mb_log_wants("engine"));
    CHECK(!mb_log_wants("stor"));
    CHECK(!mb_log_wants("ops"));
    mb_log_open("all,-store", stderr, NULL, NULL);
    CHECK(!mb_log_wants("store"));
    CHECK(mb_log_wants("ops"));
    mb_log_open(",,store,", stderr, NULL, NULL);
    CHECK(mb_log_wants("store"));
    mb_log_open(NULL, NULL, NULL, NULL);
}

TEST(log_line_has_time_component_and_text)
{
    FILE *stream = tmpfile();
    int64_t now_ms = 1795393007123;
    char line[128] = "";

    if (!CHECK(stream != NULL)) {
        return;
    }
    mb_log_open("store", stream, fixed_now_ms, &now_ms);
    mb_log_trace("store", "op=%s bytes=%d", "put", 4096);
    mb_log_trace("engine", "op=merge");
    mb_log_open(NULL, NULL, NULL, NULL);
    rewind(stream);
    CHECK(fgets(line, sizeof(line), stream) != NULL);
    CHECK_TEXT(line, "t=1795393007123 c=store op=put bytes=4096\n");
    CHECK(fgets(line, sizeof(line), stream) == NULL);
    (void)fclose(stream);
}

TEST_LIST(TEST_ROW(log_is_off_until_something_is_selected),
          TEST_ROW(log_selection_is_followed_from_left_to_right),
          TEST_ROW(log_line_has_time_component_and_text));
