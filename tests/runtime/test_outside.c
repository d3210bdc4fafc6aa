/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_outside.c - plain threads call while runtimes begin and end. */
#include "outside.h"

#include "support/run.h"
#include <co/park.h>
#include <sched.h>

TestSuite(outside, .timeout = 30);

static _Atomic bool over;
static _Atomic int started, ran;
static _Atomic co_ticket ticket;

static void run_once(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

/* What is started runs; what is refused does not; nothing crashes, whenever it comes. */
static void *call_always(void *arg)
{
    bool stops = arg != NULL;

    while (!atomic_load(&over)) {
        /* Few at a time: a runtime does not end while somebody is always starting more. */
        if (atomic_load(&started) <= atomic_load(&ran) && co_go(run_once, NULL) == 0)
            atomic_fetch_add(&started, 1);
        (void)co_unpark(atomic_load(&ticket), 0); /* of this runtime or of one that is no more */
        if (stops)
            co_stop();
        (void)co_workers();
        (void)co_stopping();
        CHECK(co_self() == 0 && co_worker() == -1);
        (void)sched_yield();
    }
    return NULL;
}

static int publish(co_ticket self, void *arg)
{
    (void)arg;
    atomic_store(&ticket, self);
    return 0;
}

static int park_short(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        CO_DEADLINE(100 * CO_US);
        int r = co_park(publish, NULL, 0);

        CHECK(r == 0 || r == -ETIMEDOUT);
    }
    return 0;
}

static void begin_and_end(bool stops)
{
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, call_always, stops ? threads : NULL), 0);
    for (int i = 0; i < fewer(200); i++)
        run_on(2, park_short, NULL);
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    no_check_failed();
    cr_assert_eq(ran, started);
    cr_assert_gt(ran, 0);
}

/* Off: it was seen to crash in release builds, and the cause is not found yet (see the issue). */
Test(outside, what_plain_threads_start_while_runtimes_come_and_go_runs_exactly_once)
{
    begin_and_end(false);
}

Test(outside, a_stop_at_any_moment_is_no_harm)
{
    begin_and_end(true);
}

Test(outside, the_door_is_closed_where_no_runtime_runs)
{
    cr_assert_not(co__outside_enter());
    co__outside_open();
    cr_assert(co__outside_enter());
    co__outside_leave();
    co__outside_close();
    cr_assert_not(co__outside_enter());
}
