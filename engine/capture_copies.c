/* SPDX-License-Identifier: MIT */

#include "capture_copies.h"

#include "alloc.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* How many rows may be seen before the sessions in memory are let go. */
#define SESSIONS_KEPT 4096

/* A row that is not mapped. */
struct candidate {
    int64_t rowid;
    uint8_t first_id[MB_ROW_ID_SIZE]; /* with copy number 0: equal for equal rows */
};

static int compare_first_ids(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;

    return memcmp(left->first_id, right->first_id, MB_ROW_ID_SIZE);
}

static int compare_rowids(int64_t left, int64_t right)
{
    return left < right ? -1 : left > right;
}

static int compare_hashes(const void *a, const void *b)
{
    uint32_t left, right;

    memcpy(&left, a, sizeof(left));
    memcpy(&right, b, sizeof(right));
    return left < right ? -1 : left > right;
}

static int compare_members(const void *a, const void *b)
{
    const struct mb_capture_member *left = a;
    const struct mb_capture_member *right = b;

    return compare_rowids(left->rowid, right->rowid);
}

static int compare_by_session(const void *a, const void *b)
{
    const struct mb_capture_member *left = a;
    const struct mb_capture_member *right = b;
    int order = memcmp(left->session, right->session, MB_ROW_ID_SIZE);

    return order != 0 ? order : compare_rowids(left->rowid, right->rowid);
}

static int is_present(struct mb_capture *capture, int table, int64_t rowid, bool *present_out,
                      struct mb_error *err)
{
    struct mb_stmt *stmt = NULL;
    char *sql = mb_alloc_format("SELECT 1 FROM %s WHERE id = ?1", mb_profile_tables[table].name);
    int step = mb_db_query(capture->engine->live, sql, &stmt, err);

    free(sql);
    if (step == 0) {
        mb_db_bind_int(stmt, 1, rowid);
        step = mb_db_step(stmt, err);
        mb_db_reset(stmt);
    }
    *present_out = step == 1;
    return step < 0 ? -1 : 0;
}

enum id_class { ID_TAKEN, ID_ALIVE, ID_DEAD, ID_UNKNOWN };

/* What the state says of an id: taken by a row that stands, known without one, dead, or never
 * seen. */
static int classify(struct mb_capture *capture, int table, const uint8_t id[static MB_ROW_ID_SIZE],
                    enum id_class *class_out, struct mb_error *err)
{
    struct mb_state *state = capture->engine->state;
    struct mb_state_row row;
    struct mb_version version;
    int found = mb_state_row_find(state, id, &row, err);

    if (found == 1) {
        bool stands = false;
        int rc = row.has_local ? is_present(capture, table, row.local, &stands, err) : 0;
        *class_out = stands ? ID_TAKEN : ID_ALIVE;
        mb_regs_release(&row.regs);
        return rc;
    }
    if (found == 0) {
        found = mb_state_tomb_find(state, id, &version, err);
        *class_out = found == 1 ? ID_DEAD : ID_UNKNOWN;
    }
    return found < 0 ? -1 : 0;
}

struct id_pool {
    uint8_t (*ids)[MB_ROW_ID_SIZE];
    size_t count;
};

/* Gathers, for `want` rows that are all equal to the one at rowid, the ids that they may get,
 * lowest numbers first. */
static int gather_ids(struct mb_capture *capture, int table, int64_t rowid, size_t want,
                      struct id_pool pools[static ID_UNKNOWN + 1], struct mb_error *err)
{
    struct mb_live_row row;
    struct mb_stmt *stmt = NULL;
    int step = mb_live_find(capture->engine, table, rowid, &row, &stmt, err);
    int rc = -1;

    if (step != 1) {
        return step < 0
                   ? -1
                   : mb_error_set(err, MB_ERR_FAILED, "a row vanished while it was being read");
    }
    for (int64_t copy = 0; copy < MB_LIVE_COPIES_MAX && pools[ID_UNKNOWN].count < want; copy++) {
        uint8_t id[MB_ROW_ID_SIZE];
        enum id_class class;
        mb_live_row_id(capture->engine, &row, copy, id);
        if (classify(capture, table, id, &class, err) != 0) {
            goto out;
        }
        if (class != ID_TAKEN && pools[class].count < want) {
            memcpy(pools[class].ids[pools[class].count++], id, MB_ROW_ID_SIZE);
        }
    }
    rc = 0;
out:
    mb_db_reset(stmt);
    return rc;
}

/* Numbers a group of equal rows. Known living ids first; on a rebuild the dead ones before new
 * ones, so that a dead row that stands in the other database stays dead. */
