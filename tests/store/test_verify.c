/* SPDX-License-Identifier: MIT */
/* Proves: the verifying wrapper says "done" only of what the store gives back. */
#include "alloc.h"
#include "check.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

enum lie {
    LIE_NONE,
    LIE_SWAP,   /* stores other bytes of the same size */
    LIE_CUT,    /* stores the first half */
    LIE_GROW,   /* stores a byte more */
    LIE_FORGET, /* stores nothing, and says it did */
};

/* A store that lies about the first lie_count puts. */
struct liar {
    struct mb_store base;
    struct mb_store *honest;
    enum lie lie;
    unsigned lie_count;
    unsigned put_count;
    bool gets_fail;
};

static int liar_put(struct mb_store *store, const char *key, const struct mb_store_source *source,
                    struct mb_error *err)
{
    struct liar *liar = (struct liar *)store;
    size_t size = (size_t)source->size_bytes;
    uint8_t *data = mb_alloc_zeroed(size + 1, 1);
    bool is_lie = liar->put_count < liar->lie_count;
    int rc = 0;

    liar->put_count++;
    CHECK(size == 0 || source->read(source->context, 0, data, size, err) == 0);
    if (is_lie && liar->lie == LIE_SWAP) {
        data[size / 2] ^= 1;
    }
    if (is_lie && liar->lie == LIE_CUT) {
        size /= 2;
    }
    if (is_lie && liar->lie == LIE_GROW) {
        size += 1;
    }
    if (!is_lie || liar->lie != LIE_FORGET) {
        rc = mb_store_put(liar->honest, key, data, size, err);
    }
    free(data);
    return rc;
}

static int liar_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                    mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    struct liar *liar = (struct liar *)store;

    if (liar->gets_fail) {
        return mb_error_set(err, MB_ERR_DENIED, "may write and not read");
    }
    return mb_store_get_sink(liar->honest, key, size_bytes_max, sink, context, err);
}

static void liar_free(struct mb_store *store)
{
    mb_store_free(((struct liar *)store)->honest);
}

static const struct mb_store_ops liar_ops = {
    .name = "liar", .put = liar_put, .get = liar_get, .free = liar_free};

static struct mb_store *stack(struct liar *liar, enum lie lie, unsigned lie_count)
{
    *liar = (struct liar){.base = {.ops = &liar_ops},
                          .honest = mb_store_mem_new(),
                          .lie = lie,
                          .lie_count = lie_count};
    return mb_store_verify_new(&liar->base);
}

static const enum lie lies[] = {LIE_SWAP, LIE_CUT, LIE_GROW, LIE_FORGET};
#define LIE_COUNT (sizeof(lies) / sizeof(lies[0]))

TEST(one_bad_put_is_put_again)
{
    for (size_t i = 0; i < LIE_COUNT; i++) {
        struct liar liar;
        struct mb_store *store = stack(&liar, lies[i], 1);

        CHECK_INT(put_text(store, "k", "some text"), MB_OK);
        CHECK_INT(liar.put_count, 2);
        CHECK_INT(get_text(store, "k", "some text"), MB_OK);
        mb_store_free(store);
    }
}

TEST(a_store_that_keeps_other_bytes_is_found_out)
{
    for (size_t i = 0; i < LIE_COUNT; i++) {
        struct liar liar;
        struct mb_store *store = stack(&liar, lies[i], 1000);
        enum mb_code expected = lies[i] == LIE_FORGET ? MB_ERR_UNKNOWN_OUTCOME : MB_ERR_CORRUPT;

        CHECK_INT(put_text(store, "k", "some text"), expected);
        CHECK_INT(liar.put_count, 2);
        mb_store_free(store);
    }
}

TEST(an_empty_object_is_verified_too)
{
    struct liar liar;
    struct mb_store *store = stack(&liar, LIE_GROW, 1000);

    CHECK_INT(put_text(store, "k", ""), MB_ERR_CORRUPT);
    mb_store_free(store);
    store = stack(&liar, LIE_FORGET, 1000);
    CHECK_INT(put_text(store, "k", ""), MB_ERR_UNKNOWN_OUTCOME);
    mb_store_free(store);
}

/* The last of many bytes: every piece is compared. */
TEST(a_change_at_the_end_of_a_large_object_is_seen)
{
    enum { SIZE = 1000000 };
    struct liar liar;
    struct mb_store *store = stack(&liar, LIE_CUT, 0);
    uint8_t *data = mb_alloc_zeroed(SIZE, 1);
    struct mb_error err;

    CHECK_OK(mb_store_put(store, "k", data, SIZE, &err), &err);
    CHECK_INT(liar.put_count, 1);
    data[SIZE - 1] = 1;
    liar.lie = LIE_SWAP;
    liar.lie_count = 1000;
    CHECK_FAILS(mb_store_put(store, "k", data, SIZE, &err), &err, MB_ERR_CORRUPT);
    free(data);
    mb_store_free(store);
}

TEST(what_cannot_be_read_back_is_unknown)
{
    struct liar liar;
    struct mb_store *store = stack(&liar, LIE_NONE, 0);
    struct mb_error err;

    liar.gets_fail = true;
    CHECK_FAILS(mb_store_put(store, "k", "v", 1, &err), &err, MB_ERR_UNKNOWN_OUTCOME);
    CHECK(strstr(err.message, "may write and not read") != NULL);
    CHECK_INT(liar.put_count, 1);
    mb_store_free(store);
}

static enum mb_store_fault_kind choose_flip(void *context, uint64_t request_index, const char *slot,
                                            const char *key)
{
    unsigned *flip_count = context;

    (void)request_index;
    (void)key;
    if (strcmp(slot, "get") != 0 || *flip_count == 0) {
        return MB_STORE_FAULT_NONE;
    }
    (*flip_count)--;
    return MB_STORE_FAULT_FLIP;
}

TEST(a_bit_flipped_on_the_way_back_is_seen)
{
    unsigned flip_count = 1;
    struct mb_store_fault_config config = {.choose = choose_flip, .context = &flip_count};
    struct mb_store *store = mb_store_verify_new(mb_store_fault_new(mb_store_mem_new(), &config));

    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_INT(flip_count, 0);
    flip_count = 2;
    CHECK_INT(put_text(store, "k", "v"), MB_ERR_CORRUPT);
    CHECK_INT(flip_count, 0);
    mb_store_free(store);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(one_bad_put_is_put_again),
    TEST_ROW(a_store_that_keeps_other_bytes_is_found_out),
    TEST_ROW(an_empty_object_is_verified_too),
    TEST_ROW(a_change_at_the_end_of_a_large_object_is_seen),
    TEST_ROW(what_cannot_be_read_back_is_unknown),
    TEST_ROW(a_bit_flipped_on_the_way_back_is_seen));
/* clang-format on */
