/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_deque.c - the deque alone: orders, counts, the ring's end, many thieves. */
#include "deque.h"

#include "support/run.h"

TestSuite(deque, .timeout = 30);

static struct co__deque deque, other;

/* The deque only carries pointers: numbers from 1 will do. */
static struct co__coro *item(int64_t number)
{
    return (struct co__coro *)(uintptr_t)(number * 16);
}

static int64_t number_of(const struct co__coro *co)
{
    return (int64_t)((uintptr_t)co / 16);
}

static void push(struct co__deque *to, int64_t first, int64_t last)
{
    for (int64_t i = first; i <= last; i++)
        cr_assert(co__deque_push(to, item(i)));
}

static void expect_fifo(struct co__deque *from, int64_t first, int64_t last)
{
    for (int64_t i = first; i <= last; i++)
        cr_assert_eq(co__deque_pop_fifo(from), item(i));
    cr_assert_null(co__deque_pop_fifo(from));
}

Test(deque, fifo_serves_the_oldest_first)
{
    cr_assert_null(co__deque_pop_fifo(&deque));
    push(&deque, 1, 100);
    expect_fifo(&deque, 1, 100);
    push(&deque, 101, 102);
    expect_fifo(&deque, 101, 102);
}

Test(deque, lifo_serves_the_newest_first)
{
    cr_assert_null(co__deque_pop_lifo(&deque));
    push(&deque, 1, 100);
    for (int i = 100; i >= 1; i--)
        cr_assert_eq(co__deque_pop_lifo(&deque), item(i));
    cr_assert_null(co__deque_pop_lifo(&deque));
    push(&deque, 7, 7);
    cr_assert_eq(co__deque_pop_lifo(&deque), item(7));
}

Test(deque, refuses_one_more_than_it_holds)
{
    push(&deque, 1, CO__DEQUE_CAPACITY);
    cr_assert_not(co__deque_push(&deque, item(1000)));
    cr_assert_eq(co__deque_size(&deque), CO__DEQUE_CAPACITY);
    cr_assert_eq(co__deque_pop_fifo(&deque), item(1));
    cr_assert(co__deque_push(&deque, item(CO__DEQUE_CAPACITY + 1)));
    cr_assert_not(co__deque_push(&deque, item(1000)));
    expect_fifo(&deque, 2, CO__DEQUE_CAPACITY + 1);
}

Test(deque, keeps_its_order_around_the_ring_at_every_fill)
{
    for (int fill = 1; fill <= CO__DEQUE_CAPACITY; fill += 17) {
        push(&deque, 1, fill);
        for (int64_t i = 1; i <= 3 * CO__DEQUE_CAPACITY; i++) {
            cr_assert_eq(co__deque_pop_fifo(&deque), item(i));
            cr_assert(co__deque_push(&deque, item(i + fill)));
            cr_assert_eq(co__deque_size(&deque), fill);
        }
        expect_fifo(&deque, 3 * CO__DEQUE_CAPACITY + 1, 3 * CO__DEQUE_CAPACITY + fill);
    }
}

Test(deque, works_where_indices_have_more_than_32_bits)
{
    const int64_t far = (INT64_C(1) << 32) - 3;

    atomic_store(&deque.top, far);
    atomic_store(&deque.bottom, far);
    push(&deque, 1, 6);
    cr_assert_eq(co__deque_size(&deque), 6);
    cr_assert_eq(co__deque_pop_lifo(&deque), item(6));
    expect_fifo(&deque, 1, 5);
}

Test(deque, a_thief_takes_the_older_half_rounded_up_and_keeps_the_order)
{
    for (int n = 1; n <= CO__DEQUE_CAPACITY; n++) {
        int half = n - n / 2;
        int count = 0;

        push(&deque, 1, n);
        cr_assert_eq(co__deque_steal_half(&deque, &other, &count), item(1));
        cr_assert_eq(count, half);
        cr_assert_eq(co__deque_size(&other), half - 1);
        cr_assert_eq(co__deque_size(&deque), n - half);
        expect_fifo(&other, 2, half);
        expect_fifo(&deque, half + 1, n);
    }
}

Test(deque, a_thief_of_nothing_gets_nothing)
{
    int count = 77;

    cr_assert_null(co__deque_steal_half(&deque, &other, &count));
    cr_assert_null(co__deque_steal_one(&deque));
    cr_assert_eq(count, 77);
    cr_assert_eq(co__deque_size(&deque), 0);
    cr_assert_eq(co__deque_size(&other), 0);
}

Test(deque, what_was_stolen_can_be_stolen_again)
{
    static struct co__deque third;
    int count;

    push(&deque, 1, 8);
    cr_assert_eq(co__deque_steal_half(&deque, &other, &count), item(1));
    cr_assert_eq(co__deque_steal_half(&other, &third, &count), item(2));
    cr_assert_eq(count, 2);
    expect_fifo(&third, 3, 3);
    expect_fifo(&other, 4, 4);
    expect_fifo(&deque, 5, 8);
}

