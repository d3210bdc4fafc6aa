/* SPDX-License-Identifier: MIT */
/* idle.c - the state machine of idle.h. tests/model/ has it as a Promela model. */
#include "idle.h"

#include "futex.h"
#include <string.h>

enum { SLEEPER = 1 << 16, SEARCHER = 1 };

static uint32_t sleepers(uint32_t counts)
{
    return counts >> 16;
}

static uint32_t searchers(uint32_t counts)
{
    return counts & 0xffff;
}

static uint32_t look(const struct co__idle *idle)
{
    /* seq_cst: after the caller's publication of work, against the publication of a sleep. */
    return atomic_load_explicit(&idle->counts, memory_order_seq_cst);
}

/* Under the lock. Returns: the counts before. */
static uint32_t change(struct co__idle *idle, int sleeping, int searching)
{
    /* relaxed: only written under the lock, which we hold. */
    uint32_t before = atomic_load_explicit(&idle->counts, memory_order_relaxed);
    uint32_t after = before + (uint32_t)(sleeping * SLEEPER + searching * SEARCHER);

    /* seq_cst: pairs with look() of those who bring work. */
    atomic_store_explicit(&idle->counts, after, memory_order_seq_cst);
    return before;
}

/* After the lock was given: the first to stir wakes the watchdog. */
static void stir(struct co__idle *idle, uint32_t before)
{
    if (sleepers(before) == (uint32_t)idle->workers)
        co__idle_tell(idle);
}

static int first_bit(const struct co__idle *idle)
{
    for (int i = 0; i < CO__WORKERS_MAX / 64; i++) {
        if (idle->bits[i])
            return i * 64 + __builtin_ctzll(idle->bits[i]);
    }
    return -1;
}

void co__idle_start(struct co__idle *idle, int workers)
{
    memset(idle, 0, sizeof *idle);
    idle->workers = workers;
}

int co__idle_notify(struct co__idle *idle)
{
    uint32_t counts = look(idle);
    int worker;

    if (searchers(counts) > 0 || sleepers(counts) == 0)
        return -1;
    co_latch_take(&idle->lock);
    counts = look(idle);
    worker = searchers(counts) > 0 ? -1 : first_bit(idle);
    if (worker >= 0) {
        idle->bits[worker / 64] &= ~(UINT64_C(1) << (worker % 64));
        counts = change(idle, -1, 1);
    }
    co_latch_give(&idle->lock);
    if (worker >= 0)
        stir(idle, counts);
    return worker;
}

bool co__idle_wake(struct co__idle *idle, int worker)
{
    uint64_t bit = UINT64_C(1) << (worker % 64);
    uint32_t before = 0;
    bool asleep;

    if (sleepers(look(idle)) == 0)
        return false;
    co_latch_take(&idle->lock);
    asleep = idle->bits[worker / 64] & bit;
    if (asleep) {
        idle->bits[worker / 64] &= ~bit;
        before = change(idle, -1, 1);
    }
    co_latch_give(&idle->lock);
    if (asleep)
        stir(idle, before);
    return asleep;
}

bool co__idle_search(struct co__idle *idle)
{
    uint32_t counts = look(idle);
    bool may;

    if (2 * searchers(counts) >= (uint32_t)idle->workers)
        return false;
    co_latch_take(&idle->lock);
    may = 2 * searchers(look(idle)) < (uint32_t)idle->workers;
    if (may)
        (void)change(idle, 0, 1);
    co_latch_give(&idle->lock);
    return may;
}

bool co__idle_found(struct co__idle *idle)
{
    uint32_t before;

    co_latch_take(&idle->lock);
    before = change(idle, 0, -1);
    co_latch_give(&idle->lock);
    return searchers(before) == 1;
}

bool co__idle_sleep(struct co__idle *idle, int worker, bool searching, bool (*last)(void))
{
    bool result = false;
    uint32_t before;

    co_latch_take(&idle->lock);
    idle->bits[worker / 64] |= UINT64_C(1) << (worker % 64);
    before = change(idle, 1, searching ? -1 : 0);
    if (last && sleepers(before) + 1 == (uint32_t)idle->workers)
        result = last();
    co_latch_give(&idle->lock);
    return result;
}

bool co__idle_leave(struct co__idle *idle, int worker, bool found)
{
    uint64_t bit = UINT64_C(1) << (worker % 64);
    uint32_t before = 0;
    bool own;

    co_latch_take(&idle->lock);
    own = idle->bits[worker / 64] & bit;
    if (own) {
        idle->bits[worker / 64] &= ~bit;
        before = change(idle, -1, found ? 1 : 0);
    }
    co_latch_give(&idle->lock);
    if (!own)
        return true; /* the waker has counted us as a searcher, so that is what we are */
    stir(idle, before);
    return found;
}

void co__idle_tell(struct co__idle *idle)
{
    /*
     * seq_cst: after what there is to tell; against the watchdog's "dozing first, then the look".
     */
    if (atomic_load_explicit(&idle->dozing, memory_order_seq_cst) &&
        atomic_exchange_explicit(&idle->dozing, 0, memory_order_seq_cst /* as above */))
        co__futex_wake(&idle->dozing, 1);
}

void co__idle_doze_off(struct co__idle *idle)
{
    /* seq_cst: see co__idle_tell. */
    atomic_store_explicit(&idle->dozing, 1, memory_order_seq_cst);
}

void co__idle_doze(struct co__idle *idle, bool really, int64_t until)
{
    if (really)
        co__futex_wait(&idle->dozing, 1, until);
    /* relaxed: who tells now finds nobody dozing, and the watchdog looks again anyway. */
    atomic_store_explicit(&idle->dozing, 0, memory_order_relaxed);
}

bool co__idle_anyone_awake(const struct co__idle *idle, uint32_t *ret_counts)
{
    *ret_counts = look(idle);
    return sleepers(*ret_counts) < (uint32_t)idle->workers;
}
