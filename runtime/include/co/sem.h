/* SPDX-License-Identifier: MIT */
/* co/sem.h - a counting semaphore between coroutines of all workers; first come, first served. */
#ifndef CO_SEM_H
#define CO_SEM_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's; = {0} is a semaphore with no permits. */
struct co_sem {
    struct co_latch latch;
    int64_t permits;
    struct co_waitlist waiters;
};

/* Makes a semaphore with `permits` permits, 0 or more. Suspends: never. Threads: any. */
CO_API void co_sem_init(struct co_sem *sem, int64_t permits);

/* Ends a semaphore, for which nobody may wait. NULL does nothing. Suspends: never. Threads: any. */
CO_API void co_sem_done(struct co_sem *sem);

/*
 * Takes one permit, waiting its turn for it.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EPERM outside a coroutine. Suspends: yes. Threads:
 *   coroutines.
 */
CO_API CO_NODISCARD int co_sem_take(struct co_sem *sem);

/*
 * Takes one permit if there is one and nobody waits.
 * Returns: 0 or -EAGAIN. Suspends: never. Threads: any.
 */
CO_API CO_NODISCARD int co_sem_try(struct co_sem *sem);

/*
 * Gives `permits` permits; waiters get theirs directly, in turn. Zero or fewer does nothing.
 * Suspends: never. Threads: any.
 */
CO_API void co_sem_give(struct co_sem *sem, int64_t permits);

#ifdef __cplusplus
}
#endif
#endif
