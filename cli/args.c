/* SPDX-License-Identifier: MIT */
#include "args.h"

#include "alloc.h"
#include "assert.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define WORD_MAX 64
/* Words further apart than this are not what was meant. */
#define DISTANCE_MAX 2

/* clang-format off */
const struct mb_param mb_args_global_params[] = {
    {"store", MB_PARAM_TEXT, "FOLDER", "the folder that your machines share",
     offsetof(struct mb_args_globals, store), 0, 0},
    {"project", MB_PARAM_TEXT, "NAME", "the project (machines with the same one share a memory)",
     offsetof(struct mb_args_globals, project), 0, 0},
    {"db", MB_PARAM_TEXT, "FILE", "claude-mem's database",
     offsetof(struct mb_args_globals, database), 0, 0},
    {"dry-run", MB_PARAM_FLAG, NULL, "change nothing, say what would change",
     offsetof(struct mb_args_globals, dry_run), 0, 0},
    {"verbose", MB_PARAM_FLAG, NULL, "say more: with --dry-run every row",
     offsetof(struct mb_args_globals, verbose), 0, 0},
    {"quiet", MB_PARAM_FLAG, NULL, "say nothing but what went wrong",
     offsetof(struct mb_args_globals, quiet), 0, 0},
    {"json", MB_PARAM_FLAG, NULL, "one JSON object instead of text",
     offsetof(struct mb_args_globals, json), 0, 0},
    {"help", MB_PARAM_FLAG, NULL, "explain the command (also -h)",
     offsetof(struct mb_args_globals, help), 0, 0},
    {0},
};
/* clang-format on */

struct parser {
    struct mb_args *args;
    int argc;
    char *const *argv;
    int index;
    bool options_ended;
};

/* How many letters must be put in, taken out, replaced or (two neighbours) swapped. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1] = {{0}};
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);

    if (a_size > WORD_MAX || b_size > WORD_MAX) {
        return WORD_MAX;
    }
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                above2[j - 2] + 1 < best) {
                best = above2[j - 2] + 1;
            }
            row[j] = best;
        }
    }
    return rows[a_size % 3][b_size];
}

static void consider(const char *word, const char *candidate, const char **best,
                     size_t *best_distance)
{
    size_t found = distance(word, candidate);
    size_t limit = strlen(word) > 3 ? DISTANCE_MAX : 1;

    /* A longer word that was only begun is as near as a slip of one letter. */
    if (strlen(word) >= 3 && mb_text_has_prefix(candidate, word)) {
        found = 1;
    }
    if (found <= limit && found < *best_distance && found < strlen(word)) {
        *best = candidate;
        *best_distance = found;
    }
}

static int refuse_command(const char *word, struct mb_error *err)
{
    const char *best = NULL;
    size_t best_distance = WORD_MAX;
    char shown[WORD_MAX];

    mb_text_clean(shown, sizeof(shown), word, strlen(word));
    for (size_t i = 0; mb_ops[i] != NULL; i++) {
        consider(word, mb_ops[i]->name, &best, &best_distance);
    }
    (void)mb_error_set(err, MB_ERR_USAGE, "'%s' is not a command of membridge", shown);
    if (best != NULL) {
        return mb_error_advise(err, "did you mean 'membridge %s'? 'membridge help' lists them all",
                               best);
    }
    return mb_error_advise(err, "'membridge help' lists the commands");
}

static const struct mb_param *find_param(const struct mb_param *params, const char *name,
                                         size_t size)
{
    for (; params != NULL && params->name != NULL; params++) {
        if (params->type != MB_PARAM_WORD && strlen(params->name) == size &&
            memcmp(params->name, name, size) == 0) {
            return params;
        }
    }
    return NULL;
}

static void consider_params(const struct mb_param *params, const char *word, const char **best,
                            size_t *best_distance)
{
    for (; params != NULL && params->name != NULL; params++) {
        if (params->type != MB_PARAM_WORD) {
            consider(word, params->name, best, best_distance);
        }
    }
}

