/* SPDX-License-Identifier: MIT */
/*
 * tests/support/relay.c - one thread per relay, which sleeps in poll(2) for at most a millisecond
 * while it holds something back. Bytes that are held back lie in a ring per direction, each piece
 * with the time when it may go.
 */
#include "support/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 16, HELD = 65536, DATAGRAM = 2048 };

/* One direction of a connection. */
struct way {
    unsigned char held[HELD];
    size_t len;
    int64_t due;       /* of the first byte, in microseconds */
    int64_t allowance; /* RATE: what may go, in millionths of a byte */
    int64_t counted;   /* RATE: until when it has grown, in microseconds; 0: not yet */
    bool ended;        /* the source has ended its half */
    bool passed;       /* and so has the relay towards the other side */
};

struct pair {
    int fds[2];         /* client, server; -1: the pair is free */
    struct way ways[2]; /* from the client, from the server */
};

struct relay {
    pthread_t thread;
    int listener; /* or the datagram socket that clients send to */
    int target;   /* datagrams: the socket that sends to the server */
    int port, server_port;
    bool datagrams;
    _Atomic int fault;
    _Atomic int64_t value; /* for RESET and HALF it counts down */
    _Atomic uint64_t passed;
    _Atomic bool stop;
    uint64_t seen; /* datagrams from the client */
    struct sockaddr_in client;
    unsigned char kept[DATAGRAM]; /* SWAP: the first of two */
    ssize_t kept_len;             /* -1: none */
    struct pair pairs[PAIRS];
};

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_socket(int type, int *ret_port)
{
    struct sockaddr_in addr = loopback(0);
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)(void *)&addr, sizeof addr) < 0 ||
        (type == SOCK_STREAM && listen(fd, 64) < 0) ||
        getsockname(fd, (struct sockaddr *)(void *)&addr, &len) < 0)
        abort(); /* loopback without ports: no test can go on */
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

/* ---- connections ---- */

