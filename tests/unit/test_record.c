/* SPDX-License-Identifier: MIT */
/*
 * Proves that records survive the way through a line of JSON exactly, whatever SQLite may hold;
 * that a line is canonical; and that a line from a hostile store is refused without harm (to be run
 * under ASan).
 */

#include "alloc.h"
#include "check.h"
#include "limits.h"
#include "record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED UINT64_C(0x6d656d6272696467)
#define RANDOM_RECORDS 10000
#define ITEMS_MAX 12
#define NAME_SIZE 65
#define INF ((double)INFINITY)

#define ID "00112233445566778899aabbccddeeff"
#define MACHINE "0123456789abcdef"
#define ZERO "0000000000000000"
#define DEL "{\"k\":\"del\",\"t\":\"t\",\"id\":\"" ID "\""
#define REG "{\"k\":\"reg\",\"t\":\"t\",\"id\":\"" ID "\",\"r\":"
#define ROW "{\"k\":\"row\",\"t\":\"t\",\"id\":\"" ID "\",\"b\":[1,\"" ZERO "\"]"

static const char sample_line[] =
    "{\"k\":\"row\",\"t\":\"observations\",\"id\":\"" ID "\",\"n\":3,\"b\":[1700000000000,\"" ZERO
    "\"],\"c\":{\"type\":\"bugfix\",\"title\":\"Caf\xc3\xa9 \\\"x\\\"\\n\",\"n\":-42,"
    "\"f\":{\"f\":\"-0x1.8p+1\"},\"z\":null,\"blob\":{\"b\":\"AAEC/w==\"},"
    "\"bad\":{\"x\":\"/wA=\"}},"
    "\"r\":{\"a\":[\"first\"],\"b\":[7,1700000000001,\"" MACHINE "\"],"
    "\"c\":[null,1700000000002,\"" MACHINE "\",1700000000000,\"" ZERO "\"]},\"o\":\"memory-1\"}";

/* ---- Random records (splitmix64) ---- */

static uint64_t random_state = SEED;

static uint64_t random_64(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t random_below(size_t limit)
{
    return (size_t)(random_64() % limit);
}

static int64_t random_integer(void)
{
    /* clang-format off */
    static const int64_t edges[] = {
        0, 1, -1, INT64_MIN, INT64_MAX, INT64_MIN + 1, INT64_MAX - 1, INT64_C(9007199254740993),
        INT64_C(-9007199254740993), INT32_MAX, INT32_MIN, INT64_C(1) << 32,
    };
    /* clang-format on */

    return random_below(2) == 0 ? edges[random_below(sizeof(edges) / sizeof(edges[0]))]
                                : (int64_t)(random_64() >> random_below(63));
}

static double random_real(void)
{
    /* clang-format off */
    static const double edges[] = {
        0.0, -0.0, 0.1, -1.5, 4.9406564584124654e-324, 2.2250738585072009e-308,
        2.2250738585072014e-308, 1.7976931348623157e308, INF, -INF,
        -4.9406564584124654e-324,
    };
    /* clang-format on */
    uint64_t bits = random_64();
    double real = 0;

    if (random_below(3) == 0) {
        return edges[random_below(sizeof(edges) / sizeof(edges[0]))];
    }
    memcpy(&real, &bits, sizeof(real));
    return isnan(real) ? 0.25 : real;
}

/* One of: nothing, plain words, control characters, emoji, anything. Given. */
static uint8_t *random_bytes(size_t *size_out)
{
    /* clang-format off */
    static const char *const pieces[] = {
        "word ", "\n", "\x01", "\x1f", "\x7f", "\"", "\\", "/", "\xf0\x9f\x98\x80",
        "\xe2\x80\xa8", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xc2\x80",
    };
    /* clang-format on */
    size_t style = random_below(6);
    size_t size = 0;
    uint8_t *data = mb_alloc(400);

    for (size_t count = style == 0 ? 0 : random_below(40); count > 0; count--) {
        const char *piece = pieces[random_below(sizeof(pieces) / sizeof(pieces[0]))];

        if (style <= 3) {
            memcpy(data + size, piece, strlen(piece));
            size += strlen(piece);
        } else {
            data[size++] = style == 4 ? (uint8_t)random_below(4) : (uint8_t)random_64();
        }
    }
    *size_out = size;
    return data;
}

static struct mb_value random_value(void)
{
    struct mb_value value = {.type = (enum mb_value_type)(1 + random_below(5))};

    switch (value.type) {
    case MB_VALUE_NULL: break;
    case MB_VALUE_INTEGER: value.integer = random_integer(); break;
    case MB_VALUE_REAL: value.real = random_real(); break;
    case MB_VALUE_TEXT:
    case MB_VALUE_BLOB: value.data = random_bytes(&value.size); break;
    }
    return value;
}

static struct mb_version random_version(void)
{
    struct mb_version version = {.hlc = (int64_t)random_below((size_t)MB_LIMIT_HLC_MS + 1)};

    version.hlc = random_below(6) == 0 ? MB_LIMIT_HLC_MS : version.hlc;
    for (size_t i = 0; random_below(4) != 0 && i < MB_MACHINE_ID_SIZE; i++) {
        version.machine[i] = (uint8_t)random_64();
    }
    return version;
}

struct sample {
    struct mb_record record;
    struct mb_column columns[ITEMS_MAX];
    struct mb_register registers[ITEMS_MAX];
    char names[2 * ITEMS_MAX][NAME_SIZE];
};

static const char *random_name(struct sample *sample, size_t index)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABC_";
    char *name = sample->names[index];
    int width = random_below(8) == 0 ? 63 : 1;

    (void)snprintf(name, NAME_SIZE, "%c%0*zu", first[random_below(sizeof(first) - 1)], width,
                   index);
    return name;
}