static int refuse_option(const struct mb_op *op, const char *name, size_t size,
                         struct mb_error *err)
{
    char *word = mb_alloc_text_n(name, size);
    const char *best = NULL;
    const char *owner = NULL;
    size_t best_distance = WORD_MAX;
    char shown[WORD_MAX];

    mb_text_clean(shown, sizeof(shown), word, size);
    consider_params(op->params, word, &best, &best_distance);
    consider_params(mb_args_global_params, word, &best, &best_distance);
    for (size_t i = 0; mb_ops[i] != NULL; i++) {
        if (find_param(mb_ops[i]->params, name, size) != NULL) {
            owner = mb_ops[i]->name;
        }
    }
    (void)mb_error_set(err, MB_ERR_USAGE, "'--%s' is not an option of 'membridge %s'", shown,
                       op->name);
    if (owner != NULL) {
        (void)mb_error_advise(err,
                              "'membridge %s' has it; 'membridge help %s' shows what this one "
                              "takes",
                              owner, op->name);
    } else if (best != NULL) {
        (void)mb_error_advise(err, "did you mean '--%s'? 'membridge help %s' lists the options",
                              best, op->name);
    } else {
        (void)mb_error_advise(err, "'membridge help %s' lists the options", op->name);
    }
    free(word);
    return -1;
}

static int store_value(const struct mb_param *param, const char *value, void *target,
                       struct mb_error *err)
{
    char *field = (char *)target + param->offset;
    char what[WORD_MAX + 2];

    if (param->type == MB_PARAM_TEXT) {
        if (value[0] == '\0') {
            return mb_error_set(err, MB_ERR_USAGE, "'--%s' needs a %s that is not empty",
                                param->name, param->value);
        }
        *(const char **)(void *)field = value;
        return 0;
    }
    MB_ASSERT(param->type == MB_PARAM_INTEGER);
    what[0] = '\0';
    mb_text_clean(what, sizeof(what), param->name, strlen(param->name));
    if (mb_text_int64(value, what, param->min, param->max, (int64_t *)(void *)field, err) != 0) {
        (void)mb_error_wrap(err, "option '--%s'", param->name);
        return -1;
    }
    return 0;
}

/* "--name", "--name=value", "--name value". */
static int read_option(struct parser *parser, const char *text, struct mb_error *err)
{
    struct mb_args *args = parser->args;
    size_t size = strcspn(text, "=");
    const struct mb_param *param = find_param(mb_args_global_params, text, size);
    void *target = &args->globals;

    if (param == NULL) {
        param = find_param(args->op->params, text, size);
        target = args->request;
    }
    if (param == NULL) {
        return refuse_option(args->op, text, size, err);
    }
    if (param->type == MB_PARAM_FLAG) {
        if (text[size] == '=') {
            return mb_error_set(err, MB_ERR_USAGE, "'--%s' takes no value", param->name);
        }
        *((bool *)target + param->offset) = true;
        return 0;
    }
    if (text[size] == '=') {
        return store_value(param, text + size + 1, target, err);
    }
    if (parser->index + 1 >= parser->argc ||
        strncmp(parser->argv[parser->index + 1], "--", 2) == 0) {
        return mb_error_set(err, MB_ERR_USAGE, "'--%s' needs a value: --%s %s", param->name,
                            param->name, param->value);
    }
    parser->index++;
    return store_value(param, parser->argv[parser->index], target, err);
}

static int read_word(struct parser *parser, const char *word, struct mb_error *err)
{
    const struct mb_param *param = parser->args->op->params;
    char shown[WORD_MAX];

    for (; param != NULL && param->name != NULL; param++) {
        const char **field = NULL;
        if (param->type != MB_PARAM_WORD) {
            continue;
        }
        field = (const char **)(void *)((char *)parser->args->request + param->offset);
        if (*field == NULL) {
            *field = word;
            return 0;
        }
    }
    mb_text_clean(shown, sizeof(shown), word, strlen(word));
    (void)mb_error_set(err, MB_ERR_USAGE, "'membridge %s' does not know what to do with '%s'",
                       parser->args->op->name, shown);
    return mb_error_advise(err, "'membridge help %s' shows what it takes", parser->args->op->name);
}

