/* SPDX-License-Identifier: MIT */
/*
 * sched_time.c - lines about deadlines and blocking calls. Before those about deadlines, 100,000
 * sleepers are put to bed.
 *
 *   deadline  receive what is there already, under a deadline of its own; per send and receive
 *   timer     two coroutines, an unbuffered channel each way, each receive under a deadline of its
 *             own that is armed and taken back; per round trip
 *   offload   a call that does nothing, on another thread; per call
 *   blocking  eight coroutines make calls that sleep 50 us in the kernel; per call
 */
#include "sched.h"

#include <co/chan.h>
#include <co/group.h>
#include <co/offload.h>
#include <co/scope.h>
#include <time.h>

enum { SLEEPERS = 100000, CALLERS = 8 };

static int sleep_long(void *arg)
{
    /* relaxed: a count. */
    atomic_fetch_add_explicit((_Atomic int *)arg, 1, memory_order_relaxed);
    return co_sleep(3600 * CO_SEC);
}

struct chans {
    long each;
    struct co_chan *ways[2];
};

static struct co_chan *make(size_t capacity)
{
    struct co_chan *chan = co_chan_new(sizeof(long), capacity);

    bench_must("co_chan_new", chan ? 0 : -ENOMEM);
    return chan;
}

static void recv_in_time(struct co_chan *chan)
{
    CO_DEADLINE(30 * CO_SEC);
    long got;

    bench_must("co_chan_recv", co_chan_recv(chan, &got));
}

/* Runs fn while the sleepers sleep. */
static void among_sleepers(void (*fn)(struct chans *c), struct chans *c)
{
    _Atomic int asleep = 0;
    CO_GROUP(group);

    for (int i = 0; i < SLEEPERS; i++)
        bench_must("co_group_go", co_group_go(&group, sleep_long, &asleep));
    while (atomic_load_explicit(&asleep, memory_order_relaxed /* as above */) < SLEEPERS)
        (void)co_yield();
    bench_begin();
    fn(c);
    bench_end();
}

static void recv_at_once(struct chans *c)
{
    for (long i = 0; i < c->each; i++) {
        bench_must("co_chan_send", co_chan_send(c->ways[0], &i));
        recv_in_time(c->ways[0]);
    }
}

static void run_deadline(long count)
{
    struct chans c = {.each = count, .ways = {make(1)}};

    among_sleepers(recv_at_once, &c);
    co_chan_free(c.ways[0]);
}

static void answer(int index, void *arg)
{
    struct chans *c = arg;

    for (long i = 0; i < c->each; i++) {
        if (index == 1)
            bench_must("co_chan_send", co_chan_send(c->ways[0], &i));
        recv_in_time(c->ways[index]);
        if (index == 0)
            bench_must("co_chan_send", co_chan_send(c->ways[1], &i));
    }
}

static void play(struct chans *c)
{
    bench_together(2, answer, c);
}

static void run_timer(long count)
{
    struct chans c = {.each = count, .ways = {make(0), make(0)}};

    among_sleepers(play, &c);
    co_chan_free(c.ways[0]);
    co_chan_free(c.ways[1]);
}

/* ---- blocking calls ---- */

static int add_one(void *arg)
{
    ++*(long *)arg;
    return 0;
}

static void run_offload(long count)
{
    long calls = 0;

    for (long i = 0; i < count; i++)
        bench_must("co_offload", co_offload(add_one, &calls, NULL));
    bench_must("the calls", calls == count ? 0 : -EBADMSG);
}

static int block(void *arg)
{
    const struct timespec moment = {.tv_nsec = 50 * CO_US};

    (void)arg;
    return nanosleep(&moment, NULL);
}

static void call_many(int index, void *arg)
{
    const long *each = arg;

    (void)index;
    for (long i = 0; i < *each; i++)
        bench_must("co_offload", co_offload(block, NULL, NULL));
}

static void run_blocking(long count)
{
    long each = count / CALLERS;

    bench_together(CALLERS, call_many, &each);
}

const struct bench_line bench_time[] = {
    {"deadline", run_deadline}, {"timer", run_timer}, {"offload", run_offload},
    {"blocking", run_blocking}, {NULL, NULL},
};
