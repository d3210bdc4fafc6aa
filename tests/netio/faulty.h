/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/faulty.h - everything that netio offers, in steps that each end well or say why not:
 * what test_faults.c has system calls fail in.
 */
#ifndef TESTS_NETIO_FAULTY_H
#define TESTS_NETIO_FAULTY_H

#include "support/faults.h"
#include "support/run.h"
#include <co/connect.h>
#include <co/datagram.h>
#include <co/foreign.h>
#include <co/group.h>
#include <co/listen.h>
#include <co/net.h>
#include <co/offload.h>
#include <co/sockopt.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A step has sides: what went wrong here, and what went wrong in the coroutines that it started.
 * When one side fails the other may see the consequence, so only one of them is the cause.
 */
struct outcome {
    int here;
    int there;
    int third;
};

enum { FAULTY_BYTES = 30000 };

static inline unsigned char faulty_byte(size_t at)
{
    return (unsigned char)(at * 31 + (at >> 8) * 7);
}

static inline void faulty_fill(unsigned char *buf, size_t at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = faulty_byte(at + i);
}

static inline void faulty_compare(const unsigned char *buf, size_t at, size_t len)
{
    bool same = true;

    for (size_t i = 0; i < len; i++)
        same = same && buf[i] == faulty_byte(at + i);
    CHECK(same && "what came is what was sent");
}

/* ---- streams ---- */

/*
 * What coroutines of a step share. Who fails says why before he closes, so that the first to say
 * something is the cause, and the others see its consequence.
 */
struct faulty_side {
    int fd;
    _Atomic int error;
};

static inline int faulty_failed(struct faulty_side *side, ssize_t r)
{
    int none = 0;

    if (r < 0)
        (void)atomic_compare_exchange_strong(&side->error, &none, (int)r);
    return r < 0 ? (int)r : 0;
}

/* Accepts one, sends back what comes, in three pieces, until the end. */
static inline int faulty_echo(void *arg)
{
    struct faulty_side *side = arg;
    unsigned char buf[3000];
    size_t at = 0;
    CO_FD(conn, co_accept(side->fd));

    if (conn < 0)
        return faulty_failed(side, conn);
    for (;;) {
        ssize_t n = co_recv(conn, buf, sizeof buf);
        size_t third = n > 0 ? (size_t)n / 3 : 0;

        if (n <= 0)
            return faulty_failed(side, n);
        faulty_compare(buf, at, (size_t)n);
        at += (size_t)n;
        struct iovec pieces[3] = {
            {buf, third}, {buf + third, third}, {buf + 2 * third, (size_t)n - 2 * third}};
        n = co_sendv(conn, pieces, 3);
        if (n < 0)
            return faulty_failed(side, n);
    }
}

static inline int faulty_send(void *arg)
{
    struct faulty_side *side = arg;
    unsigned char buf[FAULTY_BYTES];
    ssize_t n;

    faulty_fill(buf, 0, sizeof buf);
    n = co_send(side->fd, buf, sizeof buf);
    if (n >= 0)
        n = co_shutdown(side->fd, SHUT_WR);
    if (faulty_failed(side, n) < 0)
        (void)co_shutdown(side->fd, SHUT_RDWR); /* no more will come back */
    return n < 0 ? (int)n : 0;
}

static inline int faulty_recv(int fd)
{
    unsigned char buf[FAULTY_BYTES];
    ssize_t n = co_recvn(fd, buf, sizeof buf);

    if (n < 0)
        return (int)n;
    faulty_compare(buf, 0, (size_t)n);
    if (n != FAULTY_BYTES)
        return -ECONNRESET; /* it ended early: the other side knows why */
    return (int)co_recv(fd, buf, 1);
}

