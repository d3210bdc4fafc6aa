/* SPDX-License-Identifier: MIT */
/*
 * sched_run.c - lines about coroutines as such.
 *
 *   yield    two coroutines yield in turn; per yield
 *   yield64  64 coroutines do
 *   park     two coroutines wake each other by co_park and co_unpark; per round trip
 *   apart    the same, each of them pinned to a worker of its own
 *   spawn    start a coroutine that does nothing and wait for its end; per coroutine
 *   member   the same, in a group that is open all the while
 *   group    open a group, start ten members, close it when they have ended; per member
 *   skynet   a tree in which each node starts ten and sums up what they send; per leaf
 */
#include "sched.h"

#include <co/chan.h>
#include <co/group.h>
#include <co/wait_group.h>

struct turns {
    long each;
    struct bench_cell cells[2];
};

static void yield_many(int index, void *arg)
{
    const struct turns *turns = arg;

    (void)index;
    for (long i = turns->each; i > 0; i--)
        (void)co_yield();
}

static void run_yield(long count)
{
    struct turns turns = {.each = count / 2};

    bench_together(2, yield_many, &turns);
}

static void run_yield64(long count)
{
    struct turns turns = {.each = count / 64};

    bench_together(64, yield_many, &turns);
}

static void wake_in_turn(int index, void *arg)
{
    struct turns *turns = arg;

    if (index == 1)
        bench_begin();
    for (long i = turns->each; i > 0; i--) {
        if (index == 1)
            bench_give(&turns->cells[0]);
        bench_take(&turns->cells[index]);
        if (index == 0)
            bench_give(&turns->cells[1]);
    }
}

static void run_park(long count)
{
    struct turns turns = {.each = count};

    bench_together(2, wake_in_turn, &turns);
}

static void run_apart(long count)
{
    struct turns turns = {.each = count};

    bench_apart(wake_in_turn, &turns);
}

/* ---- starting ---- */

static void be_done(void *arg)
{
    co_wait_group_add(arg, -1);
}

static void run_spawn(long count)
{
    struct co_wait_group left = {0};

    for (long i = 0; i < count; i++) {
        co_wait_group_add(&left, 1);
        bench_go(be_done, &left);
        bench_must("co_wait_group_wait", co_wait_group_wait(&left));
    }
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void run_member(long count)
{
    CO_GROUP(group);

    for (long i = 0; i < count; i++) {
        bench_must("co_group_go", co_group_go(&group, do_nothing, NULL));
        bench_must("co_group_wait", co_group_wait(&group));
    }
}

static void run_group(long count)
{
    for (long i = 0; i < count / 10; i++) {
        CO_GROUP(group);

        for (int j = 0; j < 10; j++)
            bench_must("co_group_go", co_group_go(&group, do_nothing, NULL));
        bench_must("co_group_wait", co_group_wait(&group));
    }
}

struct node {
    struct co_chan *parent;
    long first;
    long size;
};

static void skynet(void *arg)
{
    const struct node *node = arg;
    struct co_chan *sums;
    long sum = 0;

    if (node->size == 1) {
        bench_must("co_chan_send", co_chan_send(node->parent, &node->first));
        return;
    }
    sums = co_chan_new(sizeof sum, 10);
    if (!sums)
        bench_must("co_chan_new", -ENOMEM);
    for (long i = 0; i < 10; i++) {
        struct node child = {sums, node->first + i * node->size / 10, node->size / 10};

        bench_must("co_go_copy", co_go_copy(skynet, &child, sizeof child));
    }
    for (int i = 0; i < 10; i++) {
        long one;

        bench_must("co_chan_recv", co_chan_recv(sums, &one));
        sum += one;
    }
    co_chan_free(sums);
    bench_must("co_chan_send", co_chan_send(node->parent, &sum));
}

static void run_skynet(long count)
{
    struct co_chan *top = co_chan_new(sizeof(long), 1);
    struct node root = {top, 0, count};
    long sum;

    bench_must("co_chan_new", top ? 0 : -ENOMEM);
    bench_must("co_go_copy", co_go_copy(skynet, &root, sizeof root));
    bench_must("co_chan_recv", co_chan_recv(top, &sum));
    bench_must("the sum", sum == count * (count - 1) / 2 ? 0 : -EBADMSG);
    co_chan_free(top);
}

const struct bench_line bench_run[] = {
    {"yield", run_yield}, {"yield64", run_yield64}, {"park", run_park},
    {"apart", run_apart}, {"spawn", run_spawn},     {"member", run_member},
    {"group", run_group}, {"skynet", run_skynet},   {NULL, NULL},
};
