/* SPDX-License-Identifier: MIT */

/*
 * Proves that a head comes back as it was put, under a key that is a function of it; that names and
 * chains have their documented form; and that a head that is not exactly in order is refused.
 */

#include "alloc.h"
#include "check.h"
#include "head.h"
#include "limits.h"
#include "pack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MACHINE "0123456789abcdef"
#define HASH "00112233445566778899aabbccddeeff"
#define NAME "0000000002-" HASH HASH

#define START                                                                                      \
    "{\"machine\":\"" MACHINE "\",\"sequence\":5,\"time\":6,\"host\":\"h\",\"program\":\"p\","
#define ENTRY(first, last, name)                                                                   \
    "{\"first\":" first ",\"last\":" last ",\"chain\":\"" HASH "\",\"name\":\"" name               \
    "\",\"bytes\":100,\"records\":2}"
#define COVER(machine, sequence)                                                                   \
    "{\"machine\":\"" machine "\",\"sequence\":" sequence ",\"chain\":\"" HASH "\"}"

static struct mb_head make_head(size_t entry_count, size_t cover_count)
{
    struct mb_head head;
    uint8_t digest[MB_DIGEST_SIZE];

    mb_head_init(&head);
    head.machine[7] = 9;
    head.sequence = 12;
    head.time_ms = INT64_C(1700000000123);
    head.host_name = mb_alloc_text("caf\xc3\xa9 \"x\"");
    head.program = mb_alloc_text("membridge 0.1.0");
    head.entries = mb_alloc_zeroed(entry_count, sizeof(*head.entries));
    head.covers = mb_alloc_zeroed(cover_count, sizeof(*head.covers));
    head.entry_count = entry_count;
    head.cover_count = cover_count;
    for (size_t i = 0; i < entry_count; i++) {
        struct mb_head_entry *entry = &head.entries[i];

        entry->first = (int64_t)(3 * i + 1);
        entry->last = (int64_t)(3 * i + 2);
        mb_digest_sha256(&i, sizeof(i), digest);
        mb_head_chain(entry->chain, entry->last, digest, entry->chain);
        mb_head_segment_name(entry->last, digest, entry->name);
        entry->size_bytes = (int64_t)(1000 * i);
        entry->record_count = (int64_t)i;
        entry->is_lost = i % 3 == 1;
    }
    for (size_t i = 0; i < cover_count; i++) {
        head.covers[i].machine[0] = (uint8_t)(i >> 8);
        head.covers[i].machine[1] = (uint8_t)i;
        head.covers[i].sequence = (int64_t)i;
        head.covers[i].chain[15] = (uint8_t)i;
    }
    return head;
}

/* Packs any text as a head's body and makes the key that its machine and sequence would have. */
static int decode_text(const char *text, const char *machine, int sequence, struct mb_error *err)
{
    uint8_t digest[MB_DIGEST_SIZE];
    char hex[MB_DIGEST_HEX_SIZE];
    struct mb_head head;
    struct mb_buf body;
    char *key = NULL;
    int rc = -1;

    mb_head_init(&head);
    mb_buf_init(&body, 16 * MB_MIB);
    CHECK_OK(mb_pack_append_header(&body, MB_PACK_HEAD, err), err);
    CHECK_OK(mb_pack_append_frame(&body, text, strlen(text), err), err);
    mb_digest_sha256(body.data, body.size, digest);
    mb_digest_hex(digest, 16, hex);
    key = mb_alloc_format("heads/%s/%010d-%s", machine, sequence, hex);
    rc = mb_head_decode(key, body.data, body.size, &head, err);
    free(key);
    mb_buf_release(&body);
    mb_head_release(&head);
    return rc;
}

static void check_lists(const char *entries, const char *covers, bool is_taken)
{
    char *text = mb_alloc_format(START "\"entries\":[%s],\"covers\":[%s]}", entries, covers);
    struct mb_error err;

    if (is_taken) {
        CHECK_OK(decode_text(text, MACHINE, 5, &err), &err);
    } else {
        CHECK_FAILS(decode_text(text, MACHINE, 5, &err), &err, MB_ERR_CORRUPT);
    }
    free(text);
}

