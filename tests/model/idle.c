/* SPDX-License-Identifier: MIT */
/*
 * idle.c - model of sleep-and-wake: runtime/idle.c, injector.c and deque.c themselves, under C11
 * orders.
 *
 * sleep.pml tells the protocol as a state machine and visits more of it; this one checks the code's
 * memory orders: publish work, then look at the counts; publish the sleep, then look at every
 * queue. The workers' loop is written here, as the strict form of runtime/worker.c: own deque,
 * injector, search, sleep.
 *
 * outside: two workers; two other threads bring two short coroutines and a long one through the
 * injector.
 * inside:  two workers; a coroutine on the first pushes three short ones to its deque and then
 *          computes.
 * three:   three workers, one other thread that brings two short ones and a long one.
 * dog:     two workers, one other thread that brings a short one and a long one; the watchdog dozes
 *          when all sleep.
 * The long coroutine computes until the short ones are done, so they have to run elsewhere: a
 * wake-up that is lost shows as a deadlock. An eventfd is a gate; a futex is a latch and a gate.
 *
 * Checked: everything runs, once, by somebody who sees what its maker wrote; in the end nobody is
 * counted as a searcher and everybody as asleep, when the last to fall asleep says that it is over;
 * the watchdog learns it.
 * Not covered: timers, sockets, pinned coroutines; what the watchdog does
 * for a stuck worker (sleep.pml); that worker.c leaves out wake-ups for what the owner will run in
 * a moment, and lets the lookout make up for it.
 */
#include "idle.h"
#include "coro.h"
#include "deque.h"
#include "futex.h"
#include "injector.h"

#include <model.h>
#include <string.h>

enum scenarios { OUTSIDE, INSIDE, THREE, DOG };

enum { WORKERS = 3, COROS = 4, LONG_ONE = 0, DOG_GATE = 2, OVER_GATE = 3 };

const char model_name[] = "idle";
const int model_threads = 4;
const char *const model_scenarios[] = {
    "outside: 2 workers, 2 others",
    "inside: 2 workers, work of one's own",
    "three: 3 workers, 1 other",
    "dog: 2 workers, 1 other, the watchdog",
    NULL,
};

static struct co__idle idle;
static struct co__injector injector;
static struct co__deque deques[WORKERS];
static struct co__coro coros[COROS];
static int made[COROS];
static int ran[COROS];
static _Atomic int shorts_done;
static _Atomic int all_done;
static _Atomic int over;
static int workers, coro_count;

static struct co_latch futex;
static int futex_sleepers;

void co__futex_wait(const void *word, uint32_t value, int64_t until)
{
    bool sleeps;

    (void)until;
    co_latch_take(&futex);
    sleeps = atomic_load_explicit((const _Atomic uint32_t *)word, memory_order_seq_cst) == value;
    futex_sleepers += sleeps;
    co_latch_give(&futex);
    if (sleeps)
        model_gate_wait(DOG_GATE);
}

void co__futex_wake(const void *word, int count)
{
    (void)word;
    (void)count;
    co_latch_take(&futex);
    if (futex_sleepers > 0) {
        futex_sleepers--;
        model_gate_post(DOG_GATE);
    }
    co_latch_give(&futex);
}

/* As co__watchdog. */
static void watch(void)
{
    for (;;) {
        uint32_t counts;

        co__idle_doze_off(&idle);
        if (atomic_load_explicit(&over, memory_order_seq_cst))
            return;
        co__idle_doze(&idle, !co__idle_anyone_awake(&idle, &counts), CO_NEVER);
        model_yield(); /* a tick */
    }
}

static void notify(void)
{
    int target = co__idle_notify(&idle);

    if (target >= 0)
        model_gate_post(target);
}

static int number(const struct co__coro *co)
{
    return (int)(co - coros);
}

static void compute(int me);

static void run(int me, struct co__coro *co)
{
    int i = number(co);

    MODEL_CHECK(made[i] == 1);
    MODEL_CHECK(++ran[i] == 1);
    if (i == LONG_ONE)
        compute(me);
    else if (atomic_fetch_add_explicit(&shorts_done, 1, memory_order_seq_cst) + 1 == coro_count - 1)
        model_gate_post(OVER_GATE);
    atomic_fetch_add_explicit(&all_done, 1, memory_order_seq_cst);
}

static void bring_inside(int me, int i)
{
    made[i] = 1;
    MODEL_CHECK(co__deque_push(&deques[me], &coros[i]));
    co__deque_publish(&deques[me]);
    notify();
}

static void bring_outside(int i)
{
    made[i] = 1;
    co__injector_push(&injector, &coros[i]);
    notify();
}

static void compute(int me)
{
    if (coro_count == COROS) {
        for (int i = 1; i < COROS; i++)
            bring_inside(me, i);
    }
    model_gate_wait(OVER_GATE);
}

/* ---- a worker ---- */

