/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_scope.c - deadlines, grace and pins hold to the end of a block. */
#include <co/scope.h>

#include "support/clock.h"
#include "support/run.h"
#include <co/park.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(scope, .timeout = 30);

static _Atomic int count;

/* ---- deadlines ---- */

static int nest(void *arg)
{
    (void)arg;
    CHECK(co_left() == CO_NEVER);
    {
        CO_DEADLINE(10 * CO_SEC);
        CHECK(co_left() == 10 * CO_SEC);
        {
            CO_DEADLINE(100 * CO_SEC);
            CHECK(co_left() == 10 * CO_SEC);
            {
                CO_DEADLINE(CO_SEC);
                CHECK(co_left() == CO_SEC);
                CHECK(co_sleep(2 * CO_SEC) == -ETIMEDOUT);
                CHECK(co_left() == 0);
            }
            CHECK(co_left() == 9 * CO_SEC);
        }
        CHECK(co_left() == 9 * CO_SEC);
    }
    CHECK(co_left() == CO_NEVER);
    {
        CO_DEADLINE(0);
        CHECK(co_left() == 0);
        CO_DEADLINE(CO_SEC);
        CHECK(co_left() == 0);
        CHECK(co_check() == -ETIMEDOUT);
    }
    {
        CO_DEADLINE(-5 * CO_SEC);
        CHECK(co_left() == 0);
    }
    {
        CO_DEADLINE(CO_NEVER);
        CHECK(co_left() == CO_NEVER);
        CO_DEADLINE(CO_NEVER - 1);
        CHECK(co_left() > 1000000 * CO_SEC);
    }
    CHECK(co_check() == 0);
    return 0;
}

Test(scope, deadlines_nest_and_only_shorten, .init = clock_winds_itself)
{
    run_on(1, nest, NULL);
}

Test(scope, outside_a_coroutine_a_scope_does_nothing)
{
    CO_DEADLINE(0);
    CO_GRACE(0);
    CO_PIN();

    cr_assert_eq(co_left(), CO_NEVER);
    cr_assert_eq(co_pin(), 0);
}

static int add_up(void *arg)
{
    int64_t begun = co_now();
    int calls = 0;
    CO_DEADLINE(100 * CO_MS);

    (void)arg;
    while (co_sleep(30 * CO_MS) == 0)
        calls++;
    CHECK(calls == 3);
    CHECK(co_now() - begun == 100 * CO_MS);
    return 0;
}

Test(scope, all_calls_of_a_block_share_its_time, .init = clock_winds_itself)
{
    run_on(2, add_up, NULL);
}

enum { MANY = 10000 };

static int nest_many(void *arg)
{
    static struct co_scope scopes[MANY];
    int64_t left = CO_NEVER;

    (void)arg;
    for (int i = 0; i < MANY; i++) {
        /* Shorter and longer by turns: 3000 s, 5999 s, 2998 s, ... */
        scopes[i] = co_deadline_open((i % 2 ? 6000 - i / 10 : 3000 - i / 10) * CO_SEC);
        CHECK(co_left() <= left);
        left = co_left();
    }
    CHECK(left == 2001 * CO_SEC);
    for (int i = MANY - 1; i >= 0; i--) {
        CHECK(co_left() >= left);
        left = co_left();
        co_scope_close(&scopes[i]);
    }
    CHECK(co_left() == CO_NEVER);
    return 0;
}

Test(scope, ten_thousand_nest, .init = clock_winds_itself)
{
    run_on(1, nest_many, NULL);
}

static void time_out(void *arg)
{
    int64_t span = (1 + (intptr_t)arg * 7919 % 100) * CO_MS;
    int64_t begun = co_now();
    CO_DEADLINE(span);

    CHECK(co_park(NULL, NULL, 0) == -ETIMEDOUT);
    CHECK(co_now() - begun >= span);
    CHECK(co_now() - begun < span + 10 * CO_SEC);
    CHECK(co_left() == 0);
    atomic_fetch_add(&count, 1);
}

static int time_out_many(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < fewer(MANY); i++)
        start(time_out, (void *)i);
    return 0;
}

