/* SPDX-License-Identifier: MIT */
/*
 * engine/head: a head from the store. What was read is written, read and written again without a
 * change, under the key that it was read by, and keeps the rules of docs/FORMAT.md, section 4.
 *
 * Input: one byte. 'o': the rest is the object as it lies in the store. Else: the rest is its text,
 * which is packed here. The key is computed: it names the machine and the sequence that the text
 * names, if it does.
 */
#include "alloc.h"
#include "fuzz.h"
#include "head.h"
#include "json.h"
#include "limits.h"
#include "pack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static char *make_key(const char *machine, int64_t sequence, const struct mb_buf *object)
{
    uint8_t digest[MB_DIGEST_SIZE];
    char hex[MB_DIGEST_HEX_SIZE];

    mb_digest_sha256(object->data, object->size, digest);
    mb_digest_hex(digest, 16, hex);
    return mb_alloc_format("heads/%s/%010" PRId64 "-%s", machine, sequence, hex);
}

/* By what the text says of itself: else every input would end at the first check. */
static char *guess_key(const struct fuzz_input *text, const struct mb_buf *object)
{
    const struct mb_json_limits limits = {4 * MB_MIB, MB_LIMIT_JSON_DEPTH, MB_LIMIT_JSON_VALUES};
    struct mb_json *json = NULL;
    struct mb_error err;
    const char *machine = NULL;
    int64_t sequence = 0;
    char *key = NULL;

    if (mb_json_parse((const char *)text->data, text->size, &limits, &json, &err) == 0 &&
        mb_json_text(json, "machine", &machine, &err) == 0 &&
        mb_json_int64(json, "sequence", &sequence, &err) == 0) {
        key = make_key(machine, sequence, object);
    } else {
        key = make_key("9f86d081884c7d65", 12, object);
    }
    mb_json_free(json);
    return key;
}

static void check_rules(const struct mb_head *head, const char *key)
{
    uint8_t machine[MB_MACHINE_ID_SIZE];
    uint8_t digest[MB_DIGEST_SIZE];
    int64_t sequence = 0;
    int64_t last = 0;

    FUZZ_CHECK(mb_head_parse_key(key, machine, &sequence));
    FUZZ_CHECK(sequence == head->sequence && sequence >= 1 && sequence <= MB_HEAD_SEQUENCE_MAX);
    FUZZ_CHECK(memcmp(machine, head->machine, MB_MACHINE_ID_SIZE) == 0);
    FUZZ_CHECK(head->entry_count <= 8000 && head->cover_count <= 8000);
    FUZZ_CHECK(strlen(head->host_name) <= 256 && strlen(head->program) <= 64);
    for (size_t i = 0; i < head->entry_count; i++) {
        const struct mb_head_entry *entry = &head->entries[i];

        FUZZ_CHECK(entry->first > last && entry->first <= entry->last);
        FUZZ_CHECK(entry->last <= MB_HEAD_SEQUENCE_MAX);
        FUZZ_CHECK(mb_head_segment_digest(entry->name, digest));
        FUZZ_CHECK(entry->size_bytes >= 0 && entry->size_bytes <= (int64_t)MB_LIMIT_SEGMENT_BYTES);
        FUZZ_CHECK(entry->record_count >= 0 && entry->record_count <= MB_LIMIT_SEGMENT_RECORDS);
        last = entry->last;
    }
    for (size_t i = 0; i < head->cover_count; i++) {
        FUZZ_CHECK(head->covers[i].sequence >= 0);
        FUZZ_CHECK(i == 0 || memcmp(head->covers[i - 1].machine, head->covers[i].machine,
                                    MB_MACHINE_ID_SIZE) < 0);
    }
}

