/* SPDX-License-Identifier: MIT */
/* connpool/backends/tcp.c - raw streams in a pool: a connection is its descriptor, as a pointer. */
#include <co/backend.h>
#include <co/net.h>
#include <stdint.h>
#include <sys/socket.h>

static int tcp_fd(void *ctx, void *conn)
{
    (void)ctx;
    return (int)(intptr_t)conn;
}

static int tcp_open(void *ctx, void **ret_conn)
{
    int fd = co_connect(ctx);

    if (fd < 0)
        return fd;
    *ret_conn = (void *)(intptr_t)fd;
    return 0;
}

/*
 * One look without waiting: an idle stream has nothing to say, and has neither ended nor been hung
 * up. Of the last the kernel knows nothing; to receive nothing asks Corvid alone.
 */
static int tcp_check(void *ctx, void *conn)
{
    int fd = tcp_fd(ctx, conn);
    char byte;
    ssize_t n = co_recv(fd, &byte, 0);
    int r;

    if (n < 0)
        return (int)n;
    n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    r = n < 0 ? -errno : n > 0 ? -EPROTO : -EPIPE;
    return r == -EAGAIN ? 0 : r;
}

static void tcp_close(void *ctx, void *conn)
{
    (void)co_close(tcp_fd(ctx, conn));
}

const struct co_backend co_tcp_backend = {
    .open = tcp_open,
    .check = tcp_check,
    .close = tcp_close,
    .fd = tcp_fd,
};
