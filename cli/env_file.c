/* SPDX-License-Identifier: MIT */
#include "env_file.h"

#include "alloc.h"
#include "buf.h"
#include "file.h"
#include "limits.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define NAME_MAX_BYTES 128

struct entry {
    char *name;
    char *value;         /* NULL if it could not be read */
    const char *problem; /* then: why */
    size_t line;
};

struct mb_env_file {
    char *path;
    struct entry *entries;
    size_t count;
};

/* One value being read. */
struct reader {
    const char *at;
    const struct mb_env_file *file;
    mb_env_file_lookup_fn lookup;
    void *context;
    struct mb_buf value;
    const char *problem;
};

static const struct entry *find(const struct mb_env_file *file, const char *name)
{
    /* As in a shell, the last line counts. */
    for (size_t i = file->count; i > 0; i--) {
        if (strcmp(file->entries[i - 1].name, name) == 0) {
            return &file->entries[i - 1];
        }
    }
    return NULL;
}

static void add(struct reader *reader, const char *text, size_t size)
{
    struct mb_error err;

    mb_error_init(&err);
    if (reader->problem == NULL && mb_buf_append(&reader->value, text, size, &err) != 0) {
        reader->problem = "the value is too long";
    }
}

/* $NAME, ${NAME}; at the '$'. */
static void expand(struct reader *reader)
{
    char name[NAME_MAX_BYTES];
    const struct entry *entry = NULL;
    const char *value = NULL;
    bool has_brace = false;
    size_t size = 0;

    reader->at++;
    has_brace = *reader->at == '{';
    reader->at += has_brace ? 1 : 0;
    size = strspn(reader->at, NAME_CHARS);
    if (size == 0 || size >= sizeof(name) || (has_brace && reader->at[size] != '}')) {
        reader->problem = "only $NAME and ${NAME} are understood after a '$'; put single quotes "
                          "around a value that has a '$' in it";
        return;
    }
    memcpy(name, reader->at, size);
    name[size] = '\0';
    reader->at += size + (has_brace ? 1 : 0);
    entry = find(reader->file, name);
    value = reader->lookup(reader->context, name);
    if (value == NULL && entry != NULL) {
        value = entry->value;
    }
    if (value == NULL) {
        reader->problem = "it uses a variable that is not set";
        return;
    }
    add(reader, value, strlen(value));
}

static void read_single_quoted(struct reader *reader)
{
    size_t size = 0;

    reader->at++;
    size = strcspn(reader->at, "'\n");
    add(reader, reader->at, size);
    reader->at += size;
    if (*reader->at != '\'') {
        reader->problem = "a quote is not closed";
        return;
    }
    reader->at++;
}

static void read_double_quoted(struct reader *reader)
{
    reader->at++;
    while (reader->problem == NULL && *reader->at != '"') {
        if (*reader->at == '\0' || *reader->at == '\n') {
            reader->problem = "a quote is not closed";
        } else if (*reader->at == '$') {
            expand(reader);
        } else if (*reader->at == '`') {
            reader->problem = "membridge runs no commands from a settings file";
        } else if (*reader->at == '\\' && strchr("\"\\$`", reader->at[1]) != NULL &&
                   reader->at[1] != '\0') {
            add(reader, reader->at + 1, 1);
            reader->at += 2;
        } else {
            add(reader, reader->at, 1);
            reader->at++;
        }
    }
    reader->at += reader->problem == NULL ? 1 : 0;
}

/* Everything up to white space, a ';' or the line's end, as a shell joins quoted and plain
 * pieces. */
static void read_value(struct reader *reader)
{
    const char *home = NULL;

    if (reader->at[0] == '~' && (reader->at[1] == '/' || strcspn(reader->at, " \t\r\n;") == 1)) {
        home = reader->lookup(reader->context, "HOME");
        add(reader, home != NULL ? home : "~", strlen(home != NULL ? home : "~"));
        reader->at++;
    }
    while (reader->problem == NULL && strchr(" \t\r\n;", *reader->at) == NULL) {
        switch (*reader->at) {
        case '\'': read_single_quoted(reader); break;
        case '"': read_double_quoted(reader); break;
        case '$': expand(reader); break;
        case '`': reader->problem = "membridge runs no commands from a settings file"; break;
        case '\\':
            reader->at++;
            if (*reader->at != '\0' && *reader->at != '\n') {
                add(reader, reader->at, 1);
                reader->at++;
            }
            break;
        default: add(reader, reader->at, 1); reader->at++;
        }
    }
}

