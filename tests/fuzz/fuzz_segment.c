/* SPDX-License-Identifier: MIT */
/*
 * engine/pack and engine/record: a segment from the store. Its lines come out exactly and within
 * their limits, whichever way it is read; a record that was read is written, read and copied
 * without a change.
 *
 * Input: one byte. 'o': the rest is the object as it lies in the store. Else: the rest is its text,
 * which is packed here (no fuzzer finds the checksum of a frame) into frames of that many bytes.
 */
#include "alloc.h"
#include "fuzz.h"
#include "limits.h"
#include "pack.h"
#include "record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Small beside what inputs can unpack to, so that they are met. */
#define RAW_SIZE_MAX 30000
#define LINE_SIZE_MAX 3000

static void check_version(const struct mb_version *version)
{
    FUZZ_CHECK(version->hlc >= 0 && version->hlc <= MB_LIMIT_HLC_MS);
}

static void check_value(const struct mb_value *value)
{
    FUZZ_CHECK(value->type >= MB_VALUE_NULL && value->type <= MB_VALUE_BLOB);
    if (value->type == MB_VALUE_TEXT || value->type == MB_VALUE_BLOB) {
        FUZZ_CHECK(value->data[value->size] == '\0');
    }
    FUZZ_CHECK(value->type != MB_VALUE_REAL || !isnan(value->real));
    FUZZ_CHECK(mb_record_value_equal(value, value));
}

static void check_form(const struct mb_record *record)
{
    FUZZ_CHECK(record->kind >= MB_RECORD_ROW && record->kind <= MB_RECORD_DELETE);
    FUZZ_CHECK(record->column_count <= MB_LIMIT_COLUMNS);
    FUZZ_CHECK(record->register_count <= MB_LIMIT_COLUMNS);
    FUZZ_CHECK(strlen(record->table) >= 1 && strlen(record->table) <= 64);
    check_version(&record->version);
    for (size_t i = 0; i < record->column_count; i++) {
        const struct mb_column *column = &record->columns[i];

        FUZZ_CHECK(mb_record_column(record, column->name) == column);
        check_value(&column->value);
    }
    for (size_t i = 0; i < record->register_count; i++) {
        const struct mb_register *reg = &record->registers[i];

        FUZZ_CHECK(mb_record_register(record, reg->name) == reg);
        check_version(&reg->version);
        check_version(&reg->parent);
        check_value(&reg->value);
    }
}

static void check_same_text(const char *a, const char *b)
{
    FUZZ_CHECK((a == NULL) == (b == NULL));
    FUZZ_CHECK(a == NULL || strcmp(a, b) == 0);
}

static void check_same(const struct mb_record *a, const struct mb_record *b)
{
    FUZZ_CHECK(a->kind == b->kind && a->copy == b->copy && a->is_decided == b->is_decided);
    FUZZ_CHECK(memcmp(a->row_id, b->row_id, MB_ROW_ID_SIZE) == 0);
    FUZZ_CHECK(mb_record_version_compare(&a->version, &b->version) == 0);
    FUZZ_CHECK(a->column_count == b->column_count && a->register_count == b->register_count);
    check_same_text(a->table, b->table);
    check_same_text(a->orphan, b->orphan);
    for (size_t i = 0; i < a->column_count; i++) {
        check_same_text(a->columns[i].name, b->columns[i].name);
        FUZZ_CHECK(mb_record_value_equal(&a->columns[i].value, &b->columns[i].value));
    }
    for (size_t i = 0; i < a->register_count; i++) {
        const struct mb_register *reg = &a->registers[i];
        const struct mb_register *other = &b->registers[i];

        check_same_text(reg->name, other->name);
        FUZZ_CHECK(mb_record_version_compare(&reg->version, &other->version) == 0);
        FUZZ_CHECK(mb_record_version_compare(&reg->parent, &other->parent) == 0);
        FUZZ_CHECK(mb_record_value_equal(&reg->value, &other->value));
    }
}