static void random_record(struct sample *sample)
{
    struct mb_record *record = &sample->record;

    memset(sample, 0, sizeof(*sample));
    record->kind = (enum mb_record_kind)(1 + random_below(3));
    record->table = random_below(2) == 0 ? "observations" : "_T9";
    for (size_t i = 0; i < MB_ROW_ID_SIZE; i++) {
        record->row_id[i] = (uint8_t)random_64();
    }
    if (record->kind != MB_RECORD_REGISTERS) {
        record->version = random_version();
    }
    record->is_decided = record->kind == MB_RECORD_DELETE && random_below(2) == 0;
    record->columns = sample->columns;
    record->registers = sample->registers;
    if (record->kind == MB_RECORD_ROW) {
        record->copy = random_below(3) > 0 ? 0 : (int64_t)random_below(1000001);
        record->orphan = random_below(3) > 0 ? NULL : random_below(2) == 0 ? "" : "m\xc3\xa9\t1";
        record->column_count = random_below(ITEMS_MAX + 1);
    }
    if (record->kind != MB_RECORD_DELETE) {
        record->register_count = random_below(ITEMS_MAX + 1);
    }
    for (size_t i = 0; i < record->column_count; i++) {
        sample->columns[i].name = random_name(sample, i);
        sample->columns[i].value = random_value();
    }
    for (size_t i = 0; i < record->register_count; i++) {
        struct mb_register *reg = &sample->registers[i];

        reg->name = random_name(sample, ITEMS_MAX + i);
        reg->value = random_value();
        reg->version = random_version();
        if (random_below(3) == 0) {
            reg->version = (struct mb_version){.hlc = record->version.hlc};
        }
        reg->parent = random_below(2) == 0 ? reg->version : random_version();
    }
}

static void release_sample(struct sample *sample)
{
    for (size_t i = 0; i < ITEMS_MAX; i++) {
        free((void *)(uintptr_t)sample->columns[i].value.data);
        free((void *)(uintptr_t)sample->registers[i].value.data);
    }
}

/* ---- Helpers ---- */

