/* SPDX-License-Identifier: MIT */
/*
 * lock.h - a small lock for a few instructions between threads of the runtime.
 *
 * It is never held over a system call or a switch, so it is free nearly always; a thread that finds it taken
 * spins a little, then sleeps on a futex (after Drepper, "Futexes Are Tricky", mutex 2).
 *
 *   0 free      -> 1 by take
 *   1 held      -> 0 by give; -> 2 by a thread that is about to sleep
 *   2 held, and somebody may sleep -> 0 by give, which wakes one
 */
#ifndef CO_RUNTIME_LOCK_H
#define CO_RUNTIME_LOCK_H

#include <co/base.h>
#include <stdatomic.h>

struct co__lock {
    _Atomic uint32_t word;
};

/* The slow halves. */
void co__lock_wait(struct co__lock *lock);
void co__lock_wake(struct co__lock *lock);

/* Suspends: never. Threads: any; the holder must give it on the same thread, soon. */
static inline void co__lock_take(struct co__lock *lock)
{
    uint32_t free = 0;

    /* acquire pairs with the release in co__lock_give; a failure is retried by the slow half. */
    if (!atomic_compare_exchange_strong_explicit(&lock->word, &free, 1, memory_order_acquire,
                                                 memory_order_relaxed /* value unused */))
        co__lock_wait(lock);
}

/* Returns: whether the lock was free and is now the caller's. */
static inline bool co__lock_try(struct co__lock *lock)
{
    uint32_t free = 0;

    /* acquire pairs with the release in co__lock_give; after a failure nothing is read. */
    return atomic_compare_exchange_strong_explicit(&lock->word, &free, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void co__lock_give(struct co__lock *lock)
{
    /* release: what was written under the lock is seen by the next taker's acquire. */
    if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2)
        co__lock_wake(lock);
}

#endif
