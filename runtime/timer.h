/* SPDX-License-Identifier: MIT */
/*
 * timer.h - one heap of deadlines per worker.
 *
 * A coroutine has one node. Invariant: while it is parked with deadline d, its node is armed at d
 * or earlier. So a later deadline costs nothing (the node stays, expiry moves it on), and a
 * coroutine that wakes in time leaves its node behind, to be reused or swept up. Only the parker
 * inserts, into the heap of the worker it is on; anyone may expire a heap, under its lock. The
 * order of the steps is told in timer.c.
 */
#ifndef CO_RUNTIME_TIMER_H
#define CO_RUNTIME_TIMER_H

#include <co/base.h>
#include <co/latch.h>
#include <stdatomic.h>

struct co__coro;
struct co__heap;

struct co__timer {
    _Atomic int64_t time;            /* when the node is due; CO_NEVER: not armed */
    _Atomic(struct co__heap *) heap; /* where it is linked, changed under that heap's lock */
    uint32_t place;                  /* in that heap */
};

struct co__heap_item {
    int64_t time;
    struct co__coro *co;
};

struct co__heap {
    struct co_latch lock;
    uint32_t count;
    uint32_t capacity;
    struct co__heap_item *items; /* 4-ary, items[0] is the earliest */
    _Atomic int64_t next;        /* time of items[0], or CO_NEVER: for a look without the lock */
};

int co__heap_start(struct co__heap *heap);
void co__heap_stop(struct co__heap *heap);

/*
 * Makes room for `count` nodes, so that arming cannot fail; the room costs address space until
 * used.
 * Returns: 0 or -ENOMEM. Threads: any.
 */
int co__heap_reserve(struct co__heap *heap, uint32_t count);

/*
 * Sees to it that the node of a coroutine that is being parked is armed at `until` or earlier.
 * Threads: the parker's worker, whose heap is `own`.
 */
void co__timer_arm(struct co__heap *own, struct co__coro *co, int64_t until);

/*
 * Ends the parks whose deadline has passed at `now`. Returns: how many. Threads: any.
 * try_only: if somebody holds the heap's lock, does nothing.
 */
int co__heap_expire(struct co__heap *heap, int64_t now, bool try_only);

/*
 * Whether the earliest node was left behind: its coroutine is not parked, or until later. A hint.
 * Threads: the owner.
 */
bool co__heap_is_stale(struct co__heap *heap);

/* Takes nodes that were left behind off the top, so that they wake nobody. Threads: the owner. */
void co__heap_trim(struct co__heap *heap);

/*
 * Returns: when the earliest node is due, CO_NEVER if there is none. Threads: any. Orders:
 * seq_cst.
 */
static inline int64_t co__heap_next(const struct co__heap *heap)
{
    /* seq_cst: part of the second look before sleep. */
    return atomic_load_explicit(&heap->next, memory_order_seq_cst);
}

#endif
