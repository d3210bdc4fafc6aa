/* SPDX-License-Identifier: MIT */
/*
 * co/rwlock.h - many readers or one writer, between coroutines of all workers; first come, first
 * served.
 */
#ifndef CO_RWLOCK_H
#define CO_RWLOCK_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's; = {0} is an unlocked lock. */
struct co_rwlock {
    struct co_latch latch;
    uint32_t word; /* who holds it, and whether somebody may wait */
    struct co_waitlist waiters;
};

/* Makes an unlocked lock. Suspends: never. Threads: any. */
CO_API void co_rwlock_init(struct co_rwlock *lock);

/* Ends a lock that nobody holds or waits for. NULL does nothing. Suspends: never. Threads: any. */
CO_API void co_rwlock_done(struct co_rwlock *lock);

/*
 * Locks it for reading, together with other readers. A reader that comes after a waiting writer
 * waits behind it.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EPERM outside a coroutine. Suspends: yes. Threads:
 *   coroutines.
 */
CO_API CO_NODISCARD int co_rwlock_read(struct co_rwlock *lock);

/*
 * Locks it for writing, alone.
 * Returns, Suspends, Threads: as co_rwlock_read.
 */
CO_API CO_NODISCARD int co_rwlock_write(struct co_rwlock *lock);

/*
 * Gives back what the caller holds; those who are next get it, all readers up to the next writer
 * together.
 * Suspends: never. Threads: any, for the coroutine that locked it.
 */
CO_API void co_rwlock_unlock(struct co_rwlock *lock);

#ifdef __cplusplus
}
#endif
#endif