TEST(heads_come_back_as_they_were)
{
    static const size_t counts[] = {0, 1, 7, 3000};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct mb_head head = make_head(counts[i], counts[i] / 2);
        struct mb_head back;
        struct mb_buf body;
        struct mb_buf again;
        struct mb_error err;
        char *key = NULL;
        char *key_again = NULL;

        mb_head_init(&back);
        mb_buf_init(&body, MB_LIMIT_HEAD_BYTES);
        mb_buf_init(&again, MB_LIMIT_HEAD_BYTES);
        head.has_digest = i % 2 == 0;
        memset(head.digest, head.has_digest ? 0xa5 : 0, sizeof(head.digest));
        CHECK_OK(mb_buf_append_text(&body, "to be cleared", &err), &err);
        CHECK_OK(mb_head_encode(&head, &body, &key, &err), &err);
        if (CHECK_OK(mb_head_decode(key, body.data, body.size, &back, &err), &err)) {
            CHECK_TEXT(back.host_name, head.host_name);
            CHECK_TEXT(back.program, head.program);
            CHECK_INT(back.time_ms, head.time_ms);
            CHECK_INT(back.sequence, head.sequence);
            CHECK_INT(back.has_digest, head.has_digest);
            CHECK_BYTES(back.digest, head.digest, sizeof(head.digest));
            CHECK_INT(back.entry_count, head.entry_count);
            CHECK_INT(back.cover_count, head.cover_count);
            CHECK_OK(mb_head_encode(&back, &again, &key_again, &err), &err);
            CHECK_TEXT(key_again, key);
        }
        free(key);
        free(key_again);
        mb_buf_release(&body);
        mb_buf_release(&again);
        mb_head_release(&head);
        mb_head_release(&back);
    }
}

TEST(host_names_are_cleaned_and_cut)
{
    struct mb_head head = make_head(0, 0);
    struct mb_head back;
    struct mb_buf body;
    struct mb_error err;
    char *key = NULL;

    mb_head_init(&back);
    mb_buf_init(&body, MB_LIMIT_HEAD_BYTES);
    free(head.host_name);
    head.host_name = mb_alloc_zeroed(1, 1000);
    memset(head.host_name, 0xff, 999);
    free(head.program);
    head.program = NULL;
    CHECK_OK(mb_head_encode(&head, &body, &key, &err), &err);
    if (CHECK_OK(mb_head_decode(key, body.data, body.size, &back, &err), &err)) {
        CHECK(strlen(back.host_name) <= 256);
        CHECK(back.host_name[0] == '?');
        CHECK_TEXT(back.program, "");
    }
    free(key);
    mb_buf_release(&body);
    mb_head_release(&head);
    mb_head_release(&back);
}

TEST(body_must_match_its_key)
{
    struct mb_head head = make_head(3, 3);
    struct mb_head back;
    struct mb_buf body;
    struct mb_error err;
    char *key = NULL;

    mb_head_init(&back);
    mb_buf_init(&body, MB_LIMIT_HEAD_BYTES);
    CHECK_OK(mb_head_encode(&head, &body, &key, &err), &err);
    for (size_t i = 0; i < body.size; i++) {
        body.data[i] ^= 1;
        CHECK_FAILS(mb_head_decode(key, body.data, body.size, &back, &err), &err, MB_ERR_CORRUPT);
        CHECK_FAILS(mb_head_decode(key, body.data, i, &back, &err), &err, MB_ERR_CORRUPT);
        body.data[i] ^= 1;
    }
    for (size_t i = 0; i < strlen(key); i++) {
        key[i] ^= 1;
        CHECK_FAILS(mb_head_decode(key, body.data, body.size, &back, &err), &err, MB_ERR_CORRUPT);
        key[i] ^= 1;
    }
    CHECK(back.entries == NULL);
    free(key);
    mb_buf_release(&body);
    mb_head_release(&head);
}

TEST(head_of_a_later_version_is_unsupported_and_not_damaged)
{
    uint8_t digest[MB_DIGEST_SIZE];
    char hex[MB_DIGEST_HEX_SIZE];
    uint8_t body[] = {'M', 'B', 'R', 'G', 'H', 2,   1,   0,  'w',
                      'h', 'o', ' ', 'k', 'n', 'o', 'w', 's'};
    struct mb_head back;
    struct mb_error err;
    char *key = NULL;

    mb_digest_sha256(body, sizeof(body), digest);
    mb_digest_hex(digest, 16, hex);
    key = mb_alloc_format("heads/" MACHINE "/0000000005-%s", hex);
    CHECK_FAILS(mb_head_decode(key, body, sizeof(body), &back, &err), &err, MB_ERR_FORMAT);
    free(key);
}

