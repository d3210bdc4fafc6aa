/* SPDX-License-Identifier: MIT */
/*
 * end.c - model of the end of a runtime that has nothing left, while plain threads start
 * coroutines: runtime/live.c, idle.c, injector.c and outside.c themselves.
 *
 * The workers' loop is written here, as runtime/worker.c has it: own work, the injector, then tell
 * the count, publish the sleep, look again, sleep. Starting is as in runtime/task.c.
 *
 * refused: one worker with the first coroutine; a plain thread whose start is counted and then
 *          fails; another one that starts a coroutine.
 * both:    two workers, two threads of which each fails once and starts once.
 * The last worker to leave closes the door and takes the runtime away.
 *
 * Checked: the end comes (a worker that is not told shows as a deadlock); a start that was let in
 * runs, once; one that comes too late is refused; what the first coroutine left is seen by who
 * ends; nobody touches a runtime that is gone.
 * Not covered: coroutines that start others; the offload pool's threads, which leave by the same
 * function.
 */
#include "coro.h"
#include "live.h"
#include "outside.h"

#include <model.h>
#include <string.h>

enum scenarios { REFUSED, BOTH };
enum { WORKERS = 2, COROS = 3, FIRST = 0 };

const char model_name[] = "end";
const int model_threads = 4;
const char *const model_scenarios[] = {
    "refused: one worker, a start that fails",
    "both: two workers, starts and failures",
    NULL,
};

struct co__runtime co__rt;
static struct co__worker workers[WORKERS];
static struct co__coro coros[COROS];
static int ran[COROS], accepted[COROS];
static int result;     /* of the first coroutine */
static int gone;       /* the runtime's memory: written when it is freed */
static int left_count; /* workers that have come to their end, under the latch */
static struct co_latch latch;
static int worker_count;

struct co__worker *co__worker(void)
{
    return model_thread() < worker_count ? &workers[model_thread()] : NULL;
}

int model_sched_yield(void);

int model_sched_yield(void)
{
    model_yield();
    return 0;
}

/* Nobody dozes here. */
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

/* As if it slept; bell.c is about when it does not. */
bool co__worker_kick(struct co__worker *w)
{
    MODEL_CHECK(gone == 0);
    model_gate_post(w->index);
    return true;
}

static void notify(void)
{
    int target = co__idle_notify(&co__rt.idle);

    if (target >= 0)
        (void)co__worker_kick(&workers[target]);
}

/* ---- a plain thread ---- */

/* One that is counted, and then there is no record to be had. */
static void start_in_vain(void)
{
    if (!co__outside_enter())
        return;
    if (co__live_enter())
        co__live_leave();
    co__outside_leave();
}

static void start(int i)
{
    if (!co__outside_enter())
        return;
    if (co__live_enter()) {
        accepted[i] = 1;
        co__injector_push(&co__rt.injector, &coros[i]);
        notify();
    }
    co__outside_leave();
}

/* ---- a worker ---- */

static void run(struct co__worker *w, const struct co__coro *co)
{
    int i = (int)(co - coros);

    MODEL_CHECK(++ran[i] == 1);
    w->live--;
    if (i == FIRST)
        result = 7;
}

static struct co__coro *take(void)
{
    struct co__queue queue = {0};

    if (co__injector_size(&co__rt.injector) == 0 ||
        co__injector_take(&co__rt.injector, &queue, 1) == 0)
        return NULL;
    return co__queue_pop(&queue);
}

static void found(struct co__worker *w)
{
    if (!w->searching)
        return;
    w->searching = false;
    if (co__idle_found(&co__rt.idle) && co__injector_size(&co__rt.injector) > 0)
        notify();
}

/* As co__run_last_asleep. */
static bool last_asleep(void)
{
    if (!co__live_end())
        return false;
    MODEL_CHECK(result == 7);
    atomic_store_explicit(&co__rt.phase, CO__STOP, memory_order_release);
    return true;
}

static void work(struct co__worker *w)
{
    while (atomic_load_explicit(&co__rt.phase, memory_order_acquire) != CO__STOP) {
        const struct co__coro *co = take();

        if (co) {
            found(w);
            run(w, co);
            continue;
        }
        co__live_tell(w);
        if (co__idle_sleep(&co__rt.idle, w->index, w->searching, last_asleep)) {
            for (int i = 0; i < worker_count; i++)
                (void)co__worker_kick(&workers[i]);
        }
        w->searching = false;
        if (co__injector_size(&co__rt.injector) > 0) {
            w->searching = co__idle_leave(&co__rt.idle, w->index, true);
            continue;
        }
        model_gate_wait(w->index);
        w->searching = co__idle_leave(&co__rt.idle, w->index, false);
    }
}

/* As run_threads: closes the door, joins the workers, and then nothing is there any more. */
static void leave(void)
{
    bool last;

    co_latch_take(&latch);
    last = ++left_count == worker_count;
    co_latch_give(&latch);
    if (!last)
        return;
    co__outside_close();
    gone = 1;
}

/* ---- each execution ---- */

void model_before(int scenario)
{
    worker_count = scenario == REFUSED ? 1 : 2;
    memset(&co__rt, 0, sizeof co__rt);
    memset(workers, 0, sizeof workers);
    memset(coros, 0, sizeof coros);
    memset(ran, 0, sizeof ran);
    memset(accepted, 0, sizeof accepted);
    result = gone = left_count = 0;
    co__rt.count = worker_count;
    co__rt.workers = workers;
    co__idle_start(&co__rt.idle, worker_count);
    model_watch(&co__rt.idle.counts, sizeof co__rt.idle.counts, 0);
    model_watch_latch(&co__rt.idle.lock);
    model_watch_plain(&co__rt.idle.bits[0], sizeof co__rt.idle.bits[0]);
    model_watch(&co__rt.injector.size, sizeof co__rt.injector.size, 1);
    model_watch_latch(&co__rt.injector.lock);
    model_watch_plain(&co__rt.injector.queue, sizeof co__rt.injector.queue);
    model_watch(&co__rt.live, sizeof co__rt.live, 1);
    model_watch(&co__rt.phase, sizeof co__rt.phase, CO__RUN);
    model_watch_latch(&latch);
    model_watch_plain(&left_count, sizeof left_count);
    model_watch_plain(&result, sizeof result);
    model_watch_plain(&gone, sizeof gone);
    for (int i = 0; i < WORKERS; i++)
        workers[i].index = i;
    accepted[FIRST] = 1;
    co__queue_push(&co__rt.injector.queue, &coros[FIRST]);
    co__outside_open();
}

void model_run(int scenario, int thread)
{
    if (thread < worker_count) {
        work(&workers[thread]);
        leave();
    } else if (scenario == BOTH) {
        start_in_vain();
        start(thread - 1);
    } else if (thread == 1) {
        start_in_vain();
    } else if (thread == 2) {
        start(1);
    }
}

void model_after(int scenario)
{
    (void)scenario;
    for (int i = 0; i < COROS; i++)
        MODEL_CHECK(ran[i] == accepted[i]);
    MODEL_CHECK(gone == 1);
    MODEL_CHECK((int64_t)model_value(&co__rt.live) == INT64_MIN);
    MODEL_CHECK(model_value(&co__rt.idle.counts) >> 16 <= (uint64_t)worker_count);
}
