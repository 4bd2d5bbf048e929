/* SPDX-License-Identifier: MIT */
#ifndef MB_OP_H
#define MB_OP_H

/*
 * What membridge can do: one table of operations, read by every door (command line, help, and later
 * MCP and hooks). There is no second list.
 *
 * An operation takes a request (plain data, filled from its params table by whoever stands at the
 * door), does its work through the engine, and leaves a report: a JSON object, the text for a
 * person, and what is to be said as a problem. It never prints; what must be seen or answered while
 * it runs goes through struct mb_host.
 */

#include "env.h"
#include "error.h"
#include "report.h"

#include <stdint.h>

struct mb_store;
struct mb_store_counts;

enum mb_param_type {
    MB_PARAM_FLAG = 1, /* bool; "--name" */
    MB_PARAM_INTEGER,  /* int64_t; "--name N", within [min, max] */
    MB_PARAM_TEXT,     /* const char *; "--name TEXT" */
    MB_PARAM_WORD,     /* const char *; the one word that may stand without a name */
};

struct mb_param {
    const char *name;
    enum mb_param_type type;
    const char *value; /* how help calls the value; NULL for flags */
    const char *help;
    size_t offset; /* into the request (for global options: into what the door keeps) */
    int64_t min;
    int64_t max;
};

/* A setting, as help shows it. */
struct mb_setting_info {
    const char *env_name;
    const char *flag;          /* NULL: none */
    const char *default_value; /* as text; "" if none */
    const char *help;
};

/* Where operations find things. All borrowed; NULL where nothing is set. */
struct mb_places {
    const char *project;
    const char *database;
    const char *store;         /* as the person wrote it: see mb_place_resolve() */
    const char *store_origin;  /* "--store", "MEMBRIDGE_STORE", a file; for messages */
    const char *home;          /* absolute */
    const char *state_root;    /* $XDG_STATE_HOME/membridge */
    const char *backup_folder; /* ~/.claude-mem-backups/membridge */
    const char *config_file;   /* the one that `init` writes */
    const char *config_read;   /* the one that was read, ours or the predecessor's; NULL: none */
    bool store_is_bucket;      /* said in the predecessor's way: its endpoint and its bucket */
    bool database_is_default;  /* nobody named it: it is where claude-mem says */
    bool project_is_default;
    bool with_tool_uses;
    int backup_days_max;
    int backup_count_max;
};

/* Work under way. total 0: not known. */
struct mb_host_progress {
    const char *what; /* "reading the database" */
    int64_t done;
    int64_t total;
    bool is_bytes;
};

/* A question that `init` asks: explanation first, then the question with its default. */
struct mb_host_question {
    const char *explanation;
    const char *question;
    const char *default_answer;
};

/* The door, as operations see it. */
struct mb_host {
    void *context;
    /* Opens the store at `place` (absolute folder), wrapped as production needs it. *store_out
     * is given; counts and env are borrowed for its life. */
    int (*open_store)(void *context, const char *place, const struct mb_env *env,
                      struct mb_store_counts *counts, struct mb_store **store_out,
                      struct mb_error *err);
    void (*on_progress)(void *context, const struct mb_host_progress *progress); /* or NULL */
    /* One line of a narration, at once (without its newline; marks as in render.h). NULL: not
     * wanted. */
    void (*say)(void *context, const char *line);
    /* Asks a person; *answer_out is given, "" is the default answer. NULL: nobody is there. */
    int (*ask)(void *context, const struct mb_host_question *question, char **answer_out,
               struct mb_error *err);
};

struct mb_context {
    const char *version; /* "0.1.0" */
    const struct mb_env *env;
    struct mb_places places;
    struct mb_host host;
    bool is_dry_run; /* change nothing, say what would change */
    bool is_verbose;
    const struct mb_param *global_params;   /* for help; ends with name NULL */
    const struct mb_setting_info *settings; /* for help; ends with env_name NULL */
};

enum mb_op_flag {
    MB_OP_WRITES_LOCAL = 1,  /* the database, the state or the configuration of this machine */
    MB_OP_WRITES_REMOTE = 2, /* the store */
    MB_OP_STANDALONE = 4,    /* needs no settings: works on a machine where nothing is set up */
    MB_OP_CLI_ONLY = 8,      /* makes no sense without a terminal */
};

struct mb_op {
    const char *name;
    const char *summary; /* one sentence */
    const char *help;    /* paragraphs with examples, for `help <name>`, at most 80 columns */
    const struct mb_param *params; /* ends with name NULL; NULL: none */
    size_t request_size;           /* at least 1; a request starts as zeros */
    unsigned flags;
    /* 0: *report is filled. -1: *err, and *report means nothing. */
    int (*run)(struct mb_context *ctx, const void *request, struct mb_report *report,
               struct mb_error *err);
};

extern const struct mb_op *const mb_ops[]; /* in the order of help; ends with NULL */

/* NULL if there is none. */
const struct mb_op *mb_ops_find(const char *name);

/*
 * Runs it: report->json becomes {"ok":..., "operation":..., ...} whatever happens, with "error" on
 * failure, and the exit status is given. *report must be initialised, and is released by the
 * caller.
 */
int mb_ops_run(const struct mb_op *op, struct mb_context *ctx, const void *request,
               struct mb_report *report);

#endif
