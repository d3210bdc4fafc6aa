/* SPDX-License-Identifier: MIT */
/*
 * co/latch.h - a lock for a few instructions between threads: what primitives and pools guard their
 * lists with.
 *
 * It locks threads, not coroutines: while it is held nothing may suspend, and no system call be
 * made. So it is free nearly always; a thread that finds it taken spins a little, then sleeps on a
 * futex (after Drepper, "Futexes Are Tricky", mutex 2). Zeroed is free; there is nothing to
 * destroy. Coroutines that want to hold a lock over calls that suspend use co/mutex.h.
 *
 *   0 free      -> 1 by take
 *   1 held      -> 0 by give; -> 2 by a thread that is about to sleep
 *   2 held, and somebody may sleep -> 0 by give, which wakes one
 */
#ifndef CO_LATCH_H
#define CO_LATCH_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co_latch {
    uint32_t word;
};

/*
 * The slow half of co_latch_take; not to be called otherwise.
 * Suspends: never; it may put the thread to sleep. Threads: any.
 */
CO_API void co_latch_wait(struct co_latch *latch);

/*
 * The slow half of co_latch_give; not to be called otherwise.
 * Suspends: never. Threads: any.
 */
CO_API void co_latch_wake(struct co_latch *latch);

/*
 * Takes the latch.
 * Suspends: never. Threads: any; the same thread gives it, soon. Orders: what was written under the
 *   latch is seen.
 */
static inline void co_latch_take(struct co_latch *latch)
{
    uint32_t free_word = 0;

    /*
     * acquire pairs with the release in co_latch_give; after a failure the slow half asks again
     * (relaxed).
     */
    if (!__atomic_compare_exchange_n(&latch->word, &free_word, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        co_latch_wait(latch);
}

/*
 * Takes the latch if it is free.
 * Returns: whether it is the caller's now. Suspends: never. Threads: as co_latch_take.
 */
CO_NODISCARD static inline bool co_latch_try(struct co_latch *latch)
{
    uint32_t free_word = 0;

    /*
     * acquire pairs with the release in co_latch_give; after a failure nothing is read (relaxed).
     */
    return __atomic_compare_exchange_n(&latch->word, &free_word, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/*
 * Gives it back; the holder's last access to it.
 * Suspends: never. Threads: the holder.
 */
static inline void co_latch_give(struct co_latch *latch)
{
    /* release: what was written under the latch is seen by the next taker's acquire. */
    if (__atomic_exchange_n(&latch->word, 0, __ATOMIC_RELEASE) == 2)
        co_latch_wake(latch);
}

#ifdef __cplusplus
}
#endif
#endif
