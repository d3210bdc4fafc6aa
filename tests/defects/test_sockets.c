/* SPDX-License-Identifier: MIT */
/*
 * tests/defects/test_sockets.c - what users of other coroutine libraries saw go wrong with sockets,
 * each tried here. Most of it was seen in coost; the comments say what was seen. What has a place
 * among its module's tests already stays there:
 *   accepting without descriptors spins        netio/test_listen.c
 *   an event of a number's earlier descriptor  netio/test_close.c
 *   a peer that is always ready starves others netio/test_sock.c
 */
#include "netio/world.h"
#include <co/group.h>

TestSuite(sockets, .timeout = 30);

static _Atomic int done;

static void reset(void)
{
    atomic_store(&done, 0);
}

/* Starts a member and lets it run until it sleeps. */
static void start_asleep(struct co_group *group, co_member_fn *fn, void *arg)
{
    int64_t before = stat_of("parked");

    CHECK(co_group_go(group, fn, arg) == 0);
    while (stat_of("parked") == before)
        (void)co_yield();
}

/* ---- hang-up while blocked ---- */

struct blocked {
    int fd;
    int expected;
};

static int receives(void *arg)
{
    const struct blocked *blocked = arg;
    char byte;

    CHECK(co_recv(blocked->fd, &byte, 1) == blocked->expected);
    CHECK(co_recv(blocked->fd, &byte, 1) < 0); /* and so does the next */
    atomic_fetch_add(&done, 1);
    return 0;
}

static int sends(void *arg)
{
    static const char much[1 << 16];
    const struct blocked *blocked = arg;
    ssize_t r;

    do
        r = co_send(blocked->fd, much, sizeof much);
    while (r > 0);
    CHECK(r == blocked->expected);
    atomic_fetch_add(&done, 1);
    return 0;
}

static int accepts(void *arg)
{
    const struct blocked *blocked = arg;

    CHECK(co_accept(blocked->fd) == blocked->expected);
    atomic_fetch_add(&done, 1);
    return 0;
}

static void block_on(struct co_group *group, struct blocked *blocked, int lfd)
{
    struct blocked *listener = blocked + 1;

    *listener = (struct blocked){lfd, blocked->expected};
    start_asleep(group, receives, blocked);
    start_asleep(group, sends, blocked);
    start_asleep(group, accepts, listener);
}

static int hang_up_while_blocked(void *arg)
{
    CO_DEADLINE(20 * CO_SEC);
    char address[64];
    struct blocked blocked[2];
    struct pair pair = make_pair();
    CO_FD(lfd, listen_here(address));
    CO_GROUP(group);

    (void)arg;
    reset();
    blocked[0] = (struct blocked){pair.ours, -ECANCELED};
    block_on(&group, blocked, lfd);
    CHECK(co_hangup(pair.ours) == 0);
    CHECK(co_hangup(lfd) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&done) == 3);
    close_pair(&pair);
    return 0;
}

/* Seen: whoever waited on a descriptor that was closed waited for ever. */
Test(sockets, a_hang_up_ends_reading_writing_and_accepting)
{
    run_on(1, hang_up_while_blocked, NULL);
    run_on(4, hang_up_while_blocked, NULL);
}

static int close_while_blocked(void *arg)
{
    CO_DEADLINE(20 * CO_SEC);
    char address[64];
    struct blocked blocked[2];
    struct pair pair = make_pair();
    int lfd = listen_here(address);
    int before;
    CO_GROUP(group);

    (void)arg;
    reset();
    blocked[0] = (struct blocked){pair.ours, -ECANCELED};
    block_on(&group, blocked, lfd);
    before = descriptors();
    CHECK(co_close(pair.ours) == 0);
    CHECK(co_close(lfd) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&done) == 3);
    CHECK(descriptors() == before - 2);
    CHECK(close(pair.plain) == 0);
    return 0;
}

