/* SPDX-License-Identifier: MIT */
#ifndef MB_CONFIG_H
#define MB_CONFIG_H

/*
 * The settings: one table (config_table.c), plain data, filled once by config.c and const from then
 * on. A value comes from its flag, else the environment, else the config file, else its default;
 * where it came from is kept with it.
 */

#include "op.h"

enum mb_setting_type {
    MB_SETTING_TEXT = 1, /* char * */
    MB_SETTING_INTEGER,  /* int64_t */
    MB_SETTING_SWITCH,   /* bool; 0, 1, no, yes, false, true, off, on */
    MB_SETTING_FOREIGN, /* a name of the predecessor that means nothing here: accepted in silence */
};

enum mb_origin {
    MB_ORIGIN_DEFAULT = 0,
    MB_ORIGIN_FILE,
    MB_ORIGIN_ENVIRONMENT,
    MB_ORIGIN_FLAG,
};

struct mb_setting {
    const char *env_name;
    const char *flag; /* of every command; NULL: none */
    enum mb_setting_type type;
    bool is_secret;
    size_t offset;            /* into struct mb_config */
    const char *default_text; /* NULL: computed, see help */
    int64_t min;
    int64_t max;              /* numbers: the greatest; text: the longest in bytes */
    const char *default_help; /* shown where default_text is NULL */
    const char *help;
};

#define MB_CONFIG_SETTINGS_MAX 48
extern const struct mb_setting mb_config_table[]; /* ends with env_name NULL */

struct mb_config {
    char *store;
    char *project;
    char *database;
    char *data_folder; /* CLAUDE_MEM_DATA_DIR */
    char *log;
    char *minio_endpoint;
    char *minio_bucket;
    bool with_tool_uses;
    int64_t backup_days_max;
    int64_t backup_count_max;
    enum mb_origin origins[MB_CONFIG_SETTINGS_MAX]; /* by place in the table */

    char *home;
    char *state_root;
    char *backup_folder;
    char *file;           /* ours, whether it is there or not */
    char *file_read;      /* the one that was read, or NULL */
    bool store_is_bucket; /* said in the predecessor's way, by MINIO_ENDPOINT and MINIO_BUCKET */
};

/* What the command line said, by the flag's name. NULL: nothing. */
typedef const char *(*mb_config_flag_fn)(void *context, const char *flag);

/*
 * environment is main()'s (NAME=value texts, ends with NULL), borrowed for the call.
 * MB_ERR_NOT_SET_UP without a HOME, MB_ERR_USAGE for wrong values (naming where they came from),
 * and the errors of the config file.
 */
MB_MUST_USE int mb_config_load(struct mb_config *config, char *const *environment,
                               mb_config_flag_fn flag, void *flag_context, struct mb_error *err);
void mb_config_release(struct mb_config *config);

/* NULL if it is not set, or empty. Borrowed from the environment. */
const char *mb_config_variable(char *const *environment, const char *name);

/* "the command line", "the environment", the file's name, "the default"; borrowed. */
const char *mb_config_origin(const struct mb_config *config, const char *env_name);
bool mb_config_is_default(const struct mb_config *config, const char *env_name);

/* The table as help shows it; given (free() it, its texts are static). Ends with env_name NULL. */
struct mb_setting_info *mb_config_infos(void);

/* The database by claude-mem's own rules: its data folder (given or NULL), its settings.json,
 * its default. Given. */
char *mb_config_claude_mem_database(const char *data_folder, const char *home);

#endif
