/* SPDX-License-Identifier: MIT */
/*
 * chaos.c - the dice of chaos.h: a counter through a mixing function (SplitMix64, Steele et al.
 * 2014).
 */
#include "chaos.h"

#include <stdatomic.h>
#include <stdlib.h>

/* One in so many, per point. */
static const unsigned odds[CO__CHAOS_POINTS] = {
    [CO__CHAOS_MOVE] = 2,  [CO__CHAOS_YIELD] = 8, [CO__CHAOS_DELAY] = 16,
    [CO__CHAOS_RETRY] = 4, [CO__CHAOS_SHORT] = 4,
};

static bool enabled;
static _Atomic uint64_t state;
static _Atomic uint64_t hits[CO__CHAOS_POINTS];

void co__chaos_start(void)
{
    const char *seed = getenv("CO_CHAOS");

    enabled = seed && *seed;
    if (enabled) /* relaxed: no other thread yet */
        atomic_store_explicit(&state, strtoull(seed, NULL, 0), memory_order_relaxed);
}

bool co__chaos(enum co__chaos_point point)
{
    uint64_t z;

    if (!enabled)
        return false;
    /* relaxed: dice, nothing is ordered by them. */
    z = atomic_fetch_add_explicit(&state, UINT64_C(0x9e3779b97f4a7c15), memory_order_relaxed);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    if ((z ^ (z >> 31)) % odds[point] != 0)
        return false;
    atomic_fetch_add_explicit(&hits[point], 1, memory_order_relaxed /* a statistic */);
    return true;
}

uint64_t co__chaos_hits(enum co__chaos_point point)
{
    /* relaxed: a statistic. */
    return atomic_load_explicit(&hits[point], memory_order_relaxed);
}
