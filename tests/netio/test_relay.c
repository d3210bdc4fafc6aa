/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/test_relay.c - deadlines, hang-up and cancel hold whatever the network does: freezes,
 * trickles, delays, resets in the midst, ends one half, loses, doubles and swaps datagrams. A
 * deadline that ends early is an error; how late it may be is bounded loosely, since the machine
 * may be busy.
 */
#include "netio/world.h"
#include "support/relay.h"
#include <co/datagram.h>
#include <co/group.h>

TestSuite(relay, .timeout = 60);

enum { LATE = 20 }; /* seconds that nobody waits on purpose */

/* A server of ours that sends what it is told to, behind a relay; and a client of ours. */
struct line {
    struct relay *relay;
    int client;
    int server;
};

static struct line string_up(void)
{
    char address[64];
    int lfd = listen_here(address);
    struct line line = {.relay = relay_start(co_local_port(lfd), false)};

    CHECK(line.relay != NULL);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", relay_port(line.relay));
    line.client = co_connect(address);
    CHECK(line.client >= 0);
    line.server = co_accept(lfd);
    CHECK(line.server >= 0 && co_close(lfd) == 0);
    return line;
}

static void take_down(struct line *line)
{
    CHECK(co_close(line->client) == 0 && co_close(line->server) == 0);
    relay_stop(line->relay);
}

/* Says that fn took at least `least`, and not for ever. */
static void expect_span(int64_t begin, int64_t least)
{
    int64_t took = co_now() - begin;

    CHECK(took >= least && "a deadline ended early");
    CHECK(took < LATE * CO_SEC && "a deadline was not kept");
}

static int cut_trickle(void *arg)
{
    struct line line = string_up();
    char buf[100];
    int64_t begin;

    (void)arg;
    relay_set(line.relay, RELAY_TRICKLE, 5000);
    CHECK(co_send(line.server, "0123456789012345678901234567890123456789", 40) == 40);
    begin = co_now();
    {
        CO_DEADLINE(100 * CO_MS); /* one byte each 5 ms: the total is bounded, not each wait */
        CHECK(co_recvn(line.client, buf, 40) == -ETIMEDOUT);
    }
    expect_span(begin, 100 * CO_MS);
    relay_set(line.relay, RELAY_FAITHFUL, 0);
    take_down(&line);
    return 0;
}

Test(relay, bytes_that_trickle_in_do_not_push_a_deadline_on)
{
    run_on(1, cut_trickle, NULL);
    run_on(2, cut_trickle, NULL);
}

enum { RATE = 100000, FLOOD = 40000 };

/* Bytes come all the time, and all of them come, but no faster than the line lets them. */
static int read_through_narrow(void *arg)
{
    static char bytes[FLOOD];
    struct line line = string_up();
    int64_t begin = co_now();
    ssize_t n = 0, got = 0;

    (void)arg;
    relay_set(line.relay, RELAY_RATE, RATE);
    CHECK(co_send(line.server, bytes, sizeof bytes) == FLOOD);
    {
        CO_DEADLINE(100 * CO_MS);
        while (n >= 0) {
            n = co_recv(line.client, bytes, sizeof bytes);
            got += n > 0 ? n : 0;
        }
        CHECK(n == -ETIMEDOUT);
    }
    expect_span(begin, 100 * CO_MS);
    CHECK(got <= (co_now() - begin) / (CO_SEC / RATE));
    CHECK(co_recvn(line.client, bytes, (size_t)(FLOOD - got)) == FLOOD - got);
    expect_span(begin, (FLOOD - RATE / 10) * CO_SEC / RATE);
    take_down(&line);
    return 0;
}

Test(relay, a_deadline_holds_on_a_line_that_is_narrow)
{
    run_on(1, read_through_narrow, NULL);
    run_on(2, read_through_narrow, NULL);
}

