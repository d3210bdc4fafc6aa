/* SPDX-License-Identifier: MIT */
/* connect.c - opening connections. */
#include "addr.h"
#include "slot.h"

#include <co/net.h>
#include <co/park.h>
#include <co/task.h>
#include <unistd.h>

/*
 * How a connection attempt stands. A socket is connected when it has a peer; readiness alone says
 * nothing.
 */
static int outcome(int fd)
{
    struct co__addr peer = {.len = sizeof peer.local};
    socklen_t len = sizeof(int);
    int err = 0;

    if (getpeername(fd, &peer.any, &peer.len) == 0)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    return err ? -err : -EINPROGRESS;
}

static int wait_connected(int fd)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, CO__SLOT_WRITING, &r);

    if (!slot)
        return r;
    for (;;) {
        (void)co__source_consume(&slot->write);
        r = outcome(fd);
        if (r != -EINPROGRESS)
            break;
        r = co__source_wait(&slot->write, false);
        if (r < 0)
            break;
    }
    co__slot_leave(slot, CO__SLOT_WRITING);
    return r;
}

static int connect_to(const struct co__addr *addr)
{
    int family = addr->any.sa_family;
    int fd = co__socket(family, true);
    int r;

    if (fd < 0)
        return fd;
    /*
     * Registered only after connect(2): a socket that is not connecting yet reports OUT and HUP at
     * once.
     */
    r = connect(fd, &addr->any, addr->len) < 0 ? -errno : 0;
    if (r == -EINTR)
        r = -EINPROGRESS; /* it goes on by itself */
    if (r < 0 && r != -EINPROGRESS) {
        (void)close(fd);
        return r;
    }
    if (co__slot_open(fd, family == AF_UNIX ? CO__SLOT_STREAM : CO__SLOT_TCP, co_worker(), true) <
        0) {
        (void)close(fd);
        return -ENOMEM;
    }
    if (r < 0)
        r = wait_connected(fd);
    if (r < 0)
        (void)co_close(fd);
    return r < 0 ? r : fd;
}

int co_connect(const char *address)
{
    struct co__endpoint endpoint;
    struct co__addr addrs[CO__ADDRS_MAX];
    int count;
    int r = co_check();

    if (r < 0)
        return r;
    r = co__endpoint_parse(address, &endpoint);
    if (r < 0)
        return r;
    count = co__endpoint_resolve(&endpoint, addrs);
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++) {
        r = connect_to(&addrs[i]);
        if (r >= 0 || r == -ETIMEDOUT || r == -ECANCELED)
            break; /* ETIMEDOUT of the kernel and of our deadline both leave no time to speak of */
    }
    return r;
}
