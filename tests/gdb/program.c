/* SPDX-License-Identifier: MIT */
/*
 * program.c - for tests/gdb/run.py: dies with coroutines in several states: two that hold a mutex
 * and want the other's, several in a channel, one that runs.
 */
#include "support/crosswise.h"
#include <co/chan.h>
#include <co/conf.h>
#include <co/inspect.h>
#include <co/task.h>
#include <stdlib.h>

enum { READERS = 3 };

static struct co_chan *chan;

static __attribute__((noinline)) int read_deep(int depth)
{
    int value = depth;
    int r = depth > 0 ? read_deep(depth - 1) : co_chan_recv(chan, &value);

    __asm__ volatile("" : "+r"(r)); /* a frame for each call */
    return r;
}

static void reader(void *arg)
{
    (void)arg;
    (void)read_deep(3);
}

static int count_parked(const struct co_info *info, void *arg)
{
    *(int *)arg += info->state == CO_STATE_PARKED;
    return 0;
}

static int die(void *arg)
{
    static const struct co_opts one = {.name = "one"}, two = {.name = "two"};
    int parked = 0;

    (void)arg;
    chan = co_chan_new(sizeof(int), 0);
    if (!chan || co_go_with(&one, left_first, NULL) < 0 || co_go_with(&two, right_first, NULL) < 0)
        return -ENOMEM;
    for (int i = 0; i < READERS; i++) {
        if (co_go(reader, NULL) < 0)
            return -ENOMEM;
    }
    while (parked < READERS + 2) {
        (void)co_yield();
        parked = 0;
        (void)co_inspect(count_parked, &parked);
    }
    abort();
}

int main(void)
{
    struct co_conf conf;

    co_conf_init(&conf);
    conf.threads = 1;
    return co_run_with(&conf, die, NULL) < 0;
}