static inline struct outcome faulty_stream(const char *listen_at, const char *connect_to)
{
    const struct co_listen_opts listening = {.recv_buffer = 4096, .send_buffer = 4096};
    const struct co_connect_opts connecting = {.recv_buffer = 4096, .send_buffer = 4096};
    struct outcome outcome = {0, 0, 0};
    char address[64];
    CO_FD(lfd, co_listen_with(&listening, listen_at));
    int port = lfd >= 0 ? co_local_port(lfd) : lfd;

    if (port < 0 && port != -EAFNOSUPPORT)
        return (struct outcome){port, 0, 0};
    (void)snprintf(address, sizeof address, connect_to, port);
    {
        struct faulty_side server = {.fd = lfd}, client = {.fd = -1};
        CO_FD(fd, -1);
        CO_GROUP(group);

        outcome.here = co_group_go(&group, faulty_echo, &server);
        if (outcome.here == 0)
            outcome.here = client.fd = fd = co_connect_with(&connecting, address);
        if (fd >= 0)
            outcome.here = co_group_go(&group, faulty_send, &client);
        if (outcome.here >= 0)
            outcome.here = faulty_recv(fd);
        if (outcome.here == 0)
            outcome.here = co_group_wait(&group);
        co_group_cancel(&group);
        (void)co_group_close(&group);
        outcome.there = atomic_load(&server.error);
        outcome.third = atomic_load(&client.error);
    }
    return outcome;
}

static inline struct outcome faulty_tcp(void)
{
    return faulty_stream("127.0.0.1:0", "127.0.0.1:%d");
}

/* Addresses of both families: the first refuses, perhaps. */
static inline struct outcome faulty_name(void)
{
    return faulty_stream("127.0.0.1:0", "localhost:%d");
}

/* The file of an earlier run is left behind. */
static inline struct outcome faulty_local(void)
{
    static char path[64];

    if (!path[0])
        (void)snprintf(path, sizeof path, "unix:/tmp/corvid-faults-%d", (int)getpid());
    return faulty_stream(path, path);
}

static inline void faulty_local_clean(void)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/tmp/corvid-faults-%d", (int)getpid());
    (void)unlink(path);
}

/* ---- files ---- */

struct faulty_sender {
    struct faulty_side side;
    int file;
};

/* Accepts one, and sends it the file. */
static inline int faulty_send_file(void *arg)
{
    struct faulty_sender *sender = arg;
    CO_FD(conn, co_accept(sender->side.fd));
    ssize_t n = conn < 0 ? conn : co_sendfile(conn, sender->file, 0, FAULTY_BYTES);

    if (n >= 0)
        CHECK(n == FAULTY_BYTES);
    return faulty_failed(&sender->side, n);
}

static inline struct outcome faulty_file(void)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    int port = lfd < 0 ? lfd : co_local_port(lfd);
    struct faulty_sender sender = {.side = {.fd = lfd}, .file = memfd_create("bytes", MFD_CLOEXEC)};
    struct outcome outcome = {port, 0, 0};
    unsigned char buf[FAULTY_BYTES];
    char address[64];

    faulty_fill(buf, 0, sizeof buf);
    CHECK(faults_real_write(sender.file, buf, sizeof buf) == FAULTY_BYTES);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", port);
    if (port >= 0) {
        CO_FD(fd, -1);
        CO_GROUP(group);

        outcome.here = co_group_go(&group, faulty_send_file, &sender);
        if (outcome.here == 0)
            outcome.here = fd = co_connect(address);
        if (fd >= 0)
            outcome.here = faulty_recv(fd);
        co_group_cancel(&group);
        (void)co_group_close(&group);
    }
    outcome.there = atomic_load(&sender.side.error);
    (void)faults_real_close(sender.file);
    return outcome;
}

/* ---- one listener for each worker, and connections that are served when they speak ---- */

static inline void faulty_answer(int conn, void *arg)
{
    CO_FD(fd, conn);
    char buf[16];
    ssize_t n = co_recvn(fd, buf, 8);

    if (n > 0)
        n = co_send(fd, buf, (size_t)n);
    (void)faulty_failed(arg, n);
}

/* Connections that cannot be served are closed; they are told apart by their own error. */
struct faulty_service {
    struct faulty_side listener, connections;
};

static inline int faulty_serve(void *arg)
{
    struct faulty_service *service = arg;
    int r = co_serve(service->listener.fd, faulty_answer, &service->connections);

    if (faulty_failed(&service->listener, r) < 0) /* clients must not wait for an answer */
        (void)co_shutdown(service->listener.fd, SHUT_RDWR);
    return r;
}

