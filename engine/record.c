/* SPDX-License-Identifier: MIT */
#include "assert.h"
#include "digest.h"
#include "json.h"
#include "limits.h"
#include "record_part.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "banned.h"

#define NAME_SIZE_MAX 64
#define COPY_MAX 1000000

const char *const mb_record_kind_names[MB_RECORD_DELETE + 1] = {
    [MB_RECORD_ROW] = "row",
    [MB_RECORD_REGISTERS] = "reg",
    [MB_RECORD_DELETE] = "del",
};

/* Appends until the first failure, and does nothing after it. */
struct writer {
    struct mb_buf *buf;
    struct mb_error *err;
    int rc;
};

/* ---- Finding by name ---- */

const struct mb_column *mb_record_column(const struct mb_record *record, const char *name)
{
    for (size_t i = 0; i < record->column_count; i++) {
        if (strcmp(record->columns[i].name, name) == 0) {
            return &record->columns[i];
        }
    }
    return NULL;
}

const struct mb_register *mb_record_register(const struct mb_record *record, const char *name)
{
    for (size_t i = 0; i < record->register_count; i++) {
        if (strcmp(record->registers[i].name, name) == 0) {
            return &record->registers[i];
        }
    }
    return NULL;
}

/* ---- The rules that both directions check ---- */

