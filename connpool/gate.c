/* SPDX-License-Identifier: MIT */
/* connpool/gate.c - who may open a connection, and who is next: the protocol is told in gate.h. */
#include "gate.h"
#include "pool_impl.h"

/* What a commit returns when it has found a slot: no sleep, no error. */
enum { FOUND = 1 };

/* Writes the length of the queue; the caller holds the lock. */
static void set_waiting(struct co__gate *gate, uint32_t waiting)
{
    /* seq_cst: when it becomes 1, it pairs with co__gate_waiting after co__shard_put. */
    __atomic_store_n(&gate->waiting, waiting, __ATOMIC_SEQ_CST);
}

/* QUEUED, at the end; the caller holds the lock. */
static void enqueue(struct co__gate *gate, struct co__waiter *waiter)
{
    waiter->next = NULL;
    waiter->prev = gate->last;
    if (gate->last != NULL)
        gate->last->next = waiter;
    else
        gate->first = waiter;
    gate->last = waiter;
    waiter->queued = true;
    set_waiting(gate, gate->waiting + 1);
}

/* APART; the caller holds the lock. */
static void dequeue(struct co__gate *gate, struct co__waiter *waiter)
{
    if (waiter->prev != NULL)
        waiter->prev->next = waiter->next;
    else
        gate->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
    else
        gate->last = waiter->prev;
    waiter->queued = false;
    set_waiting(gate, gate->waiting - 1);
}

/* Writes the number of vacant slots; the caller holds the lock. */
static void set_vacancies(struct co__gate *gate, uint32_t vacancies)
{
    /* Relaxed: only statistics read it without the lock. */
    __atomic_store_n(&gate->vacancies, vacancies, __ATOMIC_RELAXED);
}

/* Takes a vacant slot, NULL if there is none; the caller holds the lock. */
static struct co__slot *pop_vacant(struct co__gate *gate)
{
    struct co__slot *slot = gate->vacant;

    if (slot != NULL) {
        gate->vacant = slot->staler;
        set_vacancies(gate, gate->vacancies - 1);
        slot->staler = NULL;
    }
    return slot;
}

/* Adds a vacant slot; the caller holds the lock. */
static void push_vacant(struct co__gate *gate, struct co__slot *slot)
{
    slot->staler = gate->vacant;
    gate->vacant = slot;
    set_vacancies(gate, gate->vacancies + 1);
}

struct co__slot *co__gate_vacancy(struct co__gate *gate)
{
    struct co__slot *slot = NULL;

    co_latch_take(&gate->lock);
    if (gate->first == NULL)
        slot = pop_vacant(gate);
    co_latch_give(&gate->lock);
    return slot;
}

/* Hands a slot to the first who takes it; else it becomes vacant, or stays the caller's. */
static bool hand_over(struct co__gate *gate, struct co__slot *slot, bool or_vacate)
{
    for (;;) {
        struct co__waiter *waiter;
        co_ticket ticket = 0;

        co_latch_take(&gate->lock);
        waiter = gate->first;
        if (waiter != NULL) {
            ticket = waiter->ticket;
            dequeue(gate, waiter);
        } else if (or_vacate) {
            push_vacant(gate, slot);
        }
        co_latch_give(&gate->lock);
        if (waiter == NULL)
            return false;
        if (co_claim(ticket, 0)) {
            waiter->slot = slot; /* the waiter cannot run before it is finished */
            co_finish(ticket);
            return true;
        }
    }
}

bool co__gate_offer(struct co__gate *gate, struct co__slot *slot)
{
    return hand_over(gate, slot, false);
}

void co__gate_vacate(struct co__gate *gate, struct co__slot *slot)
{
    (void)hand_over(gate, slot, true);
}

/*
 * The commit of a waiter. The first in the queue looks for a slot once more after it has published
 * itself; those behind it need not: whoever brings a slot from now on comes to the queue.
 */
static int join(co_ticket self, void *arg)
{
    struct co__waiter *waiter = arg;
    struct co_pool *pool = waiter->pool;
    struct co__gate *gate = &pool->gate;
    int r = 0;

    waiter->ticket = self;
    co_latch_take(&gate->lock);
    if (gate->closing) {
        r = -ECANCELED;
    } else {
        enqueue(gate, waiter);
        if (gate->first == waiter) {
            waiter->slot = co__pool_take(pool, waiter->worker);
            if (waiter->slot == NULL)
                waiter->slot = pop_vacant(gate);
        }
        if (waiter->slot != NULL) {
            dequeue(gate, waiter);
            r = FOUND;
        } else {
            co__tally_add(&pool->shards[waiter->worker].tally.waited);
        }
    }
    co_latch_give(&gate->lock);
    return r;
}

int co__gate_wait(struct co_pool *pool, int worker, struct co__slot **ret_slot)
{
    struct co__waiter waiter = {.pool = pool, .worker = worker};
    struct co__gate *gate = &pool->gate;
    int r = co_park_for("lease of pool", pool, join, &waiter, CO_PARK_INSIDE);

    co_latch_take(&gate->lock);
    if (waiter.queued)
        dequeue(gate, &waiter);
    co_latch_give(&gate->lock);
    if (r == -ETIMEDOUT)
        co__tally_add(&pool->shards[worker].tally.timed_out);
    if (r >= 0) {
        *ret_slot = waiter.slot;
        return 0;
    }
    if (waiter.slot != NULL) /* commit found one, but a cancel had claimed the park before */
        co__pool_give(pool, waiter.slot);
    return r;
}

void co__gate_close(struct co__gate *gate)
{
    for (;;) {
        struct co__waiter *waiter;
        co_ticket ticket = 0;

        co_latch_take(&gate->lock);
        gate->closing = true;
        waiter = gate->first;
        if (waiter != NULL) {
            ticket = waiter->ticket;
            dequeue(gate, waiter);
        }
        co_latch_give(&gate->lock);
        if (waiter == NULL)
            return;
        (void)co_unpark(ticket, -ECANCELED);
    }
}
