/* SPDX-License-Identifier: MIT */
/*
 * tests/support/plain.c - runs the tests that plain.h registers, each in a child.
 *
 *     test_x [--tap] [--filter suite/pattern]
 *
 * The child is forked while this process has one thread, so TSan follows it; it ends by exit(),
 * where TSan turns races that it saw into exit status 66, and valgrind its errors into 99. A
 * time-out is the test's own times SLOWDOWN, since both are slow; the process group is killed with
 * the test, so that nothing it started survives it.
 */
#include "support/test.h"

#ifdef CO_TEST_PLAIN
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef CO_TEST_VALGRIND
enum { SLOWDOWN = 20 }; /* and one thread at a time */
#else
enum { SLOWDOWN = 4 };
#endif
enum {
    DEFAULT_TIMEOUT = 60,
    SKIPPED = 77, /* exit status of a child that skipped its test */
};

static struct plain_test *tests;
static struct plain_test **tests_end = &tests;
static volatile bool failed; /* by a cr_expect of this child */

void plain_register(struct plain_test *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

static void say(const char *before, const char *format, va_list args)
{
    fprintf(stderr, "# %s", before);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void plain_fail(bool fatal, const char *file, int line, const char *what, const char *format, ...)
{
    char where[512];
    va_list args;

    snprintf(where, sizeof where, "%s:%d: failed: %s ", file, line, what);
    va_start(args, format);
    say(where, format, args);
    va_end(args);
    if (fatal)
        _exit(1);
    failed = true;
}

void plain_skip(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("skipped: ", format, args);
    va_end(args);
    _exit(SKIPPED);
}

void plain_pass(void)
{
    exit(failed);
}

void plain_log(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("", format, args);
    va_end(args);
}

static const struct plain_test *suite_of(const struct plain_test *test)
{
    static const struct plain_test none;

    for (const struct plain_test *t = tests; t; t = t->next)
        if (t->name == NULL && strcmp(t->suite, test->suite) == 0)
            return t;
    return &none;
}

static void run_here(const struct plain_test *test, const struct plain_test *suite)
{
    void (*init)(void) = test->init ? test->init : suite->init;
    void (*fini)(void) = test->fini ? test->fini : suite->fini;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* who ends the program ends the test */
    if (init)
        init();
    test->fn();
    if (fini)
        fini();
    exit(failed);
}

/* Waits at most `seconds` for the child, then kills it and all of its group. */
static int wait_for(pid_t pid, double seconds, bool *ret_late)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int status = 0;
    bool late = false;

    if (fd >= 0)
        late = poll(&p, 1, (int)(seconds * 1000)) == 0;
    if (late)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    kill(-pid, SIGKILL);
    if (fd >= 0)
        close(fd);
    *ret_late = late;
    return status;
}

/* Whether a child ended as its test wants. */
static bool as_wanted(const struct plain_test *test, const struct plain_test *suite, int status)
{
    int want_signal = test->signal ? test->signal : suite->signal;
    int want_exit = test->exit_code ? test->exit_code : suite->exit_code;

    if (want_signal)
        return WIFSIGNALED(status) && WTERMSIG(status) == want_signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == want_exit;
}

/* Runs one test and prints its line. Returns: whether it is as it should be. */
static bool run(int number, const struct plain_test *test)
{
    const struct plain_test *suite = suite_of(test);
    double timeout = test->timeout > 0 ? test->timeout : suite->timeout;
    bool late = false, good, skipped;
    int status;
    pid_t pid;

    if (test->disabled || suite->disabled) {
        printf("ok %d - %s::%s # SKIP disabled\n", number, test->suite, test->name);
        return true;
    }
    fflush(stdout);
    pid = fork();
    if (pid < 0)
        exit(2);
    if (pid == 0)
        run_here(test, suite);
    status = wait_for(pid, (timeout > 0 ? timeout : DEFAULT_TIMEOUT) * SLOWDOWN, &late);
    skipped = !late && WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED;
    good = skipped || (!late && as_wanted(test, suite, status));
    if (late)
        fprintf(stderr, "# %s::%s: timed out\n", test->suite, test->name);
    else if (!good)
        fprintf(stderr, "# %s::%s: %s %d\n", test->suite, test->name,
                WIFSIGNALED(status) ? "signal" : "exit status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    printf("%s %d - %s::%s%s\n", good ? "ok" : "not ok", number, test->suite, test->name,
           skipped ? " # SKIP" : "");
    return good;
}

int main(int argc, char **argv)
{
    const char *filter = "*";
    char full[256];
    int count = 0;
    bool good = true;

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            filter = argv[++i];
    for (const struct plain_test *t = tests; t; t = t->next) {
        if (t->name == NULL)
            continue;
        snprintf(full, sizeof full, "%s/%s", t->suite, t->name);
        if (fnmatch(filter, full, 0) == 0)
            good = run(++count, t) && good;
    }
    printf("1..%d\n", count);
    return !good;
}
#endif
