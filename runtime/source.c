/* SPDX-License-Identifier: MIT */
/* source.c - the steps of co/private/source.h; each is one CAS on the word. */
#include <co/private/source.h>

#include "park.h"
#include "run.h"
#include "worker.h"
#include <string.h>

enum { STICKY = 0x1c, GENERATION_SHIFT = 5, SEQUENCE_SHIFT = 12, CORO_SHIFT = 36 };
#define GENERATION    (UINT64_C(0x7f) << GENERATION_SHIFT)
#define SEQUENCE_MASK UINT64_C(0xffffff)
/* What stays when the state changes. */
#define KEPT (GENERATION | STICKY)

static uint64_t load(const struct co__source *source)
{
    /*
     * acquire: pairs with the CAS of whoever changed it last; every decision is made by a CAS of
     * our own.
     */
    return __atomic_load_n(&source->word, __ATOMIC_ACQUIRE);
}

static bool cas(struct co__source *source, uint64_t *word, uint64_t next)
{
    /* seq_cst: what a waiter wrote before it committed is seen by who takes it out, what a poller
     * saw before it delivered is seen by who consumes, and a waiter is published before it looks
     * for a drain. */
    return __atomic_compare_exchange_n(&source->word, word, next, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_ACQUIRE /* the loops decide by CAS */);
}

static bool waits(uint64_t word)
{
    return (word & CO__SOURCE_STATE) >= CO__SOURCE_WAITER;
}

/* The waiter that the word names, woken with `result` unless somebody else was first. */
static void wake(uint64_t word, int result)
{
    struct co__coro *co = co__coro_at(word >> CORO_SHIFT);

    co = co__claim(co, word >> SEQUENCE_SHIFT, SEQUENCE_MASK, result);
    if (co)
        co__fire(co);
}

static uint64_t named(co_ticket ticket)
{
    return (ticket >> 36) << CORO_SHIFT | (ticket & SEQUENCE_MASK) << SEQUENCE_SHIFT;
}

void co__source_reset(struct co__source *source, uint32_t generation)
{
    /* release: the slot is published by its generation and users word; this comes before. */
    __atomic_store_n(&source->word, (uint64_t)generation << GENERATION_SHIFT & GENERATION,
                     __ATOMIC_RELEASE);
}

void co__source_deliver(struct co__source *source, uint32_t generation, unsigned sticky)
{
    uint64_t word = load(source);
    uint64_t next;

    do {
        if (((word ^ ((uint64_t)generation << GENERATION_SHIFT)) & GENERATION) != 0)
            return;
        next = (word & KEPT) | sticky | CO__SOURCE_READY;
        if (next == word)
            return;
    } while (!cas(source, &word, next));
    if (waits(word))
        wake(word, 0);
}

void co__source_foresee(const struct co__source *source)
{
    /* relaxed: a hint. Who is named by the word has a record, which stays one. */
    uint64_t word = __atomic_load_n(&source->word, __ATOMIC_RELAXED);

    if (waits(word))
        __builtin_prefetch(co__coro_at(word >> CORO_SHIFT), 1);
}

void co__source_hangup(struct co__source *source)
{
    uint64_t word = load(source);

    while (!cas(source, &word, (word & KEPT) | CO__SOURCE_CLOSING))
        continue;
    if (waits(word))
        wake(word, -ECANCELED);
}

void co__source_poke(struct co__source *source, unsigned state, int result)
{
    /*
     * seq_cst: after the caller's flag, against a waiter that is published and then looks at the
     * flag.
     */
    uint64_t word = __atomic_load_n(&source->word, __ATOMIC_SEQ_CST);

    if ((word & CO__SOURCE_STATE) == state && waits(word))
        wake(word, result);
}

uint64_t co__source_consume(struct co__source *source)
{
    uint64_t word = load(source);

    while ((word & CO__SOURCE_STATE) == CO__SOURCE_READY && !cas(source, &word, word & KEPT))
        continue;
    return word;
}

struct wait {
    struct co__source *source;
    unsigned refuse; /* bits that mean: do not sleep */
    uint64_t state;  /* WAITER or STARTER */
};

/* What a refused commit makes of the park: woken with 0, or told that it is over. */
enum { LOOK_AGAIN = 1 };

