/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_timer.c - the heap of deadlines, with coroutines that nobody runs: records of
 * our own, whose words say "about to be parked", so that a claim can be won but readies nobody.
 */
#include "timer.h"

#include "coro.h"
#include "park.h"
#include "support/run.h"
#include <sched.h>

TestSuite(timer, .timeout = 30);

enum { COROS = CO__CHUNK - 1 };

static struct co__heap a, b;

static struct co__coro *coro(int number)
{
    return co__coro_at((uint64_t)number + 1);
}

static void set_up(void)
{
    co__chunks[0] = calloc(CO__CHUNK, sizeof(struct co__coro));
    cr_assert_not_null(co__chunks[0]);
    for (int i = 0; i < COROS; i++) {
        coro(i)->index = (uint32_t)i + 1;
        atomic_store(&coro(i)->word, CO__BITS);
        atomic_store(&coro(i)->timer.time, CO_NEVER);
    }
    cr_assert_eq(co__heap_start(&a), 0);
    cr_assert_eq(co__heap_start(&b), 0);
}

static void tear_down(void)
{
    co__heap_stop(&a);
    co__heap_stop(&b);
    free(co__chunks[0]);
}

/* The first steps of a park. */
static void park(int number, int64_t until, struct co__heap *heap)
{
    struct co__coro *co = coro(number);

    co->result = 0;
    atomic_store(&co->until, until);
    atomic_store(&co->word, (atomic_load(&co->word) | CO__BITS) + 1);
    if (until != CO_NEVER)
        co__timer_arm(heap, co, until);
}

/* Somebody else ends the park in time. */
static void wake(int number)
{
    atomic_fetch_or(&coro(number)->word, CO__BITS);
}

static int result(int number)
{
    return coro(number)->result;
}

static struct co__heap *place(int number)
{
    return atomic_load(&coro(number)->timer.heap);
}

Test(timer, an_empty_heap_is_never_due, .init = set_up, .fini = tear_down)
{
    cr_assert_eq(co__heap_next(&a), CO_NEVER);
    cr_assert_eq(co__heap_expire(&a, INT64_MAX - 1, false), 0);
}

Test(timer, ends_a_park_at_its_deadline_and_not_before, .init = set_up, .fini = tear_down)
{
    park(0, 1000, &a);
    cr_assert_eq(co__heap_next(&a), 1000);
    cr_assert_eq(co__heap_expire(&a, 999, false), 0);
    cr_assert_eq(result(0), 0);
    cr_assert_eq(co__heap_expire(&a, 1000, false), 1);
    cr_assert_eq(result(0), -ETIMEDOUT);
    cr_assert_eq(co__heap_next(&a), CO_NEVER);
    cr_assert_null(place(0));
}

Test(timer, forgets_a_node_whose_coroutine_was_woken_in_time, .init = set_up, .fini = tear_down)
{
    park(0, 1000, &a);
    wake(0);
    cr_assert_eq(co__heap_next(&a), 1000, "the node stays until it is due");
    cr_assert_eq(co__heap_expire(&a, 2000, false), 0);
    cr_assert_eq(result(0), 0);
    cr_assert_null(place(0));
    cr_assert_eq(a.count, 0);
}

Test(timer, an_old_node_serves_a_later_deadline, .init = set_up, .fini = tear_down)
{
    park(0, 1000, &a);
    wake(0);
    park(0, 5000, &b);
    cr_assert_eq(place(0), &a, "armed earlier already");
    cr_assert_eq(co__heap_expire(&a, 1500, false), 0);
    cr_assert_eq(place(0), &a);
    cr_assert_eq(co__heap_next(&a), 5000, "moved on in place");
    cr_assert_eq(co__heap_expire(&a, 4999, false), 0);
    cr_assert_eq(co__heap_expire(&a, 5000, false), 1);
    cr_assert_eq(result(0), -ETIMEDOUT);
}

