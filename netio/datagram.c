/* SPDX-License-Identifier: MIT */
/*
 * datagram.c - UDP and unix datagrams, one by one and in batches.
 *
 * The loops are those of sock.c: forget old readiness, make the system call, wait if it would
 * block. One case has nothing to wait for: a unix datagram to somebody whose queue is full, from
 * a socket that is not connected to him. The kernel calls such a socket writable all the time, so
 * it is tried again after a pause that grows.
 */
#include <co/datagram.h>

#include "counts.h"
#include "endpoint.h"
#include "inherit.h"
#include "slot.h"
#include "socket.h"
#include <co/net.h>
#include <co/scope.h>
#include <co/task.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ---- */

static int set_up_ip(int fd, int family, const struct co_datagram_opts *opts)
{
    int r = 0;

    if (opts->reuse_port)
        r = co__socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r == 0 && opts->broadcast)
        r = co__socket_set(fd, SOL_SOCKET, SO_BROADCAST, 1);
    if (r == 0 && family == AF_INET6) /* said either way: net.ipv6.bindv6only is a default */
        r = co__socket_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, opts->ipv6_only != 0);
    return r;
}

static int set_up(int fd, int family, const struct co_datagram_opts *opts)
{
    int r = co__socket_buffers(fd, opts->recv_buffer, opts->send_buffer);

    if (r < 0)
        return r;
    if (family != AF_UNIX)
        return set_up_ip(fd, family, opts);
    if (opts->reuse_port || opts->broadcast || opts->mode > 0777)
        return -EINVAL;
    return opts->mode && fchmod(fd, opts->mode) < 0 ? -errno : 0;
}

/* Either address may be NULL; a unix socket that is not bound gets a name. */
static int open_socket(const struct co_datagram_opts *opts, const struct co_addr *local,
                       const struct co_addr *peer)
{
    static const struct co_datagram_opts defaults;
    static const struct co_addr any_name = {.any.sa_family = AF_UNIX, .len = sizeof(sa_family_t)};
    int family = peer ? peer->any.sa_family : local->any.sa_family;
    int fd = co__socket(family, SOCK_DGRAM);
    int r;

    if (fd < 0)
        return fd;
    r = set_up(fd, family, opts ? opts : &defaults);
    if (!local && family == AF_UNIX)
        local = &any_name;
    if (r == 0 && local)
        r = co__socket_bind(fd, local);
    if (r == 0 && peer)
        r = co__socket_aim(fd, &peer->any, peer->len);
    if (r == 0)
        r = co__slot_open(fd, CO__SLOT_DATAGRAM, co_worker(), false);
    if (r < 0)
        (void)close(fd);
    return r < 0 ? r : fd;
}

static int first_address(const char *text, struct co_addr *ret_addr)
{
    struct co__endpoint endpoint;
    struct co_addr addrs[CO_ADDRS_MAX];
    int r = co__endpoint_parse(text, &endpoint);

    if (r == 0)
        r = co__endpoint_resolve(&endpoint, addrs);
    if (r > 0)
        *ret_addr = addrs[0];
    return r < 0 ? r : 0;
}

static int take_inherited(const char *which)
{
    int fd = co__inherit(which, SOCK_DGRAM, false);
    int r;

    if (fd < 0)
        return fd;
    r = co__slot_open(fd, CO__SLOT_DATAGRAM, co_worker(), false);
    if (r < 0)
        co__inherit_back(fd);
    return r < 0 ? r : fd;
}

int co_datagram_bind(const struct co_datagram_opts *opts, const char *address)
{
    struct co_addr addr = {.len = 0};
    int r = co_check();

    if (r < 0)
        return r;
    if (strncmp(address, CO__INHERITED, strlen(CO__INHERITED)) == 0)
        return take_inherited(address + strlen(CO__INHERITED));
    r = first_address(address, &addr);
    return r < 0 ? r : open_socket(opts, &addr, NULL);
}

