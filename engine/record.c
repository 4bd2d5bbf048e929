/* SPDX-License-Identifier: MIT */
#include "record.h"

#include "alloc.h"
#include "assert.h"
#include "digest.h"
#include "json.h"
#include "limits.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define NAME_SIZE_MAX 64
#define COPY_MAX 1000000
#define REAL_TEXT_SIZE 32 /* "-0x1.fffffffffffffp+1023" and a NUL fit */

#define KIND_BIT(kind) (1U << (kind))
#define IN_ROW KIND_BIT(MB_RECORD_ROW)
#define IN_REGISTERS KIND_BIT(MB_RECORD_REGISTERS)
#define IN_DELETE KIND_BIT(MB_RECORD_DELETE)
#define IN_ALL (IN_ROW | IN_REGISTERS | IN_DELETE)

static const char *const kind_names[] = {
    [MB_RECORD_ROW] = "row",
    [MB_RECORD_REGISTERS] = "reg",
    [MB_RECORD_DELETE] = "del",
};

enum field {
    FIELD_KIND,
    FIELD_TABLE,
    FIELD_ID,
    FIELD_COPY,
    FIELD_BORN,
    FIELD_COLUMNS,
    FIELD_REGISTERS,
    FIELD_ORPHAN,
    FIELD_VERSION,
    FIELD_DECIDED,
    FIELD_COUNT,
};

static const struct {
    const char *key;
    enum mb_json_type type;
    unsigned allowed;
    unsigned required;
} fields[FIELD_COUNT] = {
    [FIELD_KIND] = {"k",  MB_JSON_TEXT,    IN_ALL,                IN_ALL               },
    [FIELD_TABLE] = {"t",  MB_JSON_TEXT,    IN_ALL,                IN_ALL               },
    [FIELD_ID] = {"id", MB_JSON_TEXT,    IN_ALL,                IN_ALL               },
    [FIELD_COPY] = {"n",  MB_JSON_INTEGER, IN_ROW,                0                    },
    [FIELD_BORN] = {"b",  MB_JSON_ARRAY,   IN_ROW,                IN_ROW               },
    [FIELD_COLUMNS] = {"c",  MB_JSON_OBJECT,  IN_ROW,                IN_ROW               },
    [FIELD_REGISTERS] = {"r",  MB_JSON_OBJECT,  IN_ROW | IN_REGISTERS, IN_ROW | IN_REGISTERS},
    [FIELD_ORPHAN] = {"o",  MB_JSON_TEXT,    IN_ROW,                0                    },
    [FIELD_VERSION] = {"v",  MB_JSON_ARRAY,   IN_DELETE,             IN_DELETE            },
    [FIELD_DECIDED] = {"d",  MB_JSON_BOOL,    IN_DELETE,             0                    },
};

/* The one block that a record owns: its registers, its columns, then bytes. */
struct arena {
    uint8_t *next;
    uint8_t *end;
};

/* Appends until the first failure, and does nothing after it. */
struct writer {
    struct mb_buf *buf;
    struct mb_error *err;
    int rc;
};

/* ---- Base64 (RFC 4648, section 4; padding required, unused bits zero) ---- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_encode(const uint8_t *data, size_t size, uint8_t *out)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)data[i] << 16;

        bits |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)data[i + 2] : 0;
        *out++ = (uint8_t)base64_digits[bits >> 18];
        *out++ = (uint8_t)base64_digits[bits >> 12 & 63];
        *out++ = left > 1 ? (uint8_t)base64_digits[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? (uint8_t)base64_digits[bits & 63] : '=';
    }
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* `out` has room for size / 4 * 3 bytes. */
static bool base64_decode(const char *text, size_t size, uint8_t *out, size_t *size_out)
{
    size_t padding = 0;
    size_t count = 0;

    if (size % 4 != 0) {
        return false;
    }
    while (padding < 2 && padding < size && text[size - padding - 1] == '=') {
        padding++;
    }
    for (size_t i = 0; i < size; i += 4) {
        size_t digits = i + 4 == size ? 4 - padding : 4;
        uint32_t bits = 0;

        for (size_t j = 0; j < 4; j++) {
            int digit = j < digits ? base64_digit(text[i + j]) : 0;

            if (digit < 0) {
                return false;
            }
            bits = bits << 6 | (uint32_t)digit;
        }
        if ((bits & ((1U << (4 - digits) * 8) - 1)) != 0) {
            return false;
        }
        for (size_t j = 0; j < digits - 1; j++) {
            out[count++] = (uint8_t)(bits >> (16 - 8 * j));
        }
    }
    *size_out = count;
    return true;
}

