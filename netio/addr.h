/* SPDX-License-Identifier: MIT */
/* addr.h - what the texts "host:port", "[ipv6]:port" and "unix:/path" stand for. */
#ifndef CO_NETIO_ADDR_H
#define CO_NETIO_ADDR_H

#include <co/base.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct co__addr {
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un local;
    };
    socklen_t len;
};

/* The longest host name, with its NUL. */
enum { CO__HOST_MAX = 256, CO__ADDRS_MAX = 16 };

/* An address as written: complete, or a name still to be looked up. */
struct co__endpoint {
    struct co__addr addr;    /* valid if host is empty */
    char host[CO__HOST_MAX]; /* a name */
    uint16_t port;
};

/* Returns: 0, -EINVAL. Suspends: never. */
int co__endpoint_parse(const char *text, struct co__endpoint *ret_endpoint);

/*
 * The addresses of an endpoint: its own, or those of its name, which is looked up off the workers.
 * Returns: how many, at least 1; -ENOENT for an unknown name; -ETIMEDOUT, -ECANCELED, -EPERM,
 *   -ENOMEM, -EAGAIN (the resolver could not tell now). Suspends: yes, for names.
 */
int co__endpoint_resolve(const struct co__endpoint *endpoint, struct co__addr *ret_addrs);

#endif
