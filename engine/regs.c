/* SPDX-License-Identifier: MIT */

#include "regs.h"

#include "alloc.h"
#include "assert.h"
#include "digest.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Encoded: for each present register: index, flags, version (8 + 8), [parent (8 + 8)], [seen 8],
 * value. */
#define FLAG_PARENT 1u
#define FLAG_DIRTY 2u
#define FLAG_HASHED 4u
#define FLAG_TEXT 8u /* hashed, and the text follows its digest */
#define VERSION_SIZE 16

void mb_regs_init(struct mb_regs *regs)
{
    memset(regs, 0, sizeof(*regs));
}

void mb_regs_release(struct mb_regs *regs)
{
    free(regs->owned);
    memset(regs, 0, sizeof(*regs));
}

static void store_int64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(value >> (56 - 8 * i));
    }
}

static uint64_t load_int64(const uint8_t *data)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = value << 8 | data[i];
    }
    return value;
}

static int append_int64(struct mb_buf *buf, uint64_t value, struct mb_error *err)
{
    uint8_t bytes[8];

    store_int64(bytes, value);
    return mb_buf_append(buf, bytes, sizeof(bytes), err);
}

static int append_version(struct mb_buf *buf, const struct mb_version *version,
                          struct mb_error *err)
{
    if (append_int64(buf, (uint64_t)version->hlc, err) != 0) {
        return -1;
    }
    return mb_buf_append(buf, version->machine, MB_MACHINE_ID_SIZE, err);
}

static int append_value(struct mb_buf *buf, const struct mb_reg *reg, bool with_text,
                        struct mb_error *err)
{
    uint8_t type = (uint8_t)reg->value.type;
    uint64_t bits = 0;

    if (mb_buf_append(buf, &type, 1, err) != 0) {
        return -1;
    }
    switch (reg->value.type) {
    case MB_VALUE_INTEGER: return append_int64(buf, (uint64_t)reg->value.integer, err);
    case MB_VALUE_REAL:
        memcpy(&bits, &reg->value.real, sizeof(bits));
        return append_int64(buf, bits, err);
    case MB_VALUE_TEXT:
    case MB_VALUE_BLOB:
        if (append_int64(buf, reg->value.size, err) != 0) {
            return -1;
        }
        if (reg->is_hashed && mb_buf_append(buf, reg->digest, MB_REGS_DIGEST_SIZE, err) != 0) {
            return -1;
        }
        if (reg->is_hashed && !with_text) {
            return 0;
        }
        return mb_buf_append(buf, reg->value.data, reg->value.size, err);
    case MB_VALUE_NULL:
    default: return 0;
    }
}

int mb_regs_encode(const struct mb_regs *regs, bool with_texts, struct mb_buf *buf,
                   struct mb_error *err)
{
    for (unsigned i = 0; i < MB_PROFILE_REGISTERS_MAX; i++) {
        const struct mb_reg *reg = &regs->items[i];
        bool has_parent = mb_record_version_compare(&reg->version, &reg->parent) != 0;
        bool with_text = with_texts && reg->is_hashed && reg->value.data != NULL;
        uint8_t lead[2] = {(uint8_t)i, 0};

        if (!reg->is_present) {
            continue;
        }
        lead[1] = (uint8_t)((has_parent ? FLAG_PARENT : 0) | (reg->is_dirty ? FLAG_DIRTY : 0) |
                            (reg->is_hashed ? FLAG_HASHED : 0) | (with_text ? FLAG_TEXT : 0));
        if (mb_buf_append(buf, lead, sizeof(lead), err) != 0 ||
            append_version(buf, &reg->version, err) != 0 ||
            (has_parent && append_version(buf, &reg->parent, err) != 0) ||
            (reg->is_dirty && append_int64(buf, reg->seen, err) != 0) ||
            append_value(buf, reg, with_text, err) != 0) {
            return -1;
        }
    }
    return 0;
}

struct cursor {
    const uint8_t *data;
    size_t size;
    bool is_short;
};

