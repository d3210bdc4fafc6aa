/* SPDX-License-Identifier: MIT */
/* connpool/shard.c - lists of idle connections, freshest first: the protocol is told in shard.h. */
#include "shard.h"
#include <co/assert.h>

/* Writes the length of the list; the caller holds the lock. */
static void set_idle(struct co__shard *shard, uint32_t idle)
{
    /* seq_cst: when it grows, it pairs with co__shard_empty in a waiter's commit (see gate.h). */
    __atomic_store_n(&shard->idle, idle, __ATOMIC_SEQ_CST);
}

/* Takes a slot out of the list; the caller holds the lock. */
static void unlink_slot(struct co__shard *shard, struct co__slot *slot)
{
    if (slot->fresher != NULL)
        slot->fresher->staler = slot->staler;
    else
        shard->freshest = slot->staler;
    if (slot->staler != NULL)
        slot->staler->fresher = slot->fresher;
    else
        shard->stalest = slot->fresher;
    slot->fresher = NULL;
    slot->staler = NULL;
    set_idle(shard, shard->idle - 1);
}

int co__shard_enter(struct co__shard *shard)
{
    int r = 0;

    co_latch_take(&shard->lock);
    if (shard->closing)
        r = -ECANCELED;
    else
        shard->users++;
    co_latch_give(&shard->lock);
    return r;
}

void co__shard_leave(struct co__shard *shard)
{
    co_ticket freer = 0;

    co_latch_take(&shard->lock);
    CO_ASSERT(shard->users > 0);
    if (--shard->users == 0)
        freer = shard->freer;
    co_latch_give(&shard->lock);
    if (freer != 0)
        (void)co_unpark(freer, 0);
}

struct co__slot *co__shard_take(struct co__shard *shard)
{
    struct co__slot *slot;

    if (co__shard_empty(shard))
        return NULL;
    co_latch_take(&shard->lock);
    slot = shard->freshest;
    if (slot != NULL)
        unlink_slot(shard, slot);
    co_latch_give(&shard->lock);
    return slot;
}

struct co__slot *co__shard_stale(struct co__shard *shard, int64_t idled, int64_t born)
{
    struct co__slot *slot;

    if (co__shard_empty(shard))
        return NULL;
    co_latch_take(&shard->lock);
    slot = shard->stalest;
    if (slot != NULL && slot->idled >= idled && slot->born >= born)
        slot = NULL;
    if (slot != NULL)
        unlink_slot(shard, slot);
    co_latch_give(&shard->lock);
    return slot;
}

bool co__shard_stalest(struct co__shard *shard, int64_t *ret_idled, int64_t *ret_born)
{
    const struct co__slot *slot;

    if (co__shard_empty(shard))
        return false;
    co_latch_take(&shard->lock);
    slot = shard->stalest;
    if (slot != NULL) {
        *ret_idled = slot->idled;
        *ret_born = slot->born;
    }
    co_latch_give(&shard->lock);
    return slot != NULL;
}

bool co__shard_put(struct co__shard *shard, struct co__slot *slot)
{
    bool closing;

    co_latch_take(&shard->lock);
    closing = shard->closing;
    if (!closing) {
        slot->fresher = NULL;
        slot->staler = shard->freshest;
        if (slot->staler != NULL)
            slot->staler->fresher = slot;
        else
            shard->stalest = slot;
        shard->freshest = slot;
        set_idle(shard, shard->idle + 1);
    }
    co_latch_give(&shard->lock);
    return !closing;
}

struct co__slot *co__shard_close(struct co__shard *shard)
{
    struct co__slot *slots;

    co_latch_take(&shard->lock);
    shard->closing = true;
    slots = shard->freshest;
    shard->freshest = NULL;
    shard->stalest = NULL;
    set_idle(shard, 0);
    co_latch_give(&shard->lock);
    return slots;
}

/* Leaves the freer's ticket for the last user; refuses if there is none. */
static int await_users(co_ticket self, void *arg)
{
    struct co__shard *shard = arg;
    int none;

    co_latch_take(&shard->lock);
    none = shard->users == 0;
    if (!none)
        shard->freer = self;
    co_latch_give(&shard->lock);
    return none;
}

void co__shard_drain(struct co__shard *shard)
{
    int r;

    co_latch_take(&shard->lock);
    r = shard->users == 0;
    co_latch_give(&shard->lock);
    if (r == 0)
        r = co_park_for("leases to end", shard, await_users, shard,
                        CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE | CO_PARK_INSIDE);
    CO_ASSERT(r >= 0 && "co_pool_free outside a coroutine with leases that have not ended");
    (void)r;
}
