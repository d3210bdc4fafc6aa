/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - a word for the fast path, a list for the rest.
 *
 *   FREE      -> HELD      lock, by CAS
 *   HELD      -> FREE      unlock, by CAS
 *   HELD      -> CONTENDED by who is about to wait, under the latch
 *   FREE      -> CONTENDED by who was about to wait and found it free: it has it
 *   CONTENDED -> FREE      unlock, under the latch, when nobody can be claimed
 *   CONTENDED stays        unlock, under the latch: the first waiter has it now
 * Since an unlock hands over, nobody can overtake those who wait.
 */
#include <co/mutex.h>

#include <assert.h>
#include <co/task.h>
#include <stdlib.h>

enum { FREE, HELD, CONTENDED };

void co_mutex_init(struct co_mutex *mutex)
{
    *mutex = (struct co_mutex){0};
}

void co_mutex_done(struct co_mutex *mutex)
{
    assert(!mutex || mutex->state == FREE);
    (void)mutex;
}

static bool take(struct co_mutex *mutex)
{
    uint32_t state = FREE;

    /* acquire pairs with the release of the unlock; a failure is answered by waiting (relaxed). */
    return __atomic_compare_exchange_n(&mutex->state, &state, HELD, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static int try_contended(void *obj, struct co_waiter *waiter)
{
    struct co_mutex *mutex = obj;

    (void)waiter;
    /* acquire: if it was FREE we have it; the latch orders the rest. */
    return __atomic_exchange_n(&mutex->state, CONTENDED, __ATOMIC_ACQUIRE) == FREE;
}

static int wait_for(struct co_mutex *mutex, unsigned flags)
{
    struct co_waiter waiter;
    int r = co_waitlist_park(&mutex->waiters, &mutex->latch, &waiter, try_contended, mutex, flags);

    if (r == 0)
        mutex->owner = co_self();
    return r;
}

int co_mutex_try(struct co_mutex *mutex)
{
    if (!take(mutex))
        return -EBUSY;
    mutex->owner = co_self();
    return 0;
}

int co_mutex_lock(struct co_mutex *mutex)
{
    int r = co_check();

    if (r < 0)
        return r;
    return co_mutex_try(mutex) == 0 ? 0 : wait_for(mutex, 0);
}

void co_mutex_lock_always(struct co_mutex *mutex)
{
    if (co_mutex_try(mutex) < 0 && wait_for(mutex, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE) < 0)
        abort(); /* not in a coroutine */
}

void co_mutex_unlock(struct co_mutex *mutex)
{
    uint32_t state = HELD;
    co_ticket ticket;

    assert(mutex->owner == co_self());
    mutex->owner = 0;
    /* release: what was written under the mutex is seen by the next one's acquire. */
    if (__atomic_compare_exchange_n(&mutex->state, &state, FREE, false, __ATOMIC_RELEASE,
                                    __ATOMIC_RELAXED /* CONTENDED: goes on under the latch */))
        return;
    co_latch_take(&mutex->latch);
    ticket = co_waitlist_claim(&mutex->waiters, 0, NULL);
    if (!ticket) /* release: as above */
        __atomic_store_n(&mutex->state, FREE, __ATOMIC_RELEASE);
    co_latch_give(&mutex->latch);
    if (ticket)
        co_finish(ticket);
}

void co_mutex_guard(struct co_mutex *const *mutex)
{
    co_mutex_unlock(*mutex);
}
