/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "alloc.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_failed(const char *what, const char *more, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: %s does not hold%s%s\n", file, line, what,
                  more[0] != '\0' ? ": " : "", more);
    abort();
}

void fuzz_check_error(const struct mb_error *err)
{
    FUZZ_CHECK(err->code != MB_OK);
    FUZZ_CHECK(strcmp(mb_error_name(err->code), "ok") != 0);
    FUZZ_CHECK(mb_error_advice(err)[0] != '\0');
    FUZZ_CHECK(err->message[0] != '\0');
    fuzz_check_shown(err->message);
    fuzz_check_shown(mb_error_advice(err));
}

void fuzz_check_shown(const char *text)
{
    FUZZ_CHECK(mb_text_is_utf8(text, strlen(text)));
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        FUZZ_CHECK(*p >= 0x20 && *p != 0x7f);
        FUZZ_CHECK(p[0] != 0xc2 || p[1] >= 0xa0); /* C1: 0x80 to 0x9f */
    }
}

uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->size == 0) {
        return 0;
    }
    input->size--;
    return *input->data++;
}

char *fuzz_text(struct fuzz_input *input)
{
    const void *end = input->size > 0 ? memchr(input->data, '\0', input->size) : NULL;
    size_t size = end != NULL ? (size_t)((const uint8_t *)end - input->data) : input->size;
    char *text = mb_alloc_text_n((const char *)input->data, size);

    input->data += size;
    input->size -= size;
    return text;
}

char *fuzz_part(struct fuzz_input *input, char separator, size_t *size_out)
{
    const void *end = NULL;
    size_t size = input->size;
    char *part = NULL;

    if (size == 0) {
        return NULL;
    }
    end = memchr(input->data, separator, size);
    size = end != NULL ? (size_t)((const uint8_t *)end - input->data) : size;
    part = mb_alloc(size + 1);
    memcpy(part, input->data, size);
    part[size] = '\0';
    input->data += size;
    input->size -= size;
    (void)fuzz_byte(input);
    *size_out = size;
    return part;
}
