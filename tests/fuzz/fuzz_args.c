/* SPDX-License-Identifier: MIT */
/*
 * cli/args: any command line. What was read points into the command line, and a refusal says what
 * to do.
 *
 * Input: the words, one on a line.
 */
#include "alloc.h"
#include "args.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 32

static bool is_word(const char *text, size_t count, char *const *words)
{
    for (size_t i = 0; i < count; i++) {
        if (text >= words[i] && text <= words[i] + strlen(words[i])) {
            return true;
        }
    }
    return false;
}

static void check_params(const struct mb_param *params, const void *target, size_t count,
                         char *const *words)
{
    for (; params != NULL && params->name != NULL; params++) {
        const char *field = (const char *)target + params->offset;

        if (params->type == MB_PARAM_TEXT || params->type == MB_PARAM_WORD) {
            const char *text = *(const char *const *)(const void *)field;

            FUZZ_CHECK(text == NULL || is_word(text, count, words));
        } else if (params->type == MB_PARAM_FLAG) {
            FUZZ_CHECK(*(const unsigned char *)field <= 1);
        } else {
            int64_t value = *(const int64_t *)(const void *)field;

            FUZZ_CHECK(value == 0 || (value >= params->min && value <= params->max));
        }
    }
}

static bool has_word(const char *word, size_t count, char *const *words)
{
    for (size_t i = 1; i < count; i++) {
        if (strcmp(words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char *words[WORDS_MAX + 1] = {NULL};
    size_t count = 0;
    size_t word_size = 0;
    struct mb_args args;
    struct mb_error err;

    words[count++] = mb_alloc_text("membridge");
    while (count < WORDS_MAX && (words[count] = fuzz_part(&input, '\n', &word_size)) != NULL) {
        count++;
    }
    if (mb_args_parse(&args, (int)count, words, &err) != 0) {
        fuzz_check_error(&err);
        FUZZ_CHECK(err.code == MB_ERR_USAGE);
    } else {
        FUZZ_CHECK(args.op != NULL && args.request != NULL);
        FUZZ_CHECK(args.op_word == NULL || is_word(args.op_word, count, words));
        check_params(mb_args_global_params, &args.globals, count, words);
        check_params(args.op->params, args.request, count, words);
        FUZZ_CHECK(!args.globals.json || has_word("--json", count, words));
        FUZZ_CHECK(!args.globals.dry_run || has_word("--dry-run", count, words));
    }
    mb_args_release(&args);
    for (size_t i = 0; i < count; i++) {
        free(words[i]);
    }
    return 0;
}
