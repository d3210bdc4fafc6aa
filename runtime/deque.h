/* SPDX-License-Identifier: MIT */
/*
 * deque.h - the Chase-Lev deque of ready coroutines: one owner, many thieves.
 *
 * After Le, Pop, Cohen and Zappa Nardelli, "Correct and efficient work-stealing for weak memory
 * models" (PPoPP 2013), bounded: a fixed ring, so there is no array to grow, and 64-bit indices
 * that are never reset, so there is no ABA. Written with ordered operations instead of fences,
 * which ThreadSanitizer does not model.
 *
 * Invariant: top <= bottom <= top + CAPACITY, as the owner sees them. Slots [top, bottom) hold the
 * elements.
 *   bottom  written by the owner alone.
 *   top     only grows, by CAS.
 *
 * Two service orders, chosen per runtime and never mixed on one deque:
 *   fifo  the owner takes at the top like a thief; thieves take half of it in one CAS. bottom is
 *         never lowered, which is what makes taking many at once sound: no slot below bottom is
 *         taken without the CAS on top.
 *   lifo  the owner takes at the bottom (the classic order); thieves take one.
 */
#ifndef CO_RUNTIME_DEQUE_H
#define CO_RUNTIME_DEQUE_H

#include "cpu.h"
#include <co/base.h>
#include <stdatomic.h>

struct co__coro;

/* A power of two. tests/model compiles this file with a small ring. */
#ifndef CO__DEQUE_CAPACITY
#define CO__DEQUE_CAPACITY 256
#endif

struct co__deque {
    _Alignas(CO__CACHE_LINE) _Atomic int64_t top;
    _Alignas(CO__CACHE_LINE) _Atomic int64_t bottom;
    _Alignas(CO__CACHE_LINE) _Atomic(struct co__coro *) slot[CO__DEQUE_CAPACITY];
};

/*
 * Adds at the bottom. Returns: false when full. Threads: owner.
 * Orders: what the owner wrote before is seen by whoever takes the element.
 */
bool co__deque_push(struct co__deque *deque, struct co__coro *co);

/*
 * What will be taken at the top after `ahead` others, unless a thief is faster: a hint of what to
 * fetch into the cache. Returns: NULL if there is none. Threads: owner.
 */
static inline struct co__coro *co__deque_peek(const struct co__deque *deque, int64_t ahead)
{
    /* relaxed, all: the element may be somebody else's by now, and is only looked at as memory. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_relaxed) + ahead;
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed /* as above */);

    if (top >= bottom)
        return NULL;
    return atomic_load_explicit(&deque->slot[top & (CO__DEQUE_CAPACITY - 1)],
                                memory_order_relaxed /* as above */);
}

/*
 * Makes all pushes so far take part in the single total order, so that a look at the counts of
 * sleepers that comes after cannot miss a worker that looked at this deque before them (see
 * idle.h). Threads: owner.
 */
void co__deque_publish(struct co__deque *deque);

/* Takes at the top, first in first out. Returns: NULL when empty. Threads: owner, order fifo. */
struct co__coro *co__deque_pop_fifo(struct co__deque *deque);

/* Takes at the bottom, last in first out. Returns: NULL when empty. Threads: owner, order lifo. */
struct co__coro *co__deque_pop_lifo(struct co__deque *deque);

/*
 * Moves the older half (rounded up) of `victim` to `own`, which must be empty, in one step; the
 * oldest of them is not put there but returned. Returns: NULL when there was nothing, or another
 * was faster; *ret_count is the number taken. Threads: owner of `own`, order fifo.
 */
struct co__coro *co__deque_steal_half(struct co__deque *victim, struct co__deque *own,
                                      int *ret_count);

/* Takes the oldest. Returns: NULL when empty or another was faster. Threads: any, both orders. */
struct co__coro *co__deque_steal_one(struct co__deque *victim);

/*
 * Takes up to `max` of the oldest out in one step, to make room. Returns: how many are in
 * ret_taken; 0 if another was faster. Threads: owner, order fifo.
 */
int co__deque_spill(struct co__deque *deque, struct co__coro **ret_taken, int max);

/*
 * How many elements there were at some moment during the call. Threads: any.
 * Orders: seq_cst, for the second look before sleep (see idle.h).
 */
int co__deque_size(const struct co__deque *deque);

#endif
