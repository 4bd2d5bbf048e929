/* SPDX-License-Identifier: MIT */
/*
 * sim: runs seeds, says which fail and how to see each again.
 *
 *   sim --seeds 100 --start 0 [--kinds reg,del | all | none] [--jobs 2] [--failures 10] [--shrink]
 *       [--coverage]    also how often each step was reached and killed at, and each fault met
 *       [--whole]       fails if a trap, event, step or fault was never reached
 *   sim --seed 17 [--kinds ...] [--shrink] [--verbose] [--steps]
 *   sim --story "17/reg/newobs.0.5f sync.1.3" [--shrink] [--verbose] [--steps]
 *   sim --regressions
 */
#include "alloc.h"
#include "sim_regressions.h"
#include "sim_shrink.h"
#include "sim_traps.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MB_MAY_PRINT
#include "banned.h"

#define SIGNATURES_MAX 64
#define JOBS_MAX 16

struct options {
    uint64_t start;
    uint64_t seed_count;
    sim_kinds kinds;
    const char *kinds_text;
    const char *story;
    unsigned job_count;
    unsigned failure_count_max;
    bool is_one_seed;
    bool shrinks;
    bool is_verbose;
    bool logs_steps;
    bool runs_regressions;
    bool shows_coverage;
    bool must_be_whole;
};

struct tally {
    uint64_t failed;
    struct sim_coverage coverage;
    unsigned signature_count;
    char signatures[SIGNATURES_MAX][SIM_ERROR_TEXT];
    unsigned counts[SIGNATURES_MAX];
    struct sim_script shortest[SIGNATURES_MAX]; /* of those that failed so */
};

static bool parse_number(const char *text, uint64_t *out)
{
    char *end = NULL;

    *out = strtoull(text, &end, 10);
    return *text != '\0' && *end == '\0';
}

static bool parse(int argc, char **argv, struct options *options)
{
    uint64_t number = 0;

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(name, "--shrink") == 0) {
            options->shrinks = true;
        } else if (strcmp(name, "--verbose") == 0) {
            options->is_verbose = true;
        } else if (strcmp(name, "--steps") == 0) {
            options->is_verbose = options->logs_steps = true;
        } else if (strcmp(name, "--regressions") == 0) {
            options->runs_regressions = true;
        } else if (strcmp(name, "--coverage") == 0) {
            options->shows_coverage = true;
        } else if (strcmp(name, "--whole") == 0) {
            options->must_be_whole = true;
        } else if (strcmp(name, "--kinds") == 0 && sim_script_parse_kinds(value, &options->kinds)) {
            options->kinds_text = value;
            i++;
        } else if (strcmp(name, "--story") == 0) {
            options->story = value;
            i++;
        } else if (!parse_number(value, &number)) {
            fprintf(stderr, "sim: '%s %s' is not understood\n", name, value);
            return false;
        } else if (strcmp(name, "--seeds") == 0) {
            options->seed_count = number;
            i++;
        } else if (strcmp(name, "--start") == 0) {
            options->start = number;
            i++;
        } else if (strcmp(name, "--seed") == 0) {
            options->start = number;
            options->is_one_seed = true;
            i++;
        } else if (strcmp(name, "--jobs") == 0 && number >= 1 && number <= JOBS_MAX) {
            options->job_count = (unsigned)number;
            i++;
        } else if (strcmp(name, "--failures") == 0) {
            options->failure_count_max = (unsigned)number;
            i++;
        } else {
            fprintf(stderr, "sim: '%s' is not understood\n", name);
            return false;
        }
    }
    return true;
}

/* ---- one story ---- */

static bool run_one(struct sim_script *script, const struct options *options)
{
    struct sim_child child = sim_child_start(script, options->shrinks || options->is_verbose);
    static struct sim_verdict verdict;
    char signature[SIM_ERROR_TEXT];

    sim_child_wait(&child, &verdict);
    for (size_t i = 0; i < verdict.error_count; i++) {
        printf("  %s\n", verdict.errors[i]);
    }
    if (verdict.error_count > 0 && options->shrinks) {
        sim_signature(verdict.errors[0], signature);
        sim_shrink(script, signature);
        printf("shrunk to %zu events; again with: sim --verbose --story \"", script->event_count);
        sim_script_print(stdout, script);
        printf("\"\n");
    }
    if (options->is_verbose || (verdict.error_count > 0 && options->shrinks)) {
        printf("kinds ");
        sim_script_print_kinds(stdout, script->kinds);
        printf("\n");
        fflush(stdout);
        sim_run(script, stdout, options->logs_steps, &verdict);
        printf("%s\n", verdict.error_count == 0 ? "holds" : "fails");
    }
    fflush(stdout);
    return verdict.error_count == 0;
}