static bool is_name(const char *name)
{
    size_t size = 0;

    for (; name[size] != '\0' && size <= NAME_SIZE_MAX; size++) {
        char c = name[size];
        bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!is_letter && (size == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return size >= 1 && size <= NAME_SIZE_MAX;
}

static bool is_version(const struct mb_version *version)
{
    return version->hlc >= 0 && version->hlc <= MB_LIMIT_HLC_MS;
}

static bool is_value(const struct mb_value *value)
{
    MB_ASSERT(value->type >= MB_VALUE_NULL && value->type <= MB_VALUE_BLOB);
    return value->type != MB_VALUE_REAL || !isnan(value->real);
}

/* Names already known to be distinct are compared again: cheap, and encoding needs it. */
int mb_record_check(const struct mb_record *record, enum mb_code code, struct mb_error *err)
{
    if (!is_name(record->table)) {
        return mb_error_set(err, code, "record of a table whose name is not a plain name");
    }
    if (record->copy < 0 || record->copy > COPY_MAX) {
        return mb_error_set(err, code, "copy number out of range");
    }
    if (record->column_count > MB_LIMIT_COLUMNS || record->register_count > MB_LIMIT_COLUMNS) {
        return mb_error_set(err, code, "more than %d columns", MB_LIMIT_COLUMNS);
    }
    if (!is_version(&record->version)) {
        return mb_error_set(err, code, "version out of range");
    }
    for (size_t i = 0; i < record->column_count; i++) {
        const struct mb_column *column = &record->columns[i];

        if (!is_name(column->name) || mb_record_column(record, column->name) != column) {
            return mb_error_set(err, code, "column name not plain, or there twice");
        }
        if (!is_value(&column->value)) {
            return mb_error_set(err, code, "column '%s' is not a number", column->name);
        }
    }
    for (size_t i = 0; i < record->register_count; i++) {
        const struct mb_register *reg = &record->registers[i];

        if (!is_name(reg->name) || mb_record_register(record, reg->name) != reg) {
            return mb_error_set(err, code, "register name not plain, or there twice");
        }
        if (!is_version(&reg->version) || !is_version(&reg->parent)) {
            return mb_error_set(err, code, "version of register '%s' out of range", reg->name);
        }
        if (!is_value(&reg->value)) {
            return mb_error_set(err, code, "register '%s' is not a number", reg->name);
        }
    }
    return 0;
}

/* ---- Encoding ---- */

static void put(struct writer *writer, const char *text)
{
    if (writer->rc == 0) {
        writer->rc = mb_buf_append_text(writer->buf, text, writer->err);
    }
}

static void put_text(struct writer *writer, const void *data, size_t size)
{
    if (writer->rc == 0) {
        writer->rc = mb_json_append_text(writer->buf, size > 0 ? data : "", size, writer->err);
    }
}

static void put_integer(struct writer *writer, int64_t value)
{
    if (writer->rc == 0) {
        writer->rc = mb_buf_append_format(writer->buf, writer->err, "%" PRId64, value);
    }
}

static void put_hex(struct writer *writer, const uint8_t *data, size_t size)
{
    char hex[2 * MB_ROW_ID_SIZE + 1];

    MB_ASSERT(size <= MB_ROW_ID_SIZE);
    mb_digest_hex(data, size, hex);
    put(writer, "\"");
    put(writer, hex);
    put(writer, "\"");
}

static void put_base64(struct writer *writer, const uint8_t *data, size_t size)
{
    uint8_t *out = NULL;

    if (writer->rc == 0) {
        writer->rc = mb_buf_extend(writer->buf, (size + 2) / 3 * 4, &out, writer->err);
    }
    if (writer->rc == 0) {
        mb_record_base64_encode(data, size, out);
    }
}

static void put_version(struct writer *writer, const struct mb_version *version)
{
    put_integer(writer, version->hlc);
    put(writer, ",");
    put_hex(writer, version->machine, MB_MACHINE_ID_SIZE);
}

static void put_value(struct writer *writer, const struct mb_value *value)
{
    char real[MB_RECORD_REAL_SIZE];

    switch (value->type) {
    case MB_VALUE_NULL: put(writer, "null"); return;
    case MB_VALUE_INTEGER: put_integer(writer, value->integer); return;
    case MB_VALUE_REAL:
        mb_record_real_format(value->real, real);
        put(writer, "{\"f\":\"");
        put(writer, real);
        break;
    case MB_VALUE_TEXT:
        if (value->size == 0 || mb_text_is_utf8(value->data, value->size)) {
            put_text(writer, value->data, value->size);
            return;
        }
        put(writer, "{\"x\":\"");
        put_base64(writer, value->data, value->size);
        break;
    case MB_VALUE_BLOB:
        put(writer, "{\"b\":\"");
        put_base64(writer, value->data, value->size);
        break;
    }
    put(writer, "\"}");
}

static void put_columns(struct writer *writer, const struct mb_record *record)
{
    put(writer, ",\"c\":{");
    for (size_t i = 0; i < record->column_count; i++) {
        put(writer, i > 0 ? ",\"" : "\"");
        put(writer, record->columns[i].name);
        put(writer, "\":");
        put_value(writer, &record->columns[i].value);
    }
    put(writer, "}");
}

static void put_registers(struct writer *writer, const struct mb_record *record)
{
    struct mb_version initial = {.hlc = record->version.hlc};

    put(writer, ",\"r\":{");
    for (size_t i = 0; i < record->register_count; i++) {
        const struct mb_register *reg = &record->registers[i];
        bool is_first = mb_record_version_compare(&reg->version, &reg->parent) == 0;
        bool is_initial = is_first && record->kind == MB_RECORD_ROW &&
                          mb_record_version_compare(&reg->version, &initial) == 0;

        put(writer, i > 0 ? ",\"" : "\"");
        put(writer, reg->name);
        put(writer, "\":[");
        put_value(writer, &reg->value);
        if (!is_initial) {
            put(writer, ",");
            put_version(writer, &reg->version);
        }
        if (!is_first) {
            put(writer, ",");
            put_version(writer, &reg->parent);
        }
        put(writer, "]");
    }
    put(writer, "}");
}

static void put_row(struct writer *writer, const struct mb_record *record)
{
    if (record->copy != 0) {
        put(writer, ",\"n\":");
        put_integer(writer, record->copy);
    }
    put(writer, ",\"b\":[");
    put_version(writer, &record->version);
    put(writer, "]");
    put_columns(writer, record);
    put_registers(writer, record);
    if (record->orphan != NULL) {
        put(writer, ",\"o\":");
        put_text(writer, record->orphan, strlen(record->orphan));
    }
}

int mb_record_encode(const struct mb_record *record, struct mb_buf *buf, struct mb_error *err)
{
    struct writer writer = {.buf = buf, .err = err};
    size_t start = buf->size;

    MB_ASSERT(record->kind >= MB_RECORD_ROW && record->kind <= MB_RECORD_DELETE);
    if (mb_record_check(record, MB_ERR_LIMIT, err) != 0) {
        return -1;
    }
    if (record->orphan != NULL && !mb_text_is_utf8(record->orphan, strlen(record->orphan))) {
        return mb_error_set(err, MB_ERR_LIMIT, "memory session id is not valid text");
    }
    put(&writer, "{\"k\":\"");
    put(&writer, mb_record_kind_names[record->kind]);
    put(&writer, "\",\"t\":\"");
    put(&writer, record->table);
    put(&writer, "\",\"id\":");
    put_hex(&writer, record->row_id, MB_ROW_ID_SIZE);
    switch (record->kind) {
    case MB_RECORD_ROW: put_row(&writer, record); break;
    case MB_RECORD_REGISTERS: put_registers(&writer, record); break;
    case MB_RECORD_DELETE:
        put(&writer, ",\"v\":[");
        put_version(&writer, &record->version);
        put(&writer, record->is_decided ? "],\"d\":true" : "]");
        break;
    }
    put(&writer, "}\n");
    if (writer.rc == 0 && buf->size - start > MB_LIMIT_RECORD_BYTES) {
        writer.rc = mb_error_set(err, MB_ERR_LIMIT, "record of %zu bytes", buf->size - start);
    }
    if (writer.rc != 0 && buf->data != NULL) {
        buf->size = start;
        buf->data[start] = '\0';
    }
    return writer.rc;
}
