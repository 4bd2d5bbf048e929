/* SPDX-License-Identifier: MIT */
/* Proves: the tracing wrapper counts what went over the wire and says one line about each
 * request. */
#include "check.h"
#include "log.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

TEST(requests_and_bytes_are_counted)
{
    struct world world;
    struct mb_store_counts counts = {0};
    struct mb_store *store = NULL;
    struct mb_error err;
    uint64_t size_bytes = 0;
    bool has_marker = false;

    world_init(&world, 1);
    store = mb_store_trace_new(mb_store_mem_new(), &world.env, &counts);
    CHECK_INT(put_text(store, "a", "12345"), MB_OK);
    CHECK_INT(counts.request_count, 1);
    CHECK_INT(counts.sent_bytes, 5);
    CHECK_INT(get_text(store, "a", "12345"), MB_OK);
    CHECK_INT(get_text(store, "b", ""), MB_ERR_NOT_FOUND);
    CHECK_INT(counts.request_count, 3);
    CHECK_INT(counts.received_bytes, 5);
    CHECK_INT(stat_size(store, "a", &size_bytes), MB_OK);
    CHECK(list_is(store, "", "a=5"));
    CHECK_OK(mb_store_probe(store, &has_marker, &err), &err);
    CHECK_INT(delete_key(store, "a"), MB_OK);
    CHECK_INT(counts.request_count, 7);
    CHECK_INT(put_text(store, "../a", "12345"), MB_ERR_USAGE); /* reached nobody */
    CHECK_INT(counts.request_count, 7);
    CHECK_INT(counts.sent_bytes, 5);
    CHECK_INT(counts.received_bytes, 5);
    mb_store_free(store);
}

static enum mb_store_fault_kind choose_in_turn(void *context, uint64_t request_index,
                                               const char *slot, const char *key)
{
    static const enum mb_store_fault_kind kinds[] = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_AFTER,
                                                     MB_STORE_FAULT_FULL};

    (void)context;
    (void)slot;
    (void)key;
    return kinds[request_index % 3];
}

TEST(bytes_of_an_unknown_put_are_counted)
{
    struct mb_store_fault_config config = {.choose = choose_in_turn};
    struct world world;
    struct mb_store_counts counts = {0};
    struct mb_store *store = NULL;

    world_init(&world, 1);
    store =
        mb_store_trace_new(mb_store_fault_new(mb_store_mem_new(), &config), &world.env, &counts);
    CHECK_INT(put_text(store, "a", "12345"), MB_ERR_TEMPORARY);
    CHECK_INT(counts.sent_bytes, 0);
    CHECK_INT(put_text(store, "a", "12345"), MB_ERR_UNKNOWN_OUTCOME);
    CHECK_INT(counts.sent_bytes, 5);
    CHECK_INT(put_text(store, "a", "12345"), MB_ERR_NO_SPACE);
    CHECK_INT(counts.sent_bytes, 5);
    CHECK_INT(counts.request_count, 3);
    mb_store_free(store);
}

TEST(each_request_is_one_line)
{
    struct world world;
    struct mb_store *store = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    CHECK(stream != NULL);
    world_init(&world, 1);
    store = mb_store_trace_new(mb_store_mem_new(), &world.env, NULL);
    mb_log_open("store", stream, world.env.now_ms, &world);
    CHECK_INT(put_text(store, "a/b", "12345"), MB_OK);
    CHECK_INT(get_text(store, "none", ""), MB_ERR_NOT_FOUND);
    mb_log_open(NULL, stream, world.env.now_ms, &world);
    CHECK_INT(get_text(store, "a/b", "12345"), MB_OK); /* not traced */
    CHECK_INT(fclose(stream), 0);
    CHECK(strstr(text, "c=store op=put store=mem key=a/b bytes=5 ms=0 result=ok\n") != NULL);
    CHECK(strstr(text, "op=get store=mem key=none bytes=0 ms=0 result=not_found\n") != NULL);
    CHECK(strstr(text, "op=get store=mem key=a/b") == NULL);
    CHECK(strstr(text, "12345") == NULL);
    free(text);
    mb_store_free(store);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(requests_and_bytes_are_counted),
    TEST_ROW(bytes_of_an_unknown_put_are_counted),
    TEST_ROW(each_request_is_one_line));
/* clang-format on */
