/* SPDX-License-Identifier: MIT */
/*
 * barrier.c - a count under the latch. `arrived` is the number of linked waiters. The last to come
 * unlinks them all under one hold, so an interrupted waiter learns from its own link on which side
 * it is: linked, it has not come and is counted off; unlinked, the barrier has opened with it, and
 * it goes through. To learn that it needs the barrier, which the last to come may end: so that one
 * waits until those whom it could not claim, `leaving`, have been here.
 */
#include <co/barrier.h>

#include <co/assert.h>

int co_barrier_init(struct co_barrier *barrier, uint32_t parties)
{
    *barrier = (struct co_barrier){.parties = parties};
    return parties > 0 ? 0 : -EINVAL;
}

void co_barrier_done(struct co_barrier *barrier)
{
    CO_ASSERT(!barrier || (barrier->arrived == 0 && barrier->leaving == 0));
    (void)barrier;
}

/* Under the latch. Returns: whether the caller is the last; then the others are claimed. */
static bool last(struct co_barrier *barrier, struct co_claimed *claimed)
{
    if (barrier->arrived + 1 < barrier->parties)
        return false;
    barrier->arrived = 0;
    while (barrier->waiters.head)
        barrier->leaving += !co_waitlist_claim_into(&barrier->waiters, 0, claimed);
    return true;
}

struct arrival {
    struct co_barrier *barrier;
    struct co_waiter waiter;
    bool last;
    bool alone; /* the last has nobody to wait for */
};

static int commit(co_ticket self, void *arg)
{
    struct arrival *arrival = arg;
    struct co_barrier *barrier = arrival->barrier;
    struct co_claimed claimed = {0};

    co_latch_take(&barrier->latch);
    arrival->last = last(barrier, &claimed);
    arrival->alone = barrier->leaving == 0;
    if (!arrival->last) {
        barrier->arrived++;
        co_waitlist_add(&barrier->waiters, &arrival->waiter, self);
    }
    co_latch_give(&barrier->latch);
    co_waitlist_finish(&claimed);
    return arrival->last;
}

/* Returns: 0 if the barrier has opened all the same, else r. */
static int withdraw(struct arrival *arrival, int r)
{
    struct co_barrier *barrier = arrival->barrier;
    struct co_claimed openers = {0};

    co_latch_take(&barrier->latch);
    if (arrival->waiter.linked) {
        co_waitlist_remove(&barrier->waiters, &arrival->waiter);
        barrier->arrived--;
    } else {
        r = 0;
        if (--barrier->leaving == 0)
            openers = co_waitlist_claim_all(&barrier->openers, 0);
    }
    co_latch_give(&barrier->latch);
    co_waitlist_finish(&openers);
    return r;
}

static int nobody_leaves(void *obj, struct co_waiter *waiter)
{
    const struct co_barrier *barrier = obj;

    (void)waiter;
    return barrier->leaving == 0;
}

static void see_them_off(struct co_barrier *barrier)
{
    struct co_waiter waiter;
    int r =
        co_waitlist_park_for("barrier", &barrier->openers, &barrier->latch, &waiter, nobody_leaves,
                             barrier, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE | CO_PARK_INSIDE);

    CO_ASSERT(r == 0);
    (void)r;
}

int co_barrier_wait(struct co_barrier *barrier)
{
    struct arrival arrival = {.barrier = barrier};
    int r = co_check();

    if (r < 0)
        return r;
    r = co_park_for("barrier", barrier, commit, &arrival, CO_PARK_INSIDE);
    if (arrival.last) {
        if (!arrival.alone)
            see_them_off(barrier);
        return 1;
    }
    return r < 0 ? withdraw(&arrival, r) : 0;
}
