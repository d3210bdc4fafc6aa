/* SPDX-License-Identifier: MIT */
/* listen.c - opening listeners. Accepting is in accept.c. */
#include <co/listen.h>

#include "endpoint.h"
#include "inherit.h"
#include "listener.h"
#include "socket.h"
#include <co/net.h>
#include <co/task.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

static int check_opts(const struct co_listen_opts *opts, int family)
{
    if (opts->backlog < 0 || opts->fast_open < 0 || opts->mode > 0777)
        return -EINVAL;
    if (family == AF_UNIX && (opts->reuse_port || opts->per_worker || opts->fast_open))
        return -EINVAL;
    return 0;
}

static int set_up_ip(int fd, int family, const struct co_listen_opts *opts)
{
    int r = co__socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);

    if (r == 0 && (opts->reuse_port || opts->per_worker))
        r = co__socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r == 0 && family == AF_INET6) /* said either way: net.ipv6.bindv6only is a default */
        r = co__socket_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, opts->ipv6_only != 0);
    if (r == 0 && opts->fast_open)
        r = co__socket_set(fd, IPPROTO_TCP, TCP_FASTOPEN, BACKLOG);
    return r;
}

/* The file gets the permissions that the socket has when it is bound: no moment without them. */
static int set_up_local(int fd, const struct co_listen_opts *opts)
{
    return opts->mode && fchmod(fd, opts->mode) < 0 ? -errno : 0;
}

static int bind_and_listen(int fd, const struct co_addr *addr, const struct co_listen_opts *opts)
{
    int family = addr->any.sa_family;
    int r = co__socket_buffers(fd, opts->recv_buffer, opts->send_buffer);

    if (r == 0)
        r = family == AF_UNIX ? set_up_local(fd, opts) : set_up_ip(fd, family, opts);
    if (r == 0)
        r = co__socket_bind(fd, addr);
    if (r < 0)
        return r;
    return listen(fd, opts->backlog > 0 ? opts->backlog : BACKLOG) < 0 ? -errno : 0;
}

int co__listener_open(int fd, int worker, const struct co_listen_opts *opts)
{
    struct co__siblings *siblings = NULL;
    struct co__slot *slot = NULL;
    int protocol = 0;
    int ignored;
    int r = co__socket_get(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);

    if (r == 0 && opts) {
        siblings = malloc(sizeof *siblings);
        r = siblings ? 0 : -ENOMEM;
    }
    if (siblings) {
        /* A guess, so that connections come at all where another process asks for those of each. */
        *siblings = (struct co__siblings){.opts = *opts, .cpu = sched_getcpu()};
        (void)co__socket_set(fd, SOL_SOCKET, SO_INCOMING_CPU, siblings->cpu);
    }
    if (r == 0)
        r = co__slot_open(fd, CO__SLOT_LISTENER, worker, false);
    if (r == 0)
        slot = co__slot_enter(fd, 0, &ignored);
    if (slot) {
        slot->siblings = siblings;
        slot->accepts = protocol == IPPROTO_TCP ? CO__SLOT_TCP : CO__SLOT_STREAM;
        co__slot_leave(slot, 0);
    } else { /* or somebody has guessed the number, and it is in the table, but hung up or closed */
        free(siblings);
    }
    return r;
}

static int listen_on(const struct co_addr *addr, int worker, const struct co_listen_opts *opts)
{
    int r = check_opts(opts, addr->any.sa_family);
    int fd;

    if (r < 0)
        return r;
    fd = co__socket(addr->any.sa_family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    r = bind_and_listen(fd, addr, opts);
    if (r == 0)
        r = co__listener_open(fd, worker, opts->per_worker ? opts : NULL);
    if (r < 0)
        (void)close(fd);
    return r < 0 ? r : fd;
}

int co_listen_with(const struct co_listen_opts *opts, const char *address)
{
    static const struct co_listen_opts defaults;
    struct co__endpoint endpoint;
    struct co_addr addrs[CO_ADDRS_MAX] = {{.len = 0}};
    int r = co_check();

    if (r < 0)
        return r;
    if (strncmp(address, CO__INHERITED, strlen(CO__INHERITED)) == 0)
        return co_listen_inherited(address + strlen(CO__INHERITED));
    r = co__endpoint_parse(address, &endpoint);
    if (r == 0)
        r = co__endpoint_resolve(&endpoint, addrs);
    return r < 0 ? r : listen_on(&addrs[0], co_worker(), opts ? opts : &defaults);
}

int co_listen(const char *address)
{
    return co_listen_with(NULL, address);
}

int co__listener_again(const struct co__slot *slot, int worker)
{
    struct co_addr addr;
    int r = co__socket_local(slot->fd, &addr);

    return r < 0 ? r : listen_on(&addr, worker, &slot->siblings->opts);
}
