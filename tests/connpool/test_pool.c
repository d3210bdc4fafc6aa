/* SPDX-License-Identifier: MIT */
/* tests/connpool/test_pool.c - the pool over a backend without sockets. */
#include "world.h"

#include "support/clock.h"
#include <co/group.h>

TestSuite(pool, .timeout = 20);

static struct fake fake;
static struct co_pool *pool;

/* Makes the pool under test. */
static void make(const struct co_pool_conf *conf)
{
    pool = co_pool_new(&fake_backend, &fake, conf);
    CHECK(pool != NULL);
}

/* Leases, keeps, and returns the number of the connection; a negative errno if there was none. */
static int use(void)
{
    CO_LEASE(lease, pool);

    co_lease_keep(&lease);
    return lease.err < 0 ? lease.err : number_of(&lease);
}

/*
 * Leases `n` connections at once and keeps them all: they become idle in order, the last one
 * freshest.
 */
static void make_idle(int n)
{
    struct co_lease leases[8];

    for (int i = 0; i < n; i++)
        leases[i] = co_lease_begin(pool);
    for (int i = 0; i < n; i++) {
        CHECK(leases[i].err == 0);
        co_lease_keep(&leases[i]);
        co_lease_end(&leases[i]);
    }
}

static int open_late(void *arg)
{
    (void)arg;
    make(NULL);
    CHECK(get(&fake.opening) == 0);
    CHECK(stats_of(pool).open == 0);
    co_pool_free(pool);
    CHECK(get(&fake.opening) == 0);
    return 0;
}

Test(pool, nothing_is_opened_before_the_first_lease)
{
    run_on(2, open_late, NULL);
}

