/* SPDX-License-Identifier: MIT */
/*
 * idle.h - which workers sleep and how many search: no wake-up is lost, and none is for nothing.
 *
 * The counts (sleepers, searchers) and the bits (who sleeps) change together, under one small lock
 * that is never held over a system call. The counts are also read without the lock:
 *
 *   who brings work:  publish the work (seq_cst)   ->  look at the counts (seq_cst)
 *   who will sleep:   publish the sleep (seq_cst)  ->  look at every queue, timer and inbox again
 *                     (seq_cst)
 *
 * so at least one of the two sees the other. A worker is in one of these states:
 *
 *   working    -> searching  by co__idle_search, if fewer than half of the workers search
 *   searching  -> working    by co__idle_found; the last one to find something looks at every
 *                            queue (seq_cst) and wakes the next if there is more
 *   working, searching -> asleep  by co__idle_sleep; giving up the search is part of the same step
 *   asleep     -> searching  by co__idle_notify or co__idle_wake of somebody else, who has taken
 *                            its bit and counted it;
 *                            or by co__idle_leave of its own, if the second look found work
 *   asleep     -> working    by co__idle_leave of its own, after an event or a time-out
 *
 * Whoever takes the sleepers from all to one less wakes the watchdog, if it dozes:
 *   the watchdog: dozing := 1 (seq_cst)  ->  look at phase and counts (seq_cst)  ->  sleep while it
 *     is 1
 *   who has news: phase or counts (seq_cst)  ->  dozing (seq_cst); if 1, 0 and wake
 * The word is its own, not the counts: a worker that wakes, changes the phase and goes back to
 * sleep leaves those as they were.
 */
#ifndef CO_RUNTIME_IDLE_H
#define CO_RUNTIME_IDLE_H

#include "cpu.h"
#include <co/base.h>
#include <co/latch.h>
#include <co/private/run.h>
#include <stdatomic.h>

struct co__idle {
    _Alignas(CO__CACHE_LINE) _Atomic uint32_t counts; /* sleepers << 16 | searchers */
    struct co_latch lock;
    _Atomic uint32_t dozing; /* the watchdog's: it sleeps, or is about to */
    int workers;
    uint64_t bits[CO__WORKERS_MAX / 64]; /* under the lock */
};

void co__idle_start(struct co__idle *idle, int workers);

/*
 * Returns: the worker to write a wake-up to, counted as a searcher; -1 if none is due. Threads:
 * any.
 */
int co__idle_notify(struct co__idle *idle);

/* Takes that very worker out of its sleep. Returns: false if it does not sleep. Threads: any. */
bool co__idle_wake(struct co__idle *idle, int worker);

/* Returns: whether the caller is a searcher now. */
bool co__idle_search(struct co__idle *idle);

/*
 * Returns: whether the caller was the last searcher, and should call co__idle_notify if there is
 * more. Orders: seq_cst, before that look.
 */
bool co__idle_found(struct co__idle *idle);

/*
 * Publishes the sleep of a worker; `searching`: it gives that up. `last`, unless NULL, is called
 * under the lock when now all sleep. Returns: what `last` returned.
 */
bool co__idle_sleep(struct co__idle *idle, int worker, bool searching, bool (*last)(void));

/* Ends the sleep of a worker. Returns: whether it is a searcher now. */
bool co__idle_leave(struct co__idle *idle, int worker, bool found);

/* Wakes the watchdog if it dozes: the counts or the phase have changed. Threads: any. */
void co__idle_tell(struct co__idle *idle);

/*
 * The watchdog is about to look whether it may doze; then it dozes at most until `until`, or does
 * not.
 */
void co__idle_doze_off(struct co__idle *idle);
void co__idle_doze(struct co__idle *idle, bool really, int64_t until);

/* Returns: whether any worker is awake. Orders: seq_cst. */
bool co__idle_anyone_awake(const struct co__idle *idle, uint32_t *ret_counts);

#endif
