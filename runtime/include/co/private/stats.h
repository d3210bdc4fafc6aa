/* SPDX-License-Identifier: MIT */
/* co/private/stats.h - counting on hot paths. Not installed. */
#ifndef CO_PRIVATE_STATS_H
#define CO_PRIVATE_STATS_H

#include <co/stats.h>

/*
 * Adds one to a counter for the worker that runs the caller: co_stat_add with fewer checks. `id` is
 * one of the runtime's, or what co_stat_register has returned; a negative one is ignored. Suspends:
 * never. Threads: any; not signal handlers.
 */
void co__count(int id);

#endif