static inline int faulty_ask(const char *address)
{
    char buf[8];
    CO_FD(fd, co_connect(address));
    ssize_t n;

    if (fd < 0)
        return fd;
    n = co_send(fd, "question", sizeof buf);
    if (n > 0)
        n = co_recvn(fd, buf, sizeof buf);
    if (n < 0)
        return (int)n;
    CHECK(memcmp(buf, "question", (size_t)n) == 0);
    return n == sizeof buf ? 0 : -ECONNRESET;
}

static inline struct outcome faulty_service(void)
{
    const struct co_listen_opts each = {.per_worker = 1};
    CO_FD(lfd, co_listen_with(&each, "127.0.0.1:0"));
    struct faulty_service service = {.listener = {.fd = lfd}};
    struct outcome outcome = {lfd, 0, 0};
    char address[64];
    int port;

    if (lfd < 0)
        return outcome;
    port = co_local_port(lfd);
    if (port < 0)
        return (struct outcome){port, 0, 0};
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", port);
    {
        CO_GROUP(group);

        outcome.here = co_group_go(&group, faulty_serve, &service);
        for (int i = 0; i < 3 && outcome.here == 0; i++)
            outcome.here = faulty_ask(address);
        (void)co_hangup(lfd);
        (void)co_group_close(&group);
    }
    outcome.there = atomic_load(&service.listener.error);
    outcome.third = atomic_load(&service.connections.error);
    return outcome;
}

/* ---- datagrams ---- */

enum { FAULTY_BATCH = 3 };

static inline int faulty_batch(int from, int to, const struct co_addr *addr)
{
    struct co_datagram out[FAULTY_BATCH], in[FAULTY_BATCH];
    unsigned char buf[FAULTY_BATCH][8];
    int sent = 0, got = 0;

    for (int i = 0; i < FAULTY_BATCH; i++) {
        out[i] =
            (struct co_datagram){.data = (void *)(uintptr_t) "abcdefgh", .len = 8, .addr = *addr};
        in[i] = (struct co_datagram){.data = buf[i], .cap = sizeof buf[i]};
    }
    while (sent < FAULTY_BATCH) {
        int r = co_sendmany(from, out + sent, FAULTY_BATCH - sent);

        if (r < 0)
            return r;
        sent += r;
    }
    while (got < FAULTY_BATCH) {
        int r = co_recvmany(to, in + got, FAULTY_BATCH - got);

        if (r < 0)
            return r;
        got += r;
    }
    for (int i = 0; i < FAULTY_BATCH; i++)
        CHECK(in[i].len == 8 && memcmp(buf[i], "abcdefgh", 8) == 0);
    return 0;
}

static inline struct outcome faulty_datagrams(void)
{
    CO_FD(a, co_datagram_bind(NULL, "127.0.0.1:0"));
    struct co_addr addr, from;
    char text[64], buf[16];
    ssize_t n = a < 0 ? a : co_local_addr(a, &addr);

    if (n < 0)
        return (struct outcome){(int)n, 0, 0};
    (void)snprintf(text, sizeof text, "127.0.0.1:%d", co_addr_port(&addr));
    CO_FD(b, co_datagram_connect(NULL, NULL, text));
    n = b < 0 ? b : co_send(b, "to a", 4);
    if (n >= 0)
        n = co_recvfrom(a, buf, sizeof buf, &from);
    if (n >= 0) {
        CHECK(n == 4 && memcmp(buf, "to a", 4) == 0);
        n = co_sendto(a, "to b", 4, &from);
    }
    if (n >= 0)
        n = co_recv(b, buf, sizeof buf);
    if (n >= 0) {
        CHECK(n == 4 && memcmp(buf, "to b", 4) == 0);
        n = faulty_batch(a, b, &from);
    }
    return (struct outcome){(int)n, 0, 0};
}

/* ---- waiting ---- */

/* Begins when a byte is there, and sends it back. */
static inline void faulty_begin(void *arg, int why)
{
    struct faulty_side *side = arg;
    CO_FD(fd, side->fd);
    char byte;
    ssize_t n = why == 0 ? co_recv(fd, &byte, 1) : why;

    if (n > 0)
        n = co_send(fd, &byte, 1);
    (void)faulty_failed(side, n);
}

