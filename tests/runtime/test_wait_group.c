/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_wait_group.c - waiting for a number of things. */
#include <co/wait_group.h>

#include "sync_help.h"

TestSuite(wait_group, .timeout = 30);

static struct co_wait_group group;

static int at_zero(void *arg)
{
    (void)arg;
    CHECK(co_wait_group_wait(&group) == 0); /* nothing to wait for */
    CHECK(co_wait_group_add(&group, 2) == 0);
    CHECK(co_wait_group_add(&group, -2) == 0);
    CHECK(co_wait_group_wait(&group) == 0); /* it was done before we came */
    CHECK(co_wait_group_wait(&group) == 0); /* and so it is for the second */
    CHECK(co_wait_group_add(&group, -1) == -EINVAL);
    CHECK(co_wait_group_add(&group, INT64_MAX) == 0);
    CHECK(co_wait_group_add(&group, 1) == -EINVAL);
    CHECK(co_wait_group_add(&group, -INT64_MAX) == 0);
    co_wait_group_done(&group);
    co_wait_group_done(NULL);
    return 0;
}

Test(wait_group, nobody_waits_at_zero)
{
    run_on(1, at_zero, NULL);
}

static int wait_and_note(void *arg)
{
    return note_if_won(co_wait_group_wait(&group), arg);
}

static int all_go_on(void *arg)
{
    CO_GROUP(waiters);
    CO_GROUP(cancelled);

    (void)arg;
    co_wait_group_init(&group);
    CHECK(co_wait_group_add(&group, 3) == 0);
    for (int i = 0; i < CROWD; i++)
        start_asleep(&waiters, wait_and_note, numbered(i));
    start_asleep(&cancelled, wait_and_note, numbered(99));
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_wait_group_wait(&group) == -ETIMEDOUT);
    }
    co_group_cancel(&cancelled);
    CHECK(co_group_wait(&cancelled) == -ECANCELED);
    for (int i = 0; i < 3; i++) {
        CHECK(atomic_load(&noted_count) == 0);
        CHECK(co_wait_group_add(&group, -1) == 0);
    }
    CHECK(co_group_wait(&waiters) == 0);
    CHECK(atomic_load(&noted_count) == CROWD);
    return 0;
}

Test(wait_group, all_that_wait_go_on_when_the_last_thing_is_done)
{
    cr_assert_eq(co_wait_group_wait(&group), -EPERM);
    run_on(2, all_go_on, NULL);
}

static void one_done(void *arg)
{
    CHECK(co_wait_group_add(arg, -1) == 0);
}

static int freed_at_once(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        struct co_wait_group *one = calloc(1, sizeof *one);

        CHECK(co_wait_group_add(one, 3) == 0);
        for (int k = 0; k < 3; k++)
            CHECK(co_go(one_done, one) == 0);
        CHECK(co_wait_group_wait(one) == 0);
        free(one);
    }
    return 0;
}

Test(wait_group, whoever_waited_may_free_it_at_once)
{
    run_on(WORKERS, freed_at_once, numbered(fewer(10000)));
}

static int from_outside(void *arg)
{
    (void)arg;
    CHECK(co_wait_group_add(&group, 1) == 0);
    woken_from_outside(wait_and_note, one_done, &group);
    return 0;
}

static int up_and_down(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        CHECK(co_wait_group_add(&group, 1 + i % 3) == 0); /* from zero, or beside others */
        if (i % 4 == 0)
            (void)co_yield();
        CHECK(co_wait_group_add(&group, -1 - i % 3) == 0);
        if (i % 8 == 0)
            CHECK(co_wait_group_wait(&group) == 0); /* while others begin anew */
    }
    return 0;
}

static int rise_and_fall(void *arg)
{
    together(CROWD, up_and_down, arg);
    CHECK(co_wait_group_wait(&group) == 0);
    CHECK(co_wait_group_add(&group, -1) == -EINVAL);
    co_wait_group_done(&group);
    return 0;
}

Test(wait_group, nobody_is_forgotten_where_the_number_rises_and_falls_all_the_time)
{
    run_on(WORKERS, rise_and_fall, numbered(fewer(5000)));
}

Test(wait_group, plain_threads_may_say_that_things_are_done)
{
    run_on(2, from_outside, NULL);
}
