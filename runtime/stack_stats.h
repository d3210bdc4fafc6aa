/* SPDX-License-Identifier: MIT */
/* stack_stats.h - what /stats says about stacks. */
#ifndef CO_RUNTIME_STACK_STATS_H
#define CO_RUNTIME_STACK_STATS_H

/* Registers the statistics of stacks, once is enough. Threads: the one that starts a runtime. */
void co__stack_stats(void);

#endif
