/* SPDX-License-Identifier: MIT */
/*
 * core.c - model of parking, timers, wait sources and offloading: runtime/park.c, timer.c, source.c,
 * coro.c and offload.c themselves.
 *
 * Coroutines have stacks and are switched to and from as in runtime/worker.c; what is not there is
 * the run queue: whoever makes a coroutine ready runs it itself, next. So all order between who
 * parks and who resumes comes from the code under test, and a coroutine moves to another thread,
 * with another timer heap, at each wake-up. The protocols as state machines are told in park.cpp,
 * source.cpp and timer.c of the runtime.
 *
 * channel: a coroutine receives two values from a channel under a latch; a sender, co__cancel.
 * expiry:  the same with a deadline, and time that passes.
 * timer:   deadlines at 5, then 2 (shorter, after a migration perhaps), then 4; a waker ends parks
 *          early, so that nodes stay behind in other threads' heaps; rescuers expire any heap.
 * bytes:   a reader that waits before it reads again; two pollers that compete for the edge; a
 *          deadline.
 * event:   two bytes in one event, and the deadline.
 * last:    the end of stream comes with the last bytes.
 * hangup:  the same with co__source_hangup.
 * start:   co__source_start, then a waiter, then co__source_start again, by bytes.
 * late:    the same with a deadline. drain: with the drain.
 * offload: blocking work on another thread, which cancel takes back until it has begun.
 *
 * Checked: nobody runs a coroutine that still has a foot on its stack, or two at once (data race on
 * `foot`); values, bytes and end of stream arrive once; no time-out comes early, none is lost, nor
 * is a cancel, hang-up or drain; each started coroutine runs once; nobody who has ended is named by
 * a source.
 * Not covered: generations (slot.c), records reused for another life while a stale
 * ticket is held (park.cpp has it for sequences), more than one coroutine per heap but for "start".
 */
#include "park.h"
#include "run.h"
#include "worker.h"

#include <co/offload.h>
#include <co/private/source.h>
#include <model.h>
#include <string.h>
#include <ucontext.h>

enum scenarios {
    CHANNEL,
    EXPIRY,
    TIMER,
    BYTES,
    EVENT,
    LAST,
    HANGUP,
    START,
    LATE,
    DRAINED,
    OFFLOAD
};

enum { THREADS = 4, COROS = 6, HEAP = 8, STACK = 32 << 10 };
enum { VALUE = 1, REFUSED = 2, WOKEN = 3 };
enum { END = 256 }; /* of the stream, in the kernel's word */

const char model_name[] = "core";
const int model_threads = THREADS;
const char *const model_scenarios[] = {
    "channel: two values, cancel",
    "expiry: two values, deadline",
    "timer: shorten, lengthen, migrate",
    "bytes: two, end, deadline",
    "event: two at once, deadline",
    "last: end with the last bytes",
    "hangup: while it waits",
    "start: starter, waiter, starter",
    "late: starter and deadline",
    "drain: starter and drain",
    "offload: taken back or waited for",
    NULL,
};

static int playing;
static struct co__coro *subject;

/* ---- threads, stacks and switches ---- */

struct co__runtime co__rt;
static struct co__worker workers[THREADS];
static struct co__coro records[COROS];
static struct co__heap_item items[THREADS][HEAP];
static int64_t row[64];
static ucontext_t thread_side[THREADS];
static ucontext_t coro_side[COROS];
static char stacks[COROS][STACK] __attribute__((aligned(64)));
static struct co__stack stack_records[COROS];
static void *handed[THREADS]; /* what a switch hands over */
static int foot[COROS];       /* touched before a coroutine leaves its stack and after it is back */
static bool on_stack[COROS];
static struct co__coro *ready[THREADS][COROS];
static int ready_count[THREADS];

struct co__worker *co__worker(void)
{
    return &workers[model_thread()];
}

void co__ready(struct co__coro *co)
{
    int t = model_thread();

    ready[t][ready_count[t]++] = co;
}

static ucontext_t *side(struct co__context *context)
{
    for (int i = 0; i < THREADS; i++) {
        if (context == &workers[i].context)
            return &thread_side[i];
    }
    for (int i = 0; i < COROS; i++) {
        if (context == &records[i].context)
            return &coro_side[i];
    }
    return NULL;
}

