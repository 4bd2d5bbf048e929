/* SPDX-License-Identifier: MIT */
#include "tmpdir.h"

#include "alloc.h"
#include "file.h"

#include <stdio.h>
#include <stdlib.h>

static char *folder;

const char *tmpdir(void)
{
    struct mb_error err;

    if (folder == NULL && mb_file_make_temporary("membridge-test-", &folder, &err) != 0) {
        (void)fprintf(stderr, "no temporary folder: %s\n", err.message);
        exit(1);
    }
    return folder;
}

char *tmpdir_path(const char *name)
{
    static unsigned counter;

    return mb_alloc_format("%s/%u-%s", tmpdir(), ++counter, name);
}

void tmpdir_remove(void)
{
    struct mb_error err;

    if (folder != NULL && mb_file_remove_tree(folder, &err) != 0) {
        (void)fprintf(stderr, "the temporary folder stays: %s\n", err.message);
    }
    free(folder);
    folder = NULL;
}
