/* SPDX-License-Identifier: MIT */
/* latch.c - the slow halves of co/latch.h: spin a little, then sleep. */
#include <co/latch.h>

#include "cpu.h"
#include "futex.h"

enum { SPINS = 64 };

void co_latch_wait(struct co_latch *latch)
{
    for (int i = 0; i < SPINS; i++) {
        co__cpu_relax();
        if (co_latch_try(latch))
            return;
    }
    /* acquire pairs with the release in co_latch_give. 2 is stored even by who takes the latch
     * here: others may sleep, and one needless wake-up is the price of not counting them. */
    while (__atomic_exchange_n(&latch->word, 2, __ATOMIC_ACQUIRE) != 0)
        co__futex_wait(&latch->word, 2, CO_NEVER);
}

void co_latch_wake(struct co_latch *latch)
{
    co__futex_wake(&latch->word, 1);
}
