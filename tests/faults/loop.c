/* SPDX-License-Identifier: MIT */
#include "assert.h"
#include "check.h"
#include "world.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

#define WORLD_OPS_MAX 32

static char note[512];

/* A broken guarantee ends the program: then the note is all there is to know. */
static void on_abort(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, note, strlen(note));

    (void)ignored;
    (void)number;
}

void world_note(const char *format, ...)
{
    va_list args;
    int size;

    (void)signal(SIGABRT, on_abort);
    va_start(args, format);
    size = vsnprintf(note, sizeof note - 1, format, args);
    va_end(args);
    MB_ASSERT(size > 0);
    note[strlen(note) + 1] = '\0';
    note[strlen(note)] = '\n';
}

bool world_has_failed(void)
{
    if (!check_has_failed()) {
        return false;
    }
    (void)fprintf(stdout, "    %s", note);
    return true;
}

static bool is_prime(uint64_t number)
{
    for (uint64_t i = 2; i * i <= number; i++) {
        if (number % i == 0) {
            return false;
        }
    }
    return true;
}

uint64_t world_stride(uint64_t total, size_t samples)
{
    uint64_t stride = samples == 0 ? 1 : (total + samples - 1) / samples;

    while (stride > 1 && !is_prime(stride)) {
        stride++;
    }
    return stride < 1 ? 1 : stride;
}

/* Gives whether call n came. */
static bool run_one(struct world *world, const struct world_fault *fault, uint64_t n)
{
    struct mb_error err;
    uint64_t total;
    int rc;

    world_restore(world);
    world_note("%s, %s at call %" PRIu64, world->op->name, fault->name, n);
    fault->arm(world, fault, n);
    rc = world_run(world, &err);
    total = fault->disarm(world);
    world_note("%s, %s at call %" PRIu64 " of %" PRIu64 " (%s): %s: %s", world->op->name,
               fault->name, n, total, fault->where == NULL ? "" : fault->where(),
               rc == 0 ? "ok" : mb_error_name(err.code), rc == 0 ? "" : err.message);
    if (total < n) {
        CHECK_OK(rc, &err);
    }
    world_check_fault(world, fault, rc, &err);
    if (!check_has_failed()) {
        world_check_repair(world);
    }
    return total >= n;
}

/* One world for each operation, for the whole program. */
static struct world *worlds[WORLD_OPS_MAX];

static void free_worlds(void)
{
    for (size_t i = 0; i < WORLD_OPS_MAX; i++) {
        world_free(worlds[i]);
        worlds[i] = NULL;
    }
}

static struct world *find_world(size_t index)
{
    MB_ASSERT(index < WORLD_OPS_MAX);
    if (worlds[index] == NULL) {
        MB_ASSERT(index > 0 || atexit(free_worlds) == 0);
        world_note("%s, preparing", world_ops[index].name);
        worlds[index] = world_new(&world_ops[index]);
    }
    return worlds[index];
}

static uint64_t count_calls(struct world *world, const struct world_fault *fault)
{
    struct mb_error err;

    world_restore(world);
    world_note("%s, %s, counting", world->op->name, fault->name);
    fault->arm(world, fault, 0);
    CHECK_OK(world_run(world, &err), &err);
    return fault->disarm(world);
}

/* Gives how many calls failed. */
static uint64_t loop_calls(struct world *world, const struct world_fault *fault, size_t samples)
{
    static uint64_t offset; /* another one each time, so that the samples differ */
    uint64_t total = count_calls(world, fault);
    uint64_t stride = world_stride(total, samples);
    uint64_t runs = 0;

    for (uint64_t n = 1 + offset++ % stride; n <= total && !check_has_failed(); n += stride) {
        CHECK(run_one(world, fault, n));
        runs++;
    }
    if (!check_has_failed()) { /* one more than there are: nothing fails */
        CHECK(!run_one(world, fault, total + 1));
    }
    return runs;
}

void world_loop(const char *op, const struct world_fault *faults, size_t fault_count,
                size_t samples)
{
    uint64_t runs = 0;

    for (size_t i = 0; i < world_op_count && !check_has_failed(); i++) {
        if (op == NULL || strcmp(op, world_ops[i].name) == 0) {
            for (size_t j = 0; j < fault_count && !check_has_failed(); j++) {
                runs += loop_calls(find_world(i), &faults[j], samples);
            }
        }
    }
    CHECK(runs > 0);
    (void)world_has_failed();
    (void)fprintf(stdout, "    %" PRIu64 " faults\n", runs);
}
