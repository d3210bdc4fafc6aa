/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_assert.c - what an assertion says before it ends the process. */
#include <co/assert.h>

#include "support/child.h"
#include <co/conf.h>
#include <co/task.h>

TestSuite(assert, .timeout = 30);

static struct death death;

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
    run_child(&death, fail_traced);
    cr_assert_eq(death.sig, SIGABRT, "said: %s", death.text);
    cr_assert_says(&death, "corvid: this does not hold: two == 3\n");
    cr_assert_says(&death, "test_assert.c:");
    cr_assert_says(&death, ", in coroutine 1 on worker 0\n");
    cr_assert_says(&death, " worker 0 yield 1\n");
}

Test(assert, says_how_to_learn_more)
{
    run_child(&death, fail_untraced);
    cr_assert_eq(death.sig, SIGABRT, "said: %s", death.text);
    cr_assert_says(&death, "[runtime] trace = on");
    cr_assert_null(strstr(death.text, "yield"), "said: %s", death.text);
}

static void fail_outside(void)
{
    CO_REQUIRE(death.text[0] == 'x');
}

Test(assert, works_on_any_thread)
{
    run_child(&death, fail_outside);
    cr_assert_eq(death.sig, SIGABRT, "said: %s", death.text);
    cr_assert_says(&death, "death.text[0] == 'x'");
    cr_assert_says(&death, ", not on a worker\n");
}

static void fail_for_debug(void)
{
    CO_ASSERT(death.text[0] == 'x');
}

Test(assert, is_gone_where_ndebug_is_defined)
{
#ifdef NDEBUG
    run_child(&death, fail_for_debug);
    cr_assert_eq(death.sig, 0, "said: %s", death.text);
#else
    run_child(&death, fail_for_debug);
    cr_assert_eq(death.sig, SIGABRT, "said: %s", death.text);
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
    run_child(&death, pass);
    cr_assert(death.sig == 0 && death.status == 0);
    cr_assert_str_empty(death.text);
}
