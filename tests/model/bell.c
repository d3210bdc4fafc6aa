/* SPDX-License-Identifier: MIT */
/*
 * bell.c - model of waking a thread that may sleep in the kernel: runtime/bell.c itself.
 *
 * The owner waits until it has seen what two others bring: it rests, sleeps in the kernel unless it
 * was rung, rises, looks. The others bring something each, then ring. The kernel's part is an edge:
 * it is gone when somebody has taken it, whoever that is.
 *
 * both:    two ringers.
 * listens: the same, and the owner stays awake for a moment first.
 * event:   a fourth thread makes an edge without ringing, so the owner rises for another reason.
 * rescued: a fourth thread takes edges out of the owner's epoll, as leave_to in runtime/poll.c
 *          does, and makes them anew if the owner is rung.
 *
 * Checked: the owner sees both; a ring or an edge that is lost shows as a deadlock.
 * Not covered: whom to ring (idle.c, sleep.pml).
 */
#include "bell.h"

#include <co/latch.h>
#include <co/private/clock.h>
#include <model.h>
#include <string.h>

enum scenarios { BOTH, LISTENS, EVENT, RESCUED };
enum { OWNER = 0, RINGERS = 2, FOURTH = 3 };

const char model_name[] = "bell";
const int model_threads = 4;
const char *const model_scenarios[] = {
    "both: two ringers",
    "listens: and the owner waits awake",
    "event: and an edge without a ring",
    "rescued: and edges are taken away",
    NULL,
};

static struct co__bell bell;
static _Atomic int brought[1 + RINGERS];
static struct co_latch kernel;
static bool edge, waits; /* under the kernel's latch */
static int64_t now;

int64_t co__clock_real(void)
{
    return now++;
}

static void make_edge(void)
{
    bool wakes;

    co_latch_take(&kernel);
    edge = true;
    wakes = waits;
    waits = false;
    co_latch_give(&kernel);
    if (wakes)
        model_gate_post(OWNER);
}

static bool take_edge(bool else_wait)
{
    bool was;

    co_latch_take(&kernel);
    was = edge;
    edge = false;
    if (else_wait)
        waits = !was;
    co_latch_give(&kernel);
    return was;
}

static void ring(int i)
{
    /* relaxed: it is the bell that orders it. */
    atomic_store_explicit(&brought[i], 1, memory_order_relaxed);
    if (co__bell_ring(&bell))
        make_edge();
}

static int count(void)
{
    int sum = 0;

    for (int i = 1; i <= RINGERS; i++)
        sum += atomic_load_explicit(&brought[i], memory_order_relaxed);
    return sum;
}

static void own(bool listens)
{
    while (count() < RINGERS) {
        if (listens)
            (void)co__bell_listen(&bell, 1);
        if (co__bell_rest(&bell)) {
            while (!take_edge(true))
                model_gate_wait(OWNER);
        }
        (void)co__bell_rise(&bell);
    }
}

/* As co__poll_rescue. */
static void rescue(void)
{
    for (int i = 0; i < 2; i++) {
        if (take_edge(false) && co__bell_is_rung(&bell))
            make_edge();
        model_yield();
    }
}

void model_before(int scenario)
{
    (void)scenario;
    edge = waits = false;
    now = 0;
    model_watch(&bell.word, sizeof bell.word, CO__BELL_AWAKE);
    model_watch_latch(&kernel);
    model_watch_plain(&edge, sizeof edge);
    for (int i = 1; i <= RINGERS; i++)
        model_watch(&brought[i], sizeof brought[i], 0);
}

void model_run(int scenario, int thread)
{
    if (thread == OWNER)
        own(scenario == LISTENS);
    else if (thread <= RINGERS)
        ring(thread);
    else if (scenario == EVENT)
        make_edge();
    else if (scenario == RESCUED)
        rescue();
}

void model_after(int scenario)
{
    (void)scenario;
    MODEL_CHECK(model_value(&brought[1]) + model_value(&brought[2]) == RINGERS);
}
