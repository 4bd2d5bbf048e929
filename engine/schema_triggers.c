/* SPDX-License-Identifier: MIT */

#include "schema_triggers.h"

#include "alloc.h"
#include "limits.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define SQL_MAX (64 * MB_KIB)

/* SQL text without any white space, so that claude-mem's indentation does not matter. */
static char *squeeze(const char *sql)
{
    char *copy = mb_alloc_text(sql);
    char *to = copy;

    for (const char *from = copy; *from != '\0'; from++) {
        if (strchr(" \t\r\n", *from) == NULL) {
            *to++ = *from;
        }
    }
    *to = '\0';
    return copy;
}

static bool same_squeezed(const char *a, const char *b)
{
    char *left = squeeze(a);
    char *right = squeeze(b);
    bool same = strcmp(left, right) == 0;

    free(left);
    free(right);
    return same;
}

/* "<prefix>a, <prefix>b" for the columns that the full-text table declares. */
static int list_fts_columns(struct mb_db *live, const char *fts, const char *prefix,
                            struct mb_buf *buf, struct mb_error *err)
{
    struct mb_stmt *stmt;
    const char *comma = "";
    int step;

    if (mb_db_query(live, "SELECT name FROM pragma_table_info(?1)", &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, fts);
    while ((step = mb_db_step(stmt, err)) == 1) {
        if (mb_buf_append_format(buf, err, "%s%s%s", comma, prefix, mb_db_text(stmt, 0)) != 0) {
            mb_db_reset(stmt);
            return -1;
        }
        comma = ", ";
    }
    return step;
}

struct expected {
    char *insert; /* the statement of _ai, and the second of _au */
    char *delete; /* the statement of _ad, and the first of _au */
};

static int expect(struct mb_db *live, const char *fts, struct expected *expected_out,
                  struct mb_error *err)
{
    struct mb_buf plain, new_values, old_values;
    int rc = -1;

    mb_buf_init(&plain, SQL_MAX);
    mb_buf_init(&new_values, SQL_MAX);
    mb_buf_init(&old_values, SQL_MAX);
    if (list_fts_columns(live, fts, "", &plain, err) != 0 ||
        list_fts_columns(live, fts, "new.", &new_values, err) != 0 ||
        list_fts_columns(live, fts, "old.", &old_values, err) != 0) {
        goto out;
    }
    expected_out->insert = mb_alloc_format("INSERT INTO %s(rowid, %s) VALUES (new.id, %s);", fts,
                                           mb_buf_text(&plain), mb_buf_text(&new_values));
    expected_out->delete =
        mb_alloc_format("INSERT INTO %s(%s, rowid, %s) VALUES('delete', old.id, %s);", fts, fts,
                        mb_buf_text(&plain), mb_buf_text(&old_values));
    rc = 0;
out:
    mb_buf_release(&plain);
    mb_buf_release(&new_values);
    mb_buf_release(&old_values);
    return rc;
}

/* Which of claude-mem's three triggers is this: 1 insert, 2 delete, 4 update; 0: none of them. */
static unsigned known_trigger(const struct mb_profile_table *profile,
                              const struct expected *expected, const char *name, const char *sql)
{
    static const struct {
        const char *suffix;
        const char *event;
        unsigned bit;
    } kinds[] = {
        {"ai", "INSERT", 1},
        {"ad", "DELETE", 2},
        {"au", "UPDATE", 4}
    };
    unsigned found = 0;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char *want_name = mb_alloc_format("%s_%s", profile->name, kinds[i].suffix);
        char *want = mb_alloc_format("CREATE TRIGGER %s AFTER %s ON %s BEGIN %s%s END", want_name,
                                     kinds[i].event, profile->name,
                                     kinds[i].bit == 1 ? "" : expected->delete,
                                     kinds[i].bit == 2 ? "" : expected->insert);
        if (strcmp(name, want_name) == 0 && same_squeezed(sql, want)) {
            found = kinds[i].bit;
        }
        free(want_name);
        free(want);
    }
    return found;
}

/* Can a write of ours reach this table? Our tables, what cascades from them, and the full-text
 * tables' own. */
static int is_reachable(struct mb_db *live, const char *table, bool *reachable_out,
                        struct mb_error *err)
{
    static const char sql[] =
        "WITH RECURSIVE reach(name) AS "
        "(VALUES('sdk_sessions'),('observations'),('session_summaries'),"
        "('user_prompts'),('tool_uses') UNION SELECT m.name FROM reach JOIN sqlite_master AS m ON "
        "m.type = 'table' AND EXISTS (SELECT 1 FROM pragma_foreign_key_list(m.name) AS f WHERE "
        "lower(f.\"table\") = lower(reach.name))) SELECT count(*) FROM reach WHERE lower(name) "
        "= lower(?1)";
    struct mb_stmt *stmt;
    int step;

