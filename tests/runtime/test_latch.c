/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_latch.c - the small lock between threads. */
#include <co/latch.h>

#include "support/run.h"
#include <sched.h>
#include <time.h>

TestSuite(latch, .timeout = 30);

enum { THREADS = 4, ROUNDS = 200000 };

static struct co_latch latch;
static long counter; /* plain: the latch is what makes it right */
static int rounds;
static _Atomic int arrived;

Test(latch, only_one_holds_it)
{
    cr_assert(co_latch_try(&latch));
    cr_assert_not(co_latch_try(&latch));
    co_latch_give(&latch);
    co_latch_take(&latch);
    cr_assert_not(co_latch_try(&latch));
    co_latch_give(&latch);
    cr_assert_eq(latch.word, 0);
}

static void *count(void *arg)
{
    (void)arg;
    for (int i = 0; i < rounds; i++) {
        co_latch_take(&latch);
        counter++;
        if (i % 1000 == 0)
            (void)sched_yield(); /* so that others find it taken for long, and sleep */
        co_latch_give(&latch);
    }
    return NULL;
}

Test(latch, no_count_is_lost_under_it)
{
    pthread_t threads[THREADS];

    rounds = fewer(ROUNDS);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_eq(counter, (long)THREADS * rounds);
    cr_assert_eq(latch.word, 0);
}

static void *wait_for_it(void *arg)
{
    struct timespec span = {0};

    (void)arg;
    atomic_fetch_add(&arrived, 1);
    co_latch_take(&latch);
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &span);
    co_latch_give(&latch);
    return (void *)(intptr_t)(span.tv_sec * 1000 + span.tv_nsec / 1000000);
}

Test(latch, who_finds_it_taken_for_long_sleeps_and_is_woken)
{
    pthread_t thread;
    void *cpu_ms;

    co_latch_take(&latch);
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_it, NULL), 0);
    while (!arrived || __atomic_load_n(&latch.word, __ATOMIC_RELAXED /* a look */) != 2)
        (void)sched_yield();
    compute(200 * CO_MS); /* it must not compute meanwhile */
    co_latch_give(&latch);
    cr_assert_eq(pthread_join(thread, &cpu_ms), 0);
    cr_assert_lt((intptr_t)cpu_ms, 50);
}
