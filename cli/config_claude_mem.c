/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "config.h"
#include "file.h"
#include "json.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* claude-mem seeds its settings with some dozens of keys. */
static const struct mb_json_limits settings_limits = {MB_LIMIT_CONFIG_BYTES, MB_LIMIT_JSON_DEPTH,
                                                      MB_LIMIT_JSON_VALUES};

/*
 * CLAUDE_MEM_DATA_DIR in claude-mem's settings.json: flat, or below "env" in old files, perhaps
 * behind a byte order mark. NULL if there is none. A file that cannot be read counts as none,
 * because claude-mem itself goes on with its defaults then, and we must look where it looks.
 */
static char *data_folder_of_settings(const char *home)
{
    char *path = mb_file_join(home, ".claude-mem/settings.json");
    struct mb_json *json = NULL;
    const char *folder = NULL;
    const char *text = NULL;
    struct mb_error err;
    struct mb_buf buf;
    char *result = NULL;

    mb_error_init(&err);
    mb_buf_init(&buf, MB_LIMIT_CONFIG_BYTES);
    if (mb_file_read(path, &buf, &err) != 0) {
        goto out;
    }
    text = mb_buf_text(&buf);
    text += strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    if (mb_json_parse(text, strlen(text), &settings_limits, &json, &err) != 0 ||
        mb_json_type(json) != MB_JSON_OBJECT) {
        goto out;
    }
    if ((mb_json_text(json, "CLAUDE_MEM_DATA_DIR", &folder, &err) == 0 ||
         mb_json_text(json, "env.CLAUDE_MEM_DATA_DIR", &folder, &err) == 0) &&
        folder[0] != '\0') {
        result = mb_alloc_text(folder);
    }
out:
    mb_json_free(json);
    mb_buf_release(&buf);
    free(path);
    return result;
}

char *mb_config_claude_mem_database(const char *data_folder, const char *home)
{
    char *folder = mb_alloc_text(data_folder);
    char *expanded = NULL;
    char *path = NULL;

    if (folder == NULL) {
        folder = data_folder_of_settings(home);
    }
    if (folder == NULL) {
        folder = mb_alloc_text("~/.claude-mem");
    }
    expanded = mb_file_expand_home(folder, home);
    path = mb_file_join(expanded, "claude-mem.db");
    free(folder);
    free(expanded);
    return path;
}
