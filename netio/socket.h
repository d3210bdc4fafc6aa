/* SPDX-License-Identifier: MIT */
/* socket.h - what is set on a socket before it listens or connects. */
#ifndef CO_NETIO_SOCKET_H
#define CO_NETIO_SOCKET_H

#include <co/addr.h>

/*
 * A new socket, non-blocking and close-on-exec; TCP with TCP_NODELAY. Returns: it, or a negative
 * errno.
 */
int co__socket(int family, int type);

/* connect(2) for a datagram socket, which is done at once. Returns: 0, or a negative errno. */
int co__socket_aim(int fd, const struct sockaddr *addr, socklen_t len);

/* An option that is a number. Returns: 0, or a negative errno. */
int co__socket_set(int fd, int level, int name, int value);
int co__socket_get(int fd, int level, int name, int *ret_value);

/* Sizes of buffers, 0 leaves one. Returns: 0, -EINVAL, or another negative errno. */
int co__socket_buffers(int fd, int recv, int send);

/* The address a socket is bound to, or its peer's. Returns: 0, or a negative errno. */
int co__socket_local(int fd, struct co_addr *ret_addr);
int co__socket_peer(int fd, struct co_addr *ret_addr);

/*
 * bind(2); of a unix socket a file that nobody listens on any more is removed before, see local.c.
 * Returns: 0; -EADDRINUSE if somebody does, and others of bind(2).
 */
int co__socket_bind(int fd, const struct co_addr *addr);

#endif
