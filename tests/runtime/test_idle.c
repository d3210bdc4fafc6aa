/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_idle.c - who sleeps, who searches, who is woken. */
#include "idle.h"

#include "support/run.h"
#include <sched.h>

TestSuite(idle, .timeout = 30);

static struct co__idle idle;

static int sleepers(void)
{
    return (int)(atomic_load(&idle.counts) >> 16);
}

static int searchers(void)
{
    return (int)(atomic_load(&idle.counts) & 0xffff);
}

static void expect_counts(int asleep, int searching)
{
    cr_assert_eq(sleepers(), asleep, "%d sleep", sleepers());
    cr_assert_eq(searchers(), searching, "%d search", searchers());
}

Test(idle, nobody_is_woken_while_all_work)
{
    co__idle_start(&idle, 4);
    expect_counts(0, 0);
    cr_assert_eq(co__idle_notify(&idle), -1);
    cr_assert_not(co__idle_wake(&idle, 2));
    expect_counts(0, 0);
}

Test(idle, a_sleeper_is_woken_once_and_counted_as_a_searcher)
{
    co__idle_start(&idle, 4);
    (void)co__idle_sleep(&idle, 2, false, NULL);
    expect_counts(1, 0);
    cr_assert_eq(co__idle_notify(&idle), 2);
    expect_counts(0, 1);
    cr_assert_eq(co__idle_notify(&idle), -1);
    expect_counts(0, 1);
    /* It finds its bit cleared, and is a searcher whether it found work or not. */
    cr_assert(co__idle_leave(&idle, 2, false));
    expect_counts(0, 1);
}

Test(idle, nobody_is_woken_while_somebody_searches)
{
    co__idle_start(&idle, 4);
    (void)co__idle_sleep(&idle, 0, false, NULL);
    (void)co__idle_sleep(&idle, 1, false, NULL);
    cr_assert(co__idle_search(&idle));
    cr_assert_eq(co__idle_notify(&idle), -1);
    expect_counts(2, 1);
}

Test(idle, the_last_searcher_that_finds_work_wakes_the_next)
{
    co__idle_start(&idle, 4);
    (void)co__idle_sleep(&idle, 3, false, NULL);
    cr_assert(co__idle_search(&idle));
    cr_assert(co__idle_search(&idle));
    cr_assert_not(co__idle_found(&idle), "another still searches");
    cr_assert(co__idle_found(&idle));
    cr_assert_eq(co__idle_notify(&idle), 3);
}

Test(idle, at_most_half_of_the_workers_search)
{
    for (int workers = 1; workers <= 9; workers++) {
        int granted = 0;

        co__idle_start(&idle, workers);
        for (int i = 0; i < workers; i++)
            granted += co__idle_search(&idle);
        cr_assert_eq(granted, (workers + 1) / 2, "%d of %d", granted, workers);
    }
}

Test(idle, falling_asleep_gives_up_the_search_in_one_step)
{
    co__idle_start(&idle, 2);
    cr_assert(co__idle_search(&idle));
    (void)co__idle_sleep(&idle, 1, true, NULL);
    expect_counts(1, 0);
}

Test(idle, who_leaves_by_itself_searches_only_if_it_found_work)
{
    co__idle_start(&idle, 3);
    (void)co__idle_sleep(&idle, 1, false, NULL);
    cr_assert_not(co__idle_leave(&idle, 1, false));
    expect_counts(0, 0);
    (void)co__idle_sleep(&idle, 1, false, NULL);
    cr_assert(co__idle_leave(&idle, 1, true));
    expect_counts(0, 1);
    cr_assert_eq(co__idle_notify(&idle), -1, "its bit is gone");
}

Test(idle, a_named_worker_is_woken_though_others_search)
{
    co__idle_start(&idle, 200);
    (void)co__idle_sleep(&idle, 5, false, NULL);
    (void)co__idle_sleep(&idle, 130, false, NULL);
    cr_assert(co__idle_search(&idle));
    cr_assert(co__idle_wake(&idle, 130));
    cr_assert_not(co__idle_wake(&idle, 130));
    cr_assert_not(co__idle_wake(&idle, 131));
    expect_counts(1, 2);
    cr_assert(co__idle_leave(&idle, 130, false));
}

