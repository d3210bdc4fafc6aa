/* SPDX-License-Identifier: MIT */
/* co/transport.h - what lies between a stream (co/stream.h) and its socket, such as TLS. */
#ifndef CO_TRANSPORT_H
#define CO_TRANSPORT_H

#include <co/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The functions of a transport; the first argument of each is what it was opened with. Those that
 * read, and those that write, are called by one coroutine each at a time, and these may be two on
 * different workers. They mind deadline, cancel and hang-up as the calls of co/net.h do.
 */
struct co_transport {
    /*
     * As co_recv. An end of the stream that the peer has not declared is an error, not 0.
     */
    ssize_t (*recv)(void *conn, void *buf, size_t cap);
    /*
     * Waits until recv has something to return at once: bytes, the end, or an error; so the stream
     * holds no buffer while it waits. NULL: recv is called right away.
     * Returns: 0, or a negative errno. Suspends: yes.
     */
    int (*wait)(void *conn);
    /* Whether recv has bytes for which the socket need not be asked; NULL: never. */
    bool (*pending)(void *conn);
    /* As co_sendv. */
    ssize_t (*sendv)(void *conn, const struct iovec *iov, int count);
    /*
     * Says to the peer that no more is sent; what it sends can still be read.
     * Returns: 0, or a negative errno. Suspends: yes.
     */
    int (*finish)(void *conn);
    /* Frees conn, and leaves the descriptor alone. Suspends: never. */
    void (*free)(void *conn);
};

#ifdef __cplusplus
}
#endif
#endif
