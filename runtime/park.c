/* SPDX-License-Identifier: MIT */
/*
 * park.c - park, claim, finish: how a coroutine goes to sleep and exactly one waker wakes it.
 *
 * The sleeper:
 *   1. deadline and flags of this park, then the word: next sequence, no bits (seq_cst). From here
 *      on it can be claimed by whoever knows the sequence.
 *   2. switch to the worker's stack.
 *   3. there, the caller's commit publishes the ticket, under the primitive's lock and after
 *      looking at its condition again. If it refuses, the commit is one more claimant.
 *   4. look at cancel (seq_cst) and the deadline; arm the timer. What is found is one more claim.
 *   5. SAVED by fetch_or (acq_rel): the last step. If FIRED is there already, make it ready.
 * A waker that has the ticket: claim (CLAIMED by CAS: one winner), write the value, FIRED by
 *   fetch_or (acq_rel). If SAVED is there already, make it ready.
 * Who wants to stop it (cancel): set the flag (seq_cst), read the word (seq_cst), only then read
 *   whether this park minds cancel, and claim with the sequence that was read. Against steps 1 and
 *   4, one of the two sees the other. If the claim is lost the attempt ends: the next park, or the
 *   next check at entry, sees the flag.
 *
 * Orders that look too strong are not: with a release store in 1, or an acquire load in 4, a cancel
 * is lost on x86 already (tests/model/ shows the runs).
 */
#include "park.h"

#include "outside.h"
#include "worker.h"
#include <co/private/chaos.h>
#include <unistd.h>

const char co__park_source[] = "descriptor";

struct co__coro *co__claim(struct co__coro *co, uint64_t seq, uint64_t mask, int result)
{
    /* acquire: the value read here goes into the CAS, whose acquire does the ordering; a stale one
     * fails. */
    uint64_t word = atomic_load_explicit(&co->word, memory_order_acquire);

    do {
        if ((word & CO__CLAIMED) || ((word >> CO__SEQ_SHIFT) & mask) != (seq & mask))
            return NULL;
        if (CO__CHAOS(CO__CHAOS_RACE))
            (void)usleep(5); /* others claim it meanwhile */
        /* acq_rel: acquires what the sleeper wrote before its new sequence; released for co__fire's
         * partner. The CAS is repeated while only SAVED has come in between. */
    } while (!atomic_compare_exchange_weak_explicit(&co->word, &word, word | CO__CLAIMED,
                                                    memory_order_acq_rel, memory_order_acquire));
    co->result = result;
    return co;
}

void co__fire(struct co__coro *co)
{
    /* acq_rel: releases result and value to the sleeper; acquires its saved registers if it is
     * SAVED. */
    if (atomic_fetch_or_explicit(&co->word, CO__FIRED, memory_order_acq_rel) & CO__SAVED)
        co__ready(co);
}

bool co__unpark(co_ticket ticket, int result)
{
    struct co__coro *co = co__claim(co__coro_at(ticket >> 36), ticket, CO__TICKET_SEQ, result);

    if (co)
        co__fire(co);
    return co;
}

bool co_claim(co_ticket ticket, int result)
{
    bool won;

    if (!ticket || !co__outside_enter())
        return false;
    /* A ticket of an earlier runtime may name a record that this one does not have yet. */
    won = ticket >> 36 < co__coro_limit() &&
          co__claim(co__coro_at(ticket >> 36), ticket, CO__TICKET_SEQ, result);
    co__outside_leave();
    return won;
}

void co_finish(co_ticket ticket)
{
    /* A coroutine that is claimed and not yet finished keeps the runtime from ending, so entering
     * succeeds; it is our own steps after making it ready that need the guard. */
    if (!co__outside_enter())
        return;
    co__fire(co__coro_at(ticket >> 36));
    co__outside_leave();
}

bool co_unpark(co_ticket ticket, int result)
{
    bool won;

    if (!ticket || !co__outside_enter())
        return false;
    won = ticket >> 36 < co__coro_limit() && co__unpark(ticket, result); /* as in co_claim */
    co__outside_leave();
    return won;
}

/* Apart from steps 4 and 5, which are short so. */
static __attribute__((noinline)) void end_at_once(struct co__coro *co, uint64_t word, int why)
{
    /* Lost: somebody else's reason holds. FIRED needs no look at SAVED, which is set next, by
     * us. */
    if (co__claim(co, word >> CO__SEQ_SHIFT, CO__TICKET_SEQ, why))
        atomic_fetch_or_explicit(&co->word, CO__FIRED, memory_order_acq_rel /* as co__fire */);
}

/* Steps 4 and 5. refused: what the publishing step returned. */
static void commit_rest(struct co__worker *w, struct co__coro *co, uint64_t word, int refused)
{
    /* relaxed: the park's own fields, written by this coroutine or its maker before. */
    uint32_t flags = atomic_load_explicit(&co->flags, memory_order_relaxed);
    int64_t until = atomic_load_explicit(&co->until, memory_order_relaxed /* as above */);
    int why = refused;

    /* seq_cst: after the new word, against co__cancel's "flag, then word". */
    if (!why && atomic_load_explicit(&co->cancelled, memory_order_seq_cst) &&
        !(flags & CO_PARK_NO_CANCEL))
        why = -ECANCELED;
    if (!why && until != CO_NEVER) {
        if (until <= w->clock)
            why = -ETIMEDOUT;
        else
            co__timer_arm(&w->timers, co, until);
    }
    if (why)
        end_at_once(co, word, why);
    co->since = w->clock;
    co__stat(w->stats, CO__STAT_PARKED);
    /* acq_rel: releases the saved registers to whoever fires; acquires the winner's result if
     * FIRED. */
    if (atomic_fetch_or_explicit(&co->word, CO__SAVED, memory_order_acq_rel) & CO__FIRED)
        co__ready(co);
}

