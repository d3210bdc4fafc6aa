/* SPDX-License-Identifier: MIT */
/*
 * injector.h - queues of ready coroutines linked through their records: a plain one for one owner,
 * and one that any thread may add to. The common injector takes what plain threads start, what
 * overflows from a deque, and what the offload pool finishes; each worker has one more as its inbox
 * for coroutines that are pinned to it.
 */
#ifndef CO_RUNTIME_INJECTOR_H
#define CO_RUNTIME_INJECTOR_H

#include <co/base.h>
#include <co/latch.h>
#include <stdatomic.h>

struct co__coro;

struct co__queue {
    struct co__coro *head;
    struct co__coro *tail;
    int count;
};

void co__queue_push(struct co__queue *queue, struct co__coro *co);
struct co__coro *co__queue_pop(struct co__queue *queue);

struct co__injector {
    struct co_latch lock;
    struct co__queue queue;
    _Atomic int size; /* for a look without the lock */
};

/* Adds at the end. Orders: seq_cst, so a look at the counts of sleepers may follow. */
void co__injector_push(struct co__injector *injector, struct co__coro *co);

/* Adds `count` coroutines at once. */
void co__injector_push_all(struct co__injector *injector, struct co__coro *const *list, int count);

/* Moves up to `max` from the front to the end of `ret_queue`. Returns: how many. */
int co__injector_take(struct co__injector *injector, struct co__queue *ret_queue, int max);

/* Returns: how many there are. Orders: seq_cst. */
static inline int co__injector_size(const struct co__injector *injector)
{
    /* seq_cst: part of the second look before sleep. */
    return atomic_load_explicit(&injector->size, memory_order_seq_cst);
}

#endif
