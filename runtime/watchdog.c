/* SPDX-License-Identifier: MIT */
/* watchdog.c - see watchdog.h. */
#include "watchdog.h"

#include "futex.h"
#include "park.h"
#include "run.h"
#include "stall.h"
#include <time.h>
#include <unistd.h>

#define TICK     CO_MS
#define PATIENCE CO_SEC

/* What the watchdog remembers of a worker. */
struct sight {
    uint32_t turn;
    int64_t since; /* when this turn was first seen */
    bool reported; /* this stall */
};

static struct sight sights[CO__WORKERS_MAX];

static void look_at(struct co__worker *w, struct sight *sight, int64_t now)
{
    /* relaxed, all: heartbeat and verdict are hints, right within a tick. */
    uint32_t turn = atomic_load_explicit(&w->turn, memory_order_relaxed);
    bool running = atomic_load_explicit(&w->state, memory_order_relaxed) == CO__RUNNING;
    uint32_t was = atomic_load_explicit(&w->stuck, memory_order_relaxed);
    uint32_t stuck = running && turn == sight->turn && now - sight->since >= TICK;

    if (!running || turn != sight->turn)
        *sight = (struct sight){.turn = turn, .since = now};
    if (stuck != was) {
        atomic_store_explicit(&w->stuck, stuck, memory_order_relaxed);
        atomic_fetch_add_explicit(&co__rt.stuck, stuck ? 1 : -1, memory_order_relaxed);
    }
    if (stuck && !sight->reported && co__rt.conf.stall_report > 0 &&
        now - sight->since >= co__rt.conf.stall_report) {
        sight->reported = true;
        co_stat_add(CO__STAT_STALLS, 1);
        co__stall_report(w, sight->since, false);
    }
}

static void tick(void)
{
    struct timespec span = {.tv_nsec = TICK};
    int64_t now;

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
    now = co_now();
    for (int i = 0; i < co__rt.count; i++)
        look_at(&co__rt.workers[i], &sights[i], now);
    /* relaxed: written by this thread. */
    if (atomic_load_explicit(&co__rt.stuck, memory_order_relaxed) > 0 && co__rt.conf.stealing)
        co__notify(); /* somebody who sleeps may serve them; who is awake does so when it looks outside */
}

/* The grace time is over: sticky cancel for every coroutine, and nothing new starts. */
static void cancel_all(void)
{
    int phase = CO__DRAIN;

    /* seq_cst: first the phase, then the flags; against a start's "reset the flag, then look at the phase". Only from
     * DRAIN: the runtime may have come to its end meanwhile. */
    if (!atomic_compare_exchange_strong_explicit(&co__rt.phase, &phase, CO__CANCEL,
                                                 memory_order_seq_cst,
                                                 memory_order_relaxed /* nothing follows */))
        return;
    for (uint32_t i = 1; i < co__coro_limit(); i++)
        co__cancel(co__coro_at(i));
}

/* Whether a worker has run the same turn for a while: it computes, and nothing can stop it. */
static bool anyone_computes(void)
{
    bool computes = false;

    for (int i = 0; i < co__rt.count; i++) {
        /* relaxed: written by this thread. */
        if (atomic_load_explicit(&co__rt.workers[i].stuck, memory_order_relaxed)) {
            co__stall_report(&co__rt.workers[i], sights[i].since, true);
            computes = true;
        }
    }
    if (computes)
        (void)usleep(10 * 1000); /* for the reports: the process is about to end */
    return computes;
}

/*
 * Keeps the grace time. Returns: when to look again; -ETIME when the runtime has to be given up: at twice the grace time if
 * somebody still computes, some time later if there are still coroutines that neither compute nor end.
 */
static int64_t mind_grace(int phase)
{
    int64_t cancel_at = co__rt.grace_at;
    int64_t give_up_at = cancel_at + co__rt.conf.grace;
    int64_t now = co_now();

    if (phase < CO__CANCEL) {
        if (now < cancel_at)
            return cancel_at;
        cancel_all();
    }
    if (now < give_up_at)
        return give_up_at;
    if (anyone_computes() || now >= give_up_at + co__rt.conf.grace + PATIENCE)
        return -ETIME;
    return now + TICK;
}

int co__watchdog(void)
{
    int64_t start = co_now();

    for (int i = 0; i < co__rt.count; i++)
        sights[i] = (struct sight){.since = start};
    for (;;) {
        /* acquire: pairs with the stores of the phase and with co__rt.grace_at before that of DRAIN. */
        int phase = atomic_load_explicit(&co__rt.phase, memory_order_acquire);
        int64_t look_at_latest = CO_NEVER;
        uint32_t counts;

        if (phase == CO__STOP)
            return 0;
        if (phase >= CO__DRAIN) {
            look_at_latest = mind_grace(phase);
            if (look_at_latest < 0)
                return -ETIME;
        }
        if (co__idle_anyone_awake(&co__rt.idle, &counts))
            tick();
        else
            co__futex_wait(&co__rt.idle.counts, counts, look_at_latest);
    }
}
