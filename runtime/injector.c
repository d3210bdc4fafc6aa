/* SPDX-License-Identifier: MIT */
/* injector.c - the queues of injector.h. */
#include "injector.h"

#include "coro.h"

void co__queue_push(struct co__queue *queue, struct co__coro *co)
{
    co->next = NULL;
    if (queue->tail)
        queue->tail->next = co;
    else
        queue->head = co;
    queue->tail = co;
    queue->count++;
}

struct co__coro *co__queue_pop(struct co__queue *queue)
{
    struct co__coro *co = queue->head;

    if (!co)
        return NULL;
    queue->head = co->next;
    if (!queue->head)
        queue->tail = NULL;
    queue->count--;
    return co;
}

static void publish_size(struct co__injector *injector)
{
    /* seq_cst: pairs with co__injector_size of a worker that has just published its sleep. */
    atomic_store_explicit(&injector->size, injector->queue.count, memory_order_seq_cst);
}

void co__injector_push(struct co__injector *injector, struct co__coro *co)
{
    co__injector_push_all(injector, &co, 1);
}

void co__injector_push_all(struct co__injector *injector, struct co__coro *const *list, int count)
{
    co_latch_take(&injector->lock);
    for (int i = 0; i < count; i++)
        co__queue_push(&injector->queue, list[i]);
    publish_size(injector);
    co_latch_give(&injector->lock);
}

int co__injector_take(struct co__injector *injector, struct co__queue *ret_queue, int max)
{
    int count = 0;

    co_latch_take(&injector->lock);
    while (count < max && injector->queue.head) {
        co__queue_push(ret_queue, co__queue_pop(&injector->queue));
        count++;
    }
    publish_size(injector);
    co_latch_give(&injector->lock);
    return count;
}