static void check_same(const struct mb_head *a, const struct mb_head *b)
{
    FUZZ_CHECK(memcmp(a->machine, b->machine, MB_MACHINE_ID_SIZE) == 0);
    FUZZ_CHECK(a->sequence == b->sequence && a->time_ms == b->time_ms);
    FUZZ_CHECK(a->entry_count == b->entry_count && a->cover_count == b->cover_count);
    FUZZ_CHECK(a->has_digest == b->has_digest);
    FUZZ_CHECK(!a->has_digest || memcmp(a->digest, b->digest, sizeof(a->digest)) == 0);
    for (size_t i = 0; i < a->entry_count; i++) {
        const struct mb_head_entry *entry = &a->entries[i];
        const struct mb_head_entry *other = &b->entries[i];

        FUZZ_CHECK(entry->first == other->first && entry->last == other->last);
        FUZZ_CHECK(memcmp(entry->chain, other->chain, MB_CHAIN_SIZE) == 0);
        FUZZ_CHECK(strcmp(entry->name, other->name) == 0);
        FUZZ_CHECK(entry->size_bytes == other->size_bytes);
        FUZZ_CHECK(entry->record_count == other->record_count);
        FUZZ_CHECK(entry->is_lost == other->is_lost);
    }
    for (size_t i = 0; i < a->cover_count; i++) {
        FUZZ_CHECK(memcmp(a->covers[i].machine, b->covers[i].machine, MB_MACHINE_ID_SIZE) == 0);
        FUZZ_CHECK(a->covers[i].sequence == b->covers[i].sequence);
        FUZZ_CHECK(memcmp(a->covers[i].chain, b->covers[i].chain, MB_CHAIN_SIZE) == 0);
    }
}

static void check_again(const struct mb_head *head)
{
    struct mb_head again;
    struct mb_buf first;
    struct mb_buf second;
    struct mb_error err;
    char *key = NULL;
    char *second_key = NULL;

    mb_buf_init(&first, 4 * MB_MIB);
    mb_buf_init(&second, 4 * MB_MIB);
    FUZZ_CHECK_OK(mb_head_encode(head, &first, &key, &err), &err);
    FUZZ_CHECK_OK(mb_head_decode(key, first.data, first.size, &again, &err), &err);
    check_same(head, &again);
    fuzz_check_shown(again.host_name);
    fuzz_check_shown(again.program);
    FUZZ_CHECK_OK(mb_head_encode(&again, &second, &second_key, &err), &err);
    FUZZ_CHECK(strcmp(key, second_key) == 0);
    FUZZ_CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    mb_head_release(&again);
    mb_buf_release(&first);
    mb_buf_release(&second);
    free(key);
    free(second_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    bool is_object = fuzz_byte(&input) == 'o';
    struct mb_head head;
    struct mb_buf object;
    struct mb_error err;
    char *key = NULL;

    mb_buf_init(&object, 4 * MB_MIB);
    if (is_object) {
        FUZZ_CHECK_OK(mb_buf_append(&object, input.data, input.size, &err), &err);
        key = make_key("9f86d081884c7d65", 12, &object);
    } else {
        FUZZ_CHECK_OK(mb_pack_append_header(&object, MB_PACK_HEAD, &err), &err);
        FUZZ_CHECK_OK(mb_pack_append_frame(&object, input.data, input.size, &err), &err);
        key = guess_key(&input, &object);
    }
    if (mb_head_decode(key, object.data, object.size, &head, &err) != 0) {
        fuzz_check_error(&err);
        FUZZ_CHECK(err.code == MB_ERR_CORRUPT || err.code == MB_ERR_FORMAT);
    } else {
        check_rules(&head, key);
        check_again(&head);
        mb_head_release(&head);
        /* One bit more, and the key does not fit. */
        object.data[object.size / 2] ^= 1;
        FUZZ_CHECK(mb_head_decode(key, object.data, object.size, &head, &err) != 0);
        FUZZ_CHECK(err.code == MB_ERR_CORRUPT);
    }
    free(key);
    mb_buf_release(&object);
    return 0;
}
