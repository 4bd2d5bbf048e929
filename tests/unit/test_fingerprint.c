/* SPDX-License-Identifier: MIT */

/* Fingerprints are FNV-1a, 64 bits, and tell texts apart where they end. */

#include "check.h"
#include "fingerprint.h"

TEST(bytes_hash_as_the_published_values_of_fnv_1a)
{
    CHECK(mb_fingerprint_add(MB_FINGERPRINT_START, "", 0) == 0xcbf29ce484222325u);
    CHECK(mb_fingerprint_add(MB_FINGERPRINT_START, "a", 1) == 0xaf63dc4c8601ec8cu);
    CHECK(mb_fingerprint_add(MB_FINGERPRINT_START, "foobar", 6) == 0x85944171f73967e8u);
}

TEST(two_texts_differ_by_where_one_ends_and_by_being_there)
{
    uint64_t ab_c =
        mb_fingerprint_add_text(mb_fingerprint_add_text(MB_FINGERPRINT_START, "ab"), "c");
    uint64_t a_bc =
        mb_fingerprint_add_text(mb_fingerprint_add_text(MB_FINGERPRINT_START, "a"), "bc");

    CHECK(ab_c != a_bc);
    CHECK(mb_fingerprint_add_text(MB_FINGERPRINT_START, NULL) !=
          mb_fingerprint_add_text(MB_FINGERPRINT_START, ""));
}

TEST(a_kept_fingerprint_is_never_none)
{
    CHECK(mb_fingerprint_int64(0) == 1);
    CHECK(mb_fingerprint_int64(UINT64_MAX) > 0);
}

TEST_LIST(TEST_ROW(bytes_hash_as_the_published_values_of_fnv_1a),
          TEST_ROW(two_texts_differ_by_where_one_ends_and_by_being_there),
          TEST_ROW(a_kept_fingerprint_is_never_none));
