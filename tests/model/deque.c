/* SPDX-License-Identifier: MIT */
/*
 * deque.c - model of the deque: runtime/deque.c itself, with a ring of 4.
 *
 *   top     grows by CAS only, by whoever takes there
 *   bottom  is the owner's: push raises it; only the lifo owner ever lowers it
 *
 * fifo: the owner pushes seven elements, takes two on the way, and when the ring is full moves half
 * of it to a
 *   list under a latch (the injector); two thieves take half of its deque, or of each other's, into
 *   their own and take from there.
 * lifo: the owner pushes five and takes at the bottom between; two thieves take one at a time at
 * the top.
 *
 * Checked: each element is run exactly once, by somebody who sees what its maker wrote (a data race
 * otherwise); no deque ever holds more than its capacity.
 * Not covered: co__deque_publish and co__deque_size, which are the sleep's (idle.c). Relacy never
 * lets a load take a value that was stored later, so what keeps a slot from being overwritten
 * before its taker has read it (release of the CAS on top against the acquire of top in push) is
 * kept by argument.
 */
#include "deque.h"

#include <co/latch.h>
#include <model.h>
#include <string.h>

enum scenarios { FIFO, LIFO };

enum { ELEMENTS = 7, LIFO_ELEMENTS = 5, DEQUES = 3, SPILL = CO__DEQUE_CAPACITY / 2 };

const char model_name[] = "deque";
const int model_threads = 3;
const char *const model_scenarios[] = {"fifo: own CAS, halves, overflow",
                                       "lifo: bottom, one at a time", NULL};

static struct co__deque deques[DEQUES];
static int made[ELEMENTS + 1]; /* what the maker of an element wrote */
static int ran[ELEMENTS + 1];
static struct co_latch latch;
static int injected[ELEMENTS];
static int injected_count;

void model_before(int scenario)
{
    (void)scenario;
    memset(ran, 0, sizeof ran);
    memset(made, 0, sizeof made);
    injected_count = 0;
    for (int d = 0; d < DEQUES; d++) {
        model_watch(&deques[d].top, sizeof deques[d].top, 0);
        model_watch(&deques[d].bottom, sizeof deques[d].bottom, 0);
        for (int i = 0; i < CO__DEQUE_CAPACITY; i++)
            model_watch(&deques[d].slot[i], sizeof deques[d].slot[i], 0);
    }
    for (int i = 0; i <= ELEMENTS; i++)
        model_watch_plain(&made[i], sizeof made[i]);
    model_watch_plain(&injected_count, sizeof injected_count);
    model_watch_latch(&latch);
}

static struct co__coro *element(int i)
{
    return (struct co__coro *)(intptr_t)i;
}

static void run(struct co__coro *co)
{
    intptr_t i = (intptr_t)co;

    MODEL_CHECK(i >= 1 && i <= ELEMENTS);
    MODEL_CHECK(made[i] == 1);
    MODEL_CHECK(++ran[i] == 1);
}

static void inject(struct co__coro *const *taken, int n)
{
    co_latch_take(&latch);
    for (int i = 0; i < n; i++)
        injected[injected_count++] = (int)(intptr_t)taken[i];
    co_latch_give(&latch);
}

static void own_fifo(void)
{
    struct co__coro *co;

    for (int i = 1; i <= ELEMENTS; i++) {
        made[i] = 1;
        while (!co__deque_push(&deques[0], element(i))) {
            struct co__coro *taken[SPILL];

            inject(taken, co__deque_spill(&deques[0], taken, SPILL));
        }
        if ((i == 2 || i == 6) && (co = co__deque_pop_fifo(&deques[0])))
            run(co);
    }
    while ((co = co__deque_pop_fifo(&deques[0])))
        run(co);
}

static void steal_fifo(int thread)
{
    struct co__deque *own = &deques[thread];

    for (int i = 0; i < 3; i++) {
        struct co__coro *co = co__deque_pop_fifo(own);
        int n = 0;

        if (!co) {
            co = co__deque_steal_half(&deques[thread == 2 && i == 1 ? 1 : 0], own, &n);
            MODEL_CHECK(!co || (n >= 1 && n <= CO__DEQUE_CAPACITY));
        }
        if (co)
            run(co);
    }
}

static void pop_lifo(void)
{
    struct co__coro *co = co__deque_pop_lifo(&deques[0]);

    if (co)
        run(co);
}

static void own_lifo(void)
{
    struct co__coro *co;

    for (int i = 1; i <= LIFO_ELEMENTS; i++) {
        made[i] = 1;
        MODEL_CHECK(co__deque_push(&deques[0], element(i)));
        if (i == 2)
            pop_lifo();
        if (i != 4)
            pop_lifo();
    }
    while ((co = co__deque_pop_lifo(&deques[0])))
        run(co);
}

static void steal_lifo(void)
{
    for (int i = 0; i < 2; i++) {
        struct co__coro *co = co__deque_steal_one(&deques[0]);

        if (co)
            run(co);
    }
}

void model_run(int scenario, int thread)
{
    if (scenario == FIFO && thread == 0)
        own_fifo();
    else if (scenario == FIFO)
        steal_fifo(thread);
    else if (thread == 0)
        own_lifo();
    else
        steal_lifo();
}

void model_after(int scenario)
{
    for (int d = 0; d < DEQUES; d++) {
        int64_t top = (int64_t)model_value(&deques[d].top);
        int64_t bottom = (int64_t)model_value(&deques[d].bottom);

        MODEL_CHECK(bottom >= top && bottom - top <= CO__DEQUE_CAPACITY);
        for (; top < bottom; top++)
            run(element((int)model_value(&deques[d].slot[top % CO__DEQUE_CAPACITY])));
    }
    for (int i = 0; i < injected_count; i++)
        run(element(injected[i]));
    for (int i = 1; i <= (scenario == FIFO ? ELEMENTS : LIFO_ELEMENTS); i++)
        MODEL_CHECK(ran[i] == 1);
}
