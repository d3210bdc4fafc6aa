/* SPDX-License-Identifier: MIT */
/* co/cond.h - a condition variable for coroutines that hold a co_mutex. */
#ifndef CO_COND_H
#define CO_COND_H

#include <co/mutex.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's; = {0} is ready to use. */
struct co_cond {
    struct co_latch latch;
    struct co_waitlist waiters;
};

/* Makes a condition variable. Suspends: never. Threads: any. */
CO_API void co_cond_init(struct co_cond *cond);

/* Ends one that nobody waits for. NULL does nothing. Suspends: never. Threads: any. */
CO_API void co_cond_done(struct co_cond *cond);

/*
 * Unlocks the mutex, waits to be signalled, and locks the mutex again, which nothing interrupts: it
 * is held whatever is returned. There are no wake-ups without a signal, but others may have had the
 * mutex in between: look at the condition again.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EPERM outside a coroutine. Suspends: yes.
 * Threads: the coroutine that holds the mutex.
 */
CO_API CO_NODISCARD int co_cond_wait(struct co_cond *cond, struct co_mutex *mutex);

/* Wakes the one that has waited longest, if any. Suspends: never. Threads: any. */
CO_API void co_cond_signal(struct co_cond *cond);

/* Wakes all that wait. Suspends: never. Threads: any. */
CO_API void co_cond_broadcast(struct co_cond *cond);

#ifdef __cplusplus
}
#endif
#endif
