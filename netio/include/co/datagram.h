/* SPDX-License-Identifier: MIT */
/*
 * co/datagram.h - UDP and unix datagrams.
 *
 * A datagram arrives whole or not at all, and may be empty. One that is longer than the buffer is
 * cut, and the call says -EMSGSIZE. Of a connected socket co_recv and co_send work as well, with
 * two differences: an empty datagram is 0 and no end, and co_send cannot send one. An error that
 * the network reports of an earlier datagram (-ECONNREFUSED: nobody is there) is returned by the
 * next call; the socket goes on. The errors of co/net.h apply.
 */
#ifndef CO_DATAGRAM_H
#define CO_DATAGRAM_H

#include <co/addr.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to open a datagram socket; zero means the default in every field. */
struct co_datagram_opts {
    int ipv6_only;   /* 1: "[::]:53" does not take IPv4 */
    int reuse_port;  /* 1: other sockets may be bound here as well; the kernel spreads datagrams */
    int broadcast;   /* 1: may send to broadcast addresses */
    int recv_buffer; /* sizes, as for co_set_buffers */
    int send_buffer;
    unsigned mode; /* permissions of a unix socket's file, less the umask; 0: 0777 */
};

/*
 * Opens a datagram socket bound to an address (co/addr.h), or a name's first one: port 0, or
 * "unix:@", lets the system choose. A unix socket's file that nobody uses any more is replaced;
 * "systemd:NAME" as for co_listen. opts may be NULL.
 * Returns: a descriptor; the errors of co_listen_with. Suspends: when a name must be looked up.
 *   Threads: coroutines. Owns: the caller gets the descriptor.
 */
CO_API CO_NODISCARD int co_datagram_bind(const struct co_datagram_opts *opts, const char *address);

/*
 * Opens a datagram socket whose peer is `address`, or a name's first one: it gets datagrams from
 * there alone, and errors that are reported from there. `local`, if not NULL, is bound to first; a
 * unix socket without gets a name from the system, so that it can be answered.
 * Returns: a descriptor; as co_datagram_bind; -ECONNREFUSED, -ENOENT for a unix socket that nobody
 *   has. Suspends, Threads, Owns: as co_datagram_bind.
 */
CO_API CO_NODISCARD int co_datagram_connect(const struct co_datagram_opts *opts, const char *local,
                                            const char *address);

/*
 * Waits for a datagram. ret_from, if not NULL, is who sent it; its len is 0 if he has no name.
 * Returns: its length, 0 for an empty one; -EMSGSIZE if it is longer than cap: buf and ret_from are
 *   filled, the rest is lost; what the network reported. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_recvfrom(int fd, void *buf, size_t cap, struct co_addr *ret_from);

/*
 * Sends a datagram to an address, or to the peer if `to` is NULL, waiting for room.
 * Returns: len; -EMSGSIZE if it is longer than the protocol or the send buffer takes;
 *   -EDESTADDRREQ without `to` and peer; -ENOBUFS, -ENETUNREACH and others of sendto(2); what the
 *   network reported. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_sendto(int fd, const void *buf, size_t len,
                                      const struct co_addr *to);

/* The most that one call of co_recvmany or co_sendmany moves. */
enum { CO_DATAGRAMS_MAX = 64 };

/* One of several datagrams. */
struct co_datagram {
    void *data;
    size_t cap; /* received: the room at data */
    size_t len; /* received: its length, which is over cap if it was cut; sent: its length */
    struct co_addr addr; /* received: who sent it; sent: to whom, len 0 for the peer */
};

/*
 * Waits for a datagram and takes as many as are there, in one system call.
 * Returns: how many, at least 1 (0 if count is 0); the errors of co_recvfrom, but one that was cut
 *   is counted, and its len says so. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_recvmany(int fd, struct co_datagram *datagrams, int count);

/*
 * Sends several in their order, with as few system calls as possible, waiting for room.
 * Returns: how many were sent, at least 1 (0 if count is 0); fewer than count if the next one
 *   failed, and sending from there says why; if the first fails, an error of co_sendto.
 *   Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_sendmany(int fd, const struct co_datagram *datagrams, int count);

#ifdef __cplusplus
}
#endif
#endif
