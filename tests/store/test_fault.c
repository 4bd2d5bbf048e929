/* SPDX-License-Identifier: MIT */
/* Proves: each kind of injected fault does what store.h says, and nothing else. */
#include "alloc.h"
#include "check.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* The kind for the next request that is not NONE. */
struct script {
    enum mb_store_fault_kind next;
    uint64_t last_index;
    char last_slot[16];
    char last_key[64];
};

static enum mb_store_fault_kind choose(void *context, uint64_t request_index, const char *slot,
                                       const char *key)
{
    struct script *script = context;
    enum mb_store_fault_kind kind = script->next;

    script->next = MB_STORE_FAULT_NONE;
    script->last_index = request_index;
    (void)snprintf(script->last_slot, sizeof(script->last_slot), "%s", slot);
    (void)snprintf(script->last_key, sizeof(script->last_key), "%s", key);
    return kind;
}

static struct mb_store *stack(struct script *script)
{
    struct mb_store_fault_config config = {.choose = choose, .context = script};

    memset(script, 0, sizeof(*script));
    return mb_store_fault_new(mb_store_mem_new(), &config);
}

TEST(requests_are_numbered_and_named)
{
    struct script script;
    struct mb_store *store = stack(&script);
    struct mb_error err;
    uint64_t size_bytes = 0;
    bool has_marker = false;

    CHECK_INT(put_text(store, "a/k", "v"), MB_OK);
    CHECK_INT(script.last_index, 0);
    CHECK_TEXT(script.last_slot, "put");
    CHECK_TEXT(script.last_key, "a/k");
    CHECK_INT(get_text(store, "a/k", "v"), MB_OK);
    CHECK_TEXT(script.last_slot, "get");
    CHECK_INT(stat_size(store, "a/k", &size_bytes), MB_OK);
    CHECK_TEXT(script.last_slot, "stat");
    CHECK(list_is(store, "a/", "a/k=1"));
    CHECK_TEXT(script.last_slot, "list");
    CHECK_TEXT(script.last_key, "a/");
    CHECK_OK(mb_store_probe(store, &has_marker, &err), &err);
    CHECK_TEXT(script.last_slot, "probe");
    CHECK_TEXT(script.last_key, "");
    CHECK_INT(delete_key(store, "a/k"), MB_OK);
    CHECK_TEXT(script.last_slot, "delete");
    CHECK_INT(script.last_index, 5);
    mb_store_free(store);
}

TEST(before_has_no_effect)
{
    struct script script;
    struct mb_store *store = stack(&script);
    uint64_t size_bytes = 0;

    script.next = MB_STORE_FAULT_BEFORE;
    CHECK_INT(put_text(store, "k", "v"), MB_ERR_TEMPORARY);
    CHECK_INT(get_text(store, "k", "v"), MB_ERR_NOT_FOUND);
    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    script.next = MB_STORE_FAULT_BEFORE;
    CHECK_INT(delete_key(store, "k"), MB_ERR_TEMPORARY);
    script.next = MB_STORE_FAULT_BEFORE;
    CHECK_INT(stat_size(store, "k", &size_bytes), MB_ERR_TEMPORARY);
    CHECK_INT(get_text(store, "k", "v"), MB_OK);
    mb_store_free(store);
}

TEST(after_takes_effect_and_loses_the_reply)
{
    struct script script;
    struct mb_store *store = stack(&script);
    struct mb_error err;
    uint64_t size_bytes = 77;
    bool has_marker = true;

    script.next = MB_STORE_FAULT_AFTER;
    CHECK_INT(put_text(store, "k", "v"), MB_ERR_UNKNOWN_OUTCOME);
    CHECK_INT(get_text(store, "k", "v"), MB_OK);
    script.next = MB_STORE_FAULT_AFTER;
    CHECK_INT(get_text(store, "k", "v"), MB_ERR_TEMPORARY);
    script.next = MB_STORE_FAULT_AFTER;
    CHECK_INT(stat_size(store, "k", &size_bytes), MB_ERR_TEMPORARY);
    CHECK_INT(size_bytes, 77);
    script.next = MB_STORE_FAULT_AFTER;
    CHECK_FAILS(mb_store_probe(store, &has_marker, &err), &err, MB_ERR_TEMPORARY);
    script.next = MB_STORE_FAULT_AFTER;
    CHECK_INT(delete_key(store, "k"), MB_ERR_UNKNOWN_OUTCOME);
    CHECK_INT(get_text(store, "k", "v"), MB_ERR_NOT_FOUND);
    mb_store_free(store);
}

