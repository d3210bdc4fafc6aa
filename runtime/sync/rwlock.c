/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c - all under the latch. Invariant: if somebody waits, the first of them could not be
 * admitted. So nobody who comes is admitted while the list is not empty.
 */
#include <co/rwlock.h>

#include <co/assert.h>

enum { READ, WRITE, WRITER = -1 };

void co_rwlock_init(struct co_rwlock *lock)
{
    *lock = (struct co_rwlock){0};
}

void co_rwlock_done(struct co_rwlock *lock)
{
    CO_ASSERT(!lock || (lock->readers == 0 && !lock->waiters.head));
    (void)lock;
}

static bool admit(struct co_rwlock *lock, uint64_t want)
{
    if (want == WRITE ? lock->readers != 0 : lock->readers < 0)
        return false;
    lock->readers = want == WRITE ? WRITER : lock->readers + 1;
    return true;
}

static int try_it(void *obj, struct co_waiter *waiter)
{
    struct co_rwlock *lock = obj;

    return !lock->waiters.head && admit(lock, waiter->want);
}

/*
 * Admits from the front as far as it goes. The latch is taken by the caller and given here; then
 * the lock is not touched any more, because those who were admitted may end it.
 */
static void admit_next(struct co_rwlock *lock)
{
    struct co_claimed admitted = {0};

    for (;;) {
        struct co_waiter *first = lock->waiters.head;
        int32_t before = lock->readers;

        if (!first || !admit(lock, first->want))
            break;
        if (!co_waitlist_claim_into(&lock->waiters, 0, &admitted))
            lock->readers = before; /* it has gone: the next one, then */
    }
    co_latch_give(&lock->latch);
    co_waitlist_finish(&admitted);
}

static int take(struct co_rwlock *lock, uint64_t want)
{
    struct co_waiter waiter = {.want = want};
    int r = co_check();

    if (r < 0)
        return r;
    co_latch_take(&lock->latch);
    r = try_it(lock, &waiter);
    co_latch_give(&lock->latch);
    if (r)
        return 0;
    r = co_waitlist_park_for(want == WRITE ? "rwlock to write" : "rwlock to read", &lock->waiters,
                             &lock->latch, &waiter, try_it, lock, CO_PARK_INSIDE);
    if (r < 0) {
        /* A writer that gives up may have been all that kept readers out. */
        co_latch_take(&lock->latch);
        admit_next(lock);
    }
    return r;
}

int co_rwlock_read(struct co_rwlock *lock)
{
    return take(lock, READ);
}

int co_rwlock_write(struct co_rwlock *lock)
{
    return take(lock, WRITE);
}

void co_rwlock_unlock(struct co_rwlock *lock)
{
    co_latch_take(&lock->latch);
    CO_ASSERT(lock->readers != 0);
    lock->readers = lock->readers == WRITER ? 0 : lock->readers - 1;
    admit_next(lock);
}