void *co__context_switch(struct co__context *from, struct co__context *to, void *data)
{
    handed[model_thread()] = data;
    (void)swapcontext(side(from), side(to));
    return handed[model_thread()];
}

void co__context_leave(struct co__context *from, struct co__context *to, void *data)
{
    (void)co__context_switch(from, to, data);
    __builtin_unreachable();
}

static void first_step(void)
{
    struct co__worker *w = handed[model_thread()];

    foot[w->current->index] = 1;
    w->current->context.entry(w);
}

void co__context_make(struct co__context *context, void *top, size_t size, co__context_entry *entry)
{
    ucontext_t *u = side(context);

    context->entry = entry;
    (void)getcontext(u);
    u->uc_stack.ss_sp = (char *)top - size;
    u->uc_stack.ss_size = size;
    u->uc_link = NULL;
    makecontext(u, first_step, 0);
}

struct co__stack_limits co__stack_limits;

struct co__stack *co__stack_get_slow(struct co__stack_cache *cache, size_t size)
{
    (void)cache;
    (void)size;
    for (int i = 0; i < COROS; i++) {
        if (!stack_records[i].low) {
            stack_records[i].low = stacks[i];
            stack_records[i].size = STACK;
            return &stack_records[i];
        }
    }
    return NULL;
}

int co__stack_grow(size_t n)
{
    (void)n;
    return 0;
}

struct co__worker *co__suspend(struct co__worker *w, enum co__action action)
{
    struct co__coro *co = w->current;

    w->action = action;
    foot[co->index] = 2;
    w = co__context_switch(&co->context, &w->context, NULL);
    foot[co->index] = 3;
    return w;
}

struct co__worker *co__worker_yield(struct co__worker *w)
{
    return w;
}

bool co__outside_enter(void)
{
    return true;
}

void co__outside_leave(void)
{
}

bool co__run_draining(void)
{
    return atomic_load_explicit(&co__rt.phase, memory_order_seq_cst) >= CO__DRAIN;
}

struct co__coro *co__spawn_take(struct co__worker *w, int *ret_err)
{
    return co__coro_take(w, ret_err);
}

/* What a thread does after each step of its own: run what it made ready, until nothing is. */
static void run_ready(void)
{
    int t = model_thread();
    struct co__worker *w = &workers[t];

    while (ready_count[t] > 0) {
        struct co__coro *co = ready[t][--ready_count[t]];

        MODEL_CHECK(!on_stack[co->index]);
        on_stack[co->index] = true;
        w->current = co;
        w->budget = 1000;
        if (!co->stack)
            co__coro_bind(w, co);
        (void)co__context_switch(&w->context, &co->context, w);
        w->current = NULL;
        on_stack[co->index] = false;
        if (w->action == CO__ACTION_PARK) {
            co__park_commit(w, co);
        } else {
            co->stack->low = NULL;
            co->stack = NULL;
            co__coro_put(w, co);
        }
    }
}

/* ---- time ---- */

static _Atomic int64_t now;

int64_t co_now(void)
{
    return atomic_load_explicit(&now, memory_order_seq_cst);
}

/* Expires the heap of this thread, as its worker would before it sleeps. */
static void mind_time(void)
{
    struct co__worker *w = co__worker();

    do {
        /* seq_cst: the heap's next is stored before, by us. */
        w->clock = atomic_load_explicit(&now, memory_order_seq_cst);
        (void)co__heap_expire(&w->timers, w->clock, false);
        run_ready();
        w->clock = atomic_load_explicit(&now, memory_order_seq_cst);
    } while (co__heap_next(&w->timers) <= w->clock);
}

/* Every node of a heap says that it is there. */
static void check_heap(struct co__heap *heap)
{
    co_latch_take(&heap->lock);
    for (uint32_t i = 0; i < heap->count; i++) {
        struct co__timer *node = &heap->items[i].co->timer;

        MODEL_CHECK(node->place == i);
        MODEL_CHECK(atomic_load_explicit(&node->heap, memory_order_seq_cst) == heap);
    }
    co_latch_give(&heap->lock);
}

/* Expires everybody's, as rescuers would. */
static void pass_time(int64_t to)
{
    struct co__worker *w = co__worker();

    /* seq_cst: before the looks at the heaps. */
    atomic_store_explicit(&now, to, memory_order_seq_cst);
    for (int i = 0; i < THREADS; i++) {
        w->clock = to;
        check_heap(&workers[i].timers);
        (void)co__heap_expire(&workers[i].timers, to, false);
        run_ready();
    }
    mind_time();
}

