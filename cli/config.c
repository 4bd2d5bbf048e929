/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "alloc.h"
#include "assert.h"
#include "env_file.h"
#include "file.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* Everything a value is looked up in. */
struct sources {
    char *const *environment;
    struct mb_env_file *file; /* NULL: none */
    mb_config_flag_fn flag;
    void *flag_context;
};

const char *mb_config_variable(char *const *environment, const char *name)
{
    size_t size = strlen(name);

    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=') {
            /* An empty variable is how scripts unset one. */
            return (*environment)[size + 1] != '\0' ? *environment + size + 1 : NULL;
        }
    }
    return NULL;
}

static const char *lookup(void *context, const char *name)
{
    const struct sources *sources = context;

    return mb_config_variable(sources->environment, name);
}

/* XDG: a relative path in these variables is to be ignored. */
static char *xdg_folder(const struct sources *sources, const char *name, const char *home,
                        const char *below_home)
{
    const char *value = mb_config_variable(sources->environment, name);

    if (value != NULL && value[0] == '/') {
        return mb_alloc_text(value);
    }
    return mb_file_join(home, below_home);
}

static int find_folders(struct mb_config *config, const struct sources *sources,
                        struct mb_error *err)
{
    const char *home = mb_config_variable(sources->environment, "HOME");
    char *folder = NULL;

    if (home == NULL || home[0] != '/') {
        (void)mb_error_set(err, MB_ERR_NOT_SET_UP, "HOME is %s, so there is no place for settings",
                           home == NULL ? "not set" : "not an absolute path");
        return mb_error_advise(err, "set HOME to your home folder");
    }
    config->home = mb_file_absolute(home);
    folder = xdg_folder(sources, "XDG_CONFIG_HOME", config->home, ".config");
    config->file = mb_file_join(folder, "membridge/config.env");
    free(folder);
    folder = xdg_folder(sources, "XDG_STATE_HOME", config->home, ".local/state");
    config->state_root = mb_file_join(folder, "membridge");
    free(folder);
    config->backup_folder = mb_file_join(config->home, ".claude-mem-backups/membridge");
    return 0;
}

/* Ours; where there is none, the predecessor's. */
static int read_file(struct mb_config *config, struct sources *sources, struct mb_error *err)
{
    char *theirs = mb_file_join(config->home, ".claude-mem-minio/config.env");
    const char *path = mb_file_exists(config->file) ? config->file : theirs;
    int rc = -1;

    if (!mb_file_exists(path)) {
        rc = 0;
        goto out;
    }
    if (mb_env_file_read(path, lookup, sources, &sources->file, err) != 0) {
        goto out;
    }
    config->file_read = mb_alloc_text(path);
    rc = 0;
out:
    free(theirs);
    return rc;
}

/* The value that counts, NULL if nobody says one. */
static int find_value(const struct sources *sources, const struct mb_setting *setting,
                      const char **value_out, enum mb_origin *origin_out, struct mb_error *err)
{
    const char *value = NULL;

    if (setting->flag != NULL) {
        value = sources->flag(sources->flag_context, setting->flag);
        *origin_out = MB_ORIGIN_FLAG;
    }
    if (value == NULL) {
        value = mb_config_variable(sources->environment, setting->env_name);
        *origin_out = MB_ORIGIN_ENVIRONMENT;
    }
    if (value == NULL && sources->file != NULL) {
        if (mb_env_file_get(sources->file, setting->env_name, &value, err) != 0) {
            return -1;
        }
        if (value != NULL && value[0] == '\0') {
            value = NULL;
        }
        *origin_out = MB_ORIGIN_FILE;
    }
    if (value == NULL) {
        value = setting->default_text;
        *origin_out = MB_ORIGIN_DEFAULT;
    }
    *value_out = value;
    return 0;
}

static int set_switch(bool *field, const char *value, const char *what, struct mb_error *err)
{
    static const char *const offs[] = {"0", "no", "false", "off"};
    static const char *const ons[] = {"1", "yes", "true", "on"};
    char shown[64];

    for (size_t i = 0; i < 4; i++) {
        if (strcmp(value, ons[i]) == 0 || strcmp(value, offs[i]) == 0) {
            *field = strcmp(value, ons[i]) == 0;
            return 0;
        }
    }
    mb_text_clean(shown, sizeof(shown), value, strlen(value));
    return mb_error_set(err, MB_ERR_USAGE, "%s must be 0 or 1, not '%s'", what, shown);
}

