/* SPDX-License-Identifier: MIT */
/*
 * cond.c - the mutex is unlocked by the commit of the wait, when the waiter is linked: no signal
 * can come between. That happens on the worker's own stack, and not under the condition's latch,
 * since it may make the mutex's next owner ready.
 */
#include <co/cond.h>

#include "mutex.h"
#include <co/assert.h>

void co_cond_init(struct co_cond *cond)
{
    *cond = (struct co_cond){0};
}

void co_cond_done(struct co_cond *cond)
{
    CO_ASSERT(!cond || !cond->waiters.head);
    (void)cond;
}

struct wait {
    struct co_cond *cond;
    struct co_mutex *mutex;
    struct co_waiter waiter;
};

static int commit(co_ticket self, void *arg)
{
    struct wait *wait = arg;

    co_latch_take(&wait->cond->latch);
    co_waitlist_add(&wait->cond->waiters, &wait->waiter, self);
    co_latch_give(&wait->cond->latch);
    /*
     * Signalled already, perhaps, but off its stack only when this has returned: it cannot come
     * back before.
     */
    co__mutex_release(wait->mutex);
    return 0;
}

int co_cond_wait(struct co_cond *cond, struct co_mutex *mutex)
{
    struct wait wait = {.cond = cond, .mutex = mutex};
    int r = co_check();

    if (r < 0)
        return r;
    CO_ASSERT(co__mutex_is_mine(mutex));
    r = co_park_for("condition", cond, commit, &wait, CO_PARK_INSIDE);
    if (r < 0) {
        co_latch_take(&cond->latch);
        co_waitlist_remove(&cond->waiters, &wait.waiter);
        co_latch_give(&cond->latch);
    }
    co_mutex_lock_always(mutex);
    return r;
}

void co_cond_signal(struct co_cond *cond)
{
    co_ticket ticket;

    co_latch_take(&cond->latch);
    ticket = co_waitlist_claim(&cond->waiters, 0, NULL);
    co_latch_give(&cond->latch);
    if (ticket)
        co_finish(ticket);
}

void co_cond_broadcast(struct co_cond *cond)
{
    struct co_claimed claimed;

    co_latch_take(&cond->latch);
    claimed = co_waitlist_claim_all(&cond->waiters, 0);
    co_latch_give(&cond->latch);
    co_waitlist_finish(&claimed);
}
