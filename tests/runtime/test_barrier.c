/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_barrier.c - nobody passes before all have come. */
#include <co/barrier.h>

#include "sync_help.h"

TestSuite(barrier, .timeout = 30);

enum { PARTIES = 5 };

static struct co_barrier barrier;
static int rounds_done[PARTIES]; /* plain: the barrier orders them */
static _Atomic int serial;

static int walk(void *arg)
{
    int me = number_of(arg) % PARTIES;
    int rounds = number_of(arg) / PARTIES;

    for (int round = 1; round <= rounds; round++) {
        int r;

        rounds_done[me] = round;
        r = co_barrier_wait(&barrier);
        CHECK(r >= 0);
        if (r == 1)
            atomic_fetch_add(&serial, 1);
        for (int i = 0; i < PARTIES; i++)
            CHECK(rounds_done[i] == round);
        CHECK(co_barrier_wait(&barrier) >= 0); /* nobody writes while others read */
    }
    return 0;
}

static int many_rounds(void *arg)
{
    CO_GROUP(group);

    CHECK(co_barrier_init(&barrier, 0) == -EINVAL);
    CHECK(co_barrier_init(&barrier, PARTIES) == 0);
    for (int i = 0; i < PARTIES; i++)
        CHECK(co_group_go(&group, walk, numbered(number_of(arg) * PARTIES + i)) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&serial) == number_of(arg));
    co_barrier_done(&barrier);
    co_barrier_done(NULL);
    return 0;
}

Test(barrier, all_go_on_together_round_after_round_and_one_is_the_last)
{
    run_on(1, many_rounds, numbered(10));
    atomic_store(&serial, 0);
    run_on(WORKERS, many_rounds, numbered(fewer(2000)));
}

static int come(void *arg)
{
    return note_if_won(co_barrier_wait(&barrier), arg);
}

static int who_gives_up(void *arg)
{
    CO_GROUP(cancelled);
    CO_GROUP(group);

    (void)arg;
    CHECK(co_barrier_init(&barrier, 3) == 0);
    start_asleep(&cancelled, come, numbered(9));
    co_group_cancel(&cancelled);
    CHECK(co_group_wait(&cancelled) == -ECANCELED);
    {
        CO_DEADLINE(0);
        CHECK(co_barrier_wait(&barrier) == -ETIMEDOUT);
    }
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_barrier_wait(&barrier) == -ETIMEDOUT);
    }
    start_asleep(&group, come, numbered(0));
    start_asleep(&group, come, numbered(1));
    CHECK(atomic_load(&noted_count) == 0); /* two have come, not four or five */
    CHECK(co_barrier_wait(&barrier) == 1);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&noted_count) == 2);
    return 0;
}

Test(barrier, who_gives_up_has_not_come)
{
    cr_assert_eq(co_barrier_init(&barrier, 1), 0);
    cr_assert_eq(co_barrier_wait(&barrier), -EPERM);
    run_on(2, who_gives_up, NULL);
}

static int come_to(void *arg)
{
    return co_barrier_wait(arg) < 0 ? -ECANCELED : 0;
}

/* It is gone before those who were interrupted have run. */
static int end_it(void *arg)
{
    struct co_barrier *ours = malloc(sizeof *ours);
    CO_GROUP(group);

    (void)arg;
    CHECK(co_barrier_init(ours, 3) == 0);
    start_asleep(&group, come_to, ours);
    start_asleep(&group, come_to, ours);
    co_group_cancel(&group);
    CHECK(co_barrier_wait(ours) == 1);
    co_barrier_done(ours);
    memset(ours, 0xff, sizeof *ours);
    CHECK(co_group_wait(&group) == 0); /* they had come */
    free(ours);
    return 0;
}

Test(barrier, the_last_to_come_may_end_it_though_others_were_interrupted)
{
    run_on(1, end_it, NULL);
}

static int alone(void *arg)
{
    (void)arg;
    CHECK(co_barrier_init(&barrier, 1) == 0);
    CHECK(co_barrier_wait(&barrier) == 1);
    CHECK(co_barrier_wait(&barrier) == 1);
    return 0;
}

Test(barrier, one_alone_does_not_wait)
{
    run_on(1, alone, NULL);
}

/* Passages come in threes, whatever is cancelled in the midst of it. */
static _Atomic int passed, last_ones;

static int pass(void *arg)
{
    (void)arg;
    for (;;) {
        int r = co_barrier_wait(&barrier);

        if (r < 0)
            return 0;
        atomic_fetch_add(&passed, 1);
        atomic_fetch_add(&last_ones, r);
    }
}

static int with_cancels(void *arg)
{
    CHECK(co_barrier_init(&barrier, 3) == 0);
    for (int i = 0; i < number_of(arg); i++) {
        CO_GROUP(some);
        CO_GROUP(others);

        for (int k = 0; k < CROWD; k++)
            CHECK(co_group_go(k % 2 ? &some : &others, pass, NULL) == 0);
        for (int k = 0; k < i % 5; k++)
            (void)co_yield();
        co_group_cancel(&some);
        co_group_cancel(&others);
    }
    co_barrier_done(&barrier); /* nobody is counted who has gone */
    CHECK(atomic_load(&passed) == 3 * atomic_load(&last_ones));
    return 0;
}

Test(barrier, it_opens_for_all_of_a_round_or_for_none)
{
    run_on(WORKERS, with_cancels, numbered(fewer(1000)));
}
