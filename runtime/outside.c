/* SPDX-License-Identifier: MIT */
/* outside.c - the door of outside.h. */
#include "outside.h"

#include "worker.h"
#include <sched.h>

static _Atomic int is_open;
static _Atomic int inside;

bool co__outside_enter(void)
{
    if (co__worker())
        return true;
    /* seq_cst, both: counted first, then the look; against "closed first, then the count". */
    atomic_fetch_add_explicit(&inside, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&is_open, memory_order_seq_cst))
        return true;
    /* release: pairs with the load in co__outside_close. */
    atomic_fetch_sub_explicit(&inside, 1, memory_order_release);
    return false;
}

void co__outside_leave(void)
{
    if (!co__worker()) /* release: what was done inside comes before the end */
        atomic_fetch_sub_explicit(&inside, 1, memory_order_release);
}

void co__outside_open(void)
{
    /* seq_cst: publishes the runtime to whoever enters. */
    atomic_store_explicit(&is_open, 1, memory_order_seq_cst);
}

void co__outside_close(void)
{
    /* seq_cst, both: see co__outside_enter; the load also acquires what was done inside. */
    atomic_store_explicit(&is_open, 0, memory_order_seq_cst);
    while (atomic_load_explicit(&inside, memory_order_seq_cst) > 0)
        (void)sched_yield();
}

bool co__outside_shut(void)
{
    /* relaxed: there is no other thread. */
    return atomic_exchange_explicit(&is_open, 0, memory_order_relaxed);
}
