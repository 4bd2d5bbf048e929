/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "digest.h"
#include "json.h"
#include "limits.h"
#include "record_part.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define KIND_BIT(kind) (1U << (kind))
#define IN_ROW KIND_BIT(MB_RECORD_ROW)
#define IN_REGISTERS KIND_BIT(MB_RECORD_REGISTERS)
#define IN_DELETE KIND_BIT(MB_RECORD_DELETE)
#define IN_ALL (IN_ROW | IN_REGISTERS | IN_DELETE)

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
        if (!mb_record_real_parse(text, &value->real)) {
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
    if (!mb_record_base64_decode(text, strlen(text), arena->next, &value->size)) {
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
    while (kind <= MB_RECORD_DELETE && strcmp(name, mb_record_kind_names[kind]) != 0) {
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
    return mb_record_check(record, MB_ERR_CORRUPT, err);
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
