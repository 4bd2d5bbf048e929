/* SPDX-License-Identifier: MIT */

#include "profile.h"

#include <string.h>

#include "banned.h"

/* clang-format off */
static const struct mb_profile_identity session_identity[] = {
    { "platform_source",    0, MB_PROFILE_PLATFORM },
    { "content_session_id", 0, NULL },
    { NULL, 0, NULL },
};
/* started_at is a register because manual sessions are made on every machine, each at its own
 * time. */
static const struct mb_profile_register session_registers[] = {
    { "project",            MB_REGISTER_COLUMN, MB_RULE_NEWEST, false },
    { "custom_title",       MB_REGISTER_COLUMN, MB_RULE_NEWEST, false },
    { "status",             MB_REGISTER_COLUMN, MB_RULE_NEWEST, false },
    { "started_at",         MB_REGISTER_COLUMN, MB_RULE_NEWEST, true },
    { "started_at_epoch",   MB_REGISTER_COLUMN, MB_RULE_NEWEST, true },
    { "completed_at",       MB_REGISTER_COLUMN, MB_RULE_NEWEST, false },
    { "completed_at_epoch", MB_REGISTER_COLUMN, MB_RULE_NEWEST, false },
    { "user_prompt",        MB_REGISTER_COLUMN, MB_RULE_LONGEST, false },
    { "observed_model",     MB_REGISTER_COLUMN, MB_RULE_NEWEST, false },
    { "observed_billing",   MB_REGISTER_COLUMN, MB_RULE_NEWEST, false },
    { NULL, 0, 0, false },
};
static const char *const session_local[] = {
    "memory_session_id", "worker_port", "prompt_counter", NULL,
};
static const char *const session_title[] = { "custom_title", "user_prompt", "content_session_id", NULL };

/* Not the session: an orphan has none. Not content_hash: it differs between machines for one row.
 * */
static const struct mb_profile_identity observation_identity[] = {
    { "created_at_epoch", 0, NULL },
    { "type",             0, NULL },
    { "title",            0, NULL },
    { "subtitle",         0, NULL },
    { "facts",            0, NULL },
    { "narrative",        0, NULL },
    { "text",             0, NULL },
    { NULL, 0, NULL },
};
static const struct mb_profile_register observation_registers[] = {
    { "session",             MB_REGISTER_SESSION, MB_RULE_NEWEST, false },
    { "project",             MB_REGISTER_COLUMN,  MB_RULE_NEWEST, false },
    { "merged_into_project", MB_REGISTER_COLUMN,  MB_RULE_NEWEST, false },
    { "concepts",            MB_REGISTER_COLUMN,  MB_RULE_NEWEST, false },
    { NULL, 0, 0, false },
};
static const char *const observation_local[] = {
    "memory_session_id", "content_hash", "relevance_count", "synced_at",
    "origin_device_id",  "origin_local_id", "sync_rev", NULL,
};
static const char *const observation_title[] = { "title", "subtitle", "narrative", "text", NULL };

static const struct mb_profile_identity summary_identity[] = {
    { "created_at_epoch", 0, NULL },
    { "request",          0, NULL },
    { "investigated",     0, NULL },
    { "learned",          0, NULL },
    { "completed",        0, NULL },
    { "next_steps",       0, NULL },
    { "notes",            0, NULL },
    { NULL, 0, NULL },
};
static const struct mb_profile_register summary_registers[] = {
    { "session",             MB_REGISTER_SESSION, MB_RULE_NEWEST, false },
    { "project",             MB_REGISTER_COLUMN,  MB_RULE_NEWEST, false },
    { "merged_into_project", MB_REGISTER_COLUMN,  MB_RULE_NEWEST, false },
    { NULL, 0, 0, false },
};
static const char *const summary_local[] = {
    "memory_session_id", "synced_at", "origin_device_id", "origin_local_id", "sync_rev", NULL,
};
static const char *const summary_title[] = { "request", "completed", "learned", NULL };

