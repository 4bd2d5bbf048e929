/* SPDX-License-Identifier: MIT */

/*
 * Proves that what is packed comes back line by line, that frames may be concatenated, and that
 * nothing but whole frames of ours within the limits is taken: bombs, cut ends, other kinds,
 * later versions (to be run under ASan).
 */

#include "alloc.h"
#include "check.h"
#include "limits.h"
#include "pack.h"

#include <stdlib.h>
#include <string.h>

#define RAW_MAX (64 * MB_MIB)

static void add_frame(struct mb_buf *object, const char *text)
{
    struct mb_error err;

    CHECK_OK(mb_pack_append_frame(object, text, strlen(text), &err), &err);
}

static void start(struct mb_buf *object)
{
    struct mb_error err;

    mb_buf_init(object, RAW_MAX);
    CHECK_OK(mb_pack_append_header(object, MB_PACK_SEGMENT, &err), &err);
}

/* Reads all lines of a copy of exactly that size, so that ASan sees every byte read past it. */
static int read_all(const uint8_t *data, size_t size, size_t raw_max, size_t line_max,
                    size_t *count_out, struct mb_error *err)
{
    struct mb_pack_reader *reader = NULL;
    uint8_t *copy = mb_alloc_copy(data, size);
    const char *line = NULL;
    size_t line_size = 0;
    int rc = -1;

    *count_out = 0;
    if (mb_pack_reader_new(copy, size, MB_PACK_SEGMENT, raw_max, line_max, &reader, err) != 0) {
        goto out;
    }
    while ((rc = mb_pack_reader_next(reader, &line, &line_size, err)) == 1) {
        CHECK(line[line_size] == '\0');
        CHECK(memchr(line, '\n', line_size) == NULL);
        (*count_out)++;
    }
    if (rc != 0) {
        struct mb_error again;

        CHECK_FAILS(mb_pack_reader_next(reader, &line, &line_size, &again), &again, MB_ERR_CORRUPT);
    }
out:
    mb_pack_reader_free(reader);
    free(copy);
    return rc;
}

static int read_object(const struct mb_buf *object, size_t *count_out, struct mb_error *err)
{
    return read_all(object->data, object->size, RAW_MAX, RAW_MAX, count_out, err);
}

TEST(lines_come_back_across_frames)
{
    static const char *const expected[] = {"one", "", "two and three", "four"};
    struct mb_pack_reader *reader = NULL;
    struct mb_buf object;
    struct mb_error err;
    const char *line = NULL;
    size_t size = 0;

    start(&object);
    add_frame(&object, "one\n\ntwo a");
    add_frame(&object, "");
    add_frame(&object, "nd three\nfour\n");
    if (CHECK_OK(mb_pack_reader_new(object.data, object.size, MB_PACK_SEGMENT, RAW_MAX, 100,
                                    &reader, &err),
                 &err)) {
        for (size_t i = 0; i < 4; i++) {
            if (!CHECK_INT(mb_pack_reader_next(reader, &line, &size, &err), 1)) {
                break;
            }
            CHECK_TEXT(line, expected[i]);
            CHECK_INT(size, strlen(expected[i]));
        }
        CHECK_INT(mb_pack_reader_next(reader, &line, &size, &err), 0);
        CHECK_INT(mb_pack_reader_next(reader, &line, &size, &err), 0);
    }
    mb_pack_reader_free(reader);
    mb_buf_release(&object);
}

TEST(lines_of_all_lengths_come_back)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 262143, 262144, 262145, 3000000, 7};
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);
    struct mb_pack_reader *reader = NULL;
    struct mb_buf text;
    struct mb_buf object;
    struct mb_error err;
    const char *line = NULL;
    uint8_t *data = NULL;
    size_t size = 0;

    start(&object);
    mb_buf_init(&text, RAW_MAX);
    for (size_t i = 0; i < 10 * count; i++) {
        size = sizes[i % count];
        CHECK_OK(mb_buf_extend(&text, size + 1, &data, &err), &err);
        for (size_t j = 0; j < size; j++) {
            data[j] = (uint8_t)('a' + (i + j * j) % 23);
        }
        data[size] = '\n';
    }
    CHECK_OK(mb_pack_append_frame(&object, text.data, text.size, &err), &err);
    CHECK_OK(mb_pack_reader_new(object.data, object.size, MB_PACK_SEGMENT, RAW_MAX, 3000000,
                                &reader, &err),
             &err);
    data = text.data;
    for (size_t i = 0; i < 10 * count; i++) {
        if (!CHECK_INT(mb_pack_reader_next(reader, &line, &size, &err), 1) ||
            !CHECK_INT(size, sizes[i % count])) {
            break;
        }
        CHECK(memcmp(line, data, size) == 0);
        data += size + 1;
    }
    CHECK_INT(mb_pack_reader_next(reader, &line, &size, &err), 0);
    mb_pack_reader_free(reader);
    mb_buf_release(&text);
    mb_buf_release(&object);
}

