/* SPDX-License-Identifier: MIT */
/* local.h - the end of coroutine-local values; see co/local.h. */
#ifndef CO_RUNTIME_LOCAL_H
#define CO_RUNTIME_LOCAL_H

#include "coro.h"

/* The slow half of co__locals_end. */
void co__locals_end_all(struct co__coro *co);

/*
 * Ends the values of a coroutine whose function has returned. Suspends: what the values' functions
 * do. Threads: the coroutine itself, which may be on another worker afterwards.
 */
static inline void co__locals_end(struct co__coro *co)
{
    if (co->locals)
        co__locals_end_all(co);
}

#endif