int co_datagram_connect(const struct co_datagram_opts *opts, const char *local, const char *address)
{
    struct co_addr own = {.len = 0}, peer = {.len = 0};
    int r = co_check();

    if (r == 0)
        r = first_address(address, &peer);
    if (r == 0 && local)
        r = first_address(local, &own);
    return r < 0 ? r : open_socket(opts, local ? &own : NULL, &peer);
}

/* ---- receiving ---- */

static void fit(struct co_addr *addr)
{
    if (addr->len > sizeof addr->local)
        addr->len = sizeof addr->local;
}

static ssize_t receive(struct co__slot *slot, void *buf, size_t cap, struct co_addr *ret_from)
{
    for (;;) {
        struct co_addr from = {.len = sizeof from.local};
        ssize_t n;
        int r;

        if (co__source_consume(&slot->read) & CO__SOURCE_CLOSING)
            return -ECANCELED;
        co__count(co__net_counts.recvs);
        n = recvfrom(slot->fd, buf, cap, MSG_DONTWAIT | MSG_TRUNC, &from.any, &from.len);
        r = n < 0 ? -errno : 0;
        if (n >= 0) {
            fit(&from);
            if (ret_from)
                *ret_from = from;
            return (size_t)n <= cap ? n : -EMSGSIZE;
        }
        if (r == -EAGAIN)
            r = co__source_wait(&slot->read, false);
        else if (r == -EINTR)
            r = co_check();
        if (r < 0)
            return r;
    }
}

/* For calls on datagram sockets alone. Returns: as co__slot_begin; also -EOPNOTSUPP. */
static struct co__slot *begin(int fd, unsigned bit, int *ret_err)
{
    struct co__slot *slot = co__slot_begin(fd, bit, ret_err);

    if (slot && slot->kind != CO__SLOT_DATAGRAM) {
        co__slot_leave(slot, bit);
        *ret_err = -EOPNOTSUPP;
        slot = NULL;
    }
    return slot;
}

ssize_t co_recvfrom(int fd, void *buf, size_t cap, struct co_addr *ret_from)
{
    ssize_t n;
    int r;
    struct co__slot *slot = begin(fd, CO__SLOT_READING, &r);

    if (!slot)
        return r;
    n = receive(slot, buf, cap, ret_from);
    slot->left = CO__SLOT_UNKNOWN;
    co__slot_leave(slot, CO__SLOT_READING);
    return n;
}

/* The kernel's view of a batch. */
struct batch {
    struct mmsghdr headers[CO_DATAGRAMS_MAX];
    struct iovec pieces[CO_DATAGRAMS_MAX];
};

static int receive_batch(struct co__slot *slot, struct batch *batch, int count)
{
    for (;;) {
        int n, r;

        if (co__source_consume(&slot->read) & CO__SOURCE_CLOSING)
            return -ECANCELED;
        co__count(co__net_counts.recvs);
        n = recvmmsg(slot->fd, batch->headers, (unsigned)count, MSG_DONTWAIT | MSG_TRUNC, NULL);
        r = n < 0 ? -errno : 0;
        if (n >= 0)
            return n;
        if (r == -EAGAIN)
            r = co__source_wait(&slot->read, false);
        else if (r == -EINTR)
            r = co_check();
        if (r < 0)
            return r;
    }
}

static int check_count(int count)
{
    return count > CO_DATAGRAMS_MAX ? CO_DATAGRAMS_MAX : count;
}

int co_recvmany(int fd, struct co_datagram *datagrams, int count)
{
    struct batch batch;
    struct co__slot *slot;
    int r;

    if (count < 0)
        return -EINVAL;
    count = check_count(count);
    for (int i = 0; i < count; i++) {
        struct co_datagram *datagram = &datagrams[i];

        batch.pieces[i] = (struct iovec){datagram->data, datagram->cap};
        batch.headers[i].msg_hdr = (struct msghdr){
            .msg_name = &datagram->addr.any,
            .msg_namelen = sizeof datagram->addr.local,
            .msg_iov = &batch.pieces[i],
            .msg_iovlen = 1,
        };
    }
    slot = begin(fd, CO__SLOT_READING, &r);
    if (!slot)
        return r;
    r = count > 0 ? receive_batch(slot, &batch, count) : 0;
    slot->left = CO__SLOT_UNKNOWN;
    co__slot_leave(slot, CO__SLOT_READING);
    for (int i = 0; i < r; i++) {
        datagrams[i].len = batch.headers[i].msg_len;
        datagrams[i].addr.len = batch.headers[i].msg_hdr.msg_namelen;
        fit(&datagrams[i].addr);
    }
    return r;
}