static const struct mb_profile_identity prompt_identity[] = {
    { "content_session_id", 0,    NULL },
    { "created_at_epoch",   0,    NULL },
    { "prompt_text",        1000, NULL },
    { NULL, 0, NULL },
};
static const struct mb_profile_register prompt_registers[] = {
    { "session",     MB_REGISTER_SESSION, MB_RULE_NEWEST, false },
    { "prompt_text", MB_REGISTER_COLUMN,  MB_RULE_LONGEST, false },
    { NULL, 0, 0, false },
};
static const char *const prompt_local[] = {
    "session_db_id", "synced_at", "origin_device_id", "origin_local_id", "sync_rev", NULL,
};
static const char *const prompt_title[] = { "prompt_text", NULL };

static const struct mb_profile_identity tool_use_identity[] = {
    { "content_session_id", 0, NULL },
    { "tool_use_id",        0, NULL },
    { NULL, 0, NULL },
};
/* claude-mem fills what is NULL when it reads the same tool call again. */
static const struct mb_profile_register tool_use_registers[] = {
    { "session",          MB_REGISTER_SESSION,     MB_RULE_NEWEST, false },
    { "observation",      MB_REGISTER_OBSERVATION, MB_RULE_NEWEST, false },
    { "project",          MB_REGISTER_COLUMN,      MB_RULE_NEWEST, false },
    { "tool_input",       MB_REGISTER_COLUMN,      MB_RULE_LONGEST, false },
    { "tool_response",    MB_REGISTER_COLUMN,      MB_RULE_LONGEST, false },
    { "cwd",              MB_REGISTER_COLUMN,      MB_RULE_NEWEST, false },
    { "prompt_number",    MB_REGISTER_COLUMN,      MB_RULE_NEWEST, false },
    { "agent_type",       MB_REGISTER_COLUMN,      MB_RULE_NEWEST, false },
    { "agent_id",         MB_REGISTER_COLUMN,      MB_RULE_NEWEST, false },
    { "or_generation_id", MB_REGISTER_COLUMN,      MB_RULE_NEWEST, false },
    { "or_session_id",    MB_REGISTER_COLUMN,      MB_RULE_NEWEST, false },
    { "content_hash",     MB_REGISTER_COLUMN,      MB_RULE_NEWEST, false },
    { NULL, 0, 0, false },
};
static const char *const tool_use_local[] = {
    "session_db_id", "observation_id", "memory_session_id", NULL,
};
static const char *const tool_use_title[] = { "tool_name", NULL };

const struct mb_profile_table mb_profile_tables[MB_TABLE_COUNT] = {
    { "sdk_sessions", "started_at_epoch", NULL, false, true, MB_LINK_NONE,
      session_identity, session_registers, session_local, session_title },
    { "observations", "created_at_epoch", "observations_fts", false, false, MB_LINK_MEMORY_ID,
      observation_identity, observation_registers, observation_local, observation_title },
    { "session_summaries", "created_at_epoch", "session_summaries_fts", false, false, MB_LINK_MEMORY_ID,
      summary_identity, summary_registers, summary_local, summary_title },
    { "user_prompts", "created_at_epoch", "user_prompts_fts", false, false, MB_LINK_ROWID,
      prompt_identity, prompt_registers, prompt_local, prompt_title },
    { "tool_uses", "created_at_epoch", NULL, true, true, MB_LINK_ROWID,
      tool_use_identity, tool_use_registers, tool_use_local, tool_use_title },
};
/* clang-format on */

int mb_profile_find(const char *table)
{
    for (int i = 0; i < MB_TABLE_COUNT; i++) {
        if (strcmp(mb_profile_tables[i].name, table) == 0) {
            return i;
        }
    }
    return -1;
}

int mb_profile_register_find(const struct mb_profile_table *table, const char *name)
{
    for (int i = 0; table->registers[i].name != NULL; i++) {
        if (strcmp(table->registers[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

size_t mb_profile_register_count(const struct mb_profile_table *table)
{
    size_t count = 0;

    while (table->registers[count].name != NULL) {
        count++;
    }
    return count;
}

bool mb_profile_is_local(const struct mb_profile_table *table, const char *column)
{
    if (strcmp(column, "id") == 0) {
        return true;
    }
    for (size_t i = 0; table->local[i] != NULL; i++) {
        if (strcmp(table->local[i], column) == 0) {
            return true;
        }
    }
    return false;
}
