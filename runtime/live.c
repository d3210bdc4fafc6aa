/* SPDX-License-Identifier: MIT */
/* live.c - the count of live.h. */
#include "live.h"

/* When no coroutine may be counted any more. */
#define CLOSED INT64_MIN

bool co__live_enter(void)
{
    /* relaxed: the CAS decides. */
    int64_t live = atomic_load_explicit(&co__rt.live, memory_order_relaxed);

    do {
        if (live < CLOSED / 2)
            return false;
        /* seq_cst: against the CAS that closes the count. */
    } while (!atomic_compare_exchange_weak_explicit(&co__rt.live, &live, live + 1,
                                                    memory_order_seq_cst, memory_order_relaxed));
    return true;
}

void co__live_leave(void)
{
    /* seq_cst: against the CAS that closes the count; the kick comes after. */
    if (atomic_fetch_sub_explicit(&co__rt.live, 1, memory_order_seq_cst) == 1)
        (void)co__worker_kick(&co__rt.workers[0]);
}

void co__live_tell(struct co__worker *w)
{
    if (w->live == 0)
        return;
    /* relaxed: the publication of the sleep that follows, under the lock of the idle set, orders
     * it. */
    atomic_fetch_add_explicit(&co__rt.live, w->live, memory_order_relaxed);
    w->live = 0;
}

bool co__live_end(void)
{
    int64_t none = 0;

    /* seq_cst: against the CAS of a plain thread that starts a coroutine. */
    return atomic_compare_exchange_strong_explicit(&co__rt.live, &none, CLOSED,
                                                   memory_order_seq_cst,
                                                   memory_order_relaxed /* nothing follows */);
}
