/* SPDX-License-Identifier: MIT */
/*
 * sched_sync.c - lines about the primitives. Those about mutex and rwlock use CO_LOCK,
 * CO_READ_LOCK and CO_WRITE_LOCK, which nothing interrupts, as the peers' locks are.
 *
 *   mutex      lock and unlock, nobody else there
 *   mutexwait  eight coroutines, who has the mutex yields before it unlocks: everybody waits
 *   mutexrun   eight coroutines, who has the mutex adds one to a number; per lock and unlock
 *   read       lock for reading and unlock, nobody else there
 *   write      lock for writing and unlock, nobody else there
 *   rwrun      eight coroutines, each sixteenth lock is a writer's; per lock and unlock
 *   sem        take and give a permit, nobody else there
 *   semwait    two coroutines give each other permits in turn; per round trip
 *   cond       two coroutines, one number, a condition each way; per round trip
 *   event      two coroutines set each other's event in turn; per round trip
 *   waitgroup  add one and take it away, nobody waiting
 *   once       what is done already
 *   barrier    four coroutines meet; per meeting
 */
#include "sched.h"

#include <co/barrier.h>
#include <co/cond.h>
#include <co/event.h>
#include <co/once.h>
#include <co/rwlock.h>
#include <co/sem.h>
#include <co/wait_group.h>

enum { CREW = 8, PARTIES = 4 };

struct shared {
    long each;
    bool yields;
    struct co_mutex mutex;
    struct co_rwlock lock;
    struct co_sem sems[2];
    struct co_cond conds[2];
    struct co_event events[2];
    struct co_barrier barrier;
    long number;
};

static void run_mutex(long count)
{
    struct co_mutex mutex = {0};

    for (long i = 0; i < count; i++) {
        CO_LOCK(&mutex);
    }
}

static void lock_many(int index, void *arg)
{
    struct shared *shared = arg;

    (void)index;
    for (long i = 0; i < shared->each; i++) {
        CO_LOCK(&shared->mutex);
        shared->number++;
        if (shared->yields)
            (void)co_yield();
    }
}

static void run_mutexwait(long count)
{
    struct shared shared = {.each = count / CREW, .yields = true};

    bench_together(CREW, lock_many, &shared);
    bench_must("the number", shared.number == count / CREW * CREW ? 0 : -EBADMSG);
}

static void run_mutexrun(long count)
{
    struct shared shared = {.each = count / CREW};

    bench_together(CREW, lock_many, &shared);
    bench_must("the number", shared.number == count / CREW * CREW ? 0 : -EBADMSG);
}

static void run_read(long count)
{
    struct co_rwlock lock = {0};

    for (long i = 0; i < count; i++) {
        CO_READ_LOCK(&lock);
    }
}

static void run_write(long count)
{
    struct co_rwlock lock = {0};

    for (long i = 0; i < count; i++) {
        CO_WRITE_LOCK(&lock);
    }
}

static void read_and_write(int index, void *arg)
{
    struct shared *shared = arg;
    volatile long seen;

    (void)index;
    for (long i = 0; i < shared->each; i++) {
        if (i % 16 == 0) {
            CO_WRITE_LOCK(&shared->lock);
            shared->number++;
        } else {
            CO_READ_LOCK(&shared->lock);
            seen = shared->number;
            (void)seen;
        }
    }
}

static void run_rwrun(long count)
{
    struct shared shared = {.each = count / CREW};

    bench_together(CREW, read_and_write, &shared);
}

static void run_sem(long count)
{
    struct co_sem sem;

    co_sem_init(&sem, 1);
    for (long i = 0; i < count; i++) {
        bench_must("co_sem_take", co_sem_take(&sem));
        co_sem_give(&sem, 1);
    }
}

static void give_in_turn(int index, void *arg)
{
    struct shared *shared = arg;

    for (long i = 0; i < shared->each; i++) {
        if (index == 1)
            co_sem_give(&shared->sems[0], 1);
        bench_must("co_sem_take", co_sem_take(&shared->sems[index]));
        if (index == 0)
            co_sem_give(&shared->sems[1], 1);
    }
}

static void run_semwait(long count)
{
    struct shared shared = {.each = count};

    bench_together(2, give_in_turn, &shared);
}

static void signal_in_turn(int index, void *arg)
{
    struct shared *shared = arg;

    bench_must("co_mutex_lock", co_mutex_lock(&shared->mutex));
    for (long i = 0; i < shared->each; i++) {
        while (shared->number % 2 != index)
            bench_must("co_cond_wait", co_cond_wait(&shared->conds[index], &shared->mutex));
        shared->number++;
        co_cond_signal(&shared->conds[1 - index]);
    }
    co_mutex_unlock(&shared->mutex);
}

static void run_cond(long count)
{
    struct shared shared = {.each = count};

    bench_together(2, signal_in_turn, &shared);
}

static void set_in_turn(int index, void *arg)
{
    struct shared *shared = arg;

    for (long i = 0; i < shared->each; i++) {
        if (index == 1)
            co_event_set(&shared->events[0]);
        bench_must("co_event_wait", co_event_wait(&shared->events[index]));
        co_event_clear(&shared->events[index]);
        if (index == 0)
            co_event_set(&shared->events[1]);
    }
}

static void run_event(long count)
{
    struct shared shared = {.each = count};

    bench_together(2, set_in_turn, &shared);
}

static void run_waitgroup(long count)
{
    struct co_wait_group group = {0};

    for (long i = 0; i < count; i++) {
        co_wait_group_add(&group, 1);
        co_wait_group_add(&group, -1);
    }
    bench_must("co_wait_group_wait", co_wait_group_wait(&group));
}

static int do_once(void *arg)
{
    ++*(long *)arg;
    return 0;
}

static void run_once(long count)
{
    struct co_once once = {0};
    long done = 0;

    for (long i = 0; i < count; i++)
        bench_must("co_once_do", co_once_do(&once, do_once, &done));
    bench_must("once", done == 1 ? 0 : -EBADMSG);
}

static void meet(int index, void *arg)
{
    struct shared *shared = arg;

    (void)index;
    for (long i = 0; i < shared->each; i++)
        bench_must("co_barrier_wait", co_barrier_wait(&shared->barrier));
}

static void run_barrier(long count)
{
    struct shared shared = {.each = count};

    bench_must("co_barrier_init", co_barrier_init(&shared.barrier, PARTIES));
    bench_together(PARTIES, meet, &shared);
}

const struct bench_line bench_sync[] = {
    {"mutex", run_mutex},
    {"mutexwait", run_mutexwait},
    {"mutexrun", run_mutexrun},
    {"read", run_read},
    {"write", run_write},
    {"rwrun", run_rwrun},
    {"sem", run_sem},
    {"semwait", run_semwait},
    {"cond", run_cond},
    {"event", run_event},
    {"waitgroup", run_waitgroup},
    {"once", run_once},
    {"barrier", run_barrier},
    {NULL, NULL},
};
