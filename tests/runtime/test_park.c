/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_park.c - park, claim, finish; what ends a park, and what does not. */
#include <co/park.h>

#include "support/run.h"
#include <sched.h>

TestSuite(park, .timeout = 30);

static _Atomic co_ticket published;

static int publish(co_ticket self, void *arg)
{
    (void)arg;
    atomic_store(&published, self);
    return 0;
}

/* The ticket that a parked coroutine has published, once it has. */
static co_ticket next_ticket(void)
{
    co_ticket ticket;

    while ((ticket = atomic_exchange(&published, 0)) == 0)
        (void)co_yield();
    return ticket;
}

static _Atomic int sleeper_result, sleepers_done;
static unsigned sleeper_flags;

static void sleeper(void *arg)
{
    (void)arg;
    atomic_store(&sleeper_result, co_park(publish, NULL, sleeper_flags));
    atomic_fetch_add(&sleepers_done, 1);
}

/* ---- waking ---- */

static int wake_with_a_result(void *arg)
{
    co_ticket ticket;

    (void)arg;
    for (int i = 1; i <= 100; i++) {
        start(sleeper, NULL);
        ticket = next_ticket();
        CHECK(co_unpark(ticket, i));
        CHECK(!co_unpark(ticket, 1000));
        until(&sleepers_done, i);
        CHECK(atomic_load(&sleeper_result) == i);
        CHECK(!co_claim(ticket, 1000));
    }
    return 0;
}

Test(park, returns_what_its_one_waker_said)
{
    run_on(2, wake_with_a_result, NULL);
}

static int value;

static int hand_over(void *arg)
{
    co_ticket ticket;

    (void)arg;
    start(sleeper, NULL);
    ticket = next_ticket();
    CHECK(co_claim(ticket, 7));
    for (int i = 0; i < 200; i++)
        (void)co_yield();
    CHECK(atomic_load(&sleepers_done) == 0); /* claimed is not woken */
    value = 42;
    co_finish(ticket);
    until(&sleepers_done, 1);
    CHECK(atomic_load(&sleeper_result) == 7);
    return 0;
}

Test(park, a_claimed_sleeper_sleeps_until_the_winner_has_finished)
{
    run_on(2, hand_over, NULL);
}

Test(park, a_ticket_of_nobody_wins_nothing)
{
    cr_assert_not(co_claim(0, 1));
    cr_assert_not(co_unpark(0, 1));
}

static int park_twice(void *arg)
{
    co_ticket first;

    (void)arg;
    start(sleeper, NULL);
    first = next_ticket();
    CHECK(co_unpark(first, 1));
    until(&sleepers_done, 1);
    /* The record is used again, most likely: the old ticket must not end the new park. */
    start(sleeper, NULL);
    (void)next_ticket();
    CHECK(!co_unpark(first, 5));
    for (int i = 0; i < 100; i++)
        (void)co_yield();
    CHECK(atomic_load(&sleepers_done) == 1);
    return 0;
}

static int park_twice_in_one_life(void *arg)
{
    co_ticket mine[2] = {0, 0};

    (void)arg;
    for (int i = 0; i < 2; i++) {
        while (!mine[i]) { /* none if the deadline has passed before it begins */
            CO_DEADLINE(CO_MS);
            CHECK(co_park(publish, NULL, 0) == -ETIMEDOUT);
            mine[i] = atomic_exchange(&published, 0);
        }
        CHECK(!co_unpark(mine[i], 1));
    }
    CHECK(mine[0] != mine[1] && mine[0] >> 36 == mine[1] >> 36);
    return 0;
}

static int stale(void *arg)
{
    CHECK(park_twice_in_one_life(arg) == 0);
    CHECK(park_twice(arg) == 0);
    /* Whoever is left asleep is ended by the stop. */
    co_stop();
    return 0;
}

Test(park, a_stale_ticket_ends_no_later_park)
{
    cr_assert_eq(run_and_stop(2, 50 * CO_MS, stale), 0);
    cr_assert_eq(sleeper_result, -ECANCELED);
}

/* ---- commit ---- */

static int refuse(co_ticket self, void *arg)
{
    atomic_store(&published, self);
    return *(int *)arg;
}

static int claim_myself(co_ticket self, void *arg)
{
    *(bool *)arg = co_unpark(self, 9);
    return 5; /* refused, but somebody was first */
}