Test(timer, an_earlier_deadline_moves_the_node_to_the_new_worker, .init = set_up, .fini = tear_down)
{
    park(0, 5000, &a);
    wake(0);
    park(0, 1000, &b);
    cr_assert_eq(place(0), &b);
    cr_assert_eq(a.count, 0);
    cr_assert_eq(co__heap_next(&a), CO_NEVER);
    cr_assert_eq(co__heap_next(&b), 1000);
    cr_assert_eq(co__heap_expire(&b, 1000, false), 1);
}

Test(timer, an_old_node_does_not_end_a_park_without_a_deadline, .init = set_up, .fini = tear_down)
{
    park(0, 1000, &a);
    wake(0);
    park(0, CO_NEVER, &a);
    cr_assert_eq(co__heap_expire(&a, 2000, false), 0);
    cr_assert_eq(result(0), 0);
    cr_assert_eq(atomic_load(&coro(0)->word) & CO__CLAIMED, 0);
    wake(0);
    park(0, 3000, &b); /* armed anew, though the node was dropped while it slept */
    cr_assert_eq(co__heap_expire(&b, 3000, false), 1);
}

Test(timer, nodes_that_were_left_behind_are_trimmed_before_a_sleep, .init = set_up,
     .fini = tear_down)
{
    co__heap_trim(&a);
    park(0, 1000, &a); /* woken in time */
    wake(0);
    park(1, 2000, &a); /* and parked again until later */
    wake(1);
    park(1, 9000, &a);
    park(2, 3000, &a); /* still parked */
    park(3, 4000, &a); /* woken, but behind one that counts */
    wake(3);
    cr_assert_eq(co__heap_next(&a), 1000);
    co__heap_trim(&a);
    cr_assert_eq(co__heap_next(&a), 3000);
    cr_assert_null(place(0));
    cr_assert_eq(place(1), &a);
    cr_assert_eq(result(1), 0);
    co__heap_trim(&a);
    cr_assert_eq(co__heap_next(&a), 3000);
    cr_assert_eq(co__heap_expire(&a, 3000, false), 1);
    cr_assert_eq(result(2), -ETIMEDOUT);
    co__heap_trim(&a);
    cr_assert_eq(co__heap_next(&a), 9000);
    cr_assert_eq(co__heap_expire(&a, 9000, false), 1);
    cr_assert_eq(result(1), -ETIMEDOUT);
}

Test(timer, a_heap_that_somebody_holds_is_left_alone_by_a_rescuer, .init = set_up,
     .fini = tear_down)
{
    park(0, 1000, &a);
    co_latch_take(&a.lock);
    cr_assert_eq(co__heap_expire(&a, 2000, true), 0);
    co_latch_give(&a.lock);
    cr_assert_eq(co__heap_expire(&a, 2000, true), 1);
}

Test(timer, more_are_due_at_once_than_fit_a_batch, .init = set_up, .fini = tear_down)
{
    for (int i = 0; i < 1000; i++)
        park(i, 1000 + i % 10, &a);
    cr_assert_eq(co__heap_expire(&a, 1004, false), 500);
    cr_assert_eq(co__heap_expire(&a, 1009, false), 500);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(result(i), -ETIMEDOUT);
}

