/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRAPS_H
#define SIM_TRAPS_H

/*
 * What must have happened in a run of many seeds, or the run has proved nothing about it: the traps
 * of the model, kinds of fault, and the engine's durable steps. Each is recognised from what befell
 * machines and store, as the simulator and the ledger know it. docs/TESTING.md maps the traps to
 * the tests that bear their names.
 */

#include "sim.h"

/* clang-format off */
#define SIM_TRAP_TABLE(X)                                                                          \
    X(KILLED_BETWEEN, "killed-between-commits", "killed between the commits of database and state")\
    X(CHILD_OF_DELETED, "child-of-deleted-session", "a child is added to a session that was deleted elsewhere") \
    X(AGAIN_HERE, "session-again-here", "a session is deleted and made again between two captures")\
    X(AGAIN_THERE, "session-again-elsewhere", "a session is made again where it was not deleted")  \
    X(CLEANED_TWICE, "clean-ups-cross", "migrations of two machines each remove the other's copy") \
    X(THIRD_COPY, "third-copy", "one of three equal rows is deleted, then the map is rebuilt")     \
    X(RESTORED_IN_PLACE, "restored-in-place", "an older content under the same inode")             \
    X(REPLACED, "replaced-file", "an older file under the same name")                              \
    X(OUTGROWN, "restored-and-outgrown", "restored in place, and grown past its old sequence")     \
    X(REINSTALLED, "reinstalled", "an empty database in the place of the old one")                 \
    X(HEAL_STALE, "heal-meets-stale-list", "a heal is shown a part of the heads")                  \
    X(HEAL_OWN, "heal-of-own-rows", "a restore loses rows that only this machine published")       \
    X(HELD_GROWS, "held-then-grown", "deletes are held, and the database grows until they would pass") \
    X(CLONED_ORPHANS, "cloned-with-orphans", "clones from before membridge: orphans here, the session there") \
    X(MANUAL_TWINS, "manual-twins", "one title is saved at two times in one manual session, on two machines") \
    X(STUB_REPLACED, "stub-replaced", "a true session takes the place of a stub")                  \
    X(LOST_WITH_STUBS, "state-lost-with-stubs", "a state is lost while stubs stand in the database") \
    X(TWO_MEMORY_IDS, "two-memory-ids", "a session has two memory ids, one of them held by a worker") \
    X(MADE_MEANWHILE, "made-meanwhile", "the worker makes rows between capture and merge")         \
    X(CHANGED_MEANWHILE, "changed-meanwhile", "the worker changes a value between capture and merge") \
    X(OLD_SCHEMA, "old-schema-parks", "an older claude-mem cannot hold a row")                     \
    X(CLOCK_2035_BEATEN, "changed-after-2035", "a row made by a clock in 2035 is changed by a clock of today") \
    X(CHANGE_FIRST, "change-before-row", "a change comes while its row is not shown")              \
    X(DELETE_FIRST, "delete-before-row", "a tombstone comes while its row is not shown")           \
    X(DISK_CLONED, "disk-cloned", "a disk is cloned with its state")                               \
    X(ROLLED_BACK, "rolled-back", "a machine is what it was before")                               \
    X(HEADS_FORK, "heads-fork", "two heads of one stream and sequence differ")                     \
    X(HEAD_LATE, "head-late", "a head comes into the store after its sender gave up")              \
    X(SLEPT_THROUGH, "slept-through-fold", "a reader comes back after a fold's old segments were deleted") \
    X(STORE_BACK, "store-restored", "the store is what it was before")                             \
    X(STORE_EMPTY, "store-emptied", "the store loses all but its marker")                          \
    X(STORE_GONE, "store-back-one-gone", "... and a machine that published is gone for good")      \
    X(STORE_SILENT, "store-back-one-silent", "... and a machine that read it never published")     \
    X(LOST_UNSENT, "state-lost-unsent", "a state is lost with rows that were not sent")            \
    X(DELETE_OR_CHANGE, "delete-against-change", "a row is deleted here and changed there")        \
    X(UPGRADED, "claude-mem-upgraded", "claude-mem moves on to another schema between two syncs")  \
    X(TWO_PROCESSES, "two-processes", "a second process of ours meets one that is at work")        \
    X(DISK_FULL, "disk-full", "an operation fails for want of space on this machine's disk")       \
    X(SLEPT_MONTHS, "away-for-months", "a machine syncs after more than sixty days")               \
    X(CLOCK_1970, "clock-1970", "a machine whose clock says 1970 sends rows")                      \
    X(CLOCK_2035, "clock-2035", "a machine whose clock says 2035 sends rows")                      \
    X(CLOCK_JUMP, "clock-jump", "a clock jumps")                                                   \
    X(BIG_ROW, "big-row", "a row of hundreds of kilobytes")
