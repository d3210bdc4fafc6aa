/* SPDX-License-Identifier: MIT */
/* connpool/pool_impl.h - what a pool is made of: shards for what is idle, a gate for its limit. */
#ifndef CO_CONNPOOL_POOL_IMPL_H
#define CO_CONNPOOL_POOL_IMPL_H

#include "gate.h"
#include "shard.h"
#include <co/pool.h>

/* The most workers a runtime can have: a pool may be made before its runtime runs. */
#define CO__SHARDS_MAX 256

struct co_pool {
    struct co__gate gate;
    const struct co_backend *backend;
    void *ctx;
    char *name;
    struct co__slot *slots; /* all `max` of them */
    int64_t idle_timeout;
    int64_t max_age;
    uint32_t max;
    uint32_t max_idle;
    uint32_t idle; /* admitted as idle; atomic, counted only if max_idle is below max */
    int sweeping;  /* there is a sweeper; atomic, see sweep.c */
    int sweep_fd;  /* the eventfd it waits at, or -1; atomic */
    struct co__shard shards[CO__SHARDS_MAX];
};

/*
 * Takes an idle slot: from the worker's own shard, else from the others in turn. Returns NULL if
 * all looked empty.
 */
struct co__slot *co__pool_take(struct co_pool *pool, int worker);

/*
 * Ends the holding of a slot: it goes to the first who waits; else it becomes idle, if it has a
 * connection and the pool wants to keep that; else vacant.
 */
void co__pool_give(struct co_pool *pool, struct co__slot *slot);

/* Closes the connection of a slot, if it has one; the slot stays the caller's. */
void co__pool_disconnect(struct co_pool *pool, struct co__slot *slot);

/* Whether a connection has been idle, or has lived, for too long to be handed out. */
bool co__pool_expired(const struct co_pool *pool, const struct co__slot *slot, int64_t now);

/* Takes a slot that has been idle, or has lived, for too long; NULL if the shard has none. */
struct co__slot *co__pool_take_stale(struct co_pool *pool, int worker, int64_t now);

/* Sees to it that what has become idle will be closed in time. The caller is a user of the pool. */
void co__sweeper_begin(struct co_pool *pool);

/* Has the sweeper end; returns what the caller closes once it has left, or -1. */
int co__sweeper_wake(struct co_pool *pool);

#endif