/* ---- sending ---- */

/* There was no room. *pause grows. Returns: 0: try again; a negative errno. */
static int wait_for_room(struct co__slot *slot, bool named, int64_t *pause)
{
    int r;

    if (!slot->out_armed) /* the first time; arming reports what holds already */
        return co__slot_arm_out(slot);
    if (!named)
        return co__source_wait(&slot->write, false);
    {
        CO_DEADLINE(*pause); /* perhaps it is the other's queue */
        r = co__source_wait(&slot->write, false);
    }
    if (*pause < 32 * CO_MS)
        *pause *= 2;
    return r == 0 ? 0 : co_check();
}

/* Sends the first datagrams of a batch. Returns: how many, or a negative errno. */
static int send_batch(struct co__slot *slot, struct batch *batch, int from, int count)
{
    int64_t pause = CO_MS;

    for (;;) {
        int n, r;

        if (co__source_consume(&slot->write) & CO__SOURCE_CLOSING)
            return -ECANCELED;
        co__count(co__net_counts.sends);
        n = sendmmsg(slot->fd, batch->headers + from, (unsigned)(count - from),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
        r = n < 0 ? -errno : 0;
        if (n >= 0)
            return n;
        if (r == -EAGAIN)
            r = wait_for_room(slot, batch->headers[from].msg_hdr.msg_name, &pause);
        else if (r == -EINTR)
            r = co_check();
        if (r < 0)
            return r;
    }
}

int co_sendmany(int fd, const struct co_datagram *datagrams, int count)
{
    struct batch batch;
    struct co__slot *slot;
    int done = 0;
    int r;

    if (count < 0)
        return -EINVAL;
    count = check_count(count);
    for (int i = 0; i < count; i++) {
        const struct co_datagram *datagram = &datagrams[i];
        bool named = datagram->addr.len > 0;

        batch.pieces[i] = (struct iovec){datagram->data, datagram->len};
        batch.headers[i].msg_hdr = (struct msghdr){
            .msg_name = named ? (void *)(uintptr_t)&datagram->addr.any : NULL,
            .msg_namelen = datagram->addr.len,
            .msg_iov = &batch.pieces[i],
            .msg_iovlen = 1,
        };
    }
    slot = begin(fd, CO__SLOT_WRITING, &r);
    if (!slot)
        return r;
    r = 0;
    while (done < count && r >= 0) {
        r = send_batch(slot, &batch, done, count);
        if (r > 0) {
            done += r;
            r = done < count ? co_check() : 0;
        }
    }
    co__slot_leave(slot, CO__SLOT_WRITING);
    return done > 0 ? done : r;
}

ssize_t co_sendto(int fd, const void *buf, size_t len, const struct co_addr *to)
{
    int64_t pause = CO_MS;
    ssize_t n;
    int r;
    struct co__slot *slot = begin(fd, CO__SLOT_WRITING, &r);

    if (!slot)
        return r;
    do {
        if (co__source_consume(&slot->write) & CO__SOURCE_CLOSING) {
            r = -ECANCELED;
            break;
        }
        co__count(co__net_counts.sends);
        n = sendto(slot->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL, to ? &to->any : NULL,
                   to ? to->len : 0);
        r = n < 0 ? -errno : 1;
        if (r == -EAGAIN)
            r = wait_for_room(slot, to, &pause);
        else if (r == -EINTR)
            r = co_check();
    } while (r == 0);
    co__slot_leave(slot, CO__SLOT_WRITING);
    return r < 0 ? r : (ssize_t)len;
}
