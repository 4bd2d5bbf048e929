/* SPDX-License-Identifier: MIT */
#ifndef MB_CAPTURE_H
#define MB_CAPTURE_H

/*
 * Capture: what has claude-mem done since we last looked? In truth, the set of local row ids
 * against the map: new = unmapped, deleted = mapped and gone, changed = registers that differ. What
 * it finds goes into the state and the outbox in one transaction of the state (the caller's), under
 * a transaction on the live database (the caller's too), so that both speak of the same moment.
 *
 * Marks (the full-text tables' write counters, sqlite_sequence, the connection's data version) only
 * make it cheap; when they do not add up, and every few hours, the truth is looked at.
 *
 * When the database is another one than before (replaced, restored, in place or not), nothing is
 * captured as a delete and no register as a change: the map is rebuilt by identity and the database
 * is marked to be healed (docs/DESIGN.md).
 */

#include "live.h"

/* The truth is looked at whatever the marks say, so often. */
#define MB_CAPTURE_WHOLE_EVERY_MS ((int64_t)4 * 3600 * 1000)

struct mb_capture_options {
    bool accept_deletes; /* release what was held */
    /* The transaction is only for reading: let the worker write in between, where it would have to
     * wait for us (no WAL). */
    bool may_breathe;
};

/* *breathed_out: what was captured is not of one moment. No marks were noted: run it once more,
 * without may_breathe, which then finds little to do. */
MB_MUST_USE int mb_capture_run(struct mb_engine *engine, const struct mb_capture_options *options,
                               bool *breathed_out, struct mb_error *err);

/* Notes the marks of the live database as they are, after writes of our own in the transaction that
 * is open on it. */
MB_MUST_USE int mb_capture_note_marks(struct mb_engine *engine, struct mb_error *err);

/* ---- for the parts of capture, and merge ---- */

/* One table's differences between the database and the map. */
struct mb_capture_gone {
    int64_t local;
    uint8_t id[MB_ROW_ID_SIZE];
};
struct mb_capture_scan {
    bool is_skipped; /* the marks say that nothing changed */
    int64_t *ids;    /* all rowids, ascending */
    size_t id_count;
    int64_t *fresh; /* those that are not mapped, ascending */
    size_t fresh_count;
    struct mb_capture_gone *gone;
    size_t gone_count;
};

struct mb_capture {
    struct mb_engine *engine;
    struct mb_capture_options options;
    bool breathes; /* may_breathe, and it matters */
    bool has_breathed;
    int64_t breath_ms;               /* when the transaction began */
    bool is_first;                   /* this state has never seen a database */
    bool is_other;                   /* another database than before */
    bool is_migrated;                /* claude-mem has upgraded itself since */
    bool is_touched[MB_TABLE_COUNT]; /* its marks moved since the last capture */
    bool is_quiet_sessions; /* no session came, went or changed its names since: references stand */
    struct mb_capture_scan scans[MB_TABLE_COUNT];
};

/* Called between rows: ends the read transaction and begins another, when it has lasted. */
MB_MUST_USE int mb_capture_breathe(struct mb_capture *capture, struct mb_error *err);

/* capture_marks.c: what the database looked like at the last capture. */
MB_MUST_USE int mb_capture_marks_check(struct mb_capture *capture, struct mb_error *err);
MB_MUST_USE int mb_capture_marks_table_unchanged(struct mb_capture *capture, int table,
                                                 bool *unchanged_out, struct mb_error *err);
MB_MUST_USE int mb_capture_marks_save(struct mb_engine *engine, struct mb_error *err);
MB_MUST_USE int mb_capture_marks_sequence(struct mb_engine *engine, int table,
                                          int64_t *captured_out, int64_t *now_out,
                                          struct mb_error *err);

/* capture_rows.c: rows that are not mapped. */
MB_MUST_USE int mb_capture_rows_add(struct mb_capture *capture, int table, struct mb_error *err);
/* Is there an unmapped row of ours at or below the last captured sequence? */
MB_MUST_USE int mb_capture_rows_reappeared(struct mb_capture *capture, int table, bool *found_out,
                                           struct mb_error *err);

/* capture_regs.c: registers that differ. */
MB_MUST_USE int mb_capture_regs_scan(struct mb_capture *capture, int table, struct mb_error *err);
/* The same for one row, whatever the marks say: before a merge writes it. `known` is brought up to
 * date. */
MB_MUST_USE int mb_capture_regs_row(struct mb_engine *engine, const struct mb_live_row *row,
                                    struct mb_state_row *known, struct mb_error *err);

/* In old schemas a prompt names its session by content id alone, which may be another platform's:
 * what is known stands. */
bool mb_capture_regs_is_fixed(const struct mb_live_row *row,
                              const struct mb_profile_register *profile, const struct mb_reg *kept);

/* capture_gone.c: mapped rows that are gone. */
MB_MUST_USE int mb_capture_gone_all(struct mb_capture *capture, struct mb_error *err);

#endif
