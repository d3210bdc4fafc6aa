/* SPDX-License-Identifier: MIT */
/*
 * accept.c - accepting, serving.
 *
 * co_serve on a listener that was opened with per_worker opens another for each further worker, at
 * the same address: the kernel spreads connections over them, and each stays with the worker whose
 * listener it came to. While its worker has no more than its share of all descriptors, a listener
 * asks for those that come in on the CPU that the worker runs on (docs/decisions/0040). Those that
 * serve the others are members of a group; when the first stops, by a hang-up or a failure, it
 * hangs the others up.
 */
#include "counts.h"
#include "listener.h"
#include "socket.h"
#include <co/group.h>
#include <co/net.h>
#include <co/private/run.h>
#include <co/task.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum verdict { AGAIN, WAIT, STARVED, FAILED };

/* So many failures in a row that each looked like one connection's own are something that lasts. */
enum { IN_A_ROW_MOST = 32 };

/* So many workers' descriptors are counted for each accept, to see whether one has its share. */
enum { COUNTED = 8 };

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

/* What a connection is. That of an adopted listener may be of any kind, or lack options. */
static enum co__slot_kind kind_of(int fd, const struct co__slot *listener)
{
    int protocol = 0;

    if (!listener->adopted)
        return (enum co__slot_kind)listener->accepts;
    (void)co__socket_get(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
    if (protocol) /* unix sockets have none */
        (void)co__socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return protocol == IPPROTO_TCP ? CO__SLOT_TCP : CO__SLOT_STREAM;
}

/* Of an adopted one, the field may name who waits to release it. */
static bool has_siblings(const struct co__slot *listener)
{
    return !listener->adopted && listener->siblings;
}

/* Whether a worker has more descriptors than one and a quarter above its share. */
static bool has_too_many(int worker)
{
    int all = 0;
    int share;

    for (int i = 0; i < co_workers(); i++)
        all += co__slot_count(i);
    share = all / co_workers();
    return co__slot_count(worker) > share + share / 4 + 1;
}

/*
 * Tells the kernel from which CPU the next connections are best taken here: the worker's, unless it
 * has too many. A wish: it works without.
 */
static void follow_worker(const struct co__slot *listener)
{
    struct co__siblings *siblings = listener->siblings;
    bool at_home = co_worker() == listener->worker; /* or it has been stolen, for once */
    int cpu = at_home ? sched_getcpu() : siblings->cpu;

    if (siblings->patience-- == 0) {
        siblings->patience = co_workers() / COUNTED;
        siblings->greedy = has_too_many(listener->worker);
    }
    if (siblings->greedy)
        cpu = -1;
    if (cpu == siblings->cpu)
        return;
    siblings->cpu = cpu;
    (void)co__socket_set(listener->fd, SOL_SOCKET, SO_INCOMING_CPU, cpu);
}

static int take_in(int fd, const struct co__slot *listener)
{
    enum co__slot_kind kind = kind_of(fd, listener);
    bool stays = has_siblings(listener);
    int worker = stays ? listener->worker : co__slot_place(co_worker());
    int r = co__slot_open(fd, kind, worker, false);

    if (r < 0) {
        (void)close(fd);
        return r;
    }
    co__slot_yield_at_stop(fd);
    if (stays)
        follow_worker(listener);
    return fd;
}

static int accept_one(struct co__slot *slot)
{
    int in_a_row = 0;

    for (;;) {
        int fd, r;

        if (co__source_consume(&slot->read) & CO__SOURCE_CLOSING)
            return -ECANCELED;
        co__count(co__net_counts.accepts);
        fd = accept4(slot->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            r = take_in(fd, slot);
            if (r >= 0)
                return r;
        } else {
            r = -errno;
        }
        switch (judge(r)) {
        case AGAIN:
            r = ++in_a_row % IN_A_ROW_MOST == 0 ? co__slot_wait_for_free() : co_check();
            break;
        case WAIT: /* the queue is empty: at a stop, that was the last look */
            in_a_row = 0;
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
    int r;
    struct co__slot *slot = co__slot_begin(lfd, CO__SLOT_READING, &r);

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
    const struct service *service = arg;
    char byte;

    /* At a stop those who have said nothing are not begun with. */
    if (why < 0 && recv(service->conn, &byte, 1, MSG_DONTWAIT | MSG_PEEK) <= 0)
        (void)co_close(service->conn);
    else
        service->fn(service->conn, service->arg);
}

static void serve_when_it_speaks(int conn, co_conn_fn *fn, void *arg)
{
    struct service service = {fn, arg, conn};

    if (co__slot_start(conn, serve_one, &service, sizeof service, true) < 0)
        (void)co_close(conn);
}

static int serve(int lfd, co_conn_fn *fn, void *arg)
{
    for (;;) {
        int conn = co_accept(lfd);

        if (conn < 0)
            return conn == -ECANCELED ? 0 : conn;
        serve_when_it_speaks(conn, fn, arg);
    }
}

/* ---- one listener for each worker ---- */

struct sibling {
    co_conn_fn *fn;
    void *arg;
    int lfd;
};

static int serve_sibling(void *arg)
{
    const struct sibling *sibling = arg;

    return serve(sibling->lfd, sibling->fn, sibling->arg);
}

/* Opens a listener on the loop of `worker` and starts who serves it, if it is not the first's. */
static int start_sibling(struct co_group *group, int lfd, int worker, struct sibling *sibling)
{
    int r = 0;
    struct co__slot *slot = co__slot_enter(lfd, 0, &r);

    if (!slot)
        return r;
    if (worker != slot->worker) {
        r = co__listener_again(slot, worker);
        sibling->lfd = r;
        if (r >= 0)
            r = co_group_go(group, serve_sibling, sibling);
    }
    co__slot_leave(slot, 0);
    return r < 0 ? r : 0;
}

static int serve_siblings(int lfd, struct sibling *siblings, int count)
{
    struct co_group group;
    int r = co_group_open(&group);
    int all;

    for (int i = 0; i < count && r == 0; i++)
        r = start_sibling(&group, lfd, i, &siblings[i]);
    if (r == 0)
        r = serve(lfd, siblings->fn, siblings->arg);
    if (r == 0 && co__run_draining())
        r = co_group_wait(&group); /* each empties its own queue */
    for (int i = 0; i < count; i++) {
        if (siblings[i].lfd >= 0)
            (void)co_hangup(siblings[i].lfd);
    }
    all = co_group_close(&group);
    for (int i = 0; i < count; i++)
        (void)co_close(siblings[i].lfd);
    return r < 0 || all == -ECANCELED ? r : all;
}

static bool per_worker(int lfd)
{
    int r;
    struct co__slot *slot = co__slot_enter(lfd, 0, &r);
    bool yes = slot && slot->kind == CO__SLOT_LISTENER && has_siblings(slot);

    if (slot)
        co__slot_leave(slot, 0);
    return yes;
}

int co_serve(int lfd, co_conn_fn *fn, void *arg)
{
    int count = co_workers();
    struct sibling *siblings;
    int r = co_check();

    if (r < 0)
        return r == -ECANCELED ? 0 : r;
    if (count == 1 || !per_worker(lfd))
        return serve(lfd, fn, arg);
    siblings = calloc((size_t)count, sizeof *siblings);
    if (!siblings)
        return -ENOMEM;
    for (int i = 0; i < count; i++)
        siblings[i] = (struct sibling){fn, arg, -1};
    r = serve_siblings(lfd, siblings, count);
    free(siblings);
    return r;
}
