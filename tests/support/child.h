/* SPDX-License-Identifier: MIT */
/* tests/support/child.h - a function that is expected to die does so in a process of its own. */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include "support/test.h"
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef CO_TEST_VALGRIND
#include <valgrind/valgrind.h>
#endif

/* How a child ended: its signal or 0, its exit status or -1, and what it wrote to stderr. */
struct death {
    int sig;
    int status;
    char text[64 * 1024];
};

static inline void run_child(struct death *death, void (*fn)(void))
{
    int status = 0, ends[2];
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        struct rlimit none = {0};

        (void)signal(SIGABRT, SIG_DFL);
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)dup2(ends[1], STDERR_FILENO);
#ifdef CO_TEST_VALGRIND
        VALGRIND_DISABLE_ERROR_REPORTING; /* the error is the point */
#endif
        fn();
        _exit(0);
    }
    (void)close(ends[1]);
    while (len + 1 < sizeof(death->text) &&
           (n = read(ends[0], death->text + len, sizeof(death->text) - 1 - len)) > 0)
        len += (size_t)n;
    death->text[len] = '\0';
    (void)close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    death->sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    death->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define cr_assert_says(death_, what_) \
    cr_assert_not_null(strstr((death_)->text, what_), "said: %s", (death_)->text)

#endif
