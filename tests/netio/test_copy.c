/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/test_copy.c - copies of a descriptor that outlive it, as a child's standard input
 * does: what comes for them is no business of the worker that had the descriptor.
 */
#include "netio/world.h"
#include <co/foreign.h>
#include <co/offload.h>

TestSuite(copy, .timeout = 60);

enum { LOTS = 8 << 20, FEW = 20 };

/* Moves LOTS from one plain end to another. */
struct transfer {
    int from, to;
};

static int move_lots(void *arg)
{
    static char buf[64 << 10];
    const struct transfer *transfer = arg;
    struct pollfd polls[2] = {{.fd = transfer->from, .events = POLLOUT},
                              {.fd = transfer->to, .events = POLLIN}};
    size_t sent = 0, received = 0;

    while (received < LOTS) {
        ssize_t n;

        if (poll(polls, 2, 20000) <= 0)
            return -ETIMEDOUT;
        n = send(transfer->from, buf, sent < LOTS ? sizeof buf : 0, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        polls[0].events = sent < LOTS ? POLLOUT : 0;
        n = recv(transfer->to, buf, sizeof buf, MSG_DONTWAIT);
        received += n > 0 ? (size_t)n : 0;
        if (n == 0)
            return -EPIPE;
    }
    return 0;
}

/* How often the worker has looked at its epoll, while LOTS are moved by the offload pool. */
static int64_t looks_during(int from, int to)
{
    struct transfer transfer = {from, to};
    int64_t before = stat_of("polls");
    int r = -1;

    CHECK(co_offload(move_lots, &transfer, &r) == 0 && r == 0);
    return stat_of("polls") - before;
}

static int copy_of(int fd)
{
    int copy = dup(fd);

    CHECK(copy >= 0);
    return copy;
}

/* What close(2) does of itself is not asked for. */
static int close_counted(int fd)
{
    int64_t before = stat_of("epoll_ctls");

    CHECK(co_close(fd) == 0);
    return (int)(stat_of("epoll_ctls") - before);
}

static void until_the_end(int fd)
{
    char byte;

    CHECK(co_recv(fd, &byte, 1) == 0);
}

/* The peer says his last; ours is closed, which takes so many calls; the copy sends. */
static void send_by_copy(const struct pair *pair, int calls)
{
    int copy = copy_of(pair->ours);

    CHECK(shutdown(pair->plain, SHUT_WR) == 0);
    until_the_end(pair->ours);
    CHECK(close_counted(pair->ours) == calls);
    CHECK(looks_during(copy, pair->plain) <= FEW);
    CHECK(close(copy) == 0 && close(pair->plain) == 0);
}

static int outlive(void *arg)
{
    static char lots[LOTS];
    struct pair pair = make_pair();
    int copy;

    (void)arg;
    /* The peer may say more, and the copy hears it. */
    copy = copy_of(pair.ours);
    CHECK(close_counted(pair.ours) == 1);
    CHECK(looks_during(pair.plain, copy) <= FEW);
    CHECK(close(copy) == 0 && close(pair.plain) == 0);
    pair = make_pair();
    send_by_copy(&pair, 0);
    /* The peer was slow: the worker would be told of each bit of room. */
    pair = make_pair();
    send_too_much(pair.ours, lots, sizeof lots);
    send_by_copy(&pair, 1);
    return 0;
}

Test(copy, what_comes_for_a_copy_does_not_keep_the_worker_busy)
{
    run_on(1, outlive, NULL);
}

static int come_back(void *arg)
{
    struct pair pair = make_pair();
    int number = pair.ours;
    int copy = copy_of(number);

    (void)arg;
    CHECK(shutdown(pair.plain, SHUT_WR) == 0);
    until_the_end(number);
    CHECK(co_close(number) == 0);
    CHECK(dup2(copy, number) == number); /* to the epoll it is the one of before */
    CHECK(co_adopt(number) == 0);
    CHECK(co_fd_wait(number, CO_READABLE) == CO_READABLE);
    until_the_end(number);
    CHECK(co_send(number, "x", 1) == 1);
    CHECK(co_close(number) == 0);
    CHECK(close(copy) == 0 && close(pair.plain) == 0);
    return 0;
}

Test(copy, a_copy_may_come_back_under_the_number_of_the_closed_one)
{
    run_on(1, come_back, NULL);
}