TEST(late_puts_wait_for_their_release)
{
    struct script script;
    struct mb_store *store = stack(&script);
    struct mb_error err;

    script.next = MB_STORE_FAULT_LATE;
    CHECK_INT(put_text(store, "k", "older"), MB_ERR_UNKNOWN_OUTCOME);
    script.next = MB_STORE_FAULT_LATE;
    CHECK_INT(put_text(store, "k", "newer"), MB_ERR_UNKNOWN_OUTCOME);
    CHECK_INT(get_text(store, "k", ""), MB_ERR_NOT_FOUND);
    CHECK_OK(mb_store_fault_release(store, &err), &err);
    CHECK_INT(get_text(store, "k", "newer"), MB_OK);
    mb_store_free(store);
}

TEST(a_late_put_comes_by_itself_after_a_while)
{
    struct script script;
    struct mb_store *store = stack(&script);
    unsigned count = 0;

    script.next = MB_STORE_FAULT_LATE;
    CHECK_INT(put_text(store, "k", "v"), MB_ERR_UNKNOWN_OUTCOME);
    while (get_text(store, "k", "v") == MB_ERR_NOT_FOUND && count < 100) {
        count++;
    }
    CHECK_INT(count + 1, MB_STORE_FAULT_LATE_REQUESTS);
    script.next = MB_STORE_FAULT_LATE;
    CHECK_INT(put_text(store, "never", "v"), MB_ERR_UNKNOWN_OUTCOME);
    mb_store_free(store);
}

TEST(a_late_delete_waits_for_its_release)
{
    struct script script;
    struct mb_store *store = stack(&script);
    struct mb_error err;

    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    script.next = MB_STORE_FAULT_LATE;
    CHECK_INT(delete_key(store, "k"), MB_ERR_UNKNOWN_OUTCOME);
    CHECK_INT(get_text(store, "k", "v"), MB_OK);
    CHECK_OK(mb_store_fault_release(store, &err), &err);
    CHECK_INT(get_text(store, "k", ""), MB_ERR_NOT_FOUND);
    mb_store_free(store);
}

TEST(a_lazy_store_acknowledges_what_comes_later)
{
    struct script script;
    struct mb_store *store = stack(&script);
    struct mb_error err;

    script.next = MB_STORE_FAULT_LAZY;
    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_INT(get_text(store, "k", ""), MB_ERR_NOT_FOUND);
    CHECK_OK(mb_store_fault_release(store, &err), &err);
    CHECK_INT(get_text(store, "k", "v"), MB_OK);
    script.next = MB_STORE_FAULT_LAZY;
    CHECK_INT(delete_key(store, "k"), MB_OK);
    CHECK_INT(get_text(store, "k", "v"), MB_OK);
    CHECK_OK(mb_store_fault_release(store, &err), &err);
    CHECK_INT(get_text(store, "k", ""), MB_ERR_NOT_FOUND);
    mb_store_free(store);
}

TEST(a_swap_gives_the_body_of_the_object_asked_for_before)
{
    struct script script;
    struct mb_store *store = stack(&script);

    CHECK_INT(put_text(store, "a", "1"), MB_OK);
    CHECK_INT(put_text(store, "b", "2"), MB_OK);
    script.next = MB_STORE_FAULT_SWAP;
    CHECK_INT(get_text(store, "a", "1"), MB_OK); /* there is none before */
    script.next = MB_STORE_FAULT_SWAP;
    CHECK_INT(get_text(store, "b", "1"), MB_OK);
    CHECK_INT(get_text(store, "b", "2"), MB_OK);
    mb_store_free(store);
}

TEST(short_reads_end_early_without_error)
{
    struct script script;
    struct mb_store *store = stack(&script);
    struct mb_error err;
    struct mb_buf buf;
    uint8_t *data = mb_alloc_zeroed(200001, 1);

    mb_buf_init(&buf, 300000);
    CHECK_OK(mb_store_put(store, "big", data, 200001, &err), &err);
    script.next = MB_STORE_FAULT_SHORT;
    CHECK_OK(mb_store_get(store, "big", 300000, &buf, &err), &err);
    CHECK_INT(buf.size, 100000);
    CHECK_INT(put_text(store, "empty", ""), MB_OK);
    script.next = MB_STORE_FAULT_SHORT;
    CHECK_INT(get_text(store, "empty", ""), MB_OK);
    script.next = MB_STORE_FAULT_SHORT;
    CHECK_INT(get_text(store, "none", ""), MB_ERR_NOT_FOUND);
    mb_buf_release(&buf);
    free(data);
    mb_store_free(store);
}

