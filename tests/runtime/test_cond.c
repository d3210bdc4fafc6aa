/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_cond.c - condition variables: no signal is lost, and the mutex is held
 * whatever is returned.
 */
#include <co/cond.h>

#include "sync_help.h"

TestSuite(cond, .timeout = 30);

static struct co_mutex mutex;
static struct co_cond cond;

static int wait_and_note(void *arg)
{
    int r;

    CO_LOCK(&mutex);
    r = co_cond_wait(&cond, &mutex);
    CHECK(co_mutex_try(&mutex) == -EBUSY && co_mutex_lock(&mutex) != 0);
    return note_if_won(r, arg);
}

static int in_turn(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < CROWD; i++)
        start_asleep(&group, wait_and_note, numbered(i));
    for (int i = 1; i <= CROWD; i++) {
        co_cond_signal(&cond);
        until(&noted_count, i);
        for (int k = 0; k < 10; k++)
            (void)co_yield();
        CHECK(atomic_load(&noted_count) == i);
    }
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(CROWD));
    co_cond_signal(&cond); /* for nobody: it is forgotten */
    co_cond_done(&cond);
    co_cond_done(NULL);
    return 0;
}

Test(cond, a_signal_wakes_the_one_that_has_waited_longest)
{
    run_on(2, in_turn, NULL);
}

static int to_all(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < CROWD; i++)
        start_asleep(&group, wait_and_note, numbered(i));
    co_cond_broadcast(&cond);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&noted_count) == CROWD);
    return 0;
}

Test(cond, a_broadcast_wakes_all)
{
    run_on(2, to_all, NULL);
}

static int out_of_time(void *arg)
{
    (void)arg;
    co_cond_init(&cond);
    CHECK(co_mutex_lock(&mutex) == 0);
    {
        CO_DEADLINE(0);
        CHECK(co_cond_wait(&cond, &mutex) == -ETIMEDOUT);
    }
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_cond_wait(&cond, &mutex) == -ETIMEDOUT);
    }
    CHECK(co_mutex_try(&mutex) == -EBUSY); /* held */
    co_mutex_unlock(&mutex);
    return 0;
}

Test(cond, a_deadline_counts_and_the_mutex_is_held_then)
{
    run_on(2, out_of_time, NULL);
}

static int cancelled(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    start_asleep(&group, wait_and_note, numbered(0));
    CHECK(co_mutex_lock(&mutex) == 0); /* the sleeper has let go of it */
    co_group_cancel(&group);
    for (int i = 0; i < 50; i++)
        (void)co_yield();
    co_mutex_unlock(&mutex); /* now it may lock again, which nothing interrupts */
    CHECK(co_group_close(&group) == -ECANCELED);
    CHECK(atomic_load(&noted_count) == 0);
    CHECK(co_mutex_try(&mutex) == 0);
    co_mutex_unlock(&mutex);
    return 0;
}

Test(cond, cancel_ends_the_wait_but_not_the_locking_again)
{
    run_on(2, cancelled, NULL);
}

static void signal_it(void *arg)
{
    co_cond_signal(arg);
}

static int from_outside(void *arg)
{
    (void)arg;
    woken_from_outside(wait_and_note, signal_it, &cond);
    return 0;
}

Test(cond, plain_threads_may_signal)
{
    run_on(2, from_outside, NULL);
}

/* ---- a bounded buffer, as in the books ---- */

enum { ROOM = 3, PRODUCERS = 4, CONSUMERS = 4 };

static struct co_cond not_full, not_empty;
static int buffer[ROOM];
static int count, closed;
static _Atomic int64_t sum, received;

static int produce(void *arg)
{
    for (int i = 1; i <= number_of(arg); i++) {
        CO_LOCK(&mutex);
        while (count == ROOM)
            CHECK(co_cond_wait(&not_full, &mutex) == 0);
        buffer[count++] = i;
        co_cond_signal(&not_empty);
    }
    return 0;
}

static int consume(void *arg)
{
    (void)arg;
    for (;;) {
        CO_LOCK(&mutex);
        CO_DEADLINE(50 * CO_US); /* who gives up must not swallow a signal */
        while (count == 0 && !closed && co_cond_wait(&not_empty, &mutex) != -ETIMEDOUT)
            continue;
        if (count == 0 && closed)
            return 0;
        if (count == 0)
            continue;
        atomic_fetch_add(&sum, buffer[--count]);
        atomic_fetch_add(&received, 1);
        co_cond_signal(&not_full);
    }
}

static int through_a_buffer(void *arg)
{
    CO_GROUP(producers);
    CO_GROUP(consumers);
    int64_t n = number_of(arg);

    for (int i = 0; i < CONSUMERS; i++)
        CHECK(co_group_go(&consumers, consume, NULL) == 0);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK(co_group_go(&producers, produce, arg) == 0);
    CHECK(co_group_wait(&producers) == 0);
    co_mutex_lock_always(&mutex);
    closed = 1;
    co_cond_broadcast(&not_empty);
    co_mutex_unlock(&mutex);
    CHECK(co_group_wait(&consumers) == 0);
    CHECK(atomic_load(&received) == n * PRODUCERS);
    CHECK(atomic_load(&sum) == n * (n + 1) / 2 * PRODUCERS);
    return 0;
}

Test(cond, a_bounded_buffer_loses_nothing_when_consumers_are_impatient)
{
    run_on(WORKERS, through_a_buffer, numbered(fewer(5000)));
}
