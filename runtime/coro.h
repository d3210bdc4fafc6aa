/* SPDX-License-Identifier: MIT */
/*
 * coro.h - the record of a coroutine, and the table that holds them all.
 *
 * Records are type-stable: while the runtime runs, a record's memory is always a record, so whoever
 * holds an old ticket may look at its park word and will find that the sequence has moved on.
 *
 * The park word is  sequence << 3 | FIRED | SAVED | CLAIMED.
 *   unclaimed (no CLAIMED)  asleep, or about to be. Left by whoever sets CLAIMED, by one CAS: the
 *                           winner.
 *   SAVED                   set once, by the parker's last step, on the worker's stack.
 *   FIRED                   set once, by the winner's last step.
 *   all three               running or ready: nothing can be claimed. Left by the coroutine itself
 *                           when it parks
 *                           again: sequence + 1, no bits.
 * Of SAVED and FIRED, who finds the other's bit set makes the coroutine ready; after that step
 * neither touches the word. runtime/park.c has the protocol in full.
 */
#ifndef CO_RUNTIME_CORO_H
#define CO_RUNTIME_CORO_H

#include "context.h"
#include "cpu.h"
#include "stack.h"
#include "timer.h"
#include <co/assert.h>
#include <co/latch.h>
#include <co/park.h>
#include <co/task.h>
#include <stdatomic.h>

enum {
    CO__CLAIMED = 1,
    CO__SAVED = 2,
    CO__FIRED = 4,
    CO__BITS = 7,
    CO__SEQ_SHIFT = 3,
};

/* How the function of a coroutine is called. */
enum co__entry_kind {
    CO__ENTRY_FN,   /* fn(arg) */
    CO__ENTRY_FD,   /* fn(fd) */
    CO__ENTRY_COPY, /* fn(copy), the bytes being in the record until the first run */
    CO__ENTRY_MAIN, /* the runtime's first function, whose result is kept */
    CO__ENTRY_WHEN, /* fn(arg, why): born parked on a wait source */
};

struct co__source;
struct co__locals;

struct co__entry {
    union {
        co_fn *fn;
        co_fd_fn *fd_fn;
        co_main_fn *main_fn;
        void (*when_fn)(void *arg, int why);
    };
    void *arg;
    struct co__source *source; /* CO__ENTRY_WHEN: what it was born on */
    void (*begun)(struct co__source *source);
    uint32_t size; /* CO__ENTRY_COPY: bytes in `copy` */
    enum co__entry_kind kind;
};

/*
 * A park and its end touch the first two lines and no more: with many coroutines each line is one
 * that has to be fetched from afar.
 */
struct co__coro {
    _Alignas(CO__CACHE_LINE) _Atomic uint64_t word;
    struct co__stack *stack; /* NULL until the first run */
    uint32_t index;          /* in the table, from 1; fixed */
    int32_t result;          /* written by the winner of the claim, read after the wake-up */

    /*
     * Written by the running coroutine before a park's new sequence; read by wakers after the
     * word.
     */
    _Atomic int64_t until;  /* when the park ends with -ETIMEDOUT */
    _Atomic uint32_t flags; /* CO_PARK_* of the park, and NO_CANCEL within a grace */

    _Atomic uint32_t cancelled; /* sticky; reset when the record starts a new life */
    int64_t deadline;           /* of the scope in force; the coroutine's own */
    bool grace;                 /* within CO_GRACE: cancel does not count */
    bool alive;                 /* between start and end; for reports, read without care */
    uint16_t pins;              /* depth of co_pin, plus one if it was started pinned */
    uint16_t home;              /* the worker it is pinned to, while pins > 0 */
    uint16_t nosuspend;         /* depth of co_nosuspend_open */
    /* What the park is for, and since when; for reports, which check the word around their look. */
    const char *what;
    const void *object;
    int64_t since;
    struct co__timer timer;
    struct co__context context; /* begins with what a switch needs, the last of the second line */
    struct co__coro
        *next; /* in an injector, an inbox or a free list; whoever took it out owns the field */
    _Atomic(const char *) name; /* of the running coroutine's choice; reports read it any time */
    struct co__locals *locals;  /* NULL while there are none */
    struct co__entry entry;
    _Alignas(16) unsigned char copy[CO_COPY_MAX];
};

/* Records per chunk of the table, and the most that a ticket can name. */
enum { CO__CHUNK_BITS = 12, CO__CHUNK = 1 << CO__CHUNK_BITS, CO__CORO_BITS = 28 };

extern struct co__coro *co__chunks[1 << (CO__CORO_BITS - CO__CHUNK_BITS)];

static inline struct co__coro *co__coro_at(uint64_t index)
{
    return &co__chunks[index >> CO__CHUNK_BITS][index & (CO__CHUNK - 1)];
}

/* The 36 bits of a sequence that a ticket carries. */
#define CO__TICKET_SEQ ((UINT64_C(1) << 36) - 1)

static inline co_ticket co__ticket(const struct co__coro *co, uint64_t word)
{
    return (uint64_t)co->index << 36 | ((word >> CO__SEQ_SHIFT) & CO__TICKET_SEQ);
}

/* Names a coroutine. */
static inline void co__name(struct co__coro *co, const char *name)
{
    /* relaxed: who names one while it is looked at sees to it that both names are good. */
    atomic_store_explicit(&co->name, name, memory_order_relaxed);
}

struct co__worker;

/* What every call that may suspend asserts, in debug builds: that it is not within CO_NOSUSPEND. */
static inline void co__may_suspend(const struct co__coro *co)
{
    (void)co;
    CO_ASSERT(co->nosuspend == 0 && "nothing suspends within CO_NOSUSPEND");
}

/* Sets up the first run on co->stack. */
void co__coro_enter(struct co__coro *co);

/* Gives a coroutine that is about to run for the first time a stack, and enters it there. */
void co__coro_bind(struct co__worker *w, struct co__coro *co);

/* The table is empty before the first and after the last call. */
int co__coros_start(int64_t max);
void co__coros_stop(void);

/*
 * A record for a new life, with the right to a stack: from the worker's free list, or the common
 * one (w NULL).
 * Returns: NULL and *ret_err = -ENOMEM or -EAGAIN.
 */
struct co__coro *co__coro_take(struct co__worker *w, int *ret_err);

/* Gives a record back. Threads: the worker's. */
void co__coro_put(struct co__worker *w, struct co__coro *co);

/* Gives a worker's free list back to the common one, at its end. */
void co__coro_flush(struct co__worker *w);

/* One more than the highest index in use, ever: to walk over all records. */
uint32_t co__coro_limit(void);

#endif
