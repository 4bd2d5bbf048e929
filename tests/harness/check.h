/* SPDX-License-Identifier: MIT */
#ifndef MB_CHECK_H
#define MB_CHECK_H

/*
 * The test harness. A test is a function whose name is a sentence; a file lists its tests and is a
 * program:
 *
 *     TEST(merge_keeps_both_rows_when_keys_differ)
 *     {
 *         CHECK_OK(mb_merge_apply(&merge, &err), &err);
 *         CHECK_INT(merge.row_count, 2);
 *     }
 *
 *     TEST_LIST(TEST_ROW(merge_keeps_both_rows_when_keys_differ));
 *
 * A failed check is printed and the test goes on; the program's last line is "N passed, N failed"
 * and its exit status tells. "program <word>" runs only the tests whose names contain the word.
 */

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

struct check_test {
    const char *name;
    void (*run)(void);
};

#define TEST(name) static void name(void)
/* clang-format off */
#define TEST_ROW(name) {#name, name}
/* clang-format on */
#define TEST_LIST(...)                                                                             \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const struct check_test tests[] = {__VA_ARGS__};                                    \
        return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));                    \
    }                                                                                              \
    int main(int argc, char **argv)

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)
#define CHECK_INT(actual, expected)                                                                \
    check_int((int64_t)(actual), (int64_t)(expected), #actual, __FILE__, __LINE__)
/* NULL is equal to NULL only. */
#define CHECK_TEXT(actual, expected) check_text((actual), (expected), #actual, __FILE__, __LINE__)
#define CHECK_BYTES(actual, expected, size)                                                        \
    check_bytes((actual), (expected), (size), #actual, __FILE__, __LINE__)
/* The call's result is 0; otherwise err's message is printed. */
#define CHECK_OK(rc, err) check_ok((rc), (err), #rc, __FILE__, __LINE__)
/* The call's result is -1 and err has that code. */
#define CHECK_FAILS(rc, err, code) check_fails((rc), (err), (code), #rc, __FILE__, __LINE__)

/* Each gives true if the check held, for "if (!CHECK(...)) return;". */
bool check_true(bool condition, const char *what, const char *file, int line);
bool check_int(int64_t actual, int64_t expected, const char *what, const char *file, int line);
bool check_text(const char *actual, const char *expected, const char *what, const char *file,
                int line);
bool check_bytes(const void *actual, const void *expected, size_t size, const char *what,
                 const char *file, int line);
bool check_ok(int rc, const struct mb_error *err, const char *what, const char *file, int line);
bool check_fails(int rc, const struct mb_error *err, enum mb_code code, const char *what,
                 const char *file, int line);

/* Says that the running test could not run here, and why. The program then exits 77, which CTest
 * reports as skipped and scripts/test.sh counts as failed: never passed over in silence. */
void check_not_run(const char *why);

/* Has a check of the running test failed? For tests that do one thing many times, to say which time
 * it was. */
bool check_has_failed(void);

int check_main(int argc, char **argv, const struct check_test *tests, size_t count);

#endif
