/* SPDX-License-Identifier: MIT */
/*
 * lock.h - takes the place of co/latch.h (by its include guard) in all models but that of the lock itself:
 * one step of the simulator instead of several.
 */
#ifndef CO_LATCH_H
#define CO_LATCH_H

#include <co/base.h>
#include <stdatomic.h>

struct co_latch {
    _Atomic uint32_t word;
};

void model_lock_take(const void *lock);
bool model_lock_try(const void *lock);
void model_lock_give(const void *lock);

static inline void co_latch_take(struct co_latch *lock)
{
    model_lock_take(lock);
}

static inline bool co_latch_try(struct co_latch *lock)
{
    return model_lock_try(lock);
}

static inline void co_latch_give(struct co_latch *lock)
{
    model_lock_give(lock);
}

#endif