/* ---- Doubles ---- */

/*
 * Written here and not by printf("%a"), because C libraries differ (glibc writes the smallest
 * double as 0x0.0000000000001p-1022, musl and macOS as 0x1p-1074) and strtod() follows the locale.
 */
static void format_real(double real, char out[static REAL_TEXT_SIZE])
{
    char fraction_text[16];
    uint64_t bits = 0;
    uint64_t fraction = 0;
    int exponent = 0;
    size_t digits = 13;

    MB_ASSERT(!isnan(real));
    memcpy(&bits, &real, sizeof(bits));
    fraction = bits & ((UINT64_C(1) << 52) - 1);
    exponent = (int)(bits >> 52 & 0x7ff);
    if (exponent == 0x7ff) {
        (void)snprintf(out, REAL_TEXT_SIZE, "%sinf", bits >> 63 ? "-" : "");
        return;
    }
    (void)snprintf(fraction_text, sizeof(fraction_text), "%013" PRIx64, fraction);
    while (digits > 0 && fraction_text[digits - 1] == '0') {
        digits--;
    }
    fraction_text[digits] = '\0';
    (void)snprintf(out, REAL_TEXT_SIZE, "%s0x%d%s%sp%+d", bits >> 63 ? "-" : "", exponent != 0,
                   digits > 0 ? "." : "", fraction_text,
                   exponent != 0   ? exponent - 1023
                   : fraction != 0 ? -1022
                                   : 0);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes what format_real() writes and nothing else. */
static bool parse_real(const char *text, double *real_out)
{
    char canonical[REAL_TEXT_SIZE];
    const char *p = text;
    uint64_t bits = *p == '-' ? UINT64_C(1) << 63 : 0;
    int exponent = 0;
    bool is_normal = false;

    p += *p == '-';
    if (strcmp(p, "inf") == 0) {
        bits |= UINT64_C(0x7ff) << 52;
    } else {
        if (p[0] != '0' || p[1] != 'x' || (p[2] != '0' && p[2] != '1')) {
            return false;
        }
        is_normal = p[2] == '1';
        p += 3;
        p += *p == '.';
        for (int shift = 48; shift >= 0 && hex_digit(*p) >= 0; shift -= 4) {
            bits |= (uint64_t)hex_digit(*p++) << shift;
        }
        if (p[0] != 'p' || (p[1] != '+' && p[1] != '-')) {
            return false;
        }
        for (const char *digit = p + 2; *digit >= '0' && *digit <= '9' && exponent < 1000;
             digit++) {
            exponent = exponent * 10 + (*digit - '0');
        }
        exponent = p[1] == '-' ? -exponent : exponent;
        if (is_normal && (exponent < -1022 || exponent > 1023)) {
            return false;
        }
        bits |= is_normal ? (uint64_t)(exponent + 1023) << 52 : 0;
    }
    memcpy(real_out, &bits, sizeof(bits));
    format_real(*real_out, canonical);
    return strcmp(canonical, text) == 0;
}

/* ---- Comparing ---- */

int mb_record_version_compare(const struct mb_version *a, const struct mb_version *b)
{
    if (a->hlc != b->hlc) {
        return a->hlc < b->hlc ? -1 : 1;
    }
    return memcmp(a->machine, b->machine, MB_MACHINE_ID_SIZE);
}

bool mb_record_version_is_zero(const struct mb_version *version)
{
    static const struct mb_version zero;

    return mb_record_version_compare(version, &zero) == 0;
}

/* Orders as the number does, and -0.0 before 0.0: values with different bits are never equal. */
static int compare_reals(double a, double b)
{
    uint64_t bits[2];

    memcpy(&bits[0], &a, sizeof(a));
    memcpy(&bits[1], &b, sizeof(b));
    for (int i = 0; i < 2; i++) {
        bits[i] = bits[i] >> 63 ? ~bits[i] : bits[i] | UINT64_C(1) << 63;
    }
    return (bits[0] > bits[1]) - (bits[0] < bits[1]);
}

int mb_record_value_compare(const struct mb_value *a, const struct mb_value *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = 0;

    if (a->type != b->type) {
        return a->type < b->type ? -1 : 1;
    }
    switch (a->type) {
    case MB_VALUE_NULL: return 0;
    case MB_VALUE_INTEGER: return (a->integer > b->integer) - (a->integer < b->integer);
    case MB_VALUE_REAL: return compare_reals(a->real, b->real);
    case MB_VALUE_TEXT:
    case MB_VALUE_BLOB: break;
    }
    if (common > 0) {
        order = memcmp(a->data, b->data, common);
    }
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

bool mb_record_value_equal(const struct mb_value *a, const struct mb_value *b)
{
    return mb_record_value_compare(a, b) == 0;
}

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
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char later[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    size_t size = strlen(name);

    return size >= 1 && size <= NAME_SIZE_MAX && strspn(name, first) > 0 &&
           strspn(name, later) == size;
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
static int check_record(const struct mb_record *record, enum mb_code code, struct mb_error *err)
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
        base64_encode(data, size, out);
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
    char real[REAL_TEXT_SIZE];

    switch (value->type) {
    case MB_VALUE_NULL: put(writer, "null"); return;
    case MB_VALUE_INTEGER: put_integer(writer, value->integer); return;
    case MB_VALUE_REAL:
        format_real(value->real, real);
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
    if (check_record(record, MB_ERR_LIMIT, err) != 0) {
        return -1;
    }
    if (record->orphan != NULL && !mb_text_is_utf8(record->orphan, strlen(record->orphan))) {
        return mb_error_set(err, MB_ERR_LIMIT, "memory session id is not valid text");
    }
    put(&writer, "{\"k\":\"");
    put(&writer, kind_names[record->kind]);
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

/* ---- Decoding ---- */

static void arena_init(struct arena *arena, struct mb_record *record, size_t bytes)
{
    size_t registers_size = record->register_count * sizeof(*record->registers);
    size_t columns_size = record->column_count * sizeof(*record->columns);
    uint8_t *block = mb_alloc(registers_size + columns_size + bytes);

    record->arena = block;
    record->registers = (struct mb_register *)(void *)block;
    record->columns = (struct mb_column *)(void *)(block + registers_size);
    arena->next = block + registers_size + columns_size;
    arena->end = arena->next + bytes;
}

/* Copies data with a NUL behind it. */
static uint8_t *arena_copy(struct arena *arena, const void *data, size_t size)
{
    uint8_t *copy = arena->next;

    MB_ASSERT(size < (size_t)(arena->end - arena->next));
    if (size > 0) {
        memcpy(copy, data, size);
    }
    copy[size] = '\0';
    arena->next += size + 1;
    return copy;
}

static const char *arena_text(struct arena *arena, const char *text)
{
    return (const char *)arena_copy(arena, text, strlen(text));
}

static int decode_tagged(struct arena *arena, const struct mb_json *node, struct mb_value *value,
                         struct mb_error *err)
{
    const struct mb_json *member = mb_json_first(node);
    const char *tag = NULL;
    const char *text = NULL;

    if (member == NULL || mb_json_next(member) != NULL || mb_json_type(member) != MB_JSON_TEXT) {
        return mb_error_set(err, MB_ERR_CORRUPT, "value of a wrong form");
    }
    tag = mb_json_key(member);
    text = mb_json_as_text(member);
    if (strcmp(tag, "f") == 0) {
        value->type = MB_VALUE_REAL;
        if (!parse_real(text, &value->real)) {
            return mb_error_set(err, MB_ERR_CORRUPT, "wrong floating point number");
        }
        return 0;
    }
    if (strcmp(tag, "b") != 0 && strcmp(tag, "x") != 0) {
        return mb_error_set(err, MB_ERR_FORMAT, "value of an unknown type");
    }
    value->type = tag[0] == 'b' ? MB_VALUE_BLOB : MB_VALUE_TEXT;
    value->data = arena->next;
    MB_ASSERT(strlen(text) < (size_t)(arena->end - arena->next));
    if (!base64_decode(text, strlen(text), arena->next, &value->size)) {
        return mb_error_set(err, MB_ERR_CORRUPT, "wrong base64");
    }
    arena->next += value->size;
    *arena->next++ = '\0';
    return 0;
}

static int decode_value(struct arena *arena, const struct mb_json *node, struct mb_value *value,
                        struct mb_error *err)
{
    const char *text = NULL;

    memset(value, 0, sizeof(*value));
    switch (mb_json_type(node)) {
    case MB_JSON_NULL: value->type = MB_VALUE_NULL; return 0;
    case MB_JSON_INTEGER:
        value->type = MB_VALUE_INTEGER;
        value->integer = mb_json_as_int64(node);
        return 0;
    case MB_JSON_TEXT:
        text = mb_json_as_text(node);
        value->type = MB_VALUE_TEXT;
        value->size = strlen(text);
        value->data = arena_copy(arena, text, value->size);
        return 0;
    case MB_JSON_OBJECT: return decode_tagged(arena, node, value, err);
    case MB_JSON_BOOL:
    case MB_JSON_REAL:
    case MB_JSON_ARRAY: break;
    }
    return mb_error_set(err, MB_ERR_CORRUPT, "value of a wrong type");
}

static bool decode_hex(const struct mb_json *node, uint8_t *data, size_t size)
{
    const char *text = mb_json_type(node) == MB_JSON_TEXT ? mb_json_as_text(node) : "";

    return strlen(text) == 2 * size && mb_digest_unhex(text, data, size);
}

/* Takes two neighbours of an array: the clock and the machine. */
static int decode_version(const struct mb_json *hlc, struct mb_version *version_out,
                          struct mb_error *err)
{
    const struct mb_json *machine = hlc != NULL ? mb_json_next(hlc) : NULL;

    if (machine == NULL || mb_json_type(hlc) != MB_JSON_INTEGER ||
        !decode_hex(machine, version_out->machine, MB_MACHINE_ID_SIZE)) {
        return mb_error_set(err, MB_ERR_CORRUPT, "version of a wrong form");
    }
    version_out->hlc = mb_json_as_int64(hlc);
    return 0;
}

static int decode_register(struct arena *arena, const struct mb_json *node,
                           const struct mb_record *record, struct mb_register *reg,
                           struct mb_error *err)
{
    size_t count = mb_json_type(node) == MB_JSON_ARRAY ? mb_json_count(node) : 0;
    const struct mb_json *value = NULL;
    const struct mb_json *hlc = NULL;

    if (count != 3 && count != 5 && !(count == 1 && record->kind == MB_RECORD_ROW)) {
        return mb_error_set(err, MB_ERR_CORRUPT, "register of a wrong form");
    }
    memset(reg, 0, sizeof(*reg));
    reg->name = arena_text(arena, mb_json_key(node));
    value = mb_json_first(node);
    hlc = mb_json_next(value);
    reg->version.hlc = record->version.hlc;
    if (decode_value(arena, value, &reg->value, err) != 0 ||
        (count >= 3 && decode_version(hlc, &reg->version, err) != 0)) {
        return -1;
    }
    reg->parent = reg->version;
    return count < 5 ? 0 : decode_version(mb_json_next(mb_json_next(hlc)), &reg->parent, err);
}

static int decode_fields(const struct mb_json *json,
                         const struct mb_json *nodes[static FIELD_COUNT],
                         enum mb_record_kind *kind_out, struct mb_error *err)
{
    unsigned kind = MB_RECORD_ROW;
    const char *name = NULL;

    if (mb_json_text(json, "k", &name, err) != 0) {
        return -1;
    }
    while (kind <= MB_RECORD_DELETE && strcmp(name, kind_names[kind]) != 0) {
        kind++;
    }
    if (kind > MB_RECORD_DELETE) {
        return mb_error_set(err, MB_ERR_FORMAT, "record of an unknown kind");
    }
    for (const struct mb_json *node = mb_json_first(json); node != NULL;
         node = mb_json_next(node)) {
        size_t i = 0;

        while (i < FIELD_COUNT && strcmp(mb_json_key(node), fields[i].key) != 0) {
            i++;
        }
        if (i == FIELD_COUNT || (fields[i].allowed & KIND_BIT(kind)) == 0) {
            return mb_error_set(err, MB_ERR_FORMAT, "record with an unknown field");
        }
        if (mb_json_type(node) != fields[i].type) {
            return mb_error_set(err, MB_ERR_CORRUPT, "'%s' has a wrong type", fields[i].key);
        }
        nodes[i] = node;
    }
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (nodes[i] == NULL && (fields[i].required & KIND_BIT(kind)) != 0) {
            return mb_error_set(err, MB_ERR_CORRUPT, "'%s' is missing", fields[i].key);
        }
    }
    *kind_out = (enum mb_record_kind)kind;
    return 0;
}

/* A string takes at least two bytes more in the line than here: `size` bytes hold all, NULs too. */
static int decode_parts(const struct mb_json *nodes[static FIELD_COUNT], size_t size,
                        struct mb_record *record, struct mb_error *err)
{
    const struct mb_json *version = nodes[FIELD_BORN] ? nodes[FIELD_BORN] : nodes[FIELD_VERSION];
    const struct mb_json *node = NULL;
    struct arena arena;

    if (!decode_hex(nodes[FIELD_ID], record->row_id, MB_ROW_ID_SIZE)) {
        return mb_error_set(err, MB_ERR_CORRUPT, "row id of a wrong form");
    }
    if (version != NULL && mb_json_count(version) != 2) {
        return mb_error_set(err, MB_ERR_CORRUPT, "version of a wrong form");
    }
    if (version != NULL && decode_version(mb_json_first(version), &record->version, err) != 0) {
        return -1;
    }
    record->copy = nodes[FIELD_COPY] ? mb_json_as_int64(nodes[FIELD_COPY]) : 0;
    record->is_decided = nodes[FIELD_DECIDED] && mb_json_as_bool(nodes[FIELD_DECIDED]);
    record->column_count = nodes[FIELD_COLUMNS] ? mb_json_count(nodes[FIELD_COLUMNS]) : 0;
    record->register_count = nodes[FIELD_REGISTERS] ? mb_json_count(nodes[FIELD_REGISTERS]) : 0;
    if (record->column_count > MB_LIMIT_COLUMNS || record->register_count > MB_LIMIT_COLUMNS) {
        return mb_error_set(err, MB_ERR_CORRUPT, "more than %d columns", MB_LIMIT_COLUMNS);
    }
    arena_init(&arena, record, size);
    record->table = arena_text(&arena, mb_json_as_text(nodes[FIELD_TABLE]));
    if (nodes[FIELD_ORPHAN] != NULL) {
        record->orphan = arena_text(&arena, mb_json_as_text(nodes[FIELD_ORPHAN]));
    }
    node = record->column_count > 0 ? mb_json_first(nodes[FIELD_COLUMNS]) : NULL;
    for (size_t i = 0; i < record->column_count; i++, node = mb_json_next(node)) {
        record->columns[i].name = arena_text(&arena, mb_json_key(node));
        if (decode_value(&arena, node, &record->columns[i].value, err) != 0) {
            return -1;
        }
    }
    node = record->register_count > 0 ? mb_json_first(nodes[FIELD_REGISTERS]) : NULL;
    for (size_t i = 0; i < record->register_count; i++, node = mb_json_next(node)) {
        if (decode_register(&arena, node, record, &record->registers[i], err) != 0) {
            return -1;
        }
    }
    return check_record(record, MB_ERR_CORRUPT, err);
}

int mb_record_decode(const char *line, size_t size, struct mb_record *record_out,
                     struct mb_error *err)
{
    static const struct mb_json_limits limits = {
        .size_max = MB_LIMIT_RECORD_BYTES,
        .depth_max = MB_LIMIT_JSON_DEPTH,
        .value_count_max = MB_LIMIT_JSON_VALUES,
    };
    const struct mb_json *nodes[FIELD_COUNT] = {NULL};
    struct mb_record record = {0};
    struct mb_json *json = NULL;
    int rc = -1;

    if (mb_json_parse(line, size, &limits, &json, err) != 0) {
        goto out;
    }
    if (mb_json_type(json) != MB_JSON_OBJECT) {
        (void)mb_error_set(err, MB_ERR_CORRUPT, "not an object");
        goto out;
    }
    if (decode_fields(json, nodes, &record.kind, err) != 0 ||
        decode_parts(nodes, size, &record, err) != 0) {
        goto out;
    }
    *record_out = record;
    memset(&record, 0, sizeof(record)); /* handed over */
    rc = 0;
out:
    if (rc != 0) {
        err->code = err->code == MB_ERR_FORMAT ? MB_ERR_FORMAT : MB_ERR_CORRUPT;
        (void)mb_error_wrap(err, "reading a record");
    }
    mb_record_release(&record);
    mb_json_free(json);
    return rc;
}

/* ---- Copying ---- */

static bool has_bytes(const struct mb_value *value)
{
    return value->type == MB_VALUE_TEXT || value->type == MB_VALUE_BLOB;
}

static size_t bytes_of_copy(const struct mb_record *record)
{
    size_t bytes = strlen(record->table) + 1;

    bytes += record->orphan != NULL ? strlen(record->orphan) + 1 : 0;
    for (size_t i = 0; i < record->column_count; i++) {
        bytes += strlen(record->columns[i].name) + 1 + record->columns[i].value.size + 1;
    }
    for (size_t i = 0; i < record->register_count; i++) {
        bytes += strlen(record->registers[i].name) + 1 + record->registers[i].value.size + 1;
    }
    return bytes;
}

void mb_record_copy(const struct mb_record *record, struct mb_record *copy_out)
{
    struct mb_record copy = *record;
    struct arena arena;

    arena_init(&arena, &copy, bytes_of_copy(record));
    copy.table = arena_text(&arena, record->table);
    copy.orphan = record->orphan != NULL ? arena_text(&arena, record->orphan) : NULL;
    for (size_t i = 0; i < record->column_count; i++) {
        struct mb_value *value = &copy.columns[i].value;

        copy.columns[i] = record->columns[i];
        copy.columns[i].name = arena_text(&arena, record->columns[i].name);
        value->data = has_bytes(value) ? arena_copy(&arena, value->data, value->size) : NULL;
    }
    for (size_t i = 0; i < record->register_count; i++) {
        struct mb_value *value = &copy.registers[i].value;

        copy.registers[i] = record->registers[i];
        copy.registers[i].name = arena_text(&arena, record->registers[i].name);
        value->data = has_bytes(value) ? arena_copy(&arena, value->data, value->size) : NULL;
    }
    *copy_out = copy;
}

void mb_record_release(struct mb_record *record)
{
    free(record->arena);
    memset(record, 0, sizeof(*record));
}
