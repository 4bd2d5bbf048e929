/* SPDX-License-Identifier: MIT */
#include "demo_text.h"

#include "assert.h"

#include <stdio.h>
#include <string.h>

#include "banned.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const projects[] = {"webshop", "weather-station", "thesis", "home-server"};

static const char *const parts[] = {
    "the login form",        "the checkout page",   "the CSV importer",   "the sensor driver",
    "the nightly backup",    "the search index",    "the image resizer",  "the bibliography",
    "the retry queue",       "the settings dialog", "the invoice mailer", "the plot of rainfall",
    "the session store",     "the REST client",     "the TLS proxy",      "the disk monitor",
    "the chapter on method",
};
static const char *const troubles[] = {
    "lost the last line of its input",
    "failed when two requests came within the same millisecond",
    "showed yesterday's values until the cache expired",
    "took eleven seconds on the small board",
    "broke on names with an apostrophe",
    "kept a file handle open for each attempt",
    "counted daylight saving time twice",
    "ignored the timeout it was given",
    "wrote its log into the wrong folder",
    "rounded amounts before adding them up",
    "stopped at the first empty record",
};
static const char *const causes[] = {
    "the loop ended one step early, because the length was read before the newline was cut off",
    "a default from the first prototype was still in force and overrode the configured value",
    "two callers shared one buffer, and the second one overwrote what the first had not yet sent",
    "the query had no index to use and walked the whole table for every row of the page",
    "the library had changed the meaning of a missing value between its versions four and five",
    "an error was caught and logged, but the caller went on as if it had a result",
    "the clock was read twice, and the two readings could lie on different sides of midnight",
};
static const char *const cures[] = {
    "the parser now works on whole records and has a test with a file that ends without a newline",
    "the value is taken from the settings in one place, and the old default is gone",
    "each request owns its buffer; the shared one was removed",
    "a covering index brought the page down to forty milliseconds",
    "missing values are made explicit at the border, so that nothing behind it has to guess",
    "the error is handed up, and the job is tried again with a growing pause",
    "the time is read once and passed along as a parameter",
    "amounts are kept in cents as integers, and rounded only when they are shown",
};
static const char *const lessons[] = {
    "Look at the raw input before blaming the parser.",
    "A test that sleeps will fail one day; give the code a clock instead.",
    "What is configured in two places is configured in neither.",
    "Measure on the slow machine, not on the fast one.",
    "The message of the first error is worth more than the tenth retry.",
};
static const char *const types[] = {"bugfix", "discovery", "change", "decision", "feature"};

/* What a number chooses; primes keep neighbours apart. */
static const char *pick(const char *const *words, size_t count, unsigned number, unsigned stride)
{
    return words[((size_t)number * stride + number / 7) % count];
}

static void fill_observation(struct mb_demo_text *text, const char *machine, unsigned number,
                             size_t index)
{
    struct mb_sample_observation *observation = &text->observations[index];
    unsigned seed = number * MB_DEMO_OBSERVATIONS + (unsigned)index;
    const char *part = pick(parts, COUNT(parts), seed, 5);
    const char *trouble = pick(troubles, COUNT(troubles), seed, 7);
    const char *cause = pick(causes, COUNT(causes), seed, 3);
    const char *cure = pick(cures, COUNT(cures), seed, 5);
    const char *lesson = pick(lessons, COUNT(lessons), seed, 2);

    (void)snprintf(text->titles[index], sizeof(text->titles[index]), "Why %s %.60s (%s %u)", part,
                   trouble, machine, seed + 1);
    (void)snprintf(text->subtitles[index], sizeof(text->subtitles[index]),
                   "Seen on %s while working on %s; understood and put right", machine,
                   text->session.project);
    (void)snprintf(text->facts[index], sizeof(text->facts[index]),
                   "[\"In case %u, %s %s.\",\"Cause: %s.\",\"Cure: %s.\"]", seed + 1, part, trouble,
                   cause, cure);
    (void)snprintf(text->narratives[index], sizeof(text->narratives[index]),
                   "While working on %s it turned out that %s %s. Following the data step by step "
                   "showed that %s. After the change, %s. The old behaviour could be reproduced %u "
                   "times out of a hundred before, and not once since. %s",
                   text->session.project, part, trouble, cause, cure, 3 + seed * 13 % 89, lesson);
    observation->type = pick(types, COUNT(types), seed, 1);
    observation->title = text->titles[index];
    observation->subtitle = text->subtitles[index];
    observation->facts = text->facts[index];
    observation->narrative = text->narratives[index];
    observation->concepts = "[\"how-it-works\",\"problem-solution\"]";
}

void mb_demo_text_session(struct mb_demo_text *text, const char *machine, unsigned number,
                          int64_t started_ms)
{
    struct mb_sample_session *session = &text->session;
    const char *part = pick(parts, COUNT(parts), number, 3);
    const char *trouble = pick(troubles, COUNT(troubles), number, 5);

    memset(text, 0, sizeof(*text));
    (void)snprintf(text->content_id, sizeof(text->content_id), "%.20s-0000-4000-8000-%012u",
                   machine, number + 1);
    (void)snprintf(
        text->prompt, sizeof(text->prompt),
        "Since this morning %s has a fault: it %s. Please find out why, put it right, and "
        "add a test so that it stays that way.",
        part, trouble);
    (void)snprintf(text->request, sizeof(text->request), "Find out why %s %s", part, trouble);
    (void)snprintf(text->learned, sizeof(text->learned), "It came about because %s. %s",
                   pick(causes, COUNT(causes), number, 5),
                   pick(lessons, COUNT(lessons), number, 3));
    (void)snprintf(text->completed, sizeof(text->completed), "Put right: %s.",
                   pick(cures, COUNT(cures), number, 3));
    (void)snprintf(text->next_steps, sizeof(text->next_steps), "Watch %s for a week.", part);
    session->content_id = text->content_id;
    session->project = pick(projects, COUNT(projects), number, 1);
    session->prompt = text->prompt;
    session->request = text->request;
    session->learned = text->learned;
    session->completed = text->completed;
    session->next_steps = text->next_steps;
    session->started_ms = started_ms;
    session->observations = text->observations;
    session->observation_count = MB_DEMO_OBSERVATIONS;
    for (size_t i = 0; i < MB_DEMO_OBSERVATIONS; i++) {
        fill_observation(text, machine, number, i);
    }
    MB_ASSERT(session->project != NULL);
}
