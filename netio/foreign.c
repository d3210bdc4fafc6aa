/* SPDX-License-Identifier: MIT */
/*
 * foreign.c - descriptors of other libraries: taking them in, waiting for them, letting them go.
 *
 * Waiting is level-triggered on an edge-triggered epoll: forget old readiness, ask poll(2), and
 * only if that finds nothing wait for an edge. An edge that comes after the forgetting is kept by
 * the source, and the wait does not begin; one that came before is part of what poll(2) sees. What
 * a library has left unread is seen by poll(2) as well.
 */
#include <co/foreign.h>

#include "slot.h"
#include "socket.h"
#include <co/net.h>
#include <co/task.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

/* ---- taking in and letting go ---- */

/* Returns: an enum co__slot_kind, or a negative errno. */
static int kind_of(int fd, int flags)
{
    int type = 0, domain = 0, protocol = 0, listening = 0;
    struct stat stat;
    int r;

    if ((flags & O_NONBLOCK) && fstat(fd, &stat) == 0 && S_ISFIFO(stat.st_mode))
        return CO__SLOT_PIPE;
    r = co__socket_get(fd, SOL_SOCKET, SO_TYPE, &type);
    if (r == -ENOTSOCK)
        return CO__SLOT_OTHER;
    if (r == 0)
        r = co__socket_get(fd, SOL_SOCKET, SO_DOMAIN, &domain);
    if (r == 0)
        r = co__socket_get(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
    if (r == 0)
        r = co__socket_get(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening);
    if (r < 0)
        return r;
    if (listening)
        return CO__SLOT_LISTENER;
    if (type == SOCK_DGRAM)
        return CO__SLOT_DATAGRAM;
    if (type != SOCK_STREAM)
        return CO__SLOT_OTHER;
    return (domain == AF_INET || domain == AF_INET6) && protocol == IPPROTO_TCP ? CO__SLOT_TCP
                                                                                : CO__SLOT_STREAM;
}

int co_adopt(int fd)
{
    int flags, kind, r;

    if (!co_self())
        return -EPERM;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    r = co__slot_release(fd);
    if (r < 0 && r != -EBADF)
        return r;
    kind = kind_of(fd, flags);
    if (kind < 0)
        return kind;
    if (kind == CO__SLOT_LISTENER && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return co__slot_adopt(fd, (enum co__slot_kind)kind, co_worker());
}

int co_release(int fd)
{
    return co__slot_release(fd);
}

/* ---- waiting ---- */

/* What co_fd_wait_any has of each descriptor. */
struct waits {
    struct co__slot *slots[CO_FD_WAITS_MAX]; /* NULL: left out */
    unsigned bits[CO_FD_WAITS_MAX];
    struct pollfd polls[CO_FD_WAITS_MAX];
    struct co__source *sources[2 * CO_FD_WAITS_MAX];
    int sources_count;
};

static int enter(struct waits *waits, int i, const struct co_fd_wait *wait)
{
    unsigned bits = (wait->events & CO_READABLE ? CO__SLOT_READING : 0U) |
                    (wait->events & CO_WRITABLE ? CO__SLOT_WRITING : 0U);
    struct co__slot *slot;
    int r = 0;

    waits->slots[i] = NULL;
    waits->polls[i] = (struct pollfd){.fd = -1};
    if (wait->fd < 0)
        return 0;
    if (!wait->events || (wait->events & ~(CO_READABLE | CO_WRITABLE)))
        return -EINVAL;
    slot = co__slot_enter(wait->fd, bits, &r);
    if (!slot)
        return r;
    waits->slots[i] = slot;
    waits->bits[i] = bits;
    waits->polls[i].fd = wait->fd;
    if (bits & CO__SLOT_READING) {
        waits->polls[i].events |= POLLIN | POLLPRI | POLLRDHUP;
        waits->sources[waits->sources_count++] = &slot->read;
        slot->left = CO__SLOT_UNKNOWN; /* somebody else reads */
    }
    if (bits & CO__SLOT_WRITING) {
        waits->polls[i].events |= POLLOUT;
        waits->sources[waits->sources_count++] = &slot->write;
        r = co__slot_arm_out(slot);
    }
    return r;
}

static void leave(const struct waits *waits, int count)
{
    for (int i = 0; i < count; i++) {
        if (waits->slots[i])
            co__slot_leave(waits->slots[i], waits->bits[i]);
    }
}

static int ready_for(const struct pollfd *polled, int events)
{
    int ready = 0;

    if (polled->revents & (POLLIN | POLLPRI | POLLRDHUP))
        ready |= CO_READABLE;
    if (polled->revents & POLLOUT)
        ready |= CO_WRITABLE;
    if (polled->revents & (POLLERR | POLLHUP))
        ready |= CO_READABLE | CO_WRITABLE;
    return ready & events;
}

/* Asks the kernel once. Returns: how many are ready; a negative errno. */
static int ask(struct waits *waits, struct co_fd_wait *each, int count)
{
    int ready = 0;
    int n;

    for (int i = 0; i < waits->sources_count; i++) {
        if (co__source_consume(waits->sources[i]) & CO__SOURCE_CLOSING)
            return -ECANCELED;
    }
    n = poll(waits->polls, (nfds_t)count, 0);
    if (n < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        if (waits->polls[i].revents & POLLNVAL)
            return -EBADF;
        each[i].ready = waits->slots[i] ? ready_for(&waits->polls[i], each[i].events) : 0;
        ready += each[i].ready != 0;
    }
    return ready;
}

static int wait_any(struct waits *waits, struct co_fd_wait *each, int count)
{
    for (;;) {
        int n = ask(waits, each, count);
        int r;

        if (n != 0 && n != -EINTR)
            return n;
        r = n == 0 ? co__source_wait_any(waits->sources, waits->sources_count) : co_check();
        if (r < 0)
            return r;
    }
}

int co_fd_wait_any(struct co_fd_wait *each, int count)
{
    struct waits waits;
    int entered = 0;
    int r = co_check();

    if (r < 0)
        return r;
    if (count < 1 || count > CO_FD_WAITS_MAX)
        return -EINVAL;
    waits.sources_count = 0;
    while (entered < count && r == 0) {
        r = enter(&waits, entered, &each[entered]);
        entered++;
    }
    if (r == 0)
        r = waits.sources_count > 0 ? wait_any(&waits, each, count) : -EINVAL;
    leave(&waits, entered);
    return r;
}

int co_fd_wait(int fd, int events)
{
    struct co_fd_wait wait = {fd, events, 0};
    int r = fd < 0 ? -EBADF : co_fd_wait_any(&wait, 1);

    return r < 0 ? r : wait.ready;
}
