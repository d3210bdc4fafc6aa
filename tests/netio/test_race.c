/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/test_race.c - connecting to several addresses of which some refuse, some never
 * answer, and one works; and by a name that a resolver of the test's own looks up.
 */
#include "endpoint.h"

#include "netio/world.h"
#include <co/connect.h>
#include <co/group.h>
#include <co/offload.h>
#include <semaphore.h>

TestSuite(race, .timeout = 30);

/* Longer than any test takes: who waits for it fails. */
static const struct co_connect_opts patient = {.attempt_delay = 600 * CO_SEC};
static const struct co_connect_opts hasty = {.attempt_delay = 10 * CO_MS};

static struct co_addr address_of(const char *text)
{
    struct co_addr addr;

    CHECK(co_addr_parse(text, &addr) == 0);
    return addr;
}

/* A listener whose queue is full: the kernel drops who comes, without an answer. */
struct blackhole {
    struct co_addr addr;
    int fds[33];
};

static void dig(struct blackhole *hole, const char *host)
{
    int lfd = socket(strchr(host, '[') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[64];

    (void)snprintf(text, sizeof text, "%s:0", host);
    hole->addr = address_of(text);
    CHECK(bind(lfd, &hole->addr.any, hole->addr.len) == 0);
    CHECK(listen(lfd, 0) == 0);
    CHECK(getsockname(lfd, &hole->addr.any, &hole->addr.len) == 0);
    hole->fds[0] = lfd;
    for (int i = 1; i < 33; i++) {
        hole->fds[i] =
            socket(hole->addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(hole->fds[i], &hole->addr.any, hole->addr.len);
    }
}

static void fill_in(const struct blackhole *hole)
{
    for (int i = 0; i < 33; i++)
        (void)close(hole->fds[i]);
}

/* An address where nobody listens. */
static struct co_addr closed_address(const char *host)
{
    char text[64];
    struct co_addr addr = {0};
    int lfd;

    (void)snprintf(text, sizeof text, "%s:0", host);
    lfd = co_listen(text);
    CHECK(lfd >= 0 && co_local_addr(lfd, &addr) == 0 && co_close(lfd) == 0);
    return addr;
}

static int open_listener(const char *host, struct co_addr *ret_addr)
{
    char text[64];
    int lfd;

    (void)snprintf(text, sizeof text, "%s:0", host);
    lfd = co_listen(text);
    CHECK(lfd >= 0 && co_local_addr(lfd, ret_addr) == 0);
    return lfd;
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && bind(fd, (struct sockaddr *)(void *)&addr, sizeof addr) == 0;

    (void)close(fd);
    return yes;
}

/* Whether a connection to one of the addresses is one to that. */
static void expect_winner(const struct co_connect_opts *opts, const struct co_addr *addrs,
                          int count, const struct co_addr *winner)
{
    int before = descriptors();
    int fd = co_connect_to(opts, addrs, count);
    struct co_addr peer;

    CHECK(fd >= 0 && co_peer_addr(fd, &peer) == 0 && co_addr_equal(&peer, winner));
    CHECK(co_send(fd, "x", 1) == 1);
    CHECK(descriptors() == before + 1); /* the others have been closed */
    CHECK(co_close(fd) == 0);
}

static int overtake(void *arg)
{
    struct blackhole hole;
    struct co_addr live;
    int lfd = open_listener("127.0.0.1", &live);

    (void)arg;
    dig(&hole, "127.0.0.2");
    expect_winner(&hasty, (struct co_addr[]){hole.addr, live}, 2, &live);
    expect_winner(&hasty, (struct co_addr[]){hole.addr, hole.addr, hole.addr, live}, 4, &live);
    expect_winner(NULL, (struct co_addr[]){hole.addr, live}, 2, &live);
    CHECK(co_close(lfd) == 0);
    fill_in(&hole);
    return 0;
}

static int never_overtake(void *arg)
{
    struct co_connect_opts endless = {.attempt_delay = CO_NEVER};
    struct blackhole hole;
    struct co_addr live;
    int lfd = open_listener("127.0.0.1", &live);

    (void)arg;
    dig(&hole, "127.0.0.2");
    {
        CO_DEADLINE(50 * CO_MS);
        CHECK(co_connect_to(&endless, (struct co_addr[]){hole.addr, live}, 2) == -ETIMEDOUT);
    }
    CHECK(co_close(lfd) == 0);
    fill_in(&hole);
    return 0;
}

Test(race, a_delay_without_an_end_waits_for_the_first_alone)
{
    run_on(1, never_overtake, NULL);
}

Test(race, who_does_not_answer_is_overtaken_by_the_next)
{
    run_on(1, overtake, NULL);
    run_on(3, overtake, NULL);
}

/* One that refuses, and that no other program of this machine can listen on meanwhile. */
static int hold_address(struct co_addr *ret_addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret_addr = address_of("127.0.0.1:0");
    CHECK(bind(fd, &ret_addr->any, ret_addr->len) == 0);
    CHECK(getsockname(fd, &ret_addr->any, &ret_addr->len) == 0);
    return fd;
}

static int go_on(void *arg)
{
    struct co_addr closed, live;
    int held = hold_address(&closed);
    int lfd = open_listener("127.0.0.1", &live);

    (void)arg;
    expect_winner(&patient, (struct co_addr[]){closed, closed, live}, 3, &live);
    CHECK(co_connect_to(&patient, (struct co_addr[]){closed, closed}, 2) == -ECONNREFUSED);
    expect_winner(&patient, (struct co_addr[]){live, closed}, 2, &live);
    CHECK(co_close(lfd) == 0);
    CHECK(close(held) == 0);
    return 0;
}

Test(race, who_refuses_is_followed_by_the_next_at_once)
{
    run_on(1, go_on, NULL);
    run_on(3, go_on, NULL);
}

static int take_turns(void *arg)
{
    struct blackhole hole;
    struct co_addr live4, live6;
    int lfd4 = open_listener("127.0.0.1", &live4);
    int lfd6 = open_listener("[::1]", &live6);

    (void)arg;
    dig(&hole, "[::1]");
    expect_winner(&hasty, (struct co_addr[]){hole.addr, live6, live4}, 3, &live4);
    fill_in(&hole);
    dig(&hole, "127.0.0.1");
    expect_winner(&hasty, (struct co_addr[]){hole.addr, live4, live4, live6}, 4, &live6);
    fill_in(&hole);
    CHECK(co_close(lfd4) == 0 && co_close(lfd6) == 0);
    return 0;
}

Test(race, the_second_that_is_tried_is_of_the_other_family)
{
    if (!has_ipv6())
        cr_skip_test("no IPv6 on this machine");
    run_on(2, take_turns, NULL);
}

static _Atomic int members;

static int connect_in_vain(void *arg)
{
    atomic_fetch_add(&members, 1);
    return co_connect_to(&hasty, arg, 3);
}

static int give_up(void *arg)
{
    struct blackhole hole;
    struct co_addr addrs[3];
    int before;

    (void)arg;
    dig(&hole, "127.0.0.2");
    before = descriptors();
    for (int i = 0; i < 3; i++)
        addrs[i] = hole.addr;
    {
        CO_DEADLINE(60 * CO_MS);
        CHECK(co_connect_to(&hasty, addrs, 3) == -ETIMEDOUT);
        CHECK(co_connect_to(&hasty, addrs, 3) == -ETIMEDOUT);
    }
    CHECK(descriptors() == before);
    {
        CO_GROUP(group);

        CHECK(co_group_go(&group, connect_in_vain, addrs) == 0);
        until(&members, 1);
        let_wait();
        co_group_cancel(&group);
        CHECK(co_group_wait(&group) == -ECANCELED);
    }
    CHECK(descriptors() == before);
    fill_in(&hole);
    return 0;
}

Test(race, the_deadline_and_cancel_end_all_attempts)
{
    run_on(1, give_up, NULL);
    atomic_store(&members, 0);
    run_on(3, give_up, NULL);
}

static int misuse(void *arg)
{
    static const struct co_connect_opts negative = {.attempt_delay = -1},
                                        small = {.recv_buffer = -1};
    struct co_addr addrs[CO_ADDRS_MAX + 1];

    (void)arg;
    for (int i = 0; i <= CO_ADDRS_MAX; i++)
        addrs[i] = address_of("127.0.0.1:9");
    CHECK(co_connect_to(NULL, addrs, 0) == -EINVAL);
    CHECK(co_connect_to(NULL, addrs, CO_ADDRS_MAX + 1) == -EINVAL);
    CHECK(co_connect_to(&negative, addrs, 1) == -EINVAL);
    CHECK(co_connect_to(&small, addrs, 1) == -EINVAL);
    return 0;
}

Test(race, what_makes_no_sense_is_refused)
{
    struct co_addr addr;

    run_on(1, misuse, NULL);
    cr_assert_eq(co_addr_parse("127.0.0.1:9", &addr), 0);
    cr_assert_eq(co_connect_to(NULL, &addr, 1), -EPERM);
    cr_assert_eq(co_connect_with(NULL, "127.0.0.1:9"), -EPERM);
}

static int from_where(void *arg)
{
    struct co_addr from = address_of("127.0.0.5:0"), live, seen;
    struct co_addr six = address_of("[::1]:9");
    struct co_connect_opts opts = {.from = &from, .recv_buffer = 20000, .send_buffer = 30000};
    int lfd = open_listener("127.0.0.1", &live);
    int size = 0;
    socklen_t len = sizeof size;

    (void)arg;
    CO_FD(fd, co_connect_to(&opts, (struct co_addr[]){six, live}, 2));
    CO_FD(conn, co_accept(lfd));
    CHECK(co_peer_addr(conn, &seen) == 0);
    CHECK(seen.in4.sin_addr.s_addr == from.in4.sin_addr.s_addr && co_addr_port(&seen) > 0);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &len) == 0 && size == 2 * 20000);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0 && size == 2 * 30000);
    CHECK(co_connect_to(&opts, &six, 1) == -EAFNOSUPPORT);
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(race, the_local_address_and_buffers_may_be_chosen)
{
    run_on(1, from_where, NULL);
}

