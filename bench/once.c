/* SPDX-License-Identifier: MIT */
/*
 * Runs a command once and appends one line to a log: what it cost, as JSON.
 *
 *     once [-s] LOG COMMAND [ARGUMENT...]
 *
 * A program of its own, because Linux counts the memory of whoever starts a process into the
 * peak of that process: started by Python, everything would seem to need what Python needs. With
 * -s the memory that is the command's alone (RssAnon, without files and libraries that are
 * mapped) is looked at each millisecond, later each twentieth, and the greatest is told. Ends
 * with the status of the command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_NOT_RUN 127

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* 0 if the process has ended, or has not begun to be another program. */
static long read_anonymous_kb(pid_t pid)
{
    char name[64];
    char line[256];
    long kb = 0;
    FILE *file;

    (void)snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
    file = fopen(name, "r");
    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            kb = strtol(line + 8, NULL, 10);
        }
    }
    (void)fclose(file);
    return kb;
}

static long sample_until_end(pid_t pid, const sigset_t *child)
{
    struct timespec interval = {0, 1000000};
    long most_kb = 0;
    int count = 0;

    while (sigtimedwait(child, NULL, &interval) < 0 && (errno == EAGAIN || errno == EINTR)) {
        long kb = read_anonymous_kb(pid);

        most_kb = kb > most_kb ? kb : most_kb;
        if (++count == 100) {
            interval.tv_nsec *= 20; /* a long run: the looking must not be what is measured */
        }
    }
    return most_kb;
}

static int append(const char *log, int64_t wall_ns, const struct rusage *used, long anonymous_kb)
{
    FILE *file = fopen(log, "a");

    if (file == NULL) {
        perror(log);
        return -1;
    }
    (void)fprintf(file, "{\"wall\": %.9f, \"cpu\": %.6f, \"rss_kb\": %ld, \"anonymous_kb\": %ld}\n",
                  (double)wall_ns / 1e9,
                  (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
                      (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1e6,
                  used->ru_maxrss, anonymous_kb);
    return fclose(file);
}

int main(int argc, char **argv)
{
    int is_sampled = argc > 1 && strcmp(argv[1], "-s") == 0;
    char **words = argv + (is_sampled ? 3 : 2);
    long anonymous_kb = 0;
    struct rusage used;
    sigset_t child;
    int64_t start_ns;
    int status;
    pid_t pid;

    if (argc < (is_sampled ? 4 : 3)) {
        (void)fprintf(stderr, "usage: once [-s] LOG COMMAND [ARGUMENT...]\n");
        return EXIT_NOT_RUN;
    }
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &child, NULL);
    start_ns = now_ns();
    pid = fork();
    if (pid == 0) {
        (void)sigprocmask(SIG_UNBLOCK, &child, NULL);
        (void)execv(words[0], words);
        perror(words[0]);
        _exit(EXIT_NOT_RUN);
    }
    if (pid > 0 && is_sampled) {
        anonymous_kb = sample_until_end(pid, &child);
    }
    if (pid < 0 || wait4(pid, &status, 0, &used) != pid) {
        perror("once");
        return EXIT_NOT_RUN;
    }
    if (append(words[-1], now_ns() - start_ns, &used, anonymous_kb) != 0) {
        return EXIT_NOT_RUN;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
