/* SPDX-License-Identifier: MIT */
/*
 * coro.c - the table of records: chunks that are mapped on demand and stay until the runtime ends.
 *
 * A record is fresh (never used, in no list), free (in a worker's list or the common one), or
 * alive. For every record that has left "fresh", a stack and a place in every worker's timer heap
 * are reserved, so neither the first run nor a deadline can fail for want of memory.
 */
#include "coro.h"

#include "fork.h"
#include "local.h"
#include "worker.h"
#include <co/assert.h>
#include <co/private/chaos.h>
#include <co/private/source.h>
#include <string.h>
#include <sys/mman.h>

enum {
    REFILL = 32,     /* records that a worker takes from the common list at once */
    LOCAL_MAX = 256, /* records that a worker keeps free */
};

struct co__coro *co__chunks[1 << (CO__CORO_BITS - CO__CHUNK_BITS)];

static struct {
    struct co_latch lock;
    struct co__coro *free;
    _Atomic uint32_t fresh;  /* the lowest index never used */
    uint32_t reserved;       /* stacks and timers are reserved for indices below */
    int64_t max;             /* 0: no limit */
    _Atomic int64_t counted; /* lives, counted only where there is a limit */
    uint64_t word;           /* of a fresh record: later than all of earlier runtimes */
} table = {.word = CO__BITS};

int co__coros_start(int64_t max)
{
    table.free = NULL;
    table.max = max;
    /* relaxed, all: no other thread yet. */
    atomic_store_explicit(&table.fresh, 1, memory_order_relaxed);
    atomic_store_explicit(&table.counted, 0, memory_order_relaxed /* as above */);
    table.reserved = 1;
    return 0;
}

/*
 * A plain thread may keep a ticket for longer than its runtime lives. It wakes nobody in the next,
 * because sequences go on there where they have ended here.
 */
static void outdate_tickets(void)
{
    for (uint32_t i = 1; i < co__coro_limit(); i++) {
        /* relaxed: no other thread any more. */
        uint64_t word = atomic_load_explicit(&co__coro_at(i)->word, memory_order_relaxed);

        if (word > table.word)
            table.word = word | CO__BITS;
    }
    atomic_store_explicit(&table.fresh, 0, memory_order_relaxed /* as above */);
}

void co__coros_stop(void)
{
    outdate_tickets();
    for (size_t i = 0; i < sizeof co__chunks / sizeof *co__chunks && co__chunks[i]; i++) {
        (void)munmap(co__chunks[i], CO__CHUNK * sizeof(struct co__coro));
        co__chunks[i] = NULL;
    }
}

uint32_t co__coro_limit(void)
{
    /* acquire: pairs with the release in fresh_record; the chunks below are mapped. */
    return atomic_load_explicit(&table.fresh, memory_order_acquire);
}

