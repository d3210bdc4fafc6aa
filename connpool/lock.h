/* SPDX-License-Identifier: MIT */
/*
 * connpool/lock.h - a lock for sections of a few instructions, in which nothing suspends.
 *
 * The tiers that this layer may use have no lock (a mutex of coroutines would suspend, one of
 * pthreads would put a worker to sleep over a list operation). It spins, and gives the processor
 * away when that takes long: then the holder has been preempted. Order: a gate's lock before a
 * shard's; never two shards'.
 */
#ifndef CO_CONNPOOL_LOCK_H
#define CO_CONNPOOL_LOCK_H

#include <co/base.h>
#include <sched.h>

struct co__lock {
    uint32_t held;
};

/* How often it looks before it yields the processor. */
#define CO__LOCK_SPINS 100

static inline void co__lock_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void co__lock_take(struct co__lock *lock)
{
    int spins = 0;

    /* Acquire: pairs with the release in co__lock_give; what the last holder wrote is seen. */
    while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) != 0) {
        /* Relaxed: only a hint when to try the exchange again. */
        while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED) != 0) {
            if (++spins % CO__LOCK_SPINS == 0)
                (void)sched_yield();
            else
                co__lock_pause();
        }
    }
}

/* The holder's last access to what the lock protects, and to the lock itself. */
static inline void co__lock_give(struct co__lock *lock)
{
    /* Release: pairs with the acquire in co__lock_take. */
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
