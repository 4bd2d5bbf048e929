/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "tmpdir.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXIT_NOT_RUN 77 /* cmake/Test.cmake names it to CTest */

static bool could_not_run;
static bool has_failed; /* the running test */

static bool report(bool holds, const char *file, int line)
{
    if (!holds) {
        has_failed = true;
        (void)printf("    %s:%d: ", file, line);
    }
    return holds;
}

bool check_true(bool condition, const char *what, const char *file, int line)
{
    if (!report(condition, file, line)) {
        (void)printf("%s does not hold\n", what);
    }
    return condition;
}

bool check_int(int64_t actual, int64_t expected, const char *what, const char *file, int line)
{
    bool holds = actual == expected;

    if (!report(holds, file, line)) {
        (void)printf("%s is %" PRId64 ", not %" PRId64 "\n", what, actual, expected);
    }
    return holds;
}

bool check_text(const char *actual, const char *expected, const char *what, const char *file,
                int line)
{
    bool holds =
        actual == expected || (actual != NULL && expected != NULL && strcmp(actual, expected) == 0);

    if (!report(holds, file, line)) {
        (void)printf("%s is\n        '%s', not\n        '%s'\n", what,
                     actual == NULL ? "(NULL)" : actual, expected == NULL ? "(NULL)" : expected);
    }
    return holds;
}

bool check_bytes(const void *actual, const void *expected, size_t size, const char *what,
                 const char *file, int line)
{
    bool holds = size == 0 || memcmp(actual, expected, size) == 0;

    if (!report(holds, file, line)) {
        (void)printf("%s has other bytes than expected\n", what);
    }
    return holds;
}

bool check_ok(int rc, const struct mb_error *err, const char *what, const char *file, int line)
{
    if (!report(rc == 0, file, line)) {
        (void)printf("%s failed: %s (%s)\n", what, err->message, mb_error_name(err->code));
    }
    return rc == 0;
}

bool check_fails(int rc, const struct mb_error *err, enum mb_code code, const char *what,
                 const char *file, int line)
{
    bool holds = rc == -1 && err->code == code;

    if (!report(holds, file, line)) {
        if (rc == 0) {
            (void)printf("%s succeeded instead of %s\n", what, mb_error_name(code));
        } else {
            (void)printf("%s gave %d and %s instead of %s: %s\n", what, rc,
                         mb_error_name(err->code), mb_error_name(code), err->message);
        }
    }
    return holds;
}

void check_not_run(const char *why)
{
    could_not_run = true;
    (void)printf("    not run: %s\n", why);
}

bool check_has_failed(void)
{
    return has_failed;
}

int check_main(int argc, char **argv, const struct check_test *tests, size_t count)
{
    const char *word = argc > 1 ? argv[1] : "";
    size_t passed = 0;
    size_t failed = 0;

    /* A test that ends in a crash must not take the lines before it along. */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < count; i++) {
        if (strstr(tests[i].name, word) == NULL) {
            continue;
        }
        has_failed = false;
        tests[i].run();
        (void)printf("%s %s\n", has_failed ? "FAILED" : "ok    ", tests[i].name);
        passed += has_failed ? 0 : 1;
        failed += has_failed ? 1 : 0;
    }
    tmpdir_remove();
    (void)printf("%zu passed, %zu failed\n", passed, failed);
    if (failed > 0 || passed == 0) {
        return 1;
    }
    return could_not_run ? EXIT_NOT_RUN : 0;
}
