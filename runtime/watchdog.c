/* SPDX-License-Identifier: MIT */
/* watchdog.c - see watchdog.h. */
#include "watchdog.h"

#include "deadlock.h"
#include "dump.h"
#include "futex.h"
#include "lookout.h"
#include "park.h"
#include "run.h"
#include "stall.h"
#include <co/private/clock.h>
#include <co/private/stats.h>
#include <time.h>

#define SLOW     (10 * CO_MS)
#define SHORTEST (250 * CO_US)
#define PATIENCE CO_SEC

/* The grace time is over: sticky cancel for every coroutine, and nothing new starts. */
static void cancel_all(void)
{
    int phase = CO__DRAIN;

    /* seq_cst: first the phase, then the flags; against a start's "reset the flag, then look at the
     * phase". Only from DRAIN: the runtime may have come to its end meanwhile. */
    if (!atomic_compare_exchange_strong_explicit(&co__rt.phase, &phase, CO__CANCEL,
                                                 memory_order_seq_cst,
                                                 memory_order_relaxed /* nothing follows */))
        return;
    for (uint32_t i = 1; i < co__coro_limit(); i++)
        co__cancel(co__coro_at(i));
}

/*
 * Keeps the grace time. Returns: when to look again; -ETIME when the runtime has to be given up: at
 * twice the grace time if somebody still computes, some time later if there are still coroutines
 * that neither compute nor end. A short grace time is one for requests, not for the ends of
 * coroutines: they have a second at least.
 */
static int64_t mind_grace(int phase)
{
    /* seq_cst: after dozing; against a signal's "cut it, then tell". */
    int64_t cut_at = atomic_load_explicit(&co__rt.cut_at, memory_order_seq_cst);
    /* relaxed: set before the phase, which the caller has acquired. */
    int64_t asked_at = atomic_load_explicit(&co__rt.stop_asked, memory_order_relaxed);
    int64_t grace_at = asked_at + co__rt.conf.grace;
    int64_t cancel_at = cut_at && cut_at < grace_at ? cut_at : grace_at;
    int64_t patience = co__rt.conf.grace > PATIENCE ? co__rt.conf.grace : PATIENCE;
    int64_t give_up_at = cancel_at + patience;
    int64_t now = co__clock_real();

    if (phase < CO__CANCEL) {
        if (now < cancel_at)
            return cancel_at;
        cancel_all();
    }
    if (now < give_up_at)
        return give_up_at;
    if (co__lookout_name_all()) {
        co__stall_settle(); /* the process is about to end */
        return -ETIME;
    }
    return now < give_up_at + patience + PATIENCE ? now + SLOW : -ETIME;
}

/* What it saw of the workers at the last tick. */
struct view {
    uint32_t naps[CO__WORKERS_MAX];
    uint32_t turns[CO__WORKERS_MAX];
};

/*
 * Compares with the last tick. *ret_quick: the next one has to come soon, as there was a stall not
 * long ago; or a worker runs, and nobody but us has looked, so it may be in a long turn. Returns:
 * whether anything at all has happened.
 */
static bool compare(struct view *view, int64_t now, bool looked, bool *ret_quick)
{
    bool anything = false;

    *ret_quick = co__lookout_alert(now);
    for (int i = 0; i < co__rt.count; i++) {
        struct co__worker *w = &co__rt.workers[i];
        /* relaxed, all: a picture that may be a moment old. */
        uint32_t naps = atomic_load_explicit(&w->naps, memory_order_relaxed);
        uint32_t turns = atomic_load_explicit(&w->turn, memory_order_relaxed);
        bool runs = atomic_load_explicit(&w->state, memory_order_relaxed) == CO__RUNNING;

        *ret_quick |= runs && looked;
        anything |= runs || naps != view->naps[i] || turns != view->turns[i];
        view->naps[i] = naps;
        view->turns[i] = turns;
    }
    return anything;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Lets a tick pass, or less if the next look is due earlier. Returns: the time then. */
static int64_t tick(bool quick)
{
    int64_t now = co__clock_real();
    int64_t at = now + SLOW;
    struct timespec until;

    if (quick) {
        at = co__lookout_next();
        at = at > now + SHORTEST ? at : now + SHORTEST;
    }
    co__count(CO__STAT_WAITS);
    until = (struct timespec){.tv_sec = at / CO_SEC, .tv_nsec = at % CO_SEC};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    return co__clock_real();
}

int co__watchdog(void)
{
    static struct view view;
    bool quick = true;
    bool busy = false;

    for (;;) {
        int64_t until = CO_NEVER;
        uint32_t counts;
        int64_t now;
        bool looked;
        bool asked;
        int phase;

        co__idle_doze_off(&co__rt.idle);
        (void)co__run_begin_drain(); /* if all workers compute, nobody else does */
        /* seq_cst: after dozing; see idle.h. */
        phase = atomic_load_explicit(&co__rt.phase, memory_order_seq_cst);
        busy |= co__idle_anyone_awake(&co__rt.idle, &counts);
        asked = co__dump_asked();
        if (phase >= CO__DRAIN && phase != CO__STOP)
            until = mind_grace(phase);
        until =
            earlier(until, co__deadlock_watch(!busy && (phase == CO__RUN || phase == CO__CANCEL)));
        co__idle_doze(&co__rt.idle, !busy && !asked && phase != CO__STOP && until >= 0, until);
        if (phase == CO__STOP)
            return 0;
        if (until < 0) {
            (void)co__dump(STDERR_FILENO, "corvid: giving up after twice the grace time\n");
            return -ETIME;
        }
        if (asked)
            (void)co__dump(STDERR_FILENO, "");
        now = tick(quick);
        looked = co__lookout(now);
        busy = compare(&view, now, looked, &quick);
    }
}
