/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/child.h - a runtime in a process of its own, whose stderr the test reads: for what
 * is reported there, and for what looks at the threads of its process, of which Criterion has some.
 */
#ifndef TESTS_RUNTIME_CHILD_H
#define TESTS_RUNTIME_CHILD_H

#include "support/run.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
    pid_t pid;
    int fd;
    size_t len;
    char text[32768]; /* what it has written so far */
};

static inline void child_start(struct child *child, const struct co_conf *conf, co_main_fn *fn)
{
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    child->pid = fork();
    if (child->pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        (void)close(fds[1]);
        _exit(co_run_with(conf, fn, NULL) == 0 && !atomic_load(&failed_check) ? 0 : 1);
    }
    cr_assert_gt(child->pid, 0);
    (void)close(fds[1]);
    child->fd = fds[0];
    child->len = 0;
    child->text[0] = '\0';
}

/* Reads until it has written that, or, if NULL, until its end. Returns: whether it has. */
static inline bool child_says(struct child *child, const char *what)
{
    ssize_t n;

    while (!what || !strstr(child->text, what)) {
        n = read(child->fd, child->text + child->len, sizeof child->text - 1 - child->len);
        if (n <= 0)
            return false;
        child->len += (size_t)n;
        child->text[child->len] = '\0';
    }
    return true;
}

/* Waits for its end. Returns: its exit status, or -1 if it was killed. */
static inline int child_end(struct child *child)
{
    int status = 0;

    cr_assert_eq(waitpid(child->pid, &status, 0), child->pid);
    (void)close(child->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void child_kill(struct child *child)
{
    (void)kill(child->pid, SIGKILL);
    (void)child_end(child);
}

/* To the parent, from the child. */
static inline void child_say(const char *text)
{
    CHECK(write(STDERR_FILENO, text, strlen(text)) == (ssize_t)strlen(text));
}

#endif
