/* SPDX-License-Identifier: MIT */
/* connpool/lease.c - one lease: find a slot, see that its connection serves, give it back. */
#include "pool_impl.h"
#include <assert.h>
#include <co/net.h>
#include <co/task.h>

/* Finds a slot: idle, vacant, or after waiting for one; behind those who wait already. */
static int obtain(struct co_pool *pool, int worker, struct co__slot **ret_slot)
{
    struct co__slot *slot = NULL;

    if (!co__gate_waiting(&pool->gate)) {
        slot = co__pool_take(pool, worker);
        if (slot == NULL)
            slot = co__gate_vacancy(&pool->gate);
    }
    if (slot == NULL)
        return co__gate_wait(pool, worker, ret_slot);
    *ret_slot = slot;
    return 0;
}

/* The shard that a new connection will idle in: that of the loop that owns its socket. */
static int home_of(const struct co_pool *pool, void *conn, int worker)
{
    int home = -1;

    if (pool->backend->fd != NULL)
        home = co_fd_worker(pool->backend->fd(pool->ctx, conn));
    return home >= 0 ? home : worker;
}

/* Opens a connection in a slot that has none. */
static int connect_slot(struct co_pool *pool, int worker, struct co__slot *slot)
{
    struct co__tally *tally = &pool->shards[worker].tally;
    void *conn = NULL;
    int r = pool->backend->open(pool->ctx, &conn);

    if (r < 0) {
        co__tally_add(&tally->failed);
        return r;
    }
    slot->conn = conn;
    slot->open = true;
    slot->served = false;
    slot->born = co_now();
    slot->home = home_of(pool, conn, worker);
    co__tally_add(&tally->opened);
    return 0;
}

/*
 * Whether the connection of a slot that was idle may serve again; counts what comes of it.
 * Returns: 1; 0; -ETIMEDOUT or -ECANCELED if the lease ended in the check, which then tells
 *   nothing of the connection, nor would it of any other.
 */
static int may_serve(struct co_pool *pool, int worker, struct co__slot *slot)
{
    struct co__tally *tally = &pool->shards[worker].tally;
    int r;

    if (co__pool_expired(pool, slot, co_now())) {
        co__tally_add(&tally->expired);
        return 0;
    }
    if (pool->backend->check != NULL && pool->backend->check(pool->ctx, slot->conn) != 0) {
        r = co_check();
        co__tally_add(r < 0 ? &tally->discarded : &tally->unhealthy);
        return r;
    }
    co__tally_add(slot->home == worker ? &tally->reused : &tally->borrowed);
    return 1;
}

/*
 * Sees to a connection that works in *slot, which may become another slot on the way: where an idle
 * connection is dead, the next idle one is tried, and if there is none, a new one is opened. A
 * check that the deadline or a cancel cuts short ends the lease and costs this one connection.
 * On failure the slot has been given back.
 */
static int furnish(struct co_pool *pool, int worker, struct co__slot **slot)
{
    int r = 0;

    while (r == 0 && (*slot)->open) {
        struct co__slot *next;

        r = may_serve(pool, worker, *slot);
        if (r > 0)
            return 0;
        co__pool_disconnect(pool, *slot);
        next = r == 0 ? co__pool_take(pool, worker) : NULL;
        if (next != NULL) {
            co__gate_vacate(&pool->gate, *slot);
            *slot = next;
        }
    }
    if (r == 0)
        r = connect_slot(pool, worker, *slot);
    if (r < 0)
        co__gate_vacate(&pool->gate, *slot);
    return r;
}

struct co_lease co_lease_begin(struct co_pool *pool)
{
    struct co_lease lease = {.err = co_check(), .pool = pool};
    struct co__slot *slot = NULL;
    int worker; /* where it began: the coroutine may move */

    if (lease.err < 0)
        return lease;
    worker = co_worker();
    lease.err = co__shard_enter(&pool->shards[worker]);
    if (lease.err < 0)
        return lease;
    lease.err = obtain(pool, worker, &slot);
    if (lease.err == 0)
        lease.err = furnish(pool, worker, &slot);
    if (lease.err < 0) {
        co__shard_leave(&pool->shards[worker]);
        return lease;
    }
    slot->charged = worker;
    lease.reused = slot->served;
    lease.conn = slot->conn;
    lease.entry = slot;
    return lease;
}

void co_lease_end(struct co_lease *lease)
{
    struct co_pool *pool = lease->pool;
    struct co__slot *slot = lease->entry;
    struct co__shard *charged;
    int64_t now;

    if (slot == NULL)
        return;
    lease->entry = NULL;
    lease->conn = NULL;
    charged = &pool->shards[slot->charged];
    now = co_now();
    slot->served = true;
    slot->idled = now;
    if (lease->keep == 0 || co__pool_expired(pool, slot, now)) {
        co__tally_add(lease->keep == 0 ? &charged->tally.discarded : &charged->tally.expired);
        co__pool_disconnect(pool, slot);
    }
    co__pool_give(pool, slot);
    co__shard_leave(charged); /* the pool may be gone after this */
}

void co_lease_keep(struct co_lease *lease)
{
    if (lease->entry != NULL)
        lease->keep = 1;
}

void co_lease_discard(struct co_lease *lease)
{
    lease->keep = 0;
}

int co_lease_fd(const struct co_lease *lease)
{
    const struct co_pool *pool = lease->pool;

    if (lease->entry == NULL || pool->backend->fd == NULL)
        return -EBADF;
    return pool->backend->fd(pool->ctx, lease->conn);
}
