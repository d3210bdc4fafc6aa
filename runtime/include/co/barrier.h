/* SPDX-License-Identifier: MIT */
/*
 * co/barrier.h - a place where a fixed number of coroutines wait for each other, again and again.
 */
#ifndef CO_BARRIER_H
#define CO_BARRIER_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's. */
struct co_barrier {
    struct co_latch latch;
    uint32_t parties;
    uint32_t arrived; /* and waiting */
    uint32_t leaving; /* have come, were interrupted, and have still to learn that it opened */
    struct co_waitlist waiters;
    struct co_waitlist openers; /* the last to come, who wait for those */
};

/*
 * Makes a barrier that opens whenever `parties` coroutines have come.
 * Returns: 0; -EINVAL for none. Suspends: never. Threads: any.
 */
CO_API CO_NODISCARD int co_barrier_init(struct co_barrier *barrier, uint32_t parties);

/*
 * Ends a barrier at which nobody waits; who gets 1 from co_barrier_wait may, if nobody comes to it
 * any more. NULL does nothing. Suspends: never. Threads: any.
 */
CO_API void co_barrier_done(struct co_barrier *barrier);

/*
 * Waits until as many have come as there are parties; then all of them go on, and the next round
 * begins. Who is cancelled, or out of time, before that has not come: the others wait for one more.
 * Returns: 1 to the last that came, 0 to the others; -ETIMEDOUT, -ECANCELED: not come; -EPERM
 *   outside a coroutine.
 * Suspends: yes. Threads: coroutines. Orders: what any of them did before is seen by all of them
 *   after.
 */
CO_API CO_NODISCARD int co_barrier_wait(struct co_barrier *barrier);

#ifdef __cplusplus
}
#endif
#endif
