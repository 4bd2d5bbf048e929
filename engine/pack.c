/* SPDX-License-Identifier: MIT */
#include "pack.h"

#include "alloc.h"
#include "assert.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "banned.h"

#define MAGIC "MBRG"
#define MAGIC_SIZE 4
#define FORMAT_VERSION 1
#define FLAG_ZSTD 0x01
#define FLAG_ENCRYPTED 0x02

/* What one session adds is small, sent often and kept for good: it is packed harder (8 % less for
 * a millisecond); much at once is packed fast. */
#define LEVEL_SMALL 9
#define LEVEL_LARGE 3
#define SMALL_SIZE_MAX ((size_t)256 * 1024)
#define WINDOW_LOG_MIN 10 /* ZSTD_WINDOWLOG_ABSOLUTEMIN */
#define WINDOW_LOG_MAX 27
#define CHUNK_SIZE ((size_t)256 * 1024)

/* zstd frames in a row, being unpacked. */
struct frames {
    ZSTD_DCtx *context;
    ZSTD_inBuffer input; /* borrowed */
    size_t frame_count;
    bool is_inside; /* a frame has begun and not ended */
    size_t raw_size;
    size_t raw_size_max;
};

struct mb_pack_reader {
    struct frames frames;
    size_t line_size_max;
    char *buffer;
    size_t capacity;
    size_t start;   /* of what was not handed out */
    size_t scanned; /* no line ends in [start, scanned) */
    size_t end;     /* of what was unpacked */
    bool is_broken;
};

int mb_pack_append_header(struct mb_buf *buf, enum mb_pack_kind kind, struct mb_error *err)
{
    const uint8_t header[MB_PACK_HEADER_SIZE] = {
        'M', 'B', 'R', 'G', (uint8_t)kind, FORMAT_VERSION, FLAG_ZSTD, 0};

    MB_ASSERT(kind == MB_PACK_HEAD || kind == MB_PACK_SEGMENT);
    return mb_buf_append(buf, header, sizeof(header), err);
}

int mb_pack_append_frame(struct mb_buf *buf, const void *data, size_t size, struct mb_error *err)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    size_t bound = ZSTD_compressBound(size);
    size_t packed_size = 0;
    void *packed = NULL;
    int rc = -1;

    if (context == NULL || ZSTD_isError(bound)) {
        (void)mb_error_set(err, MB_ERR_FAILED, "cannot pack %zu bytes", size);
        goto out;
    }
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel,
                                 size <= SMALL_SIZE_MAX ? LEVEL_SMALL : LEVEL_LARGE);
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1);
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    /* Beside buf and not in it: the bound may pass buf's maximum where the frame does not. */
    packed = mb_alloc(bound);
    packed_size = ZSTD_compress2(context, packed, bound, data, size);
    if (ZSTD_isError(packed_size)) {
        (void)mb_error_set(err, MB_ERR_FAILED, "cannot pack %zu bytes: %s", size,
                           ZSTD_getErrorName(packed_size));
        goto out;
    }
    rc = mb_buf_append(buf, packed, packed_size, err);
out:
    free(packed);
    (void)ZSTD_freeCCtx(context);
    return rc;
}

int mb_pack_check_header(const void *data, size_t size, enum mb_pack_kind kind,
                         struct mb_error *err)
{
    const uint8_t *header = data;

    if (size < MB_PACK_HEADER_SIZE || memcmp(header, MAGIC, MAGIC_SIZE) != 0) {
        return mb_error_set(err, MB_ERR_CORRUPT, "not an object of membridge's");
    }
    /* Before the kind: where a later version keeps it is not for us to say. */
    if (header[5] != FORMAT_VERSION) {
        return mb_error_set(err, MB_ERR_FORMAT,
                            "object of format version %d; this is membridge for %d", header[5],
                            FORMAT_VERSION);
    }
    if (header[4] != (uint8_t)kind) {
        return mb_error_set(err, MB_ERR_CORRUPT, "object of another kind (0x%02x, expected 0x%02x)",
                            header[4], (unsigned)kind);
    }
    if ((header[6] & FLAG_ENCRYPTED) != 0) {
        return mb_error_set(err, MB_ERR_FORMAT,
                            "object is encrypted, which this version cannot read");
    }
    if (header[6] != FLAG_ZSTD || header[7] != 0) {
        return mb_error_set(err, MB_ERR_FORMAT, "object with unknown flags 0x%02x 0x%02x",
                            header[6], header[7]);
    }
    return 0;
}

