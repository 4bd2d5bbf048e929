/* SPDX-License-Identifier: MIT */

#include "write_link.h"

#include "alloc.h"
#include "assert.h"
#include "attach.h"
#include "capture.h"
#include "limits.h"
#include "text.h"
#include "write.h"
#include "write_list.h"
#include "write_savepoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

static const struct mb_value *register_value(const struct mb_state_row *known, const char *name)
{
    int index = mb_profile_register_find(&mb_profile_tables[known->table], name);

    return index < 0 || !known->regs.items[index].is_present ? NULL
                                                             : &known->regs.items[index].value;
}

const uint8_t *mb_write_link_reference(const struct mb_state_row *known, const char *name)
{
    const struct mb_value *value = register_value(known, name);

    return value != NULL && value->type == MB_VALUE_BLOB && value->size == MB_ROW_ID_SIZE
               ? value->data
               : NULL;
}

/* The columns by which a child names its parent. */
int mb_write_link_parent(struct mb_engine *engine, const struct mb_schema_table *table,
                         const struct mb_state_row *known, const char *orphan,
                         struct mb_write_list *list, struct mb_error *err)
{
    const struct mb_value *content_value = mb_write_list_find(list, "content_session_id");
    char *content = NULL;
    struct mb_attach_wish wish = {known->table, mb_write_link_reference(known, "session"), orphan,
                                  NULL, register_value(known, "project")};
    const struct mb_session *parent = NULL;
    int rc = 0;

    if (table->profile->link == MB_LINK_NONE) {
        return 0;
    }
    if (content_value != NULL && content_value->type == MB_VALUE_TEXT) {
        content = mb_alloc_text_n((const char *)content_value->data, content_value->size);
        wish.content = content;
    }
    if (table->profile->is_optional) { /* tool_uses: no foreign key, no stub made for it */
        parent = wish.id == NULL ? NULL : mb_sessions_by_id(engine->sessions, wish.id);
    } else {
        rc = mb_attach_parent(engine, &wish, &parent, err);
    }
    free(content);
    if (rc != 0) {
        return -1;
    }
    if (table->profile->link == MB_LINK_MEMORY_ID) {
        MB_ASSERT(parent != NULL && parent->memory != NULL);
        mb_write_list_text(list, "memory_session_id", parent->memory);
    } else if (table->link_column >= 0 && parent != NULL) {
        mb_write_list_int(list, "session_db_id", parent->rowid);
    }
    return 0;
}

int mb_write_link_observation(struct mb_engine *engine, const struct mb_schema_table *table,
                              const struct mb_state_row *known, struct mb_write_list *list,
                              struct mb_error *err)
{
    const uint8_t *id = mb_write_link_reference(known, "observation");
    struct mb_state_row row;
    int found;

    if (table->observation_column < 0 || id == NULL) {
        return 0;
    }
    found = mb_state_row_find(engine->state, id, &row, err);
    if (found == 1) {
        if (row.has_local) {
            mb_write_list_int(list, "observation_id", row.local);
        }
        mb_regs_release(&row.regs);
    }
    return found < 0 ? -1 : 0;
}

int mb_write_link_changed(struct mb_engine *engine, const struct mb_live_row *row,
                          const struct mb_state_row *known, struct mb_write_list *list,
                          struct mb_error *err)
{
    size_t before = list->count;

    if (mb_write_link_parent(engine, row->schema, known, NULL, list, err) != 0) {
        return -1;
    }
    if (list->count > before && row->schema->hash_column >= 0) {
        const struct mb_value *hash = &row->values[row->schema->hash_column];
        const char *memory = (const char *)list->values[before].data;
        bool is_taken = false;
        if (hash->type == MB_VALUE_TEXT &&
            mb_write_list_hash_is_taken(engine, memory, (const char *)hash->data, &is_taken, err) !=
                0) {
            return -1;
        }
        if (is_taken) {
            list->hash_tries = 1; /* not claude-mem's own: that is what is taken */
            return mb_write_list_hash(engine, list, memory, known->id, err);
        }
    }
    return 0;
}
