/* SPDX-License-Identifier: MIT */
/*
 * vigil.c - model of who sleeps beside a stuck worker: runtime/vigil.c itself, with idle.c and
 * deque.c, under C11 orders.
 *
 * Worker 0 computes, in one turn. Meanwhile a coroutine comes to its LIFO slot, or not, and then an
 * event to its epoll, and it goes on until others have served what there is. Workers 1 and 2 sleep,
 * serve, sleep, as in nap() of runtime/worker.c. The lookout gives its verdict and wakes somebody
 * whenever somebody is wanted.
 *
 * An epoll is a bit, level-triggered, and who waits for it; waiting is a gate. Time does not pass:
 * nothing ends by a time-out. poll(2) of the lookout always says no, so that it does not help a
 * keeper who sleeps through an event.
 *
 * Checked: all is served, once, while the turn lasts (if not, all stand still: a deadlock); the
 * sleepers find the end; nobody is a keeper then.
 * Not covered: noisy epolls, timers, when the lookout looks.
 */
#include "vigil.h"
#include "futex.h"
#include <sys/poll.h>

#include <model.h>
#include <string.h>

enum scenarios { ONE, SLOT, TWO };
enum { WORKERS = 3, VICTIM = 0, LOOKOUT = 3, SERVED_GATE = 0 };

const char model_name[] = "vigil";
const int model_threads = 4;
const char *const model_scenarios[] = {
    "one: an event, 1 sleeper",
    "slot: slot and event, 1 sleeper",
    "two: slot and event, 2 sleepers",
    NULL,
};

struct co__runtime co__rt;

static struct co__worker workers[WORKERS];
static int64_t counters[CO_STAT_MAX];
static struct co__coro slot_coro;
static struct co_latch kernel;
static bool pending[WORKERS];   /* by epoll; under the kernel's latch */
static unsigned waits[WORKERS]; /* by worker: the epolls it waits for; under the same */
static int events_served, slots_served;
static _Atomic int served;
static _Atomic int over;
static int sleepers;
static int to_serve;

/* ---- a kernel ---- */

static void arrive(int epoll)
{
    co_latch_take(&kernel);
    pending[epoll] = true;
    for (int i = 1; i < WORKERS; i++) {
        if (waits[i] & (1U << epoll)) {
            waits[i] = 0;
            model_gate_post(i);
        }
    }
    co_latch_give(&kernel);
}

static void wait_for(unsigned epolls)
{
    int me = model_thread();

    for (;;) {
        bool ready = false;

        co_latch_take(&kernel);
        for (int i = 0; i < WORKERS; i++)
            ready |= (epolls & (1U << i)) && pending[i];
        waits[me] = ready ? 0 : epolls;
        co_latch_give(&kernel);
        if (ready)
            return;
        model_gate_wait(me);
    }
}

static bool take(int epoll)
{
    bool was;

    co_latch_take(&kernel);
    was = pending[epoll];
    pending[epoll] = false;
    co_latch_give(&kernel);
    return was;
}

int model_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *span, const sigset_t *mask)
{
    unsigned epolls = 0;

    (void)span;
    (void)mask;
    for (nfds_t i = 0; i < count; i++)
        epolls |= 1U << fds[i].fd;
    wait_for(epolls);
    return 1;
}

int model_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    (void)fds;
    (void)count;
    (void)timeout;
    return 0;
}

int co__poll_wait(struct co__worker *w, struct epoll_event *events, int64_t timeout)
{
    (void)events;
    if (timeout == CO_NEVER)
        wait_for(1U << w->epoll);
    return take(w->epoll);
}

void co__futex_wait(const void *word, uint32_t value, int64_t until)
{
    (void)word;
    (void)value;
    (void)until;
}

void co__futex_wake(const void *word, int count)
{
    (void)word;
    (void)count;
}

/* ---- threads ---- */

static void compute(void)
{
    struct co__worker *w = &workers[VICTIM];

    if (to_serve == 2)
        atomic_store_explicit(&w->lifo, &slot_coro, memory_order_release);
    arrive(w->epoll);
    model_gate_wait(SERVED_GATE);
    atomic_store_explicit(&w->turn, 2, memory_order_relaxed);
    atomic_store_explicit(&over, 1, memory_order_seq_cst);
    for (int i = 1; i <= sleepers; i++)
        arrive(i);
}