static int set_text(char **field, const char *value, const struct mb_setting *setting,
                    const char *what, struct mb_error *err)
{
    size_t size = strlen(value);

    if ((int64_t)size < setting->min) {
        return mb_error_set(err, MB_ERR_USAGE, "%s must not be empty", what);
    }
    if ((int64_t)size > setting->max) {
        return mb_error_set(err, MB_ERR_USAGE, "%s is longer than %lld bytes", what,
                            (long long)setting->max);
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) {
            return mb_error_set(err, MB_ERR_USAGE, "%s holds a control character", what);
        }
    }
    *field = mb_alloc_text(value);
    return 0;
}

static int set_value(struct mb_config *config, const struct mb_setting *setting, const char *value,
                     const char *what, struct mb_error *err)
{
    char *field = (char *)config + setting->offset;

    switch (setting->type) {
    case MB_SETTING_TEXT: return set_text((char **)(void *)field, value, setting, what, err);
    case MB_SETTING_SWITCH: return set_switch((bool *)field, value, what, err);
    case MB_SETTING_INTEGER:
        return mb_text_int64(value, what, setting->min, setting->max, (int64_t *)(void *)field,
                             err);
    case MB_SETTING_FOREIGN: break;
    }
    return 0;
}

static enum mb_origin origin_of(const struct mb_config *config, const char *env_name)
{
    size_t i = 0;

    while (mb_config_table[i].env_name != NULL &&
           strcmp(mb_config_table[i].env_name, env_name) != 0) {
        i++;
    }
    MB_ASSERT(mb_config_table[i].env_name != NULL);
    return config->origins[i];
}

const char *mb_config_origin(const struct mb_config *config, const char *env_name)
{
    switch (origin_of(config, env_name)) {
    case MB_ORIGIN_FLAG: return "the command line";
    case MB_ORIGIN_ENVIRONMENT: return "the environment";
    case MB_ORIGIN_FILE: return config->file_read;
    case MB_ORIGIN_DEFAULT: break;
    }
    return "the default";
}

bool mb_config_is_default(const struct mb_config *config, const char *env_name)
{
    return origin_of(config, env_name) == MB_ORIGIN_DEFAULT;
}

static int fill(struct mb_config *config, const struct sources *sources, struct mb_error *err)
{
    for (size_t i = 0; mb_config_table[i].env_name != NULL; i++) {
        const struct mb_setting *setting = &mb_config_table[i];
        const char *value = NULL;
        char *what = NULL;
        int rc = 0;
        if (setting->type == MB_SETTING_FOREIGN) {
            continue;
        }
        if (find_value(sources, setting, &value, &config->origins[i], err) != 0) {
            return -1;
        }
        if (value == NULL) {
            continue;
        }
        what = config->origins[i] == MB_ORIGIN_FLAG
                   ? mb_alloc_format("--%s", setting->flag)
                   : mb_alloc_format("%s (from %s)", setting->env_name,
                                     mb_config_origin(config, setting->env_name));
        rc = set_value(config, setting, value, what, err);
        free(what);
        if (rc != 0) {
            return -1;
        }
    }
    return 0;
}

static void make_absolute(char **path, const char *home)
{
    char *expanded = mb_file_expand_home(*path, home);
    char *absolute = mb_file_absolute(expanded);

    free(expanded);
    free(*path);
    *path = absolute;
}

int mb_config_load(struct mb_config *config, char *const *environment, mb_config_flag_fn flag,
                   void *flag_context, struct mb_error *err)
{
    struct sources sources = {environment, NULL, flag, flag_context};
    int rc = -1;

    memset(config, 0, sizeof(*config));
    if (find_folders(config, &sources, err) != 0 || read_file(config, &sources, err) != 0 ||
        fill(config, &sources, err) != 0) {
        goto out;
    }
    if (config->database == NULL) {
        config->database = mb_config_claude_mem_database(config->data_folder, config->home);
    }
    make_absolute(&config->database, config->home);
    if (config->store == NULL && config->minio_endpoint != NULL && config->minio_bucket != NULL) {
        config->store = mb_alloc_format("s3://%s", config->minio_bucket);
        config->store_is_bucket = true;
    }
    rc = 0;
out:
    mb_env_file_free(sources.file);
    return rc;
}

void mb_config_release(struct mb_config *config)
{
    free(config->store);
    free(config->project);
    free(config->database);
    free(config->data_folder);
    free(config->log);
    free(config->minio_endpoint);
    free(config->minio_bucket);
    free(config->home);
    free(config->state_root);
    free(config->backup_folder);
    free(config->file);
    free(config->file_read);
    memset(config, 0, sizeof(*config));
}
