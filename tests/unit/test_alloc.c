/* SPDX-License-Identifier: MIT */
/* Proves: the allocator's results are usable for empty sizes, hold what they should, and a size
 * that overflows ends the process instead of giving a short block. */
#include "alloc.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(alloc_serves_empty_sizes)
{
    void *a = mb_alloc(0);
    void *b = mb_alloc_zeroed(0, 8);
    char *c = mb_alloc_text_n(NULL, 0);

    CHECK(a != NULL);
    CHECK(b != NULL);
    CHECK_TEXT(c, "");
    free(a);
    free(b);
    free(c);
}

TEST(alloc_zeroed_gives_zeros_and_resize_keeps_them)
{
    static const uint8_t zeros[64];
    uint8_t *data = mb_alloc_zeroed(8, 8);

    CHECK_BYTES(data, zeros, sizeof(zeros));
    data = mb_alloc_resize(data, 1000, 8);
    CHECK_BYTES(data, zeros, sizeof(zeros));
    free(data);
    data = mb_alloc_resize(NULL, 2, 2);
    CHECK(data != NULL);
    free(data);
}

TEST(alloc_copies_texts)
{
    char *whole = mb_alloc_text("head");
    char *part = mb_alloc_text_n("headless", 4);
    char *made = mb_alloc_format("%s-%d", "head", 41);
    char *copy = mb_alloc_copy("a\0b", 4);

    CHECK_TEXT(whole, "head");
    CHECK_TEXT(part, "head");
    CHECK_TEXT(made, "head-41");
    CHECK_BYTES(copy, "a\0b", 4);
    CHECK(mb_alloc_text(NULL) == NULL);
    free(whole);
    free(part);
    free(made);
    free(copy);
}

/* The wait status of a child in which a product of sizes overflows. */
static int status_of_overflow(bool zeroed)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        (void)close(STDERR_FILENO);
        /* Through volatile, so that no compiler sees it coming. */
        volatile size_t count = SIZE_MAX / 4;
        free(zeroed ? mb_alloc_zeroed(count, 8) : mb_alloc_resize(NULL, count, 8));
        _exit(77);
    }
    (void)waitpid(child, &status, 0);
    return status;
}

TEST(alloc_ends_the_process_when_the_product_overflows)
{
    int zeroed = status_of_overflow(true);
    int resized = status_of_overflow(false);

    CHECK(WIFEXITED(zeroed) && WEXITSTATUS(zeroed) == 1);
    CHECK(WIFEXITED(resized) && WEXITSTATUS(resized) == 1);
}

TEST_LIST(TEST_ROW(alloc_serves_empty_sizes),
          TEST_ROW(alloc_zeroed_gives_zeros_and_resize_keeps_them), TEST_ROW(alloc_copies_texts),
          TEST_ROW(alloc_ends_the_process_when_the_product_overflows));