static void count_served(void)
{
    if (atomic_fetch_add_explicit(&served, 1, memory_order_seq_cst) == to_serve - 1)
        model_gate_post(SERVED_GATE);
}

/* As rescue_from. */
static void serve(void)
{
    struct co__worker *victim = &workers[VICTIM];

    if (!co__is_stuck(victim))
        return;
    if (atomic_exchange_explicit(&victim->lifo, NULL, memory_order_acq_rel)) {
        slots_served++;
        count_served();
    }
    if (take(victim->epoll)) {
        events_served++;
        count_served();
    }
}

static void work(int me)
{
    struct co__worker *w = &workers[me];
    bool searching = false;

    while (!atomic_load_explicit(&over, memory_order_seq_cst)) {
        serve();
        (void)co__idle_sleep(&co__rt.idle, me, searching, NULL);
        if (!atomic_load_explicit(&over, memory_order_seq_cst))
            (void)co__vigil_wait(w, NULL, CO_NEVER);
        searching = co__idle_leave(&co__rt.idle, me, false);
        if (w->keeps) {
            serve();
            co__vigil_end(w);
        }
    }
}

static void look_out(void)
{
    struct co__worker *victim = &workers[VICTIM];

    atomic_store_explicit(&victim->stuck, CO__STUCK | 1, memory_order_relaxed);
    atomic_store_explicit(&co__rt.stuck, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&over, memory_order_acquire)) {
        int target = co__vigil_wanted(victim, 0) ? co__idle_notify(&co__rt.idle) : -1;

        if (target >= 0)
            arrive(target);
        model_yield(); /* a millisecond */
    }
}

/* ---- each execution ---- */

void model_before(int scenario)
{
    sleepers = scenario == TWO ? 2 : 1;
    to_serve = scenario == ONE ? 1 : 2;
    memset(workers, 0, sizeof workers);
    memset(pending, 0, sizeof pending);
    memset(waits, 0, sizeof waits);
    events_served = slots_served = 0;
    co__rt.count = sleepers + 1;
    co__rt.workers = workers;
    co__rt.conf.stealing = 1;
    co__idle_start(&co__rt.idle, sleepers + 1);
    model_watch(&co__rt.idle.counts, sizeof co__rt.idle.counts, 0);
    model_watch_latch(&co__rt.idle.lock);
    model_watch_plain(&co__rt.idle.bits[0], sizeof co__rt.idle.bits[0]);
    model_watch(&co__rt.stuck, sizeof co__rt.stuck, 0);
    model_watch_latch(&kernel);
    model_watch_plain(pending, sizeof pending);
    model_watch_plain(waits, sizeof waits);
    model_watch(&served, sizeof served, 0);
    model_watch(&over, sizeof over, 0);
    for (int i = 0; i < WORKERS; i++) {
        workers[i].index = workers[i].epoll = i;
        workers[i].stats = counters;
        model_watch(&workers[i].turn, sizeof workers[i].turn, 1);
        model_watch(&workers[i].stuck, sizeof workers[i].stuck, 0);
        model_watch(&workers[i].keeper, sizeof workers[i].keeper, 0);
        model_watch(&workers[i].noisy, sizeof workers[i].noisy, 0);
        model_watch(&workers[i].lifo, sizeof workers[i].lifo, 0);
        model_watch(&workers[i].timers.next, sizeof workers[i].timers.next, (uint64_t)CO_NEVER);
        model_watch(&workers[i].deque.top, sizeof workers[i].deque.top, 0);
        model_watch(&workers[i].deque.bottom, sizeof workers[i].deque.bottom, 0);
    }
}

void model_run(int scenario, int thread)
{
    (void)scenario;
    if (thread == VICTIM)
        compute();
    else if (thread == LOOKOUT)
        look_out();
    else if (thread <= sleepers)
        work(thread);
}

void model_after(int scenario)
{
    (void)scenario;
    MODEL_CHECK(events_served == 1 && slots_served == to_serve - 1);
    MODEL_CHECK(model_value(&workers[VICTIM].keeper) == 0);
}