static void check_same(const struct mb_record *a, const struct mb_record *b)
{
    CHECK_INT(a->kind, b->kind);
    CHECK(memcmp(a->row_id, b->row_id, MB_ROW_ID_SIZE) == 0);
    CHECK_TEXT(a->table, b->table);
    CHECK_INT(a->copy, b->copy);
    CHECK_INT(a->is_decided, b->is_decided);
    CHECK_INT(mb_record_version_compare(&a->version, &b->version), 0);
    CHECK((a->orphan == NULL) == (b->orphan == NULL));
    CHECK(a->orphan == NULL || strcmp(a->orphan, b->orphan) == 0);
    if (!CHECK_INT(a->column_count, b->column_count) ||
        !CHECK_INT(a->register_count, b->register_count)) {
        return;
    }
    for (size_t i = 0; i < a->column_count; i++) {
        CHECK_TEXT(a->columns[i].name, b->columns[i].name);
        CHECK(mb_record_value_equal(&a->columns[i].value, &b->columns[i].value));
    }
    for (size_t i = 0; i < a->register_count; i++) {
        CHECK_TEXT(a->registers[i].name, b->registers[i].name);
        CHECK(mb_record_value_equal(&a->registers[i].value, &b->registers[i].value));
        CHECK_INT(mb_record_version_compare(&a->registers[i].version, &b->registers[i].version), 0);
        CHECK_INT(mb_record_version_compare(&a->registers[i].parent, &b->registers[i].parent), 0);
    }
}

/* Decodes a copy of exactly the line's size, so that ASan sees every byte read past it. */
static int decode(const void *line, size_t size, struct mb_record *record, struct mb_error *err)
{
    char *copy = mb_alloc_copy(line, size);
    int rc = mb_record_decode(copy, size, record, err);

    free(copy);
    return rc;
}

static void check_refused(const char *line, enum mb_code code)
{
    struct mb_record record = {.copy = 77};
    struct mb_error err;

    mb_error_init(&err);
    if (!CHECK_FAILS(decode(line, strlen(line), &record, &err), &err, code)) {
        CHECK_TEXT(line, "refused");
        return;
    }
    CHECK_INT(record.copy, 77);
}

/* The value is that of a row's column. */
static void check_value_refused(const char *value, enum mb_code code)
{
    char *line = mb_alloc_format(ROW ",\"c\":{\"v\":%s},\"r\":{}}", value);

    check_refused(line, code);
    free(line);
}

/* ---- Tests ---- */

TEST(random_records_come_back_exactly)
{
    struct sample *sample = mb_alloc_zeroed(1, sizeof(*sample));
    struct mb_buf first;
    struct mb_buf second;
    struct mb_error err;

    mb_buf_init(&first, MB_MIB);
    mb_buf_init(&second, MB_MIB);
    for (int i = 0; i < RANDOM_RECORDS; i++) {
        struct mb_record decoded = {0};
        struct mb_record copy = {0};

        mb_buf_clear(&first);
        mb_buf_clear(&second);
        random_record(sample);
        CHECK_OK(mb_record_encode(&sample->record, &first, &err), &err);
        CHECK(first.data[first.size - 1] == '\n');
        CHECK(memchr(first.data, '\n', first.size) == first.data + first.size - 1);
        if (!CHECK_OK(decode(first.data, first.size - 1, &decoded, &err), &err)) {
            release_sample(sample);
            break;
        }
        check_same(&sample->record, &decoded);
        mb_record_copy(&decoded, &copy);
        mb_record_release(&decoded);
        CHECK(decoded.arena == NULL);
        CHECK_OK(mb_record_encode(&copy, &second, &err), &err);
        CHECK_TEXT(mb_buf_text(&second), mb_buf_text(&first));
        mb_record_release(&copy);
        release_sample(sample);
    }
    mb_buf_release(&first);
    mb_buf_release(&second);
    free(sample);
}

