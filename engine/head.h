/* SPDX-License-Identifier: MIT */
#ifndef MB_HEAD_H
#define MB_HEAD_H

/*
 * A machine's head: the list of its segments, what it covers, and its digest. Immutable; put under
 * heads/<machine id>/<sequence>-<hash>. The greatest sequence is the one that counts. See
 * docs/FORMAT.md.
 *
 * Key and body are pure functions of struct mb_head (and of libzstd): the same head is the same key
 * with the same bytes.
 */

#include "digest.h"
#include "record.h"

#define MB_CHAIN_SIZE 16
/* 14 digits: a sequence number, and with it MB_SEGMENT_NAME_SIZE, cannot be outgrown. */
#define MB_HEAD_SEQUENCE_MAX INT64_C(99999999999999)
#define MB_SEGMENT_NAME_SIZE 80 /* "<last sequence, 10 to 14 digits>-<64 hex>" and a NUL */

/*
 * One segment of a stream. Chain of an entry = first 16 bytes of SHA-256(chain of the one before
 * (zeros for the first), last sequence as 8 bytes big-endian, SHA-256 of the segment object); a
 * fold keeps the chain of the last that it replaces.
 */
struct mb_head_entry {
    int64_t first; /* sequence numbers of the pushes it holds, from 1 */
    int64_t last;
    uint8_t chain[MB_CHAIN_SIZE];
    char name[MB_SEGMENT_NAME_SIZE]; /* below segments/<machine id>/; starts with `last` */
    int64_t size_bytes;
    int64_t record_count;
    bool is_lost; /* its object is gone from the store; readers skip it */
};

/* What the machine had read of another stream (and of its own) when it wrote the head. */
struct mb_head_cover {
    uint8_t machine[MB_MACHINE_ID_SIZE];
    int64_t sequence; /* 0: nothing yet */
    uint8_t chain[MB_CHAIN_SIZE];
};

struct mb_head {
    uint8_t machine[MB_MACHINE_ID_SIZE];
    int64_t sequence; /* of the head itself, from 1; every head put has a new one */
    int64_t time_ms;  /* the writer's wall clock, for people */
    char *host_name;  /* owned; for people; not trusted; cleaned (mb_text_clean) when written */
    char *program;    /* owned; "membridge 0.1.0" */
    struct mb_head_entry *entries; /* owned; ascending, without overlap; gaps allowed */
    size_t entry_count;
    struct mb_head_cover *covers; /* owned; ascending by machine, each once */
    size_t cover_count;
    uint8_t digest[16];
    bool has_digest; /* false while deletes are held, or records wait in the outbox */
};

void mb_head_init(struct mb_head *head);
void mb_head_release(struct mb_head *head);

/*
 * Clears body, appends the object (header and all), and writes the key below the project's root,
 * "heads/<machine>/<sequence, 10 digits>-<first 32 hex of the body's SHA-256>", into *key_out
 * (given). MB_ERR_LIMIT (MB_LIMIT_HEAD_BYTES or body's maximum); MB_ERR_CORRUPT for a head that
 * mb_head_decode() would refuse. body is empty after a failure.
 */
MB_MUST_USE int mb_head_encode(const struct mb_head *head, struct mb_buf *body, char **key_out,
                               struct mb_error *err);

/*
 * Checks the body against the hash, machine and sequence in `key`, then every field and limit.
 * MB_ERR_CORRUPT, MB_ERR_FORMAT. *head_out is given (release it), and written only on success.
 */
MB_MUST_USE int mb_head_decode(const char *key, const void *body, size_t size,
                               struct mb_head *head_out, struct mb_error *err);

/* Takes both out of a key "heads/<machine>/<sequence>-<hash>"; false if it is none. */
bool mb_head_parse_key(const char *key, uint8_t machine[static MB_MACHINE_ID_SIZE],
                       int64_t *sequence_out);

/* The chain of an entry from the chain before it. */
void mb_head_chain(const uint8_t before[static MB_CHAIN_SIZE], int64_t last,
                   const uint8_t segment_digest[static MB_DIGEST_SIZE],
                   uint8_t out[static MB_CHAIN_SIZE]);

/* "<last, 10 digits>-<64 hex>"; last is 1..MB_HEAD_SEQUENCE_MAX. */
void mb_head_segment_name(int64_t last, const uint8_t segment_digest[static MB_DIGEST_SIZE],
                          char out[static MB_SEGMENT_NAME_SIZE]);
/* The digest that ends a segment's name; false if the name is not of that form. */
bool mb_head_segment_digest(const char *name, uint8_t out[static MB_DIGEST_SIZE]);

#endif
