/* SPDX-License-Identifier: MIT */

#include "state.h"

#include "alloc.h"
#include "assert.h"
#include "file.h"
#include "limits.h"
#include "pack.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define FORMAT 1

static const char schema[] =
    /* facts by name: machine id, logical clock, digest, the database's marks, last results */
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    /* rows known alive; local: rowid in the live database, NULL while it is not there */
    "CREATE TABLE row(id BLOB PRIMARY KEY, tbl INTEGER NOT NULL, local INTEGER, created INTEGER "
    "NOT NULL,"
    " born_hlc INTEGER NOT NULL, born_machine BLOB NOT NULL, suppressed INTEGER NOT NULL,"
    " twin INTEGER NOT NULL, regs BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX row_local ON row(tbl, local) WHERE local IS NOT NULL;"
    /* rows whose registers the live database has yet to get (regs.h, dirty), and dead rows to be
     * removed from it */
    "CREATE TABLE dirty(id BLOB PRIMARY KEY) WITHOUT ROWID;"
    /* deleted rows, for good; local: still in the live database, to be removed by the next merge */
    "CREATE TABLE tomb(id BLOB PRIMARY KEY, tbl INTEGER NOT NULL, hlc INTEGER NOT NULL,"
    " machine BLOB NOT NULL, decided INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE undead(tbl INTEGER NOT NULL, local INTEGER NOT NULL, id BLOB NOT NULL,"
    " PRIMARY KEY(tbl, local)) WITHOUT ROWID;"
    /* registers without their row: it has not come yet, or is a session that died */
    "CREATE TABLE loose(id BLOB PRIMARY KEY, tbl INTEGER NOT NULL, regs BLOB NOT NULL) WITHOUT "
    "ROWID;"
    /* whole records that this claude-mem cannot hold, and columns it does not have */
    "CREATE TABLE shelf(id BLOB NOT NULL, record BLOB NOT NULL, tbl TEXT NOT NULL, why TEXT NOT "
    "NULL,"
    " PRIMARY KEY(id, record)) WITHOUT ROWID;"
    "CREATE TABLE extra(id BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;"
    /* session rows of ours that stand for a session which is not here */
    "CREATE TABLE stub(local INTEGER PRIMARY KEY, id BLOB NOT NULL);"
    /* deletes seen here and not believed; tombstones that came and are not believed */
    "CREATE TABLE held_out(id BLOB PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE held_in(id BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;"
    /* outbox: blocks of records (zstd frames); segments cut from them, being sent */
    "CREATE TABLE out(id INTEGER PRIMARY KEY AUTOINCREMENT, records INTEGER NOT NULL, raw "
    "INTEGER NOT NULL,"
    " deletes INTEGER NOT NULL, body BLOB NOT NULL);"
    "CREATE TABLE sending(seq INTEGER PRIMARY KEY, name TEXT NOT NULL, chain BLOB NOT NULL,"
    " records INTEGER NOT NULL, raw INTEGER NOT NULL, deletes INTEGER NOT NULL,"
    " body BLOB NOT NULL);"
    "CREATE TABLE unsent(id BLOB PRIMARY KEY) WITHOUT ROWID;"
    /* our stream: its segments, heads and what is to be deleted after the grace time */
    "CREATE TABLE entry(last INTEGER PRIMARY KEY, first INTEGER NOT NULL, chain BLOB NOT NULL,"
    " name TEXT NOT NULL, size INTEGER NOT NULL, raw INTEGER NOT NULL,"
    " records INTEGER NOT NULL, lost INTEGER NOT NULL);"
    "CREATE TABLE own_head(seq INTEGER PRIMARY KEY, key TEXT NOT NULL, body BLOB NOT NULL,"
    " is_put INTEGER NOT NULL);"
    "CREATE TABLE trash(name TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;"
    /* other streams: what was applied, which heads are fully read, what is known of the machine */
    "CREATE TABLE applied(machine BLOB NOT NULL, chain BLOB NOT NULL, last INTEGER NOT NULL,"
    " PRIMARY KEY(machine, chain)) WITHOUT ROWID;"
    "CREATE TABLE seen(key TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE stream(machine BLOB PRIMARY KEY, name TEXT NOT NULL, head INTEGER NOT NULL,"
    " last INTEGER NOT NULL, chain BLOB NOT NULL, behind INTEGER NOT NULL, time INTEGER NOT NULL,"
    " missing INTEGER NOT NULL, digest BLOB, covers TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE conflict(id INTEGER PRIMARY KEY AUTOINCREMENT, row BLOB NOT NULL, tbl TEXT "
    "NOT NULL,"
    " title TEXT NOT NULL, col TEXT NOT NULL, kept TEXT NOT NULL, other NOT NULL,"
    " hlc INTEGER NOT NULL, machine BLOB NOT NULL, time INTEGER NOT NULL,"
    " UNIQUE(row, col, hlc, machine, other));"
    /* merges: journal.h says how they are read; in_flight while the live database may or may not
     * have it */
    "CREATE TABLE merge(id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, what TEXT "
    "NOT NULL);"
    "CREATE TABLE journal(id INTEGER PRIMARY KEY AUTOINCREMENT, merge INTEGER NOT NULL,"
    " in_flight INTEGER NOT NULL, local INTEGER, record BLOB NOT NULL, before BLOB NOT NULL);"
    "CREATE INDEX journal_flight ON journal(in_flight) WHERE in_flight;";

