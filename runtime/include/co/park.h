/* SPDX-License-Identifier: MIT */
/*
 * co/park.h - put the running coroutine to sleep and wake it: the only door to the scheduler that
 * primitives, protocols and pools need.
 *
 * A park is named by a ticket (coroutine and sequence number of this park). The sleeper hands its
 * ticket to whoever may wake it from within its commit function, which runs after the coroutine has
 * left its stack, so a waker can never meet a coroutine that still runs. Waking has two halves:
 * co_claim decides who wakes (one winner, and a stale ticket never wins), then the winner may write
 * a value for the sleeper, then co_finish makes it ready. The protocol and its memory orders are
 * told in runtime/park.c.
 */
#ifndef CO_PARK_H
#define CO_PARK_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Coroutine (28 bits) and low bits of its park's sequence (36 bits). 0 is nobody's. */
typedef uint64_t co_ticket;

/*
 * Publishes the ticket where wakers will find it, after looking at the condition again, under the
 * primitive's own lock. Runs on the worker's stack: it must not suspend, and should be short.
 * Returns 0 to sleep; anything else refuses, and becomes what co_park returns, unless cancel, the
 * deadline or a waker that has the ticket was faster: then co_park returns that. What commit did
 * stands all the same. So a commit that takes something notes in arg that it did, and its caller
 * looks there first, whatever co_park returned (as co_waitlist_park does); or it takes nothing, and
 * the caller looks again.
 */
typedef int co_commit_fn(co_ticket self, void *arg);

/* Flags of co_park. */
enum {
    CO_PARK_NO_CANCEL = 1,   /* cancel does not end this park */
    CO_PARK_NO_DEADLINE = 2, /* the deadline in force does not end this park */
    CO_PARK_INSIDE = 4 /* but for cancel and deadline, only this process' own code ends it: nothing
                              * of the kernel's, no other process (for the report of deadlocks) */
};

/*
 * Puts the running coroutine to sleep until somebody wins its claim. Before it returns to its own
 * caller, the caller unlinks what commit published (retaking the primitive's lock), whatever the
 * result was.
 * Returns: what the winner passed to co_claim; what commit returned if it refused; -ETIMEDOUT;
 *   -ECANCELED; -EPERM outside a coroutine. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_park(co_commit_fn *commit, void *arg, unsigned flags);

/*
 * co_park, and says what for: co_dump, the report of a deadlock and the debugger show `what`, a
 * word or two that must stay where it is ("mutex"), and the address `object`, which may be NULL and
 * is never followed.
 * Returns, Suspends, Threads: as co_park.
 */
CO_API CO_NODISCARD int co_park_for(const char *what, const void *object, co_commit_fn *commit,
                                    void *arg, unsigned flags);

/*
 * Tries to become the one who ends the park. At most one claim per park wins.
 * Returns: true if the caller won: it may now write the sleeper's value and must call co_finish
 *   soon, without suspending in between. Suspends: never. Threads: any, commit functions included.
 * Orders: acquires what the sleeper wrote before its commit.
 */
CO_API CO_NODISCARD bool co_claim(co_ticket ticket, int result);

/*
 * Makes the claimed coroutine ready to run. Call it once per claim that was won.
 * Suspends: never. Threads: any. Orders: what the caller wrote before is seen by the woken
 *   coroutine.
 */
CO_API void co_finish(co_ticket ticket);

/*
 * co_claim and, if won, co_finish: for wake-ups that hand over nothing.
 * Returns: whether this call ended the park. Suspends: never. Threads: any.
 */
CO_API bool co_unpark(co_ticket ticket, int result);

/*
 * What every call that may suspend does first: a call that finds cancel or a passed deadline fails
 * before it has done anything; a coroutine whose calls always succeed yields after 128 of them, or
 * when others have waited for milliseconds.
 * Returns: 0; -ECANCELED; -ETIMEDOUT; -EPERM outside a coroutine. Suspends: when the budget is used
 *   up.
 * Threads: any.
 */
CO_API CO_NODISCARD int co_check(void);

#ifdef __cplusplus
}
#endif
#endif
