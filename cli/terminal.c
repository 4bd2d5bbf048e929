/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include "alloc.h"
#include "text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

#define ANSWER_MAX 4096

void mb_terminal_prepare(void)
{
    struct sigaction action;

    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) < 0) {
            /* The wrong direction, so that use fails as it would have failed before. Numbers are
             * given out from the lowest, so this opens `descriptor`. */
            (void)open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY);
        }
    }
    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
    (void)sigaction(SIGXFSZ, &action, NULL);
}

static void on_signal(int number)
{
    (void)number;
    mb_env_interrupt();
}

void mb_terminal_catch_signals(void)
{
    struct sigaction action;
    struct sigaction old;
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND; /* and not SA_RESTART: a question must end, too */
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        /* nohup and background jobs ignore some of these: leave it so. */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            (void)sigaction(numbers[i], &action, NULL);
        }
    }
}

bool mb_terminal_can_ask(void)
{
    return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

bool mb_terminal_is_output(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

bool mb_terminal_is_messages(void)
{
    return isatty(STDERR_FILENO) == 1;
}

int mb_terminal_ask(void *context, const struct mb_host_question *question, char **answer_out,
                    struct mb_error *err)
{
    const struct mb_env *env = context;
    char line[ANSWER_MAX];
    size_t size = 0;

    (void)fprintf(stderr, "%s\n%s [%s]: ", question->explanation, question->question,
                  question->default_answer);
    (void)fflush(stderr);
    if (fgets(line, sizeof(line), stdin) == NULL) {
        (void)fprintf(stderr, "\n");
        if (mb_env_step(env, "ask", err) != 0) {
            return -1;
        }
        (void)mb_error_set(err, MB_ERR_USAGE, "the input ended before all was answered");
        return mb_error_advise(
            err, "run 'membridge init' again, or 'membridge init --yes' with options");
    }
    (void)fprintf(stderr, "\n");
    size = strcspn(line, "\n");
    while (size > 0 &&
           (line[size - 1] == ' ' || line[size - 1] == '\r' || line[size - 1] == '\t')) {
        size--;
    }
    line[size] = '\0';
    *answer_out = mb_alloc_text(line + strspn(line, " \t"));
    return 0;
}