/* ---- many seeds ---- */

static void note(struct tally *tally, const struct sim_script *script,
                 const struct sim_verdict *verdict, const struct options *options)
{
    char signature[SIM_ERROR_TEXT];
    unsigned at = 0;

    sim_coverage_add(&tally->coverage, &verdict->facts);
    if (verdict->error_count == 0) {
        return;
    }
    tally->failed++;
    printf("seed %" PRIu64 " fails: %s\n    again: sim --seed %" PRIu64 " --kinds %s --shrink\n",
           script->seed, verdict->errors[0], script->seed, options->kinds_text);
    fflush(stdout);
    sim_signature(verdict->errors[0], signature);
    while (at < tally->signature_count && strcmp(tally->signatures[at], signature) != 0) {
        at++;
    }
    if (at == SIGNATURES_MAX) {
        return;
    }
    if (at == tally->signature_count) {
        memcpy(tally->signatures[tally->signature_count++], signature, sizeof signature);
        tally->shortest[at] = *script;
    }
    tally->counts[at]++;
    if (script->event_count < tally->shortest[at].event_count) {
        tally->shortest[at] = *script;
    }
}

static void print_tally(const struct tally *tally, uint64_t seed_count, bool shows_coverage)
{
    printf("%" PRIu64 " seeds, %" PRIu64 " fail\n", seed_count, tally->failed);
    sim_coverage_print(&tally->coverage, stdout, shows_coverage);
    for (unsigned i = 0; i < tally->signature_count; i++) {
        printf("%5u  %s\n       e.g. seed %" PRIu64 " (%zu events)\n", tally->counts[i],
               tally->signatures[i], tally->shortest[i].seed, tally->shortest[i].event_count);
    }
}

static bool run_many(const struct options *options)
{
    struct tally *tally = mb_alloc_zeroed(1, sizeof *tally);
    static struct sim_script scripts[JOBS_MAX];
    static struct sim_verdict verdict;
    struct sim_child children[JOBS_MAX];
    uint64_t started = 0;
    uint64_t done = 0;
    bool is_good;

    while (done < started ||
           (started < options->seed_count && tally->failed < options->failure_count_max)) {
        while (started - done < options->job_count && started < options->seed_count &&
               tally->failed < options->failure_count_max) {
            unsigned slot = (unsigned)(started % options->job_count);

            sim_script_make(&scripts[slot], options->start + started, options->kinds);
            children[slot] = sim_child_start(&scripts[slot], options->shrinks);
            started++;
        }
        sim_child_wait(&children[done % options->job_count], &verdict);
        note(tally, &scripts[done % options->job_count], &verdict, options);
        done++;
    }
    print_tally(tally, done, options->shows_coverage);
    for (unsigned i = 0; options->shrinks && i < tally->signature_count; i++) {
        printf("\n==== %s\n", tally->signatures[i]);
        (void)run_one(&tally->shortest[i], options);
    }
    is_good = tally->failed == 0;
    if (options->must_be_whole && is_good) {
        is_good = sim_coverage_is_whole(&tally->coverage, stdout);
    }
    free(tally);
    return is_good;
}

/* Stories that failed once, each with the sentence it disproved. */
static bool run_regressions(const struct options *options)
{
    static struct sim_script script;
    bool is_good = true;

    for (const struct sim_regression *story = sim_regressions; story->name != NULL; story++) {
        bool holds = sim_script_read(&script, story->text) && run_one(&script, options);

        printf("%s %s\n", holds ? "ok  " : "FAIL", story->name);
        is_good = is_good && holds;
    }
    return is_good;
}

int main(int argc, char **argv)
{
    struct options options = {
        .seed_count = 100, .kinds_text = "all", .job_count = 2, .failure_count_max = UINT32_MAX};
    static struct sim_script script;
    bool is_good;

    (void)sim_script_parse_kinds("all", &options.kinds);
    (void)signal(SIGXFSZ, SIG_IGN); /* a full disk is an error, not a death */
    if (!parse(argc, argv, &options) || !sim_db_prepare(SIM_FIXTURES)) {
        return 64;
    }
    if (options.runs_regressions) {
        is_good = run_regressions(&options);
    } else if (options.story != NULL || options.is_one_seed) {
        if (options.story == NULL) {
            sim_script_make(&script, options.start, options.kinds);
        } else if (!sim_script_read(&script, options.story)) {
            fprintf(stderr, "sim: this is not a story\n");
            return 64;
        }
        is_good = run_one(&script, &options);
    } else {
        is_good = run_many(&options);
    }
    sim_disk_remove(sim_disk_scratch());
    return is_good ? 0 : 1;
}
