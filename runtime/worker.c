/* SPDX-License-Identifier: MIT */
/*
 * worker.c - the loop of a worker: what it runs next, when it looks outside, how it sleeps.
 *
 * A turn runs one coroutine until it suspends. The order in which work is looked for:
 *   the LIFO slot (at most 3 in a row) and the own deque, pinned coroutines taking every other
 *   turn;
 *   a batch from the injector;
 *   then, as a searcher (at most half of the workers are), the deques of the others, where it is
 *   worth the trip, and last what belongs to a worker that is stuck: its LIFO slot, expired timers
 *     and epoll;
 *   then sleep, on the own epoll, which ends at once if it has something.
 * However much work there is, every 61 turns or 200 microseconds the worker looks outside first:
 * injector, timers, inbox, epoll (not after each 61 of very short turns), each millisecond libuv.
 * So every ready coroutine runs within a bounded number of turns.
 */
#include "worker.h"

#include "live.h"
#include "lookout.h"
#include "park.h"
#include "poll.h"
#include "run.h"
#include "trace.h"
#include "vigil.h"
#include <co/private/chaos.h>
#include <co/private/clock.h>
#include <co/private/stats.h>
#include <unistd.h>

enum {
    BUDGET = 128,       /* calls a coroutine may make before it yields */
    LIFO_RUN = 3,       /* an eagerly used LIFO slot starves the deque */
    INTERVAL = 61,      /* turns between two looks outside, at most */
    POLL_INTERVAL = 8,  /* looks between two at the epoll, at most */
    FETCHED = 64,       /* bytes at once, by a prefetch */
    STACK_LINES = 10,   /* from a parked coroutine's registers to where its function goes on */
    INJECTED_MAX = 128, /* taken from the injector at once, at most: half of a deque */
};
#define LOOK_EVERY (200 * CO_US)
#define POLL_EVERY (10 * CO_US) /* a system call costs as much as ten short turns */
#define SETTLE     (20 * CO_MS)
#define UV_EVERY   (1 * CO_MS)
/*
 * Backlogs, in time: half of one is taken, the trip costs some 20 us, and each that is taken leaves
 * behind what it uses, its socket above all. A sleeper comes only after 50 us or so.
 */
#define WORTH_STEALING (300 * CO_US)
#define WORTH_WAKING   (400 * CO_US)
#define FILLING        (50 * CO_US)  /* a burst of a hundred starts takes that long */
#define FIRST_GUESS    (100 * CO_US) /* of a turn's time: rather too eager than too late */

struct co__runtime co__rt;

/* ---- the running thread's worker ---- */

/* initial-exec: one load instead of a call, also in the shared library. */
static _Thread_local struct co__worker *this_worker __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) struct co__worker *co__worker(void)
{
    struct co__worker *w = this_worker;

    /*
     * Without this the compiler may see that the function only reads, and merge two calls around a
     * switch.
     */
    __asm__ volatile("" : "+r"(w));
    return w;
}

void co__worker_set(struct co__worker *w)
{
    this_worker = w;
}

__attribute__((noinline)) void co__count(int id)
{
    struct co__worker *w = this_worker; /* not inlined, as co__worker is not */

    if (id < 0)
        return;
    if (w)
        co__stat(w->stats, id);
    else /* relaxed: only the sum matters; several threads share this row. */
        (void)__atomic_fetch_add(&co__stat_row(-1)[id], 1, __ATOMIC_RELAXED);
}

/* ---- making ready ---- */

void co__notify(void)
{
    int target = co__idle_notify(&co__rt.idle);

    if (target >= 0) {
        struct co__worker *w = co__worker();

        if (co__worker_kick(&co__rt.workers[target]) && w)
            co__stat(w->stats, CO__STAT_EVENTFD_WRITES);
    }
}

static void inject(struct co__worker *w, struct co__coro *co)
{
    if (w)
        co__stat(w->stats, CO__STAT_INJECTED);
    co__injector_push(&co__rt.injector, co);
    co__notify();
}

