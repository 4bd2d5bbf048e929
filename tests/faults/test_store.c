/* SPDX-License-Identifier: MIT */
/* Proves: whichever request to the store fails, in whatever way a store can fail, during whichever
 * operation of the engine, nothing is lost, done by half, or done twice. (nothing-lost,
 * honest-result, repeatable) */
#include "check.h"
#include "world.h"

#include "banned.h"

static struct {
    enum mb_store_fault_kind kind;
    uint64_t fail_at;
    bool is_sticky;
    uint64_t count;
    struct mb_store *plain; /* a's own */
    struct mb_store *fault; /* in its place */
} plan;

static enum mb_store_fault_kind choose(void *context, uint64_t index, const char *slot,
                                       const char *key)
{
    (void)context;
    (void)slot;
    (void)key;
    plan.count = index + 1;
    return plan.fail_at != 0 &&
                   (plan.count == plan.fail_at || (plan.is_sticky && plan.count > plan.fail_at))
               ? plan.kind
               : MB_STORE_FAULT_NONE;
}

static void arm(struct world *world, const struct world_fault *fault, uint64_t n)
{
    const struct mb_store_fault_config config = {.choose = choose};

    plan.kind = (enum mb_store_fault_kind)fault->code;
    plan.fail_at = n;
    plan.is_sticky = fault->is_sticky;
    plan.count = 0;
    plan.plain = world->a->store;
    plan.fault = mb_store_fault_new(mb_store_share_new(world->fleet->store), &config);
    world->a->store = mb_store_verify_new(plan.fault);
}

static uint64_t disarm(struct world *world)
{
    struct mb_error err;

    CHECK_OK(mb_store_fault_release(plan.fault, &err), &err); /* what was late comes now */
    mb_store_free(world->a->store);
    world->a->store = plan.plain;
    return plan.count;
}

static void loop(const char *name, enum mb_store_fault_kind kind, bool is_sticky)
{
    const struct world_fault fault = {name,  arm,       disarm, NULL,     true,
                                      false, (int)kind, 0,      is_sticky};

    world_loop(NULL, &fault, 1, FAULTS_SAMPLES);
}

TEST(a_request_that_does_not_reach_the_store_does_no_harm)
{
    loop("a request that is lost", MB_STORE_FAULT_BEFORE, false);
}

TEST(a_store_that_goes_away_does_no_harm)
{
    loop("a store that goes away", MB_STORE_FAULT_BEFORE, true);
}

TEST(a_reply_that_is_lost_does_no_harm)
{
    loop("a reply that is lost", MB_STORE_FAULT_AFTER, false);
    loop("replies that are lost", MB_STORE_FAULT_AFTER, true);
}

TEST(a_put_that_comes_late_does_no_harm)
{
    loop("a put that comes late", MB_STORE_FAULT_LATE, false);
    loop("puts that come late", MB_STORE_FAULT_LATE, true);
}

TEST(a_body_that_is_cut_does_no_harm)
{
    loop("half a body", MB_STORE_FAULT_SHORT, false);
    loop("half bodies", MB_STORE_FAULT_SHORT, true);
}

TEST(a_store_that_does_not_show_what_it_has_does_no_harm)
{
    loop("a stale answer", MB_STORE_FAULT_STALE, false);
    loop("stale answers", MB_STORE_FAULT_STALE, true);
}

TEST(a_full_store_does_no_harm)
{
    loop("a store full for a moment", MB_STORE_FAULT_FULL, false);
    loop("a full store", MB_STORE_FAULT_FULL, true);
}

TEST(a_flipped_bit_does_no_harm)
{
    loop("a flipped bit", MB_STORE_FAULT_FLIP, false);
    loop("flipped bits", MB_STORE_FAULT_FLIP, true);
}

TEST_LIST(TEST_ROW(a_request_that_does_not_reach_the_store_does_no_harm),
          TEST_ROW(a_store_that_goes_away_does_no_harm),
          TEST_ROW(a_reply_that_is_lost_does_no_harm), TEST_ROW(a_put_that_comes_late_does_no_harm),
          TEST_ROW(a_body_that_is_cut_does_no_harm),
          TEST_ROW(a_store_that_does_not_show_what_it_has_does_no_harm),
          TEST_ROW(a_full_store_does_no_harm), TEST_ROW(a_flipped_bit_does_no_harm));
