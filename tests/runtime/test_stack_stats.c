/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_stack_stats.c - what a running program tells of its stacks, and gives back. */
#include "stack_stats.h"

#include "support/run.h"
#include <co/private/clock.h>

TestSuite(stack_stats, .timeout = 30);

enum { BURST = 200 }; /* more than workers keep for themselves */

static _Atomic int count;

static void rest(void *arg)
{
    (void)arg;
    CHECK(co_sleep(10 * CO_MS) == 0);
    atomic_fetch_add(&count, 1);
}

static int burst(void *arg)
{
    (void)arg;
    for (int i = 0; i < BURST; i++)
        start(rest, NULL);
    while (atomic_load(&count) < BURST)
        CHECK(co_sleep(CO_MS) == 0);
    CHECK(stat_of("stack_trimmed") == 0);
    while (stat_of("stack_trimmed") < BURST - 64 - 2)
        CHECK(co_sleep(CO_SEC) == 0);
    return 0;
}

Test(stack_stats, what_a_burst_needed_goes_back_when_there_is_time)
{
    co__clock_stop(true);
    run_on(1, burst, NULL);
    co__clock_go();
    cr_assert_eq(stat_of("stack_trimmed"), 0, "a new runtime begins anew");
}

static __attribute__((noinline)) int dig(int depth)
{
    volatile char hole[4096];

    hole[0] = hole[sizeof hole - 1] = 1;
    __asm__ volatile("" : : "r"(hole) : "memory"); /* or clang would keep two bytes of it */
    return depth == 0 ? 0 : dig(depth - 1) + hole[0];
}

static void use_stack(void *arg)
{
    (void)arg;
    CHECK(dig(6) == 6);
    atomic_fetch_add(&count, 1);
}

static int ask(void *arg)
{
    (void)arg;
    CHECK(stat_of("stack_deepest") > 0);
    CHECK(stat_of("stack_deepest") < 24000);
    start(use_stack, NULL);
    until(&count, 1);
    CHECK(stat_of("stack_deepest") >= 7 * 4096);
    CHECK(stat_of("stack_deepest") <= (64 << 10) + 4096);
    CHECK(stat_of("stack_unguarded") == 0);
    return 0;
}

Test(stack_stats, the_deepest_stack_is_known)
{
    run_on(2, ask, NULL);
}

static void *read_always(void *arg)
{
    while (atomic_load(&count) < 1)
        (void)(stat_of("stack_deepest") + stat_of("stack_trimmed") + stat_of("stack_unguarded"));
    return arg;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

Test(stack_stats, a_plain_thread_may_ask_while_runtimes_come_and_go)
{
    pthread_t thread;

    run_on(1, nothing, NULL); /* registers them */
    cr_assert_eq(pthread_create(&thread, NULL, read_always, NULL), 0);
    for (int i = 0; i < 20; i++)
        run_on(2, nothing, NULL);
    atomic_store(&count, 1);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}
