/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/sync_help.h - what the tests of the primitives share: who sleeps, in which order
 * they come back, who interrupts.
 */
#ifndef TESTS_RUNTIME_SYNC_HELP_H
#define TESTS_RUNTIME_SYNC_HELP_H

#include "support/run.h"
#include <co/group.h>
#include <pthread.h>

enum { CROWD = 8, WORKERS = 4 };

/* How many have gone to sleep so far; whoever counts only yields meanwhile. */
static inline int64_t parked(void)
{
    return stat_of("parked");
}

static inline void until_parked(int64_t count)
{
    while (parked() < count)
        (void)co_yield();
}

/* Starts a member and lets it run until it sleeps. */
static inline void start_asleep(struct co_group *group, co_member_fn *fn, void *arg)
{
    int64_t before = parked();

    CHECK(co_group_go(group, fn, arg) == 0);
    until_parked(before + 1);
}

/* The order in which the first numbers were noted. */
static int noted[CROWD];
static _Atomic int noted_count;

static inline void note(int number)
{
    int place = atomic_fetch_add(&noted_count, 1);

    if (place < CROWD) /* each place is written by one */
        noted[place] = number;
}

static inline bool noted_in_order(int count)
{
    bool in_order = atomic_load(&noted_count) == count;

    for (int i = 0; i < count; i++)
        in_order = in_order && noted[i] == i;
    return in_order;
}

static inline int number_of(void *arg)
{
    return (int)(intptr_t)arg;
}

static inline void *numbered(int number)
{
    return (void *)(intptr_t)number;
}

/* Notes the member's number if what it has waited for has come. Returns: what a member returns. */
static inline int note_if_won(int r, void *arg)
{
    if (r >= 0)
        note(number_of(arg));
    return r < 0 ? r : 0;
}

/* Runs fn(arg) in so many members at once; all of them have to succeed. */
static inline void together(int count, co_member_fn *fn, void *arg)
{
    CO_GROUP(group);

    for (int i = 0; i < count; i++)
        CHECK(co_group_go(&group, fn, arg) == 0);
    CHECK(co_group_wait(&group) == 0);
}

/* A crowd runs fn(arg); in every third round it is cancelled in the midst of that. */
static inline void crowd_round(int round, co_member_fn *fn, void *arg)
{
    CO_GROUP(group);

    for (int i = 0; i < CROWD; i++)
        CHECK(co_group_go(&group, fn, arg) == 0);
    for (int i = 0; i < round % 7; i++)
        (void)co_yield();
    if (round % 3 == 0)
        co_group_cancel(&group);
    CHECK(co_group_wait(&group) == 0);
}

/* Runs fn on a plain thread to its end, while the coroutine lets others run. */
struct outsider {
    void (*fn)(void *arg);
    void *arg;
    _Atomic int done;
};

static inline void *outsider_main(void *arg)
{
    struct outsider *outsider = arg;

    outsider->fn(outsider->arg);
    atomic_store(&outsider->done, 1);
    return NULL;
}

static inline void on_plain_thread(void (*fn)(void *arg), void *arg)
{
    struct outsider outsider = {.fn = fn, .arg = arg};
    pthread_t thread;

    if (pthread_create(&thread, NULL, outsider_main, &outsider) != 0) {
        CHECK(false && "a thread");
        return;
    }
    until(&outsider.done, 1);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* wake(obj), on a plain thread, lets a member go on that sleeps in sleep, and then notes 0. */
static inline void woken_from_outside(co_member_fn *sleep, void (*wake)(void *arg), void *obj)
{
    CO_GROUP(group);

    start_asleep(&group, sleep, numbered(0));
    on_plain_thread(wake, obj);
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(1));
}

#endif