static const uint8_t *take(struct cursor *cursor, size_t size)
{
    const uint8_t *data = cursor->data;

    if (cursor->is_short || cursor->size < size) {
        cursor->is_short = true;
        return NULL;
    }
    cursor->data += size;
    cursor->size -= size;
    return data;
}

static uint64_t take_int64(struct cursor *cursor)
{
    const uint8_t *data = take(cursor, 8);

    return data == NULL ? 0 : load_int64(data);
}

static void take_version(struct cursor *cursor, struct mb_version *version)
{
    const uint8_t *machine;

    version->hlc = (int64_t)take_int64(cursor);
    machine = take(cursor, MB_MACHINE_ID_SIZE);
    if (machine != NULL) {
        memcpy(version->machine, machine, MB_MACHINE_ID_SIZE);
    }
}

static void take_value(struct cursor *cursor, struct mb_reg *reg, bool with_text)
{
    const uint8_t *type = take(cursor, 1);
    uint64_t bits;

    reg->value.type = type == NULL ? MB_VALUE_NULL : (enum mb_value_type) * type;
    switch (reg->value.type) {
    case MB_VALUE_INTEGER: reg->value.integer = (int64_t)take_int64(cursor); break;
    case MB_VALUE_REAL:
        bits = take_int64(cursor);
        memcpy(&reg->value.real, &bits, sizeof(bits));
        break;
    case MB_VALUE_TEXT:
    case MB_VALUE_BLOB:
        reg->value.size = (size_t)take_int64(cursor);
        if (reg->is_hashed) {
            const uint8_t *digest = take(cursor, MB_REGS_DIGEST_SIZE);
            if (digest != NULL) {
                memcpy(reg->digest, digest, MB_REGS_DIGEST_SIZE);
            }
        }
        if (!reg->is_hashed || with_text) {
            reg->value.data = take(cursor, reg->value.size);
        }
        break;
    case MB_VALUE_NULL: break;
    default: cursor->is_short = true; break;
    }
}

int mb_regs_decode(const uint8_t *data, size_t size, struct mb_regs *regs_out, struct mb_error *err)
{
    struct mb_regs regs;
    struct cursor cursor = {NULL, size, false};

    mb_regs_init(&regs);
    regs.owned = mb_alloc_copy(data, size);
    cursor.data = regs.owned;
    while (cursor.size > 0 && !cursor.is_short) {
        const uint8_t *lead = take(&cursor, 2);
        struct mb_reg *reg;
        if (lead == NULL || lead[0] >= MB_PROFILE_REGISTERS_MAX) {
            cursor.is_short = true;
            break;
        }
        reg = &regs.items[lead[0]];
        reg->is_present = true;
        reg->is_dirty = (lead[1] & FLAG_DIRTY) != 0;
        reg->is_hashed = (lead[1] & FLAG_HASHED) != 0;
        take_version(&cursor, &reg->version);
        reg->parent = reg->version;
        if ((lead[1] & FLAG_PARENT) != 0) {
            take_version(&cursor, &reg->parent);
        }
        if (reg->is_dirty) {
            reg->seen = take_int64(&cursor);
        }
        take_value(&cursor, reg, (lead[1] & FLAG_TEXT) != 0);
    }
    if (cursor.is_short) {
        mb_regs_release(&regs);
        return mb_error_set(err, MB_ERR_CORRUPT, "the state holds a damaged row");
    }
    *regs_out = regs;
    return 0;
}

void mb_regs_make(enum mb_profile_rule rule, const struct mb_value *value,
                  const struct mb_version *version, struct mb_reg *reg_out)
{
    uint8_t digest[MB_DIGEST_SIZE];

    memset(reg_out, 0, sizeof(*reg_out));
    reg_out->is_present = true;
    reg_out->version = *version;
    reg_out->parent = *version;
    reg_out->value = *value;
    if (rule == MB_RULE_LONGEST && (value->type == MB_VALUE_TEXT || value->type == MB_VALUE_BLOB)) {
        reg_out->is_hashed = true;
        mb_digest_sha256(value->data, value->size, digest);
        memcpy(reg_out->digest, digest, MB_REGS_DIGEST_SIZE);
    }
}