    if (mb_db_query(live, sql, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 1, table);
    step = mb_db_step(stmt, err);
    if (step < 0) {
        return -1;
    }
    *reachable_out = mb_db_int(stmt, 0) > 0 || mb_text_has_prefix(table, "observations_fts") ||
                     mb_text_has_prefix(table, "session_summaries_fts") ||
                     mb_text_has_prefix(table, "user_prompts_fts");
    mb_db_reset(stmt);
    return 0;
}

static void report(struct mb_schema *schema, const char *name, const char *table)
{
    char shown_name[96];
    char shown_table[96];

    if (schema->foreign_trigger == NULL) {
        mb_text_clean(shown_name, sizeof(shown_name), name, strlen(name));
        mb_text_clean(shown_table, sizeof(shown_table), table, strlen(table));
        schema->foreign_trigger = mb_alloc_format(
            "the database has a trigger or view '%s' on '%s' that is not claude-mem's own",
            shown_name, shown_table);
    }
}

/* The full-text twin must be what claude-mem makes: an external-content FTS5 table over our
 * table. */
static int check_fts(struct mb_db *live, struct mb_schema *schema, struct mb_schema_table *table,
                     bool *is_there_out, struct mb_error *err)
{
    struct mb_stmt *stmt;
    char *squeezed = NULL;
    char *prefix = mb_alloc_format("CREATEVIRTUALTABLE%sUSINGfts5(", table->profile->fts);
    char *content = mb_alloc_format("content='%s'", table->profile->name);
    int step;

    *is_there_out = false;
    step = mb_db_query(live, "SELECT sql FROM sqlite_master WHERE lower(name) = ?1", &stmt, err);
    if (step == 0) {
        mb_db_bind_text(stmt, 1, table->profile->fts);
        step = mb_db_step(stmt, err);
    }
    if (step == 1) {
        const char *sql = mb_db_text(stmt, 0);
        squeezed = squeeze(sql == NULL ? "" : sql);
        if (mb_text_has_prefix(squeezed, prefix) && strstr(squeezed, content) != NULL) {
            *is_there_out = true;
        } else {
            report(schema, table->profile->fts, table->profile->name);
        }
        mb_db_reset(stmt);
    }
    free(squeezed);
    free(prefix);
    free(content);
    return step < 0 ? -1 : 0;
}

struct trigger {
    char *name;
    char *table;
    char *sql;
};

static int list_triggers(struct mb_db *live, struct trigger **list_out, size_t *count_out,
                         struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct trigger *list = NULL;
    size_t count = 0;
    int step;

    if (mb_db_query(live, "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'",
                    &stmt, err) != 0) {
        return -1;
    }
    while ((step = mb_db_step(stmt, err)) == 1) {
        const char *sql = mb_db_text(stmt, 2);
        list = mb_alloc_resize(list, count + 1, sizeof(*list));
        list[count].name = mb_alloc_text(mb_db_text(stmt, 0));
        list[count].table = mb_alloc_text(mb_db_text(stmt, 1));
        list[count].sql = mb_alloc_text(sql == NULL ? "" : sql);
        count++;
    }
    *list_out = list;
    *count_out = count;
    return step;
}

static int check_table(struct mb_db *live, struct mb_schema *schema, struct mb_schema_table *table,
                       struct trigger *list, size_t count, struct mb_error *err)
{
    struct expected expected = {NULL, NULL};
    unsigned found = 0;
    bool is_there = false;
    int rc = -1;

    if (check_fts(live, schema, table, &is_there, err) != 0 ||
        (is_there && expect(live, table->profile->fts, &expected, err) != 0)) {
        goto out;
    }
    for (size_t i = 0; i < count && is_there; i++) {
        unsigned bit = strcmp(list[i].table, table->profile->name) != 0
                           ? 0
                           : known_trigger(table->profile, &expected, list[i].name, list[i].sql);
        if (bit != 0) {
            list[i].sql[0] = '\0'; /* known: not looked at again */
        }
        found |= bit;
    }
    table->has_fts = found == 7;
    rc = 0;
out:
    free(expected.insert);
    free(expected.delete);
    return rc;
}

int mb_schema_triggers_load(struct mb_db *live, struct mb_schema *schema, struct mb_error *err)
{
    struct trigger *list = NULL;
    size_t count = 0;
    int rc = -1;

    if (list_triggers(live, &list, &count, err) != 0) {
        goto out;
    }
    for (int i = 0; i < MB_TABLE_COUNT; i++) {
        if (schema->tables[i].is_present && schema->tables[i].profile->fts != NULL &&
            check_table(live, schema, &schema->tables[i], list, count, err) != 0) {
            goto out;
        }
    }
    for (size_t i = 0; i < count; i++) {
        bool reachable = false;
        if (list[i].sql[0] == '\0') {
            continue;
        }
        if (is_reachable(live, list[i].table, &reachable, err) != 0) {
            goto out;
        }
        if (reachable) {
            report(schema, list[i].name, list[i].table);
        }
    }
    rc = 0;
out:
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        free(list[i].table);
        free(list[i].sql);
    }
    free(list);
    return rc;
}
