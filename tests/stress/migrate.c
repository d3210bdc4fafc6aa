/* SPDX-License-Identifier: MIT */
/*
 * migrate [SECONDS [PAIRS [WORKERS]]] - sockets and coroutines that never stay together.
 *
 * PAIRS connections over loopback, their sockets pinned to different loops. On each, one coroutine
 * writes a known stream, another reads it back from an echo server, which answers in one piece or
 * in three, and checks every byte; reads and writes have short deadlines that often pass, and
 * others hang connections up in the midst. Some carry urgent data, some are reset, some send their
 * end together with their last bytes. A connection that ends is followed by a new one. Under
 * CO_CHAOS=seed (test builds) every suspension may move the coroutine to another worker, and a
 * delivery be held up between fetch and CAS.
 *
 * Checked: what is read is, byte for byte, what was written; what ends early ends with one of the
 * errors that it may end with; nothing hangs (SIGALRM would kill the program); everything ends, and
 * no descriptor is left.
 */
#include "stress/stress.h"
#include <co/net.h>
#include <co/scope.h>
#include <co/task.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CHUNK_MAX = 3000, STREAM_MAX = 200000 };

static int seconds = 2, pairs = 200, workers = 4;
static int64_t end_at;
static char address[64];
static _Atomic uint64_t bytes, moves, timeouts, hangups, connections;
static _Atomic uint64_t resets, urgent, ends;
static _Atomic int live;

static unsigned char byte_at(uint64_t stream, uint64_t offset)
{
    return (unsigned char)((stream * 31 + offset * 7 + (offset >> 8) * 13) & 0xff);
}

/* Counts how often a call came back on another worker. */
static void moved(int before)
{
    if (co_worker() != before)
        atomic_fetch_add(&moves, 1);
}

/* An end that a hang-up or its consequence at the other side explains. */
static bool may_end(ssize_t r)
{
    return r == -ECANCELED || r == -ECONNRESET || r == -EPIPE || r == 0;
}

/* In one piece or in three. */
static ssize_t send_back(int fd, char *buf, size_t len)
{
    size_t third = len / 3;
    struct iovec pieces[3] = {
        {buf, third}, {buf + third, third}, {buf + 2 * third, len - 2 * third}};

    return len % 2 == 0 ? co_send(fd, buf, len) : co_sendv(fd, pieces, 3);
}

static void echo(int conn, void *arg)
{
    CO_FD(fd, conn);
    char buf[CHUNK_MAX];

    (void)arg;
    for (;;) {
        int worker = co_worker();
        ssize_t n = co_recv(fd, buf, sizeof buf);

        moved(worker);
        if (n <= 0) {
            if (!may_end(n))
                fail("echo: recv", n, 0);
            return;
        }
        n = send_back(fd, buf, (size_t)n);
        if (n < 0) {
            if (!may_end(n))
                fail("echo: send", n, 0);
            return;
        }
    }
}

/* One connection: shared by its writer, its reader and whoever hangs it up. */
enum wire_kind { WHOLE, HANG, END, URGENT, RESET };

struct wire {
    int fd;
    uint64_t stream;
    uint64_t length;
    _Atomic uint64_t written;
    _Atomic int done;
    enum wire_kind kind;
};

static const enum wire_kind kinds[6] = {HANG, END, URGENT, HANG, RESET, WHOLE};

