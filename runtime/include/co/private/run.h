/* SPDX-License-Identifier: MIT */
/* co/private/run.h - what the layers above the runtime see of its life. Not installed. */
#ifndef CO_PRIVATE_RUN_H
#define CO_PRIVATE_RUN_H

#include <co/base.h>

/* The most workers that a runtime may have. */
enum { CO__WORKERS_MAX = 256 };

/*
 * Whether draining has begun: what waits must not wait any longer. co_stopping is true a little
 * earlier.
 * Orders: seq_cst, after the caller has published that it waits.
 */
bool co__run_draining(void);

/* So many bytes moved cost as much as a call: each takes a microsecond or two. */
enum { CO__SPEND_LEAST = 8192 };

/* Has the running coroutine pay for so many calls more. Suspends: never. Threads: any. */
void co__spend_calls(size_t calls);

/*
 * Has the running coroutine pay for what a call has moved at once, so that whoever moves much
 * yields after about as much time as whoever makes many small calls. Fewer bytes than
 * CO__SPEND_LEAST cost nothing, nor does a failure.
 * Suspends: never; the next co_check may. Threads: any.
 */
static inline void co__spend(ssize_t bytes)
{
    if (bytes >= CO__SPEND_LEAST)
        co__spend_calls((size_t)bytes / CO__SPEND_LEAST);
}

#endif
