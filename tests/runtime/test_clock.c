/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_clock.c - the clock that tests stop and move. */
#include <co/private/clock.h>

#include "support/run.h"
#include <co/park.h>
#include <sched.h>
#include <unistd.h>

TestSuite(clock, .timeout = 30);

#define HOUR (3600 * CO_SEC)

static _Atomic int about_to, woken, timed_out;
static int64_t begun;

static void stop_clock(void)
{
    co__clock_stop(false);
    begun = co_now();
}

static void stop_winding_clock(void)
{
    co__clock_stop(true);
    begun = co_now();
}

/* ---- moved by hand ---- */

static void sleep_hours(void *arg)
{
    int64_t hours = (intptr_t)arg;

    CHECK(co_sleep(hours * HOUR) == 0);
    CHECK(co_now() == begun + hours * HOUR);
    atomic_fetch_add(&woken, 1);
}

static int sleepers(void *arg)
{
    int64_t before = stat_of("parked");

    (void)arg;
    for (intptr_t i = 1; i <= 5; i++)
        start(sleep_hours, (void *)i);
    while (stat_of("parked") < before + 5) /* by then each has looked at the clock */
        (void)co_yield();
    for (int i = 1; i <= 5; i++) {
        co__clock_advance(HOUR - 1);
        for (int turns = 0; turns < 1000; turns++)
            (void)co_yield();
        CHECK(atomic_load(&woken) == i - 1);
        co__clock_advance(1);
        until(&woken, i);
    }
    return 0;
}

Test(clock, wakes_who_is_due_and_nobody_else, .init = stop_clock)
{
    run_on(1, sleepers, NULL);
}

Test(clock, wakes_who_is_due_wherever_he_sleeps, .init = stop_clock)
{
    run_on(3, sleepers, NULL);
}

Test(clock, stands_still, .init = stop_clock)
{
    (void)usleep(1000);
    cr_assert_eq(co_now(), begun);
    co__clock_advance(5);
    cr_assert_eq(co_now(), begun + 5);
    cr_assert_gt(co__clock_real(), begun + 5);
    co__clock_go();
    cr_assert_gt(co_now(), begun + 5);
}

/* Everybody sleeps while a plain thread moves the clock. */
static void *move_on(void *arg)
{
    (void)arg;
    while (atomic_load(&about_to) < 1)
        (void)sched_yield();
    while (!atomic_load(&woken)) {
        co__clock_advance(CO_MS);
        (void)usleep(100);
    }
    return NULL;
}

static int be_woken(void *arg)
{
    pthread_t thread;

    (void)arg;
    CHECK(pthread_create(&thread, NULL, move_on, NULL) == 0);
    atomic_fetch_add(&about_to, 1);
    CHECK(co_sleep(20 * CO_MS) == 0);
    CHECK(co_now() >= begun + 20 * CO_MS);
    atomic_fetch_add(&woken, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}

Test(clock, reaches_workers_that_sleep, .init = stop_clock)
{
    run_on(2, be_woken, NULL);
}

/* ---- winding itself ---- */

static void time_out(void *arg)
{
    int64_t span = (1 + (intptr_t)arg * 7919 % 1000) * CO_MS;
    int64_t from = co_now();
    CO_DEADLINE(span);

    CHECK(co_park(NULL, NULL, 0) == -ETIMEDOUT);
    CHECK(co_now() == from + span);
    atomic_fetch_add(&timed_out, 1);
}

static int many(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < fewer(5000); i++)
        start(time_out, (void *)i);
    return 0;
}

Test(clock, gives_everybody_his_exact_time, .init = stop_winding_clock)
{
    run_on(1, many, NULL);
    cr_assert_eq(timed_out, fewer(5000));
    run_on(3, many, NULL);
    cr_assert_eq(timed_out, 2 * fewer(5000));
}

static int centuries(void *arg)
{
    int64_t real = co__clock_real();

    (void)arg;
    for (int i = 1; i <= 100; i++) {
        CHECK(co_sleep(24 * HOUR) == 0);
        CHECK(co_now() == begun + i * 24 * HOUR);
    }
    CHECK(co__clock_real() - real < HOUR);
    return 0;
}

Test(clock, lets_days_pass_at_once, .init = stop_winding_clock)
{
    run_on(2, centuries, NULL);
}

static void never_end(void *arg)
{
    (void)arg;
    CHECK(co_sleep(CO_NEVER) == -ECANCELED);
    atomic_fetch_add(&woken, 1);
}

static int stop_at_once(void *arg)
{
    (void)arg;
    start(never_end, NULL);
    co_stop();
    return 0;
}

Test(clock, does_not_hold_up_a_stop, .init = stop_winding_clock)
{
    cr_assert_eq(run_and_stop(2, 50 * CO_MS, stop_at_once), 0);
    cr_assert_eq(woken, 1);
}
