/* SPDX-License-Identifier: MIT */
/* connpool/shard.h - the idle connections of one worker's loop, and who uses the pool there. */
#ifndef CO_CONNPOOL_SHARD_H
#define CO_CONNPOOL_SHARD_H

#include <co/base.h>
#include <co/latch.h>
#include <co/park.h>

/*
 * A place for one connection; a pool has exactly `max` of them, so holding one is the right to have
 * a connection open. Except under the locks named here, a slot belongs to one coroutine.
 *
 *   VACANT  in the gate's list, without a connection.
 *           co__gate_vacancy, or the first waiter's commit, under the gate's lock     -> HELD
 *   HELD    by one coroutine: it opens, uses, checks or closes the connection.
 *           co__shard_put, if the connection may serve again                          -> IDLE
 *           co__gate_offer, co__gate_vacate, to the first in the queue               -> HELD by him
 *           co__gate_vacate, once the connection is closed and if nobody waits        -> VACANT
 *   IDLE    in the list of its home shard, with a connection.
 *           co__shard_take, co__shard_stale, under the shard's lock                   -> HELD
 *           co__shard_close, when the pool is freed                                   -> HELD
 */
struct co__slot {
    struct co__slot *staler;  /* next in a shard's list, or in the gate's */
    struct co__slot *fresher; /* the other way, in a shard's list */
    void *conn;               /* the backend's, if open */
    int64_t born;             /* when it was opened */
    int64_t idled;            /* when it last became idle */
    int home;                 /* shard of the loop that owns its socket */
    int charged;              /* shard whose users the present lease counts among */
    bool open;
    bool served; /* a lease that kept it has ended */
} __attribute__((aligned(64)));

/* Counters of a shard, for statistics; each is added to by any worker, atomically. */
struct co__tally {
    uint64_t reused;
    uint64_t borrowed;
    uint64_t opened;
    uint64_t failed;
    uint64_t waited;
    uint64_t timed_out;
    uint64_t discarded;
    uint64_t unhealthy;
    uint64_t expired;
};

/*
 * One worker's share. Everything but victim and tally is written under the lock.
 *
 *   open     co__shard_close                                      -> closing, for good
 *   closing  enter and put refuse; `users` only falls. The leave that makes it 0 wakes the freer,
 *            and giving the lock is the last touch of the pool by any of its users here.
 */
struct co__shard {
    struct co_latch lock;
    uint32_t idle; /* length of the list; read without the lock too */
    struct co__slot *freshest;
    struct co__slot *stalest;
    co_ticket freer; /* co_pool_free, once it waits for users to become 0 */
    uint32_t users;  /* leases that began here and have not ended, calls that try to begin one, and
                     * in shard 0 the sweeper */
    unsigned victim; /* where the next search among the others starts */
    bool closing;
    struct co__tally tally;
} __attribute__((aligned(128)));

/* Counts the caller among the users: 0; -ECANCELED once the pool closes. */
CO_NODISCARD int co__shard_enter(struct co__shard *shard);

/* Undoes one enter. After it the caller must not touch the pool any more. */
void co__shard_leave(struct co__shard *shard);

/* Takes the freshest idle slot; NULL if there is none. */
struct co__slot *co__shard_take(struct co__shard *shard);

/* Takes the stalest slot, if it became idle before `idled` or was opened before `born`. */
struct co__slot *co__shard_stale(struct co__shard *shard, int64_t idled, int64_t born);

/* When the stalest slot became idle and was opened; false if there is none. */
bool co__shard_stalest(struct co__shard *shard, int64_t *ret_idled, int64_t *ret_born);

/*
 * Adds a slot as the freshest; false, and nothing done, once the pool closes. Orders: seq_cst with
 * the queue's length: who puts and then reads 0 there, will be found by whoever queues later.
 */
CO_NODISCARD bool co__shard_put(struct co__shard *shard, struct co__slot *slot);

/* Begins closing; what was idle is the caller's, linked by `staler`. */
struct co__slot *co__shard_close(struct co__shard *shard);

/* Waits, whatever cancel and deadline say, until a closing shard has no users. */
void co__shard_drain(struct co__shard *shard);

/* Adds one to a counter of a tally. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the builtin writes. */
static inline void co__tally_add(uint64_t *counter)
{
    /* Relaxed: a statistic; it orders nothing. */
    (void)__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* Whether the list looked empty a moment ago. Orders: seq_cst, see co__shard_put. */
static inline bool co__shard_empty(const struct co__shard *shard)
{
    /* seq_cst: a waiter that has published itself pairs it with the store in co__shard_put. */
    return __atomic_load_n(&shard->idle, __ATOMIC_SEQ_CST) == 0;
}

#endif