TEST(unpack_gives_the_whole_content_or_nothing)
{
    struct mb_buf object;
    struct mb_buf content;
    struct mb_error err;

    start(&object);
    add_frame(&object, "hello ");
    add_frame(&object, "world");
    mb_buf_init(&content, 15);
    CHECK_OK(mb_buf_append_text(&content, "say:", &err), &err);
    CHECK_OK(mb_pack_unpack(object.data, object.size, MB_PACK_SEGMENT, &content, &err), &err);
    CHECK_TEXT(mb_buf_text(&content), "say:hello world");
    mb_buf_release(&content);
    mb_buf_init(&content, 14);
    CHECK_OK(mb_buf_append_text(&content, "say:", &err), &err);
    CHECK_FAILS(mb_pack_unpack(object.data, object.size, MB_PACK_SEGMENT, &content, &err), &err,
                MB_ERR_CORRUPT);
    CHECK_TEXT(mb_buf_text(&content), "say:");
    CHECK_FAILS(mb_pack_unpack(object.data, object.size, MB_PACK_HEAD, &content, &err), &err,
                MB_ERR_CORRUPT);
    mb_buf_release(&content);
    mb_buf_release(&object);
}

TEST(same_data_gives_the_same_bytes)
{
    struct mb_buf one;
    struct mb_buf two;

    start(&one);
    start(&two);
    add_frame(&one, "the same data, the same data, the same data\n");
    add_frame(&two, "the same data, the same data, the same data\n");
    if (CHECK_INT(one.size, two.size)) {
        CHECK_BYTES(one.data, two.data, one.size);
    }
    mb_buf_release(&one);
    mb_buf_release(&two);
}

TEST(frame_that_fits_is_appended_though_its_bound_does_not)
{
    struct mb_buf buf;
    struct mb_error err;
    char zeros[4000] = {0};

    mb_buf_init(&buf, 100);
    CHECK_OK(mb_pack_append_frame(&buf, zeros, sizeof(zeros), &err), &err);
    CHECK_FAILS(mb_pack_append_frame(&buf,
                                     "0123456789abcdefghijklmnopqrstuvwxyz-+#0123456789abcdef"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ.,:;!?=%&/()[]{}",
                                     98, &err),
                &err, MB_ERR_LIMIT);
    mb_buf_release(&buf);
}

TEST(header_of_another_kind_version_or_flag_is_refused)
{
    static const struct {
        size_t offset;
        uint8_t byte;
        enum mb_code code;
    } cases[] = {
        {0, 'm',  MB_ERR_CORRUPT},
        {3, 'Z',  MB_ERR_CORRUPT},
        {4, 'H',  MB_ERR_CORRUPT},
        {4, 'X',  MB_ERR_CORRUPT},
        {5, 0,    MB_ERR_FORMAT },
        {5, 2,    MB_ERR_FORMAT },
        {5, 255,  MB_ERR_FORMAT },
        {6, 0,    MB_ERR_FORMAT },
        {6, 2,    MB_ERR_FORMAT },
        {6, 3,    MB_ERR_FORMAT },
        {6, 5,    MB_ERR_FORMAT },
        {6, 0x81, MB_ERR_FORMAT },
        {7, 1,    MB_ERR_FORMAT },
    };
    struct mb_buf object;
    struct mb_error err;
    size_t count = 0;

    start(&object);
    add_frame(&object, "one\n");
    CHECK_OK(mb_pack_check_header(object.data, object.size, MB_PACK_SEGMENT, &err), &err);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t byte = object.data[cases[i].offset];

        object.data[cases[i].offset] = cases[i].byte;
        CHECK_FAILS(read_object(&object, &count, &err), &err, cases[i].code);
        object.data[cases[i].offset] = byte;
    }
    for (size_t size = 0; size < MB_PACK_HEADER_SIZE; size++) {
        CHECK_FAILS(mb_pack_check_header(object.data, size, MB_PACK_SEGMENT, &err), &err,
                    MB_ERR_CORRUPT);
    }
    mb_buf_release(&object);
}