/* ---- Frames ---- */

/* No window need be larger than all that may come out. */
static int window_log(size_t raw_size_max)
{
    int log = WINDOW_LOG_MIN;

    while (log < WINDOW_LOG_MAX && ((size_t)1 << log) < raw_size_max) {
        log++;
    }
    return log;
}

static int frames_init(struct frames *frames, const void *data, size_t size, enum mb_pack_kind kind,
                       size_t raw_size_max, struct mb_error *err)
{
    memset(frames, 0, sizeof(*frames));
    if (mb_pack_check_header(data, size, kind, err) != 0) {
        return -1;
    }
    frames->input.src = data;
    frames->input.size = size;
    frames->input.pos = MB_PACK_HEADER_SIZE;
    frames->raw_size_max = raw_size_max;
    frames->context = ZSTD_createDCtx();
    if (frames->context == NULL) {
        return mb_error_set(err, MB_ERR_FAILED, "cannot start unpacking");
    }
    (void)ZSTD_DCtx_setParameter(frames->context, ZSTD_d_windowLogMax, window_log(raw_size_max));
    return 0;
}

static void frames_release(struct frames *frames)
{
    (void)ZSTD_freeDCtx(frames->context);
}

/* zstd would pass over skippable frames, and may take frames older than 1.0: neither is ours. */
static bool is_frame_start(const struct frames *frames)
{
    static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    const uint8_t *data = frames->input.src;

    return frames->input.size - frames->input.pos >= sizeof(magic) &&
           memcmp(data + frames->input.pos, magic, sizeof(magic)) == 0;
}

/* Unpacks up to size bytes. *size_out is 0 only at the end of the last frame. */
static int frames_read(struct frames *frames, void *data, size_t size, size_t *size_out,
                       struct mb_error *err)
{
    ZSTD_outBuffer output = {data, size, 0};

    MB_ASSERT(size > 0);
    while (output.pos == 0) {
        size_t before = frames->input.pos;
        size_t rc = 0;

        if (!frames->is_inside) {
            if (frames->input.pos == frames->input.size && frames->frame_count > 0) {
                break;
            }
            if (!is_frame_start(frames)) {
                return mb_error_set(err, MB_ERR_CORRUPT, "no zstd frame at byte %zu", before);
            }
            frames->is_inside = true;
            frames->frame_count++;
        }
        rc = ZSTD_decompressStream(frames->context, &output, &frames->input);
        if (ZSTD_isError(rc)) {
            bool is_ours = ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation;

            return mb_error_set(err, is_ours ? MB_ERR_FAILED : MB_ERR_CORRUPT,
                                "cannot unpack what follows byte %zu: %s", before,
                                ZSTD_getErrorName(rc));
        }
        frames->is_inside = rc != 0;
        if (frames->is_inside && output.pos == 0 && frames->input.pos == before) {
            return mb_error_set(err, MB_ERR_CORRUPT, "the last zstd frame is cut short");
        }
    }
    if (output.pos > frames->raw_size_max - frames->raw_size) {
        return mb_error_set(err, MB_ERR_CORRUPT, "more than %zu bytes when unpacked",
                            frames->raw_size_max);
    }
    frames->raw_size += output.pos;
    *size_out = output.pos;
    return 0;
}

int mb_pack_unpack(const void *data, size_t size, enum mb_pack_kind kind, struct mb_buf *buf,
                   struct mb_error *err)
{
    struct frames frames;
    uint8_t *chunk = NULL;
    size_t before = buf->size;
    size_t chunk_size = 0;
    int rc = -1;

