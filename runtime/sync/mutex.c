/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - a word for the fast path, a list for the rest.
 *
 *   FREE      -> HELD      lock, by CAS
 *   HELD      -> FREE      unlock, by CAS
 *   HELD      -> CONTENDED by who is about to wait, under the latch
 *   FREE      -> CONTENDED by who was about to wait and found it free: it has it
 *   CONTENDED -> HELD      unlock, under the latch, when nobody can be claimed; then from the top
 *   CONTENDED stays        unlock, under the latch: the first waiter has it now
 * Since an unlock hands over, nobody can overtake those who wait. The mutex is made free by the
 * last access to it, never before the latch is given: whoever locks it next may unlock it, and free
 * its memory, at once.
 */
#include "mutex.h"

#include <co/assert.h>
#include <co/task.h>

enum { FREE, HELD, CONTENDED };

void co_mutex_init(struct co_mutex *mutex)
{
    *mutex = (struct co_mutex){0};
}

void co_mutex_done(struct co_mutex *mutex)
{
    CO_ASSERT(!mutex || mutex->state == FREE);
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
 * Hands over to the first that waits. Returns: false if there was none; then it is HELD, still the
 * caller's.
 */
static bool hand_over(struct co_mutex *mutex)
{
    co_ticket ticket;

    co_latch_take(&mutex->latch);
    ticket = co_waitlist_claim(&mutex->waiters, 0, NULL);
    /* relaxed: only the holder leaves CONTENDED, and whoever enters it does so under the latch. */
    if (!ticket)
        __atomic_store_n(&mutex->state, HELD, __ATOMIC_RELAXED);
    co_latch_give(&mutex->latch);
    if (ticket)
        co_finish(ticket);
    return ticket;
}

void co__mutex_pass_on(struct co_mutex *mutex)
{
    uint32_t state;

    set_owner(mutex, 0);
    do {
        state = HELD;
        /*
         * release: what was written under the mutex is seen by the next one's acquire. A failure
         * reads nothing (relaxed).
         */
        if (__atomic_compare_exchange_n(&mutex->state, &state, FREE, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return;
    } while (!hand_over(mutex));
}

void co_mutex_unlock(struct co_mutex *mutex)
{
    CO_ASSERT(co__mutex_is_mine(mutex));
    co__mutex_pass_on(mutex);
}

void co_mutex_guard(struct co_mutex *const *mutex)
{
    co_mutex_unlock(*mutex);
}