static int make(struct mb_state *state, struct mb_error *err)
{
    if (mb_db_begin_write(state->db, err) != 0 || mb_db_exec(state->db, schema, err) != 0 ||
        mb_db_exec(state->db, "PRAGMA user_version=1", err) != 0 ||
        mb_state_new_machine(state, err) != 0 || mb_state_set_int(state, "hlc", 0, err) != 0 ||
        mb_state_set_text(state, "digest", "00000000000000000000000000000000", err) != 0) {
        mb_db_rollback(state->db);
        return -1;
    }
    return mb_db_commit(state->db, err);
}

static int load(struct mb_state *state, struct mb_error *err)
{
    char *machine = NULL;
    char *digest = NULL;
    uint8_t words[16];
    int rc = -1;

    if (mb_state_get_text(state, "machine", &machine, err) != 0 ||
        mb_state_get_text(state, "digest", &digest, err) != 0 ||
        mb_state_get_int(state, "hlc", 0, &state->hlc, err) != 0) {
        goto out;
    }
    if (machine == NULL || digest == NULL ||
        !mb_digest_unhex(machine, state->machine, MB_MACHINE_ID_SIZE) ||
        !mb_digest_unhex(digest, words, sizeof(words))) {
        (void)mb_error_set(err, MB_ERR_CORRUPT, "state.db lacks what it must hold");
        goto out;
    }
    state->digest[0] = state->digest[1] = 0;
    for (int i = 0; i < 16; i++) {
        state->digest[i / 8] = state->digest[i / 8] << 8 | words[i];
    }
    state->is_changed = false;
    mb_buf_clear(&state->out_lines);
    state->out_count = 0;
    state->out_deletes = 0;
    rc = 0;
out:
    free(machine);
    free(digest);
    return rc;
}

static int open_file(struct mb_state *state, const char *path, bool is_read_only,
                     struct mb_error *err)
{
    int64_t format = 0;
    int64_t table_count = 0;

    if (mb_db_open(path, is_read_only ? MB_DB_READ : MB_DB_STATE, "the state", &state->db, err) !=
            0 ||
        mb_db_scalar(state->db, "PRAGMA user_version", 0, &format, err) != 0 ||
        mb_db_scalar(state->db, "SELECT count(*) FROM sqlite_master", 0, &table_count, err) != 0) {
        return -1;
    }
    if (format > FORMAT) {
        return mb_error_set(err, MB_ERR_FORMAT, "the state '%s' was written by a newer membridge",
                            path);
    }
    if (format == 0 && table_count == 0) {
        if (is_read_only) {
            return mb_error_set(err, MB_ERR_NOT_SET_UP, "nothing was synced on this machine yet");
        }
        if (make(state, err) != 0) {
            return -1;
        }
    } else if (format != FORMAT) {
        return mb_error_set(err, MB_ERR_CORRUPT, "'%s' is not a state of membridge", path);
    }
    return load(state, err);
}