static int meet_itself(void *arg)
{
    int r;

    (void)arg;
    do {
        struct co_addr own = closed_address("127.0.0.1");
        struct co_connect_opts opts = {.from = &own};

        r = co_connect_to(&opts, &own, 1);
    } while (r == -EADDRINUSE); /* somebody else has got the port meanwhile */
    CHECK(r == -ECONNREFUSED);
    return 0;
}

Test(race, a_socket_that_would_meet_itself_is_refused)
{
    run_on(1, meet_itself, NULL);
}

static int begin_fast(void *arg)
{
    static const struct co_connect_opts opts = {.fast_open = 1};
    struct co_addr live;
    int lfd = open_listener("127.0.0.1", &live);

    (void)arg;
    for (int i = 0; i < 3; i++) {
        CO_FD(fd, co_connect_to(&opts, &live, 1));
        char byte = 0;

        CHECK(fd >= 0 && co_send(fd, "x", 1) == 1);
        CO_FD(conn, co_accept(lfd));
        CHECK(co_recv(conn, &byte, 1) == 1 && byte == 'x');
        CHECK(co_send(conn, "y", 1) == 1 && co_recv(fd, &byte, 1) == 1 && byte == 'y');
    }
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(race, fast_open_carries_the_first_bytes)
{
    run_on(1, begin_fast, NULL);
}

/* ---- a local socket whose queue is full ---- */

static void accept_late(void *arg)
{
    let_wait();
    for (int fd; (fd = accept4(*(int *)arg, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
        (void)close(fd);
}

static int wait_in_line(void *arg)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int lfd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof addr;
    struct co_addr name;
    int fds[64], count = 0;
    char text[CO_ADDR_TEXT];
    int fd;

    (void)arg;
    CHECK(bind(lfd, (struct sockaddr *)(void *)&addr, sizeof(sa_family_t)) == 0);
    CHECK(listen(lfd, 1) == 0);
    CHECK(getsockname(lfd, (struct sockaddr *)(void *)&addr, &len) == 0);
    name = (struct co_addr){.local = addr, .len = len};
    for (; count < 64; count++) {
        fds[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fds[count], &name.any, name.len) < 0)
            break;
    }
    CHECK(count < 64);
    {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_connect(co_addr_print(&name, text)) == -ETIMEDOUT);
    }
    start(accept_late, &lfd);
    fd = co_connect(text);
    CHECK(fd >= 0 && co_close(fd) == 0);
    for (int i = 0; i <= count; i++)
        (void)close(fds[i]);
    (void)close(lfd);
    return 0;
}

Test(race, a_full_queue_of_a_local_listener_is_waited_for)
{
    run_on(1, wait_in_line, NULL);
}

/* ---- names ---- */

static struct co_addr found[CO_ADDRS_MAX];
static int found_count;
static sem_t asked, answer;

static int fake(const char *host, struct co_addr *ret_addrs)
{
    if (strcmp(host, "slow.test") == 0) {
        (void)sem_post(&asked); /* the pool has begun */
        (void)sem_wait(&answer);
    } else if (strcmp(host, "many.test") != 0) {
        return -ENOENT;
    }
    memcpy(ret_addrs, found, sizeof found);
    return found_count;
}

static int look_up(void *arg)
{
    struct blackhole hole;
    struct co_addr live, addrs[CO_ADDRS_MAX];
    char text[64];
    int lfd;

    (void)arg;
    dig(&hole, "127.0.0.2");
    (void)snprintf(text, sizeof text, "127.0.0.1:%d", co_addr_port(&hole.addr));
    lfd = co_listen(text); /* the same port, so that one name has both */
    live = address_of(text);
    CHECK(lfd >= 0);
    found[0] = hole.addr;
    found[1] = live;
    found[0].in4.sin_port = found[1].in4.sin_port = 0; /* a name has no port */
    found_count = 2;
    (void)snprintf(text, sizeof text, "many.test:%d", co_addr_port(&live));
    CHECK(co_resolve(text, CO_ADDRS_MAX, addrs) == 2);
    CHECK(co_addr_equal(&addrs[0], &hole.addr) && co_addr_equal(&addrs[1], &live));
    CHECK(co_resolve(text, 1, addrs) == 1);
    CHECK(co_resolve(text, 0, addrs) == -EINVAL);
    CHECK(co_resolve("127.0.0.1:7", 1, addrs) == 1 && co_addr_port(&addrs[0]) == 7);
    CHECK(co_resolve("none.test:1", 1, addrs) == -ENOENT);
    CHECK(co_resolve("none.test", 1, addrs) == -EINVAL);
    {
        CO_FD(fd, co_connect(text));

        CHECK(fd >= 0 && co_peer_addr(fd, addrs) == 0 && co_addr_equal(addrs, &live));
    }
    CHECK(co_connect("none.test:1") == -ENOENT);
    CHECK(co_close(lfd) == 0);
    fill_in(&hole);
    return 0;
}

Test(race, a_name_stands_for_all_of_its_addresses)
{
    co__resolve_by(fake);
    run_on(2, look_up, NULL);
    co__resolve_by(NULL);
}

static int ask_slowly(void *arg)
{
    struct co_addr addr;

    (void)arg;
    do {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_resolve("slow.test:1", 1, &addr) == -ETIMEDOUT);
        CHECK(co_connect("slow.test:1") == -ETIMEDOUT);
    } while (sem_trywait(&asked) < 0); /* it was taken back: no thread came in time */
    /* A thread of the pool is in there still, or several, and comes back later. */
    for (int i = 0; i < 1000; i++)
        (void)sem_post(&answer);
    return 0;
}

