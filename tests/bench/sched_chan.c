/* SPDX-License-Identifier: MIT */
/*
 * sched_chan.c - lines about channels.
 *
 *   pingpong  two coroutines, an unbuffered channel each way; per round trip
 *   buffered  one sends, one receives, 128 places between them; per value
 *   select    as pingpong, one side receiving by a select over four channels; per round trip
 */
#include "sched.h"

#include <co/chan.h>

enum { CHANNELS = 4 };

struct chans {
    long each;
    struct co_chan *there[CHANNELS];
    struct co_chan *back;
};

static struct co_chan *make(size_t capacity)
{
    struct co_chan *chan = co_chan_new(sizeof(long), capacity);

    bench_must("co_chan_new", chan ? 0 : -ENOMEM);
    return chan;
}

static void send(struct co_chan *chan, long value)
{
    bench_must("co_chan_send", co_chan_send(chan, &value));
}

static void expect(struct co_chan *chan, long value)
{
    long got = -1;

    bench_must("co_chan_recv", co_chan_recv(chan, &got));
    bench_must("the value", got == value ? 0 : -EBADMSG);
}

static void answer(int index, void *arg)
{
    struct chans *c = arg;

    for (long i = 0; i < c->each; i++) {
        if (index == 1)
            send(c->there[0], i);
        expect(index == 1 ? c->back : c->there[0], i);
        if (index == 0)
            send(c->back, i);
    }
}

static void run_pingpong(long count)
{
    struct chans c = {.each = count, .there = {make(0)}, .back = make(0)};

    bench_together(2, answer, &c);
    co_chan_free(c.there[0]);
    co_chan_free(c.back);
}

static void stream(int index, void *arg)
{
    struct chans *c = arg;

    for (long i = 0; i < c->each; i++) {
        if (index == 0)
            send(c->there[0], i);
        else
            expect(c->there[0], i);
    }
}

static void run_buffered(long count)
{
    struct chans c = {.each = count, .there = {make(128)}};

    bench_together(2, stream, &c);
    co_chan_free(c.there[0]);
}

static void answer_one_of_four(int index, void *arg)
{
    struct chans *c = arg;
    struct co_case cases[CHANNELS];
    long got[CHANNELS];

    for (int i = 0; i < CHANNELS; i++)
        cases[i] = (struct co_case){.chan = c->there[i], .kind = CO_CASE_RECV, .value = &got[i]};
    for (long i = 0; i < c->each; i++) {
        int r;

        if (index == 0) {
            send(c->there[i % CHANNELS], i);
            expect(c->back, i);
            continue;
        }
        r = bench_must("co_select", co_select(cases, CHANNELS, 0));
        bench_must("the value", cases[r].result == 1 && got[r] == i ? 0 : -EBADMSG);
        send(c->back, i);
    }
}

static void run_select(long count)
{
    struct chans c = {.each = count, .back = make(0)};

    for (int i = 0; i < CHANNELS; i++)
        c.there[i] = make(0);
    bench_together(2, answer_one_of_four, &c);
    for (int i = 0; i < CHANNELS; i++)
        co_chan_free(c.there[i]);
    co_chan_free(c.back);
}

const struct bench_line bench_chan[] = {
    {"pingpong", run_pingpong},
    {"buffered", run_buffered},
    {"select", run_select},
    {NULL, NULL},
};
