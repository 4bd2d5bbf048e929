/* SPDX-License-Identifier: MIT */
/*
 * Proves: the store at hand keeps the contracts of store.h. The same for every backend and every
 * stack of wrappers, so that the engine may stand on any of them.
 */
#include "alloc.h"
#include "check.h"
#include "limits.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

static void put_then_get_gives_the_bytes(struct mb_store *store)
{
    uint64_t size_bytes = 0;

    CHECK_INT(put_text(store, "a/b/c.zst", "hello"), MB_OK);
    CHECK_INT(get_text(store, "a/b/c.zst", "hello"), MB_OK);
    CHECK_INT(stat_size(store, "a/b/c.zst", &size_bytes), MB_OK);
    CHECK_INT(size_bytes, 5);
}

static void put_again_replaces_the_object(struct mb_store *store)
{
    CHECK_INT(put_text(store, "x", "first"), MB_OK);
    CHECK_INT(put_text(store, "x", "second, and longer"), MB_OK);
    CHECK_INT(get_text(store, "x", "second, and longer"), MB_OK);
    CHECK_INT(put_text(store, "x", "3rd"), MB_OK);
    CHECK_INT(get_text(store, "x", "3rd"), MB_OK);
    CHECK_INT(put_text(store, "x", "4th"), MB_OK); /* of the same size */
    CHECK_INT(get_text(store, "x", "4th"), MB_OK);
    CHECK_INT(put_text(store, "x", "4th"), MB_OK); /* the same bytes */
    CHECK_INT(get_text(store, "x", "4th"), MB_OK);
    CHECK(list_is(store, "", "x=3"));
}

static void an_empty_object_is_an_object(struct mb_store *store)
{
    uint64_t size_bytes = 99;

    CHECK_INT(put_text(store, "empty", ""), MB_OK);
    CHECK_INT(get_text(store, "empty", ""), MB_OK);
    CHECK_INT(stat_size(store, "empty", &size_bytes), MB_OK);
    CHECK_INT(size_bytes, 0);
    CHECK(list_is(store, "", "empty=0"));
}

static void a_missing_object_is_not_found(struct mb_store *store)
{
    uint64_t size_bytes = 99;

    CHECK_INT(get_text(store, "none", ""), MB_ERR_NOT_FOUND);
    CHECK_INT(get_text(store, "no/such/folder", ""), MB_ERR_NOT_FOUND);
    CHECK_INT(stat_size(store, "none", &size_bytes), MB_ERR_NOT_FOUND);
    CHECK_INT(stat_size(store, "no/such/folder", &size_bytes), MB_ERR_NOT_FOUND);
    CHECK_INT(size_bytes, 99); /* outputs are written only on success */
    CHECK_INT(put_text(store, "a/b", "b"), MB_OK);
    CHECK_INT(get_text(store, "a", ""), MB_ERR_NOT_FOUND); /* the folder of an object is none */
    CHECK_INT(stat_size(store, "a", &size_bytes), MB_ERR_NOT_FOUND);
    CHECK_INT(get_text(store, "a/b/c", ""), MB_ERR_NOT_FOUND);
}

static void delete_is_idempotent(struct mb_store *store)
{
    CHECK_INT(put_text(store, "a/gone", "1"), MB_OK);
    CHECK_INT(put_text(store, "a/kept", "2"), MB_OK);
    CHECK_INT(delete_key(store, "a/gone"), MB_OK);
    CHECK_INT(delete_key(store, "a/gone"), MB_OK);
    CHECK_INT(delete_key(store, "never/was/there"), MB_OK);
    CHECK_INT(delete_key(store, "a"), MB_OK); /* not an object: nothing happens */
    CHECK_INT(get_text(store, "a/gone", "1"), MB_ERR_NOT_FOUND);
    CHECK_INT(get_text(store, "a/kept", "2"), MB_OK);
    CHECK(list_is(store, "", "a/kept=1"));
    CHECK_INT(put_text(store, "a/gone", "back"), MB_OK);
    CHECK_INT(get_text(store, "a/gone", "back"), MB_OK);
}