/* Makes room in a full deque: half of it goes to the injector. */
static void spill(struct co__worker *w)
{
    struct co__coro *taken[CO__DEQUE_CAPACITY / 2];
    int count = 0;

    if (co__rt.conf.order == CO_ORDER_FIFO) {
        count = co__deque_spill(&w->deque, taken, CO__DEQUE_CAPACITY / 2);
    } else {
        while (count < CO__DEQUE_CAPACITY / 2 &&
               (taken[count] = co__deque_pop_lifo(&w->deque)) != NULL)
            count++;
    }
    co__injector_push_all(&co__rt.injector, taken, count);
    for (int i = 0; i < count; i++)
        co__stat(w->stats, CO__STAT_INJECTED);
}

/*
 * Whether it is worth coming to a worker for what lies in its deque: it will need `least` for it,
 * going by how long its turns took lately, or it is stuck and will not come to it
 * (docs/decisions/0007).
 */
static bool worth(const struct co__worker *w, int64_t least)
{
    int64_t size = co__deque_size(&w->deque);

    /* relaxed: an estimate. */
    return size > 0 && (size * atomic_load_explicit(&w->turn_ns, memory_order_relaxed) >= least ||
                        co__is_stuck(w));
}

/* Wakes a sleeper, if there is one, for what lies in the own deque. */
static void offer(struct co__worker *w)
{
    if (co__rt.count == 1 || !co__rt.conf.stealing || !worth(w, WORTH_WAKING))
        return;
    co__deque_publish(&w->deque);
    co__notify();
}

static void push(struct co__worker *w, struct co__coro *co)
{
    while (!co__deque_push(&w->deque, co))
        spill(w);
    if (!w->batching)
        offer(w);
}

static void ready_pinned(struct co__worker *w, struct co__coro *co)
{
    struct co__worker *home = &co__rt.workers[co->home];

    if (w == home) {
        co__queue_push(&w->local, co);
        return;
    }
    co__injector_push(&home->inbox, co);
    if (co__idle_wake(&co__rt.idle, home->index) && co__worker_kick(home) && w)
        co__stat(w->stats, CO__STAT_EVENTFD_WRITES);
}

void co__ready(struct co__coro *co)
{
    struct co__worker *w = co__worker();

    if (w)
        co__stat(w->stats, CO__STAT_WOKEN);
    CO__TRACE(w, wake, co->index, co->result);
    if (co->pins > 0) {
        ready_pinned(w, co);
    } else if (!w || CO__CHAOS(CO__CHAOS_MOVE)) {
        inject(w, co);
    } else if (w->batching || co__rt.conf.order == CO_ORDER_LIFO) {
        push(w, co);
    } else {
        /*
         * acq_rel: publishes the coroutine to a rescuer, and acquires the one that a rescuer did
         * not take.
         */
        co = atomic_exchange_explicit(&w->lifo, co, memory_order_acq_rel);
        if (co)
            push(w, co);
    }
}

void co__spend_calls(size_t calls)
{
    struct co__worker *w = co__worker();

    if (w)
        w->budget -= (int)(calls < BUDGET ? calls : BUDGET);
}

void co__batch_begin(struct co__worker *w)
{
    w->batching = true;
}

void co__batch_end(struct co__worker *w)
{
    w->batching = false;
    offer(w);
}

/* ---- running ---- */

struct co__worker *co__suspend(struct co__worker *w, enum co__action action)
{
    struct co__coro *co = w->current;

    co__may_suspend(co);
    w->action = action;
    return co__context_switch(&co->context, &w->context, NULL);
}

struct co__worker *co__worker_yield(struct co__worker *w)
{
    return co__suspend(w, CO__ACTION_YIELD);
}

