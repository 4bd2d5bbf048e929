/* SPDX-License-Identifier: MIT */
#ifndef MB_LIMITS_H
#define MB_LIMITS_H

/*
 * Every limit has a name and a reason. Data from outside is checked against these before memory is
 * taken for it.
 */

#include <stddef.h>
#include <stdint.h>

#define MB_KIB ((size_t)1024)
#define MB_MIB (MB_KIB * 1024)

/* Keys: S3 allows 1,024 bytes; ours are under 200. */
#define MB_LIMIT_KEY_BYTES 512
/* A head is under 2 KiB in normal life; a stream of thousands of large segments still fits. */
#define MB_LIMIT_HEAD_BYTES (256 * MB_KIB)
/* A segment as stored. Ours are cut at MB_SEGMENT_RAW_TARGET; one row of 20 MB (seen in the field)
 * still fits. */
#define MB_LIMIT_SEGMENT_BYTES (128 * MB_MIB)
/* A segment unpacked: refuses a bomb (1 GB of zeros in 1 KB) before it fills memory. */
#define MB_LIMIT_SEGMENT_RAW_BYTES (256 * MB_MIB)
/* One row as a line of JSON. Rows of 20 MB exist; control characters take six bytes each in
 * JSON. */
#define MB_LIMIT_RECORD_BYTES (192 * MB_MIB)
/* Records of one segment, so that a hostile one cannot make us loop for days. */
#define MB_LIMIT_SEGMENT_RECORDS 4000000
/* Where a segment is cut when much is sent at once. */
#define MB_SEGMENT_RAW_TARGET (8 * MB_MIB)
/* One block of the outbox (one zstd frame). */
#define MB_OUTBOX_RAW_TARGET (512 * MB_KIB)
/* JSON from the bucket: our records nest 3 deep and have under 100 values. */
#define MB_LIMIT_JSON_DEPTH 16
#define MB_LIMIT_JSON_VALUES 100000
/* Columns of one table; SQLite's own default limit is 2,000. */
#define MB_LIMIT_COLUMNS 256
/* Heads in one project: machines, plus old heads that a killed push left. */
#define MB_LIMIT_HEADS 100000
/* Objects of one listing. */
#define MB_LIMIT_LISTING 10000000
/* Versions: milliseconds up to the year 9999, so that the logical clock can always go on from
 * there. */
#define MB_LIMIT_HLC_MS 253402300799999
/* A row's own creation time counts up to the year 2100: a value that was never changed must not
 * beat every change to come. */
#define MB_LIMIT_CREATED_MS 4102444800000
/* Versions from other machines: at most so far ahead of our clock (or of 2026, if that is behind).
 * What is later could not be outdone by anybody. 100 years: no honest clock is that wrong. */
#define MB_LIMIT_AHEAD_MS ((int64_t)100 * 366 * 24 * 3600 * 1000)
#define MB_LIMIT_AHEAD_BASE_MS 1767225600000
/* config.env; people keep a few dozen lines in it. */
#define MB_LIMIT_CONFIG_BYTES (256 * MB_KIB)

#endif