static void list_gives_what_is_under_the_prefix(struct mb_store *store)
{
    CHECK(list_is(store, "", ""));
    CHECK_INT(put_text(store, "heads/m1/1-a", "1"), MB_OK);
    CHECK_INT(put_text(store, "heads/m2/1-b", "22"), MB_OK);
    CHECK_INT(put_text(store, "heads2/m3", "333"), MB_OK);
    CHECK_INT(put_text(store, "head", "4444"), MB_OK);
    CHECK(list_is(store, "", "head=4 heads/m1/1-a=1 heads/m2/1-b=2 heads2/m3=3"));
    CHECK(list_is(store, "heads/", "heads/m1/1-a=1 heads/m2/1-b=2"));
    CHECK(list_is(store, "heads/m1/", "heads/m1/1-a=1"));
    CHECK(list_is(store, "heads/m3/", ""));
    CHECK(list_is(store, "none/", ""));
    CHECK(list_is(store, "head/", "")); /* an object is not a folder */
}

static void what_is_no_key_is_refused_by_every_slot(struct mb_store *store)
{
    static const char *const bad[] = {
        "",         "/",           "/x",          "x/",          "../x",        "a/../x",
        "..",       ".",           "a/./b",       "a//b",        "a b",         "a\\b",
        "a:b",      "a\nb",        "\xc3\xa9",    "a/\xff",      "a%2fb",       "~",
        ".hidden",  "a/.stfolder", "a.tmp",       "x/Thumbs.db", "desktop.ini", "a.sync-conflict-1",
        "a*b",      "-/?",         "a/b/../../c", "a/..",        "./a",         "a\x7f",
        "a/b.tmp/c"};
    uint64_t size_bytes = 0;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!mb_store_key_is_valid(bad[i]));
        CHECK_INT(put_text(store, bad[i], "x"), MB_ERR_USAGE);
        CHECK_INT(get_text(store, bad[i], "x"), MB_ERR_USAGE);
        CHECK_INT(stat_size(store, bad[i], &size_bytes), MB_ERR_USAGE);
        CHECK_INT(delete_key(store, bad[i]), MB_ERR_USAGE);
    }
    CHECK(!mb_store_key_is_valid(NULL));
    CHECK_INT(put_text(store, NULL, "x"), MB_ERR_USAGE);
    CHECK(list_is(store, "", ""));
}

static void what_is_no_prefix_is_refused(struct mb_store *store)
{
    static const char *const bad[] = {"a", "/", "../", "a//", "a/../", "./", "a/b", "\xc3\xa9/"};
    struct mb_buf buf;

    mb_buf_init(&buf, 100);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_INT(list_text(store, bad[i], &buf), MB_ERR_USAGE);
    }
    CHECK_INT(list_text(store, NULL, &buf), MB_ERR_USAGE);
    mb_buf_release(&buf);
}

/* part_count parts of `size` bytes. Given. */
static char *long_key(size_t part_count, size_t size)
{
    char *key = mb_alloc(part_count * (size + 1));

    memset(key, 'k', part_count * (size + 1));
    for (size_t i = 1; i < part_count; i++) {
        key[i * (size + 1) - 1] = '/';
    }
    key[part_count * (size + 1) - 1] = '\0';
    return key;
}