Test(scope, ten_thousand_at_once_end_each_at_its_own_time)
{
    run_on(3, time_out_many, NULL);
    cr_assert_eq(count, fewer(MANY));
}

/* The old node of the timer is armed for the first deadline, which does not count any more. */
static int early_return(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        {
            CO_DEADLINE(2 * CO_MS);
            CHECK(co_sleep(100 * CO_US) == 0);
        }
        CHECK(co_sleep(5 * CO_MS) == 0);
        {
            CO_DEADLINE(CO_SEC);
            CHECK(co_sleep(CO_MS) == 0);
        }
        {
            CO_DEADLINE(CO_MS);
            CHECK(co_sleep(CO_SEC) == -ETIMEDOUT);
        }
    }
    return 0;
}

Test(scope, a_deadline_that_was_left_in_time_ends_nothing_later, .init = clock_winds_itself)
{
    run_on(1, early_return, NULL);
    run_on(2, early_return, NULL);
}

/* ---- grace ---- */

static int graces(void *arg)
{
    (void)arg;
    CO_DEADLINE(0);
    CHECK(co_check() == -ETIMEDOUT);
    {
        CO_GRACE(10 * CO_SEC);
        CHECK(co_check() == 0);
        CHECK(co_left() == 10 * CO_SEC);
        CHECK(co_sleep(4 * CO_SEC) == 0);
        {
            CO_GRACE(100 * CO_SEC);
            CHECK(co_left() == 6 * CO_SEC);
            CO_GRACE(CO_SEC);
            CHECK(co_left() == CO_SEC);
        }
        {
            CO_DEADLINE(2 * CO_MS);
            CHECK(co_sleep(CO_SEC) == -ETIMEDOUT);
        }
        CHECK(co_check() == 0);
    }
    CHECK(co_check() == -ETIMEDOUT);
    return 0;
}

Test(scope, grace_stands_in_for_a_deadline_that_has_passed, .init = clock_winds_itself)
{
    run_on(1, graces, NULL);
}

static void say_goodbye(void *arg)
{
    int64_t begun;

    (void)arg;
    CHECK(co_sleep(CO_NEVER) == -ECANCELED);
    {
        CO_GRACE(20 * CO_SEC);
        CHECK(co_sleep(5 * CO_MS) == 0);
    }
    {
        CO_GRACE(50 * CO_MS);
        begun = co_now();
        CHECK(co_sleep(CO_NEVER) == -ETIMEDOUT); /* but not for ever */
        CHECK(co_now() - begun < 20 * CO_SEC);
    }
    CHECK(co_sleep(CO_MS) == -ECANCELED);
    CHECK(co_yield() == -ECANCELED);
    CHECK(co_go(say_goodbye, NULL) == -ECANCELED);
    atomic_fetch_add(&count, 1);
}

static int say_goodbyes(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        start(say_goodbye, NULL);
    co_stop();
    return 0;
}

Test(scope, grace_lets_the_cancelled_say_good_bye_for_a_bounded_time)
{
    cr_assert_eq(run_and_stop(2, 300 * CO_MS, say_goodbyes), 0);
    cr_assert_eq(count, 100);
}

static void stay_in_grace(void *arg)
{
    (void)arg;
    CO_GRACE(20 * CO_SEC);
    atomic_fetch_add(&count, 1);
    CHECK(co_sleep(200 * CO_MS) == 0); /* cancelled in its midst */
    CO_GRACE(20 * CO_MS);
    CHECK(co_sleep(CO_SEC) == -ETIMEDOUT);
}

static int cancel_in_grace(void *arg)
{
    (void)arg;
    start(stay_in_grace, NULL);
    until(&count, 1);
    co_stop();
    return 0;
}

Test(scope, a_cancel_does_not_end_what_has_grace)
{
    (void)run_and_stop(2, 100 * CO_MS, cancel_in_grace);
}

/* ---- pins ---- */

static _Atomic int moves;

/* Where coroutines are moved at random, the others' moves are what the pinned must not make. */
static bool enough(int rounds)
{
#ifdef CO_CHAOS_BUILD
    return rounds > 100 && (atomic_load(&moves) > 200 || rounds > 1000000);
#else
    return rounds > 100;
#endif
}

