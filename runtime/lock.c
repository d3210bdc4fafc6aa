/* SPDX-License-Identifier: MIT */
/* lock.c - the slow halves of lock.h: spin a little, then sleep. */
#include "lock.h"

#include "cpu.h"
#include "futex.h"

enum { SPINS = 64 };

void co__lock_wait(struct co__lock *lock)
{
    for (int i = 0; i < SPINS; i++) {
        co__cpu_relax();
        if (co__lock_try(lock))
            return;
    }
    /* acquire pairs with the release in co__lock_give. 2 is stored even by who takes the lock here: others may
     * sleep, and one needless wake-up is the price of not counting them. */
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
        co__futex_wait(&lock->word, 2, CO_NEVER);
}

void co__lock_wake(struct co__lock *lock)
{
    co__futex_wake(&lock->word, 1);
}