TEST(line_has_the_documented_form)
{
    struct mb_record record = {0};
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, MB_MIB);
    if (!CHECK_OK(decode(sample_line, strlen(sample_line), &record, &err), &err)) {
        return;
    }
    CHECK_INT(record.copy, 3);
    CHECK_TEXT(record.orphan, "memory-1");
    CHECK_INT(record.column_count, 7);
    CHECK_INT(mb_record_column(&record, "n")->value.integer, -42);
    CHECK(mb_record_column(&record, "f")->value.real == -3.0);
    CHECK_INT(mb_record_column(&record, "blob")->value.size, 4);
    CHECK_INT(mb_record_column(&record, "bad")->value.type, MB_VALUE_TEXT);
    CHECK(mb_record_column(&record, "missing") == NULL);
    CHECK_INT(mb_record_register(&record, "a")->version.hlc, INT64_C(1700000000000));
    CHECK_INT(mb_record_register(&record, "c")->parent.hlc, INT64_C(1700000000000));
    CHECK(mb_record_register(&record, "type") == NULL);
    CHECK_OK(mb_record_encode(&record, &buf, &err), &err);
    CHECK_INT(buf.size, sizeof(sample_line));
    CHECK(memcmp(buf.data, sample_line, sizeof(sample_line) - 1) == 0);
    mb_record_release(&record);
    mb_buf_release(&buf);
}

TEST(registers_and_deletes_have_their_form)
{
    /* clang-format off */
    static const char *const lines[] = {
        REG "{\"a\":[1,0,\"" ZERO "\"]}}\n", REG "{\"a\":[1,5,\"" MACHINE "\",5,\"" ZERO "\"]}}\n",
        DEL ",\"v\":[253402300799999,\"" MACHINE "\"]}\n",
        DEL ",\"v\":[9,\"" MACHINE "\"],\"d\":true}\n",
        ROW ",\"c\":{},\"r\":{\"a\":[1],\"b\":[1,1,\"" MACHINE "\"]}}\n",
    };
    /* clang-format on */
    struct mb_record record = {0};
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, MB_MIB);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        mb_buf_clear(&buf);
        if (!CHECK_OK(decode(lines[i], strlen(lines[i]) - 1, &record, &err), &err)) {
            continue;
        }
        CHECK_OK(mb_record_encode(&record, &buf, &err), &err);
        CHECK_TEXT(mb_buf_text(&buf), lines[i]);
        mb_record_release(&record);
    }
    mb_buf_release(&buf);
}

TEST(long_texts_come_back_exactly)
{
    const size_t size = MB_MIB;
    uint8_t *text = mb_alloc(size);
    struct mb_column columns[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
    struct mb_record record = {
        .kind = MB_RECORD_ROW, .table = "t", .columns = columns, .column_count = 3};
    struct mb_record decoded = {0};
    struct mb_buf buf;
    struct mb_error err;

    for (size_t i = 0; i < size; i++) {
        text[i] = (uint8_t)(1 + i % 127);
    }
    columns[0].value = (struct mb_value){.type = MB_VALUE_TEXT, .data = text, .size = size};
    columns[1].value = (struct mb_value){.type = MB_VALUE_BLOB, .data = text, .size = size - 1};
    columns[2].value = (struct mb_value){.type = MB_VALUE_TEXT}; /* empty, not NULL */
    mb_buf_init(&buf, 16 * MB_MIB);
    CHECK_OK(mb_record_encode(&record, &buf, &err), &err);
    if (CHECK_OK(decode(buf.data, buf.size - 1, &decoded, &err), &err)) {
        check_same(&record, &decoded);
        CHECK_INT(decoded.columns[2].value.type, MB_VALUE_TEXT);
    }
    mb_record_release(&decoded);
    mb_buf_release(&buf);
    free(text);
}

TEST(every_changed_byte_decodes_or_is_refused)
{
    char line[sizeof(sample_line)];
    struct mb_record record = {0};
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, MB_MIB);
    for (size_t i = 0; i < sizeof(sample_line) - 1; i++) {
        memcpy(line, sample_line, sizeof(line));
        for (int byte = 0; byte < 256; byte++) {
            line[i] = (char)byte;
            mb_error_init(&err);
            if (decode(line, sizeof(line) - 1, &record, &err) != 0) {
                CHECK(err.code == MB_ERR_CORRUPT || err.code == MB_ERR_FORMAT);
                continue;
            }
            mb_buf_clear(&buf);
            CHECK_OK(mb_record_encode(&record, &buf, &err), &err);
            mb_record_release(&record);
        }
    }
    for (size_t size = 0; size < sizeof(sample_line) - 1; size++) {
        CHECK_FAILS(decode(sample_line, size, &record, &err), &err, MB_ERR_CORRUPT);
    }
    mb_buf_release(&buf);
}

