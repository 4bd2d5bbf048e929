/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

char *mb_file_join(const char *folder, const char *name)
{
    size_t size = strlen(folder);
    bool has_slash = size > 0 && folder[size - 1] == '/';

    return mb_alloc_format("%s%s%s", folder, has_slash ? "" : "/", name);
}

char *mb_file_parent(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        return mb_alloc_text(".");
    }
    while (slash > path && slash[-1] == '/') {
        slash--;
    }
    return slash == path ? mb_alloc_text("/") : mb_alloc_text_n(path, (size_t)(slash - path));
}

char *mb_file_expand_home(const char *path, const char *home)
{
    if (path[0] != '~' || (path[1] != '\0' && path[1] != '/') || home == NULL || home[0] == '\0') {
        return mb_alloc_text(path);
    }
    return path[1] == '\0' ? mb_alloc_text(home) : mb_file_join(home, path + 2);
}

/* The working folder; NULL if it was removed. Given. */
static char *working_folder(void)
{
    size_t capacity = 1024;
    char *path = mb_alloc(capacity);

    while (getcwd(path, capacity) == NULL) {
        if (errno != ERANGE) {
            free(path);
            return NULL;
        }
        capacity *= 2;
        path = mb_alloc_resize(path, capacity, 1);
    }
    return path;
}

char *mb_file_absolute(const char *path)
{
    char *folder = path[0] == '/' ? mb_alloc_text("") : working_folder();

    if (folder == NULL) {
        return mb_alloc_text(path);
    }
    char *whole = mb_alloc_format("%s/%s", folder, path);
    char *out = mb_alloc(strlen(whole) + 1);
    size_t used = 0;
    for (const char *part = whole; *part != '\0';) {
        size_t size = strcspn(part, "/");
        if (size == 2 && memcmp(part, "..", 2) == 0) {
            while (used > 0 && out[--used] != '/') {
            }
        } else if (size > 0 && !(size == 1 && part[0] == '.')) {
            out[used++] = '/';
            memcpy(out + used, part, size);
            used += size;
        }
        part += size;
        part += *part == '/' ? 1 : 0;
    }
    if (used == 0) {
        out[used++] = '/';
    }
    out[used] = '\0';
    free(whole);
    free(folder);
    return out;
}

char *mb_file_real_path(const char *path)
{
    return realpath(path, NULL);
}
