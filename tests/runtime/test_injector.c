/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_injector.c - queues of ready coroutines: one owner's, and everybody's. */
#include "injector.h"

#include "coro.h"
#include "support/run.h"

TestSuite(injector, .timeout = 30);

enum { COROS = 40000, PUSHERS = 4, TAKERS = 2 };

static struct co__coro *coros;
static struct co__injector injector;

static void make_coros(void)
{
    coros = calloc(COROS, sizeof *coros);
    cr_assert_not_null(coros);
    for (uint32_t i = 0; i < COROS; i++)
        coros[i].index = i;
}

static void free_coros(void)
{
    free(coros);
}

Test(injector, a_queue_gives_out_in_the_order_of_arrival, .init = make_coros, .fini = free_coros)
{
    struct co__queue queue = {0};

    cr_assert_null(co__queue_pop(&queue));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++)
            co__queue_push(&queue, &coros[i]);
        cr_assert_eq(queue.count, 10);
        for (int i = 0; i < 10; i++)
            cr_assert_eq(co__queue_pop(&queue), &coros[i]);
        cr_assert_null(co__queue_pop(&queue));
        cr_assert_eq(queue.count, 0);
        cr_assert_null(queue.tail);
    }
}

Test(injector, takes_no_more_than_asked_from_the_front, .init = make_coros, .fini = free_coros)
{
    struct co__queue queue = {0};

    cr_assert_eq(co__injector_take(&injector, &queue, 5), 0);
    for (int i = 0; i < 7; i++)
        co__injector_push(&injector, &coros[i]);
    cr_assert_eq(co__injector_size(&injector), 7);
    cr_assert_eq(co__injector_take(&injector, &queue, 5), 5);
    cr_assert_eq(co__injector_size(&injector), 2);
    cr_assert_eq(co__injector_take(&injector, &queue, 5), 2);
    cr_assert_eq(co__injector_size(&injector), 0);
    cr_assert_eq(queue.count, 7);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(co__queue_pop(&queue), &coros[i]);
}

Test(injector, takes_in_many_at_once_behind_those_that_wait, .init = make_coros, .fini = free_coros)
{
    struct co__coro *list[3] = {&coros[1], &coros[2], &coros[3]};
    struct co__queue queue = {0};

    co__injector_push(&injector, &coros[0]);
    co__injector_push_all(&injector, list, 3);
    co__injector_push_all(&injector, list, 0);
    cr_assert_eq(co__injector_size(&injector), 4);
    cr_assert_eq(co__injector_take(&injector, &queue, 100), 4);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(co__queue_pop(&queue), &coros[i]);
}

/* ---- many threads ---- */

static _Atomic int taken, disorder;
static _Atomic unsigned char seen[COROS];
static int per_pusher;

static void *push_share(void *arg)
{
    intptr_t me = (intptr_t)arg;

    for (int i = 0; i < per_pusher; i++)
        co__injector_push(&injector, &coros[me * per_pusher + i]);
    return NULL;
}

/* Whoever pushed one before another finds it taken before the other, by one taker. */
static void *take_share(void *arg)
{
    int64_t newest[PUSHERS];
    struct co__queue queue = {0};

    (void)arg;
    memset(newest, -1, sizeof newest);
    while (atomic_load(&taken) < PUSHERS * per_pusher) {
        struct co__coro *co;

        (void)co__injector_take(&injector, &queue, 10);
        while ((co = co__queue_pop(&queue))) {
            int pusher = (int)co->index / per_pusher;

            if (co->index <= newest[pusher])
                atomic_fetch_add(&disorder, 1);
            newest[pusher] = co->index;
            atomic_fetch_add(&seen[co->index], 1);
            atomic_fetch_add(&taken, 1);
        }
    }
    return NULL;
}

Test(injector, many_pushers_and_takers_lose_and_double_nothing, .init = make_coros,
     .fini = free_coros)
{
    pthread_t threads[PUSHERS + TAKERS];

    per_pusher = fewer(COROS) / PUSHERS;
    for (intptr_t i = 0; i < PUSHERS + TAKERS; i++)
        cr_assert_eq(
            pthread_create(&threads[i], NULL, i < PUSHERS ? push_share : take_share, (void *)i), 0);
    for (int i = 0; i < PUSHERS + TAKERS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < PUSHERS * per_pusher; i++)
        cr_assert_eq(seen[i], 1, "coroutine %d came out %d times", i, seen[i]);
    cr_assert_eq(disorder, 0);
    cr_assert_eq(co__injector_size(&injector), 0);
}