TEST(hostile_values_are_refused)
{
    /* clang-format off */
    static const char *const corrupt[] = {
        "true", "1.5", "1e3", "9223372036854775808", "-9223372036854775809", "[]", "{}",
        "\"\\u0000\"", "{\"f\":1}", "{\"f\":\"\"}", "{\"f\":\"nan\"}", "{\"f\":\"1.5\"}",
        "{\"f\":\"0x1p+1024\"}", "{\"f\":\"0x1p-1023\"}", "{\"f\":\"0x1.0p+0\"}",
        "{\"f\":\"0x1.p+0\"}", "{\"f\":\"0x0p+1\"}", "{\"f\":\"0X1p+0\"}", "{\"f\":\"0x1.Ap+0\"}",
        "{\"f\":\"0x1p+0 \"}", "{\"f\":\"+inf\"}", "{\"f\":\"0x1p+00\"}", "{\"f\":\"0x1p+\"}",
        "{\"f\":\"0x2p+0\"}", "{\"f\":\"0x1p+9999999999\"}", "{\"f\":\"0x1.00000000000001p+0\"}",
        "{\"f\":\"-\"}", "{\"f\":\"0x\"}", "{\"f\":\"0x1.8\"}", "{\"b\":\"A\"}", "{\"b\":\"AA\"}",
        "{\"b\":\"AAA\"}", "{\"b\":\"AA==AA==\"}", "{\"b\":\"A===\"}", "{\"b\":\"====\"}",
        "{\"b\":\"AB==\"}", "{\"b\":\"AAB=\"}", "{\"b\":\"AA-_\"}", "{\"b\":\"AA A\"}",
        "{\"b\":\"AAAA=\"}", "{\"b\":null}", "{\"b\":\"AA==\",\"x\":\"AA==\"}",
        "{\"b\":\"AA=A\"}",
    };
    /* clang-format on */
    char *deep = mb_alloc_zeroed(1, 100001);

    for (size_t i = 0; i < sizeof(corrupt) / sizeof(corrupt[0]); i++) {
        check_value_refused(corrupt[i], MB_ERR_CORRUPT);
    }
    check_value_refused("{\"q\":\"AA==\"}", MB_ERR_FORMAT);
    memset(deep, '[', 100000);
    check_value_refused(deep, MB_ERR_CORRUPT);
    check_refused(deep, MB_ERR_CORRUPT);
    free(deep);
}

