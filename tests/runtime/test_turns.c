/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_turns.c - who runs when and where: yielding, the budget, sleeping, staying.
 */
#include <co/task.h>

#include "support/clock.h"
#include "support/run.h"
#include <co/park.h>
#include <fcntl.h>
#include <unistd.h>

TestSuite(turns, .timeout = 30);

static _Atomic int count, waiting;

static void count_up(void *arg)
{
    (void)arg;
    atomic_fetch_add(&count, 1);
}

/* ---- yielding ---- */

enum { RUNNERS = 4, LAPS = 1000, LONG_LAPS = 200 };
static _Atomic int laps[RUNNERS];
static _Atomic int worst_lead;

static void run_laps(void *arg)
{
    int me = (int)(intptr_t)arg;

    until(&waiting, 1);
    for (int i = 0; i < LAPS; i++) {
        int behind = LAPS;

        atomic_fetch_add(&laps[me], 1);
        for (int k = 0; k < RUNNERS; k++) {
            if (atomic_load(&laps[k]) < behind)
                behind = atomic_load(&laps[k]);
        }
        if (i + 1 - behind > atomic_load(&worst_lead))
            atomic_store(&worst_lead, i + 1 - behind);
        CHECK(co_yield() == 0);
    }
}

static int race(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < RUNNERS; i++)
        start(run_laps, (void *)i);
    atomic_store(&waiting, 1);
    return 0;
}

Test(turns, those_who_yield_on_one_worker_take_turns)
{
    run_on(1, race, NULL);
    if (!chaotic())
        cr_assert_leq(worst_lead, 2, "one was %d laps ahead", worst_lead);
}

Test(turns, those_who_yield_come_on_alike_when_the_newest_runs_first)
{
    struct co_conf conf = settings(1);

    conf.order = CO_ORDER_LIFO;
    cr_assert_eq(run_conf(&conf, race, NULL), 0);
    if (!chaotic())
        cr_assert_leq(worst_lead, LAPS / 10, "one was %d laps ahead", worst_lead);
}

/* Turns longer than the worker's interval between two looks outside: it looks after each. */
static void long_laps(void *arg)
{
    _Atomic int *mine = arg;

    for (int i = 0; i < LONG_LAPS; i++) {
        compute(300 * CO_US);
        atomic_fetch_add(mine, 1);
        CHECK(co_yield() == 0);
    }
    atomic_fetch_add(&waiting, 1);
}

static void yield_long(int times)
{
    for (int i = 0; i < times; i++) {
        compute(300 * CO_US);
        CHECK(co_yield() == 0);
    }
}

static int long_race(void *arg)
{
    (void)arg;
    start(long_laps, &laps[0]);
    yield_long(LONG_LAPS / 2);
    start(long_laps, &laps[1]); /* becomes ready elsewhere than those who yield */
    yield_long(LONG_LAPS / 2);
    CHECK(atomic_load(&laps[1]) >= LONG_LAPS / 4);
    return 0;
}

Test(turns, long_turns_starve_nobody_when_the_newest_runs_first)
{
    struct co_conf conf = settings(1);

    conf.order = CO_ORDER_LIFO;
    cr_assert_eq(run_conf(&conf, long_race, NULL), 0);
}

static _Atomic int fed, eaten;

static void eat(void *arg)
{
    (void)arg;
    compute(300 * CO_US);
    atomic_fetch_add(&eaten, 1);
}

/*
 * Keeps a few coroutines in the injector, always. Where fault points move those who yield there,
 * too, each lap waits for all of these, so there are fewer.
 */
static void *feed(void *arg)
{
    const int backlog = chaotic() ? 8 : 256;

    (void)arg;
    while (atomic_load(&waiting) == 0) {
        if (atomic_load(&fed) < atomic_load(&eaten) + backlog) {
            atomic_fetch_add(&fed, 1);
            start(eat, NULL);
        }
    }
    return NULL;
}

static int be_fed(void *arg)
{
    pthread_t thread;
    int begun_at;

    (void)arg;
    CHECK(pthread_create(&thread, NULL, feed, NULL) == 0);
    until(&eaten, 10);
    begun_at = atomic_load(&eaten);
    start(long_laps, &laps[0]);
    while (atomic_load(&waiting) < 1)
        yield_long(1);
    CHECK(chaotic() || atomic_load(&eaten) < begun_at + 4 * LONG_LAPS);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}

