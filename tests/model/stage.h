/* SPDX-License-Identifier: MIT */
/*
 * stage.h - what models of coroutines play on: four worker threads with timer heaps, records,
 * stacks and switches as in runtime/worker.c.
 *
 * What is not there is the run queue: whoever makes a coroutine ready runs it itself, next. So all
 * order between who parks and who resumes comes from the code under test, and a coroutine moves to
 * another thread, with another timer heap, at each wake-up.
 */
#ifndef TESTS_MODEL_STAGE_H
#define TESTS_MODEL_STAGE_H

#include "park.h"
#include "run.h"
#include "worker.h"

#include <model.h>
#include <string.h>
#include <ucontext.h>

enum { THREADS = 4, COROS = 6, HEAP = 8, STACK = 32 << 10 };

/* ---- threads, stacks and switches ---- */

struct co__runtime co__rt;
static struct co__worker workers[THREADS];
static struct co__coro records[COROS];
static struct co__heap_item items[THREADS][HEAP];
static int64_t row[64];
static ucontext_t thread_side[THREADS];
static ucontext_t coro_side[COROS];
static char stacks[COROS][STACK] __attribute__((aligned(64)));
static struct co__stack stack_records[COROS];
static void *handed[THREADS]; /* what a switch hands over */
static int foot[COROS];       /* touched before a coroutine leaves its stack and after it is back */
static bool on_stack[COROS];
static struct co__coro *ready[THREADS][COROS];
static int ready_count[THREADS];

struct co__worker *co__worker(void)
{
    return &workers[model_thread()];
}

void co__ready(struct co__coro *co)
{
    int t = model_thread();

    ready[t][ready_count[t]++] = co;
}

static ucontext_t *side(struct co__context *context)
{
    for (int i = 0; i < THREADS; i++) {
        if (context == &workers[i].context)
            return &thread_side[i];
    }
    for (int i = 0; i < COROS; i++) {
        if (context == &records[i].context)
            return &coro_side[i];
    }
    return NULL;
}

void *co__context_switch(struct co__context *from, struct co__context *to, void *data)
{
    handed[model_thread()] = data;
    (void)swapcontext(side(from), side(to));
    return handed[model_thread()];
}

void co__context_leave(struct co__context *from, struct co__context *to, void *data)
{
    (void)co__context_switch(from, to, data);
    __builtin_unreachable();
}

static void first_step(void)
{
    struct co__worker *w = handed[model_thread()];

    foot[w->current->index] = 1;
    w->current->context.entry(w);
}

void co__context_make(struct co__context *context, void *top, size_t size, co__context_entry *entry)
{
    ucontext_t *u = side(context);

    context->entry = entry;
    (void)getcontext(u);
    u->uc_stack.ss_sp = (char *)top - size;
    u->uc_stack.ss_size = size;
    u->uc_link = NULL;
    makecontext(u, first_step, 0);
}

struct co__stack_limits co__stack_limits;

struct co__stack *co__stack_get_slow(struct co__stack_cache *cache, size_t size)
{
    (void)cache;
    (void)size;
    for (int i = 0; i < COROS; i++) {
        if (!stack_records[i].low) {
            stack_records[i].low = stacks[i];
            stack_records[i].size = STACK;
            return &stack_records[i];
        }
    }
    return NULL;
}

int co__stack_grow(size_t n)
{
    (void)n;
    return 0;
}

struct co__worker *co__suspend(struct co__worker *w, enum co__action action)
{
    struct co__coro *co = w->current;

    w->action = action;
    foot[co->index] = 2;
    w = co__context_switch(&co->context, &w->context, NULL);
    foot[co->index] = 3;
    return w;
}

struct co__worker *co__worker_yield(struct co__worker *w)
{
    return w;
}

bool co__outside_enter(void)
{
    return true;
}

void co__outside_leave(void)
{
}

bool co__run_draining(void)
{
    return atomic_load_explicit(&co__rt.phase, memory_order_seq_cst) >= CO__DRAIN;
}

struct co__coro *co__spawn_take(struct co__worker *w, int *ret_err)
{
    return co__coro_take(w, ret_err);
}

void co__spawn_done(struct co__worker *w, struct co__coro *co)
{
    (void)w;
    co__ready(co);
}

/* What a thread does after each step of its own: run what it made ready, until nothing is. */
static void run_ready(void)
{
    int t = model_thread();
    struct co__worker *w = &workers[t];

    while (ready_count[t] > 0) {
        struct co__coro *co = ready[t][--ready_count[t]];

        MODEL_CHECK(!on_stack[co->index]);
        on_stack[co->index] = true;
        w->current = co;
        w->budget = 1000;
        if (!co->stack)
            co__coro_bind(w, co);
        (void)co__context_switch(&w->context, &co->context, w);
        w->current = NULL;
        on_stack[co->index] = false;
        if (w->action == CO__ACTION_PARK) {
            co__park_commit(w, co);
        } else {
            co->stack->low = NULL;
            co->stack = NULL;
            co__coro_put(w, co);
        }
    }
}

