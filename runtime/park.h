/* SPDX-License-Identifier: MIT */
/* park.h - the runtime's own side of co/park.h. */
#ifndef CO_RUNTIME_PARK_H
#define CO_RUNTIME_PARK_H

#include "coro.h"
#include <co/park.h>

struct co__worker;

/* What parks on a wait source say that they wait for; compared by its address. */
extern const char co__park_source[];

/* co_unpark for callers that are part of the runtime: no look whether it still runs. */
bool co__unpark(co_ticket ticket, int result);

/*
 * co_park_for with a time of its own: ends with -ETIMEDOUT at the earlier of `until` and the
 * deadline in force.
 */
int co__park_until(const char *what, co_commit_fn *commit, void *arg, unsigned flags,
                   int64_t until);

/* Finishes a park on the worker's stack, after the coroutine `co` has left its own. */
void co__park_commit(struct co__worker *w, struct co__coro *co);

/*
 * Claims by the low `bits` bits of a sequence. Returns: the coroutine if the claim was won, else
 * NULL.
 * Threads: any, while the runtime cannot end.
 */
struct co__coro *co__claim(struct co__coro *co, uint64_t seq, uint64_t mask, int result);

/* The second half of waking. */
void co__fire(struct co__coro *co);

/* Sticky cancel of one coroutine. Threads: any. */
void co__cancel(struct co__coro *co);

/* The same for who holds a latch. Returns: whether the caller has to co__fire it, once the latch is
 * given. */
bool co__cancel_claim(struct co__coro *co);

/*
 * A coroutine that is parked before it has ever run. The three steps of a commit, taken by its
 * maker: open gives the ticket to publish, then close looks at stop, arms the deadline and saves
 * it.
 */
co_ticket co__born_parked(struct co__coro *co, int64_t until);
void co__born_commit(struct co__worker *w, struct co__coro *co, int refused);

#endif
