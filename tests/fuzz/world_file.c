/* SPDX-License-Identifier: MIT */
/* Files of the world, and what an input does to them. */
#include "alloc.h"
#include "buf.h"
#include "digest.h"
#include "file.h"
#include "limits.h"
#include "world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATCHES_MAX 16
#define STATEMENT_STEPS_MAX 2000 /* in units of 100 of SQLite's instructions */

uint8_t *world_read_file(const char *path, size_t *size_out)
{
    struct mb_error err;
    struct mb_buf buf;
    uint8_t *data = NULL;

    mb_buf_init(&buf, 64 * MB_MIB);
    if (mb_file_read(path, &buf, &err) == 0) {
        data = mb_buf_take(&buf, size_out);
    }
    mb_buf_release(&buf);
    return data;
}

void world_write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
    FUZZ_CHECK(close(fd) == 0);
}

static int stop_statement(void *context)
{
    return ++*(int *)context > STATEMENT_STEPS_MAX;
}

static int refuse_other_files(void *context, int action, const char *a, const char *b,
                              const char *c, const char *d)
{
    bool may_make_code = *(const bool *)context;
    bool is_code = action == SQLITE_CREATE_VIEW || action == SQLITE_CREATE_TRIGGER ||
                   action == SQLITE_CREATE_VTABLE ||
                   (action == SQLITE_PRAGMA && strcmp(a, "writable_schema") == 0);

    (void)b;
    (void)c;
    (void)d;
    return action == SQLITE_ATTACH || action == SQLITE_DETACH || (is_code && !may_make_code)
               ? SQLITE_DENY
               : SQLITE_OK;
}

sqlite3 *world_open_bounded(const char *path, bool with_code)
{
    static int steps;
    static bool may_make_code;
    sqlite3 *db = NULL;

    steps = 0; /* for the whole input: it may have many statements */
    may_make_code = with_code;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        (void)sqlite3_close(db);
        return NULL;
    }
    (void)sqlite3_progress_handler(db, 100, stop_statement, &steps);
    (void)sqlite3_set_authorizer(db, refuse_other_files, &may_make_code);
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 2000000);
    (void)sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    return db;
}

struct patch {
    size_t offset;
    size_t size;
    uint8_t bytes[16];
};

static void read_patch(const char *text, struct patch *patch)
{
    char *end = NULL;
    unsigned long page = strtoul(text, &end, 16);
    size_t digits = 0;

    patch->offset = page % 4096 * 1024;
    patch->offset += strtoul(end, &end, 16) % 1024;
    end += strspn(end, " ");
    digits = strspn(end, "0123456789abcdef");
    patch->size = digits / 2 < sizeof patch->bytes ? digits / 2 : sizeof patch->bytes;
    (void)mb_digest_unhex(end, patch->bytes, patch->size);
}

static void patch_file(const char *path, const struct patch *patches, size_t count)
{
    size_t size = 0;
    uint8_t *data = count > 0 ? world_read_file(path, &size) : NULL;

    for (size_t i = 0; data != NULL && i < count; i++) {
        if (patches[i].offset + patches[i].size <= size) {
            memcpy(data + patches[i].offset, patches[i].bytes, patches[i].size);
        }
    }
    if (data != NULL) {
        world_write_file(path, data, size);
    }
    free(data);
}

void world_change_file(const char *path, bool with_code, struct fuzz_input *input)
{
    struct patch patches[PATCHES_MAX];
    sqlite3 *db = world_open_bounded(path, with_code);
    char *line = NULL;
    size_t size = 0;
    size_t count = 0;

    FUZZ_CHECK(db != NULL);
    while ((line = fuzz_part(input, '\n', &size)) != NULL) {
        if (line[0] == '@' && count < PATCHES_MAX) {
            read_patch(line + 1, &patches[count++]);
        } else if (line[0] != '@') {
            (void)sqlite3_exec(db, line, NULL, NULL, NULL);
        }
        free(line);
    }
    FUZZ_CHECK(sqlite3_close(db) == SQLITE_OK);
    patch_file(path, patches, count);
}