static void parse_line(struct mb_env_file *file, const char *text, size_t line,
                       struct reader *reader)
{
    struct entry *entry = NULL;
    size_t size = 0;

    text += strspn(text, " \t");
    if (mb_text_has_prefix(text, "export ") || mb_text_has_prefix(text, "export\t")) {
        text += strlen("export ");
        text += strspn(text, " \t");
    }
    size = strspn(text, NAME_CHARS);
    if (size == 0 || text[size] != '=') {
        return;
    }
    reader->at = text + size + 1;
    reader->problem = NULL;
    mb_buf_clear(&reader->value);
    read_value(reader);
    file->entries = mb_alloc_resize(file->entries, file->count + 1, sizeof(*file->entries));
    entry = &file->entries[file->count++];
    entry->name = mb_alloc_text_n(text, size);
    entry->line = line;
    entry->problem = reader->problem;
    entry->value = reader->problem == NULL ? mb_alloc_text(mb_buf_text(&reader->value)) : NULL;
}

struct mb_env_file *mb_env_file_parse(const char *path, const char *text,
                                      mb_env_file_lookup_fn lookup, void *context)
{
    struct mb_env_file *file = mb_alloc_zeroed(1, sizeof(*file));
    struct reader reader = {0};
    size_t line = 1;

    file->path = mb_alloc_text(path);
    reader.file = file;
    reader.lookup = lookup;
    reader.context = context;
    mb_buf_init(&reader.value, MB_LIMIT_CONFIG_BYTES);
    while (*text != '\0') {
        parse_line(file, text, line++, &reader);
        text += strcspn(text, "\n");
        text += *text == '\n' ? 1 : 0;
    }
    mb_buf_release(&reader.value);
    return file;
}

void mb_env_file_free(struct mb_env_file *file)
{
    if (file == NULL) {
        return;
    }
    for (size_t i = 0; i < file->count; i++) {
        free(file->entries[i].name);
        free(file->entries[i].value);
    }
    free(file->entries);
    free(file->path);
    free(file);
}

static int check_mode(const char *path, struct mb_error *err)
{
    struct mb_file_stat stat;
    char shown[512];

    if (mb_file_stat(path, &stat, err) != 0) {
        return -1;
    }
    mb_text_clean(shown, sizeof(shown), path, strlen(path));
    if (!stat.is_regular) {
        return mb_error_set(err, MB_ERR_USAGE, "the settings '%s' are not a file", shown);
    }
    if ((stat.mode & 077U) != 0) {
        (void)mb_error_set(err, MB_ERR_DENIED,
                           "others can read the settings in '%s', which may hold keys", shown);
        return mb_error_advise(err, "run: chmod 600 '%s'", shown);
    }
    return 0;
}

int mb_env_file_read(const char *path, mb_env_file_lookup_fn lookup, void *context,
                     struct mb_env_file **file_out, struct mb_error *err)
{
    struct mb_buf buf;
    int rc = -1;

    mb_buf_init(&buf, MB_LIMIT_CONFIG_BYTES);
    if (check_mode(path, err) != 0 || mb_file_read(path, &buf, err) != 0) {
        goto out;
    }
    *file_out = mb_env_file_parse(path, mb_buf_text(&buf), lookup, context);
    rc = 0;
out:
    mb_buf_release(&buf);
    return rc;
}

int mb_env_file_get(const struct mb_env_file *file, const char *name, const char **value_out,
                    struct mb_error *err)
{
    const struct entry *entry = find(file, name);
    char shown[512];

    if (entry != NULL && entry->problem != NULL) {
        mb_text_clean(shown, sizeof(shown), file->path, strlen(file->path));
        (void)mb_error_set(err, MB_ERR_USAGE, "%s in '%s', line %zu: %s", name, shown, entry->line,
                           entry->problem);
        return mb_error_advise(err, "correct that line, or set %s in the environment", name);
    }
    *value_out = entry != NULL ? entry->value : NULL;
    return 0;
}