/* Starts the coroutine of a scenario; thread 0 runs it first. */
static void begin(void (*fn)(void *))
{
    int r = 0;
    struct co__coro *co = co__coro_take(&workers[0], &r);

    co->entry = (struct co__entry){.fn = fn, .kind = CO__ENTRY_FN};
    ready[0][ready_count[0]++] = co;
}

/* ---- the channel ---- */

static struct co_latch latch;
static co_ticket node; /* 0: nobody waits */
static int buffered, value, received;
static bool done;

static int wait_for_value(co_ticket self, void *arg)
{
    int r = 0;

    (void)arg;
    co_latch_take(&latch);
    if (buffered > 0)
        r = REFUSED;
    else
        node = self;
    co_latch_give(&latch);
    return r;
}

static void receiver(void *arg)
{
    (void)arg;
    if (playing == EXPIRY)
        co__worker()->current->deadline = 5;
    for (;;) {
        int r;

        co_latch_take(&latch);
        if (buffered > 0) {
            buffered--;
            received++;
        }
        co_latch_give(&latch);
        r = co_park(wait_for_value, NULL, 0);
        co_latch_take(&latch);
        node = 0;
        co_latch_give(&latch);
        if (r == VALUE) {
            received += value;
            value = 0;
        }
        MODEL_CHECK(r == VALUE || r == REFUSED ||
                    r == (playing == EXPIRY ? -ETIMEDOUT : -ECANCELED));
        if (r < 0)
            break;
    }
    done = true;
}

static void hand_over(void)
{
    co_ticket ticket;
    bool won = false;

    co_latch_take(&latch);
    ticket = node;
    node = 0;
    if (ticket && co_claim(ticket, VALUE)) {
        won = true;
        value = 1;
    } else {
        buffered++;
    }
    co_latch_give(&latch);
    if (won)
        co_finish(ticket);
    run_ready();
}

static void play_channel(int thread)
{
    if (thread == 0) {
        run_ready();
        mind_time();
    } else if (thread == 1) {
        hand_over();
        hand_over();
        mind_time();
    } else if (thread == 2 && playing == CHANNEL) {
        co__cancel(subject);
        run_ready();
    } else if (thread == 2) {
        pass_time(6);
    }
}

/* ---- deadlines ---- */

static _Atomic co_ticket published;

static int publish_ticket(co_ticket self, void *arg)
{
    (void)arg;
    atomic_store_explicit(&published, self, memory_order_seq_cst);
    return 0;
}

static void sleeper(void *arg)
{
    static const int64_t deadlines[] = {5, 2, 4};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        int r;

        co__worker()->current->deadline = deadlines[i];
        r = co_park(publish_ticket, NULL, 0);
        MODEL_CHECK(r == WOKEN || r == -ETIMEDOUT);
        if (r == -ETIMEDOUT)
            MODEL_CHECK(atomic_load_explicit(&now, memory_order_seq_cst) >= deadlines[i]);
    }
    done = true;
}

static void play_timer(int thread)
{
    if (thread == 0) {
        run_ready();
        mind_time();
    } else if (thread == 1) {
        for (int i = 0; i < 2; i++) {
            co_ticket ticket = atomic_load_explicit(&published, memory_order_seq_cst);

            if (ticket)
                (void)co_unpark(ticket, WOKEN);
            run_ready();
            mind_time();
        }
    } else if (thread == 2) {
        pass_time(3);
        pass_time(5);
    }
}

/* ---- wait sources ---- */

static struct co__source source;
static _Atomic unsigned kernel; /* bytes that have come, and END */
static _Atomic int edge;
static _Atomic int closed;
static int got, armed, started;

static int receive(void)
{
    unsigned k = atomic_load_explicit(&kernel, memory_order_seq_cst);

    while ((k & 255) && !atomic_compare_exchange_strong_explicit(
                            &kernel, &k, k & END, memory_order_seq_cst, memory_order_seq_cst))
        continue;
    return k & 255 ? (int)(k & 255) : k ? 0 : -EAGAIN;
}

static void request(void *arg, int why);

static void begun(struct co__source *s)
{
    MODEL_CHECK(s == &source);
}

static void arm(void)
{
    armed++;
    MODEL_CHECK(co__source_start(&source, begun, request, NULL) == 0);
}

