/* SPDX-License-Identifier: MIT */
/* deque.c - the operations of deque.h. tests/model/ checks this file as it stands. */
#include "deque.h"

enum { MASK = CO__DEQUE_CAPACITY - 1 };

static struct co__coro *slot_get(const struct co__deque *deque, int64_t index)
{
    /*
     * relaxed: the element is published by bottom, and a torn choice is thrown away by the CAS on
     * top.
     */
    return atomic_load_explicit(&deque->slot[index & MASK], memory_order_relaxed);
}

static void slot_put(struct co__deque *deque, int64_t index, struct co__coro *co)
{
    /* relaxed: published by the store to bottom that follows. */
    atomic_store_explicit(&deque->slot[index & MASK], co, memory_order_relaxed);
}

/* Moves top on by n. The one step by which elements leave (the lifo owner's last but one aside). */
static bool take_top(struct co__deque *deque, int64_t top, int64_t n)
{
    /* acq_rel: release orders our reads of the slots before the owner's reuse of them (its acquire
     * of top in push); acquire pairs with earlier takers. Failure is answered by giving up or
     * reading top anew. */
    return atomic_compare_exchange_strong_explicit(&deque->top, &top, top + n, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

bool co__deque_push(struct co__deque *deque, struct co__coro *co)
{
    /* relaxed: only the owner writes bottom, and we are the owner. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    /*
     * acquire pairs with take_top's release: the slot about to be reused has been read by its
     * taker.
     */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);

    if (bottom - top >= CO__DEQUE_CAPACITY)
        return false;
    slot_put(deque, bottom, co);
    /* release pairs with the acquire of bottom in steals: slot and coroutine are seen. */
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);
    return true;
}

void co__deque_publish(struct co__deque *deque)
{
    /* relaxed: own word. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);

    /* seq_cst pairs with co__deque_size of a worker that has just declared itself asleep. */
    atomic_store_explicit(&deque->bottom, bottom, memory_order_seq_cst);
}

struct co__coro *co__deque_pop_fifo(struct co__deque *deque)
{
    /* relaxed: own word. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);

    for (;;) {
        /* acquire: not older than what an earlier taker released; the CAS decides. */
        int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
        struct co__coro *co;

        if (top >= bottom)
            return NULL;
        co = slot_get(deque, top);
        if (take_top(deque, top, 1))
            return co;
    }
}

struct co__coro *co__deque_pop_lifo(struct co__deque *deque)
{
    /* relaxed: own word. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed) - 1;
    struct co__coro *co = NULL;
    int64_t top;

    /* seq_cst, this store and the next load: either a thief that loads bottom afterwards sees it
     * lowered, or we see the top that the thief has moved (the paper's fence). */
    atomic_store_explicit(&deque->bottom, bottom, memory_order_seq_cst);
    top = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    if (top < bottom)
        return slot_get(deque, bottom); /* more than one left: no thief can reach this one */
    if (top == bottom) {
        co = slot_get(deque, bottom);
        /* seq_cst: takes part in the same order as the thieves' CAS on the last element. */
        if (!atomic_compare_exchange_strong_explicit(&deque->top, &top, top + 1,
                                                     memory_order_seq_cst,
                                                     memory_order_relaxed /* value unused */))
            co = NULL;
    }
    /* release as in push: thieves that read it see slots that were published before. */
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);
    return co;
}

struct co__coro *co__deque_steal_half(struct co__deque *victim, struct co__deque *own,
                                      int *ret_count)
{
    /* acquire pairs with push: slots below bottom are seen. Read before top, so that the difference
     * cannot exceed the capacity. */
    int64_t bottom = atomic_load_explicit(&victim->bottom, memory_order_acquire);
    /* acquire pairs with take_top's release, and keeps this load after the one of bottom. */
    int64_t top = atomic_load_explicit(&victim->top, memory_order_acquire);
    /* relaxed: own word. */
    int64_t mine = atomic_load_explicit(&own->bottom, memory_order_relaxed);
    int64_t n = bottom - top;
    struct co__coro *first;

    if (n <= 0)
        return NULL;
    n -= n / 2;
    first = slot_get(victim, top);
    for (int64_t i = 1; i < n; i++)
        slot_put(own, mine + i - 1, slot_get(victim, top + i));
    if (!take_top(victim, top, n))
        return NULL; /* what was copied lies beyond our bottom: nobody has seen it */
    /* release as in push; only now, when they are ours. */
    atomic_store_explicit(&own->bottom, mine + n - 1, memory_order_release);
    *ret_count = (int)n;
    return first;
}

struct co__coro *co__deque_steal_one(struct co__deque *victim)
{
    /* seq_cst, both: with the lifo owner's store to bottom and load of top, one of the two sides
     * sees the other (the paper's fence between the two loads). */
    int64_t top = atomic_load_explicit(&victim->top, memory_order_seq_cst);
    int64_t bottom = atomic_load_explicit(&victim->bottom, memory_order_seq_cst);
    struct co__coro *co;

    if (top >= bottom)
        return NULL;
    co = slot_get(victim, top);
    /* seq_cst: one order with the owner's CAS on the last element. */
    if (!atomic_compare_exchange_strong_explicit(&victim->top, &top, top + 1, memory_order_seq_cst,
                                                 memory_order_relaxed /* value unused */))
        return NULL;
    return co;
}

int co__deque_spill(struct co__deque *deque, struct co__coro **ret_taken, int max)
{
    /* relaxed: own word. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    /* acquire: pairs with take_top's release. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
    int64_t n = bottom - top;

    if (n > max)
        n = max;
    for (int64_t i = 0; i < n; i++)
        ret_taken[i] = slot_get(deque, top + i);
    return n > 0 && take_top(deque, top, n) ? (int)n : 0;
}

int co__deque_size(const struct co__deque *deque)
{
    /*
     * seq_cst, both: the second look before sleep comes after the publication of the sleep, see
     * idle.h.
     */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_seq_cst);
    int64_t top = atomic_load_explicit(&deque->top, memory_order_seq_cst);

    return bottom > top ? (int)(bottom - top) : 0;
}
