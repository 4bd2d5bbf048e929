/* SPDX-License-Identifier: MIT */
/* Proves: the retrying wrapper repeats what may be repeated, as often and as late as it was told,
 * and never turns "it may have happened" into "it has not". */
#include "check.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Faults for the first requests of one slot, in order. */
struct plan {
    const char *slot;
    enum mb_store_fault_kind kinds[16];
    unsigned next;
    unsigned request_count; /* of that slot */
};

static enum mb_store_fault_kind follow_plan(void *context, uint64_t request_index, const char *slot,
                                            const char *key)
{
    struct plan *plan = context;

    (void)request_index;
    (void)key;
    if (strcmp(slot, plan->slot) != 0) {
        return MB_STORE_FAULT_NONE;
    }
    plan->request_count++;
    return plan->next < 16 ? plan->kinds[plan->next++] : MB_STORE_FAULT_NONE;
}

static const struct mb_store_retry_config config = {
    .attempt_count_max = 4, .delay_first_ms = 100, .delay_max_ms = 250, .deadline_ms = 0};

static struct mb_store *stack(struct plan *plan, struct world *world,
                              const struct mb_store_retry_config *retry_config)
{
    struct mb_store_fault_config fault_config = {.choose = follow_plan, .context = plan};

    world_init(world, 7);
    return mb_store_retry_new(mb_store_fault_new(mb_store_mem_new(), &fault_config), retry_config,
                              &world->env);
}

TEST(repeats_until_it_works)
{
    struct plan plan = {
        .slot = "put",
        .kinds = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_AFTER, MB_STORE_FAULT_BEFORE}
    };
    struct world world;
    struct mb_store *store = stack(&plan, &world, &config);

    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_INT(plan.request_count, 4);
    CHECK_INT(world.sleep_count, 3);
    CHECK_INT(world.step_count, 3);
    CHECK_INT(get_text(store, "k", "v"), MB_OK);
    mb_store_free(store);
}

TEST(gives_up_after_the_last_attempt)
{
    struct plan plan = {
        .slot = "stat",
        .kinds = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_BEFORE,
                  MB_STORE_FAULT_BEFORE}
    };
    struct world world;
    struct mb_store *store = stack(&plan, &world, &config);
    struct mb_error err;
    uint64_t size_bytes = 0;

    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_FAILS(mb_store_stat(store, "k", &size_bytes, &err), &err, MB_ERR_TEMPORARY);
    CHECK(strstr(err.message, "after 4 attempts") != NULL);
    CHECK_INT(plan.request_count, 4);
    CHECK_INT(world.sleep_count, 3);
    CHECK_INT(stat_size(store, "k", &size_bytes), MB_OK);
    mb_store_free(store);
}

TEST(every_slot_is_repeated)
{
    static const char *const slots[] = {"put", "get", "stat", "list", "delete", "probe"};

    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        struct plan plan = {
            .slot = slots[i], .kinds = {MB_STORE_FAULT_AFTER, MB_STORE_FAULT_BEFORE}
        };
        struct world world;
        struct mb_store *store = stack(&plan, &world, &config);
        struct mb_error err;
        uint64_t size_bytes = 0;
        bool has_marker = true;

        CHECK_INT(put_text(store, "k", "v"), MB_OK);
        CHECK_INT(get_text(store, "k", "v"), MB_OK);
        CHECK_INT(stat_size(store, "k", &size_bytes), MB_OK);
        CHECK(list_is(store, "", "k=1"));
        CHECK_OK(mb_store_probe(store, &has_marker, &err), &err);
        CHECK_INT(delete_key(store, "k"), MB_OK);
        CHECK_INT(plan.request_count, 3);
        CHECK_INT(world.sleep_count, 2);
        mb_store_free(store);
    }
}

TEST(other_errors_are_not_repeated)
{
    struct plan plan = {.slot = "put", .kinds = {MB_STORE_FAULT_FULL}};
    struct world world;
    struct mb_store *store = stack(&plan, &world, &config);

    CHECK_INT(put_text(store, "k", "v"), MB_ERR_NO_SPACE);
    CHECK_INT(plan.request_count, 1);
    CHECK_INT(get_text(store, "k", "v"), MB_ERR_NOT_FOUND);
    CHECK_INT(world.sleep_count, 0);
    mb_store_free(store);
}