/* Seen: as above, and the number was used again while somebody was still about to read from it. */
Test(sockets, closing_ends_those_who_wait_and_gives_the_number_back_after_them)
{
    run_on(1, close_while_blocked, NULL);
    run_on(4, close_while_blocked, NULL);
}

/* ---- two on one descriptor ---- */

static int reads_one(void *arg)
{
    char byte;

    CHECK(co_recv(*(int *)arg, &byte, 1) == 1 && byte == 'x');
    atomic_fetch_add(&done, 1);
    return 0;
}

static int two_read(void *arg)
{
    CO_DEADLINE(20 * CO_SEC);
    struct pair pair = make_pair();
    char byte = 0;
    CO_GROUP(group);

    (void)arg;
    reset();
    start_asleep(&group, reads_one, &pair.ours);
    CHECK(co_recv(pair.ours, &byte, 1) == -EBUSY);
    CHECK(co_recvn(pair.ours, &byte, 1) == -EBUSY);
    CHECK(co_go_when(pair.ours, NULL, NULL) == -EBUSY);
    say(pair.plain, "xy");
    CHECK(co_group_wait(&group) == 0);
    CHECK(co_recv(pair.ours, &byte, 1) == 1 && byte == 'y'); /* now it may */
    close_pair(&pair);
    return 0;
}

/* Seen: the second reader waited for ever, or the process aborted. */
Test(sockets, a_second_reader_is_told_at_once_and_the_first_gets_the_bytes)
{
    run_on(1, two_read, NULL);
    run_on(4, two_read, NULL);
}

enum { MUCH = 512 << 10 };

static int fills(void *arg)
{
    static const char much[MUCH];

    CHECK(co_send(*(int *)arg, much, sizeof much) == (ssize_t)sizeof much);
    atomic_fetch_add(&done, 1);
    return 0;
}

static int one_reads_one_writes(void *arg)
{
    static char sink[1 << 16];
    CO_DEADLINE(25 * CO_SEC);
    struct pair pair = make_pair();
    ssize_t left = MUCH;
    CO_GROUP(group);

    (void)arg;
    reset();
    /* Not what the kernel thinks best, which may be all that is to be sent. */
    CHECK(setsockopt(pair.ours, SOL_SOCKET, SO_SNDBUF, &(int){16384}, sizeof(int)) == 0);
    CHECK(setsockopt(pair.plain, SOL_SOCKET, SO_RCVBUF, &(int){16384}, sizeof(int)) == 0);
    start_asleep(&group, reads_one, &pair.ours);
    start_asleep(&group, fills, &pair.ours);
    say(pair.plain, "x");
    while (left > 0) {
        ssize_t n = recv(pair.plain, sink, sizeof sink, MSG_DONTWAIT);

        if (n > 0)
            left -= n;
        else
            (void)co_yield();
    }
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&done) == 2);
    close_pair(&pair);
    return 0;
}

/* Seen: a reader and a writer that waited on one descriptor aborted the process. */
Test(sockets, one_may_wait_to_read_while_another_waits_to_write)
{
    run_on(1, one_reads_one_writes, NULL);
    run_on(4, one_reads_one_writes, NULL);
}

/* ---- total deadlines ---- */

struct drip {
    int plain;
    _Atomic int sent;
    _Atomic int stop;
};

/* A byte each 120 ms, ten in all. */
static int drips(void *arg)
{
    struct drip *drip = arg;

    for (int i = 0; i < 10 && !atomic_load(&drip->stop); i++) {
        say(drip->plain, "d");
        atomic_fetch_add(&drip->sent, 1);
        for (int j = 0; j < 12 && !atomic_load(&drip->stop); j++)
            (void)co_sleep(10 * CO_MS);
    }
    return 0;
}