    if (frames_init(&frames, data, size, kind, buf->size_max - buf->size, err) != 0) {
        goto out;
    }
    chunk = mb_alloc(CHUNK_SIZE);
    do {
        if (frames_read(&frames, chunk, CHUNK_SIZE, &chunk_size, err) != 0 ||
            mb_buf_append(buf, chunk, chunk_size, err) != 0) {
            goto out;
        }
    } while (chunk_size > 0);
    rc = 0;
out:
    if (rc != 0 && buf->data != NULL) {
        buf->size = before;
        buf->data[before] = '\0';
    }
    free(chunk);
    frames_release(&frames);
    return rc;
}

/* ---- Lines ---- */

int mb_pack_reader_new(const void *data, size_t size, enum mb_pack_kind kind, size_t raw_size_max,
                       size_t line_size_max, struct mb_pack_reader **reader_out,
                       struct mb_error *err)
{
    struct mb_pack_reader *reader = mb_alloc_zeroed(1, sizeof(*reader));

    if (frames_init(&reader->frames, data, size, kind, raw_size_max, err) != 0) {
        mb_pack_reader_free(reader);
        return -1;
    }
    reader->line_size_max = line_size_max;
    *reader_out = reader;
    return 0;
}

/* Makes room behind what waits and unpacks into it. *size_out is 0 at the end. */
static int fill(struct mb_pack_reader *reader, size_t *size_out, struct mb_error *err)
{
    if (reader->start > 0) {
        memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->scanned -= reader->start;
        reader->start = 0;
    }
    if (reader->capacity - reader->end < CHUNK_SIZE / 4) {
        reader->capacity = reader->capacity > 0 ? 2 * reader->capacity : CHUNK_SIZE;
        reader->buffer = mb_alloc_resize(reader->buffer, reader->capacity, 1);
    }
    return frames_read(&reader->frames, reader->buffer + reader->end,
                       reader->capacity - reader->end, size_out, err);
}

/* Finds the '\n' of the waiting line, unpacking as far as it takes; *end_out NULL: no more. */
static int find_line_end(struct mb_pack_reader *reader, char **end_out, struct mb_error *err)
{
    char *end = NULL;
    size_t size = 0;

    for (;;) {
        if (reader->end > reader->scanned) {
            end = memchr(reader->buffer + reader->scanned, '\n', reader->end - reader->scanned);
        }
        reader->scanned = end != NULL ? (size_t)(end - reader->buffer) : reader->end;
        if (reader->scanned - reader->start > reader->line_size_max) {
            return mb_error_set(err, MB_ERR_CORRUPT, "line of more than %zu bytes",
                                reader->line_size_max);
        }
        if (end != NULL) {
            break;
        }
        if (fill(reader, &size, err) != 0) {
            return -1;
        }
        if (size == 0 && reader->end > reader->start) {
            return mb_error_set(err, MB_ERR_CORRUPT, "the last line is cut short");
        }
        if (size == 0) {
            break;
        }
        reader->end += size;
    }
    *end_out = end;
    return 0;
}

int mb_pack_reader_next(struct mb_pack_reader *reader, const char **line_out, size_t *size_out,
                        struct mb_error *err)
{
    char *end = NULL;

    if (reader->is_broken) {
        return mb_error_set(err, MB_ERR_CORRUPT, "the object is damaged");
    }
    if (find_line_end(reader, &end, err) != 0) {
        reader->is_broken = true;
        return -1;
    }
    if (end == NULL) {
        return 0;
    }
    *end = '\0';
    *line_out = reader->buffer + reader->start;
    *size_out = reader->scanned - reader->start;
    reader->scanned++;
    reader->start = reader->scanned;
    return 1;
}

void mb_pack_reader_free(struct mb_pack_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    frames_release(&reader->frames);
    free(reader->buffer);
    free(reader);
}