/* clang-format on */

enum sim_trap {
#define X(id, name, words) SIM_TRAP_##id,
    SIM_TRAP_TABLE(X)
#undef X
        SIM_TRAPS
};

/* Steps as docs/DESIGN.md, section 8, names them. */
#define SIM_STEP_TABLE(X)                                                                          \
    X("capture-begin")                                                                             \
    X("capture-rows")                                                                              \
    X("capture-commit")                                                                            \
    X("captured")                                                                                  \
    X("full-commit")                                                                               \
    X("freeze-commit")                                                                             \
    X("frozen")                                                                                    \
    X("segment-put")                                                                               \
    X("head-put")                                                                                  \
    X("mark-commit")                                                                               \
    X("marked-done")                                                                               \
    X("fold-put")                                                                                  \
    X("fold-commit")                                                                               \
    X("backup-page")                                                                               \
    X("merge-begin")                                                                               \
    X("leftovers-begin")                                                                           \
    X("journal-written")                                                                           \
    X("live-commit")                                                                               \
    X("live-committed")                                                                            \
    X("merge-done")                                                                                \
    X("store-retry")

/* Noted once a seed; logged. */
void sim_trap(struct sim_world *world, enum sim_trap trap);

/* What the places tell where things happen. */
void sim_trap_made(struct sim_machine *machine, struct sim_row *row);
void sim_trap_deleted(struct sim_machine *machine, int row);
void sim_trap_changed(struct sim_machine *machine, int row);
void sim_trap_cleaned(struct sim_machine *machine, const struct sim_row *row);
void sim_trap_replaced(struct sim_machine *machine, enum sim_trap how,
                       const int64_t sequences[static SIM_TABLES], const sim_counts there);
void sim_trap_state_lost(struct sim_machine *machine);
void sim_trap_store_back(struct sim_world *world, bool is_empty);
void sim_trap_stepped(struct sim_machine *machine, const char *name, bool is_killed);
void sim_trap_edited_meanwhile(struct sim_machine *machine, enum sim_event_what what);
void sim_trap_requested(struct sim_machine *machine, const char *slot, const char *key,
                        enum mb_store_fault_kind kind);
int sim_trap_owner(const struct sim_world *world, const char *key); /* of a head; -1: unknown */
void sim_trap_hidden(struct sim_machine *machine, const char *key);
void sim_trap_begins(struct sim_machine *machine);              /* an operation */
void sim_trap_ended(struct sim_machine *machine, bool is_sent); /* well */

/* ---- over all seeds ---- */

struct sim_coverage {
    unsigned long seeds;
    unsigned long traps[SIM_TRAPS]; /* seeds that reached it */
    unsigned long events[SIM_EVENT_WHATS];
    unsigned long steps[SIM_STEPS_MAX];
    unsigned long kills[SIM_STEPS_MAX];
    unsigned long faults[SIM_FAULT_KINDS][SIM_SLOTS];
};
void sim_coverage_add(struct sim_coverage *coverage, const struct sim_facts *facts);
void sim_coverage_print(const struct sim_coverage *coverage, FILE *out, bool with_steps);
int sim_coverage_step(const char *name); /* its number; -1: docs/DESIGN.md does not name it */
const char *sim_coverage_step_name(unsigned number); /* modulo their count */
/* Says what was never reached; true if there is nothing to say. */
bool sim_coverage_is_whole(const struct sim_coverage *coverage, FILE *out);

#endif