Test(turns, a_stream_of_starts_from_outside_starves_nobody)
{
    run_on(1, be_fed, NULL);
}

static void never_yields(void *arg)
{
    _Atomic int *calls = arg;

    while (atomic_load(&count) == 0) {
        atomic_fetch_add(calls, 1);
        CHECK(co_check() == 0);
    }
}

static int budget(void *arg)
{
    start(count_up, NULL);
    start(never_yields, arg); /* the newest one runs first */
    return 0;
}

Test(turns, a_coroutine_whose_calls_always_succeed_yields_after_128_of_them)
{
    int most = 0;

    for (int i = 0; i < 20 && most < 100; i++) {
        _Atomic int calls = 0;

        atomic_store(&count, 0);
        run_on(1, budget, &calls);
        cr_assert_leq(calls, 128);
        if (calls > most)
            most = calls; /* fewer when the machine has kept the worker from running */
    }
    if (!chaotic())
        cr_assert_geq(most, 100, "and not after every one: %d", most);
}

/* Under valgrind threads take turns, and the watchdog, which has the clock read, waits for its. */
#ifdef CO_TEST_VALGRIND
enum { IN_TIME = 64 };
#else
enum { IN_TIME = 20 };
#endif

static int calls_and_computes(void *arg)
{
    int calls = 0;
    CO_DEADLINE(30 * CO_MS);

    (void)arg;
    for (; co_check() == 0; calls++)
        compute(2 * CO_MS);
    CHECK(co_check() == -ETIMEDOUT);
    CHECK(calls <= IN_TIME); /* by a clock that is read in time, not once in a budget of calls */
    return 0;
}

Test(turns, a_deadline_is_noticed_though_every_call_succeeds_and_much_is_computed_between)
{
    run_on(1, calls_and_computes, NULL);
    run_on(2, calls_and_computes, NULL);
}

/* ---- sleeping ---- */

static int sleep_spans(void *arg)
{
    const int64_t spans[] = {1, 50 * CO_US, CO_MS, 7 * CO_MS, 30 * CO_MS};
    int64_t late = CO_NEVER;

    (void)arg;
    /* The machine is busy at times, but not always. */
    for (int round = 0; round < 3 || (late >= 2 * CO_MS && round < 100); round++) {
        for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
            int64_t begun = co_now();
            int64_t slept;

            CHECK(co_sleep(spans[i]) == 0);
            slept = co_now() - begun;
            CHECK(slept >= spans[i]);
            CHECK(slept < spans[i] + 20 * CO_SEC);
            if (slept - spans[i] < late)
                late = slept - spans[i];
        }
    }
    CHECK(late < 2 * CO_MS);
    return 0;
}

Test(turns, sleeping_takes_as_long_as_asked_for_and_little_longer)
{
    run_on(1, sleep_spans, NULL);
    run_on(2, sleep_spans, NULL);
}

static int sleep_none(void *arg)
{
    (void)arg;
    start(count_up, NULL);
    CHECK(co_sleep(0) == 0);
    CHECK(chaotic() || atomic_load(&count) == 1); /* it yielded */
    start(count_up, NULL);
    CHECK(co_sleep(-5) == 0);
    CHECK(chaotic() || atomic_load(&count) == 2);
    {
        CO_DEADLINE(-1);
        CHECK(co_sleep(0) == -ETIMEDOUT);
        CHECK(co_sleep(CO_MS) == -ETIMEDOUT);
        CHECK(co_yield() == -ETIMEDOUT);
    }
    return 0;
}

Test(turns, sleeping_for_no_time_yields)
{
    run_on(1, sleep_none, NULL);
}

enum { SLEEPERS = 100 };
static _Atomic int woken[SLEEPERS];

static int64_t base;

static void sleep_by_number(void *arg)
{
    int place = (int)(intptr_t)arg * 37 % SLEEPERS;

    CHECK(co_sleep(base + (1500 + place) * CO_MS - co_now()) == 0);
    atomic_store(&woken[atomic_fetch_add(&count, 1)], place);
}

static int sleep_in_order(void *arg)
{
    (void)arg;
    base = co_now();
    for (intptr_t i = 0; i < SLEEPERS; i++)
        start(sleep_by_number, (void *)i);
    return 0;
}

