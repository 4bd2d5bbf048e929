/* SPDX-License-Identifier: MIT */
#include "sim_shrink.h"

#include "assert.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "banned.h"

#define SEED_SECONDS_MAX                                                                           \
    120 /* with sanitizers on a slow machine; a seed takes well under one second */

static void write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t done = write(fd, at, size);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        MB_ASSERT(done > 0);
        at += done;
        size -= (size_t)done;
    }
}

static size_t read_all(int fd, void *data, size_t size)
{
    char *at = data;
    size_t got = 0;

    while (got < size) {
        ssize_t done = read(fd, at + got, size - got);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            break;
        }
        got += (size_t)done;
    }
    return got;
}

struct sim_child sim_child_start(const struct sim_script *script, bool is_quiet)
{
    static struct sim_verdict verdict;
    struct sim_child child = {-1, -1};
    int ends[2];

    MB_ASSERT(pipe(ends) == 0);
    fflush(NULL);
    child.pid = fork();
    MB_ASSERT(child.pid >= 0);
    if (child.pid == 0) {
        (void)close(ends[0]);
        (void)alarm(SEED_SECONDS_MAX);
        if (is_quiet) {
            int none = open("/dev/null", O_WRONLY);

            (void)dup2(none, 2);
        }
        sim_run(script, NULL, false, &verdict);
        write_all(ends[1], &verdict, sizeof verdict);
        _exit(0);
    }
    (void)close(ends[1]);
    child.fd = ends[0];
    return child;
}

void sim_child_wait(struct sim_child *child, struct sim_verdict *verdict)
{
    int status = 0;
    size_t got = read_all(child->fd, verdict, sizeof *verdict);

    (void)close(child->fd);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (got == sizeof *verdict) {
        return;
    }
    memset(verdict, 0, sizeof *verdict);
    verdict->error_count = 1;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        (void)snprintf(verdict->errors[0], SIM_ERROR_TEXT, "hangs");
    } else {
        (void)snprintf(verdict->errors[0], SIM_ERROR_TEXT, "crashes: %s %d",
                       WIFSIGNALED(status) ? "signal" : "status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

void sim_signature(const char *error, char out[static SIM_ERROR_TEXT])
{
    size_t size = 0;

    for (const char *at = error; *at != '\0' && size < SIM_ERROR_TEXT - 1; at++) {
        bool is_machine = at[0] >= 'A' && at[0] <= 'H' && at != error &&
                          (at[-1] == ' ' || at[-1] == '-') &&
                          (at[1] == '\0' || strchr(" :,(", at[1]) != NULL);

        if (*at == '\'') { /* a name or a value */
            const char *end = strchr(at + 1, '\'');

            out[size++] = '_';
            at = end == NULL ? at + strlen(at) - 1 : end;
        } else if (is_machine) {
            out[size++] = '?';
        } else if (!is_digit(*at)) {
            out[size++] = *at;
        } else if (size == 0 || out[size - 1] != '#') {
            out[size++] = '#';
        }
        if (size >= 7 && memcmp(out + size - 7, "differs", 7) == 0) {
            break;
        }
    }
    out[size] = '\0';
}

static bool still_fails(const struct sim_script *script, const char *signature)
{
    struct sim_child child = sim_child_start(script, true);
    struct sim_verdict verdict;
    char text[SIM_ERROR_TEXT];

    sim_child_wait(&child, &verdict);
    for (size_t i = 0; i < verdict.error_count; i++) {
        sim_signature(verdict.errors[i], text);
        if (strcmp(text, signature) == 0) {
            return true;
        }
    }
    return false;
}

static void drop_kinds(struct sim_script *script, const char *signature)
{
    for (unsigned i = 0; i < SIM_KINDS; i++) {
        struct sim_script fewer = *script;

        fewer.kinds &= ~((sim_kinds)1 << i);
        if (fewer.kinds != script->kinds && still_fails(&fewer, signature)) {
            *script = fewer;
        }
    }
}

static bool drop_events(struct sim_script *script, size_t size, const char *signature)
{
    bool is_shorter = false;
    size_t at = 0;

    while (at < script->event_count) {
        struct sim_script fewer = *script;
        size_t dropped = size < script->event_count - at ? size : script->event_count - at;

        fewer.event_count -= dropped;
        memmove(&fewer.events[at], &script->events[at + dropped],
                (script->event_count - at - dropped) * sizeof fewer.events[0]);
        if (still_fails(&fewer, signature)) {
            *script = fewer;
            is_shorter = true;
        } else {
            at += size;
        }
    }
    return is_shorter;
}

void sim_shrink(struct sim_script *script, const char *signature)
{
    bool is_shorter = true;

    drop_kinds(script, signature);
    for (size_t size = script->event_count / 2; size > 1; size /= 2) {
        (void)drop_events(script, size, signature);
    }
    while (is_shorter) {
        is_shorter = drop_events(script, 1, signature);
        drop_kinds(script, signature);
    }
}
