/* SPDX-License-Identifier: MIT */
/*
 * live.h - how many coroutines there are, and the end of a runtime that has none left.
 *
 * co__rt.live is the count, less what workers have not told yet: a worker counts its own starts and
 * ends in a plain number (w->live), and tells the sum before it publishes that it sleeps. Threads
 * that are not workers count in the word itself.
 *
 *   open    -> closed  by co__live_end, at zero: by the worker that falls asleep last
 *   closed  nobody may start a coroutine any more
 *
 * The first coroutine counts from before the first worker's start. When all sleep, all have told,
 * so zero is the truth; but a plain thread may count itself just then and leave again without a
 * coroutine. The one that leaves nothing behind has a worker look again.
 */
#ifndef CO_RUNTIME_LIVE_H
#define CO_RUNTIME_LIVE_H

#include "worker.h"

/* Counts one more. Returns: false if it is too late. Threads: those that are not workers. */
bool co__live_enter(void);

/* Counts one less: a start that failed, work that was done. Threads: those that are not workers. */
void co__live_leave(void);

/* Adds up what the worker has counted. Threads: the worker's, before it publishes its sleep. */
void co__live_tell(struct co__worker *w);

/* Returns: whether that was the end; then it is closed. Threads: the worker that sleeps last. */
bool co__live_end(void);

#endif