static int wait_frozen(void *arg)
{
    struct line line = string_up();
    char buf[8];
    int64_t begin;

    (void)arg;
    relay_set(line.relay, RELAY_FROZEN, 0);
    CHECK(co_send(line.server, "frozen", 6) == 6);
    begin = co_now();
    {
        CO_DEADLINE(30 * CO_MS);
        CHECK(co_recv(line.client, buf, sizeof buf) == -ETIMEDOUT);
    }
    expect_span(begin, 30 * CO_MS);
    relay_set(line.relay, RELAY_FAITHFUL, 0); /* nothing is lost by that */
    CHECK(co_recvn(line.client, buf, 6) == 6 && memcmp(buf, "frozen", 6) == 0);
    take_down(&line);
    return 0;
}

Test(relay, a_frozen_peer_costs_a_deadline_and_no_bytes)
{
    run_on(1, wait_frozen, NULL);
    run_on(2, wait_frozen, NULL);
}

static int fill_frozen(void *arg)
{
    static char much[64 << 20]; /* more than all buffers on the way hold */
    struct line line = string_up();
    int64_t begin;

    (void)arg;
    relay_set(line.relay, RELAY_FROZEN, 0);
    do { /* once, unless the deadline has passed before it has begun */
        begin = co_now();
        CO_DEADLINE(50 * CO_MS);
        CHECK(co_send(line.client, much, sizeof much) == -ETIMEDOUT);
        expect_span(begin, 50 * CO_MS);
    } while (!is_broken(line.client));
    CHECK(co_send(line.client, "x", 1) == -EPIPE); /* the stream is broken midway */
    take_down(&line);
    return 0;
}

Test(relay, a_peer_that_reads_nothing_does_not_hold_a_sender_beyond_its_deadline)
{
    run_on(2, fill_frozen, NULL);
}

static int late_answer(void *arg)
{
    struct line line = string_up();
    char buf[8];
    int64_t begin;

    (void)arg;
    relay_set(line.relay, RELAY_DELAY, 30000);
    begin = co_now();
    CHECK(co_send(line.server, "late", 4) == 4);
    {
        CO_DEADLINE(LATE * CO_SEC);
        CHECK(co_recvn(line.client, buf, 4) == 4 && memcmp(buf, "late", 4) == 0);
    }
    expect_span(begin, 30 * CO_MS);
    take_down(&line);
    return 0;
}

Test(relay, an_answer_that_is_delayed_is_waited_for)
{
    run_on(1, late_answer, NULL);
}

static int reset_midway(void *arg)
{
    struct line line = string_up();
    char buf[100] = {0};
    ssize_t n;

    (void)arg;
    relay_set(line.relay, RELAY_RESET, 50);
    CHECK(co_send(line.server, buf, sizeof buf) == (ssize_t)sizeof buf);
    {
        CO_DEADLINE(LATE * CO_SEC);
        n = co_recvn(line.client, buf, sizeof buf);
        CHECK(n == -ECONNRESET);
        do /* the other side is told as well */
            n = co_recv(line.server, buf, sizeof buf);
        while (n > 0);
        CHECK(n == -ECONNRESET || n == 0);
    }
    CHECK(relay_passed(line.relay) == 50);
    take_down(&line);
    return 0;
}

Test(relay, a_connection_that_is_reset_midway_tells_both_sides)
{
    run_on(1, reset_midway, NULL);
    run_on(2, reset_midway, NULL);
}

static int end_midway(void *arg)
{
    struct line line = string_up();
    char buf[100] = {0};
    CO_DEADLINE(LATE * CO_SEC);

    (void)arg;
    relay_set(line.relay, RELAY_HALF, 50);
    CHECK(co_send(line.server, buf, sizeof buf) == (ssize_t)sizeof buf);
    CHECK(co_recvn(line.client, buf, sizeof buf) == 50); /* and then the end */
    CHECK(co_recv(line.client, buf, sizeof buf) == 0);
    relay_set(line.relay, RELAY_FAITHFUL, 0);
    CHECK(co_send(line.client, "still", 5) == 5); /* the other half is open */
    CHECK(co_recvn(line.server, buf, 5) == 5 && memcmp(buf, "still", 5) == 0);
    take_down(&line);
    return 0;
}

