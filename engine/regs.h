/* SPDX-License-Identifier: MIT */
#ifndef MB_REGS_H
#define MB_REGS_H

/*
 * A row's registers as the state knows them, and the order in which register values win
 * (docs/DESIGN.md, "Registers"). Merging takes the greatest, so it is commutative, associative and
 * idempotent (order-free).
 *
 *   NEWEST:  (not null, version, value)
 *   LONGEST: (not null, size, digest of the text): texts that people cut; not kept in the state
 *
 * A register may be dirty: the live database holds another value than the known one, which a merge
 * has still to write. `seen` is a fingerprint of that value: while it stands, it is not taken for
 * a change; once it differs, it is.
 */

#include "profile.h"

#define MB_REGS_DIGEST_SIZE 16

struct mb_reg {
    bool is_present;
    bool is_dirty;
    bool is_hashed; /* LONGEST: digest and value.size count; value.data may be NULL (not at hand) */
    struct mb_version version;
    struct mb_version parent; /* that it replaced; `version` itself if it replaced none */
    struct mb_value value;
    uint8_t digest[MB_REGS_DIGEST_SIZE];
    uint64_t seen;
};

struct mb_regs {
    struct mb_reg items[MB_PROFILE_REGISTERS_MAX]; /* in the profile's order */
    uint8_t *owned;                                /* what decoded values point into */
};

void mb_regs_init(struct mb_regs *regs);
void mb_regs_release(struct mb_regs *regs);

/* As kept in state.db. Hashed registers go without their text unless with_texts (and it is at
 * hand). MB_ERR_CORRUPT from decode. */
MB_MUST_USE int mb_regs_encode(const struct mb_regs *regs, bool with_texts, struct mb_buf *buf,
                               struct mb_error *err);
MB_MUST_USE int mb_regs_decode(const uint8_t *data, size_t size, struct mb_regs *regs_out,
                               struct mb_error *err);

/* A register of this value and version (parent = version). Borrows the value. */
void mb_regs_make(enum mb_profile_rule rule, const struct mb_value *value,
                  const struct mb_version *version, struct mb_reg *reg_out);

/* > 0 if a wins over b. An absent register loses to any. */
int mb_regs_compare(enum mb_profile_rule rule, const struct mb_reg *a, const struct mb_reg *b);

/* Do both hold the same value (whatever their versions)? */
bool mb_regs_same_value(const struct mb_reg *a, const struct mb_reg *b);

/* Two values of which neither was made knowing the other (docs/DESIGN.md, "Conflicts"). */
bool mb_regs_is_conflict(enum mb_profile_rule rule, const struct mb_reg *a, const struct mb_reg *b);

/* Fingerprint of a register's value, for `seen`. */
uint64_t mb_regs_fingerprint(const struct mb_reg *reg);

/* The version of what was never seen to change. Out-of-range times are clamped. */
struct mb_version mb_regs_initial(int64_t created_ms);

#endif
