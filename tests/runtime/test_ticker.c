/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_ticker.c - ticks come at fixed times, none early, none uncounted. */
#include <co/ticker.h>

#include "support/clock.h"
#include "support/run.h"
#include <co/group.h>

TestSuite(ticker, .timeout = 30, .init = clock_winds_itself);

/* Starts a ticker. Returns: when its first tick is due. */
static int64_t begin(struct co_ticker *ticker, int64_t period)
{
    CHECK(co_ticker_init(ticker, period) == 0);
    CHECK(ticker->next == co_now() + period);
    return ticker->next;
}

static int count_ticks(void *arg)
{
    enum { PERIOD = 300 * CO_US };
    struct co_ticker ticker;
    int64_t first = begin(&ticker, PERIOD);
    int64_t ticks = 0;

    (void)arg;
    for (int i = 0; i < 100; i++) {
        int64_t missed = co_ticker_wait(&ticker);

        CHECK(missed >= 0);
        ticks += 1 + missed;
        CHECK(ticks == 1 + (co_now() - first) / PERIOD); /* all that are due, and no other */
        CHECK(ticker.next == first + ticks * PERIOD);    /* in step, whatever came between */
        seem_to_compute(i % 4 * 200 * CO_US);
        if (i % 5 == 0)
            CHECK(co_sleep(100 * CO_US) == 0);
    }
    return 0;
}

Test(ticker, ticks_are_in_step_with_the_first_however_long_the_rounds_take)
{
    run_on(2, count_ticks, NULL);
}

static int miss_some(void *arg)
{
    struct co_ticker ticker;
    int64_t first = begin(&ticker, CO_MS);

    (void)arg;
    seem_to_compute(6 * CO_MS);
    CHECK(co_ticker_wait(&ticker) == 5);
    CHECK(ticker.next == first + 6 * CO_MS);
    CHECK(co_ticker_wait(&ticker) == 0);
    CHECK(co_now() == first + 6 * CO_MS);
    return 0;
}

Test(ticker, who_is_late_learns_how_many_were_missed)
{
    run_on(1, miss_some, NULL);
}

static int run_out_of_time(void *arg)
{
    struct co_ticker ticker;
    int64_t next = begin(&ticker, 3600 * CO_SEC);

    (void)arg;
    {
        CO_DEADLINE(3599 * CO_SEC);
        CHECK(co_ticker_wait(&ticker) == -ETIMEDOUT);
        CHECK(co_ticker_wait(&ticker) == -ETIMEDOUT);
    }
    CHECK(ticker.next == next); /* no tick was used up */
    CHECK(co_ticker_wait(&ticker) == 0);
    {
        CO_DEADLINE(3601 * CO_SEC);
        CHECK(co_ticker_wait(&ticker) == 0);
    }
    CHECK(co_now() == next + 3600 * CO_SEC);
    return 0;
}

Test(ticker, a_deadline_that_comes_first_ends_the_wait)
{
    run_on(1, run_out_of_time, NULL);
}

static int tick_for_ever(void *arg)
{
    struct co_ticker ticker;
    int64_t missed;

    CHECK(co_ticker_init(&ticker, *(int64_t *)arg) == 0);
    while ((missed = co_ticker_wait(&ticker)) >= 0)
        continue;
    return (int)missed;
}

static int cancel_them(void *arg)
{
    int64_t periods[] = {1, CO_US, 3600 * CO_SEC, CO_NEVER};
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < 4; i++)
        CHECK(co_group_go(&group, tick_for_ever, &periods[i]) == 0);
    CHECK(co_sleep(5 * CO_US) == 0);
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == -ECANCELED);
    return 0;
}

Test(ticker, a_cancel_ends_the_wait_however_short_the_period_is)
{
    run_on(2, cancel_them, NULL);
}

static int wait_for_none(void *arg)
{
    struct co_ticker ticker = {0};

    (void)arg;
    CHECK(co_ticker_wait(&ticker) == -EINVAL);
    CHECK(co_ticker_init(&ticker, 0) == -EINVAL);
    CHECK(co_ticker_init(&ticker, -CO_SEC) == -EINVAL);
    CHECK(co_ticker_wait(&ticker) == -EINVAL);
    return 0;
}

Test(ticker, a_period_is_positive_and_waiting_is_for_coroutines)
{
    struct co_ticker ticker;

    run_on(1, wait_for_none, NULL);
    cr_assert_eq(co_ticker_init(&ticker, CO_MS), 0);
    cr_assert_eq(co_ticker_wait(&ticker), -EPERM);
}