TEST(hostile_records_are_refused)
{
    /* clang-format off */
    static const char *const corrupt[] = {
        "", "null", "[]", "{}", "{\"k\":1}", "{\"k\":\"row\"}", DEL "}",
        DEL ",\"v\":[1]}", DEL ",\"v\":[1,\"" ZERO "\",1]}", DEL ",\"v\":[-1,\"" ZERO "\"]}",
        DEL ",\"v\":[253402300800000,\"" ZERO "\"]}", DEL ",\"v\":[1.0,\"" ZERO "\"]}",
        DEL ",\"v\":[1,\"" ZERO "0\"]}", DEL ",\"v\":[1,\"0123456789ABCDEF\"]}",
        DEL ",\"v\":[1,\"\"]}", DEL ",\"v\":[1,\"" ZERO "\"],\"d\":1}",
        DEL ",\"t\":\"t\",\"v\":[1,\"" ZERO "\"]}", DEL ",\"v\":{}}",
        DEL ",\"v\":[\"1\",\"" ZERO "\"]}",
        "{\"k\":\"del\",\"t\":\"t\",\"id\":\"" ID "00\",\"v\":[1,\"" ZERO "\"]}",
        "{\"k\":\"del\",\"t\":\"\",\"id\":\"" ID "\",\"v\":[1,\"" ZERO "\"]}",
        "{\"k\":\"del\",\"t\":\"a b\",\"id\":\"" ID "\",\"v\":[1,\"" ZERO "\"]}",
        "{\"k\":\"del\",\"t\":\"9a\",\"id\":\"" ID "\",\"v\":[1,\"" ZERO "\"]}",
        REG "{\"a\":[1]}}", REG "{\"a\":[]}}", REG "{\"a\":[1,2]}}", REG "{\"a\":1}}",
        REG "{\"\":[1,1,\"" ZERO "\"]}}", REG "[[1,1,\"" ZERO "\"]]}",
        REG "{\"a\":[1,\"" ZERO "\",1]}}",
        ROW ",\"n\":-1,\"c\":{},\"r\":{}}", ROW ",\"n\":1000001,\"c\":{},\"r\":{}}",
        ROW ",\"c\":{\"a\":1,\"a\":2},\"r\":{}}", ROW ",\"c\":{\"a\":1,\"\\u0061\":2},\"r\":{}}",
        ROW ",\"c\":{},\"r\":{},\"o\":null}", ROW ",\"c\":{},\"r\":{}} x", ROW ",\"c\":{}}",
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof(corrupt) / sizeof(corrupt[0]); i++) {
        check_refused(corrupt[i], MB_ERR_CORRUPT);
    }
    check_refused("{\"k\":\"zap\"}", MB_ERR_FORMAT);
    check_refused(DEL ",\"v\":[1,\"" ZERO "\"],\"q\":1}", MB_ERR_FORMAT);
    check_refused(DEL ",\"v\":[1,\"" ZERO "\"],\"n\":1}", MB_ERR_FORMAT);
}

TEST(long_names_and_many_columns_are_refused)
{
    char name[66];
    char *line = NULL;
    struct mb_buf buf;
    struct mb_error err;

    memset(name, 'n', 65);
    name[65] = '\0';
    line = mb_alloc_format("{\"k\":\"del\",\"t\":\"%s\",\"id\":\"" ID "\",\"v\":[1,\"" ZERO "\"]}",
                           name);
    check_refused(line, MB_ERR_CORRUPT);
    free(line);
    mb_buf_init(&buf, 4 * MB_MIB);
    for (int count = MB_LIMIT_COLUMNS; count <= 60000; count += 59744) {
        struct mb_record record = {0};

        mb_buf_clear(&buf);
        CHECK_OK(mb_buf_append_text(&buf,
                                    "{\"k\":\"row\",\"t\":\"t\",\"id\":\"" ID "\",\"b\":[1,\"" ZERO
                                    "\"],\"r\":{},\"c\":{\"c0\":0",
                                    &err),
                 &err);
        for (int i = 1; i < count; i++) {
            CHECK_OK(mb_buf_append_format(&buf, &err, ",\"c%d\":%d", i, i), &err);
        }
        CHECK_OK(mb_buf_append_text(&buf, "}}", &err), &err);
        if (count > MB_LIMIT_COLUMNS) {
            check_refused(mb_buf_text(&buf), MB_ERR_CORRUPT);
            continue;
        }
        CHECK_OK(decode(buf.data, buf.size, &record, &err), &err);
        CHECK_INT(record.column_count, MB_LIMIT_COLUMNS);
        mb_record_release(&record);
    }
    mb_buf_release(&buf);
}

