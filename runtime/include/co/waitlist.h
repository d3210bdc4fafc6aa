/* SPDX-License-Identifier: MIT */
/*
 * co/waitlist.h - first come, first served: the list of sleepers that most primitives need, on
 * co/park.h.
 *
 * A primitive is a latch, some state, and a waitlist under the latch:
 *
 *     take(p):   co_waitlist_park(&p->list, &p->latch, &waiter, try_take, p, 0)
 *     give(p):   latch; state changes; ticket = co_waitlist_claim(&p->list, 0, &waiter); unlatch;
 *                co_finish(ticket)
 *
 * A waiter is linked by the commit of its park, under the latch, after try_take has failed once
 * more; it is unlinked by whoever claims it, or by itself when it returns. Whoever hands something
 * over does so under the latch, between claim and finish: then the sleeper has it, and a deadline
 * or cancel that comes later has lost.
 *
 * Who wakes many claims them all under one hold of the latch, and finishes them when it is given: a
 * waiter that goes on may be the last to need the primitive, and end it, so nothing of it is
 * touched after a finish.
 */
#ifndef CO_WAITLIST_H
#define CO_WAITLIST_H

#include <co/latch.h>
#include <co/park.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One sleeper; lives on its stack. */
struct co_waiter {
    struct co_waiter *next;
    struct co_waiter *prev;
    co_ticket ticket;
    uint64_t want; /* the primitive's own: how many, which kind */
    int linked;
};

/* Zeroed is empty. */
struct co_waitlist {
    struct co_waiter *head;
    struct co_waiter *tail;
};

/*
 * Looks at the primitive under its latch. Returns: whether the caller need not sleep: it has what
 * it wants, come what may.
 */
typedef int co_wait_fn(void *obj, struct co_waiter *waiter);

/*
 * Sleeps in the list until claimed. try_it, if not NULL, is asked under the latch before it sleeps.
 * Returns: 0 if try_it said so, even when cancel or deadline came meanwhile: what it took is the
 *   caller's; what co_waitlist_claim passed, which is not negative; -ETIMEDOUT, -ECANCELED, -EPERM
 *   as co_park, and then the waiter is unlinked. Suspends: yes. Threads: coroutines; the latch is
 *   not held.
 */
CO_API CO_NODISCARD int co_waitlist_park(struct co_waitlist *list, struct co_latch *latch,
                                         struct co_waiter *waiter, co_wait_fn *try_it, void *obj,
                                         unsigned flags);

/*
 * co_waitlist_park, and says what for, as co_park_for does; the object shown is obj.
 * Returns, Suspends, Threads: as co_waitlist_park.
 */
CO_API CO_NODISCARD int co_waitlist_park_for(const char *what, struct co_waitlist *list,
                                             struct co_latch *latch, struct co_waiter *waiter,
                                             co_wait_fn *try_it, void *obj, unsigned flags);

/*
 * Links a waiter at the end, for commits that do more than co_waitlist_park's.
 * Suspends: never. Threads: any; the latch is held.
 */
CO_API void co_waitlist_add(struct co_waitlist *list, struct co_waiter *waiter, co_ticket ticket);

/*
 * Unlinks a waiter if it is linked.
 * Suspends: never. Threads: any; the latch is held.
 */
CO_API void co_waitlist_remove(struct co_waitlist *list, struct co_waiter *waiter);

/*
 * Unlinks the first waiter that can still be claimed, claimed with `result`; those that cannot are
 * unlinked on the way.
 * Returns: the ticket to finish once the latch is given, 0 if there is none; *ret_waiter, if not
 *   NULL, may be written to until then. Suspends: never. Threads: any; the latch is held.
 */
CO_API CO_NODISCARD co_ticket co_waitlist_claim(struct co_waitlist *list, int result,
                                                struct co_waiter **ret_waiter);

/*
 * Unlinks the first waiter, claimed if it still can be: for primitives whose waiters want different
 * things.
 * Returns: its ticket to finish; 0 if it could not be claimed. Suspends: never. Threads: any; the
 *   latch is held and the list not empty.
 */
CO_API CO_NODISCARD co_ticket co_waitlist_claim_first(struct co_waitlist *list, int result);

/* Waiters that are claimed, in the order in which they came, linked by `next`. Zeroed is empty. */
struct co_claimed {
    struct co_waiter *first;
    struct co_waiter *last;
};

/*
 * Claims the first waiter, which is unlinked, and if that worked adds it to those to be finished.
 * Returns: whether it worked. Suspends: never. Threads: any; the latch is held and the list not
 *   empty.
 */
CO_API bool co_waitlist_claim_into(struct co_waitlist *list, int result,
                                   struct co_claimed *claimed);

/*
 * Claims all waiters; the list is empty then.
 * Returns: those to be finished once the latch is given. Suspends: never. Threads: any; the latch
 *   is held.
 */
CO_API CO_NODISCARD struct co_claimed co_waitlist_claim_all(struct co_waitlist *list, int result);

/*
 * Finishes those that were claimed, in order.
 * Suspends: never. Threads: any; the latch is not held.
 */
CO_API void co_waitlist_finish(const struct co_claimed *claimed);

#ifdef __cplusplus
}
#endif
#endif