Test(idle, all_of_256_workers_can_sleep_and_each_is_woken)
{
    bool woken[CO__WORKERS_MAX] = {false};

    co__idle_start(&idle, CO__WORKERS_MAX);
    for (int i = 0; i < CO__WORKERS_MAX; i++)
        (void)co__idle_sleep(&idle, i, false, NULL);
    expect_counts(CO__WORKERS_MAX, 0);
    for (int i = 0; i < CO__WORKERS_MAX; i++) {
        int worker = co__idle_notify(&idle);

        cr_assert(worker >= 0 && worker < CO__WORKERS_MAX && !woken[worker]);
        woken[worker] = true;
        (void)co__idle_found(&idle); /* or nobody else would be woken */
    }
    expect_counts(0, 0);
}

static int asked;

static bool be_asked(void)
{
    asked++;
    return true;
}

Test(idle, the_last_one_to_fall_asleep_is_asked_whether_all_is_over)
{
    co__idle_start(&idle, 3);
    cr_assert_not(co__idle_sleep(&idle, 0, false, be_asked));
    cr_assert_not(co__idle_sleep(&idle, 1, false, be_asked));
    cr_assert_eq(asked, 0);
    cr_assert(co__idle_sleep(&idle, 2, false, be_asked));
    cr_assert_eq(asked, 1);
}

Test(idle, somebody_is_awake_until_all_sleep)
{
    uint32_t counts;

    co__idle_start(&idle, 2);
    cr_assert(co__idle_anyone_awake(&idle, &counts));
    (void)co__idle_sleep(&idle, 0, false, NULL);
    cr_assert(co__idle_anyone_awake(&idle, &counts));
    (void)co__idle_sleep(&idle, 1, false, NULL);
    cr_assert_not(co__idle_anyone_awake(&idle, &counts));
    cr_assert_eq(counts, atomic_load(&idle.counts));
    cr_assert_eq(co__idle_notify(&idle), 0);
    cr_assert(co__idle_anyone_awake(&idle, &counts));
}

Test(idle, news_between_the_watchdogs_look_and_its_sleep_keep_it_awake)
{
    int64_t start = co_now();

    co__idle_start(&idle, 1);
    (void)co__idle_sleep(&idle, 0, false, NULL);
    co__idle_doze_off(&idle);
    (void)co__idle_leave(&idle, 0, false); /* it wakes, has news, and sleeps again */
    (void)co__idle_sleep(&idle, 0, false, NULL);
    co__idle_doze(&idle, true, start + 10 * CO_SEC);
    cr_assert(co_now() < start + 5 * CO_SEC);
    co__idle_doze_off(&idle);
    co__idle_tell(&idle);
    co__idle_doze(&idle, true, start + 10 * CO_SEC);
    cr_assert(co_now() < start + 5 * CO_SEC);
    cr_assert_eq(atomic_load(&idle.dozing), 0);
}

/* ---- no wake-up is lost ---- */

enum { WORKERS = 3 };

static _Atomic int work, done;
static _Atomic uint32_t bells[WORKERS];
static int total;

/* A worker in short: takes work, else sleeps as nap() does, until its bell rings. */
static void *work_and_sleep(void *arg)
{
    int me = (int)(intptr_t)arg;

    while (atomic_load(&done) < total) {
        int left = atomic_load(&work);

        if (left > 0) {
            if (atomic_compare_exchange_strong(&work, &left, left - 1))
                atomic_fetch_add(&done, 1);
            continue;
        }
        (void)co__idle_sleep(&idle, me, false, NULL);
        if (atomic_load(&work) == 0 && atomic_load(&done) < total) {
            while (atomic_load(&bells[me]) == 0)
                (void)sched_yield();
            atomic_store(&bells[me], 0);
        }
        if (co__idle_leave(&idle, me, atomic_load(&work) > 0) && co__idle_found(&idle)) {
            int next = co__idle_notify(&idle);

            if (next >= 0)
                atomic_store(&bells[next], 1);
        }
    }
    for (int i = 0; i < WORKERS; i++)
        atomic_store(&bells[i], 1); /* it is over: let everybody see it */
    return NULL;
}

Test(idle, work_that_is_published_before_the_counts_are_read_is_always_done)
{
    pthread_t threads[WORKERS];

    total = fewer(30000);
    co__idle_start(&idle, WORKERS);
    for (intptr_t i = 0; i < WORKERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, work_and_sleep, (void *)i), 0);
    for (int i = 0; i < total; i++) {
        int target;

        atomic_fetch_add(&work, 1);
        target = co__idle_notify(&idle);
        if (target >= 0)
            atomic_store(&bells[target], 1);
        while (atomic_load(&done) < i) /* one at a time: nobody else makes up for a lost one */
            (void)sched_yield();
    }
    for (int i = 0; i < WORKERS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_eq(done, total);
}