static int read_drop_by_drop(void *arg)
{
    struct pair pair = make_pair();
    struct drip drip = {.plain = pair.plain};
    char bytes[10];
    int64_t before;
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_go(&group, drips, &drip) == 0);
    before = co_now();
    {
        CO_DEADLINE(200 * CO_MS);
        CHECK(co_recvn(pair.ours, bytes, sizeof bytes) == -ETIMEDOUT);
    }
    CHECK(co_now() - before >= 200 * CO_MS);
    CHECK(atomic_load(&drip.sent) < 10); /* it did not begin anew with each byte */
    atomic_store(&drip.stop, 1);
    CHECK(co_group_wait(&group) == 0);
    close_pair(&pair);
    return 0;
}

/* Seen: ten bytes, one each 120 ms, took 1.2 s under a time-out of 200 ms. */
Test(sockets, a_deadline_of_200_ms_ends_a_read_that_gets_a_byte_each_120_ms)
{
    run_on(2, read_drop_by_drop, NULL);
}

/* ---- errors that are results ---- */

static int listen_twice(void *arg)
{
    char address[64];
    CO_FD(lfd, listen_here(address));

    (void)arg;
    CHECK(co_listen(address) == -EADDRINUSE);
    CHECK(co_listen("no address at all") == -EINVAL);
    return lfd < 0;
}

/* Seen: what could not be bound aborted the process. */
Test(sockets, an_address_in_use_is_an_error_and_not_an_abort)
{
    run_on(1, listen_twice, NULL);
}

/* A port where nobody is taken in, and whose queue is full. */
static int deaf_port(int fds[3])
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;

    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fds[0], (struct sockaddr *)(void *)&addr, len) == 0 && listen(fds[0], 0) == 0);
    CHECK(getsockname(fds[0], (struct sockaddr *)(void *)&addr, &len) == 0);
    for (int i = 1; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)(void *)&addr, len);
    }
    return ntohs(addr.sin_port);
}

static int connect_in_vain(void *arg)
{
    char address[64];
    int fds[3];
    int before, r;

    (void)arg;
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", deaf_port(fds));
    before = descriptors();
    for (int i = 0; i < 5; i++) {
        CO_DEADLINE(10 * CO_MS);
        r = co_connect(address);
        CHECK(r == -ETIMEDOUT);
    }
    CHECK(descriptors() == before);
    for (int i = 0; i < 3; i++)
        CHECK(close(fds[i]) == 0);
    return 0;
}

/* Seen: a connect that timed out left its descriptor open. */
Test(sockets, a_connect_that_times_out_leaves_no_descriptor)
{
    run_on(1, connect_in_vain, NULL);
}

static int end_in_the_midst(void *arg)
{
    struct pair pair = make_pair();
    char bytes[10];

    (void)arg;
    say(pair.plain, "12345");
    CHECK(shutdown(pair.plain, SHUT_WR) == 0);
    CHECK(co_recvn(pair.ours, bytes, sizeof bytes) == 5);
    CHECK(memcmp(bytes, "12345", 5) == 0);
    CHECK(co_recvn(pair.ours, bytes, sizeof bytes) == 0);
    close_pair(&pair);
    return 0;
}

/* Seen: what had come before the end was lost. */
Test(sockets, bytes_that_came_before_the_end_are_not_lost)
{
    run_on(1, end_in_the_midst, NULL);
}

static int time_out_then_read(void *arg)
{
    struct pair pair = make_pair();
    char byte;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        {
            CO_DEADLINE(2 * CO_MS);
            CHECK(co_recv(pair.ours, &byte, 1) == -ETIMEDOUT);
        }
        say(pair.plain, "z");
        CHECK(co_recv(pair.ours, &byte, 1) == 1 && byte == 'z');
    }
    close_pair(&pair);
    return 0;
}

/* Seen: a crash after a time-out on the same socket. */
Test(sockets, after_a_time_out_the_socket_goes_on)
{
    run_on(1, time_out_then_read, NULL);
    run_on(4, time_out_then_read, NULL);
}