static int wake_myself(co_ticket self, void *arg)
{
    *(bool *)arg = co_unpark(self, 11);
    return 0;
}

static int commits(void *arg)
{
    const int answers[] = {1, -EAGAIN, 77};
    bool won = false;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        int answer = answers[i];

        CHECK(co_park(refuse, &answer, 0) == answer);
        CHECK(!co_unpark(atomic_load(&published), 1));
    }
    CHECK(co_park(claim_myself, &won, 0) == 9 && won);
    CHECK(co_park(wake_myself, &won, 0) == 11 && won);
    return 0;
}

Test(park, a_commit_that_refuses_ends_the_park_unless_somebody_was_first)
{
    run_on(1, commits, NULL);
    run_on(3, commits, NULL);
}

/* ---- deadline ---- */

static int deadlines(void *arg)
{
    int64_t begun = co_now();

    (void)arg;
    {
        CO_DEADLINE(0);
        CHECK(co_park(publish, NULL, 0) == -ETIMEDOUT);
        CHECK(co_check() == -ETIMEDOUT);
    }
    CHECK(co_now() - begun < 5 * CO_SEC);
    begun = co_now();
    {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_park(publish, NULL, 0) == -ETIMEDOUT);
    }
    CHECK(co_now() - begun >= 20 * CO_MS);
    CHECK(co_now() - begun < 5 * CO_SEC);
    CHECK(co_check() == 0);
    return 0;
}

Test(park, ends_at_the_deadline_and_not_before)
{
    run_on(2, deadlines, NULL);
}

static void sleep_past_deadline(void *arg)
{
    (void)arg;
    CO_DEADLINE(CO_MS);
    atomic_store(&sleeper_result, co_park(publish, NULL, CO_PARK_NO_DEADLINE));
    CHECK(co_check() == -ETIMEDOUT); /* it counts again */
    atomic_fetch_add(&sleepers_done, 1);
}

static int ignore_deadline(void *arg)
{
    co_ticket ticket;

    (void)arg;
    start(sleep_past_deadline, NULL);
    ticket = next_ticket();
    CHECK(co_sleep(20 * CO_MS) == 0);
    CHECK(atomic_load(&sleepers_done) == 0);
    CHECK(co_unpark(ticket, 3));
    until(&sleepers_done, 1);
    CHECK(atomic_load(&sleeper_result) == 3);
    return 0;
}

Test(park, may_let_the_deadline_pass)
{
    run_on(2, ignore_deadline, NULL);
}

/* ---- cancel ---- */

static void sleep_through_cancel(void *arg)
{
    int r;

    (void)arg;
    r = co_park(publish, NULL, CO_PARK_NO_CANCEL);
    CHECK(r == 4);
    CHECK(co_park(publish, NULL, 0) == -ECANCELED); /* sticky */
    CHECK(co_check() == -ECANCELED);
    {
        CO_DEADLINE(0);
        CHECK(co_check() == -ECANCELED);
    }
    atomic_fetch_add(&sleepers_done, 1);
}

static void *wake_after_the_grace(void *arg)
{
    co_ticket ticket = *(co_ticket *)arg;

    while (atomic_load(&sleepers_done) < 1)
        (void)sched_yield();
    compute(20 * CO_MS);
    CHECK(atomic_load(&sleepers_done) == 1);
    CHECK(co_unpark(ticket, 4));
    return NULL;
}

static co_ticket uncancelled;
static pthread_t waker;

static int cancelled(void *arg)
{
    (void)arg;
    start(sleep_through_cancel, NULL);
    uncancelled = next_ticket();
    start(sleeper, NULL);
    (void)next_ticket();
    CHECK(pthread_create(&waker, NULL, wake_after_the_grace, &uncancelled) == 0);
    co_stop();
    return 0;
}

Test(park, is_ended_by_cancel_unless_it_may_not_be)
{
    cr_assert_eq(run_and_stop(2, 200 * CO_MS, cancelled), 0);
    cr_assert_eq(pthread_join(waker, NULL), 0);
    cr_assert_eq(sleeper_result, -ECANCELED);
    cr_assert_eq(sleepers_done, 2);
}

/* ---- not in a coroutine ---- */

Test(park, is_for_coroutines_only)
{
    cr_assert_eq(co_park(publish, NULL, 0), -EPERM);
    cr_assert_eq(co_check(), -EPERM);
    cr_assert_eq(published, 0);
}