static int number_group(struct mb_capture *capture, int table, struct mb_capture_member *group,
                        size_t count, struct mb_error *err)
{
    bool is_rebuild = capture->is_other || capture->is_first;
    const enum id_class order[3] = {ID_ALIVE, is_rebuild ? ID_DEAD : ID_UNKNOWN,
                                    is_rebuild ? ID_UNKNOWN : ID_TAKEN};
    struct id_pool pools[ID_UNKNOWN + 1] = {
        {NULL, 0}
    };
    size_t next = 0;
    int rc = -1;

    for (int i = 0; i <= ID_UNKNOWN; i++) {
        pools[i].ids = mb_alloc_zeroed(count, MB_ROW_ID_SIZE);
    }
    if (gather_ids(capture, table, group[0].rowid, count, pools, err) != 0) {
        goto out;
    }
    for (int i = 0; i < 3; i++) {
        for (size_t k = 0; k < pools[order[i]].count && next < count; k++) {
            memcpy(group[next].id, pools[order[i]].ids[k], MB_ROW_ID_SIZE);
            group[next++].has_id = true;
        }
    }
    rc = 0;
out:
    for (int i = 0; i <= ID_UNKNOWN; i++) {
        free(pools[i].ids);
    }
    return rc;
}

/* Of several rows of one unique identity only one is synced. */
static int number_unique(struct mb_capture *capture, int table, struct mb_capture_member *group,
                         const uint8_t first_id[static MB_ROW_ID_SIZE], struct mb_error *err)
{
    enum id_class class = ID_UNKNOWN;

    if (classify(capture, table, first_id, &class, err) != 0) {
        return -1;
    }
    memcpy(group[0].id, first_id, MB_ROW_ID_SIZE);
    group[0].has_id = class != ID_TAKEN;
    return 0;
}

/* *there_out: it is there, and may leave the machine. */
static int read_candidate(struct mb_capture *capture, int table, int64_t rowid,
                          struct candidate *item_out, bool *there_out, struct mb_error *err)
{
    struct mb_live_row row;
    struct mb_stmt *stmt;
    int step = mb_capture_breathe(capture, err) != 0
                   ? -1
                   : mb_live_find(capture->engine, table, rowid, &row, &stmt, err);

    *there_out = step == 1 && !row.is_excluded;
    if (*there_out) {
        item_out->rowid = rowid;
        mb_live_row_id(capture->engine, &row, 0, item_out->first_id);
    }
    if (step == 1) {
        mb_db_reset(stmt);
    }
    return step < 0 ? -1 : 0;
}

/* Adds equal candidates to the members and numbers them. */
static int add_group(struct mb_capture *capture, int table, const struct candidate *equal,
                     size_t count, struct mb_capture_candidates *list, struct mb_error *err)
{
    struct mb_capture_member *group;

    list->members = mb_alloc_resize(list->members, list->member_count + count, sizeof(*group));
    group = list->members + list->member_count;
    list->member_count += count;
    memset(group, 0, count * sizeof(*group));
    for (size_t i = 0; i < count; i++) {
        struct mb_live_row row;
        struct mb_stmt *stmt = NULL;
        int step = mb_live_find(capture->engine, table, equal[i].rowid, &row, &stmt, err);
        if (step < 0) {
            return -1;
        }
        group[i].rowid = equal[i].rowid;
        if (step == 1 && row.session != NULL && row.session->has_id) {
            memcpy(group[i].session, row.session->id, MB_ROW_ID_SIZE);
        }
        mb_db_reset(stmt);
    }
    qsort(group, count, sizeof(*group), compare_by_session);
    return mb_profile_tables[table].is_unique
               ? number_unique(capture, table, group, equal[0].first_id, err)
               : number_group(capture, table, group, count, err);
}

/* Those of the hashes that are there more than once, ascending; given. */
static size_t find_repeated(const uint32_t *hashes, size_t count, uint32_t **repeated_out)
{
    uint32_t *sorted = mb_alloc_copy(hashes, count * sizeof(*hashes));
    size_t kept = 0;

    qsort(sorted, count, sizeof(*sorted), compare_hashes);
    for (size_t i = 1; i < count; i++) {
        if (sorted[i] == sorted[i - 1] && (kept == 0 || sorted[kept - 1] != sorted[i])) {
            sorted[kept++] = sorted[i];
        }
    }
    *repeated_out = sorted;
    return kept;
}

/* Reads the rows whose hash is there more than once: with few exceptions they are equal ones. */
static int read_suspects(struct mb_capture *capture, int table,
                         const struct mb_capture_candidates *list, struct candidate **suspects_out,
                         size_t *count_out, struct mb_error *err)
{
    uint32_t *repeated = NULL;
    size_t repeated_count = find_repeated(list->hashes, list->count, &repeated);
    size_t capacity = 0;
    int rc = 0;

    *suspects_out = NULL;
    *count_out = 0;
    for (size_t i = 0; i < list->count && repeated_count > 0 && rc == 0; i++) {
        bool is_there = false;
        if (bsearch(&list->hashes[i], repeated, repeated_count, sizeof(*repeated),
                    compare_hashes) == NULL) {
            continue;
        }
        if (*count_out == capacity) {
            capacity = capacity == 0 ? 64 : 2 * capacity;
            *suspects_out = mb_alloc_resize(*suspects_out, capacity, sizeof(**suspects_out));
        }
        rc = read_candidate(capture, table, list->rowids[i], &(*suspects_out)[*count_out],
                            &is_there, err);
        *count_out += is_there ? 1 : 0;
    }
    free(repeated);
    return rc;
}