Test(relay, a_half_that_ends_midway_leaves_the_other_open)
{
    run_on(1, end_midway, NULL);
    run_on(2, end_midway, NULL);
}

/* ---- hang-up and cancel ---- */

struct reader {
    int fd;
    _Atomic int began;
    _Atomic int result;
};

static int read_much(void *arg)
{
    struct reader *reader = arg;
    char buf[1000];

    atomic_store(&reader->began, 1);
    atomic_store(&reader->result, (int)co_recvn(reader->fd, buf, sizeof buf));
    return 0;
}

/* Cuts who reads from a line on which bytes trickle: by a hang-up, or by a cancel. */
static int cut_reader(void *arg)
{
    struct line line = string_up();
    struct reader reader = {.fd = line.client};
    char bytes[1000] = {0};
    CO_GROUP(group);

    relay_set(line.relay, RELAY_TRICKLE, 1000);
    CHECK(co_send(line.server, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    CHECK(co_group_go(&group, read_much, &reader) == 0);
    until(&reader.began, 1);
    while (relay_passed(line.relay) < 5)
        (void)co_sleep(CO_MS);
    if (arg)
        CHECK(co_hangup(line.client) == 0);
    else
        co_group_cancel(&group);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&reader.result) == -ECANCELED);
    take_down(&line);
    return 0;
}

Test(relay, a_reader_of_trickling_bytes_is_hung_up)
{
    run_on(1, cut_reader, &(int){1});
    run_on(2, cut_reader, &(int){1});
}

Test(relay, a_reader_of_trickling_bytes_is_cancelled)
{
    run_on(1, cut_reader, NULL);
    run_on(2, cut_reader, NULL);
}

/* ---- datagrams ---- */

struct wire {
    struct relay *relay;
    int client, server;
};

static struct wire open_wire(void)
{
    struct wire wire = {.server = co_datagram_bind(NULL, "127.0.0.1:0")};
    char address[64];

    CHECK(wire.server >= 0);
    wire.relay = relay_start(co_local_port(wire.server), true);
    CHECK(wire.relay != NULL);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", relay_port(wire.relay));
    wire.client = co_datagram_connect(NULL, NULL, address);
    CHECK(wire.client >= 0);
    return wire;
}

static void close_wire(struct wire *wire)
{
    CHECK(co_close(wire->client) == 0 && co_close(wire->server) == 0);
    relay_stop(wire->relay);
}

/* Sends a, b, c, d. Returns: whether just `expected` comes, in that order. */
static bool comes(struct wire *wire, const char *expected)
{
    size_t got = 0;
    char byte;

    for (const char *c = "abcd"; *c; c++)
        CHECK(co_send(wire->client, c, 1) == 1);
    while (expected[got]) {
        CO_DEADLINE(LATE * CO_SEC);
        if (co_recv(wire->server, &byte, 1) != 1 || byte != expected[got])
            return false;
        got++;
    }
    CO_DEADLINE(20 * CO_MS); /* and no more */
    return co_recv(wire->server, &byte, 1) == -ETIMEDOUT;
}

static int treat_datagrams(void *arg)
{
    struct wire wire = open_wire();

    (void)arg;
    CHECK(comes(&wire, "abcd"));
    relay_set(wire.relay, RELAY_DROP, 2);
    CHECK(comes(&wire, "ac"));
    relay_set(wire.relay, RELAY_TWICE, 0);
    CHECK(comes(&wire, "aabbccdd"));
    relay_set(wire.relay, RELAY_SWAP, 0);
    CHECK(comes(&wire, "badc"));
    relay_set(wire.relay, RELAY_FROZEN, 0);
    CHECK(comes(&wire, ""));
    close_wire(&wire);
    return 0;
}

Test(relay, datagrams_that_are_lost_doubled_or_swapped_are_seen_as_they_come)
{
    run_on(1, treat_datagrams, NULL);
    run_on(2, treat_datagrams, NULL);
}
