/* SPDX-License-Identifier: MIT */
/* offload.h - the life of the pool behind co/offload.h. */
#ifndef CO_RUNTIME_OFFLOAD_H
#define CO_RUNTIME_OFFLOAD_H

#include <co/base.h>

/* The most threads that [runtime] offload_threads may ask for. */
enum { CO__OFFLOAD_MAX = 1024 };

/* An empty pool; threads are started when there is something for them. Threads: one. */
void co__offload_start(int max);

/* Ends and joins its threads, for which nothing is left to do. Threads: as co__offload_start. */
void co__offload_stop(void);

/* Returns: how many threads it has. Threads: any. */
int co__offload_threads(void);

#endif
