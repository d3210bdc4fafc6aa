/* SPDX-License-Identifier: MIT */
/*
 * tests/support/run.h - what tests that run in coroutines share: a runtime to run in, checks that
 * work on any stack and thread, time, counters.
 */
#ifndef TESTS_SUPPORT_RUN_H
#define TESTS_SUPPORT_RUN_H

#include "support/test.h"
#include <co/conf.h>
#include <co/scope.h>
#include <co/stats.h>
#include <co/task.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The first check that failed: Criterion's own assertions would jump off the coroutine's stack. */
static _Atomic(const char *) failed_check;

#define CHECK_TEXT_(line, text) #line ": " text
#define CHECK_TEXT(line, text)  CHECK_TEXT_(line, text)
#define CHECK(holds)                                                            \
    do {                                                                        \
        const char *none_ = NULL;                                               \
        if (!(holds))                                                           \
            (void)atomic_compare_exchange_strong(&failed_check, &none_,         \
                                                 CHECK_TEXT(__LINE__, #holds)); \
    } while (0)

static inline void no_check_failed(void)
{
    const char *failed = atomic_load(&failed_check);

    cr_assert(!failed, "in line %s", failed ? failed : "");
}

/* Settings for a test: as many workers, no handlers, no report of long turns, no long good-byes. */
static inline struct co_conf settings(int threads)
{
    struct co_conf conf;

    co_conf_init(&conf);
    conf.threads = threads;
    conf.signals = 0;
    conf.stall_report = 0;
    return conf;
}

/* Runs fn(arg) with settings; fails the test if a check has failed. Returns: what co_run does. */
static inline int run_conf(const struct co_conf *conf, co_main_fn *fn, void *arg)
{
    int r = co_run_with(conf, fn, arg);

    no_check_failed();
    return r;
}

/* Runs fn(arg), which returns 0, as the first coroutine on so many workers. */
static inline void run_on(int threads, co_main_fn *fn, void *arg)
{
    struct co_conf conf = settings(threads);
    int r = run_conf(&conf, fn, arg);

    cr_assert_eq(r, 0, "co_run returned %d", r);
}

/*
 * Runs fn, which stops the runtime before it returns: with so long a time until all are cancelled.
 * Returns: what co_run does.
 */
static inline int run_and_stop(int threads, int64_t grace, co_main_fn *fn)
{
    struct co_conf conf = settings(threads);

    conf.grace = grace;
    return run_conf(&conf, fn, NULL);
}

/* Starts fn(arg), which must work. */
static inline void start(co_fn *fn, void *arg)
{
    CHECK(co_go(fn, arg) == 0);
}

/* Lets others run until the counter has the value. The test's time-out bounds it. */
static inline void until(const _Atomic int *counter, int value)
{
    while (atomic_load(counter) < value)
        (void)co_yield();
}

/* Computes, without a call that could suspend. */
static inline void compute(int64_t ns)
{
    int64_t end = co_now() + ns;

    while (co_now() < end)
        continue;
}

/* The sum of one of the runtime's statistics. */
static inline int64_t stat_of(const char *name)
{
    for (int i = 0; i < co_stat_count(); i++) {
        if (strcmp(co_stat_name(i), name) == 0)
            return co_stat_total(i);
    }
    CHECK(false && "a statistic of that name");
    return 0;
}

/*
 * Computes until the turn has been reported, and on for as long as that may take. Returns: whether
 * it was: a thread that gets little of a busy machine does not count as one that computes.
 */
static inline bool compute_until_reported(void)
{
    int64_t end = co_now() + 20 * CO_SEC;

    while (stat_of("stalls") == 0 && co_now() < end)
        continue;
    compute(100 * CO_MS);
    return stat_of("stalls") > 0;
}

/* Fault points are at work: coroutines move and yield at random. */
static inline bool chaotic(void)
{
#ifdef CO_CHAOS_BUILD
    const char *seed = getenv("CO_CHAOS");

    return seed && *seed;
#else
    return false;
#endif
}

/* Divides the work of long tests where code is slow, and where somebody asked for a short run. */
static inline int fewer(int n)
{
    int divisor = 1;

#if defined(CO_TEST_VALGRIND)
    divisor = 40;
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(CO_TEST_TSAN)
    divisor = 10;
#endif
    if (getenv("CORVID_SHORT"))
        divisor *= 4;
    return n > divisor ? n / divisor : 1;
}

/* How many descriptors this process has, less the one that counts. */
static inline int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = -1;

    while (dir && readdir(dir))
        count++;
    if (dir)
        (void)closedir(dir);
    return count;
}

#endif
