/* SPDX-License-Identifier: MIT */
/* Runs a driver without libFuzzer over the files and folders that it is given: so the corpus is a
 * regression test under every compiler. */
#include "alloc.h"
#include "buf.h"
#include "file.h"
#include "fuzz.h"
#include "limits.h"

#include <stdio.h>
#include <stdlib.h>

struct run {
    const char *folder;
    size_t count;
};

static int run_file(const char *path, struct mb_error *err)
{
    struct mb_buf buf;
    uint8_t *exact = NULL; /* so that a sanitizer sees a read behind its end */
    int rc = -1;

    mb_buf_init(&buf, MB_MIB);
    if (mb_file_read(path, &buf, err) == 0) {
        (void)fprintf(stderr, "%s\n", path); /* the last line before a crash names the input */
        exact = mb_alloc_copy(buf.data, buf.size);
        (void)LLVMFuzzerTestOneInput(exact, buf.size);
        rc = 0;
    }
    free(exact);
    mb_buf_release(&buf);
    return rc;
}

static int on_name(void *context, const char *name, struct mb_error *err)
{
    struct run *run = context;
    char *path = mb_file_join(run->folder, name);
    int rc = run_file(path, err);

    run->count++;
    free(path);
    return rc;
}

int main(int argc, char **argv)
{
    struct run run = {NULL, 0};
    struct mb_error err;

    mb_error_init(&err);
    for (int i = 1; i < argc; i++) {
        int rc = 0;

        if (mb_file_is_folder(argv[i])) {
            run.folder = argv[i];
            rc = mb_file_list(argv[i], on_name, &run, &err);
        } else {
            rc = run_file(argv[i], &err);
            run.count++;
        }
        if (rc != 0) {
            (void)fprintf(stderr, "%s: %s\n", argv[i], err.message);
            return 1;
        }
    }
    (void)printf("%zu inputs\n", run.count);
    return run.count > 0 ? 0 : 1; /* an empty corpus proves nothing */
}
