/* SPDX-License-Identifier: MIT */
/*
 * tests/stress/stolen.h - one repetition of "stealing is real", for the test and the long program:
 * a worker makes 100 coroutines ready, then computes without a call that suspends; who ran where?
 */
#ifndef TESTS_STRESS_STOLEN_H
#define TESTS_STRESS_STOLEN_H

#include <co/park.h>
#include <co/stats.h>
#include <co/task.h>
#include <stdatomic.h>
#include <string.h>

enum { STOLEN_COUNT = 100 };

static struct {
    _Atomic int worker[STOLEN_COUNT];
    _Atomic int64_t at[STOLEN_COUNT];
    _Atomic int ran;
    co_ticket tickets[STOLEN_COUNT];
    _Atomic int parked;
} stolen;

/* What a repetition has shown. */
struct stolen_report {
    int ran;         /* by the end of the computing */
    int elsewhere;   /* of those, on another worker */
    int64_t slowest; /* ns until the last of them ran */
    int64_t by_stealing;
    int64_t steals;
    int64_t injected;
};

static inline int64_t stolen_stat(const char *name)
{
    for (int i = 0; i < co_stat_count(); i++) {
        if (strcmp(co_stat_name(i), name) == 0)
            return co_stat_total(i);
    }
    return -1;
}

static inline void stolen_mark(void *arg)
{
    int i = (int)(intptr_t)arg;

    atomic_store(&stolen.worker[i], co_worker());
    atomic_store(&stolen.at[i], co_now());
    atomic_fetch_add(&stolen.ran, 1);
}

static inline int stolen_publish(co_ticket self, void *arg)
{
    stolen.tickets[(intptr_t)arg] = self;
    atomic_fetch_add(&stolen.parked, 1);
    return 0;
}

static inline void stolen_sleeper(void *arg)
{
    if (co_park(stolen_publish, arg, 0) == 0)
        stolen_mark(arg);
}

/* Makes all ready: new ones, or such as are parked. */
static inline int stolen_make_ready(bool woken)
{
    for (intptr_t i = 0; i < STOLEN_COUNT; i++) {
        if (woken ? !co_unpark(stolen.tickets[i], 0) : co_go(stolen_mark, (void *)i) < 0)
            return -1;
    }
    return 0;
}

/*
 * One repetition, on two workers of which the other is asleep when it begins. Returns: 0, or -1 if
 * a coroutine could not be started or woken. All of them have ended then.
 */
static inline int stolen_repeat(bool woken, int64_t computing, struct stolen_report *ret_report)
{
    struct stolen_report report = {0};
    int me;
    int64_t begun, end;

    atomic_store(&stolen.ran, 0);
    atomic_store(&stolen.parked, 0);
    for (intptr_t i = 0; i < STOLEN_COUNT && woken; i++) {
        if (co_go(stolen_sleeper, (void *)i) < 0)
            return -1;
    }
    while (woken && atomic_load(&stolen.parked) < STOLEN_COUNT)
        (void)co_yield();
    (void)co_sleep(20 * CO_MS); /* the other one falls asleep */
    me = co_worker();
    report.by_stealing = -stolen_stat("stolen");
    report.steals = -stolen_stat("steals");
    report.injected = -stolen_stat("injected");
    begun = co_now();
    if (stolen_make_ready(woken) < 0)
        return -1;
    for (end = begun + computing; co_now() < end;)
        continue;
    report.ran = atomic_load(&stolen.ran);
    for (int i = 0; i < STOLEN_COUNT; i++) {
        int64_t at = atomic_load(&stolen.at[i]);

        report.elsewhere += at >= begun && atomic_load(&stolen.worker[i]) != me;
        if (at - begun > report.slowest)
            report.slowest = at - begun;
    }
    report.by_stealing += stolen_stat("stolen");
    report.steals += stolen_stat("steals");
    report.injected += stolen_stat("injected");
    while (atomic_load(&stolen.ran) < STOLEN_COUNT)
        (void)co_yield();
    *ret_report = report;
    return 0;
}

#endif
