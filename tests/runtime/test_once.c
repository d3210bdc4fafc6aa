/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_once.c - done once, before anybody goes on; failures are the next one's turn.
 */
#include <co/once.h>

#include "sync_help.h"

TestSuite(once, .timeout = 30);

static struct co_once once;
static int made; /* plain: the once is all that publishes it */
static _Atomic int tries;
static _Atomic int may_end;

static int make(void *arg)
{
    atomic_fetch_add(&tries, 1);
    for (int i = 0; i < 10; i++)
        (void)co_yield(); /* let the others come */
    made++;
    return number_of(arg);
}

static int use(void *arg)
{
    int r = co_once_do(&once, make, arg);

    CHECK(r == 0 && made == 1);
    return r;
}

static int crowd(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        CO_GROUP(group);

        once = (struct co_once){0};
        made = 0;
        atomic_store(&tries, 0);
        for (int k = 0; k < CROWD; k++)
            CHECK(co_group_go(&group, use, numbered(k)) == 0);
        CHECK(co_group_wait(&group) == 0);
        CHECK(atomic_load(&tries) == 1);
        CHECK(use(NULL) == 0);
    }
    return 0;
}

Test(once, one_of_many_does_it_and_all_see_what_it_did)
{
    cr_assert_eq(co_once_do(&once, make, NULL), -EPERM);
    run_on(WORKERS, crowd, numbered(fewer(2000)));
}

static int fail_once(void *arg)
{
    int try = atomic_fetch_add(&tries, 1);

    (void)arg;
    if (try > 0)
        return 0;
    until(&may_end, 1);
    return -EIO;
}

static int attempt(void *arg)
{
    int r = co_once_do(&once, fail_once, arg);

    CHECK(r == 0 || (r == -EIO && number_of(arg) == 0));
    note(number_of(arg));
    return r;
}

static int hand_on(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_go(&group, attempt, numbered(0)) == 0);
    until(&tries, 1);
    start_asleep(&group, attempt, numbered(1));
    start_asleep(&group, attempt, numbered(2));
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_once_do(&once, fail_once, NULL) == -ETIMEDOUT);
    }
    atomic_store(&may_end, 1);
    CHECK(co_group_wait(&group) == -EIO);
    CHECK(atomic_load(&tries) == 2 && atomic_load(&noted_count) == 3);
    CHECK(co_once_do(&once, fail_once, NULL) == 0);
    CHECK(atomic_load(&tries) == 2);
    return 0;
}

Test(once, a_failure_is_its_callers_and_the_next_one_tries_again)
{
    run_on(2, hand_on, NULL);
}

static int fail_always(void *arg)
{
    (void)arg;
    return -ENOENT;
}

static int nobody_waits(void *arg)
{
    (void)arg;
    CHECK(co_once_do(&once, fail_always, NULL) == -ENOENT);
    CHECK(co_once_do(&once, fail_always, NULL) == -ENOENT);
    {
        CO_DEADLINE(0);
        CHECK(co_once_do(&once, make, NULL) == -ETIMEDOUT && made == 0);
    }
    CHECK(use(NULL) == 0);
    return 0;
}

Test(once, after_a_failure_that_nobody_waited_for_it_is_as_new)
{
    run_on(1, nobody_waits, NULL);
}

static void see_it_done(void *arg)
{
    CHECK(co_once_do(&once, fail_always, arg) == 0 && made == 1);
}

static int too_late_to_matter(void *arg)
{
    (void)arg;
    CHECK(co_check() == -ECANCELED);
    see_it_done(NULL);
    {
        CO_DEADLINE(0);
        see_it_done(NULL);
    }
    return 0;
}

static int done_already(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(use(NULL) == 0);
    CHECK(co_group_go(&group, too_late_to_matter, NULL) == 0);
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == 0);
    on_plain_thread(see_it_done, NULL);
    return 0;
}

Test(once, what_is_done_is_so_for_cancelled_ones_and_plain_threads_too)
{
    run_on(2, done_already, NULL);
    see_it_done(NULL);
}

static int die_hard(void *arg)
{
    int try = atomic_fetch_add(&tries, 1);

    return number_of(arg) && try < 3 ? -EAGAIN : 0;
}

static int try_it(void *arg)
{
    int r = co_once_do(&once, die_hard, arg);

    CHECK(r == 0 || r == -EAGAIN || r == -ECANCELED);
    return 0;
}

static int with_cancels(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        CO_GROUP(group);
        CO_GROUP(others);

        once = (struct co_once){0};
        atomic_store(&tries, 0);
        for (int k = 0; k < CROWD; k++)
            CHECK(co_group_go(k % 2 ? &group : &others, try_it, numbered(1)) == 0);
        co_group_cancel(&others);
        CHECK(co_group_wait(&group) == 0);
        CHECK(co_group_close(&others) == 0);
        CHECK(co_once_do(&once, die_hard, NULL) == 0);
    }
    return 0;
}

Test(once, turns_are_not_lost_among_failures_and_cancels)
{
    run_on(WORKERS, with_cancels, numbered(fewer(2000)));
}