int mb_state_open(const char *folder, bool is_read_only, const struct mb_env *env,
                  struct mb_state **state_out, struct mb_error *err)
{
    struct mb_state *state = mb_alloc_zeroed(1, sizeof(*state));
    char *path = mb_file_join(folder, "state.db");
    int rc = -1;

    state->env = env;
    state->sha = mb_digest_new();
    mb_buf_init(&state->out_lines, MB_LIMIT_SEGMENT_RAW_BYTES);
    if (is_read_only && !mb_file_exists(path)) {
        (void)mb_error_set(err, MB_ERR_NOT_SET_UP, "nothing was synced on this machine yet");
        (void)mb_error_advise(err, "run 'membridge sync'");
        goto out;
    }
    if (open_file(state, path, is_read_only, err) != 0) {
        if (err->code == MB_ERR_CORRUPT) {
            (void)mb_error_advise(
                err,
                "set it aside (mv '%s' '%s.damaged') and run 'membridge sync': the "
                "memories are in the database and in the store, nothing is lost",
                path, path);
        }
        goto out;
    }
    *state_out = state;
    state = NULL;
    rc = 0;
out:
    mb_state_close(state);
    free(path);
    return rc;
}

void mb_state_close(struct mb_state *state)
{
    if (state != NULL) {
        mb_db_close(state->db);
        mb_digest_free(state->sha);
        mb_buf_release(&state->out_lines);
        free(state);
    }
}

int mb_state_begin(struct mb_state *state, struct mb_error *err)
{
    MB_ASSERT(!mb_db_in_transaction(state->db));
    if (state->is_stale && load(state, err) != 0) {
        return -1;
    }
    state->is_stale = false;
    return mb_db_begin_write(state->db, err);
}

/* Turns the open block into a frame of the outbox. */
static int flush_out(struct mb_state *state, struct mb_error *err)
{
    struct mb_stmt *stmt;
    struct mb_buf frame;
    int rc = -1;

    if (state->out_count == 0) {
        return 0;
    }
    mb_buf_init(&frame, MB_LIMIT_SEGMENT_RAW_BYTES);
    if (mb_pack_append_frame(&frame, state->out_lines.data, state->out_lines.size, err) != 0 ||
        mb_db_query(state->db,
                    "INSERT INTO out(records, raw, body, deletes) VALUES(?1, ?2, ?3, ?4)", &stmt,
                    err) != 0) {
        goto out;
    }
    mb_db_bind_int(stmt, 1, state->out_count);
    mb_db_bind_int(stmt, 2, (int64_t)state->out_lines.size);
    mb_db_bind_blob_borrowed(stmt, 3, frame.data, frame.size);
    mb_db_bind_int(stmt, 4, state->out_deletes);
    rc = mb_db_run(stmt, err);
    if (rc == 0) {
        mb_buf_clear(&state->out_lines);
        state->out_count = 0;
        state->out_deletes = 0;
    }
out:
    mb_buf_release(&frame);
    return rc;
}

int mb_state_commit(struct mb_state *state, struct mb_error *err)
{
    char digest[33];

    if (flush_out(state, err) != 0) {
        return -1;
    }
    if (state->is_changed) {
        mb_state_digest_hex(state, digest);
        if (mb_state_set_int(state, "hlc", state->hlc, err) != 0 ||
            mb_state_set_text(state, "digest", digest, err) != 0) {
            return -1;
        }
        state->is_changed = false;
    }
    return mb_db_commit(state->db, err);
}

void mb_state_rollback(struct mb_state *state)
{
    struct mb_error ignored;

    /* After some errors SQLite has rolled back by itself; what is in memory has not. */
    mb_db_rollback(state->db);
    state->is_stale = load(state, &ignored) != 0;
}

