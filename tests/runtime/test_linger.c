/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_linger.c - when a thread waits awake, and when it has had enough of that. */
#include "linger.h"

#include "support/run.h"

TestSuite(linger, .timeout = 30);

#define US     CO_US
#define AWHILE (CO_SEC) /* in which every period is over */

static struct co__linger linger;
static int64_t now;

static void sleep_for(int64_t spent, bool rung)
{
    co__linger_slept(&linger, rung, now, now + spent);
    now += spent;
}

static void try_for(int64_t spent, bool rung)
{
    co__linger_tried(&linger, rung, now, now + spent);
    now += spent;
}

static void begin(void)
{
    linger = (struct co__linger){0};
    now = AWHILE;
}

/* Sleeps briefly until it would wait awake. Returns: how long that took. */
static int64_t sleep_until_it_lingers(void)
{
    int64_t begun = now;

    for (int i = 0; i < 100000 && co__linger_span(&linger) == 0; i++)
        sleep_for(20 * US, true);
    cr_assert_gt(co__linger_span(&linger), 20 * US, "as long as a sleep has lasted");
    return now - begun;
}

Test(linger, a_thread_that_sleeps_for_long_or_for_events_never_waits_awake)
{
    begin();
    for (int i = 0; i < 1000; i++) {
        sleep_for(20 * US, false);
        cr_assert_eq(co__linger_span(&linger), 0);
        sleep_for(AWHILE, true);
        cr_assert_eq(co__linger_span(&linger), 0);
    }
    for (int i = 0; i < 1000; i++) {
        sleep_for(20 * US, i % 2 == 0); /* rings and events by turns */
        cr_assert_eq(co__linger_span(&linger), 0);
    }
}

Test(linger, short_sleeps_ended_by_rings_make_it_wait_awake)
{
    begin();
    cr_assert_leq(sleep_until_it_lingers(), 60 * US);
}

Test(linger, it_goes_on_while_rings_come_at_once_and_waits_no_longer_than_for_them)
{
    begin();
    (void)sleep_until_it_lingers();
    for (int i = 0; i < 1000; i++) {
        try_for(US, true);
        cr_assert_gt(co__linger_span(&linger), US);
        cr_assert_lt(co__linger_span(&linger), 10 * US);
    }
}

Test(linger, a_ring_that_fails_to_come_now_and_then_does_not_end_it)
{
    begin();
    (void)sleep_until_it_lingers();
    for (int i = 0; i < 1000; i++) {
        for (int j = 0; j < 20; j++)
            try_for(US, true);
        try_for(co__linger_span(&linger), false);
        cr_assert_gt(co__linger_span(&linger), 20 * US, "until whoever has to ring is woken");
    }
}

Test(linger, a_thread_that_is_left_alone_soon_sleeps_at_once)
{
    int tries = 0;

    begin();
    (void)sleep_until_it_lingers();
    for (int i = 0; i < 1000; i++)
        try_for(US, true);
    while (co__linger_span(&linger) > 0 && ++tries <= 100)
        try_for(co__linger_span(&linger), false);
    cr_assert_leq(tries, 5);
}

/* What it spends on tries that are for nothing, of the time in which it sleeps briefly. */
static double share_wasted(bool rung, int64_t spent)
{
    int64_t begun = now;
    int64_t wasted = 0;

    while (now - begun < 10 * CO_SEC) {
        (void)sleep_until_it_lingers();
        while (co__linger_span(&linger) > 0) {
            try_for(spent, rung);
            wasted += spent;
        }
    }
    return (double)wasted / (double)(now - begun);
}

Test(linger, tries_that_are_for_nothing_cost_hardly_anything)
{
    begin();
    cr_assert_lt(share_wasted(false, 50 * US), 0.005);
    begin();
    cr_assert_lt(share_wasted(true, 45 * US), 0.01); /* rung, but a sleep would have cost less */
}

Test(linger, two_that_have_failed_unequally_often_begin_at_the_same_moment)
{
    struct co__linger other = {0};
    int together = 0;

    begin();
    for (int i = 0; i < 5; i++) { /* one has failed five times, the other never */
        (void)sleep_until_it_lingers();
        while (co__linger_span(&linger) > 0)
            try_for(50 * US, false);
    }
    for (int i = 0; i < 100000 && together == 0; i++) {
        if (co__linger_span(&linger) == 0)
            co__linger_slept(&linger, true, now, now + 40 * US);
        else
            co__linger_tried(&linger, true, now, now + 25 * US);
        if (co__linger_span(&other) == 0)
            co__linger_slept(&other, true, now, now + 40 * US);
        else
            co__linger_tried(&other, true, now, now + 25 * US);
        now += 40 * US;
        together = co__linger_span(&linger) > 0 && co__linger_span(&other) > 0;
    }
    cr_assert(together);
}