TEST(cut_objects_and_trailing_bytes_are_refused)
{
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'};
    struct mb_buf object;
    struct mb_error err;
    size_t count = 0;
    size_t frame_end = 0;

    start(&object);
    add_frame(&object, "one\ntwo\n");
    frame_end = object.size;
    add_frame(&object, "three\n");
    for (size_t size = 0; size < object.size; size++) {
        int rc = read_all(object.data, size, RAW_MAX, RAW_MAX, &count, &err);

        if (size == frame_end) {
            CHECK_OK(rc, &err);
        } else {
            CHECK_FAILS(rc, &err, MB_ERR_CORRUPT);
        }
    }
    CHECK_OK(mb_buf_append(&object, "", 1, &err), &err);
    CHECK_FAILS(read_object(&object, &count, &err), &err, MB_ERR_CORRUPT);
    object.size--;
    CHECK_OK(mb_buf_append(&object, skippable, sizeof(skippable), &err), &err);
    CHECK_FAILS(read_object(&object, &count, &err), &err, MB_ERR_CORRUPT);
    mb_buf_release(&object);
}

TEST(last_line_without_its_end_is_refused)
{
    struct mb_buf object;
    struct mb_error err;
    size_t count = 0;

    start(&object);
    add_frame(&object, "one\ntwo");
    CHECK_FAILS(read_object(&object, &count, &err), &err, MB_ERR_CORRUPT);
    CHECK_INT(count, 1);
    mb_buf_release(&object);
}

TEST(every_changed_byte_is_refused)
{
    struct mb_buf object;
    struct mb_error err;
    size_t count = 0;

    start(&object);
    add_frame(&object, "one one one one one one one one one one\ntwo two two two two two\n");
    for (size_t i = 0; i < object.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            object.data[i] ^= (uint8_t)(1U << bit);
            /* The frame's checksum sees what the header's checks do not; some bits mean nothing. */
            if (read_object(&object, &count, &err) != 0) {
                CHECK(err.code == MB_ERR_CORRUPT || err.code == MB_ERR_FORMAT);
            } else {
                CHECK_INT(count, 2);
            }
            object.data[i] ^= (uint8_t)(1U << bit);
        }
    }
    mb_buf_release(&object);
}

TEST(bombs_are_refused_before_they_fill_memory)
{
    uint8_t *zeros = mb_alloc_zeroed(RAW_MAX, 1);
    uint8_t *frame = NULL;
    struct mb_buf object;
    struct mb_error err;
    size_t frame_size = 0;
    size_t count = 0;

    /* 1 GiB in 16 frames, first as one endless line, then as very many empty ones. */
    for (int newline = 0; newline < 2; newline++) {
        memset(zeros, newline ? '\n' : 0, RAW_MAX);
        start(&object);
        CHECK_OK(mb_pack_append_frame(&object, zeros, RAW_MAX, &err), &err);
        frame_size = object.size - MB_PACK_HEADER_SIZE;
        frame = mb_alloc_copy(object.data + MB_PACK_HEADER_SIZE, frame_size);
        for (int i = 1; i < 16; i++) {
            CHECK_OK(mb_buf_append(&object, frame, frame_size, &err), &err);
        }
        CHECK(object.size < MB_MIB);
        CHECK_FAILS(read_all(object.data, object.size, MB_MIB, MB_MIB, &count, &err), &err,
                    MB_ERR_CORRUPT);
        CHECK(count <= MB_MIB);
        if (newline == 0) {
            CHECK_FAILS(read_all(object.data, object.size, SIZE_MAX, MB_MIB, &count, &err), &err,
                        MB_ERR_CORRUPT);
        }
        free(frame);
        mb_buf_release(&object);
    }
    free(zeros);
}

TEST(line_limit_is_exact)
{
    struct mb_buf object;
    struct mb_error err;
    size_t count = 0;

    start(&object);
    add_frame(&object, "12345\n123456\n");
    CHECK_OK(read_all(object.data, object.size, 13, 6, &count, &err), &err);
    CHECK_INT(count, 2);
    CHECK_FAILS(read_all(object.data, object.size, 13, 5, &count, &err), &err, MB_ERR_CORRUPT);
    CHECK_INT(count, 1);
    CHECK_FAILS(read_all(object.data, object.size, 12, 6, &count, &err), &err, MB_ERR_CORRUPT);
    mb_buf_release(&object);
}

TEST_LIST(TEST_ROW(lines_come_back_across_frames), TEST_ROW(lines_of_all_lengths_come_back),
          TEST_ROW(unpack_gives_the_whole_content_or_nothing),
          TEST_ROW(same_data_gives_the_same_bytes),
          TEST_ROW(frame_that_fits_is_appended_though_its_bound_does_not),
          TEST_ROW(header_of_another_kind_version_or_flag_is_refused),
          TEST_ROW(cut_objects_and_trailing_bytes_are_refused),
          TEST_ROW(last_line_without_its_end_is_refused), TEST_ROW(every_changed_byte_is_refused),
          TEST_ROW(bombs_are_refused_before_they_fill_memory), TEST_ROW(line_limit_is_exact));