static int park_in_commit(co_ticket self, void *arg)
{
    (void)self;
    *(int *)arg = co_park(publish, NULL, 0);
    return 1;
}

static int commit_is_no_coroutine(void *arg)
{
    int inner = 0;

    (void)arg;
    CHECK(co_park(park_in_commit, &inner, 0) == 1);
    CHECK(inner == -EPERM);
    return 0;
}

Test(park, a_commit_function_must_not_suspend)
{
    run_on(1, commit_is_no_coroutine, NULL);
}

/* ---- many claimers from plain threads ---- */

enum { CLAIMERS = 4 };

static struct {
    _Atomic co_ticket ticket;
    _Atomic int round;
    _Atomic int wins;
    co_ticket claimed; /* plain, both: written between claim and finish, read after the wake-up */
    int value;
    _Atomic bool over;
} race;

static void *claimer(void *arg)
{
    int me = (int)(intptr_t)arg + 1;
    int round = 0;

    while (!atomic_load(&race.over)) {
        co_ticket ticket;

        if (atomic_load(&race.round) == round) {
            (void)sched_yield();
            continue;
        }
        round = atomic_load(&race.round);
        ticket = atomic_load(&race.ticket);
        if (co_claim(ticket, me)) {
            atomic_fetch_add(&race.wins, 1);
            race.claimed = ticket;
            race.value = me;
            co_finish(ticket);
        }
    }
    return NULL;
}

static int offer(co_ticket self, void *arg)
{
    (void)arg;
    atomic_store(&race.ticket, self);
    atomic_fetch_add(&race.round, 1);
    return 0;
}

static int be_raced_for(void *arg)
{
    int rounds = *(int *)arg;
    pthread_t threads[CLAIMERS];

    for (intptr_t i = 0; i < CLAIMERS; i++)
        CHECK(pthread_create(&threads[i], NULL, claimer, (void *)i) == 0);
    for (int i = 1; i <= rounds; i++) {
        int r;

        if (i % 4 == 0) { /* the deadline is one more claimer */
            CO_DEADLINE(20 * CO_US);
            r = co_park(offer, NULL, 0);
        } else {
            r = co_park(offer, NULL, 0);
        }
        if (r == -ETIMEDOUT)
            continue;
        CHECK(r >= 1 && r <= CLAIMERS);
        CHECK(race.claimed == atomic_load(&race.ticket)); /* perhaps by who saw the round before */
        CHECK(race.value == r);
        CHECK(atomic_exchange(&race.wins, 0) == 1);
    }
    atomic_store(&race.over, true);
    for (int i = 0; i < CLAIMERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}

Test(park, of_many_claimers_one_wins_and_its_value_arrives)
{
    int rounds = fewer(20000);

    run_on(2, be_raced_for, &rounds);
}

/* ---- tickets passed around between coroutines ---- */

enum { RING = 50 };

static _Atomic co_ticket seats[RING];
static _Atomic int turns, leaving;
static int turns_wanted;

static int sit(co_ticket self, void *arg)
{
    atomic_store((_Atomic co_ticket *)arg, self);
    return 0;
}

static void wake_seat(int i)
{
    co_ticket ticket;

    while ((ticket = atomic_exchange(&seats[i], 0)) == 0)
        (void)co_yield();
    CHECK(co_unpark(ticket, 0));
}

static void in_the_ring(void *arg)
{
    int me = (int)(intptr_t)arg;

    for (;;) {
        CHECK(co_park(sit, &seats[me], 0) == 0);
        if (atomic_fetch_add(&turns, 1) >= turns_wanted)
            break;
        wake_seat((me + 1) % RING);
    }
    /* The first to leave wakes the next, who leaves too, and so on. */
    if (atomic_fetch_add(&leaving, 1) < RING - 1)
        wake_seat((me + 1) % RING);
}

static int ring(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < RING; i++)
        start(in_the_ring, (void *)i);
    wake_seat(0);
    return 0;
}

Test(park, a_token_goes_round_a_ring_of_sleepers_without_being_lost)
{
    turns_wanted = fewer(50000);
    run_on(4, ring, NULL);
    cr_assert_eq(turns, turns_wanted + RING);
    cr_assert_eq(leaving, RING);
}