Test(turns, who_sleeps_shorter_wakes_earlier, .init = clock_winds_itself)
{
    run_on(3, sleep_in_order, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        cr_assert_eq(woken[i], i, "number %d woke in place %d", woken[i], i);
}

static int sleep_too_long(void *arg)
{
    int64_t begun = co_now();
    CO_DEADLINE(15 * CO_MS);

    (void)arg;
    CHECK(co_sleep(60 * CO_SEC) == -ETIMEDOUT);
    CHECK(co_now() - begun >= 15 * CO_MS && co_now() - begun < 20 * CO_SEC);
    CHECK(co_sleep(CO_NEVER) == -ETIMEDOUT);
    return 0;
}

Test(turns, a_sleep_that_is_longer_than_the_deadline_ends_with_it)
{
    run_on(1, sleep_too_long, NULL);
}

/* ---- where coroutines run ---- */

static _Atomic int strangers;

static void stay(void *arg)
{
    int home = *(int *)arg;

    for (int i = 0; i < 100; i++) {
        if (co_worker() != home)
            atomic_fetch_add(&strangers, 1);
        if (i % 10 == 0)
            CHECK(co_sleep(100 * CO_US) == 0);
        else
            CHECK(co_yield() == 0);
    }
    atomic_fetch_add(&count, 1);
}

static int nobody_steals(void *arg)
{
    static int home;

    (void)arg;
    home = co_worker();
    for (int i = 0; i < 50; i++)
        start(stay, &home);
    return 0;
}

Test(turns, without_stealing_a_coroutine_stays_where_it_became_ready)
{
    struct co_conf conf = settings(4);

    conf.stealing = 0;
    cr_assert_eq(run_conf(&conf, nobody_steals, NULL), 0);
    cr_assert_eq(count, 50);
    if (!chaotic())
        cr_assert_eq(strangers, 0);
}

static _Atomic uint64_t selves[16];

static void tell_self(void *arg)
{
    uint64_t me = co_self();

    atomic_store(&selves[(intptr_t)arg], me);
    atomic_fetch_add(&count, 1);
    until(&count, 16);
    CHECK(co_self() == me);
}

static int sixteen_selves(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < 16; i++)
        start(tell_self, (void *)i);
    return 0;
}

Test(turns, those_who_live_at_once_have_different_numbers)
{
    run_on(3, sixteen_selves, NULL);
    for (int i = 0; i < 16; i++) {
        cr_assert_geq(selves[i], 1);
        for (int k = 0; k < i; k++)
            cr_assert_neq(selves[i], selves[k]);
    }
}

/* ---- reports ---- */

enum { REPORTED = 300 }; /* milliseconds */

/* The machine may have stalled meanwhile for so long that there is something to report. */
static int compute_a_while(void *arg)
{
    compute(10 * CO_MS);
    CHECK(stat_of("stalls") == 0 || co_now() - *(int64_t *)arg >= REPORTED * CO_MS);
    return 0;
}

Test(turns, a_turn_of_an_earlier_runtime_counts_for_no_stall)
{
    struct co_conf conf = settings(1);
    int64_t begun = co_now();

    conf.stall_report = REPORTED * CO_MS;
    cr_assert_eq(run_conf(&conf, compute_a_while, &begun), 0);
    compute((REPORTED + 100) * CO_MS);
    begun = co_now();
    cr_assert_eq(run_conf(&conf, compute_a_while, &begun), 0);
}

static _Atomic bool reported;

static int be_reported(void *arg)
{
    (void)arg;
    atomic_store(&reported, compute_until_reported());
    return 0;
}

/* A log that hangs: its pipe is full, and blocks who writes. */
Test(turns, a_report_that_nobody_reads_does_not_hold_the_worker)
{
    static const char much[4096];
    struct co_conf conf = settings(1);
    int before = dup(STDERR_FILENO);
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    while (write(fds[1], much, sizeof much) > 0)
        continue;
    cr_assert_eq(fcntl(fds[1], F_SETFL, 0), 0);
    cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    conf.stall_report = 20 * CO_MS;
    cr_expect_eq(run_conf(&conf, be_reported, NULL), 0);
    cr_assert_eq(dup2(before, STDERR_FILENO), STDERR_FILENO);
    if (!atomic_load(&reported))
        cr_skip_test("the machine was too busy for a report");
}