static int get(struct mb_state *state, const char *key, struct mb_stmt **stmt_out,
               struct mb_error *err)
{
    if (mb_db_query(state->db, "SELECT value FROM meta WHERE key = ?1", stmt_out, err) != 0) {
        return -1;
    }
    mb_db_bind_text(*stmt_out, 1, key);
    return mb_db_step(*stmt_out, err);
}

int mb_state_get_int(struct mb_state *state, const char *key, int64_t otherwise, int64_t *value_out,
                     struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step = get(state, key, &stmt, err);

    if (step < 0) {
        return -1;
    }
    *value_out = step == 1 ? mb_db_int(stmt, 0) : otherwise;
    mb_db_reset(stmt);
    return 0;
}

int mb_state_get_text(struct mb_state *state, const char *key, char **value_out,
                      struct mb_error *err)
{
    struct mb_stmt *stmt;
    int step = get(state, key, &stmt, err);

    if (step < 0) {
        return -1;
    }
    *value_out = step == 1 ? mb_alloc_text(mb_db_text(stmt, 0)) : NULL;
    mb_db_reset(stmt);
    return 0;
}

static int set(struct mb_state *state, const char *key, struct mb_stmt **stmt_out,
               struct mb_error *err)
{
    if (mb_db_query(state->db,
                    "INSERT INTO meta(key, value) VALUES(?1, ?2) "
                    "ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                    stmt_out, err) != 0) {
        return -1;
    }
    mb_db_bind_text(*stmt_out, 1, key);
    return 0;
}

int mb_state_set_int(struct mb_state *state, const char *key, int64_t value, struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (set(state, key, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_int(stmt, 2, value);
    return mb_db_run(stmt, err);
}

int mb_state_set_text(struct mb_state *state, const char *key, const char *value,
                      struct mb_error *err)
{
    struct mb_stmt *stmt;

    if (set(state, key, &stmt, err) != 0) {
        return -1;
    }
    mb_db_bind_text(stmt, 2, value);
    return mb_db_run(stmt, err);
}

int mb_state_new_machine(struct mb_state *state, struct mb_error *err)
{
    char hex[MB_MACHINE_ID_HEX_SIZE];

    do {
        state->env->random(state->env->context, state->machine, MB_MACHINE_ID_SIZE);
        mb_digest_hex(state->machine, MB_MACHINE_ID_SIZE, hex);
    } while (strspn(hex, "0") == MB_MACHINE_ID_HEX_SIZE - 1); /* zeros mean "never changed" */
    return mb_state_set_text(state, "machine", hex, err);
}

struct mb_version mb_state_next_version(struct mb_state *state, const struct mb_version *parent)
{
    struct mb_version version;
    int64_t now = state->env->now_ms(state->env->context);

    if (parent != NULL && parent->hlc > state->hlc) {
        state->hlc = parent->hlc;
    }
    state->hlc = now > state->hlc + 1 ? now : state->hlc + 1;
    if (state->hlc > MB_LIMIT_HLC_MS) {
        state->hlc = MB_LIMIT_HLC_MS; /* the year 9999 */
    }
    state->is_changed = true;
    version.hlc = state->hlc;
    memcpy(version.machine, state->machine, MB_MACHINE_ID_SIZE);
    return version;
}

void mb_state_see(struct mb_state *state, const struct mb_version *version)
{
    if (version->hlc > state->hlc) {
        state->hlc = version->hlc;
        state->is_changed = true;
    }
}

int mb_state_out(struct mb_state *state, const struct mb_record *record, struct mb_error *err)
{
    if (mb_record_encode(record, &state->out_lines, err) != 0) {
        return -1;
    }
    state->out_count++;
    state->out_deletes += record->kind == MB_RECORD_DELETE ? 1 : 0;
    return state->out_lines.size >= MB_OUTBOX_RAW_TARGET ? flush_out(state, err) : 0;
}

void mb_state_digest_hex(const struct mb_state *state, char out[static 33])
{
    uint8_t bytes[16];

    for (int i = 0; i < 16; i++) {
        bytes[i] = (uint8_t)(state->digest[i / 8] >> (56 - 8 * (i % 8)));
    }
    mb_digest_hex(bytes, sizeof(bytes), out);
}
