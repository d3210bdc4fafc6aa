/* SPDX-License-Identifier: MIT */
/*
 * run.h - the life of a runtime: start, stop, end.
 *
 *   RUN     -> DRAIN   by co_stop: listeners close, what has begun is answered; the step is made by
 *                      the worker that sees it first, or the watchdog, as all may compute
 *   DRAIN   -> CANCEL  at the grace time: everything is cancelled, nothing new starts
 *   any     -> STOP    by the worker that falls asleep last, when the first function has returned
 *                      and no coroutine is left; from then on nothing runs
 */
#ifndef CO_RUNTIME_RUN_H
#define CO_RUNTIME_RUN_H

#include "worker.h"
#include <co/private/run.h>

/*
 * Whether a stop was asked for and not yet begun, or a signal was caught: part of the second look
 * before sleep.
 */
bool co__run_urgent(void);

/*
 * Begins to drain if a stop was asked for, and tells those who wait for signals. Threads: workers,
 * on their own stack.
 */
void co__run_check(struct co__worker *w);

/*
 * The step to DRAIN alone, if a stop was asked for: from then on the grace time counts. Returns:
 * whether it was this call's.
 */
bool co__run_begin_drain(void);

/* Whether the runtime is over; called under the lock of the idle set when all workers sleep. */
bool co__run_last_asleep(void);

/* Puts the signal handlers back that were there before. Threads: a forked child's only one. */
void co__run_handlers_off(void);

/* Tells everybody that it is over. */
void co__run_finished(void);

/*
 * A record for a coroutine that is to be started by the caller. Returns: NULL and *ret_err:
 * -ENOMEM, -EAGAIN, or -ECANCELED past the grace time. w: NULL on plain threads, which are inside
 * (outside.h).
 */
struct co__coro *co__spawn_take(struct co__worker *w, int *ret_err);

/* Whether options are within their limits. */
bool co__opts_valid(const struct co_opts *opts);

/* Applies options to a record that was taken. Returns: 0 or -ENOMEM. */
int co__spawn_opts(struct co__worker *w, struct co__coro *co, const struct co_opts *opts);

/* Counts it as started, and makes it ready. */
void co__spawn_done(struct co__worker *w, struct co__coro *co);

/* Gives back a record that was taken and is not started after all; it has no stack yet. */
void co__spawn_undo(struct co__worker *w, struct co__coro *co);

/* Starts the first function. */
int co__go_main(co_main_fn *fn, void *arg);

#endif