static void try_record(const char *line, size_t size)
{
    struct mb_record record;
    struct mb_record again;
    struct mb_record copy;
    struct mb_buf first;
    struct mb_buf second;
    struct mb_error err;

    if (mb_record_decode(line, size, &record, &err) != 0) {
        fuzz_check_error(&err);
        FUZZ_CHECK(err.code == MB_ERR_CORRUPT || err.code == MB_ERR_FORMAT);
        return;
    }
    mb_buf_init(&first, MB_LIMIT_RECORD_BYTES);
    mb_buf_init(&second, MB_LIMIT_RECORD_BYTES);
    check_form(&record);
    FUZZ_CHECK_OK(mb_record_encode(&record, &first, &err), &err);
    FUZZ_CHECK(memchr(first.data, '\n', first.size) == first.data + first.size - 1);
    FUZZ_CHECK_OK(mb_record_decode((char *)first.data, first.size - 1, &again, &err), &err);
    check_same(&record, &again);
    mb_record_copy(&record, &copy);
    mb_record_release(&record); /* the copy owns all it points at */
    check_same(&again, &copy);
    FUZZ_CHECK_OK(mb_record_encode(&copy, &second, &err), &err);
    FUZZ_CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    mb_record_release(&again);
    mb_record_release(&copy);
    mb_buf_release(&first);
    mb_buf_release(&second);
}

/* Reads it line by line. *whole_out: the lines joined; false if it was refused. */
static bool read_lines(const struct mb_buf *object, struct mb_buf *whole)
{
    struct mb_pack_reader *reader = NULL;
    const char *line = NULL;
    size_t size = 0;
    struct mb_error err;
    int step = -1;

    if (mb_pack_reader_new(object->data, object->size, MB_PACK_SEGMENT, RAW_SIZE_MAX, LINE_SIZE_MAX,
                           &reader, &err) == 0) {
        while ((step = mb_pack_reader_next(reader, &line, &size, &err)) == 1) {
            FUZZ_CHECK(size <= LINE_SIZE_MAX);
            FUZZ_CHECK(memchr(line, '\n', size) == NULL && line[size] == '\0');
            FUZZ_CHECK_OK(mb_buf_append(whole, line, size, &err), &err);
            FUZZ_CHECK_OK(mb_buf_append(whole, "\n", 1, &err), &err);
            try_record(line, size);
        }
        if (step != 0) {
            struct mb_error later;

            fuzz_check_error(&err);
            FUZZ_CHECK(mb_pack_reader_next(reader, &line, &size, &later) == -1);
        }
    }
    mb_pack_reader_free(reader);
    return step == 0;
}

static void pack(struct fuzz_input *input, size_t frame_size, struct mb_buf *object)
{
    struct mb_error err;

    FUZZ_CHECK_OK(mb_pack_append_header(object, MB_PACK_SEGMENT, &err), &err);
    do {
        size_t size = input->size < frame_size ? input->size : frame_size;

        FUZZ_CHECK_OK(mb_pack_append_frame(object, input->data, size, &err), &err);
        input->data += size;
        input->size -= size;
    } while (input->size > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);
    struct fuzz_input text = input;
    struct mb_buf object;
    struct mb_buf lines;
    struct mb_buf whole;
    struct mb_error err;
    bool is_read = false;
    bool is_unpacked = false;

    mb_buf_init(&object, MB_MIB);
    mb_buf_init(&lines, RAW_SIZE_MAX); /* a reader that gives more fails to be appended */
    mb_buf_init(&whole, RAW_SIZE_MAX);
    if (kind == 'o') {
        FUZZ_CHECK_OK(mb_buf_append(&object, input.data, input.size, &err), &err);
    } else {
        pack(&input, (size_t)kind + 16, &object);
    }
    is_read = read_lines(&object, &lines);
    is_unpacked = mb_pack_unpack(object.data, object.size, MB_PACK_SEGMENT, &whole, &err) == 0;
    if (is_read) {
        FUZZ_CHECK_OK(is_unpacked ? 0 : -1, &err);
        FUZZ_CHECK(lines.size == whole.size);
        FUZZ_CHECK(whole.size == 0 || memcmp(lines.data, whole.data, whole.size) == 0);
    }
    if (kind != 'o' && text.size <= RAW_SIZE_MAX) {
        FUZZ_CHECK_OK(is_unpacked ? 0 : -1, &err);
        FUZZ_CHECK(whole.size == text.size);
        FUZZ_CHECK(whole.size == 0 || memcmp(text.data, whole.data, whole.size) == 0);
    }
    mb_buf_release(&object);
    mb_buf_release(&lines);
    mb_buf_release(&whole);
    return 0;
}
