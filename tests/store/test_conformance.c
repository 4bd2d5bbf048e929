/* SPDX-License-Identifier: MIT */
/* Proves: every backend, and every stack of wrappers that we build, keeps the contracts of
 * store.h. */
#include "check.h"
#include "support.h"

#include <stdlib.h>
#include <unistd.h>

#include "banned.h"

/* Thousands of objects are put here, and a disk takes milliseconds for each sync: that every sync
 * is asked for is the subject of test_dir_failures.c, so the library's is replaced by one that does
 * nothing. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}

static struct world world;
static char *folder; /* of the store made last, or NULL */

static const struct mb_store_retry_config retry_config = {
    .attempt_count_max = 3, .delay_first_ms = 10, .delay_max_ms = 100, .deadline_ms = 1000};

static struct mb_store *make_mem(void *context)
{
    (void)context;
    return mb_store_mem_new();
}

static void drop_folder(void)
{
    if (folder != NULL) {
        remove_folder(folder);
        folder = NULL;
    }
}

static struct mb_store *make_dir(void *context)
{
    (void)context;
    drop_folder();
    folder = make_folder();
    return mb_store_dir_new(folder, &world.env);
}

static struct mb_store *make_retry_mem(void *context)
{
    return mb_store_retry_new(make_mem(context), &retry_config, &world.env);
}

static struct mb_store *make_trace_dir(void *context)
{
    return mb_store_trace_new(make_dir(context), &world.env, NULL);
}

static struct mb_store *make_verify_dir(void *context)
{
    return mb_store_verify_new(make_dir(context));
}

static struct mb_store *make_production(void *context)
{
    return mb_store_verify_new(
        mb_store_retry_new(make_trace_dir(context), &retry_config, &world.env));
}

static struct mb_store *make_faultless(void *context)
{
    static const struct mb_store_fault_config config = {0};

    return mb_store_verify_new(mb_store_retry_new(mb_store_fault_new(make_mem(context), &config),
                                                  &retry_config, &world.env));
}

static struct mb_store *make_share(void *context)
{
    struct mb_store **shared = context;

    mb_store_free(*shared);
    *shared = mb_store_mem_new();
    return mb_store_share_new(*shared);
}

static void run(const struct factory *factory)
{
    world_init(&world, 1);
    check_conformance(factory);
    CHECK_INT(world.sleep_count, 0); /* nothing was repeated */
    drop_folder();
}

TEST(mem_conforms)
{
    run(&(struct factory){"mem", make_mem, NULL});
}

TEST(dir_conforms)
{
    run(&(struct factory){"dir", make_dir, NULL});
}

TEST(retry_mem_conforms)
{
    run(&(struct factory){"retry(mem)", make_retry_mem, NULL});
}

TEST(trace_dir_conforms)
{
    run(&(struct factory){"trace(dir)", make_trace_dir, NULL});
}

TEST(verify_dir_conforms)
{
    run(&(struct factory){"verify(dir)", make_verify_dir, NULL});
}

TEST(verify_retry_trace_dir_conforms)
{
    run(&(struct factory){"verify(retry(trace(dir)))", make_production, NULL});
}

TEST(verify_retry_fault_mem_conforms)
{
    run(&(struct factory){"verify(retry(fault(mem)))", make_faultless, NULL});
}

TEST(share_mem_conforms)
{
    struct mb_store *shared = NULL;

    run(&(struct factory){"share(mem)", make_share, &shared});
    mb_store_free(shared);
}

/* clang-format off */
TEST_LIST(
    TEST_ROW(mem_conforms),
    TEST_ROW(dir_conforms),
    TEST_ROW(retry_mem_conforms),
    TEST_ROW(trace_dir_conforms),
    TEST_ROW(verify_dir_conforms),
    TEST_ROW(verify_retry_trace_dir_conforms),
    TEST_ROW(verify_retry_fault_mem_conforms),
    TEST_ROW(share_mem_conforms));
/* clang-format on */
