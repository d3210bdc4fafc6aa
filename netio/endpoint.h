/* SPDX-License-Identifier: MIT */
/* endpoint.h - an address as programs write it: complete, or a name that is still to be looked
 * up. */
#ifndef CO_NETIO_ENDPOINT_H
#define CO_NETIO_ENDPOINT_H

#include <co/addr.h>

/* The longest host name, with its NUL. */
enum { CO__HOST_MAX = 256 };

struct co__endpoint {
    struct co_addr addr;     /* valid if host is empty */
    char host[CO__HOST_MAX]; /* a name */
    uint16_t port;
};

/* Returns: 0, -EINVAL, -ENODEV. Suspends: never. */
int co__endpoint_parse(const char *text, struct co__endpoint *ret_endpoint);

/*
 * The addresses of an endpoint: its own, or those of its name, at most CO_ADDRS_MAX.
 * Returns: as co_resolve. Suspends: yes, for names.
 */
int co__endpoint_resolve(const struct co__endpoint *endpoint, struct co_addr *ret_addrs);

/*
 * Looks a name up, on a thread of the offload pool, where it may block. Ports are filled in later.
 * Returns: how many of at most CO_ADDRS_MAX addresses, or a negative errno.
 */
typedef int co__lookup_fn(const char *host, struct co_addr *ret_addrs);

/* For tests: who looks names up from now on; NULL: getaddrinfo(3) again. */
void co__resolve_by(co__lookup_fn *fn);

#endif
