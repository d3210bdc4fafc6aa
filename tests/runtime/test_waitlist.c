/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_waitlist.c - the list of sleepers, by a primitive made for the purpose. */
#include <co/waitlist.h>

#include "sync_help.h"

TestSuite(waitlist, .timeout = 30);

static struct co_latch latch;
static struct co_waitlist list;

static int sleep_in_it(void *arg)
{
    struct co_waiter waiter;
    int r = co_waitlist_park(&list, &latch, &waiter, NULL, NULL, 0);

    if (r >= 0)
        note(r == 1000 ? number_of(arg) : -1);
    return r < 0 ? r : 0;
}

static struct co_claimed claim_all(int result)
{
    struct co_claimed claimed;

    co_latch_take(&latch);
    claimed = co_waitlist_claim_all(&list, result);
    CHECK(!list.head && !list.tail);
    co_latch_give(&latch);
    return claimed;
}

static int wake_all(void *arg)
{
    CO_GROUP(group);
    struct co_claimed claimed;

    (void)arg;
    for (int i = 0; i < CROWD; i++)
        start_asleep(&group, sleep_in_it, numbered(i));
    claimed = claim_all(1000);
    CHECK(claimed.first && claimed.last);
    co_waitlist_finish(&claimed);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&noted_count) == CROWD);
    claimed = claim_all(1000);
    CHECK(!claimed.first);
    co_waitlist_finish(&claimed);
    return 0;
}

Test(waitlist, all_that_wait_are_claimed_and_woken_once)
{
    run_on(1, wake_all, NULL);
    atomic_store(&noted_count, 0);
    run_on(WORKERS, wake_all, NULL);
}

static _Atomic int refused;

static int small_result(void *arg)
{
    struct co_waiter waiter;
    int r = co_waitlist_park(&list, &latch, &waiter, NULL, NULL, 0);

    (void)arg;
    CHECK(r == 1);
    return 0;
}

static int pass_one(void *arg)
{
    CO_GROUP(group);
    struct co_claimed claimed;

    (void)arg;
    start_asleep(&group, small_result, NULL);
    claimed = claim_all(1);
    co_waitlist_finish(&claimed);
    return co_group_wait(&group);
}

Test(waitlist, any_result_that_is_not_negative_reaches_the_sleeper)
{
    run_on(2, pass_one, NULL);
}

/*
 * The last look, at the worst of times: the sleeper can be claimed already, and cancel does so;
 * then the look succeeds.
 */
static int take_while_cancelled(void *obj, struct co_waiter *waiter)
{
    (void)waiter;
    co_group_cancel(obj);
    atomic_fetch_add(&refused, 1);
    return 1;
}

static int look_last(void *arg)
{
    struct co_waiter waiter;
    int r = co_waitlist_park(&list, &latch, &waiter, take_while_cancelled, arg, 0);

    CHECK(r == 0);
    CHECK(co_check() == -ECANCELED); /* the cancel is not lost */
    return 0;
}

static int cancel_in_the_last_look(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_go(&group, look_last, &group) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_exchange(&refused, 0) == 1);
    return 0;
}

Test(waitlist, what_the_last_look_took_is_taken_though_a_cancel_came_first)
{
    run_on(1, cancel_in_the_last_look, NULL);
    run_on(2, cancel_in_the_last_look, NULL);
}
