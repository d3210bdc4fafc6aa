/* SPDX-License-Identifier: MIT */
/*
 * stealing - computing, and nothing else, on two workers: does stealing pay, and does it cost?
 *
 *   calibrate  UNITS units on one thread, then as many shared by two: what the machine can do
 *              at all. Prints "one" and "two", in seconds.
 *   balanced   each of the two workers has LONG coroutines, which yield after every unit.
 *   long       as many in all, but every one of them started on one worker.
 *   short      UNITS coroutines of a unit each, started on one worker.
 *
 * The latter three run UNITS units as well, and print "seconds", "steals" and "stolen". A unit is a
 * chain of multiplications of some 50 us that touches no memory.
 *
 * usage: stealing calibrate UNITS
 *        stealing balanced|long|short UNITS on|off
 */
#include <co/conf.h>
#include <co/stats.h>
#include <co/task.h>
#include <co/wait_group.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 40000, LONG = 64 };

static _Noreturn void die(const char *what, int err)
{
    fprintf(stderr, "stealing: %s: %s\n", what, co_strerror(err));
    exit(1);
}

static volatile uint32_t sink; /* so that the work is not left out */

static void unit(void)
{
    uint32_t x = 1;

    for (int i = 0; i < STEPS; i++)
        x = x * 1664525 + (x >> 16);
    sink = x;
}

/* ---- what the machine can do ---- */

static void *compute(void *arg)
{
    for (long i = *(const long *)arg; i > 0; i--)
        unit();
    return NULL;
}

static double seconds_since(int64_t begun)
{
    return (double)(co_now() - begun) / 1e9;
}

static void calibrate(long units)
{
    long half = units / 2;
    pthread_t other;
    int64_t begun = co_now();

    (void)compute(&units);
    printf("one %.6f\n", seconds_since(begun));
    begun = co_now();
    if (pthread_create(&other, NULL, compute, &half) != 0)
        die("pthread_create", -EAGAIN);
    (void)compute(&half);
    (void)pthread_join(other, NULL);
    printf("two %.6f\n", seconds_since(begun));
}

/* ---- what the runtime makes of it ---- */

static struct {
    const char *what;
    long units;
    struct co_wait_group all;
    _Atomic int arrived; /* parents of the balanced load, each on a worker of its own */
    int64_t begun;
} load;

static void start(co_fn *fn, void *arg)
{
    int r = co_go(fn, arg);

    if (r < 0)
        die("co_go", r);
}

static void live_long(void *arg)
{
    for (long i = (long)(intptr_t)arg; i > 0; i--) {
        unit();
        (void)co_yield();
    }
    (void)co_wait_group_add(&load.all, -1);
}

static void live_short(void *arg)
{
    (void)arg;
    unit();
    (void)co_wait_group_add(&load.all, -1);
}

static void bear_long(int count)
{
    for (int i = 0; i < count; i++)
        start(live_long, (void *)(intptr_t)(load.units / (2 * LONG)));
}

/* Keeps its worker until the other has come, on the other worker; then both begin. */
static void be_parent(void *arg)
{
    (void)arg;
    /* seq_cst, both: a meeting of two, once. */
    if (atomic_fetch_add(&load.arrived, 1) == 1)
        load.begun = co_now();
    while (atomic_load(&load.arrived) < 2)
        continue;
    bear_long(LONG);
    (void)co_wait_group_add(&load.all, -1);
}

/* From a thread that is no worker: what it starts is taken by whoever is free. */
static void *start_parents(void *arg)
{
    (void)arg;
    start(be_parent, NULL);
    while (atomic_load(&load.arrived) < 1) /* seq_cst: as above */
        continue;
    start(be_parent, NULL);
    return NULL;
}

static void bear_balanced(void)
{
    pthread_t starter;

    (void)co_wait_group_add(&load.all, 2 + 2 * LONG);
    if (pthread_create(&starter, NULL, start_parents, NULL) != 0)
        die("pthread_create", -EAGAIN);
    (void)pthread_detach(starter);
}

static int run(void *arg)
{
    int r;

    (void)arg;
    load.begun = co_now();
    if (strcmp(load.what, "balanced") == 0) {
        bear_balanced();
    } else if (strcmp(load.what, "long") == 0) {
        (void)co_wait_group_add(&load.all, 2 * LONG);
        bear_long(2 * LONG);
    } else {
        (void)co_wait_group_add(&load.all, load.units);
        for (long i = 0; i < load.units; i++)
            start(live_short, NULL);
    }
    r = co_wait_group_wait(&load.all);
    if (r < 0)
        die("co_wait_group_wait", r);
    printf("seconds %.6f\n", seconds_since(load.begun));
    return 0;
}

static long stat_of(const char *name)
{
    for (int i = 0; i < co_stat_count(); i++) {
        if (strcmp(co_stat_name(i), name) == 0)
            return (long)co_stat_total(i);
    }
    die(name, -ENOENT);
}

static int usage(void)
{
    fprintf(stderr, "usage: stealing calibrate UNITS\n"
                    "       stealing balanced|long|short UNITS on|off\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct co_conf conf;
    int r;

    if (argc < 3)
        return usage();
    load.what = argv[1];
    load.units = strtol(argv[2], NULL, 10);
    load.units -= load.units % (2L * LONG);
    if (argc == 3 && strcmp(load.what, "calibrate") == 0) {
        calibrate(load.units);
        return 0;
    }
    if (argc != 4)
        return usage();
    co_conf_init(&conf);
    conf.threads = 2;
    conf.stealing = strcmp(argv[3], "on") == 0;
    conf.stall_report = 0;
    r = co_run_with(&conf, run, NULL);
    if (r < 0)
        die("co_run_with", r);
    printf("steals %ld\nstolen %ld\n", stat_of("steals"), stat_of("stolen"));
    return 0;
}
