/* SPDX-License-Identifier: MIT */
/*
 * tests/connpool/test_gate.c - many at the limit at once: hand-over against time-out, cancel and
 * free.
 */
#include "world.h"
#include <stdlib.h>

TestSuite(gate, .timeout = 60);

enum { CROWD = 200, ROUNDS = 100, MAX = 4 };

static struct fake fake;
static struct co_pool *pool;
static int served, timed_out, refused, canceled;

/* The next number of a sequence of its own for each coroutine. */
static unsigned roll(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

/* One lease, with a deadline of up to 400 us in two of three cases. Returns what the lease said. */
static int exchange(unsigned *seed)
{
    CO_DEADLINE(roll(seed) % 3 == 0 ? CO_NEVER : (int64_t)(roll(seed) % 400) * CO_US);
    CO_LEASE(lease, pool);
    struct fake_conn *conn = lease.conn;

    if (lease.err < 0)
        return lease.err;
    CHECK(add(&conn->users, 1) == 1); /* nobody else has it */
    if (roll(seed) % 2 == 0)
        (void)co_yield();
    if (roll(seed) % 16 == 0)
        (void)co_sleep((int64_t)(roll(seed) % 100) * CO_US);
    CHECK(add(&conn->users, -1) == 0);
    if (roll(seed) % 8 != 0)
        co_lease_keep(&lease);
    return 0;
}

static void count(int r)
{
    CHECK(r == 0 || r == -ETIMEDOUT || r == -ECONNREFUSED || r == -ECANCELED);
    (void)add(r == 0               ? &served
              : r == -ETIMEDOUT    ? &timed_out
              : r == -ECONNREFUSED ? &refused
                                   : &canceled,
              1);
}

struct member {
    struct countdown *done;
    unsigned seed;
    int rounds;
};

static void join_crowd(void *arg)
{
    struct member *self = arg;

    for (int i = 0; i < self->rounds; i++) {
        int r = exchange(&self->seed);
        count(r);
        if (r == -ECANCELED)
            break;
    }
    countdown_step(self->done);
}

static void start_crowd(struct countdown *done, int rounds)
{
    for (int i = 0; i < CROWD; i++) {
        struct member member = {.done = done, .seed = (unsigned)i * 7919u + 1, .rounds = rounds};

        CHECK(co_go_copy(join_crowd, &member, sizeof member) == 0);
    }
}

static int rush(void *arg)
{
    const struct co_pool_conf *conf = arg;
    struct countdown done = COUNTDOWN(CROWD);
    struct co_pool_counts stats;

    fake.fail_one = 17;
    fake.sicken = 13;
    pool = co_pool_new(&fake_backend, &fake, conf);
    start_crowd(&done, ROUNDS);
    countdown_wait(&done);
    stats = stats_of(pool);
    CHECK(get(&served) + get(&timed_out) + get(&refused) == CROWD * ROUNDS);
    CHECK(get(&canceled) == 0);
    CHECK(get(&served) > 0 && get(&refused) > 0 && stats.waited > 0);
    CHECK(stats.leases == (uint64_t)get(&served));
    CHECK(stats.failed == (uint64_t)get(&refused));
    CHECK(stats.timed_out <= (uint64_t)get(&timed_out));
    CHECK(stats.waiting == 0);
    CHECK(get(&fake.peak) <= MAX);
    /* No slot is lost: all that is open is idle, and the rest can be opened. */
    CHECK(stats.open == stats.idle && stats.open == (uint32_t)get(&fake.live));
    if (conf->max_idle > 0)
        CHECK(stats.idle <= (uint32_t)conf->max_idle);
    fake.fail_one = 0;
    {
        struct co_lease all[MAX];

        for (int i = 0; i < MAX; i++) {
            all[i] = co_lease_begin(pool);
            CHECK(all[i].err == 0);
        }
        for (int i = 0; i < MAX; i++)
            co_lease_end(&all[i]);
    }
    co_pool_free(pool);
    return 0;
}

Test(gate, a_crowd_with_deadlines_loses_neither_connection_nor_turn)
{
    struct co_pool_conf conf = {.max = MAX};

    run_on(4, rush, &conf);
    cr_assert_eq(fake.live, 0);
}

Test(gate, a_crowd_on_one_worker_loses_nothing_either)
{
    struct co_pool_conf conf = {.max = MAX};

    run_on(1, rush, &conf);
    cr_assert_eq(fake.live, 0);
}

Test(gate, a_crowd_keeps_no_more_than_max_idle)
{
    struct co_pool_conf conf = {.max = MAX, .max_idle = 2};

    run_on(4, rush, &conf);
    cr_assert_eq(fake.live, 0);
}

static void free_it(void *arg)
{
    co_pool_free(pool);
    countdown_step(arg);
}

/*
 * The pool is freed while all are at it; each gets -ECANCELED once, and a lease of ours holds the
 * memory.
 */
static int free_beside_a_crowd(void *arg)
{
    struct co_pool_conf conf = {.max = MAX};
    struct countdown done = COUNTDOWN(CROWD);
    struct countdown freed = COUNTDOWN(1);

    (void)arg;
    pool = co_pool_new(&fake_backend, &fake, &conf);
    {
        CO_LEASE(lease, pool);
        CHECK(lease.err == 0);
        start_crowd(&done, INT32_MAX);
        while (get(&served) < CROWD)
            CHECK(co_yield() == 0);
        start(free_it, &freed);
        countdown_wait(&done);
        CHECK(get(&canceled) == CROWD);
        CHECK(freed.left == 1);
    }
    countdown_wait(&freed);
    CHECK(get(&fake.live) == 0);
    return 0;
}

Test(gate, a_pool_freed_under_load_sends_everybody_away)
{
    run_on(4, free_beside_a_crowd, NULL);
}

/* Holds the only connection until it is cancelled. */
static void hold(void *arg)
{
    CO_LEASE(lease, pool);

    (void)arg;
    count(lease.err);
    CHECK(co_sleep(1000 * CO_SEC) == -ECANCELED);
}

static void wait_at_limit(void *arg)
{
    CO_LEASE(lease, pool);

    (void)arg;
    count(lease.err);
}

static int stop_with_waiters(void *arg)
{
    struct co_pool_conf conf = {.max = 1};

    (void)arg;
    pool = co_pool_new(&fake_backend, &fake, &conf);
    start(hold, NULL);
    while (get(&served) == 0)
        CHECK(co_yield() == 0);
    for (uint32_t i = 0; i < 5; i++) {
        start(wait_at_limit, NULL);
        await_waiting(pool, i + 1);
    }
    co_stop();
    CHECK(co_sleep(1000 * CO_SEC) == -ECANCELED); /* after the grace time */
    co_pool_free(pool);                           /* cancelled or not, it waits for all of them */
    CHECK(get(&fake.live) == 0);
    return 0;
}

Test(gate, cancel_ends_the_wait_and_the_pool_can_still_be_freed)
{
    struct co_conf conf;

    co_conf_init(&conf);
    conf.threads = 2;
    conf.signals = 0;
    conf.grace = 300 * CO_MS;
    cr_assert_eq(co_run_with(&conf, stop_with_waiters, NULL), 0);
    cr_assert_eq(failed_line, 0, "the check in line %d failed", failed_line);
    cr_assert_eq(served, 1);
    cr_assert_eq(canceled, 5);
}