TEST(an_unknown_outcome_stays_unknown)
{
    static const enum mb_store_fault_kind last[] = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_FULL};

    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        struct plan plan = {
            .slot = "put",
            .kinds = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_AFTER, MB_STORE_FAULT_BEFORE, last[i]}
        };
        struct world world;
        struct mb_store *store = stack(&plan, &world, &config);

        CHECK_INT(put_text(store, "k", "v"), MB_ERR_UNKNOWN_OUTCOME);
        CHECK_INT(plan.request_count, 4);
        CHECK_INT(get_text(store, "k", "v"), MB_OK); /* it had happened */
        mb_store_free(store);
    }
}

TEST(an_unknown_delete_stays_unknown)
{
    struct plan plan = {
        .slot = "delete",
        .kinds = {MB_STORE_FAULT_AFTER, MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_BEFORE,
                  MB_STORE_FAULT_BEFORE}
    };
    struct world world;
    struct mb_store *store = stack(&plan, &world, &config);

    CHECK_INT(put_text(store, "k", "v"), MB_OK);
    CHECK_INT(delete_key(store, "k"), MB_ERR_UNKNOWN_OUTCOME);
    mb_store_free(store);
}

TEST(an_interrupt_stops_the_repeating)
{
    struct plan plan = {
        .slot = "put",
        .kinds = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_BEFORE}
    };
    struct world world;
    struct mb_store *store = stack(&plan, &world, &config);

    world.stop_at_step = 2;
    CHECK_INT(put_text(store, "k", "v"), MB_ERR_INTERRUPTED);
    CHECK_INT(plan.request_count, 2);
    plan = (struct plan){.slot = "put", .kinds = {MB_STORE_FAULT_AFTER}};
    world.stop_at_step = 3;
    CHECK_INT(put_text(store, "k", "v"), MB_ERR_UNKNOWN_OUTCOME);
    CHECK_INT(plan.request_count, 1);
    mb_store_free(store);
}

/* Full jitter: over many calls the pauses fill [0, ceiling] and never leave it. */
TEST(pauses_are_random_within_bounds)
{
    static const int64_t ceilings_ms[] = {100, 200, 250};
    int64_t least_ms[3] = {INT64_MAX, INT64_MAX, INT64_MAX};
    int64_t greatest_ms[3] = {-1, -1, -1};

    for (uint64_t seed = 0; seed < 500; seed++) {
        struct plan plan = {
            .slot = "put",
            .kinds = {MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_BEFORE, MB_STORE_FAULT_BEFORE}
        };
        struct world world;
        struct mb_store *store = stack(&plan, &world, &config);

        world.seed = seed * 1000003;
        CHECK_INT(put_text(store, "k", "v"), MB_OK);
        CHECK_INT(world.sleep_count, 3);
        for (size_t i = 0; i < 3; i++) {
            int64_t slept_ms = world.sleeps_ms[i];

            least_ms[i] = slept_ms < least_ms[i] ? slept_ms : least_ms[i];
            greatest_ms[i] = slept_ms > greatest_ms[i] ? slept_ms : greatest_ms[i];
        }
        mb_store_free(store);
    }
    for (size_t i = 0; i < 3; i++) {
        CHECK(least_ms[i] >= 0);
        CHECK(least_ms[i] < ceilings_ms[i] / 10);
        CHECK(greatest_ms[i] <= ceilings_ms[i]);
        CHECK(greatest_ms[i] > ceilings_ms[i] * 9 / 10);
    }
}

TEST(no_attempt_begins_after_the_deadline)
{
    static const struct mb_store_retry_config hasty = {
        .attempt_count_max = 1000, .delay_first_ms = 100, .delay_max_ms = 100, .deadline_ms = 1000};

    for (uint64_t seed = 0; seed < 50; seed++) {
        struct plan plan = {.slot = "get"};
        struct world world;
        struct mb_store *store = NULL;

        for (size_t i = 0; i < 16; i++) {
            plan.kinds[i] = MB_STORE_FAULT_BEFORE;
        }
        store = stack(&plan, &world, &hasty);
        world.seed = seed;
        /* Sixteen faults at 50 ms each on average: some seeds get through, none is late. */
        (void)get_text(store, "k", "v");
        CHECK(world.now_ms - 1000000 <= 1000);
        CHECK(plan.request_count >= 10);
        mb_store_free(store);
    }
}

