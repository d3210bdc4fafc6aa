/* SPDX-License-Identifier: MIT */
/* listen.c - listening, accepting, serving. */
#include "addr.h"
#include "slot.h"

#include <co/net.h>
#include <co/park.h>
#include <co/private/run.h>
#include <co/scope.h>
#include <co/task.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

/*
 * A socket file that nobody listens on any more is left by a process that died: out of the way
 * with it.
 */
static void remove_stale(const struct co__addr *addr)
{
    struct stat st;
    int fd;

    if (stat(addr->local.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    fd = co__socket(AF_UNIX, false);
    if (fd < 0)
        return;
    if (connect(fd, &addr->any, addr->len) < 0 && errno == ECONNREFUSED)
        (void)unlink(addr->local.sun_path);
    (void)close(fd);
}

static int bind_and_listen(int fd, const struct co__addr *addr)
{
    int family = addr->any.sa_family;

    if (family == AF_UNIX)
        remove_stale(addr);
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0)
        return -errno;
    if (bind(fd, &addr->any, addr->len) < 0)
        return -errno;
    return listen(fd, BACKLOG) < 0 ? -errno : 0;
}

static int listen_on(const struct co__addr *addr)
{
    int fd = co__socket(addr->any.sa_family, true); /* accepted sockets inherit TCP_NODELAY */
    int r;

    if (fd < 0)
        return fd;
    r = bind_and_listen(fd, addr);
    if (r == 0)
        r = co__slot_open(fd, CO__SLOT_LISTENER, co_worker(), false);
    if (r < 0)
        (void)close(fd);
    return r < 0 ? r : fd;
}

int co_listen(const char *address)
{
    struct co__endpoint endpoint;
    struct co__addr addrs[CO__ADDRS_MAX] = {{.len = 0}};
    int r = co_check();

    if (r == 0)
        r = co__endpoint_parse(address, &endpoint);
    if (r == 0)
        r = co__endpoint_resolve(&endpoint, addrs);
    return r < 0 ? r : listen_on(&addrs[0]);
}

int co_local_port(int fd)
{
    struct co__addr addr = {.len = sizeof addr.local};
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return r;
    r = getsockname(fd, &addr.any, &addr.len) < 0 ? -errno : 0;
    co__slot_leave(slot, 0);
    if (r < 0)
        return r;
    if (addr.any.sa_family == AF_INET)
        return ntohs(addr.in4.sin_port);
    return addr.any.sa_family == AF_INET6 ? ntohs(addr.in6.sin6_port) : -EAFNOSUPPORT;
}

/* ---- accepting ---- */

enum verdict { AGAIN, WAIT, STARVED, FAILED };

static enum verdict judge(int err)
{
    switch (err) {
    case -EAGAIN:
        return WAIT;
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
        return STARVED;
    case -EBADF:
    case -EINVAL:
    case -ENOTSOCK:
    case -EOPNOTSUPP:
    case -EFAULT:
        return FAILED;
    default: /* ECONNABORTED, EPROTO, EPERM and network errors are those of one connection */
        return AGAIN;
    }
}

static int take_in(int fd, int family)
{
    enum co__slot_kind kind = family == AF_UNIX ? CO__SLOT_STREAM : CO__SLOT_TCP;
    int r = co__slot_open(fd, kind, co__slot_place(co_worker()), false);

    if (r < 0)
        (void)close(fd);
    return r < 0 ? r : fd;
}

static int accept_one(struct co__slot *slot)
{
    for (;;) {
        struct co__addr peer = {.len = sizeof peer.local};
        int fd, r;

        if (co__source_consume(&slot->read) & CO__SOURCE_CLOSING)
            return -ECANCELED;
        fd = accept4(slot->fd, &peer.any, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            r = take_in(fd, peer.any.sa_family);
            if (r >= 0)
                return r;
        } else {
            r = -errno;
        }
        switch (judge(r)) {
        case AGAIN:
            r = co_check();
            break;
        case WAIT: /* the queue is empty: at a stop, that was the last look */
            r = co__run_draining() ? -ECANCELED : co__source_wait(&slot->read, false);
            break;
        case STARVED: /* those that are queued bring no new edge: look again in time */
            r = co__slot_wait_for_free();
            break;
        case FAILED:
            break;
        }
        if (r < 0)
            return r;
    }
}

int co_accept(int lfd)
{
    struct co__slot *slot;
    int r = co_check();

    if (r < 0)
        return r;
    slot = co__slot_enter(lfd, CO__SLOT_READING, &r);
    if (!slot)
        return r;
    r = slot->kind == CO__SLOT_LISTENER ? accept_one(slot) : -EINVAL;
    co__slot_leave(slot, CO__SLOT_READING);
    return r;
}

/* ---- serving ---- */

struct service {
    co_conn_fn *fn;
    void *arg;
    int conn;
};

static void serve_one(void *arg, int why)
{
    struct service service = *(struct service *)arg;
    char byte;

    free(arg);
    /* At a stop those who have said nothing are not begun with. */
    if (why < 0 && recv(service.conn, &byte, 1, MSG_DONTWAIT | MSG_PEEK) <= 0)
        (void)co_close(service.conn);
    else
        service.fn(service.conn, service.arg);
}

static int serve_when_it_speaks(int conn, co_conn_fn *fn, void *arg)
{
    struct service *service = malloc(sizeof *service);
    int r = -ENOMEM;

    if (service) {
        *service = (struct service){fn, arg, conn};
        r = co_go_when(conn, serve_one, service);
    }
    if (r < 0) {
        free(service);
        (void)co_close(conn);
    }
    return r;
}

int co_serve(int lfd, co_conn_fn *fn, void *arg)
{
    for (;;) {
        int conn = co_accept(lfd);

        if (conn < 0)
            return conn == -ECANCELED ? 0 : conn;
        (void)serve_when_it_speaks(conn, fn, arg); /* a failure has closed that one connection */
    }
}
