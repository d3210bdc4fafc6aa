/* SPDX-License-Identifier: MIT */
/*
 * co/mutex.h - mutual exclusion between coroutines of all workers; first come, first served. Unlike
 * a latch it may be held over calls that suspend.
 */
#ifndef CO_MUTEX_H
#define CO_MUTEX_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's; = {0} is an unlocked mutex. */
struct co_mutex {
    uint32_t state;
    struct co_latch latch;
    struct co_waitlist waiters;
    uint64_t owner; /* co_self() of who holds it, for reports and assertions */
};

/* Makes an unlocked mutex. Suspends: never. Threads: any. */
CO_API void co_mutex_init(struct co_mutex *mutex);

/* Ends a mutex that nobody holds or waits for. NULL does nothing. Suspends: never. Threads: any. */
CO_API void co_mutex_done(struct co_mutex *mutex);

/*
 * Locks it. It is not recursive.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EDEADLK if the caller has it already; -EPERM outside a
 *   coroutine. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_mutex_lock(struct co_mutex *mutex);

/*
 * Locks it whatever cancel and deadline say: for goodbyes, and for CO_LOCK.
 * Suspends: yes. Threads: coroutines; elsewhere, and for a coroutine that has it already, it
 *   aborts.
 */
CO_API void co_mutex_lock_always(struct co_mutex *mutex);

/*
 * Locks it if it is free.
 * Returns: 0; -EBUSY; -EPERM outside a coroutine. Suspends: never. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_mutex_try(struct co_mutex *mutex);

/*
 * Unlocks it; whoever has waited longest has it then.
 * Suspends: never. Threads: the coroutine that locked it.
 */
CO_API void co_mutex_unlock(struct co_mutex *mutex);

/* The clean-up of CO_LOCK. Suspends: never. Threads: as co_mutex_unlock. */
CO_API void co_mutex_guard(struct co_mutex *const *mutex);

static inline struct co_mutex *co__mutex_locked(struct co_mutex *mutex)
{
    co_mutex_lock_always(mutex);
    return mutex;
}

/* Holds the mutex to the end of the block. Never interrupted: there is no error to look at. */
#define CO_LOCK(mutex)                                \
    struct co_mutex *const CO_CAT(co_lock_, __LINE__) \
        __attribute__((cleanup(co_mutex_guard), unused)) = co__mutex_locked(mutex)

#ifdef __cplusplus
}
#endif
#endif