TEST(a_clock_that_jumps_back_does_not_make_it_endless)
{
    struct plan plan = {.slot = "get"};
    struct mb_store_retry_config patient = config;
    struct world world;
    struct mb_store *store = NULL;

    for (size_t i = 0; i < 16; i++) {
        plan.kinds[i] = MB_STORE_FAULT_BEFORE;
    }
    patient.deadline_ms = 100;
    patient.delay_first_ms = 0;
    patient.delay_max_ms = 0;
    store = stack(&plan, &world, &patient);
    CHECK_INT(get_text(store, "k", "v"), MB_ERR_TEMPORARY);
    CHECK_INT(plan.request_count, 4);
    mb_store_free(store);
}

struct notes {
    unsigned restart_count;
    struct mb_buf buf;
};

static int take_notes(void *context, const uint8_t *data, size_t size, struct mb_error *err)
{
    struct notes *notes = context;

    if (data == NULL) {
        CHECK_INT(size, 0);
        notes->restart_count++;
        mb_buf_clear(&notes->buf);
        return 0;
    }
    return mb_buf_append(&notes->buf, data, size, err);
}

TEST(a_repeated_get_starts_its_sink_over)
{
    struct plan plan = {
        .slot = "get", .kinds = {MB_STORE_FAULT_AFTER, MB_STORE_FAULT_AFTER}
    };
    struct world world;
    struct mb_store *store = stack(&plan, &world, &config);
    struct notes notes = {0};
    struct mb_error err;

    mb_buf_init(&notes.buf, 100);
    CHECK_INT(put_text(store, "k", "value"), MB_OK);
    CHECK_OK(mb_store_get_sink(store, "k", 100, take_notes, &notes, &err), &err);
    CHECK_INT(notes.restart_count, 2);
    CHECK(strcmp(mb_buf_text(&notes.buf), "value") == 0);
    mb_buf_release(&notes.buf);
    CHECK_INT(get_text(store, "k", "value"), MB_OK);
    mb_store_free(store);
}

TEST(a_repeated_list_shows_each_object_once)
{
    struct plan plan = {
        .slot = "list", .kinds = {MB_STORE_FAULT_AFTER, MB_STORE_FAULT_AFTER}
    };
    struct world world;
    struct mb_store *store = stack(&plan, &world, &config);

    CHECK_INT(put_text(store, "a", "1"), MB_OK);
    CHECK_INT(put_text(store, "b", "22"), MB_OK);
    CHECK(list_is(store, "", "a=1 b=2"));
    CHECK_INT(plan.request_count, 3);
    mb_store_free(store);
}

/* A listing in pages shows an object twice, a foreign one, and one from elsewhere. */
static int list_badly(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                      void *context, struct mb_error *err)
{
    static const char *const keys[] = {"p/b", "p/a", "p/b", "p/../../etc/passwd", "q/c", "p/a"};

    (void)store;
    (void)prefix;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct mb_store_object object = {.key = keys[i], .size_bytes = 1};

        if (on_object(context, &object, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static void leave(struct mb_store *store)
{
    (void)store;
}

TEST(a_listing_is_believed_only_as_far_as_it_fits)
{
    static const struct mb_store_ops ops = {.name = "bad", .list = list_badly, .free = leave};
    struct mb_store bad = {.ops = &ops};
    struct world world;
    struct mb_store *store = NULL;

    world_init(&world, 1);
    CHECK(list_is(&bad, "p/", "p/a=1 p/a=1 p/b=1 p/b=1"));
    store = mb_store_retry_new(&bad, &config, &world.env);
    CHECK(list_is(store, "p/", "p/a=1 p/b=1"));
    mb_store_free(store);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(repeats_until_it_works),
    TEST_ROW(gives_up_after_the_last_attempt),
    TEST_ROW(every_slot_is_repeated),
    TEST_ROW(other_errors_are_not_repeated),
    TEST_ROW(an_unknown_outcome_stays_unknown),
    TEST_ROW(an_unknown_delete_stays_unknown),
    TEST_ROW(an_interrupt_stops_the_repeating),
    TEST_ROW(pauses_are_random_within_bounds),
    TEST_ROW(no_attempt_begins_after_the_deadline),
    TEST_ROW(a_clock_that_jumps_back_does_not_make_it_endless),
    TEST_ROW(a_repeated_get_starts_its_sink_over),
    TEST_ROW(a_repeated_list_shows_each_object_once),
    TEST_ROW(a_listing_is_believed_only_as_far_as_it_fits));
/* clang-format on */
