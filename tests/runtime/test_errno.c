/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_errno.c - errno is the running thread's; see tests/errno/ for compilers. */
#include <co/errno.h>

#include "support/run.h"
#include <fcntl.h>
#include <unistd.h>

TestSuite(errno_, .timeout = 10);

static void *look(void *arg)
{
    errno = 17;
    CHECK(co_errno_location() != arg);
    CHECK(*co_errno_location() == 17);
    CHECK(close(-1) < 0 && errno == EBADF);
    return NULL;
}

Test(errno_, each_thread_has_its_own)
{
    pthread_t thread;

    errno = 5;
    cr_assert_eq(pthread_create(&thread, NULL, look, co_errno_location()), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    no_check_failed();
    cr_assert_eq(errno, 5);
}

static int yield_and_fail(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        CHECK(open("/nonexistent/file", O_RDONLY | O_CLOEXEC) < 0 && errno == ENOENT);
        CHECK(co_yield() == 0);
        CHECK(close(-1) < 0 && errno == EBADF);
    }
    return 0;
}

Test(errno_, is_right_after_a_call_that_suspends)
{
    (void)setenv("CO_CHAOS", "3", 1);
    run_on(4, yield_and_fail, NULL);
}

static int fail_quietly(void *arg)
{
    (void)arg;
    errno = 99;
    CHECK(co_go_copy(NULL, NULL, CO_COPY_MAX + 1) == -EINVAL);
    CHECK(errno == 99);
    return 0;
}

Test(errno_, is_not_how_corvid_tells_its_errors)
{
    run_on(1, fail_quietly, NULL);
}

static _Atomic bool reported;

/* Computes, in one turn, until it is reported and a while longer. */
static int be_reported(void *arg)
{
    int error = 99;

    (void)arg;
    errno = error;
    atomic_store(&reported, compute_until_reported());
    error = errno;
    CHECK(error == 99);
    return 0;
}

Test(errno_, outlives_a_report_that_cannot_be_written, .timeout = 30)
{
    struct co_conf conf = settings(2);
    int before = dup(STDERR_FILENO);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int r;

    cr_assert(before >= 0 && full >= 0);
    conf.stall_report = 20 * CO_MS;
    cr_assert_eq(dup2(full, STDERR_FILENO), STDERR_FILENO);
    r = co_run_with(&conf, be_reported, NULL);
    cr_assert_eq(dup2(before, STDERR_FILENO), STDERR_FILENO);
    no_check_failed();
    cr_assert_eq(r, 0);
    if (!atomic_load(&reported))
        cr_skip_test("the machine was too busy for a report");
}