TEST(segments_out_of_order_are_refused)
{
    static const char other[] = ENTRY("3", "4", "0000000004-" HASH HASH);
    char *two = mb_alloc_format("%s,%s", ENTRY("1", "2", NAME), other);
    char *swapped = mb_alloc_format("%s,%s", other, ENTRY("1", "2", NAME));

    check_lists("", "", true);
    check_lists(ENTRY("1", "2", NAME), "", true);
    check_lists(ENTRY("2", "2", NAME), "", true);
    check_lists(two, "", true);
    check_lists(swapped, "", false);
    check_lists(ENTRY("1", "2", NAME) "," ENTRY("1", "2", NAME), "", false);
    check_lists(ENTRY("1", "2", NAME) "," ENTRY("2", "4", "0000000004-" HASH HASH), "", false);
    check_lists(ENTRY("0", "2", NAME), "", false);
    check_lists(ENTRY("3", "2", NAME), "", false);
    check_lists(ENTRY("1", "3", NAME), "", false);
    check_lists(ENTRY("1", "2", "0000000002-" HASH), "", false);
    check_lists(ENTRY("1", "2", NAME "0"), "", false);
    check_lists(ENTRY("1", "2", "../" NAME), "", false);
    check_lists(ENTRY("1", "2", "00000000002-" HASH HASH), "", false);
    check_lists(ENTRY("1", "2", "2-" HASH HASH), "", false);
    check_lists(ENTRY("1", "2.0", NAME), "", false);
    check_lists(ENTRY("1", "100000000000000", "100000000000000-" HASH HASH), "", false);
    check_lists("7", "", false);
    check_lists("{}", "", false);
    free(two);
    free(swapped);
}

TEST(covers_out_of_order_are_refused)
{
    check_lists("", COVER("0000000000000001", "0"), true);
    check_lists("", COVER("0000000000000001", "1") "," COVER(MACHINE, "1"), true);
    check_lists("", COVER(MACHINE, "1") "," COVER("0000000000000001", "1"), false);
    check_lists("", COVER(MACHINE, "1") "," COVER(MACHINE, "2"), false);
    check_lists("", COVER(MACHINE, "-1"), false);
    check_lists("", COVER("0123", "1"), false);
    check_lists("", "null", false);
}

TEST(fields_must_be_there_and_unknown_ones_are_passed_over)
{
    static const char *const corrupt[] = {
        "",
        "[]",
        "{}",
        START "\"entries\":[]}",
        START "\"covers\":[]}",
        START "\"entries\":{},\"covers\":[]}",
        START "\"entries\":[],\"covers\":[],\"digest\":\"00\"}",
        START "\"entries\":[],\"covers\":[],\"digest\":null}",
        START "\"entries\":[],\"covers\":[],\"time\":1}",
        START "\"entries\":[],\"covers\":[]} ]",
        "{\"machine\":\"" MACHINE "\",\"sequence\":\"5\"}",
    };
    struct mb_error err;
    char *deep = mb_alloc_zeroed(1, 200001);

    for (size_t i = 0; i < sizeof(corrupt) / sizeof(corrupt[0]); i++) {
        CHECK_FAILS(decode_text(corrupt[i], MACHINE, 5, &err), &err, MB_ERR_CORRUPT);
    }
    CHECK_OK(
        decode_text(START "\"entries\":[],\"covers\":[],\"later\":[{\"x\":1}]}", MACHINE, 5, &err),
        &err);
    CHECK_FAILS(decode_text(START "\"entries\":[],\"covers\":[]}", MACHINE, 6, &err), &err,
                MB_ERR_CORRUPT);
    CHECK_FAILS(decode_text(START "\"entries\":[],\"covers\":[]}", HASH, 5, &err), &err,
                MB_ERR_CORRUPT);
    memset(deep, '[', 200000);
    CHECK_FAILS(decode_text(deep, MACHINE, 5, &err), &err, MB_ERR_CORRUPT);
    free(deep);
}

TEST(head_that_others_would_refuse_is_not_written)
{
    struct mb_head head = make_head(2, 2);
    struct mb_buf body;
    struct mb_error err;
    char *key = NULL;

    mb_buf_init(&body, MB_LIMIT_HEAD_BYTES);
    head.sequence = 0;
    CHECK_FAILS(mb_head_encode(&head, &body, &key, &err), &err, MB_ERR_CORRUPT);
    head.sequence = 1;
    head.entries[1].first = head.entries[0].last;
    CHECK_FAILS(mb_head_encode(&head, &body, &key, &err), &err, MB_ERR_CORRUPT);
    head.entries[1].first++;
    head.entries[1].size_bytes = -1;
    CHECK_FAILS(mb_head_encode(&head, &body, &key, &err), &err, MB_ERR_CORRUPT);
    head.entries[1].size_bytes = 1;
    head.covers[1] = head.covers[0];
    CHECK_FAILS(mb_head_encode(&head, &body, &key, &err), &err, MB_ERR_CORRUPT);
    CHECK_INT(body.size, 0);
    CHECK(key == NULL);
    mb_head_release(&head);
    head = make_head(7000, 0);
    CHECK_FAILS(mb_head_encode(&head, &body, &key, &err), &err, MB_ERR_LIMIT);
    mb_head_release(&head);
    mb_buf_release(&body);
}