Test(race, a_look_up_that_takes_too_long_is_left_behind)
{
    cr_assert_eq(sem_init(&asked, 0, 0), 0);
    cr_assert_eq(sem_init(&answer, 0, 0), 0);
    found_count = 1;
    co__resolve_by(fake);
    run_on(2, ask_slowly, NULL);
    co__resolve_by(NULL);
}

static _Atomic int given_up;

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void give_up_soon(void *arg)
{
    CO_DEADLINE(5 * CO_MS);
    struct co_addr addr;

    (void)arg;
    CHECK(co_resolve("slow.test:1", 1, &addr) == -ETIMEDOUT);
    (void)atomic_fetch_add(&given_up, 1);
}

static int ask_in_a_queue(void *arg)
{
    int made;

    (void)arg;
    for (int i = 0; i < 50; i++)
        start(give_up_soon, NULL);
    until(&given_up, 50);
    for (int i = 0; i < 100; i++)
        (void)sem_post(&answer);
    CHECK(co_offload(do_nothing, NULL, NULL) == 0); /* behind all of them */
    CHECK(sem_getvalue(&asked, &made) == 0 && made <= 1);
    return 0;
}

Test(race, look_ups_that_nobody_waits_for_any_more_are_not_made)
{
    struct co_conf conf = settings(1);

    conf.offload_threads = 1;
    cr_assert_eq(sem_init(&asked, 0, 0), 0);
    cr_assert_eq(sem_init(&answer, 0, 0), 0);
    found_count = 1;
    co__resolve_by(fake);
    cr_assert_eq(run_conf(&conf, ask_in_a_queue, NULL), 0);
    co__resolve_by(NULL);
}