/* Reads until the end; `idle_at`: after so many bytes, waits without a stack instead. */
static void read_all(int idle_at)
{
    bool wait_first = false;
    bool tried = false;

    for (;;) {
        int r;

        if (!wait_first) {
            if (co__source_consume(&source) & CO__SOURCE_CLOSING) {
                done = true;
                return;
            }
            r = receive();
            if (r == 0) {
                MODEL_CHECK(got == 2);
                done = true;
                return;
            }
            tried = r < 0;
            if (r > 0) {
                got += r;
                wait_first = true;
                if (playing == EVENT) {
                    done = true;
                    return;
                }
                continue;
            }
        }
        if (got == idle_at) {
            arm();
            return;
        }
        r = co__source_wait(&source, !tried);
        MODEL_CHECK(r == 0 || r == -ETIMEDOUT || (playing == HANGUP && r == -ECANCELED));
        wait_first = tried = false;
        if (r == -ETIMEDOUT && playing != LATE) {
            co__worker()->current->deadline = CO_NEVER;
            wait_first = true; /* it had to wait before, and no event came */
        } else if (r < 0) {
            done = true;
            return;
        }
    }
}

static void request(void *arg, int why)
{
    (void)arg;
    started++;
    MODEL_CHECK(started == armed);
    if (why < 0) {
        MODEL_CHECK(why == (playing == LATE ? -ETIMEDOUT : -ECANCELED));
        MODEL_CHECK(playing == LATE || playing == DRAINED);
        done = true;
        return;
    }
    if (playing == LATE)
        co__worker()->current->deadline = 5;
    read_all(2);
}

static void reader(void *arg)
{
    (void)arg;
    if (playing == BYTES || playing == EVENT || playing == LATE)
        co__worker()->current->deadline = 5;
    if (playing >= START)
        arm();
    else
        read_all(-1);
}

static void arrive(unsigned bytes)
{
    atomic_fetch_add_explicit(&kernel, bytes, memory_order_seq_cst);
    if (atomic_exchange_explicit(&edge, 1, memory_order_seq_cst) == 0)
        model_gate_post(0);
}

static void network(void)
{
    if (playing == LAST || playing == EVENT) {
        arrive(playing == LAST ? 2 + END : 2);
    } else {
        arrive(1);
        if (playing != LATE)
            arrive(playing == BYTES || playing == HANGUP ? 1 + END : 1);
        if (playing == START)
            arrive(END);
    }
    atomic_store_explicit(&closed, 1, memory_order_seq_cst);
    model_gate_post(0);
    model_gate_post(0);
}

static void take_edges(void)
{
    for (;;) {
        model_gate_wait(0);
        if (atomic_exchange_explicit(&edge, 0, memory_order_seq_cst)) {
            unsigned k = atomic_load_explicit(&kernel, memory_order_seq_cst);

            if (k)
                co__source_deliver(&source, 1, k & END ? CO__SOURCE_HUP : 0);
            run_ready();
            mind_time();
        } else if (atomic_load_explicit(&closed, memory_order_seq_cst)) {
            return;
        }
    }
}

static void play_source(int thread)
{
    if (thread <= 1) {
        run_ready();
        mind_time();
        take_edges();
    } else if (thread == 2) {
        network();
    } else if (playing == BYTES || playing == EVENT || playing == LATE) {
        pass_time(6);
    } else if (playing == HANGUP) {
        co__source_hangup(&source);
        run_ready();
    } else if (playing == DRAINED) {
        atomic_store_explicit(&co__rt.phase, CO__DRAIN, memory_order_seq_cst);
        co__source_poke(&source, CO__SOURCE_STARTER, -ECANCELED);
        run_ready();
    }
}

/* ---- offload ---- */

static uv_work_t *queued;
static uv_work_cb queued_work;
static uv_after_work_cb queued_after;
static _Alignas(4) bool work_ran;

int uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb fn, uv_after_work_cb after)
{
    (void)loop;
    queued = work;
    queued_work = fn;
    queued_after = after;
    model_gate_post(1);
    return 0;
}

uint64_t co_self(void)
{
    return co__worker()->current->index;
}

static int blocking_work(void *arg)
{
    *(int *)arg = 1;
    work_ran = true;
    return 7;
}