Test(deque, a_thief_of_one_takes_the_oldest_under_both_orders)
{
    push(&deque, 1, 3);
    cr_assert_eq(co__deque_steal_one(&deque), item(1));
    cr_assert_eq(co__deque_pop_lifo(&deque), item(3));
    cr_assert_eq(co__deque_steal_one(&deque), item(2));
    cr_assert_null(co__deque_pop_lifo(&deque));
    cr_assert_null(co__deque_steal_one(&deque));
    push(&deque, 4, 5);
    cr_assert_eq(co__deque_steal_one(&deque), item(4));
    expect_fifo(&deque, 5, 5);
}

Test(deque, spilling_takes_the_oldest_and_no_more_than_asked)
{
    struct co__coro *taken[CO__DEQUE_CAPACITY];

    cr_assert_eq(co__deque_spill(&deque, taken, 10), 0);
    push(&deque, 1, CO__DEQUE_CAPACITY);
    cr_assert_eq(co__deque_spill(&deque, taken, 128), 128);
    for (int i = 0; i < 128; i++)
        cr_assert_eq(taken[i], item(i + 1));
    cr_assert_eq(co__deque_size(&deque), CO__DEQUE_CAPACITY - 128);
    cr_assert_eq(co__deque_spill(&deque, taken, 1000), CO__DEQUE_CAPACITY - 128);
    cr_assert_eq(taken[0], item(129));
    cr_assert_null(co__deque_pop_fifo(&deque));
}

Test(deque, publishing_changes_nothing_but_the_order)
{
    push(&deque, 1, 3);
    co__deque_publish(&deque);
    cr_assert_eq(co__deque_size(&deque), 3);
    expect_fifo(&deque, 1, 3);
}

/* ---- one owner and many thieves ---- */

enum { THIEVES = 3, ITEMS_MAX = 400000 };

static _Atomic unsigned char seen[ITEMS_MAX + 1];
static _Atomic bool owner_done;
static _Atomic int disorder;
static bool lifo;
static int items;

static void take_note(const struct co__coro *co)
{
    atomic_fetch_add(&seen[number_of(co)], 1);
}

/* Half at a time into an own deque, whose elements come out oldest first. */
static int64_t steal_some(struct co__deque *own, int64_t newest)
{
    int count;
    struct co__coro *co = co__deque_steal_half(&deque, own, &count);

    for (; co; co = co__deque_pop_fifo(own)) {
        if (number_of(co) <= newest)
            atomic_fetch_add(&disorder, 1);
        newest = number_of(co);
        take_note(co);
    }
    return newest;
}

static void *thief(void *arg)
{
    static struct co__deque owns[THIEVES];
    struct co__deque *own = &owns[(intptr_t)arg];
    int64_t newest = 0;

    while (!atomic_load(&owner_done) || co__deque_size(&deque) > 0) {
        struct co__coro *co;

        if (!lifo && arg) {
            newest = steal_some(own, newest);
        } else if ((co = co__deque_steal_one(&deque))) {
            if (number_of(co) <= newest)
                atomic_fetch_add(&disorder, 1);
            newest = number_of(co);
            take_note(co);
        }
    }
    return NULL;
}

/* Pushes everything, serves itself now and then, and makes room when the ring is full. */
static void own(void)
{
    struct co__coro *taken[CO__DEQUE_CAPACITY / 2];

    for (int i = 1; i <= items; i++) {
        struct co__coro *co = NULL;

        while (!co__deque_push(&deque, item(i))) {
            int n = lifo ? 0 : co__deque_spill(&deque, taken, CO__DEQUE_CAPACITY / 2);

            for (int k = 0; k < n; k++)
                take_note(taken[k]);
            if (lifo && (co = co__deque_pop_lifo(&deque)))
                take_note(co);
        }
        if (i % 3 == 0)
            co = lifo ? co__deque_pop_lifo(&deque) : co__deque_pop_fifo(&deque);
        else
            co = NULL;
        if (co)
            take_note(co);
    }
    atomic_store(&owner_done, true);
}

static void everything_comes_out_once(void)
{
    pthread_t threads[THIEVES];

    items = fewer(ITEMS_MAX);
    for (intptr_t i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, thief, (void *)i), 0);
    own();
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 1; i <= items; i++)
        cr_assert_eq(seen[i], 1, "item %d came out %d times", i, seen[i]);
    cr_assert_eq(disorder, 0, "a thief got an older one after a newer one");
}

Test(deque, fifo_with_thieves_gives_everything_out_once_and_in_order)
{
    everything_comes_out_once();
}

Test(deque, lifo_with_thieves_gives_everything_out_once)
{
    lifo = true;
    everything_comes_out_once();
}