static void close_pair(struct pair *pair, bool hard)
{
    const struct linger reset = {.l_onoff = 1};

    for (int i = 0; i < 2; i++) {
        if (hard)
            (void)setsockopt(pair->fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        (void)close(pair->fds[i]);
    }
    *pair = (struct pair){.fds = {-1, -1}};
}

static void accept_one(struct relay *relay)
{
    struct sockaddr_in addr = loopback(relay->server_port);
    struct pair *pair = relay->pairs;
    int fd = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int on = 1;

    if (fd < 0)
        return;
    while (pair < relay->pairs + PAIRS && pair->fds[0] >= 0)
        pair++;
    if (pair == relay->pairs + PAIRS)
        abort(); /* a test that needs more */
    pair->fds[0] = fd;
    pair->fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(pair->fds[1], (struct sockaddr *)(void *)&addr, sizeof addr) < 0) {
        close_pair(pair, true);
        return;
    }
    for (int i = 0; i < 2; i++)
        (void)setsockopt(pair->fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void take_in(struct relay *relay, struct pair *pair, int from)
{
    struct way *way = &pair->ways[from];
    ssize_t n;

    if (way->ended || way->len == HELD || atomic_load(&relay->fault) == RELAY_FROZEN)
        return;
    n = recv(pair->fds[from], way->held + way->len, HELD - way->len, MSG_DONTWAIT);
    if (n > 0) {
        if (way->len == 0)
            way->due = now_us() +
                       (atomic_load(&relay->fault) == RELAY_DELAY ? atomic_load(&relay->value) : 0);
        way->len += (size_t)n;
    } else if (n == 0) {
        way->ended = true;
    } else if (errno != EAGAIN && errno != EINTR) {
        close_pair(pair, true); /* a reset is passed on */
    }
}

/* Lets the allowance grow with time. Returns: how many bytes it is worth. */
static size_t allowed(struct way *way, int64_t rate)
{
    int64_t now = now_us();

    if (way->counted == 0)
        way->counted = now;
    way->allowance += (now - way->counted) * rate;
    way->counted = now;
    if (way->allowance > rate * 100000)
        way->allowance = rate * 100000;
    return (size_t)(way->allowance / 1000000);
}

/* How many of the held bytes may go now. */
static size_t may_go(const struct relay *relay, struct way *way, int from)
{
    int64_t value = atomic_load(&relay->value);
    int fault = atomic_load(&relay->fault);

    if (way->len == 0 || fault == RELAY_FROZEN || now_us() < way->due)
        return 0;
    if (fault == RELAY_TRICKLE)
        return 1;
    if (fault == RELAY_RATE) {
        size_t most = allowed(way, value);

        return way->len < most ? way->len : most;
    }
    if ((fault == RELAY_RESET || fault == RELAY_HALF) && from == 1 && (int64_t)way->len > value)
        return (size_t)value;
    return way->len;
}

/* After bytes of the server went on. Returns: whether the pair is no more. */
static bool strike(struct relay *relay, struct pair *pair, size_t went)
{
    int fault = atomic_load(&relay->fault);

    if (fault != RELAY_RESET && fault != RELAY_HALF)
        return false;
    if (atomic_fetch_sub(&relay->value, (int64_t)went) - (int64_t)went > 0)
        return false;
    if (fault == RELAY_RESET) {
        close_pair(pair, true);
        return true;
    }
    (void)shutdown(pair->fds[0], SHUT_WR);
    pair->ways[1].passed = pair->ways[1].ended = true;
    pair->ways[1].len = 0;
    return false;
}

static void pass_on(struct relay *relay, struct pair *pair, int from)
{
    struct way *way = &pair->ways[from];
    size_t len = may_go(relay, way, from);
    ssize_t n = 0;

    if (len > 0)
        n = send(pair->fds[!from], way->held, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
        way->len -= (size_t)n;
        memmove(way->held, way->held + n, way->len);
        if (atomic_load(&relay->fault) == RELAY_TRICKLE)
            way->due = now_us() + atomic_load(&relay->value);
        if (atomic_load(&relay->fault) == RELAY_RATE)
            way->allowance -= n * 1000000;
        if (from == 1)
            atomic_fetch_add(&relay->passed, (uint64_t)n);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        close_pair(pair, true);
        return;
    }
    if (from == 1 && strike(relay, pair, n > 0 ? (size_t)n : 0))
        return;
    if (way->ended && way->len == 0 && !way->passed && atomic_load(&relay->fault) != RELAY_FROZEN) {
        (void)shutdown(pair->fds[!from], SHUT_WR);
        way->passed = true;
    }
}

static void serve_pair(struct relay *relay, struct pair *pair)
{
    for (int from = 0; from < 2 && pair->fds[0] >= 0; from++) {
        take_in(relay, pair, from);
        if (pair->fds[0] >= 0)
            pass_on(relay, pair, from);
    }
    if (pair->fds[0] >= 0 && pair->ways[0].passed && pair->ways[1].passed)
        close_pair(pair, false);
}

static void serve_connections(struct relay *relay)
{
    struct pollfd polls[1 + 2 * PAIRS];
    nfds_t count = 1;

    polls[0] = (struct pollfd){.fd = relay->listener, .events = POLLIN};
    for (int i = 0; i < PAIRS; i++) {
        for (int from = 0; from < 2; from++) {
            bool wants =
                !relay->pairs[i].ways[from].ended && atomic_load(&relay->fault) != RELAY_FROZEN;

            polls[count++] =
                (struct pollfd){.fd = wants ? relay->pairs[i].fds[from] : -1, .events = POLLIN};
        }
    }
    (void)poll(polls, count, 1);
    accept_one(relay);
    for (int i = 0; i < PAIRS; i++) {
        if (relay->pairs[i].fds[0] >= 0)
            serve_pair(relay, &relay->pairs[i]);
    }
}

/* ---- datagrams ---- */

static void to_server(struct relay *relay, const void *buf, size_t len)
{
    (void)send(relay->target, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void treat(struct relay *relay, const unsigned char *buf, ssize_t len)
{
    int fault = atomic_load(&relay->fault);
    uint64_t value = (uint64_t)atomic_load(&relay->value);

    relay->seen++;
    if (fault == RELAY_FROZEN || (fault == RELAY_DROP && relay->seen % value == 0))
        return;
    if (fault == RELAY_SWAP && relay->kept_len < 0) {
        memcpy(relay->kept, buf, (size_t)len);
        relay->kept_len = len;
        return;
    }
    to_server(relay, buf, (size_t)len);
    if (fault == RELAY_TWICE)
        to_server(relay, buf, (size_t)len);
    if (relay->kept_len >= 0)
        to_server(relay, relay->kept, (size_t)relay->kept_len);
    relay->kept_len = -1;
}

static void serve_datagrams(struct relay *relay)
{
    struct pollfd polls[2] = {{.fd = relay->listener, .events = POLLIN},
                              {.fd = relay->target, .events = POLLIN}};
    socklen_t from_len = sizeof relay->client;
    unsigned char buf[DATAGRAM];
    ssize_t n;

    (void)poll(polls, 2, 1);
    n = recvfrom(relay->listener, buf, sizeof buf, MSG_DONTWAIT,
                 (struct sockaddr *)(void *)&relay->client, &from_len);
    if (n >= 0)
        treat(relay, buf, n);
    n = recv(relay->target, buf, sizeof buf, MSG_DONTWAIT);
    if (n >= 0 && sendto(relay->listener, buf, (size_t)n, MSG_DONTWAIT,
                         (struct sockaddr *)(void *)&relay->client, sizeof relay->client) >= 0)
        atomic_fetch_add(&relay->passed, 1);
}

/* ---- life ---- */

static void *serve(void *arg)
{
    struct relay *relay = arg;

    while (!atomic_load(&relay->stop)) {
        if (relay->datagrams)
            serve_datagrams(relay);
        else
            serve_connections(relay);
    }
    return NULL;
}

struct relay *relay_start(int port, bool datagrams)
{
    struct relay *relay = calloc(1, sizeof *relay);
    struct sockaddr_in addr = loopback(port);
    int own;

    if (!relay)
        return NULL;
    for (int i = 0; i < PAIRS; i++)
        relay->pairs[i].fds[0] = relay->pairs[i].fds[1] = -1;
    relay->server_port = port;
    relay->datagrams = datagrams;
    relay->kept_len = -1;
    relay->target = -1;
    relay->listener = open_socket(datagrams ? SOCK_DGRAM : SOCK_STREAM, &relay->port);
    if (datagrams) {
        relay->target = open_socket(SOCK_DGRAM, &own);
        (void)connect(relay->target, (struct sockaddr *)(void *)&addr, sizeof addr);
    }
    if (pthread_create(&relay->thread, NULL, serve, relay) != 0)
        abort();
    return relay;
}

int relay_port(const struct relay *relay)
{
    return relay->port;
}

void relay_set(struct relay *relay, enum relay_fault fault, int64_t value)
{
    atomic_store(&relay->value, value);
    atomic_store(&relay->fault, (int)fault);
}

uint64_t relay_passed(struct relay *relay)
{
    return atomic_load(&relay->passed);
}

void relay_stop(struct relay *relay)
{
    atomic_store(&relay->stop, true);
    (void)pthread_join(relay->thread, NULL);
    for (int i = 0; i < PAIRS; i++) {
        if (relay->pairs[i].fds[0] >= 0)
            close_pair(&relay->pairs[i], true);
    }
    (void)close(relay->listener);
    if (relay->target >= 0)
        (void)close(relay->target);
    free(relay);
}
