/* SPDX-License-Identifier: MIT */
#ifndef MB_PACK_H
#define MB_PACK_H

/*
 * What stands around the content of every object of ours: eight bytes that say what it is, then
 * zstd frames.
 *
 *   offset 0  4  "MBRG"
 *          4  1  kind: 'H' head, 'S' segment
 *          5  1  format version, 1
 *          6  1  flags: bit 0 zstd; bit 1 kept for client-side encryption; others refused
 *          7  1  0
 *
 * An unknown version or flag is MB_ERR_FORMAT, never guessed at. The content is one or more zstd
 * frames (RFC 8878), concatenated: the blocks of the outbox become a segment without being packed
 * again. The only file that includes <zstd.h> is pack.c.
 */

#include "buf.h"
#include "error.h"

#include <stdint.h>

#define MB_PACK_HEADER_SIZE 8

enum mb_pack_kind { MB_PACK_HEAD = 'H', MB_PACK_SEGMENT = 'S' };

/* Appends the eight bytes (zstd set). */
MB_MUST_USE int mb_pack_append_header(struct mb_buf *buf, enum mb_pack_kind kind,
                                      struct mb_error *err);

/*
 * Appends data as one zstd frame (with its content size and checksum). The same data gives
 * the same bytes as long as libzstd is the same. MB_ERR_LIMIT (buf's maximum).
 */
MB_MUST_USE int mb_pack_append_frame(struct mb_buf *buf, const void *data, size_t size,
                                     struct mb_error *err);

/* Checks an object's header: MB_ERR_CORRUPT (not ours, or of another kind), MB_ERR_FORMAT. */
MB_MUST_USE int mb_pack_check_header(const void *data, size_t size, enum mb_pack_kind kind,
                                     struct mb_error *err);

/*
 * Appends the content of a whole small object (header included) to buf, whose maximum is the limit:
 * MB_ERR_CORRUPT past it. On failure buf is as before.
 */
MB_MUST_USE int mb_pack_unpack(const void *data, size_t size, enum mb_pack_kind kind,
                               struct mb_buf *buf, struct mb_error *err);

/*
 * Reads an object's lines one by one; memory is one line and one window. `data` (header included)
 * is borrowed for the reader's life. Refuses as MB_ERR_CORRUPT more than raw_size_max bytes in all
 * (a bomb), lines over line_size_max, zstd windows over 128 MiB or over what may come out, and
 * anything but whole frames.
 */
struct mb_pack_reader;
MB_MUST_USE int mb_pack_reader_new(const void *data, size_t size, enum mb_pack_kind kind,
                                   size_t raw_size_max, size_t line_size_max,
                                   struct mb_pack_reader **reader_out, struct mb_error *err);
/*
 * 1: *line_out (borrowed until the next call, NUL behind it) without its '\n'; 0: the end; -1:
 * error, and every later call fails too. The last line must end in '\n', and the last frame must be
 * whole. What was read is not known to be whole before 0 was returned.
 */
MB_MUST_USE int mb_pack_reader_next(struct mb_pack_reader *reader, const char **line_out,
                                    size_t *size_out, struct mb_error *err);
void mb_pack_reader_free(struct mb_pack_reader *reader);

#endif