void co__park_commit(struct co__worker *w, struct co__coro *co)
{
    /* relaxed: written by this coroutine; bits that others have set meanwhile do not matter
     * here. */
    uint64_t word = atomic_load_explicit(&co->word, memory_order_relaxed);
    int refused;

    if (CO__CHAOS(CO__CHAOS_DELAY))
        (void)usleep(20); /* cancel may claim it meanwhile, but finds nothing published */
    refused = w->commit ? w->commit(co__ticket(co, word), w->commit_arg) : 0;
    if (CO__CHAOS(CO__CHAOS_LATE))
        (void)usleep(20); /* it is claimed and fired before it is saved */
    commit_rest(w, co, word, refused);
}

/* What a park is for, and how it may end. */
struct purpose {
    const char *what;
    const void *object;
    uint32_t flags;
    int64_t until;
};

static uint64_t next_sequence(struct co__coro *co, struct purpose purpose)
{
    /* relaxed: only the running coroutine starts a new sequence, and it is us. */
    uint64_t word = atomic_load_explicit(&co->word, memory_order_relaxed);

    /* relaxed, both: published by the word. */
    atomic_store_explicit(&co->until, purpose.until, memory_order_relaxed);
    atomic_store_explicit(&co->flags, purpose.flags, memory_order_relaxed /* as above */);
    co->what = purpose.what;
    co->object = purpose.object;
    word = (word | CO__BITS) + 1;
    /* seq_cst: step 1 above. */
    atomic_store_explicit(&co->word, word, memory_order_seq_cst);
    return word;
}

static int park(co_commit_fn *commit, void *arg, struct purpose purpose)
{
    struct co__worker *w = co__worker();
    struct co__coro *co;

    if (!w || !w->current)
        return -EPERM;
    co = w->current;
    if (!(purpose.flags & CO_PARK_NO_DEADLINE) && co->deadline < purpose.until)
        purpose.until = co->deadline;
    if (co->grace)
        purpose.flags |= CO_PARK_NO_CANCEL;
    w->commit = commit;
    w->commit_arg = arg;
    (void)next_sequence(co, purpose);
    (void)co__suspend(w, CO__ACTION_PARK);
    return co->result;
}

int co_park(co_commit_fn *commit, void *arg, unsigned flags)
{
    return park(commit, arg, (struct purpose){.flags = flags, .until = CO_NEVER});
}

int co_park_for(const char *what, const void *object, co_commit_fn *commit, void *arg,
                unsigned flags)
{
    return park(commit, arg, (struct purpose){what, object, flags, CO_NEVER});
}

int co__park_until(const char *what, co_commit_fn *commit, void *arg, unsigned flags, int64_t until)
{
    return park(commit, arg, (struct purpose){what, NULL, flags, until});
}

co_ticket co__born_parked(struct co__coro *co, int64_t until)
{
    return co__ticket(
        co, next_sequence(co, (struct purpose){co__park_source, co->entry.source, 0, until}));
}

void co__born_commit(struct co__worker *w, struct co__coro *co, int refused)
{
    /* relaxed: as in co__park_commit; the maker wrote it. */
    commit_rest(w, co, atomic_load_explicit(&co->word, memory_order_relaxed), refused);
}

bool co__cancel_claim(struct co__coro *co)
{
    uint64_t word;

    /* seq_cst, both: flag, then word; against "word, then flag" of the sleeper. */
    atomic_store_explicit(&co->cancelled, 1, memory_order_seq_cst);
    word = atomic_load_explicit(&co->word, memory_order_seq_cst);
    if (word & CO__CLAIMED)
        return false;
    /* relaxed: written before the word that was read; a later park is caught by the claim's
     * sequence. */
    if (atomic_load_explicit(&co->flags, memory_order_relaxed) & CO_PARK_NO_CANCEL)
        return false;
    return co__claim(co, word >> CO__SEQ_SHIFT, CO__TICKET_SEQ, -ECANCELED);
}

void co__cancel(struct co__coro *co)
{
    if (co__cancel_claim(co))
        co__fire(co);
}

/*
 * Apart from co_check, which is short so. A stuck turn has taken a millisecond, so the clock is
 * old.
 */
static __attribute__((noinline)) struct co__worker *let_others_run(struct co__worker *w)
{
    (void)co__worker_clock(w);
    return co__worker_yield(w);
}

int co_check(void)
{
    struct co__worker *w = co__worker();
    struct co__coro *co;

    if (!w || !w->current)
        return -EPERM;
    co__may_suspend(w->current);
    if (--w->budget <= 0 || co__is_stuck(w) || CO__CHAOS(CO__CHAOS_YIELD))
        w = let_others_run(w);
    co = w->current;
    /* relaxed: an early look; the park that may follow looks again, seq_cst. */
    if (atomic_load_explicit(&co->cancelled, memory_order_relaxed) && !co->grace)
        return -ECANCELED;
    return co->deadline <= w->clock ? -ETIMEDOUT : 0;
}
