/* SPDX-License-Identifier: MIT */
/* tests/connpool/test_tcp.c - the TCP backend over loopback, end to end. */
#include "world.h"
#include <co/net.h>
#include <stdio.h>
#include <string.h>

TestSuite(tcp, .timeout = 30);

static struct co_pool *pool;
static char address[64];
static struct countdown server_ended = COUNTDOWN(1);
static int listener = -1;

/* What comes goes back, but for two lines: "end" ends the stream, "spam" gets two answers. */
static void answer(int conn, void *arg)
{
    CO_FD(fd, conn);
    char buf[64];

    (void)arg;
    for (;;) {
        ssize_t n = co_recv(fd, buf, sizeof buf);
        if (n <= 0 || co_send(fd, buf, (size_t)n) < 0)
            return;
        if (n == 4 && memcmp(buf, "end\n", 4) == 0)
            return;
        if (n == 5 && memcmp(buf, "spam\n", 5) == 0 && co_send(fd, buf, (size_t)n) < 0)
            return;
    }
}

static void serve(void *arg)
{
    (void)arg;
    CHECK(co_serve(listener, answer, NULL) == 0);
    CHECK(co_close(listener) == 0);
    countdown_step(&server_ended);
}

static void set_up(const struct co_pool_conf *conf)
{
    listener = co_listen("127.0.0.1:0");
    CHECK(listener >= 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(listener));
    start(serve, NULL);
    pool = co_pool_new(&co_tcp_backend, address, conf);
    CHECK(pool != NULL);
}

static void tear_down(void)
{
    co_pool_free(pool);
    CHECK(co_hangup(listener) == 0);
    countdown_wait(&server_ended);
}

/*
 * Sends a line and reads as many bytes back, and if told so waits for what the backend's check
 * would refuse.
 * Returns 0, or why not; 1 if the connection had served before.
 */
static int say(const char *line, bool until_sick)
{
    CO_LEASE(lease, pool);
    size_t len = strlen(line);
    char buf[64];
    int fd = co_lease_fd(&lease);

    if (lease.err < 0)
        return lease.err;
    CHECK(co_send(fd, line, len) == (ssize_t)len);
    CHECK(co_recvn(fd, buf, len) == (ssize_t)len);
    CHECK(memcmp(buf, line, len) == 0);
    while (until_sick && co_tcp_backend.check(address, lease.conn) == 0)
        CHECK(co_yield() == 0);
    co_lease_keep(&lease);
    return lease.reused;
}

static int talk(void *arg)
{
    (void)arg;
    set_up(NULL);
    CHECK(say("one\n", false) == 0);
    for (int i = 0; i < 10; i++)
        CHECK(say("more\n", false) == 1);
    CHECK(stats_of(pool).opened == 1 && stats_of(pool).idle == 1);
    tear_down();
    return 0;
}

Test(tcp, one_connection_serves_one_exchange_after_the_other)
{
    int before = descriptors();

    run_on(2, talk, NULL);
    cr_assert_eq(descriptors(), before);
}

static int peer_ends(void *arg)
{
    (void)arg;
    set_up(NULL);
    CHECK(say("end\n", true) == 0);
    CHECK(say("again\n", false) == 0); /* on a new connection */
    CHECK(stats_of(pool).unhealthy == 1 && stats_of(pool).opened == 2);
    tear_down();
    return 0;
}

Test(tcp, a_connection_that_the_peer_ended_is_replaced)
{
    int before = descriptors();

    run_on(2, peer_ends, NULL);
    cr_assert_eq(descriptors(), before);
}

static int peer_talks(void *arg)
{
    (void)arg;
    set_up(NULL);
    CHECK(say("spam\n", true) == 0);
    CHECK(say("again\n", false) == 0); /* and not what was left of the last answer */
    CHECK(stats_of(pool).unhealthy == 1);
    tear_down();
    return 0;
}

Test(tcp, a_connection_with_an_unasked_answer_is_replaced)
{
    run_on(2, peer_talks, NULL);
}

static int hung_up(void *arg)
{
    (void)arg;
    set_up(NULL);
    {
        CO_LEASE(lease, pool);
        CHECK(co_hangup(co_lease_fd(&lease)) == 0); /* as by somebody who comes too late */
        co_lease_keep(&lease);
    }
    CHECK(say("again\n", false) == 0); /* on a new connection */
    CHECK(stats_of(pool).unhealthy == 1 && stats_of(pool).opened == 2);
    tear_down();
    return 0;
}

Test(tcp, a_connection_that_was_hung_up_and_kept_is_replaced)
{
    int before = descriptors();

    run_on(2, hung_up, NULL);
    cr_assert_eq(descriptors(), before);
}

static int nobody_listens(void *arg)
{
    (void)arg;
    set_up(NULL);
    CHECK(co_hangup(listener) == 0);
    countdown_wait(&server_ended);
    CHECK(say("hello\n", false) == -ECONNREFUSED);
    CHECK(stats_of(pool).failed == 1 && stats_of(pool).open == 0);
    co_pool_free(pool);
    return 0;
}

Test(tcp, a_refused_connection_is_the_leases_error)
{
    run_on(2, nobody_listens, NULL);
}

/* A connection stays in the shard of its socket's loop, wherever its coroutines ran. */
static int homes(void *arg)
{
    (void)arg;
    set_up(NULL);
    for (int i = 0; i < 50; i++) {
        CO_LEASE(lease, pool);
        struct co_pool_counts before = stats_of(pool);
        int home = co_fd_worker(co_lease_fd(&lease));

        CHECK(home >= 0);
        co_lease_keep(&lease);
        co_lease_end(&lease);
        CHECK(co_yield() == 0);
        CO_LEASE(again, pool);
        bool here = co_worker() == home;
        struct co_pool_counts now = stats_of(pool);
        CHECK(now.reused - before.reused == (here ? 1 : 0));
        CHECK(now.borrowed - before.borrowed == (here ? 0 : 1));
        co_lease_keep(&again);
    }
    CHECK(stats_of(pool).opened == 1);
    tear_down();
    return 0;
}

Test(tcp, a_connection_lives_in_the_shard_of_its_loop)
{
    run_on(2, homes, NULL);
}

enum { CROWD = 100, ROUNDS = 50 };
static int exchanges;

static void chat(void *arg)
{
    char line[32];

    for (int i = 0; i < ROUNDS; i++) {
        CO_DEADLINE(20 * CO_SEC);
        snprintf(line, sizeof line, "%d of %llu\n", i, (unsigned long long)co_self());
        CHECK(say(line, false) >= 0);
        (void)add(&exchanges, 1);
    }
    countdown_step(arg);
}

static int crowd(void *arg)
{
    struct co_pool_conf conf = {.max = 8};
    struct countdown done = COUNTDOWN(CROWD);

    (void)arg;
    set_up(&conf);
    for (int i = 0; i < CROWD; i++)
        start(chat, &done);
    countdown_wait(&done);
    CHECK(get(&exchanges) == CROWD * ROUNDS);
    CHECK(stats_of(pool).leases == CROWD * ROUNDS);
    CHECK(stats_of(pool).opened <= 8 && stats_of(pool).waiting == 0);
    tear_down();
    return 0;
}

Test(tcp, a_crowd_shares_few_connections_and_leaves_no_descriptor)
{
    int before = descriptors();

    run_on(4, crowd, NULL);
    cr_assert_eq(exchanges, CROWD * ROUNDS);
    cr_assert_eq(descriptors(), before);
}