TEST(encode_refuses_what_others_would_refuse)
{
    char long_id[300];
    struct mb_column columns[2] = {
        {.name = "a", .value = {.type = MB_VALUE_NULL}},
        {.name = "a", .value = {.type = MB_VALUE_NULL}},
    };
    struct mb_record record = {
        .kind = MB_RECORD_ROW, .table = "t", .columns = columns, .column_count = 2};
    struct mb_buf buf;
    struct mb_error err;

    mb_buf_init(&buf, 300);
    CHECK_OK(mb_buf_append_text(&buf, "before", &err), &err);
    CHECK_FAILS(mb_record_encode(&record, &buf, &err), &err, MB_ERR_LIMIT);
    columns[1].name = "b c";
    CHECK_FAILS(mb_record_encode(&record, &buf, &err), &err, MB_ERR_LIMIT);
    columns[1].name = "b";
    columns[1].value = (struct mb_value){.type = MB_VALUE_REAL, .real = (double)NAN};
    CHECK_FAILS(mb_record_encode(&record, &buf, &err), &err, MB_ERR_LIMIT);
    columns[1].value.real = 1;
    record.version.hlc = -1;
    CHECK_FAILS(mb_record_encode(&record, &buf, &err), &err, MB_ERR_LIMIT);
    record.version.hlc = 0;
    record.orphan = "\xff";
    CHECK_FAILS(mb_record_encode(&record, &buf, &err), &err, MB_ERR_LIMIT);
    memset(long_id, 'i', sizeof(long_id) - 1);
    long_id[sizeof(long_id) - 1] = '\0';
    record.orphan = long_id;
    CHECK_FAILS(mb_record_encode(&record, &buf, &err), &err, MB_ERR_LIMIT);
    CHECK_TEXT(mb_buf_text(&buf), "before");
    record.orphan = NULL;
    CHECK_OK(mb_record_encode(&record, &buf, &err), &err);
    mb_buf_release(&buf);
}

TEST(values_have_a_total_order)
{
    /* clang-format off */
    static const struct mb_value values[] = {
        {.type = MB_VALUE_NULL}, {.type = MB_VALUE_INTEGER, .integer = INT64_MIN},
        {.type = MB_VALUE_INTEGER, .integer = 0}, {.type = MB_VALUE_INTEGER, .integer = INT64_MAX},
        {.type = MB_VALUE_REAL, .real = -INF}, {.type = MB_VALUE_REAL, .real = -1.5},
        {.type = MB_VALUE_REAL, .real = -0.0}, {.type = MB_VALUE_REAL, .real = 0.0},
        {.type = MB_VALUE_REAL, .real = 4.9406564584124654e-324},
        {.type = MB_VALUE_REAL, .real = INF}, {.type = MB_VALUE_TEXT},
        {.type = MB_VALUE_TEXT, .data = (const uint8_t *)"a", .size = 1},
        {.type = MB_VALUE_TEXT, .data = (const uint8_t *)"a\0", .size = 2},
        {.type = MB_VALUE_TEXT, .data = (const uint8_t *)"ab", .size = 2},
        {.type = MB_VALUE_TEXT, .data = (const uint8_t *)"\xff", .size = 1},
        {.type = MB_VALUE_BLOB}, {.type = MB_VALUE_BLOB, .data = (const uint8_t *)"a", .size = 1},
    };
    /* clang-format on */
    const size_t count = sizeof(values) / sizeof(values[0]);

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            int order = mb_record_value_compare(&values[i], &values[j]);

            CHECK_INT((order > 0) - (order < 0), (i > j) - (i < j));
            CHECK_INT(mb_record_value_equal(&values[i], &values[j]), i == j);
        }
    }
}

TEST(versions_are_ordered_by_clock_then_machine)
{
    struct mb_version a = {.hlc = 1, .machine = {0xff}};
    struct mb_version b = {.hlc = 2};
    struct mb_version zero = {0};

    CHECK(mb_record_version_compare(&a, &b) < 0);
    b.hlc = 1;
    CHECK(mb_record_version_compare(&a, &b) > 0);
    CHECK(!mb_record_version_is_zero(&b));
    CHECK(mb_record_version_is_zero(&zero));
}

TEST_LIST(TEST_ROW(line_has_the_documented_form), TEST_ROW(registers_and_deletes_have_their_form),
          TEST_ROW(random_records_come_back_exactly), TEST_ROW(long_texts_come_back_exactly),
          TEST_ROW(every_changed_byte_decodes_or_is_refused), TEST_ROW(hostile_values_are_refused),
          TEST_ROW(hostile_records_are_refused), TEST_ROW(long_names_and_many_columns_are_refused),
          TEST_ROW(encode_refuses_what_others_would_refuse), TEST_ROW(values_have_a_total_order),
          TEST_ROW(versions_are_ordered_by_clock_then_machine));
