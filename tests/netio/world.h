/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/world.h - what the tests of sockets share: a listener, pairs of connected sockets,
 * and plain sockets of the kernel for the peer whose every move a test wants to make itself.
 */
#ifndef TESTS_NETIO_WORLD_H
#define TESTS_NETIO_WORLD_H

#include "support/run.h"
#include <arpa/inet.h>
#include <co/net.h>
#include <co/park.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* A listener on a port of the system's choice. */
static inline int listen_here(char address[64])
{
    int lfd = co_listen("127.0.0.1:0");

    CHECK(lfd >= 0);
    (void)snprintf(address, 64, "127.0.0.1:%d", co_local_port(lfd));
    return lfd;
}

/* A blocking socket of the kernel's, connected to a port of loopback; negative: it could not. */
static inline int plain_connect(int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)(void *)&addr, sizeof addr) < 0) {
        (void)close(fd);
        return -1;
    }
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

/* One of ours, connected to a plain one. */
struct pair {
    int ours;
    int plain;
};

static inline struct pair make_pair(void)
{
    char address[64];
    struct pair pair;
    int lfd = listen_here(address);

    pair.plain = plain_connect(co_local_port(lfd));
    CHECK(pair.plain >= 0);
    pair.ours = co_accept(lfd);
    CHECK(pair.ours >= 0);
    CHECK(co_close(lfd) == 0);
    return pair;
}

static inline void close_pair(const struct pair *pair)
{
    CHECK(co_close(pair->ours) == 0);
    CHECK(pair->plain < 0 || close(pair->plain) == 0);
}

/* Two of ours, connected to each other. */
static inline void make_ours(int fds[2])
{
    char address[64];
    int lfd = listen_here(address);

    fds[0] = co_connect(address);
    CHECK(fds[0] >= 0);
    fds[1] = co_accept(lfd);
    CHECK(fds[1] >= 0);
    CHECK(co_close(lfd) == 0);
}

/* Writes to a plain socket what fits at once. */
static inline void say(int plain, const char *text)
{
    CHECK(send(plain, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* Waits until so many bytes have arrived at a descriptor of ours, without reading them. */
static inline void until_arrived(int fd, size_t len)
{
    char buf[64];

    while (recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT) < (ssize_t)len)
        (void)co_yield();
}

/* Waits until poll(2) sees all of these events: the kernel has done what was asked of it. */
static inline void until_polled(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    while (poll(&p, 1, 0) < 0 || (p.revents & events) != events)
        (void)co_yield();
}

/* Whether something was cut midway, so that nothing can be sent any more. */
static inline bool is_broken(int fd)
{
    return co_send(fd, "", 0) == -EPIPE;
}

/* Sends more than there is room for, while nobody reads, until it is cut midway by a deadline. */
static inline void send_too_much(int fd, const void *data, size_t len)
{
    do { /* once, unless the deadline has passed before it has begun */
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_send(fd, data, len) == -ETIMEDOUT);
    } while (!is_broken(fd));
}

/* Closes so that the peer gets a reset. */
static inline void reset_peer(int plain)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    CHECK(setsockopt(plain, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
    CHECK(close(plain) == 0);
}

/* Lets others run for a while, so that who is about to wait does so. */
static inline void let_wait(void)
{
    for (int i = 0; i < 20; i++)
        (void)co_yield();
    (void)co_sleep(2 * CO_MS);
}

#endif