static int keep_and_reuse(void *arg)
{
    (void)arg;
    make(NULL);
    for (int i = 0; i < 3; i++) {
        CO_LEASE(lease, pool);
        CHECK(lease.err == 0);
        CHECK(number_of(&lease) == 1);
        CHECK(lease.reused == (i > 0));
        CHECK(stats_of(pool).open == 1 && stats_of(pool).idle == 0);
        co_lease_keep(&lease);
    }
    CHECK(get(&fake.live) == 1);
    CHECK(stats_of(pool).leases == 3 && stats_of(pool).opened == 1);
    CHECK(stats_of(pool).reused + stats_of(pool).borrowed == 2);
    CHECK(stats_of(pool).open == 1 && stats_of(pool).idle == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_connection_that_was_kept_serves_again)
{
    run_on(1, keep_and_reuse, NULL);
    cr_assert_eq(fake.live, 0);
}

static int drop(void *arg)
{
    (void)arg;
    make(NULL);
    for (int i = 1; i <= 3; i++) {
        CO_LEASE(lease, pool);
        CHECK(number_of(&lease) == i);
        CHECK(lease.reused == 0);
        if (i == 2) {
            co_lease_keep(&lease);
            co_lease_discard(&lease);
        }
    }
    CHECK(get(&fake.live) == 0);
    CHECK(stats_of(pool).discarded == 3 && stats_of(pool).open == 0);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_connection_is_closed_unless_it_was_kept)
{
    run_on(2, drop, NULL);
}

static int end_twice(void *arg)
{
    struct co_lease lease;

    (void)arg;
    make(NULL);
    lease = co_lease_begin(pool);
    co_lease_keep(&lease);
    CHECK(co_lease_fd(&lease) == -EBADF); /* this backend has none */
    co_lease_end(&lease);
    co_lease_end(&lease);
    CHECK(lease.conn == NULL);
    CHECK(stats_of(pool).idle == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_lease_can_be_ended_twice)
{
    run_on(2, end_twice, NULL);
}

static int freshest(void *arg)
{
    (void)arg;
    make(NULL);
    make_idle(3);
    CHECK(use() == 3);
    CHECK(use() == 3);
    co_pool_free(pool);
    return 0;
}

Test(pool, the_freshest_idle_connection_serves_first)
{
    run_on(1, freshest, NULL);
}

/* Where the borrower ran, and what it got. */
static int borrower_done;
static int borrower_worker;

static void borrow(void *arg)
{
    (void)arg;
    borrower_worker = co_worker();
    CHECK(use() == 1);
    set(&borrower_done, 1);
}

static int borrow_by_theft(void *arg)
{
    CO_PIN(); /* the connection is to live here */
    int here = co_worker();

    (void)arg;
    make(NULL);
    CHECK(use() == 1);
    start(borrow, NULL);
    while (get(&borrower_done) == 0) /* computes: only the other worker can run the borrower */
        continue;
    CHECK(co_worker() == here && borrower_worker != here);
    CHECK(stats_of(pool).borrowed == 1 && stats_of(pool).opened == 1);
    CHECK(use() == 1); /* and it went back to where it lives */
    CHECK(stats_of(pool).reused == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, an_idle_connection_of_another_worker_is_borrowed_and_goes_back)
{
    run_on(2, borrow_by_theft, NULL);
}

/* Numbers in the order in which leases began. */
static int order[16];
static int ordered;

static void queue_up(void *arg)
{
    CO_LEASE(lease, pool);

    CHECK(lease.err == 0);
    order[add(&ordered, 1) - 1] = (int)(intptr_t)arg;
    co_lease_keep(&lease);
}

enum { QUEUE = 8 };

static int in_order(void *arg)
{
    struct co_pool_conf conf = {.max = 1};
    struct co_lease lease;

    (void)arg;
    make(&conf);
    lease = co_lease_begin(pool);
    for (int i = 0; i < QUEUE; i++) {
        start(queue_up, (void *)(intptr_t)i);
        await_waiting(pool, (uint32_t)i + 1);
    }
    co_lease_keep(&lease);
    co_lease_end(&lease);
    CHECK(use() == 1); /* whoever comes now is behind all of them */
    for (int i = 0; i < QUEUE; i++)
        CHECK(order[i] == i);
    CHECK(get(&ordered) == QUEUE);
    CHECK(stats_of(pool).waited >= QUEUE && stats_of(pool).opened == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, at_the_limit_leases_begin_in_order_of_arrival)
{
    run_on(2, in_order, NULL);
}

Test(pool, at_the_limit_leases_begin_in_order_of_arrival_on_one_worker)
{
    run_on(1, in_order, NULL);
}

static int hand_right(void *arg)
{
    struct co_pool_conf conf = {.max = 1};
    struct co_lease lease;

    (void)arg;
    make(&conf);
    lease = co_lease_begin(pool);
    start(queue_up, NULL);
    await_waiting(pool, 1);
    co_lease_end(&lease); /* not kept: the waiter opens its own */
    while (get(&ordered) == 0)
        CHECK(co_yield() == 0);
    CHECK(get(&fake.opened) == 2 && get(&fake.peak) == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, the_right_to_open_is_handed_to_who_waits)
{
    run_on(2, hand_right, NULL);
}

static void fail_to_open(void *arg)
{
    CO_LEASE(lease, pool);

    (void)arg;
    CHECK(lease.err == -ECONNREFUSED && lease.conn == NULL);
    co_lease_keep(&lease); /* does nothing on a lease with an error */
    CHECK(co_lease_fd(&lease) == -EBADF);
}

static int open_fails(void *arg)
{
    struct co_pool_conf conf = {.max = 1};

    (void)arg;
    make(&conf);
    set(&fake.refuse, 1);
    set(&fake.hold_open, 1);
    start(fail_to_open, NULL);
    while (get(&fake.opening) == 0)
        CHECK(co_yield() == 0);
    start(queue_up, NULL);
    await_waiting(pool, 1);
    set(&fake.hold_open, 0); /* now the first open fails: the waiter must not starve */
    while (get(&ordered) == 0)
        CHECK(co_yield() == 0);
    CHECK(stats_of(pool).failed == 1 && stats_of(pool).opened == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_failed_open_passes_its_right_on)
{
    run_on(2, open_fails, NULL);
}

static int deadline_in_queue(void *arg)
{
    struct co_pool_conf conf = {.max = 1};
    struct co_lease lease;

    (void)arg;
    make(&conf);
    lease = co_lease_begin(pool);
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(use() == -ETIMEDOUT);
        CHECK(use() == -ETIMEDOUT); /* it has passed: not even queued */
    }
    CHECK(stats_of(pool).waiting == 0 && stats_of(pool).waited == 1);
    CHECK(stats_of(pool).timed_out == 1);
    co_lease_keep(&lease);
    co_lease_end(&lease);
    CHECK(use() == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, waiting_ends_with_the_deadline, .init = clock_winds_itself)
{
    run_on(2, deadline_in_queue, NULL);
}

static int passed_deadline(void *arg)
{
    (void)arg;
    make(NULL);
    make_idle(1);
    {
        CO_DEADLINE(0);
        CHECK(use() == -ETIMEDOUT); /* although an idle one is there */
    }
    CHECK(stats_of(pool).idle == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_passed_deadline_leases_nothing)
{
    run_on(2, passed_deadline, NULL);
}

static int unhealthy(void *arg)
{
    (void)arg;
    make(NULL);
    make_idle(3);
    set(&fake.sick, 1);
    CHECK(use() == 2); /* the freshest was dead, the next one was not */
    CHECK(stats_of(pool).unhealthy == 1 && stats_of(pool).open == 2);
    set(&fake.sick, 2);
    CHECK(use() == 4); /* all were */
    CHECK(stats_of(pool).unhealthy == 3 && stats_of(pool).open == 1);
    CHECK(get(&fake.live) == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, idle_connections_that_died_are_replaced)
{
    run_on(1, unhealthy, NULL);
}

static int unhealthy_at_limit(void *arg)
{
    struct co_pool_conf conf = {.max = 2};

    (void)arg;
    make(&conf);
    make_idle(2);
    set(&fake.sick, 2);
    CHECK(use() == 3);
    CHECK(get(&fake.peak) == 2 && get(&fake.live) == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, replacing_stays_below_the_limit)
{
    run_on(2, unhealthy_at_limit, NULL);
}

static int deadline_in_check(void *arg)
{
    (void)arg;
    make(NULL);
    make_idle(5);
    set(&fake.hold_check, 1);
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(use() == -ETIMEDOUT);
    }
    set(&fake.hold_check, 0);
    CHECK(get(&fake.checks) == 1 && get(&fake.live) == 4);
    CHECK(stats_of(pool).idle == 4 && stats_of(pool).open == 4);
    CHECK(stats_of(pool).unhealthy == 0 && stats_of(pool).discarded == 1);
    CHECK(use() > 0 && stats_of(pool).opened == 5);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_deadline_that_passes_in_a_check_costs_one_connection_not_all,
     .init = clock_winds_itself)
{
    run_on(2, deadline_in_check, NULL);
}

static int lease_in_vain(void *arg)
{
    (void)arg;
    return use();
}

static int cancel_in_check(void *arg)
{
    (void)arg;
    make(NULL);
    make_idle(5);
    set(&fake.hold_check, 1);
    {
        CO_GROUP(group);
        CHECK(co_group_go(&group, lease_in_vain, NULL) == 0);
        while (get(&fake.checks) == 0)
            CHECK(co_yield() == 0);
        CHECK(co_group_close(&group) == -ECANCELED);
    }
    CHECK(get(&fake.checks) == 1 && get(&fake.live) == 4);
    CHECK(stats_of(pool).idle == 4 && stats_of(pool).discarded == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_cancel_in_a_check_costs_one_connection_not_all)
{
    run_on(2, cancel_in_check, NULL);
}

static int idle_too_long(void *arg)
{
    struct co_pool_conf conf = {.idle_timeout = 2 * CO_MS};

    (void)arg;
    make(&conf);
    make_idle(2);
    CHECK(co_sleep(4 * CO_MS) == 0);
    CHECK(use() == 3);
    CHECK(stats_of(pool).expired == 2 && get(&fake.live) == 1);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_connection_idle_for_too_long_does_not_serve)
{
    run_on(1, idle_too_long, NULL);
}

static int swept(void *arg)
{
    struct co_pool_conf conf = {.idle_timeout = 4 * CO_MS};

    (void)arg;
    make(&conf);
    make_idle(3);
    CHECK(co_sleep(2 * CO_MS) == 0);
    CHECK(use() > 0); /* one starts anew, and so stays for longer */
    CHECK(co_sleep(3 * CO_MS) == 0);
    CHECK(stats_of(pool).expired == 2 && stats_of(pool).idle == 1 && get(&fake.live) == 1);
    CHECK(co_sleep(4 * CO_MS) == 0);
    CHECK(stats_of(pool).expired == 3 && stats_of(pool).open == 0 && get(&fake.live) == 0);
    make_idle(2); /* and the next burst */
    CHECK(co_sleep(5 * CO_MS) == 0);
    CHECK(stats_of(pool).expired == 5 && get(&fake.live) == 0);
    co_pool_free(pool);
    return 0;
}

Test(pool, idle_connections_are_closed_in_time_though_no_lease_comes, .init = clock_winds_itself)
{
    run_on(2, swept, NULL);
}

static int swept_under_deadline(void *arg)
{
    struct co_pool_conf conf = {.idle_timeout = 8 * CO_MS};

    (void)arg;
    make(&conf);
    {
        CO_DEADLINE(2 * CO_MS); /* of whoever makes them idle: it is not the sweeper's */
        make_idle(3);
    }
    CHECK(co_sleep(4 * CO_MS) == 0);
    CHECK(stats_of(pool).idle == 3);
    CHECK(co_sleep(5 * CO_MS) == 0);
    CHECK(stats_of(pool).expired == 3 && get(&fake.live) == 0);
    co_pool_free(pool);
    return 0;
}

Test(pool, idle_connections_are_closed_in_time_whatever_the_deadline_of_the_last_lease,
     .init = clock_winds_itself)
{
    run_on(2, swept_under_deadline, NULL);
}

static int leave_idle(void *arg)
{
    make(arg);
    make_idle(2);
    return 0;
}

/* No sweeper is left behind; the pool is freed afterwards, outside. */
Test(pool, a_runtime_ends_once_the_idle_connections_of_a_forgotten_pool_are_closed,
     .init = clock_winds_itself)
{
    struct co_pool_conf conf = {.idle_timeout = 4 * CO_MS};

    for (int i = 1; i <= 2; i++) { /* the second runtime as the first */
        run_on(2, leave_idle, &conf);
        cr_assert_eq(get(&fake.live), 0);
        co_pool_free(pool);
    }
}

static int leave_idle_and_stop(void *arg)
{
    make(arg);
    make_idle(2);
    co_stop();
    CHECK(co_yield() == 0);
    make_idle(2);
    return 0;
}

/* The clock does not move: what waits for a day, or for the grace time, waits for ever. */
Test(pool, a_stop_does_not_wait_for_idle_connections)
{
    struct co_pool_conf conf = {.idle_timeout = 24 * 3600 * CO_SEC};

    co__clock_stop(false);
    run_on(2, leave_idle_and_stop, &conf);
    cr_assert_eq(get(&fake.live), 2);
    cr_assert_eq(stats_of(pool).idle, 2);
    co_pool_free(pool);
    cr_assert_eq(get(&fake.live), 0);
}

static int free_with_idle(void *arg)
{
    make(arg);
    make_idle(2);
    co_pool_free(pool);
    return 0;
}

Test(pool, freeing_does_not_wait_for_idle_connections)
{
    struct co_pool_conf conf = {.idle_timeout = 24 * 3600 * CO_SEC};

    co__clock_stop(false);
    run_on(2, free_with_idle, &conf);
    cr_assert_eq(get(&fake.live), 0);
}

enum { POOLS = 200, LEASES = 8 };

static int come_and_go(void *arg)
{
    for (int i = 0; i < LEASES; i++) {
        CHECK(use() > 0);
        CHECK(co_sleep((int64_t)(intptr_t)arg) == 0);
    }
    return 0;
}

static int free_often(void *arg)
{
    struct co_pool_conf conf = {.max = 4, .idle_timeout = 20 * CO_US};

    (void)arg;
    for (int64_t i = 0; i < POOLS; i++) {
        CO_GROUP(group);
        make(&conf);
        for (int64_t n = 0; n < 4; n++)
            CHECK(co_group_go(&group, come_and_go, (void *)((n + i % 8) * 8 * CO_US)) == 0);
        CHECK(co_group_wait(&group) == 0);
        co_pool_free(pool);
        CHECK(get(&fake.live) == 0);
    }
    return 0;
}

Test(pool, freeing_while_idle_connections_are_being_closed_leaves_none_and_no_descriptor)
{
    int before = descriptors();

    run_on(4, free_often, NULL);
    cr_assert_eq(descriptors(), before);
}

static int too_old(void *arg)
{
    struct co_pool_conf conf = {.max_age = 3 * CO_MS};

    (void)arg;
    make(&conf);
    {
        CO_LEASE(lease, pool);
        CHECK(co_sleep(5 * CO_MS) == 0);
        co_lease_keep(&lease);
    }
    CHECK(stats_of(pool).expired == 1 && stats_of(pool).idle == 0 && get(&fake.live) == 0);
    co_pool_free(pool);
    return 0;
}

Test(pool, a_connection_that_is_too_old_does_not_go_back)
{
    run_on(2, too_old, NULL);
}

static int few_idle(void *arg)
{
    struct co_pool_conf conf = {.max = 4, .max_idle = 1};

    (void)arg;
    make(&conf);
    make_idle(3);
    CHECK(stats_of(pool).idle == 1 && get(&fake.live) == 1);
    make_idle(1); /* the count of idle ones went down and up again */
    CHECK(stats_of(pool).idle == 1 && stats_of(pool).opened == 3);
    co_pool_free(pool);
    return 0;
}

Test(pool, no_more_than_max_idle_are_kept)
{
    run_on(2, few_idle, NULL);
}

static void wait_for_free(void *arg)
{
    (void)arg;
    CHECK(use() == -ECANCELED);
    (void)add(&ordered, 1);
}

static int freed;

static void free_pool(void *arg)
{
    co_pool_free(pool);
    set(&freed, 1);
    countdown_step(arg);
}

static int free_with_users(void *arg)
{
    struct co_pool_conf conf = {.max = 2};
    struct countdown done = COUNTDOWN(1);
    struct co_lease lease;

    (void)arg;
    make(&conf);
    make_idle(2);
    lease = co_lease_begin(pool);
    {
        CO_LEASE(other, pool);
        for (uint32_t i = 0; i < 3; i++) {
            start(wait_for_free, NULL);
            await_waiting(pool, i + 1);
        }
        co_lease_discard(&other);
        start(free_pool, &done);
        while (get(&ordered) < 3)
            CHECK(co_yield() == 0);
        CHECK(use() == -ECANCELED); /* no new lease while it closes */
        CHECK(get(&freed) == 0);
    }
    CHECK(get(&freed) == 0 && get(&fake.live) == 1);
    co_lease_keep(&lease);
    co_lease_end(&lease); /* kept or not: the pool closes */
    countdown_wait(&done);
    CHECK(get(&freed) == 1 && get(&fake.live) == 0);
    return 0;
}

Test(pool, freeing_sends_waiters_away_and_waits_for_leases)
{
    run_on(2, free_with_users, NULL);
}

static int free_nothing(void *arg)
{
    (void)arg;
    co_pool_free(NULL);
    return 0;
}

Test(pool, freeing_null_does_nothing)
{
    run_on(1, free_nothing, NULL);
}

Test(pool, outside_coroutines_there_is_no_lease)
{
    pool = co_pool_new(&fake_backend, &fake, NULL);
    cr_assert_not_null(pool);
    cr_assert_eq(use(), -EPERM);
    co_pool_free(pool); /* works anywhere while nothing is leased */
}

Test(pool, a_negative_setting_is_refused)
{
    const struct co_pool_conf conf = {.max = -1};

    cr_assert_null(co_pool_new(&fake_backend, &fake, &conf));
}

Test(pool, the_name_is_copied)
{
    char name[] = "upstream";
    const struct co_pool_conf conf = {.name = name};

    pool = co_pool_new(&fake_backend, &fake, &conf);
    name[0] = 'X';
    cr_assert_str_eq(co_pool_name(pool), "upstream");
    co_pool_free(pool);
}