static void ended(struct co__worker *w, struct co__coro *co)
{
    co__stat(w->stats, CO__STAT_ENDED);
    CO__TRACE(w, end, co->index, 0);
    co__context_drop(&co->context);
    co__stack_put(&w->stacks, co->stack);
    co->stack = NULL;
    w->live--;
    co__coro_put(w, co);
}

/*
 * Begins to fetch what the next turns need, while this one runs. With many coroutines all of it has
 * left the cache since their last turn: of the next one the part of its stack that it comes back to
 * and what it waited for, and of the one after it the record. Another worker may run the next one
 * meanwhile, so what is read of it may be nonsense, and is only used as an address to fetch.
 */
__attribute__((no_sanitize("thread"))) static void foresee(const struct co__worker *w)
{
    const struct co__coro *co = co__deque_peek(&w->deque, 0);
    const char *stack;

    if (!co)
        return;
    __builtin_prefetch(co->object, 1);
    stack = co->context.saved; /* NULL: it has not begun */
#pragma GCC unroll 16
    for (int i = 0; stack && i < STACK_LINES; i++)
        __builtin_prefetch(stack + (ptrdiff_t)i * FETCHED, 1);
    co = co__deque_peek(&w->deque, 1);
    if (!co)
        return;
    __builtin_prefetch(co, 1);
    __builtin_prefetch((const char *)co + FETCHED, 1);
}

