/* SPDX-License-Identifier: MIT */
#include "init_file.h"

#include "buf.h"
#include "file.h"
#include "limits.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Settings of the predecessor that mean something for a folder store. Its keys stay where they
 * are. */
static const char *const inherited[] = {"CLAUDE_PROJECT_ID", "CLAUDE_MEM_DB",
                                        "PULL_BACKUP_MAX_DAYS", "PULL_BACKUP_MAX_COUNT"};

/* Does this line set `name`? "export " before it is allowed, as in a shell. */
static bool line_sets(const char *line, size_t size, const char *name)
{
    size_t name_size = strlen(name);

    while (size > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        size--;
    }
    if (size > 7 && memcmp(line, "export ", 7) == 0) {
        line += 7;
        size -= 7;
    }
    return size > name_size && memcmp(line, name, name_size) == 0 && line[name_size] == '=';
}

static int append_value(struct mb_buf *out, const struct mb_init_value *value, struct mb_error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./:@%+,-";
    bool is_plain = strspn(value->value, plain) == strlen(value->value);

    if (mb_buf_append_format(out, err, "%s=%s", value->name, is_plain ? value->value : "'") != 0) {
        return -1;
    }
    for (const char *c = value->value; !is_plain && *c != '\0'; c++) {
        int rc = *c == '\'' ? mb_buf_append_text(out, "'\\''", err) : mb_buf_append(out, c, 1, err);
        if (rc != 0) {
            return -1;
        }
    }
    return mb_buf_append_text(out, is_plain ? "\n" : "'\n", err);
}

/* Copies the file's lines, with our values in the place of their older ones. is_theirs: only
 * what we inherit. */
static int merge_lines(const char *text, bool is_theirs, const struct mb_init_value *values,
                       size_t value_count, bool *is_written, struct mb_buf *out,
                       struct mb_error *err)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        const struct mb_init_value *found = NULL;
        bool keeps = !is_theirs;
        size_t index = 0;
        for (size_t i = 0; i < value_count; i++) {
            if (values[i].value != NULL && line_sets(text, size, values[i].name)) {
                found = &values[i];
                index = i;
            }
        }
        for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++) {
            keeps = keeps || line_sets(text, size, inherited[i]);
        }
        if (found != NULL) {
            if (!is_written[index] && append_value(out, found, err) != 0) {
                return -1;
            }
            is_written[index] = true;
        } else if (keeps && (mb_buf_append(out, text, size, err) != 0 ||
                             mb_buf_append_text(out, "\n", err) != 0)) {
            return -1;
        }
        text += size;
        text += *text == '\n' ? 1 : 0;
    }
    return 0;
}

#define VALUES_MAX 8

static int build(const struct mb_places *places, const struct mb_init_value *values,
                 size_t value_count, struct mb_buf *old, struct mb_buf *out, struct mb_error *err)
{
    bool is_ours = mb_file_exists(places->config_file);
    const char *source = is_ours ? places->config_file : places->config_read;
    bool is_written[VALUES_MAX] = {false};

    if (source != NULL && mb_file_read(source, old, err) != 0) {
        return -1;
    }
    if (!is_ours && mb_buf_append_text(out,
                                       "# membridge: NAME=value lines, as a shell reads them. "
                                       "'membridge help settings' lists the names.\n",
                                       err) != 0) {
        return -1;
    }
    if (merge_lines(mb_buf_text(old), !is_ours, values, value_count, is_written, out, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < value_count; i++) {
        if (values[i].value != NULL && !is_written[i] && append_value(out, &values[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

int mb_init_file_write(const struct mb_places *places, const struct mb_init_value *values,
                       size_t value_count, struct mb_error *err)
{
    struct mb_buf old;
    struct mb_buf out;
    char *folder = NULL;
    int rc = -1;

    mb_buf_init(&old, MB_LIMIT_CONFIG_BYTES);
    mb_buf_init(&out, 2 * MB_LIMIT_CONFIG_BYTES);
    for (size_t i = 0; i < value_count; i++) {
        if (values[i].value != NULL && strpbrk(values[i].value, "\n\r") != NULL) {
            (void)mb_error_set(err, MB_ERR_USAGE, "%s must not hold a line break", values[i].name);
            goto out;
        }
    }
    if (build(places, values, value_count, &old, &out, err) != 0) {
        goto out;
    }
    folder = mb_file_parent(places->config_file);
    if (mb_file_make_folder(folder, 0700, err) != 0 ||
        mb_file_replace(places->config_file, out.data, out.size, 0600, err) != 0) {
        goto out;
    }
    rc = 0;
out:
    free(folder);
    mb_buf_release(&old);
    mb_buf_release(&out);
    return rc;
}
