/* SPDX-License-Identifier: MIT */
#include "head.h"

#include "alloc.h"
#include "assert.h"
#include "json.h"
#include "limits.h"
#include "pack.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define KEY_PREFIX "heads/"
#define KEY_HASH_SIZE 16 /* bytes of the body's SHA-256 that its key holds */
#define SEQUENCE_DIGITS_MIN 10
#define SEQUENCE_DIGITS_MAX 14

#define HOST_NAME_SIZE_MAX 256
#define PROGRAM_SIZE_MAX 64
/* Half of a head's text are hashes, written in twice their size: it shrinks to a third at best. */
#define RAW_BYTES_MAX (16 * MB_LIMIT_HEAD_BYTES)
/* 8 and 4 JSON values each: together below MB_LIMIT_JSON_VALUES. */
#define ENTRIES_MAX 8000
#define COVERS_MAX 8000

/* ---- Names ---- */

/* "<sequence>-<2 * size hex digits>" and nothing behind it. */
static bool parse_name(const char *name, int64_t *sequence_out, uint8_t *hash, size_t size)
{
    size_t digits = strspn(name, "0123456789");
    int64_t sequence = 0;

    if (digits < SEQUENCE_DIGITS_MIN || digits > SEQUENCE_DIGITS_MAX || name[digits] != '-' ||
        (digits > SEQUENCE_DIGITS_MIN && name[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        sequence = sequence * 10 + (name[i] - '0');
    }
    name += digits + 1;
    if (sequence < 1 || strlen(name) != 2 * size || !mb_digest_unhex(name, hash, size)) {
        return false;
    }
    *sequence_out = sequence;
    return true;
}

static bool parse_key(const char *key, uint8_t machine[static MB_MACHINE_ID_SIZE],
                      int64_t *sequence_out, uint8_t hash[static KEY_HASH_SIZE])
{
    const size_t machine_size = 2 * (size_t)MB_MACHINE_ID_SIZE;
    uint8_t found[MB_MACHINE_ID_SIZE];

    if (!mb_text_has_prefix(key, KEY_PREFIX)) {
        return false;
    }
    key += strlen(KEY_PREFIX);
    if (!mb_digest_unhex(key, found, sizeof(found)) || key[machine_size] != '/' ||
        !parse_name(key + machine_size + 1, sequence_out, hash, KEY_HASH_SIZE)) {
        return false;
    }
    memcpy(machine, found, sizeof(found));
    return true;
}

bool mb_head_parse_key(const char *key, uint8_t machine[static MB_MACHINE_ID_SIZE],
                       int64_t *sequence_out)
{
    uint8_t hash[KEY_HASH_SIZE];

    return parse_key(key, machine, sequence_out, hash);
}

void mb_head_segment_name(int64_t last, const uint8_t segment_digest[static MB_DIGEST_SIZE],
                          char out[static MB_SEGMENT_NAME_SIZE])
{
    char hex[MB_DIGEST_HEX_SIZE];

    MB_ASSERT(last >= 1);
    MB_ASSERT(last <= MB_HEAD_SEQUENCE_MAX);
    mb_digest_hex(segment_digest, MB_DIGEST_SIZE, hex);
    (void)snprintf(out, MB_SEGMENT_NAME_SIZE, "%010" PRId64 "-%s", last, hex);
}

bool mb_head_segment_digest(const char *name, uint8_t out[static MB_DIGEST_SIZE])
{
    uint8_t found[MB_DIGEST_SIZE];
    int64_t last = 0;

    if (!parse_name(name, &last, found, sizeof(found))) {
        return false;
    }
    memcpy(out, found, sizeof(found));
    return true;
}

void mb_head_chain(const uint8_t before[static MB_CHAIN_SIZE], int64_t last,
                   const uint8_t segment_digest[static MB_DIGEST_SIZE],
                   uint8_t out[static MB_CHAIN_SIZE])
{
    uint8_t data[MB_CHAIN_SIZE + 8 + MB_DIGEST_SIZE];
    uint8_t digest[MB_DIGEST_SIZE];

    memcpy(data, before, MB_CHAIN_SIZE);
    for (int i = 0; i < 8; i++) {
        data[MB_CHAIN_SIZE + i] = (uint8_t)((uint64_t)last >> (56 - 8 * i));
    }
    memcpy(data + MB_CHAIN_SIZE + 8, segment_digest, MB_DIGEST_SIZE);
    mb_digest_sha256(data, sizeof(data), digest);
    memcpy(out, digest, MB_CHAIN_SIZE);
}

/* ---- Heads in memory ---- */

void mb_head_init(struct mb_head *head)
{
    memset(head, 0, sizeof(*head));
}

void mb_head_release(struct mb_head *head)
{
    free(head->host_name);
    free(head->program);
    free(head->entries);
    free(head->covers);
    mb_head_init(head);
}

static int check_entry(const struct mb_head_entry *entry, int64_t last_before, struct mb_error *err)
{
    uint8_t digest[MB_DIGEST_SIZE];
    int64_t named = 0;

    if (entry->first <= last_before || entry->last < entry->first ||
        entry->last > MB_HEAD_SEQUENCE_MAX) {
        return mb_error_set(err, MB_ERR_CORRUPT, "segments out of order");
    }
    if (!parse_name(entry->name, &named, digest, sizeof(digest)) || named != entry->last) {
        return mb_error_set(err, MB_ERR_CORRUPT, "wrong name of segment %" PRId64, entry->last);
    }
    if (entry->size_bytes < 0 || entry->size_bytes > (int64_t)MB_LIMIT_SEGMENT_BYTES ||
        entry->record_count < 0 || entry->record_count > MB_LIMIT_SEGMENT_RECORDS) {
        return mb_error_set(err, MB_ERR_CORRUPT, "size of segment %" PRId64 " out of range",
                            entry->last);
    }
    return 0;
}

/* The rules that both directions check. */
static int check_head(const struct mb_head *head, struct mb_error *err)
{
    int64_t last = 0;

    if (head->sequence < 1 || head->sequence > MB_HEAD_SEQUENCE_MAX) {
        return mb_error_set(err, MB_ERR_CORRUPT, "sequence number out of range");
    }
    if (head->entry_count > ENTRIES_MAX || head->cover_count > COVERS_MAX) {
        return mb_error_set(err, MB_ERR_CORRUPT, "head of more than %d segments or %d machines",
                            ENTRIES_MAX, COVERS_MAX);
    }
    for (size_t i = 0; i < head->entry_count; i++) {
        if (check_entry(&head->entries[i], last, err) != 0) {
            return -1;
        }
        last = head->entries[i].last;
    }
    for (size_t i = 0; i < head->cover_count; i++) {
        const struct mb_head_cover *cover = &head->covers[i];

        if (cover->sequence < 0 || cover->sequence > MB_HEAD_SEQUENCE_MAX) {
            return mb_error_set(err, MB_ERR_CORRUPT, "cover out of range");
        }
        if (i > 0 && memcmp(cover[-1].machine, cover->machine, MB_MACHINE_ID_SIZE) >= 0) {
            return mb_error_set(err, MB_ERR_CORRUPT, "covers out of order");
        }
    }
    return 0;
}

/* ---- Encoding ---- */

static void add_hex(struct mb_json *parent, const char *key, const uint8_t *data, size_t size)
{
    char hex[MB_DIGEST_HEX_SIZE];

    MB_ASSERT(size <= MB_DIGEST_SIZE);
    mb_digest_hex(data, size, hex);
    mb_json_add_text(parent, key, hex);
}

/* Host names come from the system, which promises neither UTF-8 nor a length. */
static void add_cleaned(struct mb_json *parent, const char *key, const char *text, size_t size_max)
{
    char clean[HOST_NAME_SIZE_MAX + 1];

    MB_ASSERT(size_max < sizeof(clean));
    text = text != NULL ? text : "";
    mb_text_clean(clean, size_max + 1, text, strlen(text));
    mb_json_add_text(parent, key, clean);
}

static struct mb_json *to_json(const struct mb_head *head)
{
    struct mb_json *json = mb_json_new_object();
    struct mb_json *array = NULL;

    add_hex(json, "machine", head->machine, MB_MACHINE_ID_SIZE);
    mb_json_add_int64(json, "sequence", head->sequence);
    mb_json_add_int64(json, "time", head->time_ms);
    add_cleaned(json, "host", head->host_name, HOST_NAME_SIZE_MAX);
    add_cleaned(json, "program", head->program, PROGRAM_SIZE_MAX);
    array = mb_json_add_array(json, "entries");
    for (size_t i = 0; i < head->entry_count; i++) {
        const struct mb_head_entry *entry = &head->entries[i];
        struct mb_json *node = mb_json_add_object(array, NULL);

        mb_json_add_int64(node, "first", entry->first);
        mb_json_add_int64(node, "last", entry->last);
        add_hex(node, "chain", entry->chain, MB_CHAIN_SIZE);
        mb_json_add_text(node, "name", entry->name);
        mb_json_add_int64(node, "bytes", entry->size_bytes);
        mb_json_add_int64(node, "records", entry->record_count);
        if (entry->is_lost) {
            mb_json_add_bool(node, "lost", true);
        }
    }
    array = mb_json_add_array(json, "covers");
    for (size_t i = 0; i < head->cover_count; i++) {
        struct mb_json *node = mb_json_add_object(array, NULL);

        add_hex(node, "machine", head->covers[i].machine, MB_MACHINE_ID_SIZE);
        mb_json_add_int64(node, "sequence", head->covers[i].sequence);
        add_hex(node, "chain", head->covers[i].chain, MB_CHAIN_SIZE);
    }
    if (head->has_digest) {
        add_hex(json, "digest", head->digest, sizeof(head->digest));
    }
    return json;
}

static char *make_key(const struct mb_head *head, const struct mb_buf *body)
{
    char machine[MB_MACHINE_ID_HEX_SIZE];
    char hash[2 * KEY_HASH_SIZE + 1];
    uint8_t digest[MB_DIGEST_SIZE];

    mb_digest_sha256(body->data, body->size, digest);
    mb_digest_hex(head->machine, MB_MACHINE_ID_SIZE, machine);
    mb_digest_hex(digest, KEY_HASH_SIZE, hash);
    return mb_alloc_format(KEY_PREFIX "%s/%010" PRId64 "-%s", machine, head->sequence, hash);
}

int mb_head_encode(const struct mb_head *head, struct mb_buf *body, char **key_out,
                   struct mb_error *err)
{
    struct mb_json *json = NULL;
    char *text = NULL;
    int rc = -1;

    mb_buf_clear(body);
    if (check_head(head, err) != 0) {
        goto out;
    }
    json = to_json(head);
    text = mb_json_print(json, false);
    if (mb_pack_append_header(body, MB_PACK_HEAD, err) != 0 ||
        mb_pack_append_frame(body, text, strlen(text), err) != 0) {
        goto out;
    }
    if (body->size > MB_LIMIT_HEAD_BYTES || strlen(text) > RAW_BYTES_MAX) {
        (void)mb_error_set(err, MB_ERR_LIMIT, "head of %zu bytes", body->size);
        goto out;
    }
    *key_out = make_key(head, body);
    rc = 0;
out:
    if (rc != 0) {
        mb_buf_clear(body);
        (void)mb_error_wrap(err, "writing head %" PRId64, head->sequence);
    }
    free(text);
    mb_json_free(json);
    return rc;
}

/* ---- Decoding ---- */

static int get_hex(const struct mb_json *json, const char *path, uint8_t *data, size_t size,
                   struct mb_error *err)
{
    const char *text = NULL;

    if (mb_json_text(json, path, &text, err) != 0) {
        return -1;
    }
    if (strlen(text) != 2 * size || !mb_digest_unhex(text, data, size)) {
        return mb_error_set(err, MB_ERR_CORRUPT, "'%s' is not %zu hex digits", path, 2 * size);
    }
    return 0;
}

static int get_copy(const struct mb_json *json, const char *path, size_t size_max, char **text_out,
                    struct mb_error *err)
{
    const char *text = NULL;

    if (mb_json_text(json, path, &text, err) != 0) {
        return -1;
    }
    if (strlen(text) > size_max) {
        return mb_error_set(err, MB_ERR_CORRUPT, "'%s' is longer than %zu bytes", path, size_max);
    }
    *text_out = mb_alloc_text(text);
    return 0;
}

static int get_entry(const struct mb_json *json, struct mb_head_entry *entry, struct mb_error *err)
{
    const char *name = NULL;

    if (mb_json_int64(json, "first", &entry->first, err) != 0 ||
        mb_json_int64(json, "last", &entry->last, err) != 0 ||
        get_hex(json, "chain", entry->chain, MB_CHAIN_SIZE, err) != 0 ||
        mb_json_text(json, "name", &name, err) != 0 ||
        mb_json_int64(json, "bytes", &entry->size_bytes, err) != 0 ||
        mb_json_int64(json, "records", &entry->record_count, err) != 0) {
        return -1;
    }
    if (mb_json_find(json, "lost") != NULL &&
        mb_json_bool(json, "lost", &entry->is_lost, err) != 0) {
        return -1;
    }
    if (strlen(name) >= sizeof(entry->name)) {
        return mb_error_set(err, MB_ERR_CORRUPT, "name of a segment is too long");
    }
    memcpy(entry->name, name, strlen(name) + 1);
    return 0;
}

static int get_cover(const struct mb_json *json, struct mb_head_cover *cover, struct mb_error *err)
{
    if (get_hex(json, "machine", cover->machine, MB_MACHINE_ID_SIZE, err) != 0 ||
        mb_json_int64(json, "sequence", &cover->sequence, err) != 0 ||
        get_hex(json, "chain", cover->chain, MB_CHAIN_SIZE, err) != 0) {
        return -1;
    }
    return 0;
}

/* Gives the array at path if it has at most count_max objects in it and nothing else. */
static int get_objects(const struct mb_json *json, const char *path, size_t count_max,
                       const struct mb_json **array_out, struct mb_error *err)
{
    const struct mb_json *array = NULL;

    if (mb_json_array(json, path, &array, err) != 0) {
        return -1;
    }
    if (mb_json_count(array) > count_max) {
        return mb_error_set(err, MB_ERR_CORRUPT, "more than %zu '%s'", count_max, path);
    }
    for (const struct mb_json *p = mb_json_first(array); p != NULL; p = mb_json_next(p)) {
        if (mb_json_type(p) != MB_JSON_OBJECT) {
            return mb_error_set(err, MB_ERR_CORRUPT, "'%s' of a wrong form", path);
        }
    }
    *array_out = array;
    return 0;
}

static int from_json(const struct mb_json *json, struct mb_head *head, struct mb_error *err)
{
    const struct mb_json *entries = NULL;
    const struct mb_json *covers = NULL;

    if (mb_json_type(json) != MB_JSON_OBJECT) {
        return mb_error_set(err, MB_ERR_CORRUPT, "not an object");
    }
    if (get_hex(json, "machine", head->machine, MB_MACHINE_ID_SIZE, err) != 0 ||
        mb_json_int64(json, "sequence", &head->sequence, err) != 0 ||
        mb_json_int64(json, "time", &head->time_ms, err) != 0 ||
        get_copy(json, "host", HOST_NAME_SIZE_MAX, &head->host_name, err) != 0 ||
        get_copy(json, "program", PROGRAM_SIZE_MAX, &head->program, err) != 0 ||
        get_objects(json, "entries", ENTRIES_MAX, &entries, err) != 0 ||
        get_objects(json, "covers", COVERS_MAX, &covers, err) != 0) {
        return -1;
    }
    if (mb_json_find(json, "digest") != NULL) {
        head->has_digest = true;
        if (get_hex(json, "digest", head->digest, sizeof(head->digest), err) != 0) {
            return -1;
        }
    }
    head->entries = mb_alloc_zeroed(mb_json_count(entries), sizeof(*head->entries));
    for (const struct mb_json *p = mb_json_first(entries); p != NULL; p = mb_json_next(p)) {
        if (get_entry(p, &head->entries[head->entry_count++], err) != 0) {
            return -1;
        }
    }
    head->covers = mb_alloc_zeroed(mb_json_count(covers), sizeof(*head->covers));
    for (const struct mb_json *p = mb_json_first(covers); p != NULL; p = mb_json_next(p)) {
        if (get_cover(p, &head->covers[head->cover_count++], err) != 0) {
            return -1;
        }
    }
    return check_head(head, err);
}

static int check_body(const void *body, size_t size, const uint8_t hash[static KEY_HASH_SIZE],
                      struct mb_error *err)
{
    uint8_t digest[MB_DIGEST_SIZE];

    if (size > MB_LIMIT_HEAD_BYTES) {
        return mb_error_set(err, MB_ERR_CORRUPT, "head of %zu bytes", size);
    }
    mb_digest_sha256(body, size, digest);
    if (memcmp(digest, hash, KEY_HASH_SIZE) != 0) {
        return mb_error_set(err, MB_ERR_CORRUPT, "content does not match its SHA-256");
    }
    return 0;
}

int mb_head_decode(const char *key, const void *body, size_t size, struct mb_head *head_out,
                   struct mb_error *err)
{
    static const struct mb_json_limits limits = {
        .size_max = RAW_BYTES_MAX,
        .depth_max = MB_LIMIT_JSON_DEPTH,
        .value_count_max = MB_LIMIT_JSON_VALUES,
    };
    uint8_t machine[MB_MACHINE_ID_SIZE];
    uint8_t hash[KEY_HASH_SIZE];
    int64_t sequence = 0;
    struct mb_json *json = NULL;
    struct mb_head head;
    struct mb_buf text;
    int rc = -1;

    mb_head_init(&head);
    mb_buf_init(&text, RAW_BYTES_MAX);
    if (!parse_key(key, machine, &sequence, hash)) {
        (void)mb_error_set(err, MB_ERR_CORRUPT, "wrong name of a head");
        goto out;
    }
    if (check_body(body, size, hash, err) != 0 ||
        mb_pack_unpack(body, size, MB_PACK_HEAD, &text, err) != 0 ||
        mb_json_parse(mb_buf_text(&text), text.size, &limits, &json, err) != 0 ||
        from_json(json, &head, err) != 0) {
        goto out;
    }
    if (memcmp(head.machine, machine, MB_MACHINE_ID_SIZE) != 0 || head.sequence != sequence) {
        (void)mb_error_set(err, MB_ERR_CORRUPT, "head of another machine or sequence number");
        goto out;
    }
    *head_out = head;
    mb_head_init(&head); /* handed over */
    rc = 0;
out:
    if (rc != 0) {
        err->code = err->code == MB_ERR_LIMIT ? MB_ERR_CORRUPT : err->code;
        (void)mb_error_wrap(err, "reading a head");
    }
    mb_json_free(json);
    mb_buf_release(&text);
    mb_head_release(&head);
    return rc;
}