Test(timer, growing_keeps_the_nodes, .init = set_up, .fini = tear_down)
{
    for (int i = 0; i < 1000; i++)
        park(i, 1000 + i, &a);
    cr_assert_eq(co__heap_reserve(&a, 100000), 0);
    cr_assert_geq(a.capacity, 100000);
    cr_assert_eq(co__heap_reserve(&a, 10), 0);
    cr_assert_eq(co__heap_next(&a), 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(co__heap_expire(&a, 1000 + i, false), 1);
}

/* ---- against a reference ---- */

static uint32_t dice(void)
{
    static uint32_t state = 12345;

    state = state * 1664525 + 1013904223;
    return state >> 8;
}

/* Every node where its heap says it is, and nobody before his parent. */
static void expect_sound(const struct co__heap *heap)
{
    for (uint32_t i = 0; i < heap->count; i++) {
        const struct co__heap_item *item = &heap->items[i];

        cr_assert_eq(item->co->timer.place, i);
        cr_assert_eq(atomic_load(&item->co->timer.heap), heap);
        cr_assert_eq(atomic_load(&item->co->timer.time), item->time);
        if (i > 0)
            cr_assert_leq(heap->items[(i - 1) / 4].time, item->time);
    }
    cr_assert_eq(co__heap_next(heap), heap->count > 0 ? heap->items[0].time : CO_NEVER);
}

enum { FEW = 300, AWAKE = 0 };
static int64_t deadline[FEW]; /* AWAKE, or when the park has to end */

static void do_something(int64_t now)
{
    int i = (int)(dice() % FEW);

    if (deadline[i] == AWAKE) {
        deadline[i] = dice() % 8 == 0 ? CO_NEVER : now + 1 + dice() % 500;
        park(i, deadline[i], dice() % 2 ? &a : &b);
    } else if (dice() % 3 == 0) {
        deadline[i] = AWAKE;
        wake(i);
    }
}

/* Parks that are over are over, and no others. Returns: how many ended. */
static int compare(int64_t now)
{
    int ended = 0;

    for (int i = 0; i < FEW; i++) {
        bool due = deadline[i] != AWAKE && deadline[i] <= now;

        if (deadline[i] == AWAKE)
            continue;
        cr_assert_eq(result(i), due ? -ETIMEDOUT : 0, "coroutine %d, deadline %lld, now %lld", i,
                     (long long)deadline[i], (long long)now);
        if (due) {
            deadline[i] = AWAKE;
            ended++;
        }
    }
    return ended;
}

Test(timer, agrees_with_a_reference_over_random_parks_wakes_and_migrations, .init = set_up,
     .fini = tear_down)
{
    int64_t now = 1;
    int ended = 0;

    for (int round = 0; round < fewer(20000); round++) {
        int expired;

        for (int i = 0; i < 20; i++)
            do_something(now);
        now += dice() % 50;
        if (dice() % 4 == 0)
            co__heap_trim(dice() % 2 ? &a : &b);
        expired = co__heap_expire(&a, now, false) + co__heap_expire(&b, now, false);
        cr_assert_eq(compare(now), expired);
        ended += expired;
        if (round % 64 == 0) {
            expect_sound(&a);
            expect_sound(&b);
        }
    }
    cr_assert_gt(ended, fewer(20000), "the test was about something");
}

/* ---- one parker and another thread that expires his heaps ---- */

static _Atomic bool over;
static _Atomic int64_t clock_now;

static void *expire_always(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        int64_t now = atomic_load(&clock_now);

        (void)co__heap_expire(&a, now, false);
        (void)co__heap_expire(&b, now, true);
        co__heap_trim(now % 2 ? &a : &b);
    }
    return NULL;
}

Test(timer, no_deadline_is_missed_while_another_worker_expires_the_heap, .init = set_up,
     .fini = tear_down)
{
    int rounds = fewer(30000);
    int64_t end = co_now() + 10 * CO_SEC; /* on a busy machine each round is two time slices */
    pthread_t thread;

    atomic_store(&clock_now, 1);
    cr_assert_eq(pthread_create(&thread, NULL, expire_always, NULL), 0);
    for (int i = 0; i < rounds && co_now() < end; i++) {
        struct co__coro *co = coro(0);
        int64_t now = atomic_load(&clock_now);

        /* Short and long by turns, in both heaps, so that nodes are moved while they expire. */
        park(0, now + (i % 3 == 0 ? 2 : 50), i % 2 ? &a : &b);
        if (i % 5 != 0 ||
            !co__claim(co, atomic_load(&co->word) >> CO__SEQ_SHIFT, CO__TICKET_SEQ, 1)) {
            atomic_store(&clock_now, now + 50);
            while (!(atomic_load(&co->word) & CO__FIRED))
                (void)sched_yield();
            cr_assert_eq(co->result, -ETIMEDOUT);
        }
        wake(0);
    }
    atomic_store(&over, true);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}
