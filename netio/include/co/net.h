/* SPDX-License-Identifier: MIT */
/*
 * co/net.h - sockets for coroutines: plain blocking-style calls with deadline, cancel and hang-up.
 *
 * A descriptor belongs to one owner, who closes it (CO_FD does). Its readiness arrives at the loop
 * of one worker for its whole life; coroutines may use it from any worker. One coroutine may read
 * and another may write at the same time; a second one in the same direction gets -EBUSY before
 * anything has happened.
 *
 * Every call that suspends returns -ETIMEDOUT when the deadline in force has passed, -ECANCELED
 * when the coroutine was cancelled or the descriptor hung up (co_hangup; what is open at the end of
 * co_run is hung up then), -EBADF when fd is not a descriptor of Corvid's, and -EPERM outside a
 * coroutine; below, these four are not named again.
 */
#ifndef CO_NET_H
#define CO_NET_H

#include <co/addr.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opens a listening stream socket on an address (co/addr.h), or on a name's first one; port 0 lets
 * the system choose (see co_local_port). "[::]:80" takes IPv4 as well. A unix socket's file that
 * nobody uses any more is replaced; co_close leaves the file. "systemd:NAME" and "systemd:0" take
 * over a socket that the service manager has opened. co/listen.h has options.
 * Returns: a descriptor; -EINVAL for an address that cannot be read; -ENOENT for a name that is
 *   unknown; -EADDRINUSE and others of bind(2); the errors of co_listen_inherited.
 * Suspends: when a name must be looked up. Threads: coroutines. Owns: the caller gets the
 *   descriptor.
 */
CO_API CO_NODISCARD int co_listen(const char *address);

/*
 * The port that a socket is bound to.
 * Returns: 1 to 65535; -EAFNOSUPPORT if it is no IP socket; -EBADF. Suspends: never. Threads: any.
 */
CO_API int co_local_port(int fd);

/*
 * The address that a socket is bound to.
 * Returns: 0; -ENOTSOCK; -EBADF. Suspends: never. Threads: any.
 */
CO_API int co_local_addr(int fd, struct co_addr *ret_addr);

/*
 * The address of a socket's peer.
 * Returns: 0; -ENOTCONN; -ENOTSOCK; -EBADF. Suspends: never. Threads: any.
 */
CO_API int co_peer_addr(int fd, struct co_addr *ret_addr);

/*
 * Waits for a connection. It lands on the loop that owns fewest descriptors, this worker's if that
 * is fair. Out of descriptors it waits for one to be closed. What fails one connection alone is
 * passed over; after 32 such failures in a row it rests for 100 ms, so it never spins.
 * Returns: a descriptor, non-blocking and close-on-exec, TCP_NODELAY set; -ECANCELED also once the
 *   runtime stops and nothing is queued any more; -EINVAL if fd does not listen.
 * Suspends: yes. Threads: coroutines. Owns: the caller gets the descriptor.
 */
CO_API CO_NODISCARD int co_accept(int lfd);

/* What co_serve starts for each connection; it owns conn. */
typedef void co_conn_fn(int conn, void *arg);

/*
 * Accepts until the runtime stops or lfd is hung up, and runs fn(conn, arg) in a coroutine of its
 * own as soon as a connection has bytes to read: where the server speaks first, as in SMTP, take
 * co_accept and co_go_fd. A connection that cannot be started is closed. If lfd was opened with
 * per_worker (co/listen.h), each worker accepts from a listener of its own.
 * Returns: 0 when told to stop; another negative errno when accepting failed for good.
 * Suspends: yes. Threads: coroutines. Owns: lfd stays the caller's.
 */
CO_API CO_NODISCARD int co_serve(int lfd, co_conn_fn *fn, void *arg);

/*
 * Connects to an address (co/addr.h) or a name, which is looked up off the workers. Of several
 * addresses the next is tried when one has failed or has not answered for 250 ms, IPv6 and IPv4 by
 * turns, and the first connection wins (RFC 8305). co/connect.h has options.
 * Returns: a descriptor; -EINVAL for an address that cannot be read; -ENOENT if the name is
 *   unknown; otherwise the error of the address that failed last: -ECONNREFUSED and others of
 *   connect(2).
 * Suspends: yes. Threads: coroutines. Owns: the caller gets the descriptor.
 */
CO_API CO_NODISCARD int co_connect(const char *address);

