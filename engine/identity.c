/* SPDX-License-Identifier: MIT */

#include "identity.h"

#include "assert.h"
#include "text.h"

#include <string.h>

#include "banned.h"

static void update_int64(struct mb_digest *digest, char type, uint64_t value)
{
    uint8_t bytes[9] = {(uint8_t)type};

    for (int i = 0; i < 8; i++) {
        bytes[1 + i] = (uint8_t)(value >> (56 - 8 * i));
    }
    mb_digest_update(digest, bytes, sizeof(bytes));
}

static void update_value(struct mb_digest *digest, const struct mb_value *value)
{
    uint64_t bits;

    switch (value->type) {
    case MB_VALUE_INTEGER: update_int64(digest, 'i', (uint64_t)value->integer); break;
    case MB_VALUE_REAL:
        memcpy(&bits, &value->real, sizeof(bits));
        update_int64(digest, 'r', bits);
        break;
    case MB_VALUE_TEXT:
    case MB_VALUE_BLOB:
        update_int64(digest, value->type == MB_VALUE_TEXT ? 't' : 'b', value->size);
        mb_digest_update(digest, value->data, value->size);
        break;
    case MB_VALUE_NULL:
    default: mb_digest_update(digest, "n", 1); break;
    }
}

void mb_identity_set(struct mb_identity *identity, size_t index, const struct mb_value *value)
{
    const struct mb_profile_identity *rule = &identity->table->identity[index];
    struct mb_value *target = &identity->values[index];

    MB_ASSERT(rule->column != NULL);
    memset(target, 0, sizeof(*target));
    target->type = MB_VALUE_NULL;
    if (value != NULL) {
        *target = *value;
    }
    if (target->type == MB_VALUE_NULL && rule->absent != NULL) {
        target->type = MB_VALUE_TEXT;
        target->data = (const uint8_t *)rule->absent;
        target->size = strlen(rule->absent);
    }
    if (rule->char_count_max > 0 && target->type == MB_VALUE_TEXT) {
        if (mb_text_is_utf8(target->data, target->size)) {
            target->size =
                mb_text_prefix((const char *)target->data, target->size, rule->char_count_max);
        } else if (target->size > rule->char_count_max) {
            target->size = rule->char_count_max;
        }
    }
}

bool mb_identity_from_record(const struct mb_profile_table *table, const struct mb_record *record,
                             struct mb_identity *identity_out)
{
    identity_out->table = table;
    for (size_t i = 0; table->identity[i].column != NULL; i++) {
        const char *name = table->identity[i].column;
        const struct mb_register *reg = mb_record_register(record, name);
        const struct mb_column *column = mb_record_column(record, name);
        if (reg == NULL && column == NULL) {
            return false;
        }
        mb_identity_set(identity_out, i, reg != NULL ? &reg->value : &column->value);
    }
    return true;
}

void mb_identity_row_id(struct mb_digest *digest, const struct mb_identity *identity, int64_t copy,
                        uint8_t out[static MB_ROW_ID_SIZE])
{
    uint8_t full[MB_DIGEST_SIZE];

    update_int64(digest, 't', strlen(identity->table->name));
    mb_digest_update(digest, identity->table->name, strlen(identity->table->name));
    for (size_t i = 0; identity->table->identity[i].column != NULL; i++) {
        update_value(digest, &identity->values[i]);
    }
    update_int64(digest, 'i', (uint64_t)copy);
    mb_digest_final(digest, full);
    memcpy(out, full, MB_ROW_ID_SIZE);
}