/* Does this word belong to the option before it? Only then may the command be looked for behind
 * it. */
static bool takes_value(const char *word)
{
    const struct mb_param *param = NULL;

    if (strncmp(word, "--", 2) != 0 || strchr(word, '=') != NULL) {
        return false;
    }
    param = find_param(mb_args_global_params, word + 2, strlen(word + 2));
    for (size_t i = 0; param == NULL && mb_ops[i] != NULL; i++) {
        param = find_param(mb_ops[i]->params, word + 2, strlen(word + 2));
    }
    return param != NULL && param->type != MB_PARAM_FLAG;
}

/* The index of the command's word, or 0. Also notes --json, so that even a wrong command is
 * answered in it. */
static int find_command(struct parser *parser)
{
    int found = 0;

    for (int i = 1; i < parser->argc; i++) {
        const char *word = parser->argv[i];
        if (strcmp(word, "--") == 0) {
            break;
        }
        if (strcmp(word, "--json") == 0) {
            parser->args->globals.json = true;
        } else if (takes_value(word)) {
            i += i + 1 < parser->argc && strncmp(parser->argv[i + 1], "--", 2) != 0 ? 1 : 0;
        } else if (word[0] != '-' && found == 0) {
            found = i;
        }
    }
    return found;
}

static int read_all(struct parser *parser, int command, struct mb_error *err)
{
    for (parser->index = 1; parser->index < parser->argc; parser->index++) {
        const char *word = parser->argv[parser->index];
        int rc = 0;
        if (parser->index == command) {
            continue;
        }
        if (!parser->options_ended && strcmp(word, "--") == 0) {
            parser->options_ended = true;
        } else if (!parser->options_ended && strncmp(word, "--", 2) == 0) {
            rc = read_option(parser, word + 2, err);
        } else if (!parser->options_ended && strcmp(word, "-h") == 0) {
            parser->args->globals.help = true;
        } else if (!parser->options_ended && word[0] == '-' && word[1] != '\0') {
            char shown[WORD_MAX];
            mb_text_clean(shown, sizeof(shown), word, strlen(word));
            (void)mb_error_set(err, MB_ERR_USAGE, "'%s' is not an option; options are long words",
                               shown);
            return mb_error_advise(err, "'membridge help %s' lists them", parser->args->op->name);
        } else {
            rc = read_word(parser, word, err);
        }
        if (rc != 0) {
            return -1;
        }
    }
    return 0;
}

int mb_args_parse(struct mb_args *args, int argc, char *const *argv, struct mb_error *err)
{
    struct parser parser = {args, argc, argv, 0, false};
    const char *name = "status";
    int command = 0;

    memset(args, 0, sizeof(*args));
    command = find_command(&parser);
    if (command > 0) {
        args->op_word = argv[command];
        name = argv[command];
    } else if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        /* Everybody tries this first. */
        name = "version";
        parser.argc = 1;
    }
    args->op = mb_ops_find(name);
    if (args->op == NULL) {
        return refuse_command(name, err);
    }
    args->request = mb_alloc_zeroed(1, args->op->request_size);
    return read_all(&parser, command, err);
}

void mb_args_release(struct mb_args *args)
{
    free(args->request);
    args->request = NULL;
}

const char *mb_args_flag(void *context, const char *flag)
{
    const struct mb_args_globals *globals = context;
    const struct mb_param *param = find_param(mb_args_global_params, flag, strlen(flag));

    MB_ASSERT(param != NULL && param->type == MB_PARAM_TEXT);
    return *(const char *const *)(const void *)((const char *)globals + param->offset);
}