static int number_equal(struct mb_capture *capture, int table, struct mb_capture_candidates *list,
                        struct mb_error *err)
{
    struct candidate *suspects = NULL;
    size_t count = 0;
    size_t end;
    int rc = -1;

    if (list->count < 2) {
        return 0;
    }
    if (read_suspects(capture, table, list, &suspects, &count, err) != 0) {
        goto out;
    }
    if (count > 0) {
        qsort(suspects, count, sizeof(*suspects), compare_first_ids);
    }
    for (size_t start = 0; start < count; start = end) {
        end = start + 1;
        while (end < count && compare_first_ids(&suspects[end], &suspects[start]) == 0) {
            end++;
        }
        if (end - start > 1 &&
            add_group(capture, table, suspects + start, end - start, list, err) != 0) {
            goto out;
        }
    }
    if (list->member_count > 0) {
        qsort(list->members, list->member_count, sizeof(*list->members), compare_members);
    }
    rc = 0;
out:
    free(suspects);
    return rc;
}

int mb_capture_copies_single(struct mb_capture *capture, int table, int64_t rowid,
                             struct mb_capture_member *member_out, struct mb_error *err)
{
    struct candidate item;
    enum id_class class = ID_UNKNOWN;
    bool is_there = false;

    memset(member_out, 0, sizeof(*member_out));
    if (read_candidate(capture, table, rowid, &item, &is_there, err) != 0) {
        return -1;
    }
    if (!is_there) {
        return 0;
    }
    member_out->rowid = rowid;
    memcpy(member_out->id, item.first_id, MB_ROW_ID_SIZE);
    if (classify(capture, table, item.first_id, &class, err) != 0) {
        return -1;
    }
    if (mb_profile_tables[table].is_unique) {
        member_out->has_id = class != ID_TAKEN;
    } else if (class == ID_UNKNOWN || class == ID_ALIVE) {
        member_out->has_id = true;
    } else {
        return number_group(capture, table, member_out, 1, err);
    }
    return 0;
}

/* Reads the unmapped rows of a table; those that never leave the machine are left out. */
static int list_candidates(struct mb_capture *capture, int table,
                           struct mb_capture_candidates *list, struct mb_error *err)
{
    struct mb_capture_scan *scan = &capture->scans[table];
    size_t fresh_count = scan->fresh_count;

    list->rowids = scan->fresh; /* what is left out is written over */
    scan->fresh = NULL;
    scan->fresh_count = 0;
    list->hashes = mb_alloc((fresh_count + 1) * sizeof(*list->hashes));
    for (size_t i = 0; i < fresh_count; i++) {
        struct candidate item;
        bool is_there = false;
        if (read_candidate(capture, table, list->rowids[i], &item, &is_there, err) != 0) {
            return -1;
        }
        if (is_there) {
            memcpy(&list->hashes[list->count], item.first_id, sizeof(*list->hashes));
            list->rowids[list->count++] = item.rowid;
        }
        if (i % SESSIONS_KEPT == 0) {
            mb_sessions_forget(capture->engine->sessions);
        }
    }
    return 0;
}

int mb_capture_copies_list(struct mb_capture *capture, int table,
                           struct mb_capture_candidates *list_out, struct mb_error *err)
{
    memset(list_out, 0, sizeof(*list_out));
    if (list_candidates(capture, table, list_out, err) != 0 ||
        number_equal(capture, table, list_out, err) != 0) {
        mb_capture_copies_release(list_out);
        return -1;
    }
    return 0;
}

void mb_capture_copies_release(struct mb_capture_candidates *list)
{
    free(list->rowids);
    free(list->hashes);
    free(list->members);
    memset(list, 0, sizeof(*list));
}

int mb_capture_copies_is_newcomer(struct mb_capture *capture, const struct mb_live_row *row,
                                  bool *found_out, struct mb_error *err)
{
    uint8_t id[MB_ROW_ID_SIZE];
    enum id_class class = ID_UNKNOWN;

    mb_live_row_id(capture->engine, row, 0, id);
    if (mb_profile_tables[row->table].is_unique &&
        classify(capture, row->table, id, &class, err) != 0) {
        return -1;
    }
    *found_out = class != ID_TAKEN;
    return 0;
}
