/* SPDX-License-Identifier: MIT */
/*
 * tests/connpool/world.h - what tests of pools share: a runtime to run in, checks that work in
 * coroutines, and a backend without sockets whose connections fail when told to.
 */
#ifndef TESTS_CONNPOOL_WORLD_H
#define TESTS_CONNPOOL_WORLD_H

#include "support/test.h"
#include <co/conf.h>
#include <co/park.h>
#include <co/pool.h>
#include <co/scope.h>
#include <co/task.h>
#include <dirent.h>
#include <pthread.h>

/*
 * The line of the first check that failed in a coroutine. Criterion's own jump off the coroutine's
 * stack.
 */
static int failed_line;

#define CHECK(holds)                                                                 \
    do {                                                                             \
        int none_ = 0;                                                               \
        if (!(holds)) /* relaxed: read after co_run has ended */                     \
            (void)__atomic_compare_exchange_n(&failed_line, &none_, __LINE__, false, \
                                              __ATOMIC_RELAXED, __ATOMIC_RELAXED);   \
    } while (0)

/* Runs fn as the first coroutine on this many workers; fails the test if a check failed in any. */
static inline void run_on(int threads, co_main_fn *fn, void *arg)
{
    struct co_conf conf;
    int r;

    co_conf_init(&conf);
    conf.threads = threads;
    conf.signals = 0;
    r = co_run_with(&conf, fn, arg);
    cr_assert_eq(r, 0, "co_run returned %d", r);
    cr_assert_eq(failed_line, 0, "the check in line %d failed", failed_line);
}

static inline int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Descriptors that this process has open. libuv keeps a pipe once a loop has run, so one has to. */
static inline int descriptors(void)
{
    DIR *dir;
    int n = 0;

    run_on(1, nothing, NULL);
    dir = opendir("/proc/self/fd");
    cr_assert_not_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* Starts fn(arg), which must work. */
static inline void start(co_fn *fn, void *arg)
{
    CHECK(co_go(fn, arg) == 0);
}

/* Counts down to zero; one coroutine may wait for that. */
struct countdown {
    pthread_mutex_t lock;
    int left;
    co_ticket waiter;
};

#define COUNTDOWN(count)                                   \
    {                                                      \
        .lock = PTHREAD_MUTEX_INITIALIZER, .left = (count) \
    }

static inline void countdown_step(struct countdown *countdown)
{
    co_ticket waiter = 0;

    pthread_mutex_lock(&countdown->lock);
    if (--countdown->left == 0)
        waiter = countdown->waiter;
    pthread_mutex_unlock(&countdown->lock);
    if (waiter != 0)
        (void)co_unpark(waiter, 0);
}

static inline int countdown_commit(co_ticket self, void *arg)
{
    struct countdown *countdown = arg;
    int done;

    pthread_mutex_lock(&countdown->lock);
    countdown->waiter = self;
    done = countdown->left <= 0;
    pthread_mutex_unlock(&countdown->lock);
    return done;
}

static inline void countdown_wait(struct countdown *countdown)
{
    CHECK(co_park(countdown_commit, countdown, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE) >= 0);
}

/* The backend without sockets. All fields are counted atomically. */
struct fake {
    int opened;   /* connections made so far */
    int live;     /* open now */
    int peak;     /* the most that were open at once */
    int refuse;   /* so many opens fail from now on */
    int sick;     /* so many checks fail from now on */
    int fail_one; /* every n-th open fails; 0: none */
    int sicken;   /* every n-th check fails; 0: none */
    int checks;
    int opening;    /* opens that have begun */
    int hold_open;  /* opens yield while this is set */
    int hold_check; /* checks wait while this is set */
};

struct fake_conn {
    int number; /* from 1 */
    int users;
};

/* seq_cst throughout: plain counters, read by the tests from other coroutines. */
static inline int add(int *counter, int n)
{
    return __atomic_add_fetch(counter, n, __ATOMIC_SEQ_CST); /* seq_cst: see above */
}

static inline int get(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST); /* seq_cst: see above */
}

static inline void set(int *counter, int n)
{
    __atomic_store_n(counter, n, __ATOMIC_SEQ_CST); /* seq_cst: see above */
}

/* Takes one from a counter that is above zero. */
static inline bool take_one(int *counter)
{
    int n = get(counter);

    while (n > 0) {
        /* seq_cst: see above */
        if (__atomic_compare_exchange_n(counter, &n, n - 1, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) /* seq_cst: see above */
            return true;
    }
    return false;
}

static inline int fake_open(void *ctx, void **ret_conn)
{
    struct fake *fake = ctx;
    struct fake_conn *conn;
    int nth = add(&fake->opening, 1);

    while (get(&fake->hold_open) != 0) {
        int r = co_yield();
        if (r < 0)
            return r;
    }
    if (take_one(&fake->refuse) || (fake->fail_one > 0 && nth % fake->fail_one == 0))
        return -ECONNREFUSED;
    conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return -ENOMEM;
    conn->number = add(&fake->opened, 1);
    int live = add(&fake->live, 1);
    int peak = get(&fake->peak);
    while (live > peak) {
        /* seq_cst: see above */
        if (__atomic_compare_exchange_n(&fake->peak, &peak, live, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) /* seq_cst: see above */
            break;
    }
    *ret_conn = conn;
    return 0;
}

static inline int fake_check(void *ctx, void *arg)
{
    struct fake *fake = ctx;
    struct fake_conn *conn = arg;
    int nth = add(&fake->checks, 1);

    CHECK(get(&conn->users) == 0);
    while (get(&fake->hold_check) != 0) {
        int r = co_sleep(CO_MS);
        if (r < 0)
            return r;
    }
    return take_one(&fake->sick) || (fake->sicken > 0 && nth % fake->sicken == 0) ? -EPIPE : 0;
}

static inline void fake_close(void *ctx, void *arg)
{
    struct fake *fake = ctx;
    struct fake_conn *conn = arg;

    CHECK(get(&conn->users) == 0);
    (void)add(&fake->live, -1);
    free(conn);
}

static const struct co_backend fake_backend = {
    .open = fake_open,
    .check = fake_check,
    .close = fake_close,
};

/* The number of a lease's connection, 0 if it has none. */
static inline int number_of(const struct co_lease *lease)
{
    return lease->conn != NULL ? ((struct fake_conn *)lease->conn)->number : 0;
}

static inline struct co_pool_counts stats_of(const struct co_pool *pool)
{
    struct co_pool_counts stats;

    co_pool_stats(pool, &stats);
    return stats;
}

/* Lets others run until so many coroutines wait at the pool. The test's time-out bounds it. */
static inline void await_waiting(const struct co_pool *pool, uint32_t waiting)
{
    while (stats_of(pool).waiting != waiting)
        CHECK(co_yield() == 0);
}

#endif
