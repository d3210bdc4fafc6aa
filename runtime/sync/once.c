/* SPDX-License-Identifier: MIT */
/*
 * once.c - a state under the latch, read without it on the fast path, which lies in the header.
 *
 *   FRESH   -> RUNNING by the first that comes
 *   RUNNING -> DONE    its fn has returned 0 or more: everybody goes on
 *   RUNNING stays      its fn has failed: the first waiter runs now
 *   RUNNING -> FRESH   its fn has failed, and nobody waits
 */
#include <co/once.h>

enum { FRESH, RUNNING, DONE = CO__ONCE_DONE };

/* What a claim says. */
enum { IS_DONE, YOUR_TURN };

/*
 * Under the latch. Returns: whether the caller need not wait; waiter->want says what it is to do.
 */
static int look(void *obj, struct co_waiter *waiter)
{
    struct co_once *once = obj;
    /* relaxed: under the latch. */
    uint32_t state = __atomic_load_n(&once->state, __ATOMIC_RELAXED);

    if (state == RUNNING)
        return 0;
    waiter->want = state == DONE ? IS_DONE : YOUR_TURN;
    if (state == FRESH) /* relaxed: under the latch; a fast path that sees it takes the latch */
        __atomic_store_n(&once->state, RUNNING, __ATOMIC_RELAXED);
    return 1;
}

/* Returns: whether the caller finds it done, or has its turn; or what ended its wait. */
static int wait_for_turn(struct co_once *once)
{
    struct co_waiter waiter = {.want = IS_DONE};
    int now;
    int r;

    co_latch_take(&once->latch);
    now = look(once, &waiter);
    co_latch_give(&once->latch);
    if (now)
        return (int)waiter.want;
    r = co_waitlist_park_for("once", &once->waiters, &once->latch, &waiter, look, once,
                             CO_PARK_INSIDE);
    return r == 0 ? (int)waiter.want : r;
}

static void done(struct co_once *once)
{
    struct co_claimed claimed;

    co_latch_take(&once->latch);
    /* release: what fn wrote is seen by who finds DONE without the latch. */
    __atomic_store_n(&once->state, DONE, __ATOMIC_RELEASE);
    claimed = co_waitlist_claim_all(&once->waiters, 0);
    co_latch_give(&once->latch);
    co_waitlist_finish(&claimed);
}

static void failed(struct co_once *once)
{
    struct co_waiter *next;
    co_ticket ticket;

    co_latch_take(&once->latch);
    ticket = co_waitlist_claim(&once->waiters, 0, &next);
    if (ticket)
        next->want = YOUR_TURN;
    else /* relaxed: as in look */
        __atomic_store_n(&once->state, FRESH, __ATOMIC_RELAXED);
    co_latch_give(&once->latch);
    if (ticket)
        co_finish(ticket);
}

int co_once_turn(struct co_once *once, int (*fn)(void *arg), void *arg)
{
    int r = co_check();

    if (r < 0)
        return r;
    r = wait_for_turn(once);
    if (r != YOUR_TURN)
        return r;
    r = fn(arg);
    if (r < 0) {
        failed(once);
        return r;
    }
    done(once);
    return 0;
}
