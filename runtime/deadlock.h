/* SPDX-License-Identifier: MIT */
/*
 * deadlock.h - notice that every coroutine waits for another, and say who waits for what.
 *
 * A report must be true, so all of this has to hold, and still hold after `deadlock_report`:
 *   every worker sleeps, and nothing is ready anywhere;
 *   as many coroutines are parked as there are; so none is being woken, and no offloaded call,
 *     which counts as one or keeps its coroutine claimed, is under way;
 *   each is parked with CO_PARK_INSIDE, so no descriptor, signal or other process wakes it, and
 *     without a deadline;
 *   the process has no thread but the runtime's own, which could give or cancel something.
 * It is looked at when the watchdog lies down, at no cost to anybody else: while there is a timer,
 * or a coroutine that waits for a descriptor, that is a load or two, and the watchdog goes on to
 * sleep for good. What is missed: a plain thread that ends without having given what the
 * coroutines wait for.
 */
#ifndef CO_RUNTIME_DEADLOCK_H
#define CO_RUNTIME_DEADLOCK_H

#include <co/base.h>

/* A runtime starts. Threads: the watchdog, before the workers. */
void co__deadlock_start(void);

/*
 * Reports a deadlock that has lasted long enough. quiet: no worker has been awake since the last
 * call. Returns: when to look again, CO_NEVER if that is not needed while it stays quiet. Threads:
 * the watchdog.
 */
int64_t co__deadlock_watch(bool quiet);

#endif
