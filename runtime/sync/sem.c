/* SPDX-License-Identifier: MIT */
/*
 * sem.c - permits are handed over: while somebody waits there are none to take, so nobody can
 * overtake. Invariant, under the latch: permits > 0 only while the list is empty. All that a give
 * serves are claimed under one hold; after it nothing of the semaphore is touched, because one of
 * them may end it.
 */
#include <co/sem.h>

#include <co/assert.h>

void co_sem_init(struct co_sem *sem, int64_t permits)
{
    *sem = (struct co_sem){.permits = permits};
}

void co_sem_done(struct co_sem *sem)
{
    CO_ASSERT(!sem || !sem->waiters.head);
    (void)sem;
}

static int try_take(void *obj, struct co_waiter *waiter)
{
    struct co_sem *sem = obj;

    (void)waiter;
    if (sem->permits <= 0)
        return 0;
    sem->permits--;
    return 1;
}

int co_sem_try(struct co_sem *sem)
{
    int taken;

    co_latch_take(&sem->latch);
    taken = try_take(sem, NULL);
    co_latch_give(&sem->latch);
    return taken ? 0 : -EAGAIN;
}

int co_sem_take(struct co_sem *sem)
{
    struct co_waiter waiter;
    int r = co_check();

    if (r < 0)
        return r;
    if (co_sem_try(sem) == 0)
        return 0;
    return co_waitlist_park_for("semaphore", &sem->waiters, &sem->latch, &waiter, try_take, sem,
                                CO_PARK_INSIDE);
}

void co_sem_give(struct co_sem *sem, int64_t permits)
{
    struct co_claimed claimed = {0};

    if (permits <= 0)
        return;
    co_latch_take(&sem->latch);
    while (permits > 0 && sem->waiters.head) {
        if (co_waitlist_claim_into(&sem->waiters, 0, &claimed))
            permits--;
    }
    sem->permits += permits;
    co_latch_give(&sem->latch);
    co_waitlist_finish(&claimed);
}
