/* SPDX-License-Identifier: MIT */
/*
 * Names that a listing gives: keys of objects, heads and segments. What is taken for one of ours is
 * written back as it was read, and no key leads out of the folder of a store.
 *
 * Input: the name.
 */
#include "alloc.h"
#include "fuzz.h"
#include "head.h"
#include "limits.h"
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Said once more, part by part, in the words of store.h. */
static bool is_valid(const char *key)
{
    size_t count = 0;

    if (strlen(key) > MB_LIMIT_KEY_BYTES) {
        return false;
    }
    for (;;) {
        size_t size = strcspn(key, "/");

        count++;
        if (!mb_store_key_part_is_valid(key, size)) {
            return false;
        }
        if (key[size] == '\0') {
            return count <= MB_STORE_KEY_PARTS_MAX;
        }
        key += size + 1;
    }
}

static int on_object(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    (void)err;
    FUZZ_CHECK(strcmp(object->key, context) == 0);
    FUZZ_CHECK(object->size_bytes == 3);
    return 0;
}

static void try_store(const char *key, bool valid)
{
    struct mb_store *store = mb_store_mem_new();
    char *copy = mb_alloc_text(key);
    struct mb_error err;
    int rc = mb_store_put(store, key, "abc", 3, &err);

    FUZZ_CHECK((rc == 0) == valid);
    FUZZ_CHECK(valid || err.code == MB_ERR_USAGE);
    FUZZ_CHECK_OK(mb_store_list(store, "", on_object, copy, &err), &err);
    free(copy);
    mb_store_free(store);
}

static void try_head(const char *key)
{
    uint8_t machine[MB_MACHINE_ID_SIZE];
    char hex[MB_MACHINE_ID_HEX_SIZE];
    int64_t sequence = 0;
    char *start = NULL;

    if (!mb_head_parse_key(key, machine, &sequence)) {
        return;
    }
    FUZZ_CHECK(sequence >= 1 && sequence <= MB_HEAD_SEQUENCE_MAX);
    FUZZ_CHECK(mb_store_key_is_valid(key));
    mb_digest_hex(machine, sizeof(machine), hex);
    start = mb_alloc_format("heads/%s/%010" PRId64 "-", hex, sequence);
    FUZZ_CHECK(strncmp(key, start, strlen(start)) == 0);
    FUZZ_CHECK(strlen(key) == strlen(start) + 32);
    FUZZ_CHECK(strspn(key + strlen(start), "0123456789abcdef") == 32);
    free(start);
}

static void try_segment(const char *name)
{
    uint8_t digest[MB_DIGEST_SIZE];
    char again[MB_SEGMENT_NAME_SIZE];

    if (mb_head_segment_digest(name, digest)) {
        mb_head_segment_name(strtoll(name, NULL, 10), digest, again);
        FUZZ_CHECK(strcmp(name, again) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char *name = fuzz_text(&input);
    bool valid = mb_store_key_is_valid(name);

    FUZZ_CHECK(valid == is_valid(name));
    if (valid) {
        FUZZ_CHECK(name[0] != '/' && name[0] != '.' && name[0] != '\0');
        FUZZ_CHECK(strstr(name, "..") == NULL || strstr(name, "/.") == NULL);
        FUZZ_CHECK(strstr(name, "//") == NULL && name[strlen(name) - 1] != '/');
    }
    try_store(name, valid);
    try_head(name);
    try_segment(name);
    free(name);
    return 0;
}
