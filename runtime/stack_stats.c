/* SPDX-License-Identifier: MIT */
/* stack_stats.c - statistics computed from the pool of stacks, as the part of no worker. */
#include "stack_stats.h"

#include "outside.h"
#include "stack.h"
#include <co/stats.h>

/* Passes a question on while there are stacks to ask for. */
static int64_t ask(int worker, size_t (*question)(void))
{
    int64_t value;

    if (worker >= 0 || !co__outside_enter())
        return 0;
    value = (int64_t)question();
    co__outside_leave();
    return value;
}

static size_t trimmed_count(void)
{
    return co__stacks_count().trimmed;
}

static int64_t unguarded(int worker, void *arg)
{
    (void)arg;
    return ask(worker, co__guards_missing);
}

static int64_t trimmed(int worker, void *arg)
{
    (void)arg;
    return ask(worker, trimmed_count);
}

static int64_t deepest(int worker, void *arg)
{
    (void)arg;
    return ask(worker, co__stacks_deepest);
}

void co__stack_stats(void)
{
    /* Where a program has used up all statistics, these are missing. */
    (void)!co_stat_register_reader("stack_unguarded", "Stacks that have no guard page.",
                                   CO_STAT_GAUGE, unguarded, NULL);
    (void)!co_stat_register_reader("stack_trimmed",
                                   "Times an idle stack's memory was given back to the kernel.",
                                   CO_STAT_COUNTER, trimmed, NULL);
    (void)!co_stat_register_reader("stack_deepest",
                                   "Most bytes of a stack of the default size seen in use.",
                                   CO_STAT_GAUGE, deepest, NULL);
}