static void keys_go_up_to_their_limits(struct mb_store *store)
{
    static const struct {
        size_t part_count, size;
        bool is_valid;
    } cases[] = {
        {1,  255, true },
        {1,  256, false},
        {2,  255, true },
        {2,  256, false},
        {4,  127, true }, /* 511 bytes */
        {3,  171, false}, /* 515 bytes */
        {16, 2,   true },
        {16, 31,  true }, /* 511 bytes, 16 parts */
        {17, 2,   false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *key = long_key(cases[i].part_count, cases[i].size);

        CHECK(mb_store_key_is_valid(key) == cases[i].is_valid);
        CHECK(put_text(store, key, "x") == (cases[i].is_valid ? MB_OK : MB_ERR_USAGE));
        if (cases[i].is_valid) {
            struct mb_buf buf;

            mb_buf_init(&buf, MB_MIB);
            CHECK_INT(get_text(store, key, "x"), MB_OK);
            CHECK_INT(list_text(store, "", &buf), MB_OK);
            CHECK(strstr(mb_buf_text(&buf), key) != NULL);
            CHECK_INT(delete_key(store, key), MB_OK);
            mb_buf_release(&buf);
        }
        free(key);
    }
    CHECK(list_is(store, "", ""));
}

static void every_character_of_keys_works(struct mb_store *store)
{
    const char *key = "ABCXYZ/abcxyz/0189/._-/a.b_c-d..e/-/_";

    /* "._-" starts with '.'. */
    CHECK_INT(put_text(store, key, "x"), MB_ERR_USAGE);
    key = "ABCXYZ/abcxyz/0189/_.-/a.b_c-d..e/-/_";
    CHECK_INT(put_text(store, key, "x"), MB_OK);
    CHECK_INT(get_text(store, key, "x"), MB_OK);
    CHECK(list_is(store, "ABCXYZ/", "ABCXYZ/abcxyz/0189/_.-/a.b_c-d..e/-/_=1"));
}

#define BIG_BYTES ((size_t)20 * 1000 * 1000 + 7)

static void a_large_object_comes_back_whole(struct mb_store *store)
{
    uint8_t *data = mb_alloc(BIG_BYTES);
    struct mb_error err;
    struct mb_buf buf;
    uint32_t value = 1;

    for (size_t i = 0; i < BIG_BYTES; i++) {
        value = value * 1664525 + 1013904223;
        data[i] = (uint8_t)(value >> 24);
    }
    mb_buf_init(&buf, BIG_BYTES);
    CHECK_OK(mb_store_put(store, "big/one", data, BIG_BYTES, &err), &err);
    CHECK_OK(mb_store_get(store, "big/one", BIG_BYTES, &buf, &err), &err);
    CHECK_INT(buf.size, BIG_BYTES);
    CHECK(memcmp(buf.data, data, BIG_BYTES) == 0);
    mb_buf_release(&buf);
    free(data);
}

struct meter {
    uint64_t fed_bytes;
    unsigned call_count;
    bool got_empty;
    enum mb_code fail_with; /* MB_OK: never */
};

static int meter_sink(void *context, const uint8_t *data, size_t size, struct mb_error *err)
{
    struct meter *meter = context;

    meter->call_count++;
    if (data == NULL) {
        meter->fed_bytes = 0;
        return 0;
    }
    meter->got_empty = meter->got_empty || size == 0;
    meter->fed_bytes += size;
    if (meter->fail_with != MB_OK) {
        return mb_error_set(err, meter->fail_with, "the sink says no");
    }
    return 0;
}

static void get_keeps_to_its_limit(struct mb_store *store)
{
    enum { SIZE = 300000 };
    struct meter meter = {0};
    struct mb_error err;
    uint8_t *data = mb_alloc_zeroed(SIZE, 1);

    CHECK_OK(mb_store_put(store, "k", data, SIZE, &err), &err);
    CHECK_OK(mb_store_get_sink(store, "k", SIZE, meter_sink, &meter, &err), &err);
    CHECK_INT(meter.fed_bytes, SIZE);
    CHECK(!meter.got_empty);
    meter = (struct meter){0};
    CHECK_FAILS(mb_store_get_sink(store, "k", SIZE - 1, meter_sink, &meter, &err), &err,
                MB_ERR_LIMIT);
    CHECK(meter.fed_bytes <= SIZE - 1);
    CHECK_FAILS(mb_store_get_sink(store, "k", 0, meter_sink, &meter, &err), &err, MB_ERR_LIMIT);
    CHECK_INT(put_text(store, "empty", ""), MB_OK);
    meter = (struct meter){0};
    CHECK_OK(mb_store_get_sink(store, "empty", 0, meter_sink, &meter, &err), &err);
    CHECK_INT(meter.call_count, 0);
    free(data);
}

static int failing_read(void *context, uint64_t offset, uint8_t *data, size_t size,
                        struct mb_error *err)
{
    unsigned *call_count = context;

    (void)offset;
    (*call_count)++;
    memset(data, 0, size);
    return mb_error_set(err, MB_ERR_TEMPORARY, "the source says no");
}

static int failing_object(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    unsigned *call_count = context;

    (void)object;
    (*call_count)++;
    return mb_error_set(err, MB_ERR_UNKNOWN_OUTCOME, "the listener says no");
}

/* MB_ERR_TEMPORARY from a callback must not be taken for the store's: nobody may repeat. */
static void errors_of_callbacks_come_through(struct mb_store *store)
{
    unsigned call_count = 0;
    struct mb_store_source source = {.size_bytes = 4, .context = &call_count, .read = failing_read};
    struct meter meter = {.fail_with = MB_ERR_TEMPORARY};
    struct mb_error err;

    CHECK_FAILS(mb_store_put_source(store, "k", &source, &err), &err, MB_ERR_TEMPORARY);
    CHECK(strstr(err.message, "the source says no") != NULL);
    CHECK_INT(call_count, 1);
    CHECK_INT(get_text(store, "k", ""), MB_ERR_NOT_FOUND);
    CHECK(list_is(store, "", ""));

    CHECK_INT(put_text(store, "k1", "1"), MB_OK);
    CHECK_INT(put_text(store, "k2", "2"), MB_OK);
    CHECK_FAILS(mb_store_get_sink(store, "k1", 10, meter_sink, &meter, &err), &err,
                MB_ERR_TEMPORARY);
    CHECK(strstr(err.message, "the sink says no") != NULL);
    CHECK_INT(meter.call_count, 1);

    call_count = 0;
    CHECK_FAILS(mb_store_list(store, "", failing_object, &call_count, &err), &err,
                MB_ERR_UNKNOWN_OUTCOME);
    CHECK(strstr(err.message, "the listener says no") != NULL);
    CHECK_INT(call_count, 1);
}

static void a_failed_get_leaves_the_buffer_empty(struct mb_store *store)
{
    struct mb_error err;
    struct mb_buf buf;

    mb_buf_init(&buf, 100);
    CHECK_INT(put_text(store, "k", "0123456789"), MB_OK);
    CHECK(mb_buf_append_text(&buf, "old", &err) == 0);
    CHECK_OK(mb_store_get(store, "k", 100, &buf, &err), &err);
    CHECK(strcmp(mb_buf_text(&buf), "0123456789") == 0);
    CHECK(mb_store_get(store, "k", 9, &buf, &err) == -1);
    CHECK_INT(buf.size, 0);
    CHECK(mb_store_get(store, "none", 9, &buf, &err) == -1);
    CHECK_INT(buf.size, 0);
    mb_buf_release(&buf);
}

static void the_marker_tells_a_store_of_ours(struct mb_store *store)
{
    struct mb_error err;
    bool has_marker = true;

    CHECK_OK(mb_store_probe(store, &has_marker, &err), &err);
    CHECK(!has_marker);
    CHECK_OK(mb_store_mark(store, &err), &err);
    CHECK_OK(mb_store_mark(store, &err), &err);
    CHECK_OK(mb_store_probe(store, &has_marker, &err), &err);
    CHECK(has_marker);
    CHECK_INT(get_text(store, MB_STORE_MARKER_KEY, MB_STORE_MARKER_TEXT), MB_OK);
    CHECK_INT(delete_key(store, MB_STORE_MARKER_KEY), MB_OK);
    CHECK_OK(mb_store_probe(store, &has_marker, &err), &err);
    CHECK(!has_marker);
}

#define MANY 2000

struct seen {
    unsigned counts[MANY];
    unsigned stranger_count;
};

static int note_seen(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct seen *seen = context;
    const char *dash = strrchr(object->key, '-');
    unsigned long index = dash == NULL ? MANY : strtoul(dash + 1, NULL, 10);

    (void)err;
    if (index < MANY && object->size_bytes == 1) {
        seen->counts[index]++;
    } else {
        seen->stranger_count++;
    }
    return 0;
}

static void many_objects_are_each_listed_once(struct mb_store *store)
{
    struct seen *seen = mb_alloc_zeroed(1, sizeof(*seen));
    struct mb_error err;
    char key[64];
    unsigned missing_count = 0;

    for (unsigned i = 0; i < MANY; i++) {
        unsigned scattered = i * 1237 % MANY;

        (void)snprintf(key, sizeof(key), "many/%u/%u/n-%u", scattered % 7, scattered % 3,
                       scattered);
        CHECK_INT(put_text(store, key, "x"), MB_OK);
    }
    CHECK_OK(mb_store_list(store, "", note_seen, seen, &err), &err);
    for (unsigned i = 0; i < MANY; i++) {
        missing_count += seen->counts[i] == 1 ? 0 : 1;
    }
    CHECK_INT(missing_count, 0);
    CHECK_INT(seen->stranger_count, 0);
    free(seen);
}

void check_conformance(const struct factory *factory)
{
    static void (*const cases[])(struct mb_store *) = {
        put_then_get_gives_the_bytes,
        put_again_replaces_the_object,
        an_empty_object_is_an_object,
        a_missing_object_is_not_found,
        delete_is_idempotent,
        list_gives_what_is_under_the_prefix,
        what_is_no_key_is_refused_by_every_slot,
        what_is_no_prefix_is_refused,
        keys_go_up_to_their_limits,
        every_character_of_keys_works,
        a_large_object_comes_back_whole,
        get_keeps_to_its_limit,
        errors_of_callbacks_come_through,
        a_failed_get_leaves_the_buffer_empty,
        the_marker_tells_a_store_of_ours,
        many_objects_are_each_listed_once,
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mb_store *store = factory->make(factory->context);

        cases[i](store);
        mb_store_free(store);
    }
}
