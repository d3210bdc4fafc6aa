/* SPDX-License-Identifier: MIT */
/* co/backend.h - what a pool must know of its connections: implement this for a new protocol. */
#ifndef CO_BACKEND_H
#define CO_BACKEND_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A kind of connection. The first three run in coroutines and may suspend; the deadline of whoever
 * leases is in force during open and check.
 */
struct co_backend {
    /* Opens a connection: 0 and *ret_conn, or a negative errno. */
    int (*open)(void *ctx, void **ret_conn);
    /*
     * Whether an idle connection may serve again: 0 if so. NULL: yes. Best one system call, as each
     * lease waits for it; if the deadline or a cancel cuts it short, this connection alone is
     * closed, and the lease fails.
     */
    int (*check)(void *ctx, void *conn);
    /* Closes a connection for good. Must not fail, should not wait. */
    void (*close)(void *ctx, void *conn);
    /* The descriptor of a connection, for co_lease_fd and for its shard; NULL if it has none. */
    int (*fd)(void *ctx, void *conn);
};

/*
 * Raw TCP or unix streams: connections are opened by co_connect(address), and are healthy while the
 * peer has neither ended the stream nor sent anything unasked, and nobody has hung them up. Pass
 * the address as the pool's ctx; it must outlive it.
 */
extern CO_API const struct co_backend co_tcp_backend;

#ifdef __cplusplus
}
#endif
#endif
