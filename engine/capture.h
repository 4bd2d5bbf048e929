/* SPDX-License-Identifier: MIT */
#ifndef MB_CAPTURE_H
#define MB_CAPTURE_H

/*
 * Capture: what has claude-mem done since we last looked? In truth, the set of local row ids
 * against the map: new = unmapped, deleted = mapped and gone, changed = registers that differ. What
 * it finds goes into the state and the outbox in one transaction of the state (the caller's), under
 * a transaction on the live database (the caller's too), so that both speak of the same moment.
 *
 * Marks (the full-text tables' write and row counters, sqlite_sequence, the connection's data
 * version) only make it cheap: rows above the last sequence are new; if the count is then the old
 * one and theirs, none is gone; registers are compared in a window that moves on, and where their
 * session changed. When the marks do not add up, and every few hours, the truth is looked at.
 *
 * When the database is another one than before (replaced, restored, in place or not), nothing is
 * captured as a delete and no register as a change: the map is rebuilt by identity and the database
 * is marked to be healed (docs/DESIGN.md).
 */

#include "live.h"

/* The truth is looked at whatever the marks say, so often: by a push, which waits in nobody's way,
 * and by a pull where nobody pushes. */
#define MB_CAPTURE_WHOLE_BY_PUSH_MS ((int64_t)4 * 3600 * 1000)
#define MB_CAPTURE_WHOLE_BY_PULL_MS ((int64_t)24 * 3600 * 1000)

#define MB_CAPTURE_STAMP_MAX 256

struct mb_capture_options {
    bool accept_deletes; /* release what was held */
    /* Inside a merge, which holds the write lock: only what came and went. A register that changed
     * is looked at when it is written (mb_capture_regs_at). */
    bool is_in_merge;
    int64_t whole_every_ms; /* look at everything if that was so long ago; 0: not for its age */
    /* The transaction is only for reading: let the worker write in between, where it would have to
     * wait for us (no WAL). */
    bool may_breathe;
};

/* *breathed_out: what was captured is not of one moment. No marks were noted: run it once more,
 * without may_breathe, which then finds little to do. */
MB_MUST_USE int mb_capture_run(struct mb_engine *engine, const struct mb_capture_options *options,
                               bool *breathed_out, struct mb_error *err);

/*
 * Has nothing been written to the database since the last capture, as far as its files tell (inode,
 * size and times of the database and its write-ahead log)? Then there is nothing to capture, and
 * the database need not be opened. What was written less than two seconds before it was captured is
 * never believed to be unchanged: file times move in ticks. False also when the truth is due
 * (whole_every_ms), or a killed merge is to be recovered.
 */
MB_MUST_USE int mb_capture_is_current(struct mb_engine *engine, int64_t whole_every_ms,
                                      bool *current_out, struct mb_error *err);
/* Before the transaction in which a capture runs: what mb_capture_is_current() will compare with.
 * It is kept by mb_capture_note_stamp() in the state's transaction of that capture. */
struct mb_capture_stamp {
    char text[MB_CAPTURE_STAMP_MAX]; /* "": not to be believed */
};
void mb_capture_read_stamp(const struct mb_engine *engine, struct mb_capture_stamp *stamp_out);
MB_MUST_USE int mb_capture_note_stamp(struct mb_engine *engine,
                                      const struct mb_capture_stamp *stamp, struct mb_error *err);

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
    bool is_whole;  /* all rowids were compared with the map: `gone` is all that is gone */
    int64_t *fresh; /* rowids that are not mapped, ascending */
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
    bool is_blank;                   /* and knows nothing from the store either */
    bool is_other;                   /* another database than before */
    bool is_migrated;                /* claude-mem has upgraded itself since */
    bool is_whole;                   /* the truth is due */
    bool is_touched[MB_TABLE_COUNT]; /* its marks moved since the last capture */
    int64_t row_count[MB_TABLE_COUNT];
    int64_t sequence[MB_TABLE_COUNT]; /* of the last capture: rows above are new */
    struct mb_capture_scan scans[MB_TABLE_COUNT];
    int64_t published; /* rows that this capture found new */
    int64_t
        *renamed; /* sessions that came, or got another memory id: their children are looked at */
    size_t renamed_count;
};

/* Called between rows: ends the read transaction and begins another, when it has lasted. */
MB_MUST_USE int mb_capture_breathe(struct mb_capture *capture, struct mb_error *err);

/* capture_marks.c: what the database looked like at the last capture. */
MB_MUST_USE int mb_capture_marks_check(struct mb_capture *capture, struct mb_error *err);
/* Sets is_touched, row_count and sequence; *known_count_out: rows at the last capture. */
MB_MUST_USE int mb_capture_marks_table(struct mb_capture *capture, int table,
                                       int64_t *known_count_out, struct mb_error *err);
/* The table's count will not add up: it is looked at whole. */
MB_MUST_USE int mb_capture_marks_forget(struct mb_engine *engine, int table, struct mb_error *err);
MB_MUST_USE int mb_capture_marks_save(struct mb_engine *engine, struct mb_error *err);

/* capture_rows.c: rows that are not mapped. */
MB_MUST_USE int mb_capture_rows_add(struct mb_capture *capture, int table, struct mb_error *err);
/* Is there an unmapped row of ours at or below the last captured sequence? */
MB_MUST_USE int mb_capture_rows_reappeared(struct mb_capture *capture, int table, bool *found_out,
                                           struct mb_error *err);

/* capture_regs.c: registers that differ. */
MB_MUST_USE int mb_capture_regs_scan(struct mb_capture *capture, int table, struct mb_error *err);
/* The children of capture->renamed. */
MB_MUST_USE int mb_capture_regs_of_renamed(struct mb_capture *capture, struct mb_error *err);
void mb_capture_regs_note_renamed(struct mb_capture *capture, int64_t rowid);
/* The mapped row at a rowid, whatever the marks say. */
MB_MUST_USE int mb_capture_regs_at(struct mb_engine *engine, int table, int64_t rowid,
                                   struct mb_error *err);
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
