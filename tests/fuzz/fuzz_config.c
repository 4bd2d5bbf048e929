/* SPDX-License-Identifier: MIT */
/*
 * cli/config: config.env as other people wrote it, and claude-mem's settings.json. What was read is
 * within the settings' limits, and the same when it is quoted and read again.
 *
 * Input: config.env, a NUL, settings.json.
 */
#include "alloc.h"
#include "config.h"
#include "env_file.h"
#include "file.h"
#include "fuzz.h"
#include "limits.h"
#include "tmpdir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *home;
static char *config_path;
static char *settings_path;

static void make_home(void)
{
    char *folder = NULL;
    struct mb_error err;

    home = tmpdir_path("home");
    (void)atexit(tmpdir_remove);
    folder = mb_file_join(home, ".config/membridge");
    config_path = mb_file_join(folder, "config.env");
    FUZZ_CHECK_OK(mb_file_make_folder(folder, 0700, &err), &err);
    free(folder);
    folder = mb_file_join(home, ".claude-mem");
    settings_path = mb_file_join(folder, "settings.json");
    FUZZ_CHECK_OK(mb_file_make_folder(folder, 0700, &err), &err);
    free(folder);
}

/* Not mb_file_replace(): nobody needs these bytes to be durable. */
static void write_file(const char *path, const char *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
    FUZZ_CHECK(close(fd) == 0);
}

static const char *lookup(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "HOME") == 0 ? "/home/anna" : NULL;
}

static const char *no_flag(void *context, const char *flag)
{
    (void)context;
    (void)flag;
    return NULL;
}

/* NAME='value', with each quote in it as '\''. */
static char *quote(const char *name, const char *value)
{
    size_t size = strlen(name);
    char *text = mb_alloc(size + 4 * strlen(value) + 4);
    char *out = text + size + 2;

    memcpy(text, name, size);
    memcpy(text + size, "='", 2);
    for (; *value != '\0'; value++) {
        if (*value == '\'') {
            memcpy(out, "'\\''", 4);
            out += 4;
        } else {
            *out++ = *value;
        }
    }
    memcpy(out, "'", 2);
    return text;
}

static void check_value(const struct mb_env_file *file, const char *name)
{
    struct mb_env_file *again = NULL;
    const char *value = NULL;
    const char *other = NULL;
    char *text = NULL;
    struct mb_error err;

    if (mb_env_file_get(file, name, &value, &err) != 0) {
        fuzz_check_error(&err);
        FUZZ_CHECK(err.code == MB_ERR_USAGE);
        return;
    }
    if (value == NULL) {
        return;
    }
    FUZZ_CHECK(strlen(value) <= MB_LIMIT_CONFIG_BYTES);
    /* A line ends a value, so none can be in it. */
    FUZZ_CHECK(strchr(value, '\n') == NULL);
    text = quote(name, value);
    again = mb_env_file_parse("again", text, lookup, NULL);
    FUZZ_CHECK_OK(mb_env_file_get(again, name, &other, &err), &err);
    FUZZ_CHECK(other != NULL && strcmp(value, other) == 0);
    mb_env_file_free(again);
    free(text);
}

static void try_parse(const char *text)
{
    struct mb_env_file *file = mb_env_file_parse("config.env", text, lookup, NULL);

    for (size_t i = 0; mb_config_table[i].env_name != NULL; i++) {
        check_value(file, mb_config_table[i].env_name);
    }
    check_value(file, "A");
    check_value(file, "_");
    mb_env_file_free(file);
}

static void check_setting(const struct mb_config *config, const struct mb_setting *setting)
{
    const char *field = (const char *)config + setting->offset;

    FUZZ_CHECK(mb_config_origin(config, setting->env_name) != NULL);
    if (setting->type == MB_SETTING_INTEGER) {
        int64_t value = *(const int64_t *)(const void *)field;

        FUZZ_CHECK(value >= setting->min && value <= setting->max);
    } else if (setting->type == MB_SETTING_TEXT &&
               !mb_config_is_default(config, setting->env_name)) {
        const char *value = *(const char *const *)(const void *)field;

        FUZZ_CHECK(value != NULL);
        FUZZ_CHECK((int64_t)strlen(value) >= setting->min);
    }
}

static void try_load(void)
{
    char *home_line = mb_alloc_format("HOME=%s", home);
    char *const environment[] = {home_line, NULL};
    struct mb_config config;
    struct mb_error err;

    if (mb_config_load(&config, environment, no_flag, NULL, &err) != 0) {
        fuzz_check_error(&err);
        FUZZ_CHECK(err.code == MB_ERR_USAGE);
    } else {
        FUZZ_CHECK(strcmp(config.file_read, config_path) == 0);
        FUZZ_CHECK(config.database != NULL && config.database[0] == '/');
        for (size_t i = 0; mb_config_table[i].env_name != NULL; i++) {
            if (mb_config_table[i].type != MB_SETTING_FOREIGN) {
                check_setting(&config, &mb_config_table[i]);
            }
        }
    }
    mb_config_release(&config);
    free(home_line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char *text = fuzz_text(&input);

    if (home == NULL) {
        make_home();
    }
    (void)fuzz_byte(&input); /* the NUL between them */
    try_parse(text);
    write_file(config_path, text, strlen(text));
    write_file(settings_path, (const char *)input.data, input.size);
    try_load();
    free(text);
    return 0;
}
