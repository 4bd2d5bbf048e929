/* SPDX-License-Identifier: MIT */
/* Proves: the system env tells time, gives random bytes, and its steps stop at a deadline and after
 * an interrupt. */
#include "check.h"
#include "env.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

TEST(env_knows_the_time_and_the_machine)
{
    struct mb_env env;

    mb_env_init_system(&env);
    CHECK(env.now_ms(env.context) > INT64_C(1700000000000));
    CHECK(env.host_name[0] != '\0');
    CHECK(strchr(env.machine_id, '\n') == NULL);
    CHECK(strlen(env.machine_id) < sizeof(env.machine_id));
}

TEST(env_gives_random_bytes_of_any_size)
{
    struct mb_env env;
    uint8_t first[1000] = {0};
    uint8_t second[1000] = {0};

    mb_env_init_system(&env);
    env.random(env.context, first, 0);
    CHECK_INT(first[0], 0);
    env.random(env.context, first, sizeof(first));
    env.random(env.context, second, sizeof(second));
    CHECK(memcmp(first, second, sizeof(first)) != 0);
    /* Every block was filled: 16 zero bytes in a row do not happen. */
    for (size_t i = 0; i + 16 <= sizeof(first); i += 8) {
        static const uint8_t zeros[16];
        CHECK(memcmp(first + i, zeros, 16) != 0);
    }
}

TEST(env_step_fails_behind_the_deadline)
{
    struct mb_env env;
    struct mb_error err;

    mb_env_init_system(&env);
    CHECK_OK(mb_env_step(&env, "commit", &err), &err);
    mb_env_set_deadline(60000);
    CHECK_OK(mb_env_step(&env, "commit", &err), &err);
    mb_env_set_deadline(1);
    env.sleep_ms(env.context, 60000); /* ends at the deadline */
    CHECK_FAILS(mb_env_step(&env, "commit", &err), &err, MB_ERR_TEMPORARY);
    CHECK(strstr(err.message, "'commit'") != NULL);
    mb_env_set_deadline(0);
    CHECK_OK(mb_env_step(&env, "commit", &err), &err);
}

TEST(env_sleeps_at_least_as_long_as_asked)
{
    struct mb_env env;

    mb_env_init_system(&env);
    int64_t before = env.now_ms(env.context);
    env.sleep_ms(env.context, 0);
    env.sleep_ms(env.context, -5);
    env.sleep_ms(env.context, 3);
    CHECK(env.now_ms(env.context) - before >= 2);
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    mb_env_interrupt();
}

/* The last test: an interrupt cannot be taken back. */
TEST(env_interrupt_ends_a_sleep_and_all_steps)
{
    struct mb_env env;
    struct mb_error err;
    struct sigaction action = {.sa_handler = on_alarm};

    mb_env_init_system(&env);
    CHECK_INT(sigaction(SIGALRM, &action, NULL), 0);
    (void)alarm(1);
    env.sleep_ms(env.context, INT64_MAX);
    CHECK_FAILS(mb_env_step(&env, "put", &err), &err, MB_ERR_INTERRUPTED);
    CHECK_FAILS(mb_env_step(&env, "put", &err), &err, MB_ERR_INTERRUPTED);
}

TEST_LIST(TEST_ROW(env_knows_the_time_and_the_machine),
          TEST_ROW(env_gives_random_bytes_of_any_size),
          TEST_ROW(env_step_fails_behind_the_deadline),
          TEST_ROW(env_sleeps_at_least_as_long_as_asked),
          TEST_ROW(env_interrupt_ends_a_sleep_and_all_steps));
