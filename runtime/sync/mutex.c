/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - a word for the fast path, a list for the rest.
 *
 *   0               -> HELD          lock, by CAS
 *   HELD            -> 0             unlock: HELD is taken away
 *   HELD            -> HELD | WAITED by who is about to wait, under the latch
 *   0               -> HELD | WAITED by who was about to wait and found it free: it has it
 *   HELD | WAITED   -> WAITED        unlock: nobody has it now, and nobody but its last holder may
 *                                    say who is next
 *   WAITED          -> HELD | WAITED the last holder, under the latch: the first waiter has it now;
 *                                    or who comes to wait, which changes nothing of that
 *   WAITED          -> HELD          the last holder, under the latch, when nobody can be claimed:
 *                                    it is his again; then from the top
 * Since an unlock hands over, nobody can overtake those who wait. The mutex is made free by the
 * last access to it, never before the latch is given: whoever locks it next may unlock it, and free
 * its memory, at once.
 */
#include "mutex.h"

#include <co/assert.h>
#include <co/task.h>

enum { HELD = CO__MUTEX_HELD, WAITED = CO__MUTEX_WAITED };

void co_mutex_init(struct co_mutex *mutex)
{
    *mutex = (struct co_mutex){0};
}

void co_mutex_done(struct co_mutex *mutex)
{
    CO_ASSERT(!mutex || mutex->state == 0);
    (void)mutex;
}

static bool take(struct co_mutex *mutex)
{
    uint32_t state = 0;

    /* acquire pairs with the release of the unlock; a failure is answered by waiting (relaxed). */
    return __atomic_compare_exchange_n(&mutex->state, &state, HELD, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static int try_contended(void *obj, struct co_waiter *waiter)
{
    struct co_mutex *mutex = obj;

    (void)waiter;
    /* acquire: if it was free we have it; the latch orders the rest. */
    return __atomic_exchange_n(&mutex->state, HELD | WAITED, __ATOMIC_ACQUIRE) == 0;
}

/*
 * relaxed: compared with the reader's own number, which only the reader itself writes; reports may
 * be a moment late.
 */
static void set_owner(struct co_mutex *mutex, uint64_t owner)
{
    __atomic_store_n(&mutex->owner, owner, __ATOMIC_RELAXED /* as said above */);
}

bool co__mutex_is_mine(const struct co_mutex *mutex)
{
    return __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED /* as said above */) == co_self();
}

static int wait_for(struct co_mutex *mutex, unsigned flags)
{
    struct co_waiter waiter;
    int r;

    if (co__mutex_is_mine(mutex))
        return co_self() ? -EDEADLK : -EPERM;
    r = co_waitlist_park_for("mutex", &mutex->waiters, &mutex->latch, &waiter, try_contended, mutex,
                             flags | CO_PARK_INSIDE);
    if (r == 0)
        set_owner(mutex, co_self());
    return r;
}

int co_mutex_try(struct co_mutex *mutex)
{
    uint64_t self = co_self();

    if (!self)
        return -EPERM;
    if (!take(mutex))
        return -EBUSY;
    set_owner(mutex, self);
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
    int r = 0;

    if (co_mutex_try(mutex) < 0)
        r = wait_for(mutex, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE);
    CO_REQUIRE(r >= 0); /* not in a coroutine, or the caller has it already */
}

/*
 * For its last holder, who has left WAITED: hands over to the first that waits. Returns: false if
 * there was none; then it is HELD, the caller's again.
 */
static bool hand_over(struct co_mutex *mutex)
{
    co_ticket ticket;

    co_latch_take(&mutex->latch);
    ticket = co_waitlist_claim(&mutex->waiters, 0, NULL);
    /* relaxed: whoever else writes it now does so under the latch. */
    __atomic_store_n(&mutex->state, ticket ? HELD | WAITED : HELD, __ATOMIC_RELAXED);
    co_latch_give(&mutex->latch);
    if (ticket)
        co_finish(ticket);
    return ticket;
}

/* Returns: whether it is free now; else its last holder has left WAITED. */
static bool release(struct co_mutex *mutex)
{
    /* release: what was written under the mutex is seen by the next one's acquire. */
    return __atomic_fetch_sub(&mutex->state, HELD, __ATOMIC_RELEASE) == HELD;
}

void co_mutex_pass_on(struct co_mutex *mutex)
{
    while (!hand_over(mutex)) {
        if (release(mutex))
            return;
    }
}

void co__mutex_release(struct co_mutex *mutex)
{
    set_owner(mutex, 0);
    if (!release(mutex))
        co_mutex_pass_on(mutex);
}

void co_mutex_unlock(struct co_mutex *mutex)
{
    CO_ASSERT(co__mutex_is_mine(mutex));
    co__mutex_release(mutex);
}