static int publish(co_ticket ticket, void *arg)
{
    const struct wait *wait = arg;
    uint64_t word = load(wait->source);

    do {
        if (word & CO__SOURCE_CLOSING)
            return -ECANCELED;
        if ((word & CO__SOURCE_STATE) == CO__SOURCE_READY || (word & wait->refuse))
            return LOOK_AGAIN;
    } while (!cas(wait->source, &word, (word & KEPT) | named(ticket) | wait->state));
    return 0;
}

void co__source_clear(struct co__source *source, uint64_t ticket)
{
    uint64_t word = load(source);

    while (waits(word) && (word & ~(uint64_t)(KEPT | CO__SOURCE_STATE)) == named(ticket) &&
           !cas(source, &word, word & KEPT))
        continue;
}

static int park_at(struct wait *wait, co_commit_fn *commit, unsigned flags)
{
    struct co__source *source = wait->source;
    int r = co_park_for(co__park_source, source, commit, wait, flags);
    struct co__coro *co;

    if (r == 0 || r == LOOK_AGAIN)
        return 0; /* delivered: the word is READY, and names nobody */
    if (r == -EPERM)
        return r;
    co = co__worker()->current;
    /* relaxed: our own word; we run. */
    co__source_clear(source, co__ticket(co, atomic_load_explicit(&co->word, memory_order_relaxed)));
    return r;
}

static int wait_for(struct co__source *source, unsigned refuse, unsigned flags)
{
    struct wait wait = {source, refuse, CO__SOURCE_WAITER};

    return park_at(&wait, publish, flags);
}

int co__source_wait(struct co__source *source, bool drained)
{
    return wait_for(source, drained ? CO__SOURCE_HUP | CO__SOURCE_PRI : 0, 0);
}

int co__source_wait_anyway(struct co__source *source)
{
    return wait_for(source, 0, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE);
}

/* Published first, then the look; against "phase, then the sources" of the drain. */
static int publish_idle(co_ticket ticket, void *arg)
{
    int r = publish(ticket, arg);

    return !r && co__run_draining() ? -ECANCELED : r;
}

int co__source_wait_idle(struct co__source *source)
{
    struct wait wait = {source, CO__SOURCE_HUP | CO__SOURCE_PRI, CO__SOURCE_STARTER};

    return park_at(&wait, publish_idle, 0);
}

struct wait_any {
    struct co__source *const *sources;
    int count;
};

/*
 * One ticket at several sources. The first that is READY refuses, which is one more claim; those
 * that name the ticket already may be delivered to meanwhile, which is another. One of them wins.
 */
static int publish_any(co_ticket ticket, void *arg)
{
    const struct wait_any *any = arg;
    int r = 0;

    for (int i = 0; i < any->count && r == 0; i++) {
        struct wait wait = {any->sources[i], 0, CO__SOURCE_WAITER};

        r = publish(ticket, &wait);
    }
    return r;
}

int co__source_wait_any(struct co__source *const *sources, int count)
{
    struct wait_any any = {sources, count};
    int r = co_park_for(co__park_source, sources[0], publish_any, &any, 0);
    const struct co__coro *co;
    co_ticket ticket;

    if (r == -EPERM)
        return r;
    co = co__worker()->current;
    /* relaxed: our own word; we run. */
    ticket = co__ticket(co, atomic_load_explicit(&co->word, memory_order_relaxed));
    for (int i = 0; i < count; i++)
        co__source_clear(sources[i], ticket);
    return r == LOOK_AGAIN ? 0 : r;
}

int co__source_start(struct co__source *source, void (*begun)(struct co__source *source),
                     void (*fn)(void *arg, int why), void *arg, size_t size)
{
    struct wait wait = {source, CO__SOURCE_HUP | CO__SOURCE_PRI, CO__SOURCE_STARTER};
    struct co__worker *w = co__worker();
    struct co__coro *co;
    int r = 0;

    if (!w || !w->current)
        return -EPERM;
    co = co__spawn_take(w, &r);
    if (!co)
        return r;
    co__stat(w->stats, CO__STAT_SPAWNED);
    if (size > 0)
        arg = memcpy(co->copy, arg, size);
    co->entry = (struct co__entry){
        .when_fn = fn, .arg = arg, .source = source, .begun = begun, .kind = CO__ENTRY_WHEN};
    r = publish(co__born_parked(co, w->current->deadline), &wait);
    /* As in publish_idle. */
    if (!r && co__run_draining())
        r = -ECANCELED;
    co__born_commit(w, co, r);
    return 0;
}