static void beat(struct co__worker *w)
{
    /* relaxed, both: its own word, which others read as a heartbeat. */
    atomic_store_explicit(&w->turn, atomic_load_explicit(&w->turn, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void run(struct co__worker *w, struct co__coro *co)
{
    foresee(w);
    w->current = co;
    w->budget = BUDGET;
    /* relaxed: for reports. */
    atomic_store_explicit(&w->running, co->index, memory_order_relaxed);
    beat(w);
    co__stat(w->stats, CO__STAT_RUN);
    CO__TRACE(w, run, co->index, 0);
    if (!co->stack)
        co__coro_bind(w, co);
    (void)co__context_switch(&w->context, &co->context, w);
    w->current = NULL;
    atomic_store_explicit(&w->running, 0, memory_order_relaxed /* as above */);
    switch (w->action) {
    case CO__ACTION_PARK:
        /* relaxed: its own, written before it left its stack. */
        CO__TRACE(w, park, co->index, atomic_load_explicit(&co->flags, memory_order_relaxed));
        co__park_commit(w, co);
        break;
    case CO__ACTION_YIELD:
        CO__TRACE(w, yield, co->index, 0);
        if (co->pins > 0)
            co__queue_push(&w->local, co);
        else if (co__rt.conf.order == CO_ORDER_LIFO || CO__CHAOS(CO__CHAOS_MOVE))
            inject(w, co); /* the newest would be itself again */
        else
            push(w, co);
        break;
    case CO__ACTION_END:
        ended(w, co);
        break;
    }
}

/* ---- looking outside ---- */

void co__worker_uv(struct co__worker *w)
{
    w->uv_ran = w->clock;
    (void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

static int rescue(struct co__worker *w);

static void expire(struct co__worker *w)
{
    if (co__heap_next(&w->timers) > w->clock)
        return;
    co__batch_begin(w);
    (void)co__heap_expire(&w->timers, w->clock, false);
    co__batch_end(w);
}

/*
 * Reads the clock, and keeps an estimate of how long turns take (since it did so last: others read
 * the clock in between): by doubling and taking a quarter
 * off, it settles where about one sample in three is longer. So it follows the load within a few
 * samples, and the odd turn during which the kernel ran somebody else does not spoil it.
 */
static void measure_turns(struct co__worker *w)
{
    /* relaxed, all: own words, which others read as estimates. */
    uint32_t turn = atomic_load_explicit(&w->turn, memory_order_relaxed);
    int64_t turn_ns = atomic_load_explicit(&w->turn_ns, memory_order_relaxed /* as above */);
    int64_t spent = co__worker_clock(w) - w->measured_at;
    int64_t turns = (uint32_t)(turn - w->measured_turn);

    w->measured_at = w->clock;
    if (turns == 0 || co__clock_is_stopped())
        return;
    spent = spent / turns + 1;
    if (spent > turn_ns)
        turn_ns = spent < 2 * turn_ns ? spent : 2 * turn_ns;
    else
        turn_ns = spent > turn_ns - turn_ns / 4 ? spent : turn_ns - turn_ns / 4;
    atomic_store_explicit(&w->turn_ns, turn_ns, memory_order_relaxed /* as above */);
    w->measured_turn = turn;
}

static void take_inbox(struct co__worker *w)
{
    if (co__injector_size(&w->inbox) > 0)
        (void)co__injector_take(&w->inbox, &w->local, INJECTED_MAX);
}

/* Everything that may bring work from outside, without waiting. */
static void look(struct co__worker *w)
{
    struct epoll_event events[CO__POLL_BATCH];
    int n = 0;

    measure_turns(w);
    if (w->clock - w->polled >= POLL_EVERY || --w->poll_countdown <= 0) {
        w->polled = w->clock;
        w->poll_countdown = POLL_INTERVAL;
        n = co__poll_wait(w, events, 0);
    }
    if (n > 0) {
        CO__TRACE(w, poll, 0, n);
        co__poll_dispatch(w, events, n);
    }
    expire(w);
    take_inbox(w);
    if (w->clock - w->uv_ran >= UV_EVERY && uv_loop_alive(&w->loop))
        co__worker_uv(w);
    co__run_check(w);
}

/* Looks, and says after how many turns to look again. */
static void look_in_time(struct co__worker *w)
{
    int64_t turn_ns;

    look(w);
    turn_ns = atomic_load_explicit(&w->turn_ns, memory_order_relaxed /* own word */);
    /* At least two: what the look brings has the next turn, and the own deque must have one too. */
    w->countdown = turn_ns * INTERVAL <= LOOK_EVERY ? INTERVAL : (int)(LOOK_EVERY / turn_ns) + 2;
    (void)co__lookout(w->clock);
    /* relaxed: a hint; the search sees it too. */
    if (atomic_load_explicit(&co__rt.stuck, memory_order_relaxed) > 0)
        (void)rescue(w);
}

/* ---- finding work ---- */

static struct co__coro *take_lifo(struct co__worker *w)
{
    /* relaxed: only a look; the exchange decides. */
    if (!atomic_load_explicit(&w->lifo, memory_order_relaxed))
        return NULL;
    /* acq_rel: as in co__ready. */
    return atomic_exchange_explicit(&w->lifo, NULL, memory_order_acq_rel);
}

static struct co__coro *take_deque(struct co__worker *w)
{
    if (co__rt.conf.order == CO_ORDER_FIFO)
        return co__deque_pop_fifo(&w->deque);
    return co__deque_pop_lifo(&w->deque);
}

/* What this worker has itself, or nothing. */
static struct co__coro *own_work(struct co__worker *w)
{
    struct co__coro *co;

    if (w->lifo_run < LIFO_RUN && (co = take_lifo(w))) {
        w->lifo_run++;
        return co;
    }
    w->lifo_run = 0;
    if (w->local.head && (w->local_turn = !w->local_turn))
        return co__queue_pop(&w->local);
    co = take_deque(w);
    if (!co)
        co = co__queue_pop(&w->local);
    return co ? co : take_lifo(w);
}

/* A share of the injector: one to run now, the rest into the own deque. */
static struct co__coro *take_injected(struct co__worker *w, int max)
{
    struct co__queue batch = {0};
    int size = co__injector_size(&co__rt.injector);
    int share = size / co__rt.count + 1;
    struct co__coro *first;
    struct co__coro *co;

    if (size == 0 || co__injector_take(&co__rt.injector, &batch, share < max ? share : max) == 0)
        return NULL;
    first = co__queue_pop(&batch);
    co__batch_begin(w);
    while ((co = co__queue_pop(&batch)))
        push(w, co);
    co__batch_end(w);
    return first;
}

static struct co__coro *steal_from(struct co__worker *w, struct co__worker *victim)
{
    struct co__coro *co;
    int count = 1;

    co__stat(w->stats, CO__STAT_STEAL_TRIES);
    if (co__rt.conf.order == CO_ORDER_FIFO)
        co = co__deque_steal_half(&victim->deque, &w->deque, &count);
    else
        co = co__deque_steal_one(&victim->deque);
    if (co) {
        co__stat(w->stats, CO__STAT_STEALS);
        co__stat_add(w->stats, CO__STAT_STOLEN, count);
        CO__TRACE(w, steal, co->index, count);
    }
    return co;
}

/* Serves one stuck worker. Its locks are only tried. Returns: whether it brought work. */
static bool rescue_from(struct co__worker *w, struct co__worker *victim)
{
    struct co__coro *co;
    int n = 0;

    co = take_lifo(victim);
    if (co) {
        push(w, co);
        n++;
    }
    co__batch_begin(w);
    n += co__heap_expire(&victim->timers, w->clock, true);
    co__batch_end(w);
    n += co__poll_rescue(w, victim);
    if (n > 0) {
        co__stat_add(w->stats, CO__STAT_RESCUES, n);
        CO__TRACE(w, rescue, 0, victim->index);
    }
    return n > 0;
}

static int rescue(struct co__worker *w)
{
    int served = 0;

    if (!co__rt.conf.stealing)
        return 0;
    for (int i = 0; i < co__rt.count; i++) {
        struct co__worker *victim = &co__rt.workers[i];

        if (victim != w && co__is_stuck(victim))
            served += rescue_from(w, victim);
    }
    return served;
}

/* xorshift32 (Marsaglia 2003). */
static uint32_t dice(struct co__worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 17;
    w->random ^= w->random << 5;
    return w->random;
}

/* Whether a search may be worth its while; the look before sleep is the one that counts. */
static bool anything_to_find(const struct co__worker *w)
{
    /* relaxed, both: hints. */
    if (atomic_load_explicit(&co__rt.stuck, memory_order_relaxed) > 0 ||
        atomic_load_explicit(&co__rt.injector.size, memory_order_relaxed) > 0)
        return true;
    for (int i = 0; i < co__rt.count; i++) {
        if (&co__rt.workers[i] != w && worth(&co__rt.workers[i], WORTH_STEALING))
            return true;
    }
    return false;
}

/*
 * Lets the owner of a deque finish when he is in the midst of filling it, for a little while: then
 * half of more can be had in one step, instead of crumbs in many.
 */
static void let_fill(const struct co__worker *victim)
{
    int64_t now = co__clock_real();
    int64_t until = now + FILLING;
    int size = co__deque_size(&victim->deque);
    int before;

    do {
        int64_t look_at = now + FILLING / 10;

        before = size;
        while ((now = co__clock_real()) < look_at)
            co__cpu_relax();
        size = co__deque_size(&victim->deque);
    } while (size > before && size < CO__DEQUE_CAPACITY / 2 && now < until);
}

/* Goes over the others' deques once, from a random one on. */
static struct co__coro *steal(struct co__worker *w)
{
    uint32_t start = dice(w);

    for (int i = 0; i < co__rt.count; i++) {
        struct co__worker *victim = &co__rt.workers[(start + (uint32_t)i) % (uint32_t)co__rt.count];
        struct co__coro *co = NULL;

        if (victim != w && worth(victim, WORTH_STEALING)) {
            let_fill(victim);
            co = steal_from(w, victim);
        }
        if (co)
            return co;
    }
    return NULL;
}

static struct co__coro *search(struct co__worker *w)
{
    struct co__coro *co;

    if (co__rt.count == 1 || !co__rt.conf.stealing)
        return NULL;
    if (!w->searching && (!anything_to_find(w) || !co__idle_search(&co__rt.idle)))
        return NULL;
    w->searching = true;
    co = steal(w);
    if (!co)
        co = take_injected(w, INJECTED_MAX);
    /* relaxed: a hint that is set for a millisecond at least. */
    if (!co && atomic_load_explicit(&co__rt.stuck, memory_order_relaxed) > 0 && rescue(w) > 0)
        co = own_work(w); /* what is pinned here is not in the deque */
    return co;
}

/*
 * After a look, one of those that would wait for ever behind what becomes ready here: the first of
 * the injector, and under lifo, by turns with it, the oldest of the own deque.
 */
static struct co__coro *take_patient(struct co__worker *w)
{
    struct co__coro *co = NULL;

    if (co__rt.conf.order == CO_ORDER_LIFO && (w->oldest_turn = !w->oldest_turn))
        co = co__deque_steal_one(&w->deque);
    return co ? co : take_injected(w, 1);
}

static struct co__coro *next(struct co__worker *w)
{
    struct co__coro *co = NULL;

    if (--w->countdown <= 0) {
        look_in_time(w);
        co = take_patient(w);
    }
    if (!co)
        co = own_work(w);
    if (!co)
        co = take_injected(w, INJECTED_MAX);
    return co ? co : search(w);
}

/* ---- sleeping ---- */

/*
 * The second look, after the sleep or the end of a search was published: everything that somebody
 * may have brought just before.
 */
static bool work_anywhere(struct co__worker *w)
{
    if (co__injector_size(&co__rt.injector) > 0 || co__injector_size(&w->inbox) > 0)
        return true;
    if (co__run_urgent())
        return true;
    if (!co__rt.conf.stealing)
        return false;
    for (int i = 0; i < co__rt.count; i++) {
        /* seq_cst: see co__deque_size. */
        if (worth(&co__rt.workers[i], WORTH_STEALING))
            return true;
    }
    return false;
}

static int64_t sleep_time(struct co__worker *w)
{
    int64_t until = co__heap_next(&w->timers);
    /* ms, -1 for ever; libuv says 0 for a loop that has nothing to do. */
    int64_t uv = uv_loop_alive(&w->loop) ? uv_backend_timeout(&w->loop) : -1;
    int64_t left = until == CO_NEVER ? CO_NEVER : until - co__worker_clock(w);

    if (left < 0)
        left = 0;
    if (left > 0 && co__clock_is_stopped()) /* a move of the clock kicks us */
        left = CO_NEVER;
    /* A busy worker will use the node again in a moment; one that comes to rest sweeps it up. */
    if (left > SETTLE && co__heap_is_stale(&w->timers))
        left = SETTLE;
    if (left > co__stacks_rest(w->clock))
        left = co__stacks_rest(w->clock);
    return uv >= 0 && uv * CO_MS < left ? uv * CO_MS : left;
}

static void set_state(struct co__worker *w, enum co__worker_state state)
{
    /* release: who reads that it runs sees the beat that came before. */
    atomic_store_explicit(&w->state, (int)state, memory_order_release);
}

/*
 * Sleeps in the kernel until something happens or somebody rings. Where rings have come at once
 * lately it stays awake for one first. Returns: the number of events; -1 if it has not slept.
 */
static int doze(struct co__worker *w, struct epoll_event *events, int64_t timeout)
{
    int64_t begun = co__clock_real();
    bool lingered = co__linger(&w->linger, &w->bell, timeout, begun);
    bool rung;
    int n = -1;

    if (co__bell_rest(&w->bell)) {
        CO__TRACE(w, sleep, 0, timeout);
        n = co__vigil_wait(w, events, timeout);
        CO__TRACE(w, awake, 0, n);
    }
    rung = co__bell_rise(&w->bell);
    if (n >= 0 && !lingered)
        co__linger_slept(&w->linger, rung, begun, co__clock_real());
    return n;
}

static void nap(struct co__worker *w)
{
    struct epoll_event events[CO__POLL_BATCH];
    bool finished;
    int n;

    co__live_tell(w);
    measure_turns(w);
    finished = co__idle_sleep(&co__rt.idle, w->index, w->searching, co__run_last_asleep);
    w->searching = false;
    if (finished)
        co__run_finished();
    if (w->local.head || work_anywhere(w)) {
        w->searching = co__idle_leave(&co__rt.idle, w->index, true);
        return;
    }
    set_state(w, CO__SLEEPING);
    /* relaxed: for the watchdog, to see who sleeps for long. */
    atomic_store_explicit(&w->naps, atomic_load_explicit(&w->naps, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    n = doze(w, events, sleep_time(w));
    /* Or who looks next takes the turn before the sleep for one that has lasted all the while. */
    beat(w);
    w->measured_turn++;
    set_state(w, CO__RUNNING);
    if (n == 0)
        co__heap_trim(&w->timers);
    w->searching = co__idle_leave(&co__rt.idle, w->index, false);
    w->countdown = INTERVAL;
    w->measured_at = co__worker_clock(w);
    if (n < 0) {
        look(w); /* whose epoll would wait for ever while others ring before it sleeps */
    } else {
        if (n > 0)
            co__poll_dispatch(w, events, n);
        expire(w);
        take_inbox(w);
        co__run_check(w);
    }
    (void)co__lookout(w->clock);
    if (w->keeps) {
        (void)rescue(w);
        co__vigil_end(w);
    }
    if (!w->searching)
        co__stacks_tend(w->clock);
}

void co__worker_main(struct co__worker *w)
{
    /* relaxed: for the watchdog alone, which may look before the thread has begun. */
    atomic_store_explicit(&w->tid, gettid(), memory_order_relaxed);
    co__worker_set(w);
    co__context_thread(&w->context);
    set_state(w, CO__RUNNING);
    w->measured_at = co__worker_clock(w);
    w->uv_ran = w->clock;
    /* acquire: pairs with the store in co__run_last_asleep, by another worker perhaps. */
    while (atomic_load_explicit(&co__rt.phase, memory_order_acquire) != CO__STOP) {
        struct co__coro *co = next(w);

        co__stat(w->stats, CO__STAT_TURNS);
        if (!co) {
            nap(w);
            continue;
        }
        if (w->searching) {
            w->searching = false;
            /* Who brought work while this one searched has woken nobody. */
            if (co__idle_found(&co__rt.idle) && work_anywhere(w))
                co__notify();
        }
        run(w, co);
    }
    set_state(w, CO__SLEEPING);
    co__coro_flush(w);
    co__worker_set(NULL);
}

/* ---- life ---- */

int co__worker_start(struct co__worker *w, int index)
{
    int r;

    w->index = index;
    w->epoll = w->wake_fd = -1;
    w->random = (uint32_t)index * 2654435761U + 1;
    w->countdown = INTERVAL;
    atomic_store_explicit(&w->turn_ns, FIRST_GUESS, memory_order_relaxed /* no other thread yet */);
    w->stats = co__stat_row(index);
    r = uv_loop_init(&w->loop);
    if (r < 0)
        return r;
    w->uv_open = true;
    r = co__heap_start(&w->timers);
    return r < 0 ? r : co__poll_start(w);
}

void co__worker_stop(struct co__worker *w)
{
    if (w->uv_open) {
        (void)uv_run(&w->loop, UV_RUN_DEFAULT); /* requests that were taken back still come home */
        (void)uv_loop_close(&w->loop);
        w->uv_open = false;
    }
    co__stack_cache_flush(&w->stacks);
    co__heap_stop(&w->timers);
    co__poll_stop(w);
}
