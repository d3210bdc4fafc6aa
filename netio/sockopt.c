/* SPDX-License-Identifier: MIT */
/* sockopt.c - making sockets, and their options. */
#include <co/sockopt.h>

#include "slot.h"
#include "socket.h"
#include <co/net.h>
#include <netinet/tcp.h>

int co__socket_set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

int co__socket_get(int fd, int level, int name, int *ret_value)
{
    socklen_t len = sizeof *ret_value;

    return getsockopt(fd, level, name, ret_value, &len) < 0 ? -errno : 0;
}

int co__socket(int family, int type)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (type == SOCK_STREAM && family != AF_UNIX)
        (void)co__socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return fd;
}

int co__socket_aim(int fd, const struct sockaddr *addr, socklen_t len)
{
    int r;

    do
        r = connect(fd, addr, len) < 0 ? -errno : 0;
    while (r == -EINTR);
    return r;
}

int co__socket_buffers(int fd, int recv, int send)
{
    int r = 0;

    if (recv < 0 || send < 0)
        return -EINVAL;
    if (recv > 0)
        r = co__socket_set(fd, SOL_SOCKET, SO_RCVBUF, recv);
    if (r == 0 && send > 0)
        r = co__socket_set(fd, SOL_SOCKET, SO_SNDBUF, send);
    return r;
}

/* The kernel says how long an address is, which may be more than it has written. */
static void fit(struct co_addr *addr)
{
    if (addr->len > sizeof addr->local)
        addr->len = sizeof addr->local;
}

int co__socket_local(int fd, struct co_addr *ret_addr)
{
    struct co_addr addr = {.len = sizeof addr.local};

    if (getsockname(fd, &addr.any, &addr.len) < 0)
        return -errno;
    fit(&addr);
    *ret_addr = addr;
    return 0;
}

int co__socket_peer(int fd, struct co_addr *ret_addr)
{
    struct co_addr addr = {.len = sizeof addr.local};

    if (getpeername(fd, &addr.any, &addr.len) < 0)
        return -errno;
    fit(&addr);
    *ret_addr = addr;
    return 0;
}

/* ---- public ---- */

int co_set_option(int fd, int level, int name, const void *value, size_t len)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return r;
    r = setsockopt(fd, level, name, value, (socklen_t)len) < 0 ? -errno : 0;
    co__slot_leave(slot, 0);
    return r;
}

int co_get_option(int fd, int level, int name, void *value, size_t *len)
{
    socklen_t size = (socklen_t)*len;
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return r;
    r = getsockopt(fd, level, name, value, &size) < 0 ? -errno : 0;
    if (r == 0)
        *len = size;
    co__slot_leave(slot, 0);
    return r;
}

static int set_number(int fd, int level, int name, int value)
{
    return co_set_option(fd, level, name, &value, sizeof value);
}

int co_set_nodelay(int fd, bool on)
{
    return set_number(fd, IPPROTO_TCP, TCP_NODELAY, on);
}

/* Rounded up; too much becomes more than any option takes. */
static int in_units(int64_t ns, int64_t unit)
{
    int64_t units = ns / unit + (ns % unit > 0);

    return units > INT32_MAX ? INT32_MAX : (int)units;
}

int co_set_keepalive(int fd, int64_t idle, int64_t interval, int count)
{
    int r;

    if (idle < 0 || interval < 0 || count < 0)
        return -EINVAL;
    /* An option of TCP's comes first: other sockets are refused before anything has been set. */
    r = idle > 0 ? set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, in_units(idle, CO_SEC)) : 0;
    if (r == 0 && interval > 0)
        r = set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, in_units(interval, CO_SEC));
    if (r == 0 && count > 0)
        r = set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, count);
    return r < 0 ? r : set_number(fd, SOL_SOCKET, SO_KEEPALIVE, idle > 0);
}

int co_set_user_timeout(int fd, int64_t ns)
{
    if (ns < 0)
        return -EINVAL;
    return set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, in_units(ns, CO_MS));
}

int co_set_reset_on_close(int fd, bool on)
{
    struct linger linger = {.l_onoff = on, .l_linger = 0};

    return co_set_option(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

int co_set_buffers(int fd, int recv, int send)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return r;
    r = co__socket_buffers(fd, recv, send);
    co__slot_leave(slot, 0);
    return r;
}

int co_local_addr(int fd, struct co_addr *ret_addr)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return r;
    r = co__socket_local(fd, ret_addr);
    co__slot_leave(slot, 0);
    return r;
}

int co_peer_addr(int fd, struct co_addr *ret_addr)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return r;
    r = co__socket_peer(fd, ret_addr);
    co__slot_leave(slot, 0);
    return r;
}

int co_local_port(int fd)
{
    struct co_addr addr;
    int r = co_local_addr(fd, &addr);

    return r < 0 ? r : co_addr_port(&addr);
}
