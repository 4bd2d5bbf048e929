/* SPDX-License-Identifier: MIT */
/* Proves the rules by which two values of a register are one: which wins, and which two are a
 * conflict. Whoever reads them in whatever order comes to the same. */
#include "check.h"
#include "regs.h"

#include <string.h>

static const struct mb_version nobody = {1000, {0}};
static const struct mb_version early = {1001, {1}};
static const struct mb_version late = {1002, {2}};

static struct mb_reg make(enum mb_profile_rule rule, const char *text,
                          const struct mb_version *version, const struct mb_version *parent)
{
    struct mb_value value = {MB_VALUE_NULL, 0, 0, NULL, 0};
    struct mb_reg reg;

    if (text != NULL) {
        value.type = MB_VALUE_TEXT;
        value.data = (const uint8_t *)text;
        value.size = strlen(text);
    }
    mb_regs_make(rule, &value, version, &reg);
    reg.parent = *parent;
    return reg;
}

/* a wins over b, and b does not win over a. */
static void check_wins(enum mb_profile_rule rule, const struct mb_reg *a, const struct mb_reg *b)
{
    CHECK(mb_regs_compare(rule, a, b) > 0);
    CHECK(mb_regs_compare(rule, b, a) < 0);
}

static bool is_conflict(const struct mb_reg *a, const struct mb_reg *b)
{
    bool is = mb_regs_is_conflict(MB_RULE_NEWEST, a, b);

    CHECK_INT(mb_regs_is_conflict(MB_RULE_NEWEST, b, a), is);
    return is;
}

TEST(the_later_value_wins_whatever_it_says)
{
    struct mb_reg a = make(MB_RULE_NEWEST, "a", &late, &late);
    struct mb_reg z = make(MB_RULE_NEWEST, "z", &early, &early);

    check_wins(MB_RULE_NEWEST, &a, &z);
}

TEST(a_known_value_wins_over_a_later_unknown_one)
{
    struct mb_reg known = make(MB_RULE_NEWEST, "known", &early, &early);
    struct mb_reg unknown = make(MB_RULE_NEWEST, NULL, &late, &late);
    struct mb_reg absent;

    memset(&absent, 0, sizeof(absent));
    check_wins(MB_RULE_NEWEST, &known, &unknown);
    check_wins(MB_RULE_NEWEST, &unknown, &absent);
}

TEST(the_longer_text_wins_though_the_shorter_one_is_later)
{
    struct mb_reg longer = make(MB_RULE_LONGEST, "a longer text", &early, &early);
    struct mb_reg shorter = make(MB_RULE_LONGEST, "z", &late, &late);

    check_wins(MB_RULE_LONGEST, &longer, &shorter);
}

TEST(a_change_whose_maker_knew_the_other_is_no_conflict)
{
    struct mb_reg first = make(MB_RULE_NEWEST, "first", &early, &nobody);
    struct mb_reg after = make(MB_RULE_NEWEST, "after", &late, &early);
    struct mb_reg beside = make(MB_RULE_NEWEST, "beside", &late, &nobody);
    struct mb_reg same = make(MB_RULE_NEWEST, "first", &late, &nobody);

    CHECK(!is_conflict(&first, &after));
    CHECK(is_conflict(&first, &beside));
    CHECK(!is_conflict(&first, &same));
}

TEST_LIST(TEST_ROW(the_later_value_wins_whatever_it_says),
          TEST_ROW(a_known_value_wins_over_a_later_unknown_one),
          TEST_ROW(the_longer_text_wins_though_the_shorter_one_is_later),
          TEST_ROW(a_change_whose_maker_knew_the_other_is_no_conflict));