static void offloader(void *arg)
{
    int touched = 0; /* The work may touch the caller's stack until the caller goes on. */
    int result = 0;
    int r = co_offload(blocking_work, &touched, &result);

    (void)arg;
    MODEL_CHECK(r == 0 || r == -ECANCELED);
    if (!queued)
        model_gate_post(1); /* It was cancelled before it had begun to wait. */
    MODEL_CHECK((r == 0) == work_ran && touched == work_ran && result == (work_ran ? 7 : 0));
    done = true;
}

static void play_offload(int thread)
{
    if (thread == 0) {
        run_ready();
    } else if (thread == 1) {
        model_gate_wait(1);
        if (queued)
            queued_work(queued);
        run_ready();
    } else if (thread == 2) {
        co__cancel(subject);
        run_ready();
    }
}

/* ---- each execution ---- */

static void before_memory(void)
{
    memset(records, 0, sizeof records);
    memset(workers, 0, sizeof workers);
    memset(stack_records, 0, sizeof stack_records);
    memset(on_stack, 0, sizeof on_stack);
    memset(ready_count, 0, sizeof ready_count);
    memset(&co__rt, 0, sizeof co__rt);
    queued = NULL;
    work_ran = false;
    node = 0;
    buffered = value = received = got = armed = started = 0;
    done = false;
    co__chunks[0] = records;
}

void model_before(int scenario)
{
    playing = scenario;
    before_memory();
    model_ignore(row, sizeof row);
    model_watch(&now, sizeof now, 0);
    model_watch(&published, sizeof published, 0);
    model_watch(&source.word, sizeof source.word, 0);
    model_watch(&kernel, sizeof kernel, 0);
    model_watch(&edge, sizeof edge, 0);
    model_watch(&closed, sizeof closed, 0);
    model_watch(&co__rt.phase, sizeof co__rt.phase, 0);
    model_watch_latch(&latch);
    model_watch_plain(&work_ran, 4);
    model_watch_plain(&node, sizeof node);
    model_watch_plain(&buffered, sizeof buffered);
    model_watch_plain(&value, sizeof value);
    for (int i = 0; i < THREADS; i++) {
        workers[i].index = i;
        workers[i].stats = row;
        workers[i].timers.items = items[i];
        workers[i].timers.capacity = HEAP;
        model_watch(&workers[i].timers.next, sizeof workers[i].timers.next, (uint64_t)CO_NEVER);
        model_watch_latch(&workers[i].timers.lock);
        model_watch_plain(&workers[i].timers.count, sizeof workers[i].timers.count);
    }
    for (int i = 1; i < COROS; i++) {
        struct co__coro *co = &records[i];

        co->index = (uint32_t)i;
        model_watch(&co->word, sizeof co->word, CO__BITS);
        model_watch(&co->until, sizeof co->until, 0);
        model_watch(&co->flags, sizeof co->flags, 0);
        model_watch(&co->cancelled, sizeof co->cancelled, 0);
        model_watch(&co->timer.time, sizeof co->timer.time, (uint64_t)CO_NEVER);
        model_watch(&co->timer.heap, sizeof co->timer.heap, 0);
        model_watch_plain(&co->result, sizeof co->result);
        model_watch_plain(&foot[i], sizeof foot[i]);
    }
    /* One record for each thread, and one more for the first. */
    for (int i = 1; i < COROS; i++) {
        struct co__worker *w = &workers[(COROS - 1 - i) % THREADS];

        records[i].next = w->free;
        w->free = &records[i];
        w->free_count++;
    }
    subject = workers[0].free;
    begin(scenario <= EXPIRY    ? receiver
          : scenario == TIMER   ? sleeper
          : scenario == OFFLOAD ? offloader
                                : reader);
    co__source_reset(&source, 1);
}

void model_run(int scenario, int thread)
{
    if (scenario <= EXPIRY)
        play_channel(thread);
    else if (scenario == TIMER)
        play_timer(thread);
    else if (scenario == OFFLOAD)
        play_offload(thread);
    else
        play_source(thread);
}

void model_after(int scenario)
{
    if (queued)
        queued_after(queued, 0);
    MODEL_CHECK(done);
    MODEL_CHECK(scenario > EXPIRY || received + buffered == 2);
    MODEL_CHECK(started == armed);
    MODEL_CHECK((model_value(&source.word) & CO__SOURCE_STATE) <= CO__SOURCE_READY);
}
