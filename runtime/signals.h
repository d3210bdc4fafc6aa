/* SPDX-License-Identifier: MIT */
/* signals.h - what the worker's loop and the end of a runtime have to do with co/signal.h. */
#ifndef CO_RUNTIME_SIGNALS_H
#define CO_RUNTIME_SIGNALS_H

#include <co/base.h>
#include <stdatomic.h>

/* Signals that were caught and not yet told to the watches: signal n is bit n - 1. */
extern _Atomic uint64_t co__signals_caught;

/* Whether there are any, as part of the second look before sleep. */
static inline bool co__signals_urgent(void)
{
    /* seq_cst: after the sleep was published; against the handler's "bit, then kick". */
    return atomic_load_explicit(&co__signals_caught, memory_order_seq_cst) != 0;
}

/* The slow half of co__signals_check. */
void co__signals_deliver(void);

/* Tells the watches what was caught. Threads: workers, on their own stack. */
static inline void co__signals_check(void)
{
    /* relaxed: a look; the exchange takes them. */
    if (atomic_load_explicit(&co__signals_caught, memory_order_relaxed) != 0)
        co__signals_deliver();
}

/* Ends all waits, when draining has begun. Threads: a worker, on its own stack. */
void co__signals_drain(void);

/* Closes what is still open, at the end of a runtime. Threads: the one that runs it. */
void co__signals_end(void);

/* The same without locks, which others may hold. Threads: a forked child's only one. */
void co__signals_forget(void);

#endif
