/* SPDX-License-Identifier: MIT */
/*
 * connpool/sweep.c - closing what has been idle for too long, though no lease comes by.
 *
 * A pool with idle connections has a sweeper, which is woken when the stalest is due, closes what
 * is, and ends when none idles. It waits as an idle connection waits, by co_go_when, on an eventfd
 * that nobody writes to: so it holds no stack, and the runtime starts it when it is told to stop;
 * then it ends, and leaves what idles to co_pool_free.
 *
 *   `sweeping`  0 -> 1  by who has made a connection idle and won the exchange: he begins it
 *               1 -> 0  by the sweeper when it ends, or by who could not begin it
 * No idle connection stays without one: who puts it into a shard does that first and then reads
 * `sweeping`; the sweeper first writes 0 and then looks into every shard. All four are seq_cst.
 * (Where a sweeper cannot be had, for want of a descriptor, the end of the next lease tries again.)
 *
 * The sweeper counts among the users of shard 0. co_pool_free wakes it by hanging the eventfd up,
 * and it must not meet another descriptor of that number: whoever takes it out of `sweep_fd` closes
 * it, and co_pool_free does that only once the sweeper has left. It looks there after it has closed
 * the shards, and a sweeper enters one after its descriptor is there: so it is found, or refused.
 */
#include "pool_impl.h"
#include <co/foreign.h>
#include <co/net.h>
#include <co/scope.h>
#include <co/task.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { AT_ONCE = 32 }; /* connections that are closed in a row before others may run */

/* How long until something has been so for more than `limit`. */
static int64_t remaining(int64_t now, int64_t since, int64_t limit)
{
    int64_t past = now > since ? now - since : 0;

    if (limit == CO_NEVER)
        return CO_NEVER;
    return past <= limit ? limit - past + 1 : 0;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How long until the stalest idle connection is due; CO_NEVER if there is none. */
static int64_t until_due(struct co_pool *pool)
{
    int64_t now = co_now();
    int64_t left = CO_NEVER;

    for (int i = 0; i < co_workers(); i++) {
        int64_t idled, born;

        if (!co__shard_stalest(&pool->shards[i], &idled, &born))
            continue;
        left = min64(left, remaining(now, idled, pool->idle_timeout));
        left = min64(left, remaining(now, born, pool->max_age));
    }
    return left;
}

/* Closes what is due. */
static void close_stale(struct co_pool *pool)
{
    int64_t now = co_now();
    int closed = 0;

    for (int i = 0; i < co_workers(); i++) {
        struct co__slot *slot;

        while ((slot = co__pool_take_stale(pool, i, now)) != NULL) {
            co__pool_disconnect(pool, slot);
            co__gate_vacate(&pool->gate, slot);
            if (++closed % AT_ONCE == 0)
                (void)co_yield(); /* it goes on, cancelled or not */
        }
    }
}

/* Takes the eventfd, if it is there still; the caller closes it. */
static int take_fd(struct co_pool *pool)
{
    /* acq_rel: who takes it closes what the other has opened, or hung up. */
    return __atomic_exchange_n(&pool->sweep_fd, -1, __ATOMIC_ACQ_REL);
}

static void sweep(void *arg, int why);

/* Has the sweeper wait for so long; a negative errno if it cannot. */
static int rest(struct co_pool *pool, int64_t ns)
{
    /* acquire: pairs with take_fd; whoever takes it from now on lets it be while we are here. */
    int fd = __atomic_load_n(&pool->sweep_fd, __ATOMIC_ACQUIRE);
    CO_DEADLINE(ns); /* a caller's own may be shorter: then the sweeper looks once for nothing */

    return co_go_when(fd, sweep, pool);
}

/* Ends the sweeper, or what was to be one. */
static void retire(struct co_pool *pool)
{
    int fd = take_fd(pool);

    if (fd >= 0)
        (void)co_close(fd);
    /* seq_cst: before a look into the shards; see above. */
    __atomic_store_n(&pool->sweeping, 0, __ATOMIC_SEQ_CST);
}

static bool all_empty(const struct co_pool *pool)
{
    int workers = co_workers();
    int i = 0;

    while (i < workers && co__shard_empty(&pool->shards[i]))
        i++;
    return i == workers;
}

/* The sweeper's turn; why: as co_go_when says. */
static void sweep(void *arg, int why)
{
    struct co_pool *pool = arg;
    int64_t left;

    if (why != -ECANCELED) {
        close_stale(pool);
        left = until_due(pool);
        if (left < CO_NEVER && rest(pool, left) == 0)
            return;
    }
    retire(pool);
    if (why != -ECANCELED && !all_empty(pool))
        co__sweeper_begin(pool);
    co__shard_leave(&pool->shards[0]); /* the pool may be gone after this */
}

/* An eventfd in Corvid's table, or a negative errno. */
static int open_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = fd < 0 ? -errno : co_adopt(fd);

    if (r == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return r;
}

void co__sweeper_begin(struct co_pool *pool)
{
    int64_t soonest = min64(pool->idle_timeout, pool->max_age);
    int none = 0;
    int fd;

    /* seq_cst: after co__shard_put; see above. */
    if (__atomic_load_n(&pool->sweeping, __ATOMIC_SEQ_CST) || soonest == CO_NEVER || co_stopping())
        return;
    /* seq_cst: one begins it. relaxed: another one does. */
    if (!__atomic_compare_exchange_n(&pool->sweeping, &none, 1, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return;
    fd = open_eventfd();
    if (fd >= 0) {
        /* release: pairs with take_fd. */
        __atomic_store_n(&pool->sweep_fd, fd, __ATOMIC_RELEASE);
        if (co__shard_enter(&pool->shards[0]) == 0) {
            if (rest(pool, soonest) == 0)
                return;
            co__shard_leave(&pool->shards[0]); /* the caller is a user as well */
        }
    }
    retire(pool);
}

int co__sweeper_wake(struct co_pool *pool)
{
    int fd = take_fd(pool);

    if (fd >= 0)
        (void)co_hangup(fd);
    return fd;
}