TEST(names_have_one_form)
{
    static const char *const wrong[] = {
        "",
        "heads/",
        "heads/" MACHINE,
        "heads/" MACHINE "/",
        "heads/" MACHINE "/5-" HASH,
        "heads/" MACHINE "/0000000000-" HASH,
        "heads/" MACHINE "/0000000005-" HASH "0",
        "heads/" MACHINE "/0000000005" HASH,
        "heads/" MACHINE "0/0000000005-" HASH,
        "heads/0123456789ABCDEF/0000000005-" HASH,
        "Heads/" MACHINE "/0000000005-" HASH,
        "heads/" MACHINE "/123456789012345-" HASH,
        "heads/" MACHINE "/-000000005-" HASH,
    };
    uint8_t machine[MB_MACHINE_ID_SIZE] = {0};
    uint8_t digest[MB_DIGEST_SIZE];
    uint8_t back[MB_DIGEST_SIZE];
    char name[MB_SEGMENT_NAME_SIZE];
    int64_t sequence = 77;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK(!mb_head_parse_key(wrong[i], machine, &sequence));
        CHECK_INT(machine[0] + machine[1] + sequence, 77);
    }
    CHECK(mb_head_parse_key("heads/" MACHINE "/0000000005-" HASH, machine, &sequence));
    CHECK_INT(sequence, 5);
    CHECK_INT(machine[7], 0xef);
    CHECK(mb_head_parse_key("heads/" MACHINE "/12345678901234-" HASH, machine, &sequence));
    mb_digest_sha256("x", 1, digest);
    mb_head_segment_name(MB_HEAD_SEQUENCE_MAX, digest, name);
    CHECK_INT(strlen(name), MB_SEGMENT_NAME_SIZE - 1);
    CHECK(mb_head_segment_digest(name, back));
    CHECK_BYTES(back, digest, sizeof(digest));
    mb_head_segment_name(1, digest, name);
    CHECK(strncmp(name, "0000000001-2d711642", 19) == 0);
    name[40] = 'G';
    CHECK(!mb_head_segment_digest(name, back));
}

TEST(chain_is_the_documented_hash)
{
    uint8_t data[56] = {0};
    uint8_t expected[MB_DIGEST_SIZE];
    uint8_t segment[MB_DIGEST_SIZE];
    uint8_t chain[MB_CHAIN_SIZE];
    char hex[2 * MB_CHAIN_SIZE + 1];

    memset(segment, 0x11, sizeof(segment));
    memset(data + 24, 0x11, 32);
    data[22] = 1; /* 258 = 0x0102, after 16 zeros */
    data[23] = 2;
    mb_digest_sha256(data, sizeof(data), expected);
    memset(chain, 0, sizeof(chain));
    mb_head_chain(chain, 258, segment, chain);
    CHECK_BYTES(chain, expected, MB_CHAIN_SIZE);
    memset(data, 0x22, MB_CHAIN_SIZE); /* what came before counts */
    mb_digest_sha256(data, sizeof(data), expected);
    memset(chain, 0x22, sizeof(chain));
    mb_head_chain(chain, 258, segment, chain);
    CHECK_BYTES(chain, expected, MB_CHAIN_SIZE);
    /* The example of docs/FORMAT.md. */
    mb_digest_sha256("x", 1, segment);
    memset(chain, 0, sizeof(chain));
    mb_head_chain(chain, 1, segment, chain);
    mb_digest_hex(chain, sizeof(chain), hex);
    CHECK_TEXT(hex, "fb1dbe2352bb294fe2ed7fa4ccf587a4");
}

TEST_LIST(TEST_ROW(heads_come_back_as_they_were), TEST_ROW(host_names_are_cleaned_and_cut),
          TEST_ROW(body_must_match_its_key),
          TEST_ROW(head_of_a_later_version_is_unsupported_and_not_damaged),
          TEST_ROW(segments_out_of_order_are_refused), TEST_ROW(covers_out_of_order_are_refused),
          TEST_ROW(fields_must_be_there_and_unknown_ones_are_passed_over),
          TEST_ROW(head_that_others_would_refuse_is_not_written), TEST_ROW(names_have_one_form),
          TEST_ROW(chain_is_the_documented_hash));
