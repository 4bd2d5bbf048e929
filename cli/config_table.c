/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "config.h"

#include "banned.h"

#define AT(field) offsetof(struct mb_config, field)
#define TEXT_MAX 4096
#define NAME_MAX 255

/* A name of the predecessor's file that has no meaning for this program, or not yet. */
#define FOREIGN(name, secret)                                                                      \
    {                                                                                              \
        name, NULL, MB_SETTING_FOREIGN, secret, 0, NULL, 0, 0, "", ""                              \
    }

/* clang-format off */
const struct mb_setting mb_config_table[] = {
    {"MEMBRIDGE_STORE", "store", MB_SETTING_TEXT, false, AT(store), NULL, 1, TEXT_MAX, "",
     "The folder that your machines share: a path, or file:///path."},
    {"CLAUDE_PROJECT_ID", "project", MB_SETTING_TEXT, false, AT(project), "mem", 1, NAME_MAX, NULL,
     "Machines with the same project name share one memory."},
    {"CLAUDE_MEM_DB", "db", MB_SETTING_TEXT, false, AT(database), NULL, 1, TEXT_MAX,
     "where claude-mem keeps it",
     "claude-mem's database."},
    {"CLAUDE_MEM_DATA_DIR", NULL, MB_SETTING_TEXT, false, AT(data_folder), NULL, 1, TEXT_MAX,
     "as in ~/.claude-mem/settings.json, else ~/.claude-mem",
     "claude-mem's own setting: the folder of its database."},
    {"MEMBRIDGE_TOOL_USES", NULL, MB_SETTING_SWITCH, false, AT(with_tool_uses), "0", 0, 1, NULL,
     "1 also syncs the table tool_uses (large: every tool call of every session)."},
    {"PULL_BACKUP_MAX_DAYS", NULL, MB_SETTING_INTEGER, false, AT(backup_days_max), "14", 0, 36500,
     NULL,
     "Backups of the database that are older than so many days are removed."},
    {"PULL_BACKUP_MAX_COUNT", NULL, MB_SETTING_INTEGER, false, AT(backup_count_max), "50", 1, 100000,
     NULL,
     "At most so many backups are kept."},
    {"MEMBRIDGE_LOG", NULL, MB_SETTING_TEXT, false, AT(log), NULL, 0, TEXT_MAX, "",
     "What to trace on stderr: 'all', or parts as in 'store,engine'."},
    {"MINIO_ENDPOINT", NULL, MB_SETTING_TEXT, false, AT(minio_endpoint), NULL, 0, TEXT_MAX, "",
     "S3 stores: not supported by this version yet."},
    {"MINIO_BUCKET", NULL, MB_SETTING_TEXT, false, AT(minio_bucket), NULL, 0, TEXT_MAX, "",
     "S3 stores: not supported by this version yet."},
    FOREIGN("MINIO_ACCESS_KEY", true),
    FOREIGN("MINIO_SECRET_KEY", true),
    FOREIGN("MINIO_REGION", false),
    FOREIGN("LOCK_TTL_SECONDS", false),
    FOREIGN("STALE_LOCK_GRACE_SECONDS", false),
    FOREIGN("FORCE_PUSH", false),
    FOREIGN("MEMBRIDGE_NO_RESTART_WORKER", false),
    FOREIGN("MEMBRIDGE_NODE_ID", false),
    FOREIGN("PRIMARY_NODE_ID", false),
    FOREIGN("ALLOW_SECONDARY_PUSH", false),
    FOREIGN("ALLOW_PRIMARY_PULL_OVERRIDE", false),
    FOREIGN("LEADERSHIP_ENABLED", false),
    FOREIGN("LEADERSHIP_LEASE_SECONDS", false),
    {0},
};
/* clang-format on */

_Static_assert(sizeof(mb_config_table) / sizeof(mb_config_table[0]) <= MB_CONFIG_SETTINGS_MAX,
               "struct mb_config keeps an origin for each setting");

struct mb_setting_info *mb_config_infos(void)
{
    size_t count = sizeof(mb_config_table) / sizeof(mb_config_table[0]);
    struct mb_setting_info *infos = mb_alloc_zeroed(count, sizeof(*infos));
    size_t to = 0;

    for (const struct mb_setting *setting = mb_config_table; setting->env_name != NULL; setting++) {
        if (setting->type == MB_SETTING_FOREIGN) {
            continue;
        }
        infos[to].env_name = setting->env_name;
        infos[to].flag = setting->flag;
        infos[to].default_value =
            setting->default_text != NULL ? setting->default_text : setting->default_help;
        infos[to].help = setting->help;
        to++;
    }
    return infos;
}
