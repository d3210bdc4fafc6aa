/* SPDX-License-Identifier: MIT */
/*
 * co/trace.h - what the scheduler did last.
 *
 * With `[runtime] trace = on` every worker keeps its last 4,095 events in a ring: who was started,
 * ran, parked, yielded, was made ready and with what result, was stolen, ended; when the worker
 * looked outside, slept, woke. A failed assertion (co/assert.h) writes the rings by itself.
 */
#ifndef CO_TRACE_H
#define CO_TRACE_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Writes the last `max` events of all workers to a descriptor, one a line, by time; 0: all there
 * are. Events that are overwritten meanwhile are left out.
 *
 * Returns: how many it wrote; -EPERM outside a runtime, -ENODATA with `trace = off`, -EBUSY while
 * another thread is at it.
 * Suspends: never, though write(2) may block. Threads: any.
 */
CO_API int co_trace_dump(int fd, int max);

#ifdef __cplusplus
}
#endif

#endif