/* Under the lock. Sees to it that the index may be used. */
static int reserve(uint32_t index)
{
    uint32_t chunk = index >> CO__CHUNK_BITS;
    uint32_t next = (chunk + 1) << CO__CHUNK_BITS;

    if (index < table.reserved)
        return 0;
    if (index >= 1U << CO__CORO_BITS)
        return -EAGAIN;
    if (!co__chunks[chunk]) {
        void *map = mmap(NULL, CO__CHUNK * sizeof(struct co__coro), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (map == MAP_FAILED)
            return -ENOMEM;
        co__chunks[chunk] = map;
    }
    if (co__stack_reserve(next) < 0)
        return -ENOMEM;
    for (int i = 0; i < co__rt.count; i++) {
        if (co__heap_reserve(&co__rt.workers[i].timers, next) < 0)
            return -ENOMEM;
    }
    table.reserved = next;
    return 0;
}

/* Under the lock. */
static struct co__coro *fresh_record(int *ret_err)
{
    /* relaxed: written under this lock only. */
    uint32_t index = atomic_load_explicit(&table.fresh, memory_order_relaxed);
    struct co__coro *co;
    int r = reserve(index);

    if (r < 0) {
        *ret_err = r;
        return NULL;
    }
    co = co__coro_at(index);
    co->index = index;
    /* relaxed, both: whoever learns of the record learns it by something that orders this. */
    atomic_store_explicit(&co->word, table.word, memory_order_relaxed);
    atomic_store_explicit(&co->timer.time, CO_NEVER, memory_order_relaxed /* as above */);
    /* release: pairs with co__coro_limit. */
    atomic_store_explicit(&table.fresh, index + 1, memory_order_release);
    return co;
}

/* Up to `count` records from the common list, linked; else fresh ones. */
static struct co__coro *take_common(int count, int *ret_count, int *ret_err)
{
    struct co__coro *list = NULL;
    int taken = 0;

    co_latch_take(&table.lock);
    while (taken < count) {
        struct co__coro *co = table.free;

        if (co)
            table.free = co->next;
        else
            co = fresh_record(ret_err);
        if (!co)
            break;
        co->next = list;
        list = co;
        taken++;
    }
    co_latch_give(&table.lock);
    *ret_count = taken;
    return list;
}

/* Where there is a limit, every life is counted exactly, by one shared counter. */
static bool over_limit(void)
{
    if (table.max == 0)
        return false;
    /* relaxed, both: a count that orders nothing. */
    if (atomic_fetch_add_explicit(&table.counted, 1, memory_order_relaxed) < table.max)
        return false;
    atomic_fetch_sub_explicit(&table.counted, 1, memory_order_relaxed /* as above */);
    return true;
}

static void uncount(void)
{
    if (table.max > 0) /* relaxed: as in over_limit */
        atomic_fetch_sub_explicit(&table.counted, 1, memory_order_relaxed);
}

static struct co__coro *take_record(struct co__worker *w, int *ret_err)
{
    struct co__coro *co;
    int count;

    if (!w)
        return take_common(1, &count, ret_err);
    if (!w->free)
        w->free = take_common(REFILL, &w->free_count, ret_err);
    co = w->free;
    if (co) {
        w->free = co->next;
        w->free_count--;
    }
    return co;
}

struct co__coro *co__coro_take(struct co__worker *w, int *ret_err)
{
    struct co__coro *co;

    if (CO__CHAOS(CO__CHAOS_SPAWN)) {
        *ret_err = -ENOMEM;
        return NULL;
    }
    if (over_limit()) {
        *ret_err = -EAGAIN;
        return NULL;
    }
    co = take_record(w, ret_err);
    if (!co) {
        uncount();
        return NULL;
    }
    co->next = NULL;
    co->deadline = CO_NEVER;
    co->grace = false;
    co->pins = 0;
    co->nosuspend = 0;
    co__name(co, NULL);
    co->alive = true;
    /*
     * seq_cst: before the caller's look at the phase; against "phase, then everybody's flag" of
     * the stop.
     */
    atomic_store_explicit(&co->cancelled, 0, memory_order_seq_cst);
    return co;
}

static void put_common(struct co__coro *list)
{
    co_latch_take(&table.lock);
    while (list) {
        struct co__coro *next = list->next;

        list->next = table.free;
        table.free = list;
        list = next;
    }
    co_latch_give(&table.lock);
}

void co__coro_put(struct co__worker *w, struct co__coro *co)
{
    co->alive = false;
    uncount();
    if (!w) {
        co->next = NULL;
        put_common(co);
        return;
    }
    co->next = w->free;
    w->free = co;
    if (++w->free_count <= LOCAL_MAX)
        return;
    /* Keep the hot half. */
    for (int i = 1; i < LOCAL_MAX / 2; i++)
        co = co->next;
    put_common(co->next);
    co->next = NULL;
    w->free_count = LOCAL_MAX / 2;
}

void co__coro_flush(struct co__worker *w)
{
    put_common(w->free);
    w->free = NULL;
    w->free_count = 0;
}

/* ---- the first run ---- */

/* The copy moves to the new stack, where it may be changed freely and lives as long as fn runs. */
static __attribute__((noinline)) void call_copy(struct co__coro *co)
{
    _Alignas(16) unsigned char copy[CO_COPY_MAX];

    memcpy(copy, co->copy, co->entry.size);
    co->entry.fn(copy);
}

static void call_when(struct co__coro *co)
{
    /* relaxed: our own word; we run. */
    uint64_t word = atomic_load_explicit(&co->word, memory_order_relaxed);

    co__source_clear(co->entry.source, co__ticket(co, word));
    co->entry.begun(co->entry.source);
    co->entry.when_fn(co->entry.arg, co->result < 0 ? co->result : 0);
}

static void entry(void *data)
{
    struct co__worker *w = data;
    struct co__coro *co = w->current;

    switch (co->entry.kind) {
    case CO__ENTRY_FN:
        co->entry.fn(co->entry.arg);
        break;
    case CO__ENTRY_FD:
        co->entry.fd_fn((int)(intptr_t)co->entry.arg);
        break;
    case CO__ENTRY_COPY:
        call_copy(co);
        break;
    case CO__ENTRY_MAIN:
        co__rt.main_result = co->entry.main_fn(co->entry.arg);
        break;
    case CO__ENTRY_WHEN:
        call_when(co);
        break;
    }
    co__locals_end(co);
    w = co__worker(); /* not the one of the first run, perhaps */
    if (!w)
        co__fork_returned();
    w->action = CO__ACTION_END;
    co__context_leave(&co->context, &w->context, NULL);
}

void co__coro_enter(struct co__coro *co)
{
    struct co__stack *stack = co->stack;

    co__context_make(&co->context, (char *)stack->low + stack->size, stack->size, entry);
}

void co__coro_bind(struct co__worker *w, struct co__coro *co)
{
    struct co__stack *stack = co__stack_get(&w->stacks, 0);

    CO_REQUIRE(stack); /* one is reserved for every record */
    co->stack = stack;
    co__coro_enter(co);
}
