/* SPDX-License-Identifier: MIT */
/*
 * connpool/gate.h - the limit of a pool: its vacant slots, and the queue of those who wait for one.
 *
 * Who arrives while others wait queues behind them. A slot is handed to the first in the queue
 * directly, with its connection or without (then it is the right to open one): the giver unlinks
 * the waiter under the gate's lock, and after unlocking claims its ticket; if the claim wins, it
 * writes the slot and finishes. If it loses, the waiter has timed out or been cancelled: the slot
 * stays the giver's, who offers it to the next.
 *
 * A waiter, on its coroutine's stack:
 *   APART   not in the queue.
 *           commit, under the lock                                                    -> QUEUED
 *   QUEUED  giver, the pool's end, or the waiter once it runs again, under the lock   -> APART
 * The stack cannot go before the waiter has run again, and a giver that lost does not look at it.
 *
 * No wake-up is lost. Vacant slots and the queue are under one lock. Idle connections are not: who
 * puts one into a shard does that first and then reads `waiting`; who begins the queue writes
 * `waiting` first and then looks into every shard. All four are seq_cst, so at least one sees the
 * other. Hence: while the queue is not empty, every idle connection has its putter still on the way
 * to read `waiting` (co__pool_give).
 *
 * The gate's lock may be held when a shard's is taken, never the other way round; never two
 * shards'.
 */
#ifndef CO_CONNPOOL_GATE_H
#define CO_CONNPOOL_GATE_H

#include "shard.h"
#include <co/base.h>
#include <co/latch.h>

struct co__waiter {
    struct co__waiter *next;
    struct co__waiter *prev;
    struct co_pool *pool;
    struct co__slot *slot; /* what was handed over */
    co_ticket ticket;
    int worker; /* whose shard it looks into first */
    bool queued;
};

struct co__gate {
    struct co_latch lock;
    uint32_t waiting; /* length of the queue; written under the lock, read without */
    struct co__waiter *first;
    struct co__waiter *last;
    struct co__slot *vacant; /* linked by `staler` */
    uint32_t vacancies;      /* their number; written under the lock, read without */
    bool closing;
} __attribute__((aligned(128)));

/* Takes a vacant slot; NULL if there is none, or somebody waits for it already. */
struct co__slot *co__gate_vacancy(struct co__gate *gate);

/* Hands a slot to the first who waits; false, and the slot stays the caller's, if nobody does. */
CO_NODISCARD bool co__gate_offer(struct co__gate *gate, struct co__slot *slot);

/* Gives back a slot without a connection: to the first who waits, or to the vacant ones. */
void co__gate_vacate(struct co__gate *gate, struct co__slot *slot);

/*
 * Waits for a slot, at the end of the queue; `worker` names the caller's shard. Returns: 0 and the
 * slot; -ETIMEDOUT; -ECANCELED (this coroutine, or the pool closes).
 */
CO_NODISCARD int co__gate_wait(struct co_pool *pool, int worker, struct co__slot **ret_slot);

/* Sends everybody away with -ECANCELED, now and from now on. */
void co__gate_close(struct co__gate *gate);

/* Whether somebody waits. Orders: seq_cst, see above. */
static inline bool co__gate_waiting(const struct co__gate *gate)
{
    /* seq_cst: after co__shard_put it pairs with the store in a waiter's commit. */
    return __atomic_load_n(&gate->waiting, __ATOMIC_SEQ_CST) != 0;
}

#endif