static int compare_longest(const struct mb_reg *a, const struct mb_reg *b)
{
    if (!a->is_hashed || !b->is_hashed) {
        return a->is_hashed != b->is_hashed ? (int)a->is_hashed - (int)b->is_hashed
                                            : mb_record_value_compare(&a->value, &b->value);
    }
    if (a->value.size != b->value.size) {
        return a->value.size < b->value.size ? -1 : 1;
    }
    return memcmp(a->digest, b->digest, MB_REGS_DIGEST_SIZE);
}

int mb_regs_compare(enum mb_profile_rule rule, const struct mb_reg *a, const struct mb_reg *b)
{
    bool a_known = a->is_present && a->value.type != MB_VALUE_NULL;
    bool b_known = b->is_present && b->value.type != MB_VALUE_NULL;
    int order;

    if (a->is_present != b->is_present) {
        return (int)a->is_present - (int)b->is_present;
    }
    if (a_known != b_known) {
        return (int)a_known - (int)b_known;
    }
    if (rule == MB_RULE_LONGEST) {
        return compare_longest(a, b);
    }
    order = mb_record_version_compare(&a->version, &b->version);
    return order != 0 ? order : mb_record_value_compare(&a->value, &b->value);
}

bool mb_regs_same_value(const struct mb_reg *a, const struct mb_reg *b)
{
    if (!a->is_present || !b->is_present) {
        return a->is_present == b->is_present;
    }
    if (a->is_hashed || b->is_hashed) {
        return a->is_hashed == b->is_hashed && a->value.size == b->value.size &&
               memcmp(a->digest, b->digest, MB_REGS_DIGEST_SIZE) == 0;
    }
    return mb_record_value_equal(&a->value, &b->value);
}

bool mb_regs_is_conflict(enum mb_profile_rule rule, const struct mb_reg *a, const struct mb_reg *b)
{
    if (rule == MB_RULE_LONGEST || !a->is_present || !b->is_present ||
        a->value.type == MB_VALUE_NULL || b->value.type == MB_VALUE_NULL ||
        mb_regs_same_value(a, b)) {
        return false;
    }
    if (mb_record_version_compare(&a->version, &b->version) == 0) {
        return true; /* both stood there before we came, and differ */
    }
    /* One replaced the other, or something later than it: its maker knew. */
    return mb_record_version_compare(&a->parent, &b->version) < 0 &&
           mb_record_version_compare(&b->parent, &a->version) < 0 &&
           !(mb_record_version_is_zero(&a->version) || mb_record_version_is_zero(&b->version));
}

uint64_t mb_regs_fingerprint(const struct mb_reg *reg)
{
    uint8_t digest[MB_DIGEST_SIZE];
    uint8_t bytes[9] = {(uint8_t)reg->value.type};

    if (reg->is_hashed) {
        return load_int64(reg->digest) ^ reg->value.size;
    }
    switch (reg->value.type) {
    case MB_VALUE_TEXT:
    case MB_VALUE_BLOB: mb_digest_sha256(reg->value.data, reg->value.size, digest); break;
    case MB_VALUE_INTEGER:
        store_int64(bytes + 1, (uint64_t)reg->value.integer);
        mb_digest_sha256(bytes, sizeof(bytes), digest);
        break;
    case MB_VALUE_REAL:
        memcpy(bytes + 1, &reg->value.real, 8);
        mb_digest_sha256(bytes, sizeof(bytes), digest);
        break;
    case MB_VALUE_NULL:
    default: return 0;
    }
    return load_int64(digest) + (uint64_t)reg->value.type;
}

struct mb_version mb_regs_initial(int64_t created_ms)
{
    struct mb_version version = {0, {0}};

    version.hlc = created_ms < 0 ? 0 : created_ms;
    if (version.hlc > MB_LIMIT_CREATED_MS) {
        version.hlc = MB_LIMIT_CREATED_MS; /* a time in microseconds, or nonsense */
    }
    return version;
}
