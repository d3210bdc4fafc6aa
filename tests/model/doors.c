/* SPDX-License-Identifier: MIT */
/*
 * doors.c - model of the latch and of the door for plain threads: runtime/latch.c with co/latch.h,
 * and runtime/outside.c themselves.
 *
 * latch:   0 free -> 1 held -> 0; who finds it held makes it 2 and sleeps while it is 2; who gives
 *          back a 2 wakes one. Three threads take it, one of them by trying, and touch what it
 *          guards.
 * outside: a plain thread counts itself, then looks whether the door is open; the runtime closes
 * the
 *          door, then waits until nobody is inside, then is gone. Two threads call in twice, one
 *          ends the runtime.
 *
 * Checked: never two inside; nobody sleeps for ever; what one wrote under the latch the next sees;
 * a call that was let in never meets a runtime that is gone, and what it did is seen by the end.
 * Not covered: the fairness of the latch; several lives of a runtime one after the other.
 */
#include "futex.h"
#include "outside.h"
#include "worker.h"

#include <co/latch.h>
#include <model.h>
#include <string.h>

enum scenarios { LATCH, OUTSIDE };

enum { FUTEX_GATE = 0 };

const char model_name[] = "doors";
const int model_threads = 3;
const char *const model_scenarios[] = {
    "latch: three threads",
    "outside: calls of plain threads, the end",
    NULL,
};

static struct co_latch latch;
static int guarded, added;
static int gone; /* the runtime's memory: written when it is freed */
static int sleepers_of_futex;

/* The kernel's part is one step here, as it is in the kernel: look and sleep, wake. */
static char futex_latch[4];

void co__futex_wait(const void *word, uint32_t value, int64_t until)
{
    bool sleeps;

    (void)until;
    model_latch_take(futex_latch);
    sleeps = atomic_load_explicit((const _Atomic uint32_t *)word, memory_order_seq_cst) == value;
    sleepers_of_futex += sleeps;
    model_latch_give(futex_latch);
    if (sleeps)
        model_gate_wait(FUTEX_GATE);
}

void co__futex_wake(const void *word, int count)
{
    (void)word;
    (void)count;
    model_latch_take(futex_latch);
    if (sleepers_of_futex > 0) {
        sleepers_of_futex--;
        model_gate_post(FUTEX_GATE);
    }
    model_latch_give(futex_latch);
}

/* Only plain threads here. */
struct co__worker *co__worker(void)
{
    return NULL;
}

int model_sched_yield(void);

int model_sched_yield(void)
{
    model_yield();
    return 0;
}

void model_before(int scenario)
{
    (void)scenario;
    guarded = added = gone = sleepers_of_futex = 0;
    model_watch(&latch.word, sizeof latch.word, 0);
    model_watch_latch(futex_latch);
    model_watch_plain(&guarded, sizeof guarded);
    model_watch_plain(&gone, sizeof gone);
    if (scenario == OUTSIDE)
        co__outside_open();
}

static void add(void)
{
    guarded++;
    added++;
    co_latch_give(&latch);
}

static void use_latch(int thread)
{
    for (int i = 0; i < 2; i++) {
        if (thread == 2 && i == 0) {
            if (!co_latch_try(&latch))
                continue;
        } else {
            co_latch_take(&latch);
        }
        add();
    }
}

static void call_in(void)
{
    for (int i = 0; i < 2; i++) {
        if (!co__outside_enter())
            continue;
        MODEL_CHECK(gone == 0);
        co__outside_leave();
    }
}

void model_run(int scenario, int thread)
{
    if (scenario == LATCH) {
        use_latch(thread);
    } else if (thread < 2) {
        call_in();
    } else {
        co__outside_close();
        gone = 1;
    }
}

void model_after(int scenario)
{
    MODEL_CHECK(guarded == added);
    MODEL_CHECK(scenario != LATCH || (added >= 5 && model_value(&latch.word) == 0));
}
