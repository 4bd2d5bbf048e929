/* SPDX-License-Identifier: MIT */
/* Proves: SHA-256 gives what NIST says (FIPS 180-4 examples), in one piece or many, and a context
 * serves again. */
#include "check.h"
#include "digest.h"

#include <string.h>

/* clang-format off */
static const struct {
    const char *text;
    const char *hex;
} nist[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
     "mnopqrstnopqrstu", "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};
/* clang-format on */

TEST(digest_gives_the_nist_vectors)
{
    uint8_t digest[MB_DIGEST_SIZE];
    char hex[MB_DIGEST_HEX_SIZE];

    for (size_t i = 0; i < sizeof(nist) / sizeof(nist[0]); i++) {
        mb_digest_sha256(nist[i].text, strlen(nist[i].text), digest);
        mb_digest_hex(digest, sizeof(digest), hex);
        CHECK_TEXT(hex, nist[i].hex);
    }
}

TEST(digest_of_a_million_letters_in_pieces_is_nist_s)
{
    struct mb_digest *context = mb_digest_new();
    uint8_t digest[MB_DIGEST_SIZE];
    char hex[MB_DIGEST_HEX_SIZE];
    char letters[1000];

    memset(letters, 'a', sizeof(letters));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            mb_digest_update(context, letters, 333);
            mb_digest_update(context, letters, 0);
            mb_digest_update(context, letters, 667);
        }
        mb_digest_final(context, digest);
        mb_digest_hex(digest, sizeof(digest), hex);
        CHECK_TEXT(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    mb_digest_free(context);
    mb_digest_free(NULL);
}

TEST(digest_hex_reads_back_what_it_wrote)
{
    uint8_t data[256];
    uint8_t back[256];
    char hex[513];

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)i;
    }
    mb_digest_hex(data, sizeof(data), hex);
    CHECK_INT(strlen(hex), 512);
    CHECK(mb_digest_unhex(hex, back, sizeof(back)));
    CHECK_BYTES(back, data, sizeof(data));
}

TEST(digest_unhex_refuses_what_is_not_lower_case_hex)
{
    uint8_t data[2];

    CHECK(mb_digest_unhex("00ff", data, 2));
    CHECK(mb_digest_unhex("00ffzz", data, 2));
    CHECK(mb_digest_unhex("", data, 0));
    CHECK(!mb_digest_unhex("00f", data, 2));
    CHECK(!mb_digest_unhex("", data, 2));
    CHECK(!mb_digest_unhex("00FF", data, 2));
    CHECK(!mb_digest_unhex("00fg", data, 2));
    CHECK(!mb_digest_unhex("0 ff", data, 2));
}

TEST_LIST(TEST_ROW(digest_gives_the_nist_vectors),
          TEST_ROW(digest_of_a_million_letters_in_pieces_is_nist_s),
          TEST_ROW(digest_hex_reads_back_what_it_wrote),
          TEST_ROW(digest_unhex_refuses_what_is_not_lower_case_hex));
