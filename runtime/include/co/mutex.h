/* SPDX-License-Identifier: MIT */
/*
 * co/mutex.h - mutual exclusion between coroutines of all workers; first come, first served. Unlike
 * a latch it may be held over calls that suspend.
 */
#ifndef CO_MUTEX_H
#define CO_MUTEX_H

#include <co/task.h>
#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The state of a co_mutex: 0, free; or HELD, and perhaps WAITED; runtime/sync/mutex.c. */
enum { CO__MUTEX_HELD = 1, CO__MUTEX_WAITED = 2 };

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
 * The slow half of an unlock, once HELD was taken away; not to be called otherwise.
 * Suspends: never. Threads: as co_mutex_unlock.
 */
CO_API void co_mutex_pass_on(struct co_mutex *mutex);

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
static inline void co_mutex_guard(struct co_mutex *const *mutex)
{
#ifdef NDEBUG
    /* relaxed: see set_owner in runtime/sync/mutex.c. */
    __atomic_store_n(&(*mutex)->owner, 0, __ATOMIC_RELAXED);
    /* release: what was written under the mutex is seen by the next one's acquire. */
    if (__atomic_fetch_sub(&(*mutex)->state, CO__MUTEX_HELD, __ATOMIC_RELEASE) != CO__MUTEX_HELD)
        co_mutex_pass_on(*mutex);
#else
    co_mutex_unlock(*mutex);
#endif
}

static inline struct co_mutex *co__mutex_locked(struct co_mutex *mutex)
{
    uint64_t self = co_self();
    uint32_t state = 0;

    /* acquire pairs with the release of the unlock; a failure is for the slow way (relaxed). */
    if (self && __atomic_compare_exchange_n(&mutex->state, &state, CO__MUTEX_HELD, false,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        __atomic_store_n(&mutex->owner, self, __ATOMIC_RELAXED /* as in co_mutex_guard */);
    else
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