TEST(a_flip_changes_one_bit)
{
    struct script script;
    struct mb_store *store = stack(&script);
    uint8_t *data = mb_alloc_zeroed(200000, 1);
    struct mb_error err;
    struct mb_buf buf;
    unsigned bit_count = 0;

    mb_buf_init(&buf, 200000);
    CHECK_OK(mb_store_put(store, "k", data, 200000, &err), &err);
    script.next = MB_STORE_FAULT_FLIP;
    CHECK_OK(mb_store_get(store, "k", 200000, &buf, &err), &err);
    CHECK_INT(buf.size, 200000);
    for (size_t i = 0; i < buf.size; i++) {
        for (unsigned byte = buf.data[i]; byte != 0; byte &= byte - 1) {
            bit_count++;
        }
    }
    CHECK_INT(bit_count, 1);
    CHECK_OK(mb_store_get(store, "k", 200000, &buf, &err), &err);
    CHECK_BYTES(buf.data, data, 200000); /* the object itself is untouched */
    mb_buf_release(&buf);
    free(data);
    mb_store_free(store);
}

static bool hide_b(void *context, const char *key)
{
    (void)context;
    return strcmp(key, "b") == 0;
}

TEST(a_stale_store_hides_objects)
{
    struct script script;
    struct mb_store_fault_config config = {.choose = choose, .hide = hide_b, .context = &script};
    struct mb_store *store = stack(&script);
    uint64_t size_bytes = 0;

    CHECK_INT(put_text(store, "a", "1"), MB_OK);
    CHECK_INT(put_text(store, "b", "2"), MB_OK);
    CHECK_INT(put_text(store, "c", "3"), MB_OK);
    script.next = MB_STORE_FAULT_STALE;
    CHECK(list_is(store, "", "a=1 c=1"));
    CHECK(list_is(store, "", "a=1 b=1 c=1"));
    script.next = MB_STORE_FAULT_STALE;
    CHECK_INT(get_text(store, "a", "1"), MB_ERR_NOT_FOUND);
    script.next = MB_STORE_FAULT_STALE;
    CHECK_INT(stat_size(store, "a", &size_bytes), MB_ERR_NOT_FOUND);
    CHECK_INT(get_text(store, "a", "1"), MB_OK);
    mb_store_free(store);

    store = mb_store_fault_new(mb_store_mem_new(), &config);
    CHECK_INT(put_text(store, "b", "2"), MB_OK);
    CHECK_INT(put_text(store, "c", "3"), MB_OK);
    script.next = MB_STORE_FAULT_STALE;
    CHECK(list_is(store, "", "c=1"));
    mb_store_free(store);
}

TEST(a_full_store_takes_nothing)
{
    struct script script;
    struct mb_store *store = stack(&script);

    script.next = MB_STORE_FAULT_FULL;
    CHECK_INT(put_text(store, "k", "v"), MB_ERR_NO_SPACE);
    CHECK_INT(get_text(store, "k", "v"), MB_ERR_NOT_FOUND);
    mb_store_free(store);
}

TEST(a_kind_that_does_not_fit_does_nothing)
{
    struct script script;
    struct mb_store *store = stack(&script);

    script.next = MB_STORE_FAULT_FLIP;
    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    script.next = MB_STORE_FAULT_FULL;
    CHECK_INT(get_text(store, "k", "v"), MB_OK);
    script.next = MB_STORE_FAULT_SWAP;
    CHECK_INT(delete_key(store, "k"), MB_OK);
    script.next = MB_STORE_FAULT_LAZY;
    CHECK(list_is(store, "", ""));
    script.next = MB_STORE_FAULT_SHORT;
    CHECK(list_is(store, "", ""));
    mb_store_free(store);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(requests_are_numbered_and_named),
    TEST_ROW(before_has_no_effect),
    TEST_ROW(after_takes_effect_and_loses_the_reply),
    TEST_ROW(late_puts_wait_for_their_release),
    TEST_ROW(a_late_put_comes_by_itself_after_a_while),
    TEST_ROW(a_late_delete_waits_for_its_release),
    TEST_ROW(a_lazy_store_acknowledges_what_comes_later),
    TEST_ROW(a_swap_gives_the_body_of_the_object_asked_for_before),
    TEST_ROW(short_reads_end_early_without_error),
    TEST_ROW(a_flip_changes_one_bit),
    TEST_ROW(a_stale_store_hides_objects),
    TEST_ROW(a_full_store_takes_nothing),
    TEST_ROW(a_kind_that_does_not_fit_does_nothing));
/* clang-format on */
