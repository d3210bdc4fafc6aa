/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - names to addresses, by getaddrinfo(3) on the offload pool.
 *
 * A look-up can take long and cannot be interrupted, so it owns its memory: the caller who gives up
 * (deadline, cancel) leaves it behind. Two hold it, the caller and the pool thread; who leaves last
 * frees it. `waiter` is
 *   0        -> the caller's ticket, by its commit
 *   0, ticket -> DONE, by the pool thread, which wakes the ticket it found
 */
#include "endpoint.h"

#include <co/offload.h>
#include <co/park.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define DONE UINT64_MAX

struct lookup {
    uint64_t waiter;
    int holders;
    int result; /* number of addresses, or a negative errno */
    struct co__endpoint endpoint;
    struct co_addr addrs[CO_ADDRS_MAX];
};

static void leave(struct lookup *lookup)
{
    /* acq_rel: the last one sees all that the other has done. */
    if (__atomic_sub_fetch(&lookup->holders, 1, __ATOMIC_ACQ_REL) == 0)
        free(lookup);
}

static int code(int r)
{
    switch (r) {
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -EAGAIN;
    default:
        return -ENOENT;
    }
}

static int ask_system(const char *host, struct co_addr *ret_addrs)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int count = 0;
    int r = getaddrinfo(host, NULL, &hints, &list);

    if (r == EAI_SYSTEM && errno != 0) /* the name may exist: out of descriptors, say */
        return -errno;
    if (r != 0)
        return code(r);
    for (struct addrinfo *i = list; i && count < CO_ADDRS_MAX; i = i->ai_next) {
        struct co_addr *addr = &ret_addrs[count];

        if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
            continue;
        memcpy(&addr->any, i->ai_addr, i->ai_addrlen);
        addr->len = i->ai_addrlen;
        count++;
    }
    freeaddrinfo(list);
    return count > 0 ? count : -ENOENT;
}

static co__lookup_fn *ask = ask_system;

void co__resolve_by(co__lookup_fn *fn)
{
    /* relaxed: tests set it before they start who looks up. */
    __atomic_store_n(&ask, fn ? fn : ask_system, __ATOMIC_RELAXED);
}

static int look_up(struct lookup *lookup)
{
    /* relaxed: as above. */
    int count = __atomic_load_n(&ask, __ATOMIC_RELAXED)(lookup->endpoint.host, lookup->addrs);

    for (int i = 0; i < count; i++) {
        if (lookup->addrs[i].any.sa_family == AF_INET)
            lookup->addrs[i].in4.sin_port = htons(lookup->endpoint.port);
        else
            lookup->addrs[i].in6.sin6_port = htons(lookup->endpoint.port);
    }
    return count;
}

static void on_pool(void *arg)
{
    struct lookup *lookup = arg;
    uint64_t waiter;

    /* relaxed: a hint. Nobody may be left to wait for it, and it may take many seconds. */
    if (__atomic_load_n(&lookup->holders, __ATOMIC_RELAXED) > 1)
        lookup->result = look_up(lookup);
    /* acq_rel: releases the result; acquires nothing but the ticket. */
    waiter = __atomic_exchange_n(&lookup->waiter, DONE, __ATOMIC_ACQ_REL);
    if (waiter)
        (void)co_unpark(waiter, 0);
    leave(lookup);
}

static int wait_for(co_ticket self, void *arg)
{
    struct lookup *lookup = arg;
    uint64_t nobody = 0;

    /* acq_rel: publishes the ticket, or acquires the result. 1: it is done, do not sleep. */
    return !__atomic_compare_exchange_n(&lookup->waiter, &nobody, self, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE /* as above */);
}

int co__endpoint_resolve(const struct co__endpoint *endpoint, struct co_addr *ret_addrs)
{
    struct lookup *lookup;
    int r;

    if (!endpoint->host[0]) {
        ret_addrs[0] = endpoint->addr;
        return 1;
    }
    lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    lookup->endpoint = *endpoint;
    lookup->holders = 2;
    r = co_offload_detached(on_pool, lookup);
    if (r < 0) {
        free(lookup);
        return r;
    }
    r = co_park_for("lookup of a name", NULL, wait_for, lookup, 0);
    if (r >= 0) {
        r = lookup->result;
        if (r > 0)
            memcpy(ret_addrs, lookup->addrs, (size_t)r * sizeof *ret_addrs);
    }
    leave(lookup);
    return r;
}

int co_resolve(const char *text, int max, struct co_addr *ret_addrs)
{
    struct co__endpoint endpoint;
    struct co_addr addrs[CO_ADDRS_MAX];
    int count;
    int r = co_check();

    if (r < 0)
        return r;
    if (max < 1)
        return -EINVAL;
    r = co__endpoint_parse(text, &endpoint);
    if (r < 0)
        return r;
    count = co__endpoint_resolve(&endpoint, addrs);
    if (count > max)
        count = max;
    if (count > 0)
        memcpy(ret_addrs, addrs, (size_t)count * sizeof *addrs);
    return count;
}