static void move_about(void)
{
    int home = co_worker();

    for (int i = 0; !enough(i); i++) {
        if (i % 8 == 0)
            CHECK(co_sleep(20 * CO_US) == 0);
        else
            CHECK(co_yield() == 0);
        if (co_worker() != home)
            atomic_fetch_add(&moves, 1);
        home = co_worker();
    }
}

static void roam(void *arg)
{
    (void)arg;
    move_about();
    atomic_fetch_add(&count, 1);
}

static void stay_pinned(void *arg)
{

    (void)arg;
    {
        CO_PIN();
        int home = co_worker();

        for (int i = 0; !enough(i); i++) {
            CHECK((i % 8 ? co_yield() : co_sleep(20 * CO_US)) == 0);
            CHECK(co_worker() == home);
            {
                CO_PIN();
                CHECK(co_yield() == 0);
            }
            CHECK(co_worker() == home);
        }
    }
    move_about();
    atomic_fetch_add(&count, 1);
}

static void born_pinned(void *arg)
{
    int home = co_worker();

    (void)arg;
    for (int i = 0; !enough(i); i++) {
        CHECK((i % 8 ? co_yield() : co_sleep(20 * CO_US)) == 0);
        CHECK(co_worker() == home);
        CO_PIN();
    }
    atomic_fetch_add(&count, 1);
}

static int roam_and_stay(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        start(roam, NULL);
        start(stay_pinned, NULL);
        CHECK(co_go_with(&(struct co_opts){.pinned = 1}, born_pinned, NULL) == 0);
    }
    return 0;
}

Test(scope, the_pinned_stay_while_all_others_are_moved_at_random)
{
    (void)setenv("CO_CHAOS", "7", 1);
    run_on(4, roam_and_stay, NULL);
    cr_assert_eq(count, 60);
#ifdef CO_CHAOS_BUILD
    cr_assert_gt(moves, 100, "the others did move");
#endif
}

static void *unpark_from_outside(void *arg)
{
    CHECK(co_unpark(*(co_ticket *)arg, 0));
    return NULL;
}

static int wake_from_outside(co_ticket self, void *arg)
{
    static co_ticket ticket;

    ticket = self;
    CHECK(pthread_create(arg, NULL, unpark_from_outside, &ticket) == 0);
    return 0;
}

static void be_woken_from_outside(void *arg)
{
    int home = co_worker();

    (void)arg;
    for (int i = 0; i < 50; i++) {
        pthread_t thread;

        CHECK(co_park(wake_from_outside, &thread, 0) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(co_worker() == home);
    }
}

static int pinned_and_woken(void *arg)
{
    (void)arg;
    return co_go_with(&(struct co_opts){.pinned = 1}, be_woken_from_outside, NULL);
}

Test(scope, the_pinned_wake_at_home_though_a_plain_thread_wakes_them)
{
    run_on(3, pinned_and_woken, NULL);
}

/* ---- no suspending ---- */

static void count_one(void *arg)
{
    (void)arg;
    atomic_fetch_add(&count, 1);
}

static int wake_others(void *arg)
{
    (void)arg;
    {
        CO_NOSUSPEND();
        start(count_one, NULL);
        {
            CO_NOSUSPEND();
            CHECK(co_left() == CO_NEVER);
        }
        CHECK(atomic_load(&count) == 0); /* one worker: it has not run */
    }
    CHECK(co_yield() == 0);
    until(&count, 1);
    return 0;
}

Test(scope, what_suspends_nothing_may_be_called_within_nosuspend)
{
    CO_NOSUSPEND(); /* on a plain thread it does nothing */
    run_on(1, wake_others, NULL);
}

#ifndef NDEBUG
static int check_in_nosuspend(void *arg)
{
    struct rlimit none = {0};

    (void)arg;
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)close(STDERR_FILENO); /* the report is long */
    {
        CO_NOSUSPEND();
        {
            CO_NOSUSPEND();
        }
        CHECK(co_check() == 0); /* would not have suspended this time */
    }
    return 0;
}

Test(scope, a_call_that_may_suspend_aborts_within_nosuspend, .signal = SIGABRT)
{
    run_on(1, check_in_nosuspend, NULL);
}
#endif
