/* SPDX-License-Identifier: MIT */
/* cond.c - the mutex is unlocked by the commit of the wait, when the waiter is linked: no signal can come between. */
#include <co/cond.h>

#include <assert.h>
#include <co/task.h>

void co_cond_init(struct co_cond *cond)
{
    *cond = (struct co_cond){0};
}

void co_cond_done(struct co_cond *cond)
{
    assert(!cond || !cond->waiters.head);
    (void)cond;
}

/* The commit links the waiter after this, under the same hold of cond's latch, so a signal that follows finds it. */
static int let_go(void *obj, struct co_waiter *waiter)
{
    (void)waiter;
    co_mutex_unlock(obj);
    return 0;
}

int co_cond_wait(struct co_cond *cond, struct co_mutex *mutex)
{
    struct co_waiter waiter;
    int r = co_check();

    if (r < 0)
        return r;
    r = co_waitlist_park(&cond->waiters, &cond->latch, &waiter, let_go, mutex, 0);
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
    (void)co_waitlist_wake_all(&cond->waiters, &cond->latch, 0);
}