static struct co__coro *own(int me)
{
    struct co__queue queue = {0};
    struct co__coro *co = co__deque_pop_fifo(&deques[me]);

    if (co)
        return co;
    if (co__injector_size(&injector) == 0 || co__injector_take(&injector, &queue, 1) == 0)
        return NULL;
    return co__queue_pop(&queue);
}

static struct co__coro *search(int me, bool *searching)
{
    if (!*searching && !co__idle_search(&idle))
        return NULL;
    *searching = true;
    for (int i = 0; i < workers; i++) {
        struct co__coro *co = NULL;
        int n;

        if (i != me && co__deque_size(&deques[i]) > 0)
            co = co__deque_steal_half(&deques[i], &deques[me], &n);
        if (co)
            return co;
    }
    return own(me);
}

static bool work_anywhere(void)
{
    if (co__injector_size(&injector) > 0)
        return true;
    for (int i = 0; i < workers; i++) {
        if (co__deque_size(&deques[i]) > 0)
            return true;
    }
    return false;
}

/* As co__run_last_asleep: called under the latch when all sleep. */
static bool last_asleep(void)
{
    if (atomic_load_explicit(&all_done, memory_order_seq_cst) < coro_count)
        return false;
    MODEL_CHECK(atomic_load_explicit(&idle.counts, memory_order_seq_cst) == (uint32_t)workers
                                                                                << 16);
    atomic_store_explicit(&over, 1, memory_order_release);
    return true;
}

static void work(int me)
{
    bool searching = false;

    while (!atomic_load_explicit(&over, memory_order_acquire)) {
        struct co__coro *co = own(me);

        if (!co)
            co = search(me, &searching);
        if (co) {
            if (searching) {
                searching = false;
                if (co__idle_found(&idle) && work_anywhere())
                    notify();
            }
            run(me, co);
            continue;
        }
        if (co__idle_sleep(&idle, me, searching, last_asleep)) {
            for (int i = 0; i < workers; i++)
                model_gate_post(i);
        }
        searching = false;
        if (work_anywhere()) {
            searching = co__idle_leave(&idle, me, true);
            continue;
        }
        model_gate_wait(me);
        searching = co__idle_leave(&idle, me, false);
    }
}

/* ---- each execution ---- */

void model_before(int scenario)
{
    workers = scenario == THREE ? 3 : 2;
    coro_count = scenario == INSIDE ? COROS : scenario == DOG ? 2 : COROS - 1;
    futex_sleepers = 0;
    memset(&idle, 0, sizeof idle);
    memset(&injector, 0, sizeof injector);
    memset(coros, 0, sizeof coros);
    memset(made, 0, sizeof made);
    memset(ran, 0, sizeof ran);
    co__idle_start(&idle, workers);
    model_watch(&idle.counts, sizeof idle.counts, 0);
    model_watch_latch(&idle.lock);
    model_watch_latch(&futex);
    model_watch_plain(&idle.bits[0], sizeof idle.bits[0]);
    model_watch(&injector.size, sizeof injector.size, 0);
    model_watch_latch(&injector.lock);
    model_watch_plain(&injector.queue, sizeof injector.queue);
    model_watch(&shorts_done, sizeof shorts_done, 0);
    model_watch(&all_done, sizeof all_done, 0);
    model_watch(&over, sizeof over, 0);
    for (int i = 0; i < workers; i++) {
        model_watch(&deques[i].top, sizeof deques[i].top, 0);
        model_watch(&deques[i].bottom, sizeof deques[i].bottom, 0);
        for (int k = 0; k < CO__DEQUE_CAPACITY; k++)
            model_watch(&deques[i].slot[k], sizeof deques[i].slot[k], 0);
    }
    for (int i = 0; i < COROS; i++) {
        model_watch_plain(&made[i], sizeof made[i]);
        model_watch_plain(&coros[i].next, sizeof coros[i].next);
    }
}

void model_run(int scenario, int thread)
{
    switch (scenario) {
    case OUTSIDE:
        if (thread < 2) {
            work(thread);
        } else if (thread == 2) {
            bring_outside(LONG_ONE);
            bring_outside(1);
        } else {
            bring_outside(2);
        }
        break;
    case INSIDE:
        if (thread < 2)
            work(thread);
        else if (thread == 2)
            bring_outside(LONG_ONE);
        break;
    case DOG:
        if (thread < 2) {
            work(thread);
        } else if (thread == 2) {
            bring_outside(LONG_ONE);
            bring_outside(1);
        } else {
            watch();
        }
        break;
    default:
        if (thread < 3) {
            work(thread);
        } else {
            for (int i = 0; i < COROS - 1; i++)
                bring_outside(i);
        }
        break;
    }
}

void model_after(int scenario)
{
    (void)scenario;
    for (int i = 0; i < coro_count; i++)
        MODEL_CHECK(ran[i] == 1);
}
