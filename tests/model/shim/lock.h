/* SPDX-License-Identifier: MIT */
/*
 * lock.h - takes the place of runtime/lock.h (by its include guard) in all models but that of the lock itself:
 * one step of the simulator instead of several.
 */
#ifndef CO_RUNTIME_LOCK_H
#define CO_RUNTIME_LOCK_H

#include <co/base.h>
#include <stdatomic.h>

struct co__lock {
    _Atomic uint32_t word;
};

void model_lock_take(const void *lock);
bool model_lock_try(const void *lock);
void model_lock_give(const void *lock);

static inline void co__lock_take(struct co__lock *lock)
{
    model_lock_take(lock);
}

static inline bool co__lock_try(struct co__lock *lock)
{
    return model_lock_try(lock);
}

static inline void co__lock_give(struct co__lock *lock)
{
    model_lock_give(lock);
}

#endif