static inline int faulty_accept(void *arg)
{
    struct faulty_side *sides = arg; /* the listener, the connection */
    int r = sides[1].fd = co_accept(sides[0].fd);

    if (r >= 0)
        r = co_fd_wait(sides[1].fd, CO_WRITABLE);
    if (r >= 0)
        r = co_go_when(sides[1].fd, faulty_begin, &sides[1]);
    if (faulty_failed(&sides[0], r) < 0)
        (void)co_close(sides[1].fd);
    return r;
}

static inline int faulty_byte_and_back(int fd)
{
    char byte = 'x';
    ssize_t n = co_send(fd, &byte, 1);

    if (n == 1)
        n = co_recv(fd, &byte, 1);
    return n == 0 ? -ECONNRESET : n < 0 ? (int)n : 0;
}

static inline struct outcome faulty_when(void)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    static struct faulty_side sides[2]; /* the last coroutine is in no group */
    struct outcome outcome = {lfd, 0, 0};
    char address[64];
    int port = lfd < 0 ? lfd : co_local_port(lfd);

    if (port < 0)
        return (struct outcome){port, 0, 0};
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", port);
    sides[0] = (struct faulty_side){.fd = lfd};
    sides[1] = (struct faulty_side){.fd = -1};
    {
        CO_FD(fd, co_connect(address));
        CO_GROUP(group);

        outcome.here = fd < 0 ? fd : co_group_go(&group, faulty_accept, sides);
        if (outcome.here == 0)
            outcome.here = faulty_byte_and_back(fd);
        co_group_cancel(&group);
        (void)co_group_close(&group);
    }
    outcome.there = atomic_load(&sides[0].error);
    outcome.third = atomic_load(&sides[1].error);
    return outcome;
}

static inline int faulty_wait_for(const int ends[2])
{
    char byte = 'x';
    int r = co_fd_wait(ends[1], CO_WRITABLE);

    if (r < 0)
        return r;
    CHECK(r == CO_WRITABLE && faults_real_write(ends[1], &byte, 1) == 1);
    r = co_fd_wait(ends[0], CO_READABLE);
    if (r < 0)
        return r;
    CHECK(r == CO_READABLE && faults_real_read(ends[0], &byte, 1) == 1);
    return 0;
}

/* A pipe of a library's; socketpair(2), since pipe2(2) is the runtime's. */
static inline struct outcome faulty_foreign(void)
{
    int ends[2], r;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    r = co_adopt(ends[0]);
    if (r == 0) {
        r = co_adopt(ends[1]);
        if (r == 0) {
            r = faulty_wait_for(ends);
            CHECK(co_release(ends[1]) == 0);
        }
        CHECK(co_release(ends[0]) == 0);
    }
    (void)faults_real_close(ends[0]);
    (void)faults_real_close(ends[1]);
    return (struct outcome){r, 0, 0};
}

static inline int faulty_on_pool(void *arg)
{
    return *(int *)arg;
}

static _Atomic int faulty_done;

static inline void faulty_detached(void *arg)
{
    (void)arg;
    atomic_fetch_add(&faulty_done, 1);
}

static inline struct outcome faulty_offload(void)
{
    int arg = 41, result = 0, before = atomic_load(&faulty_done);
    int r = co_offload(faulty_on_pool, &arg, &result);

    if (r == 0) {
        CHECK(result == 41);
        r = co_offload_detached(faulty_detached, NULL);
    }
    while (r == 0 && atomic_load(&faulty_done) == before)
        (void)co_sleep(100 * CO_US);
    return (struct outcome){r, 0, 0};
}

static inline struct outcome faulty_options(void)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    struct co_addr addr;
    int r = lfd;

    if (r >= 0)
        r = co_set_reset_on_close(lfd, true);
    if (r == 0)
        r = co_set_buffers(lfd, 10000, 10000);
    if (r == 0)
        r = co_local_addr(lfd, &addr);
    return (struct outcome){r, 0, 0};
}

static const struct {
    const char *name;
    struct outcome (*fn)(void);
} faulty_steps[] = {
    {"tcp", faulty_tcp},         {"local", faulty_local},     {"name", faulty_name},
    {"file", faulty_file},       {"service", faulty_service}, {"datagrams", faulty_datagrams},
    {"when", faulty_when},       {"foreign", faulty_foreign}, {"offload", faulty_offload},
    {"options", faulty_options},
};

enum { FAULTY_STEPS = sizeof faulty_steps / sizeof *faulty_steps };

#endif