/* In the midst of the stream. */
static void disturb(struct wire *wire)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    switch (wire->kind) {
    case RESET: /* by the owner's close */
        atomic_fetch_add(&resets, 1);
        (void)setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        if (co_hangup(wire->fd) < 0)
            fail("hang-up", 0, 0);
        break;
    case HANG:
        atomic_fetch_add(&hangups, 1);
        if (co_hangup(wire->fd) < 0)
            fail("hang-up", 0, 0);
        break;
    case URGENT: /* a byte that is not in the stream; if there is no room, then not */
        if (send(wire->fd, "!", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
            atomic_fetch_add(&urgent, 1);
        break;
    case WHOLE:
    case END:
        break;
    }
}

static void writer(void *arg)
{
    struct wire *wire = arg;
    uint32_t seed = (uint32_t)wire->stream * 2654435761U + 1;
    unsigned char buf[CHUNK_MAX];
    uint64_t offset = 0;
    bool disturbed = false;

    while (offset < wire->length) {
        size_t len = dice(&seed) % CHUNK_MAX + 1;
        ssize_t n;

        if (len > wire->length - offset)
            len = (size_t)(wire->length - offset);
        for (size_t i = 0; i < len; i++)
            buf[i] = byte_at(wire->stream, offset + i);
        atomic_fetch_add(&wire->written, len);
        n = co_send(wire->fd, buf, len);
        if (n < 0) {
            if (!may_end(n))
                fail("writer: send", n, (long long)offset);
            break;
        }
        offset += len;
        if (!disturbed && offset > wire->length / 2) {
            disturbed = true;
            disturb(wire);
        }
    }
    if (wire->kind == END && co_shutdown(wire->fd, SHUT_WR) < 0)
        fail("shutdown", 0, 0);
    atomic_fetch_add(&wire->done, 1);
}

static ssize_t recv_in_pieces(int fd, void *buf, size_t cap)
{
    for (;;) {
        int worker = co_worker();
        ssize_t n;

        {
            CO_DEADLINE(300 * CO_US);
            n = co_recv(fd, buf, cap);
        }
        moved(worker);
        if (n != -ETIMEDOUT)
            return n;
        atomic_fetch_add(&timeouts, 1);
    }
}

static void reader(void *arg)
{
    struct wire *wire = arg;
    unsigned char buf[CHUNK_MAX];
    uint64_t offset = 0;

    while (offset < wire->length) {
        ssize_t n = recv_in_pieces(wire->fd, buf, sizeof buf);

        if (n <= 0) {
            if (!may_end(n) || (wire->kind != HANG && wire->kind != RESET))
                fail("reader: recv", n, (long long)offset);
            break;
        }
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != byte_at(wire->stream, offset + (uint64_t)i)) {
                fail("reader: wrong byte", (long long)wire->stream, (long long)offset + i);
                break;
            }
        }
        offset += (uint64_t)n;
        atomic_fetch_add(&bytes, (uint64_t)n);
        if (offset > atomic_load(&wire->written))
            fail("reader: more than was written", (long long)offset, 0);
    }
    if (wire->kind == END && offset == wire->length) { /* the server has seen our end, and ends */
        ssize_t n = recv_in_pieces(wire->fd, buf, sizeof buf);

        if (n != 0)
            fail("reader: no end", n, (long long)offset);
        atomic_fetch_add(&ends, 1);
    }
    atomic_fetch_add(&wire->done, 1);
}

static void one_connection(uint64_t stream)
{
    CO_FD(fd, co_connect(address));
    struct wire wire = {.fd = fd, .stream = stream, .kind = kinds[stream % 6]};
    uint32_t seed = (uint32_t)stream * 7919 + 1;

    if (fd < 0) {
        fail("connect", fd, 0);
        return;
    }
    wire.length = dice(&seed) % STREAM_MAX + 1;
    atomic_fetch_add(&connections, 1);
    if (co_go(writer, &wire) < 0 || co_go(reader, &wire) < 0) {
        fail("start", 0, 0);
        abort();
    }
    while (atomic_load(&wire.done) < 2)
        (void)co_sleep(CO_MS);
}

static void pair(void *arg)
{
    uint64_t stream = (uint64_t)(uintptr_t)arg;

    do {
        one_connection(stream);
        stream += 1000003;
    } while (co_now() < end_at);
    atomic_fetch_sub(&live, 1);
}

static void serve(int lfd)
{
    int r = co_serve(lfd, echo, NULL);

    if (r < 0)
        fail("serve", r, 0);
}

static int start(void *arg)
{
    int lfd = co_listen("127.0.0.1:0");

    (void)arg;
    if (lfd < 0)
        return lfd;
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(lfd));
    end_at = co_now() + seconds * CO_SEC;
    if (co_go_fd(serve, lfd) < 0)
        return -ENOMEM;
    atomic_store(&live, pairs);
    for (int i = 0; i < pairs; i++) {
        if (co_go(pair, (void *)(uintptr_t)(i + 1)) < 0)
            return -ENOMEM;
    }
    while (atomic_load(&live) > 0)
        (void)co_sleep(10 * CO_MS);
    (void)co_hangup(lfd);
    (void)co_close(lfd);
    return 0;
}

int main(int argc, char **argv)
{
    struct co_conf conf = stress_settings(argc, argv, &seconds, &pairs, &workers);
    int before, after, r;

    before = stress_descriptors();
    r = co_run_with(&conf, start, NULL);
    after = stress_descriptors();
    if (after > before + STRESS_KEPT)
        fail("descriptors left", before, after);
    printf("migrate: %d pairs, %d workers, %d s: %llu connections, %llu bytes, %llu moves, "
           "%llu deadlines, "
           "%llu hang-ups, %llu resets, %llu urgent, %llu ends, result %d, %llu failures\n",
           pairs, workers, seconds, (unsigned long long)connections, (unsigned long long)bytes,
           (unsigned long long)moves, (unsigned long long)timeouts, (unsigned long long)hangups,
           (unsigned long long)resets, (unsigned long long)urgent, (unsigned long long)ends, r,
           (unsigned long long)stress_failures);
    return r < 0 || stress_failures > 0;
}
