/* SPDX-License-Identifier: MIT */
/*
 * torture_server.c - who accepts: on a TCP socket by co_serve, on a unix one by a loop of
 * co_accept. Each connection is answered for a while, byte for byte, and then ends in one of many
 * ways; in between it may be handed over to co_go_when, or be waited for with co_fd_wait.
 */
#include "stress/torture.h"

#include <co/foreign.h>
#include <co/group.h>
#include <co/net.h>
#include <co/scope.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[64], addresses[2][96];
static int listeners[2];

const char *torture_address(uint32_t chance)
{
    return addresses[chance % 3 == 0];
}

/* Reads who it is. Returns: whether somebody said so. */
static bool read_id(struct torture_half *half)
{
    ssize_t n = co_recvn(half->fd, &half->id, sizeof half->id);

    if (n == (ssize_t)sizeof half->id) {
        half->link = torture_link_of(half->id);
        if (!half->link) {
            fail("an id that nobody has", (long long)half->id, half->fd);
            return false;
        }
        half->seed = (uint32_t)(half->id >> 16) * 2654435761U | 1;
        if (atomic_load(&half->link->id) == half->id)
            atomic_store(&half->link->served, half->id);
        return true;
    }
    if (n < 0 && n != -ECONNRESET && n != -ECANCELED)
        fail("the server's first bytes", n, half->fd);
    return false;
}

static void answer(void *arg);

static void answer_when(void *arg, int why)
{
    struct torture_half *half = arg;

    if (why != 0 && why != -ETIMEDOUT && why != -ECANCELED)
        fail("co_go_when", why, half->fd);
    if (why == 0) {
        answer(half);
        return;
    }
    torture_close(half);
    free(half);
}

/* Returns: whether whatever comes next on it is another's. */
static bool hand_over(struct torture_half *half)
{
    int64_t patience = half->seed % 8 == 0 ? 50 * CO_US : CO_SEC;
    CO_DEADLINE(patience);
    int r = co_go_when(half->fd, answer_when, half);

    if (r < 0)
        fail("co_go_when", r, half->fd);
    else
        atomic_fetch_add(&torture_counts.handed_over, 1);
    return r == 0;
}

/* Waits for bytes and reads them, in one way or the other. */
static ssize_t take(struct torture_half *half)
{
    int64_t patience = dice(&half->seed) % 8 == 0 ? (int64_t)(half->seed % 1000) * CO_US : CO_SEC;
    CO_DEADLINE(patience);
    int r;

    if (dice(&half->seed) % 4 != 0)
        return torture_recv(half, half->seed % 2000 + 1);
    atomic_fetch_add(&torture_counts.waits, 1);
    r = co_fd_wait(half->fd, CO_READABLE);
    if (r == CO_READABLE)
        return torture_recv(half, half->seed % 2000 + 1);
    if (r == -ETIMEDOUT && co_left() <= 0)
        return r;
    if (r == -ECANCELED && (atomic_load(&half->hung) || co_check() == -ECANCELED))
        return r;
    fail("co_fd_wait", r, half->fd);
    return -EPROTO;
}

/* The server's own end: half-closed, and then read to the end. */
static void finish(struct torture_half *half)
{
    ssize_t n = 1;

    torture_leave(half);
    if (co_shutdown(half->fd, SHUT_WR) < 0)
        return; /* reset already */
    atomic_fetch_add(&torture_counts.ends, 1);
    for (int i = 0; i < 4 && n > 0; i++)
        n = take(half);
}

/* Answers some. Returns: whether it was handed over. */
static bool answer_some(struct torture_half *half)
{
    CO_GROUP(group);
    int turns = (int)(dice(&half->seed) % 6) + 1;
    ssize_t n = 1;

    if (dice(&half->seed) % 8 == 0 && torture_befriend(&group, half) < 0)
        fail("a friend", 0, 0);
    for (int i = 0; i < turns && n > 0; i++) {
        n = take(half);
        if (n > 0)
            n = torture_send(half, (size_t)n);
        if (n == -ETIMEDOUT)
            atomic_fetch_add(&torture_counts.timeouts, 1);
    }
    (void)co_group_close(&group);
    if (n > 0 && !atomic_load(&half->hung) && dice(&half->seed) % 2 == 0)
        return hand_over(half);
    if (n > 0 && half->seed % 3 == 0)
        finish(half);
    return false;
}

static void answer(void *arg)
{
    struct torture_half *half = arg;

    if (answer_some(half))
        return;
    torture_close(half);
    free(half);
}

static void on_connection(int conn, void *arg)
{
    struct torture_half *half = calloc(1, sizeof *half);

    (void)arg;
    if (!half)
        abort();
    half->end = SERVER;
    half->fd = conn;
    if (read_id(half)) {
        answer(half);
        return;
    }
    (void)co_close(conn);
    free(half);
}

static void on_connection_alone(int conn)
{
    on_connection(conn, NULL);
}

static void serve(int lfd)
{
    int r = co_serve(lfd, on_connection, NULL);

    if (r < 0)
        fail("serving", r, 0);
    (void)co_close(lfd);
}

static void accept_all(int lfd)
{
    int conn;

    while ((conn = co_accept(lfd)) >= 0)
        (void)co_go_fd(on_connection_alone, conn);
    if (conn != -ECANCELED)
        fail("accepting", conn, 0);
    (void)co_close(lfd);
}

int torture_server_start(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/corvid-torture-XXXXXX");
    if (!mkdtemp(folder))
        return -errno;
    (void)snprintf(addresses[1], sizeof addresses[1], "unix:%s/hall", folder);
    listeners[0] = co_listen("127.0.0.1:0");
    listeners[1] = co_listen(addresses[1]);
    if (listeners[0] < 0 || listeners[1] < 0)
        return listeners[0] < 0 ? listeners[0] : listeners[1];
    (void)snprintf(addresses[0], sizeof addresses[0], "127.0.0.1:%d", co_local_port(listeners[0]));
    if (co_go_fd(serve, listeners[0]) < 0 || co_go_fd(accept_all, listeners[1]) < 0)
        return -ENOMEM;
    return 0;
}

void torture_server_stop(void)
{
    for (int i = 0; i < 2; i++)
        (void)co_hangup(listeners[i]);
    (void)unlink(addresses[1] + strlen("unix:"));
    (void)rmdir(folder);
}
