/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_assert.c - what an assertion says before it ends the process. */
#include <co/assert.h>

#include "stack_help.h"
#include <co/conf.h>
#include <co/task.h>

TestSuite(assert, .timeout = 30);

static char said[256 * 1024];

static int fail_here(void *arg)
{
    volatile int two = 2;

    (void)arg;
    for (int i = 0; i < 10; i++)
        (void)co_yield();
    CO_REQUIRE(two == 3);
    return 0;
}

static void fail(int threads, int trace)
{
    struct co_conf conf;
    int r;

    co_conf_init(&conf);
    conf.threads = threads;
    conf.trace = trace;
    r = co_run_with(&conf, fail_here, NULL);
    _exit(r < 0);
}

static void fail_traced(void)
{
    fail(1, 1);
}

static void fail_untraced(void)
{
    fail(1, 0);
}

Test(assert, says_what_and_where_and_what_came_before)
{
    cr_assert_eq(death_of(fail_traced, said, sizeof said), SIGABRT, "said: %s", said);
    cr_assert_not_null(strstr(said, "corvid: this does not hold: two == 3\n"), "%s", said);
    cr_assert_not_null(strstr(said, "test_assert.c:"), "%s", said);
    cr_assert_not_null(strstr(said, ", in coroutine 1 on worker 0\n"), "%s", said);
    cr_assert_not_null(strstr(said, " worker 0 yield 1\n"), "%s", said);
}

Test(assert, says_how_to_learn_more)
{
    cr_assert_eq(death_of(fail_untraced, said, sizeof said), SIGABRT, "said: %s", said);
    cr_assert_not_null(strstr(said, "[runtime] trace = on"), "%s", said);
    cr_assert_null(strstr(said, "yield"), "%s", said);
}

static void fail_outside(void)
{
    CO_REQUIRE(said[0] == 'x');
}

Test(assert, works_on_any_thread)
{
    cr_assert_eq(death_of(fail_outside, said, sizeof said), SIGABRT, "said: %s", said);
    cr_assert_not_null(strstr(said, "said[0] == 'x'"), "%s", said);
    cr_assert_not_null(strstr(said, ", not on a worker\n"), "%s", said);
}

static void fail_for_debug(void)
{
    CO_ASSERT(said[0] == 'x');
}

Test(assert, is_gone_where_ndebug_is_defined)
{
#ifdef NDEBUG
    cr_assert_eq(death_of(fail_for_debug, said, sizeof said), 0, "said: %s", said);
#else
    cr_assert_eq(death_of(fail_for_debug, said, sizeof said), SIGABRT, "said: %s", said);
#endif
}

static void pass(void)
{
    int calls = 0;

    CO_REQUIRE(++calls == 1);
    _exit(calls == 1 ? 0 : 1);
}

Test(assert, says_nothing_of_what_holds)
{
    cr_assert_eq(death_of(pass, said, sizeof said), 0);
    cr_assert_str_empty(said);
}