/* ---- time ---- */

static _Atomic int64_t now;

int64_t co_now(void)
{
    return atomic_load_explicit(&now, memory_order_seq_cst);
}

/* Expires the heap of this thread, as its worker would before it sleeps. */
static __attribute__((unused)) void mind_time(void)
{
    struct co__worker *w = co__worker();

    do {
        /* seq_cst: the heap's next is stored before, by us. */
        w->clock = atomic_load_explicit(&now, memory_order_seq_cst);
        (void)co__heap_expire(&w->timers, w->clock, false);
        run_ready();
        w->clock = atomic_load_explicit(&now, memory_order_seq_cst);
    } while (co__heap_next(&w->timers) <= w->clock);
}

/* Every node of a heap says that it is there. */
static void check_heap(struct co__heap *heap)
{
    co_latch_take(&heap->lock);
    for (uint32_t i = 0; i < heap->count; i++) {
        struct co__timer *node = &heap->items[i].co->timer;

        MODEL_CHECK(node->place == i);
        MODEL_CHECK(atomic_load_explicit(&node->heap, memory_order_seq_cst) == heap);
    }
    co_latch_give(&heap->lock);
}

/* Expires everybody's, as rescuers would. */
static __attribute__((unused)) void pass_time(int64_t to)
{
    struct co__worker *w = co__worker();

    /* seq_cst: before the looks at the heaps. */
    atomic_store_explicit(&now, to, memory_order_seq_cst);
    for (int i = 0; i < THREADS; i++) {
        w->clock = to;
        check_heap(&workers[i].timers);
        (void)co__heap_expire(&workers[i].timers, to, false);
        run_ready();
    }
    mind_time();
}

uint64_t co_self(void)
{
    return co__worker()->current->index;
}

/* Starts a coroutine; that thread runs it first. In model_before. */
static struct co__coro *begin(int thread, void (*fn)(void *))
{
    int r = 0;
    struct co__coro *co = co__coro_take(&workers[thread], &r);

    co->entry = (struct co__entry){.fn = fn, .kind = CO__ENTRY_FN};
    ready[thread][ready_count[thread]++] = co;
    return co;
}

/* Sets everything up anew; in model_before, first of all. */
static void stage_set(void)
{
    memset(records, 0, sizeof records);
    memset(workers, 0, sizeof workers);
    memset(stack_records, 0, sizeof stack_records);
    memset(on_stack, 0, sizeof on_stack);
    memset(ready_count, 0, sizeof ready_count);
    memset(&co__rt, 0, sizeof co__rt);
    co__chunks[0] = records;
    model_ignore(row, sizeof row);
    model_watch(&now, sizeof now, 0);
    model_watch(&co__rt.phase, sizeof co__rt.phase, 0);
    for (int i = 0; i < THREADS; i++) {
        workers[i].index = i;
        workers[i].stats = row;
        workers[i].timers.items = items[i];
        workers[i].timers.capacity = HEAP;
        model_watch(&workers[i].timers.next, sizeof workers[i].timers.next, (uint64_t)CO_NEVER);
        model_watch_latch(&workers[i].timers.lock);
        model_watch_plain(&workers[i].timers.count, sizeof workers[i].timers.count);
    }
    for (int i = 1; i < COROS; i++) {
        struct co__coro *co = &records[i];

        co->index = (uint32_t)i;
        model_watch(&co->word, sizeof co->word, CO__BITS);
        model_watch(&co->until, sizeof co->until, 0);
        model_watch(&co->flags, sizeof co->flags, 0);
        model_watch(&co->cancelled, sizeof co->cancelled, 0);
        model_watch(&co->timer.time, sizeof co->timer.time, (uint64_t)CO_NEVER);
        model_watch(&co->timer.heap, sizeof co->timer.heap, 0);
        model_watch_plain(&co->result, sizeof co->result);
        model_watch_plain(&foot[i], sizeof foot[i]);
    }
    /* The table has handed them all out: one to each thread, and one more to the first. */
    (void)co__coros_start(0);
    for (int i = 1; i < COROS; i++) {
        struct co__worker *w = &workers[(COROS - 1 - i) % THREADS];
        int r = 0;

        MODEL_CHECK(co__coro_take(NULL, &r) == &records[i]);
        records[i].next = w->free;
        w->free = &records[i];
        w->free_count++;
    }
}

#endif
