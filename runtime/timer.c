/* SPDX-License-Identifier: MIT */
/*
 * timer.c - arming and expiry.
 *
 * The parker, in the commit of its park (its word is unclaimed already, seq_cst):
 *   load the node's time (seq_cst); d or earlier: nothing to do. Otherwise take it out of the heap
 *   that it names (looking again under that heap's lock whether it still does) and insert it into
 *   the own heap.
 * Expiry, under the heap's lock, for each node that the clock has reached:
 *   time := never (seq_cst), the node stays linked  ->  read the word (seq_cst)  ->  read the
 *     deadline
 *   parked, and later:   time := deadline, in place
 *   parked, and passed:  unlink; after unlocking, claim with the sequence that was read
 *   not parked:          unlink
 * Either the parker sees "never" and arms anew, or expiry sees the new park and minds its deadline.
 * The model tests/model/ has the orders that fail.
 */
#include "timer.h"

#include "coro.h"
#include "park.h"
#include <sys/mman.h>

enum { ARITY = 4, BATCH = 64, FIRST_CAPACITY = 4096 };

static void put(struct co__heap *heap, uint32_t place, struct co__heap_item item)
{
    heap->items[place] = item;
    item.co->timer.place = place;
}

static void sift_up(struct co__heap *heap, uint32_t place, struct co__heap_item item)
{
    while (place > 0) {
        uint32_t parent = (place - 1) / ARITY;

        if (heap->items[parent].time <= item.time)
            break;
        put(heap, place, heap->items[parent]);
        place = parent;
    }
    put(heap, place, item);
}

static void sift_down(struct co__heap *heap, uint32_t place, struct co__heap_item item)
{
    for (;;) {
        uint32_t first = place * ARITY + 1;
        uint32_t last = first + ARITY < heap->count ? first + ARITY : heap->count;
        uint32_t least = first;

        if (first >= heap->count)
            break;
        for (uint32_t i = first + 1; i < last; i++) {
            if (heap->items[i].time < heap->items[least].time)
                least = i;
        }
        if (heap->items[least].time >= item.time)
            break;
        put(heap, place, heap->items[least]);
        place = least;
    }
    put(heap, place, item);
}

static void set_next(struct co__heap *heap)
{
    /* seq_cst: read without the lock by the second look before sleep. */
    atomic_store_explicit(&heap->next, heap->count > 0 ? heap->items[0].time : CO_NEVER,
                          memory_order_seq_cst);
}

static void unlink_at(struct co__heap *heap, uint32_t place)
{
    struct co__heap_item last = heap->items[--heap->count];

    /* relaxed: others that read it look again under this lock. */
    atomic_store_explicit(&heap->items[place].co->timer.heap, NULL, memory_order_relaxed);
    if (place == heap->count)
        return;
    if (place > 0 && heap->items[(place - 1) / ARITY].time > last.time)
        sift_up(heap, place, last);
    else
        sift_down(heap, place, last);
}

static size_t bytes(uint32_t capacity)
{
    return (size_t)capacity * sizeof(struct co__heap_item);
}

