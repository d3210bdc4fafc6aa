/* SPDX-License-Identifier: MIT */
/*
 * co/sockopt.h - options of sockets.
 *
 * TCP sockets of Corvid's are born with TCP_NODELAY: what is sent goes out at once, and who sends
 * in pieces uses co_sendv. What is set on a listener, its connections inherit. Times are rounded up
 * to what the kernel counts in. Each function also returns -EBADF and -ECANCELED as said in
 * co/net.h, never suspends, and may be called from any thread.
 */
#ifndef CO_SOCKOPT_H
#define CO_SOCKOPT_H

#include <co/base.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * off: small pieces wait until what was sent before is acknowledged (Nagle's algorithm).
 * Returns: 0; -EOPNOTSUPP if it is not TCP. Suspends: never. Threads: any.
 */
CO_API int co_set_nodelay(int fd, bool on);

/*
 * Has the kernel ask a silent peer whether it is still there: after `idle` without a byte, then
 * every `interval`; after `count` questions without an answer the connection ends with -ETIMEDOUT.
 * idle 0 turns it off; interval 0 and count 0 leave these as they are.
 * Returns: 0; -EINVAL out of range (32767 s, 127 times); -EOPNOTSUPP if it is not TCP. Suspends:
 *   never. Threads: any.
 */
CO_API int co_set_keepalive(int fd, int64_t idle, int64_t interval, int count);

/*
 * Ends the connection with -ETIMEDOUT when sent bytes stay without an acknowledgement for so long;
 * 0: the kernel's own patience, about a quarter of an hour.
 * Returns: 0; -EINVAL; -EOPNOTSUPP if it is not TCP. Suspends: never. Threads: any.
 */
CO_API int co_set_user_timeout(int fd, int64_t ns);

/*
 * on: co_close drops what has not been sent yet and the peer gets a reset, and no TIME_WAIT stays
 * behind. There is no lingering with a time: close(2) would hold up its worker for it. To be sure
 * that the peer has everything, co_shutdown(fd, SHUT_WR) and co_recv until it returns 0.
 * Returns: 0; -ENOTSOCK. Suspends: never. Threads: any.
 */
CO_API int co_set_reset_on_close(int fd, bool on);

/*
 * Sizes of the kernel's buffers in bytes, of which it uses a part for itself; 0 leaves one as it
 * is. A size that was set is not adapted any more. For a window beyond 64 KiB they have to be set
 * before the connection is made: struct co_listen_opts, struct co_connect_opts.
 * Returns: 0; -EINVAL if negative; -ENOTSOCK. Suspends: never. Threads: any.
 */
CO_API int co_set_buffers(int fd, int recv, int send);

/*
 * Any other option: setsockopt(2), on a descriptor that cannot become another one meanwhile.
 * Returns: 0; what setsockopt(2) says. Suspends: never. Threads: any.
 */
CO_API int co_set_option(int fd, int level, int name, const void *value, size_t len);

/*
 * getsockopt(2), likewise; *len is the room at value, and how much of it was filled.
 * Returns: 0; what getsockopt(2) says. Suspends: never. Threads: any.
 */
CO_API int co_get_option(int fd, int level, int name, void *value, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