/*
 * Reads what is there, at most `cap` bytes, waiting until something is. When the runtime stops, an
 * accepted connection that is idle, on which nothing has come since something was sent, ends for
 * the reader: 0, after what is there still. (Not one that was given to co_go_when, which tells.)
 * Returns: bytes read, at least 1; 0 at the end of the stream (or if cap is 0); -ECONNRESET and
 *   others of recv(2). Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_recv(int fd, void *buf, size_t cap);

/*
 * Reads exactly `len` bytes.
 * Returns: len; fewer, if the stream ended before; a negative errno as co_recv (bytes read before
 *   are lost).
 * Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_recvn(int fd, void *buf, size_t len);

/*
 * Writes all of the bytes.
 * Returns: len; -EPIPE, -ECONNRESET and others of send(2). After a failure midway the stream is
 *   broken: later sends give -EPIPE. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_send(int fd, const void *buf, size_t len);

/*
 * Writes all bytes of up to 64 pieces, which it leaves unchanged.
 * Returns: the sum of their lengths; -EINVAL for more pieces; else as co_send. Suspends: yes.
 * Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_sendv(int fd, const struct iovec *iov, int count);

/*
 * Writes `len` bytes of a file, from `offset` on, without copying them through the program. Parts
 * of it that are not in memory are read on the offload pool first.
 * Returns: bytes written, fewer than len if the file ended before; -EINVAL if it cannot be mapped;
 *   else as co_send. Suspends: yes. Threads: coroutines. Owns: file stays the caller's.
 */
CO_API CO_NODISCARD ssize_t co_sendfile(int fd, int file, int64_t offset, size_t len);

/*
 * Ends one direction: how is SHUT_RD, SHUT_WR or SHUT_RDWR of <sys/socket.h>.
 * Returns: 0; -ENOTCONN; -EINVAL. Suspends: never. Threads: any.
 */
CO_API int co_shutdown(int fd, int how);

/*
 * Closes a descriptor. Callers that are waiting on it in other coroutines return -ECANCELED, and
 * the number is given back when the last of them has left.
 * Returns: 0; -EBADF, also for a negative fd, and nothing was done. Suspends: never. Threads: any.
 *   Owns: fd is gone.
 */
CO_API int co_close(int fd);

/*
 * Ends a connection from outside: every present and later call on fd returns -ECANCELED, until the
 * owner closes it. The descriptor stays open and its number taken.
 * Returns: 0; -EBADF. Suspends: never. Threads: any. Owns: nothing changes.
 */
CO_API int co_hangup(int fd);

/*
 * Moves a descriptor out of a guarded variable: `return co_fd_take(&fd);`.
 * Returns: what *fd held; *fd is -1 then. Suspends: never. Threads: any.
 */
static inline int co_fd_take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* The clean-up of CO_FD: closes *fd unless negative. Suspends: never. Threads: any. */
CO_API void co_fd_guard(const int *fd);

/*
 * Declares `int name = expr`, closed at the end of the block unless negative or taken with
 * co_fd_take.
 */
#define CO_FD(name, expr) int name __attribute__((cleanup(co_fd_guard), unused)) = (expr)

/*
 * What co_go_when starts; why: 0 readable, -ETIMEDOUT the deadline passed, -ECANCELED hang-up or
 * stop.
 */
typedef void co_when_fn(void *arg, int why);

/*
 * Starts a coroutine when fd has bytes to read (or has ended, or failed). Until then nothing runs
 * and no stack is held: this is how idle connections wait. The deadline in force when this is
 * called bounds the wait. When the runtime is told to stop, all that still wait are started with
 * -ECANCELED.
 * Returns: 0, and fn will be called exactly once; -EBUSY if somebody reads or waits already;
 *   -ECANCELED if the descriptor has been hung up; -ENOMEM; -EAGAIN (max_coroutines); -EBADF.
 *   Suspends: never.
 * Threads: coroutines. Owns: fd stays its owner's; arg passes to fn if 0 is returned.
 */
CO_API CO_NODISCARD int co_go_when(int fd, co_when_fn *fn, void *arg);

/*
 * The worker whose loop a descriptor is pinned to, for statistics and tests.
 * Returns: 0 to N-1; -EBADF. Suspends: never. Threads: any.
 */
CO_API int co_fd_worker(int fd);

#ifdef __cplusplus
}
#endif
#endif