int co__heap_start(struct co__heap *heap)
{
    void *items = mmap(NULL, bytes(FIRST_CAPACITY), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (items == MAP_FAILED)
        return -ENOMEM;
    heap->items = items;
    heap->capacity = FIRST_CAPACITY;
    heap->count = 0;
    /* relaxed: no other thread yet. */
    atomic_store_explicit(&heap->next, CO_NEVER, memory_order_relaxed);
    return 0;
}

void co__heap_stop(struct co__heap *heap)
{
    if (heap->items)
        (void)munmap(heap->items, bytes(heap->capacity));
    heap->items = NULL;
}

int co__heap_reserve(struct co__heap *heap, uint32_t count)
{
    int r = 0;

    co_latch_take(&heap->lock);
    if (count > heap->capacity) {
        uint32_t capacity = heap->capacity;
        void *items;

        while (capacity < count)
            capacity *= 2;
        items = mremap(heap->items, bytes(heap->capacity), bytes(capacity), MREMAP_MAYMOVE);
        if (items == MAP_FAILED) {
            r = -ENOMEM;
        } else {
            heap->items = items;
            heap->capacity = capacity;
        }
    }
    co_latch_give(&heap->lock);
    return r;
}

/*
 * Takes the node out of whichever heap it is in. Nobody but the parker links it, so it stays out.
 */
static void unlink_anywhere(struct co__timer *timer)
{
    for (;;) {
        /* relaxed: looked at again under the lock. */
        struct co__heap *heap = atomic_load_explicit(&timer->heap, memory_order_relaxed);
        bool still;

        if (!heap)
            return;
        co_latch_take(&heap->lock);
        /* relaxed: changed under this lock only, while it names this heap. */
        still = atomic_load_explicit(&timer->heap, memory_order_relaxed) == heap;
        if (still) {
            unlink_at(heap, timer->place);
            set_next(heap);
        }
        co_latch_give(&heap->lock);
        if (still)
            return;
    }
}

void co__timer_arm(struct co__heap *own, struct co__coro *co, int64_t until)
{
    /* seq_cst: after the park's new word; pairs with expiry's "never, then the word". */
    if (atomic_load_explicit(&co->timer.time, memory_order_seq_cst) <= until)
        return;
    unlink_anywhere(&co->timer);
    co_latch_take(&own->lock);
    /* seq_cst: as above; relaxed for the heap: under its lock. */
    atomic_store_explicit(&co->timer.time, until, memory_order_seq_cst);
    atomic_store_explicit(&co->timer.heap, own, memory_order_relaxed /* under the lock */);
    sift_up(own, own->count++, (struct co__heap_item){until, co});
    if (own->items[0].co == co)
        set_next(own);
    co_latch_give(&own->lock);
}

/* Minds the earliest node, which is due. Returns: the ticket of a park that has to end, or 0. */
static co_ticket expire_first(struct co__heap *heap, int64_t now)
{
    struct co__coro *co = heap->items[0].co;
    uint64_t word;
    int64_t until;

    /*
     * seq_cst, both: never first, then the word. Against co__timer_arm: new word first, then the
     * time.
     */
    atomic_store_explicit(&co->timer.time, CO_NEVER, memory_order_seq_cst);
    word = atomic_load_explicit(&co->word, memory_order_seq_cst);
    /*
     * relaxed: written before the word that was just read; a later park is caught by the claim's
     * sequence.
     */
    until = atomic_load_explicit(&co->until, memory_order_relaxed);
    if ((word & CO__CLAIMED) || until == CO_NEVER) {
        unlink_at(heap, 0);
        return 0;
    }
    if (until <= now) {
        unlink_at(heap, 0);
        return co__ticket(co, word);
    }
    /* seq_cst: pairs with the load in co__timer_arm. */
    atomic_store_explicit(&co->timer.time, until, memory_order_seq_cst);
    sift_down(heap, 0, (struct co__heap_item){until, co});
    return 0;
}

/* Whether the earliest node has been left behind. A hint: the step that follows decides. */
static bool is_stale(const struct co__heap_item *item)
{
    /* relaxed, both: a hint. */
    uint64_t word = atomic_load_explicit(&item->co->word, memory_order_relaxed);
    int64_t until = atomic_load_explicit(&item->co->until, memory_order_relaxed);

    return (word & CO__CLAIMED) || until > item->time;
}

bool co__heap_is_stale(struct co__heap *heap)
{
    bool stale;

    if (co__heap_next(heap) == CO_NEVER)
        return false;
    co_latch_take(&heap->lock);
    stale = heap->count > 0 && is_stale(&heap->items[0]);
    co_latch_give(&heap->lock);
    return stale;
}

void co__heap_trim(struct co__heap *heap)
{
    while (co__heap_is_stale(heap)) {
        co_latch_take(&heap->lock);
        for (int i = 0; i < BATCH && heap->count > 0 && is_stale(&heap->items[0]); i++)
            (void)expire_first(heap, INT64_MIN); /* as if it were due, but nobody's time has come */
        set_next(heap);
        co_latch_give(&heap->lock);
    }
}

int co__heap_expire(struct co__heap *heap, int64_t now, bool try_only)
{
    int expired = 0;

    while (co__heap_next(heap) <= now) {
        co_ticket due[BATCH];
        int count = 0;

        if (!try_only)
            co_latch_take(&heap->lock);
        else if (!co_latch_try(&heap->lock))
            return expired;
        while (count < BATCH && heap->count > 0 && heap->items[0].time <= now) {
            co_ticket ticket = expire_first(heap, now);

            if (ticket)
                due[count++] = ticket;
        }
        set_next(heap);
        co_latch_give(&heap->lock);
        for (int i = 0; i < count; i++)
            expired += co__unpark(due[i], -ETIMEDOUT);
    }
    return expired;
}
