/* SPDX-License-Identifier: MIT */
/*
 * chaos.c - the dice of co/private/chaos.h: a counter through a mixing function (SplitMix64, Steele
 * et al. 2014).
 */
#include <co/private/chaos.h>

#include "text.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* One in so many, per point. */
static const struct {
    const char *name;
    unsigned odds;
} points[CO__CHAOS_POINTS] = {
    [CO__CHAOS_MOVE] = {"move", 2},    [CO__CHAOS_YIELD] = {"yield", 8},
    [CO__CHAOS_DELAY] = {"delay", 16}, [CO__CHAOS_LATE] = {"late", 32},
    [CO__CHAOS_RACE] = {"race", 64},   [CO__CHAOS_ROUSE] = {"rouse", 8},
    [CO__CHAOS_RETRY] = {"retry", 4},  [CO__CHAOS_INTR] = {"intr", 8},
    [CO__CHAOS_SHORT] = {"short", 4},  [CO__CHAOS_SPAWN] = {"spawn", 16},
    [CO__CHAOS_STACK] = {"stack", 4},  [CO__CHAOS_WORK] = {"work", 4},
};

static bool enabled;
static bool may_fail;
static _Atomic uint64_t state;
static _Atomic uint64_t hits[CO__CHAOS_POINTS];

static void report(void)
{
    char buf[512];
    struct co__text text = {.buf = buf, .size = sizeof buf};

    co__text_str(&text, "corvid: chaos:");
    for (int i = 0; i < CO__CHAOS_POINTS; i++) {
        co__text_str(&text, " ");
        co__text_str(&text, points[i].name);
        co__text_str(&text, " ");
        co__text_dec(&text, co__chaos_hits((enum co__chaos_point)i));
    }
    co__text_str(&text, "\n");
    co__text_write(&text, STDERR_FILENO);
}

void co__chaos_start(void)
{
#ifdef CO_CHAOS_BUILD
    static unsigned runs;
    static bool reporting;
    const char *seed = getenv("CO_CHAOS");
    char *end;

    enabled = seed && *seed;
    if (!enabled)
        return;
    /* Other dice for each runtime: what fails in one does not fail in the next. relaxed: no other
     * thread yet. */
    atomic_store_explicit(&state, strtoull(seed, &end, 0) + ((uint64_t)runs++ << 32),
                          memory_order_relaxed);
    may_fail = strcmp(end, ",fail") == 0;
    if (!reporting)
        reporting = atexit(report) == 0;
#else
    (void)report;
#endif
}

bool co__chaos(enum co__chaos_point point)
{
    uint64_t z;

    if (!enabled || (point >= CO__CHAOS_FAIL && !may_fail))
        return false;
    /* relaxed: dice, nothing is ordered by them. */
    z = atomic_fetch_add_explicit(&state, UINT64_C(0x9e3779b97f4a7c15), memory_order_relaxed);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    if ((z ^ (z >> 31)) % points[point].odds != 0)
        return false;
    atomic_fetch_add_explicit(&hits[point], 1, memory_order_relaxed /* a statistic */);
    return true;
}

uint64_t co__chaos_hits(enum co__chaos_point point)
{
    /* relaxed: a statistic. */
    return atomic_load_explicit(&hits[point], memory_order_relaxed);
}
