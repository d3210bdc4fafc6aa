/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_sem.c - semaphores: permits are handed over in turn, and none is lost or made.
 */
#include <co/sem.h>

#include "sync_help.h"

TestSuite(sem, .timeout = 30);

static struct co_sem sem;

static int take_and_note(void *arg)
{
    return note_if_won(co_sem_take(&sem), arg);
}

/* ---- order ---- */

static int in_turn(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < CROWD; i++)
        start_asleep(&group, take_and_note, numbered(i));
    for (int i = 1; i <= CROWD; i++) {
        co_sem_give(&sem, 1);
        until(&noted_count, i);
    }
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(CROWD));
    return 0;
}

Test(sem, serves_in_the_order_of_coming)
{
    run_on(2, in_turn, NULL);
}

static int nobody_overtakes(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    start_asleep(&group, take_and_note, numbered(0));
    co_sem_give(&sem, 1);
    CHECK(co_sem_try(&sem) == -EAGAIN); /* it is the sleeper's, who has not even run */
    CHECK(co_group_wait(&group) == 0);
    co_sem_give(&sem, 3);
    for (int i = 0; i < 3; i++)
        CHECK(co_sem_try(&sem) == 0);
    CHECK(co_sem_try(&sem) == -EAGAIN);
    return 0;
}

Test(sem, a_permit_goes_to_the_waiter_and_not_to_who_comes_later)
{
    run_on(1, nobody_overtakes, NULL);
    run_on(2, nobody_overtakes, NULL);
}

static int give_many(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < 3; i++)
        start_asleep(&group, take_and_note, numbered(i));
    co_sem_give(&sem, 5);
    CHECK(co_group_wait(&group) == 0);
    CHECK(co_sem_try(&sem) == 0 && co_sem_try(&sem) == 0);
    CHECK(co_sem_try(&sem) == -EAGAIN);
    co_sem_done(&sem);
    co_sem_done(NULL);
    return 0;
}

Test(sem, many_permits_serve_the_waiters_and_the_rest_stays)
{
    run_on(2, give_many, NULL);
}

/* ---- what ends a wait ---- */

static int out_of_time(void *arg)
{
    (void)arg;
    co_sem_init(&sem, 1);
    {
        CO_DEADLINE(0);
        CHECK(co_sem_take(&sem) == -ETIMEDOUT);
    }
    CHECK(co_sem_try(&sem) == 0); /* it was left alone */
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_sem_take(&sem) == -ETIMEDOUT);
        CHECK(co_left() == 0);
    }
    co_sem_give(&sem, 1);
    CHECK(co_sem_try(&sem) == 0); /* whoever gave up gets nothing */
    return 0;
}

Test(sem, a_deadline_counts_at_entry_and_while_waiting)
{
    run_on(2, out_of_time, NULL);
}

static int take_cancelled(void *arg)
{
    (void)arg;
    CHECK(co_sem_take(&sem) == -ECANCELED); /* while waiting */
    CHECK(co_sem_take(&sem) == -ECANCELED); /* at entry */
    return 0;
}

static int cancelled(void *arg)
{
    CO_GROUP(group);
    CO_GROUP(others);

    (void)arg;
    start_asleep(&group, take_cancelled, NULL);
    start_asleep(&others, take_and_note, numbered(0));
    co_group_cancel(&group);
    co_sem_give(&sem, 1);
    CHECK(co_group_wait(&others) == 0);
    CHECK(co_group_close(&group) == 0);
    CHECK(noted_in_order(1));
    CHECK(co_sem_try(&sem) == -EAGAIN);
    return 0;
}

Test(sem, a_cancelled_waiter_leaves_its_turn_to_the_next)
{
    run_on(2, cancelled, NULL);
}

/* ---- plain threads ---- */

static void give_one(void *arg)
{
    co_sem_give(arg, 1);
    CHECK(co_sem_take(arg) == -EPERM);
}

static int given_from_outside(void *arg)
{
    (void)arg;
    woken_from_outside(take_and_note, give_one, &sem);
    return 0;
}

Test(sem, plain_threads_may_give_but_not_wait)
{
    run_on(2, given_from_outside, NULL);
    co_sem_give(&sem, 1); /* where no runtime runs, too */
    cr_assert_eq(co_sem_try(&sem), 0);
}

/* ---- whose memory it is ---- */

/* Takes a permit of a semaphore of its own, and frees that. */
static int take_and_free(void *arg)
{
    struct co_sem *own = arg;
    int r = co_sem_take(own);

    co_sem_done(own);
    free(own);
    return r;
}

static void give_two(void *arg)
{
    co_sem_give(arg, 2);
}

static int ended_by_the_waiter(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        struct co_sem *own = calloc(1, sizeof *own);
        CO_GROUP(group);

        CHECK(own != NULL);
        start_asleep(&group, take_and_free, own);
        on_plain_thread(give_two, own);
        CHECK(co_group_wait(&group) == 0);
    }
    return 0;
}

Test(sem, who_is_served_may_end_it_though_more_was_given)
{
    run_on(WORKERS, ended_by_the_waiter, numbered(fewer(40)));
}

/* ---- all at once ---- */

static _Atomic int64_t taken;

static int take_some(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        CO_DEADLINE((i % 4) * 50 * CO_US);
        int r = co_sem_take(&sem);

        if (r == 0)
            atomic_fetch_add(&taken, 1);
        if (r == -ECANCELED)
            break;
    }
    return 0;
}

static void give_some(void *arg)
{
    for (int i = 0; i < number_of(arg); i++)
        co_sem_give(&sem, 1 + i % 3);
}

static int rounds(void *arg)
{
    int64_t given = 0;
    int64_t left = 0;

    for (int i = 0; i < number_of(arg); i++) {
        CO_GROUP(group);
        int gifts = 1 + i % 20;

        for (int k = 0; k < CROWD; k++)
            CHECK(co_group_go(&group, take_some, numbered(10)) == 0);
        for (int k = 0; k < gifts; k++)
            given += 1 + k % 3;
        if (i % 8 == 0)
            on_plain_thread(give_some, numbered(gifts));
        else
            give_some(numbered(gifts));
        if (i % 3 == 0)
            co_group_cancel(&group); /* in the midst of their waits */
        CHECK(co_group_wait(&group) == 0);
    }
    while (co_sem_try(&sem) == 0)
        left++;
    CHECK(atomic_load(&taken) > 0);
    CHECK(atomic_load(&taken) + left == given);
    return 0;
}

Test(sem, no_permit_is_lost_or_made_by_deadlines_and_cancels)
{
    run_on(WORKERS, rounds, numbered(fewer(400)));
}
