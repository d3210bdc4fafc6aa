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

/* The word of a co_rwlock: one of these, or readers and perhaps WAITED; runtime/sync/rwlock.c. */
enum { CO__RWLOCK_WRITER = 1, CO__RWLOCK_WAITED = 2, CO__RWLOCK_READER = 4 };

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
 * Locks it for reading whatever cancel and deadline say: for goodbyes, and for CO_READ_LOCK.
 * Suspends: yes. Threads: coroutines; elsewhere it aborts if it would have to wait.
 */
CO_API void co_rwlock_read_always(struct co_rwlock *lock);

/*
 * Locks it for writing whatever cancel and deadline say: for goodbyes, and for CO_WRITE_LOCK.
 * Suspends, Threads: as co_rwlock_read_always.
 */
CO_API void co_rwlock_write_always(struct co_rwlock *lock);

/*
 * Gives back what the caller holds; those who are next get it, all readers up to the next writer
 * together.
 * Suspends: never. Threads: any, for the coroutine that locked it.
 */
CO_API void co_rwlock_unlock(struct co_rwlock *lock);

/*
 * The fast half of the two guards below: from free to locked, or back, if nobody else is there.
 * Returns: whether that was so.
 */
static inline bool co__rwlock_step(struct co_rwlock *lock, uint32_t from, uint32_t to)
{
    /*
     * acq_rel: acquire pairs with the release of the unlock before, release with the acquire of the
     * next one to lock. A failure reads nothing (relaxed).
     */
    return __atomic_compare_exchange_n(&lock->word, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static inline struct co_rwlock *co__rwlock_reads(struct co_rwlock *lock)
{
    if (!co__rwlock_step(lock, 0, CO__RWLOCK_READER))
        co_rwlock_read_always(lock);
    return lock;
}

static inline struct co_rwlock *co__rwlock_writes(struct co_rwlock *lock)
{
    if (!co__rwlock_step(lock, 0, CO__RWLOCK_WRITER))
        co_rwlock_write_always(lock);
    return lock;
}

static inline void co__rwlock_has_read(struct co_rwlock *const *lock)
{
    if (!co__rwlock_step(*lock, CO__RWLOCK_READER, 0))
        co_rwlock_unlock(*lock);
}

static inline void co__rwlock_has_written(struct co_rwlock *const *lock)
{
    if (!co__rwlock_step(*lock, CO__RWLOCK_WRITER, 0))
        co_rwlock_unlock(*lock);
}

/* Holds the lock to the end of the block, with other readers. Never interrupted. */
#define CO_READ_LOCK(lock)                                  \
    struct co_rwlock *const CO_CAT(co_read_lock_, __LINE__) \
        __attribute__((cleanup(co__rwlock_has_read), unused)) = co__rwlock_reads(lock)

/* Holds the lock to the end of the block, alone. Never interrupted. */
#define CO_WRITE_LOCK(lock)                                  \
    struct co_rwlock *const CO_CAT(co_write_lock_, __LINE__) \
        __attribute__((cleanup(co__rwlock_has_written), unused)) = co__rwlock_writes(lock)

#ifdef __cplusplus
}
#endif
#endif
