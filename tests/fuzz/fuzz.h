/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_H
#define FUZZ_H

/*
 * What the drivers share. A driver is one file with one LLVMFuzzerTestOneInput(): it takes any
 * bytes, does with them what membridge does with bytes from outside, and asserts with FUZZ_CHECK
 * what must hold then. Linked with libFuzzer in the preset `fuzz`; with standalone.c, which only
 * runs files, in every other build.
 */

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Always returns 0: every input may stay in the corpus. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken property ends the process, which is what a fuzzer takes for a finding. */
#define FUZZ_CHECK(condition)                                                                      \
    ((condition) ? (void)0 : fuzz_failed(#condition, "", __FILE__, __LINE__))
/* The call's result is 0; otherwise err's message is told too. */
#define FUZZ_CHECK_OK(rc, err)                                                                     \
    ((rc) == 0 ? (void)0 : fuzz_failed(#rc, (err)->message, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *what, const char *more, const char *file, int line);

/* A failed call: the code is one of the table's and not MB_OK, the message may be shown. */
void fuzz_check_error(const struct mb_error *err);
/* Text that a terminal may be given: UTF-8 without control characters. */
void fuzz_check_shown(const char *text);

/* Takes an input from its front. */
struct fuzz_input {
    const uint8_t *data;
    size_t size;
};
uint8_t fuzz_byte(struct fuzz_input *input); /* 0 when there is none left */
/* What is left as a text that ends at the first NUL; given. */
char *fuzz_text(struct fuzz_input *input);
/* The bytes up to the next `separator` (which is passed over) or the end, with a NUL behind them;
 * given. NULL at the end. */
char *fuzz_part(struct fuzz_input *input, char separator, size_t *size_out);

#endif
