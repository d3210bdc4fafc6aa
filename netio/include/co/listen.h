/* SPDX-License-Identifier: MIT */
/* co/listen.h - listening with options, and on sockets that somebody else has opened. */
#ifndef CO_LISTEN_H
#define CO_LISTEN_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How to listen; zero means the default in every field.
 *
 * With per_worker each connection is served on the loop of the worker whose listener it came to.
 * The kernel prefers the worker on the CPU that handles the connection's first packet (Linux 6.2
 * and later), unless that one has more than its share of descriptors already; otherwise it goes by
 * a hash of the addresses. So listeners of other processes at the same address get little, unless
 * they name CPUs as well (SO_INCOMING_CPU), as those of a second one of ours do.
 */
struct co_listen_opts {
    int backlog;     /* connections that may queue; 0: 4096. The kernel cuts it to somaxconn */
    int ipv6_only;   /* 1: "[::]:80" does not take IPv4 */
    int reuse_port;  /* 1: other sockets may listen here as well; the kernel spreads connections */
    int per_worker;  /* 1: reuse_port, and co_serve opens a listener for each worker */
    int fast_open;   /* TCP fast open: clients that may begin with data in the first packet */
    int recv_buffer; /* sizes, as for co_set_buffers; connections inherit them */
    int send_buffer;
    unsigned mode; /* permissions of a unix socket's file, less the umask; 0: 0777 */
};

/*
 * co_listen with options; NULL means the defaults. They do not apply to inherited sockets.
 * Returns: as co_listen; -EINVAL for a negative number, and for reuse_port, per_worker or fast_open
 *   with a unix socket.
 *   Suspends, Threads, Owns: as co_listen.
 */
CO_API CO_NODISCARD int co_listen_with(const struct co_listen_opts *opts, const char *address);

/*
 * Takes over a listening stream socket that was passed to this process by the protocol of
 * systemd's socket activation (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES). `which` is its name, or
 * its number from 0; of several with one name each call takes the next.
 * Returns: a descriptor; -ENOENT if no such socket was passed to this process; -EBUSY if it is
 *   taken; -EINVAL if it is no stream socket that listens, or one of SCTP.
 *   Suspends: never. Threads: coroutines. Owns: the caller gets the descriptor.
 */
CO_API CO_NODISCARD int co_listen_inherited(const char *which);

/*
 * How many descriptors were passed to this process.
 * Returns: 0 or more. Suspends: never. Threads: any.
 */
CO_API int co_inherited(void);

#ifdef __cplusplus
}
#endif
#endif
