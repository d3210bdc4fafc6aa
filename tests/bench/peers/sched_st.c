/* SPDX-License-Identifier: MIT */
/*
 * sched_st measures State Threads as ../sched.c measures Corvid; the lines have the same names and
 * do the same. It has one thread, threads of its own kind, conditions and mutexes: lines that need
 * more are missing. skynet of a million is missing too: all its threads would be alive at once,
 * each with a stack mapped.
 *
 * usage: sched_st LINE COUNT
 */
#include <st.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CREW = 8, SLEEPERS = 100000, STACK = 65536 };

struct moment {
    int64_t now;
    int64_t cpu;
};

static struct moment begun, ended;

static struct moment moment(void)
{
    struct timespec now, cpu;

    clock_gettime(CLOCK_MONOTONIC, &now);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct moment){now.tv_sec * INT64_C(1000000000) + now.tv_nsec,
                           cpu.tv_sec * INT64_C(1000000000) + cpu.tv_nsec};
}

struct shared {
    long each;
    int yields;
    int given[2];
    st_cond_t conds[2];
    st_mutex_t mutex;
    st_utime_t timeout;
};

struct one {
    int index;
    struct shared *shared;
};

static st_thread_t start(void *(*fn)(void *), void *arg)
{
    st_thread_t thread = st_thread_create(fn, arg, 1, STACK);

    if (!thread) {
        perror("st_thread_create");
        exit(1);
    }
    return thread;
}

static void together(int n, void *(*fn)(void *), struct shared *shared)
{
    struct one ones[CREW];
    st_thread_t threads[CREW];

    for (int i = 0; i < n; i++) {
        ones[i] = (struct one){i, shared};
        threads[i] = start(fn, &ones[i]);
    }
    for (int i = 0; i < n; i++)
        st_thread_join(threads[i], NULL);
}

/* State Threads has no yield: a sleep of no time is its way. */
static void *yield_many(void *arg)
{
    struct one *one = arg;

    for (long i = one->shared->each; i > 0; i--)
        st_usleep(0);
    return NULL;
}

static void run_yield(long count)
{
    struct shared shared = {.each = count / 2};

    together(2, yield_many, &shared);
}

static void give(struct shared *shared, int index)
{
    shared->given[index] = 1;
    st_cond_signal(shared->conds[index]);
}

static void take(struct shared *shared, int index)
{
    while (!shared->given[index]) {
        if (st_cond_timedwait(shared->conds[index], shared->timeout) < 0)
            exit(1);
    }
    shared->given[index] = 0;
}

static void *wake_in_turn(void *arg)
{
    struct one *one = arg;

    for (long i = one->shared->each; i > 0; i--) {
        if (one->index == 1)
            give(one->shared, 0);
        take(one->shared, one->index);
        if (one->index == 0)
            give(one->shared, 1);
    }
    return NULL;
}

static void play(long count, st_utime_t timeout)
{
    struct shared shared = {.each = count, .timeout = timeout};

    shared.conds[0] = st_cond_new();
    shared.conds[1] = st_cond_new();
    together(2, wake_in_turn, &shared);
    st_cond_destroy(shared.conds[0]);
    st_cond_destroy(shared.conds[1]);
}

static void run_park(long count)
{
    play(count, ST_UTIME_NO_TIMEOUT);
}

static void *do_nothing(void *arg)
{
    return arg;
}

static void run_spawn(long count)
{
    for (long i = 0; i < count; i++)
        st_thread_join(start(do_nothing, NULL), NULL);
}

static void run_group(long count)
{
    st_thread_t members[10];

    for (long i = 0; i < count / 10; i++) {
        for (int j = 0; j < 10; j++)
            members[j] = start(do_nothing, NULL);
        for (int j = 0; j < 10; j++)
            st_thread_join(members[j], NULL);
    }
}

static void run_mutex(long count)
{
    st_mutex_t mutex = st_mutex_new();

    for (long i = 0; i < count; i++) {
        st_mutex_lock(mutex);
        st_mutex_unlock(mutex);
    }
    st_mutex_destroy(mutex);
}

static void *lock_many(void *arg)
{
    struct one *one = arg;

    for (long i = one->shared->each; i > 0; i--) {
        st_mutex_lock(one->shared->mutex);
        st_usleep(0);
        st_mutex_unlock(one->shared->mutex);
    }
    return NULL;
}

static void run_mutexwait(long count)
{
    struct shared shared = {.each = count / CREW, .mutex = st_mutex_new()};

    together(CREW, lock_many, &shared);
    st_mutex_destroy(shared.mutex);
}

static void *sleep_long(void *arg)
{
    st_sleep(3600);
    return arg;
}

/* The time-outs are of the wait itself: there are no channels. */
static void run_timer(long count)
{
    st_thread_t *all = calloc(SLEEPERS, sizeof(st_thread_t));

    for (int i = 0; all && i < SLEEPERS; i++)
        all[i] = start(sleep_long, NULL);
    st_usleep(20000); /* they go to sleep first */
    begun = moment();
    play(count, 30000000);
    ended = moment();
    for (int i = 0; all && i < SLEEPERS; i++) {
        st_thread_interrupt(all[i]);
        st_thread_join(all[i], NULL);
    }
    free(all);
}

static const struct {
    const char *name;
    void (*fn)(long count);
} lines[] = {
    {"yield", run_yield},  {"park", run_park},   {"spawn", run_spawn},
    {"member", run_spawn}, {"group", run_group}, {"mutex", run_mutex},
    {"cond", run_park},    {"timer", run_timer}, {"mutexwait", run_mutexwait},
};

int main(int argc, char **argv)
{
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    size_t i = 0;

    while (argc == 3 && i < sizeof lines / sizeof *lines && strcmp(lines[i].name, argv[1]) != 0)
        i++;
    if (count < 1 || i == sizeof lines / sizeof *lines) {
        fprintf(stderr, "usage: sched_st LINE COUNT\n");
        return 2;
    }
    if (st_set_eventsys(ST_EVENTSYS_ALT) < 0 || st_init() < 0) {
        perror("st_init");
        return 1;
    }
    if (count >= 10)
        lines[i].fn(count / 10);
    ended = (struct moment){0, 0};
    begun = moment();
    lines[i].fn(count);
    if (ended.now == 0)
        ended = moment();
    printf("ns %.1f\n", (double)(ended.now - begun.now) / (double)count);
    printf("cpu_ns %.1f\n", (double)(ended.cpu - begun.cpu) / (double)count);
    return 0;
}
