/* SPDX-License-Identifier: MIT */
/*
 * co/private/net.h - receiving and sending without waiting, for engines that open a deadline only
 * when they have to wait. Not installed; exported for corvid-http
 * and corvid-tls.
 */
#ifndef CO_PRIVATE_NET_H
#define CO_PRIVATE_NET_H

#include <co/net.h>

/*
 * As co_recv, but does not wait.
 * Returns: as co_recv; -EAGAIN if there is nothing. Suspends: only when the budget of calls is used
 *   up.
 */
CO_API CO_NODISCARD ssize_t co__recv_now(int fd, void *buf, size_t cap);

/*
 * Sends what goes at once.
 * Returns: bytes sent, perhaps fewer than len; -EAGAIN if none; else as co_send. Suspends: as
 *   co__recv_now.
 */
CO_API CO_NODISCARD ssize_t co__send_now(int fd, const void *buf, size_t len);

/*
 * Where received bytes go. With bring and let_go it need not be there while nothing comes: bring
 * sees to buf and cap before a system call, let_go takes them back before a wait.
 */
struct co__room {
    void *buf;
    size_t cap;
    int (*bring)(struct co__room *room); /* Returns: 0, or a negative errno that ends the call */
    void (*let_go)(struct co__room *room);
    void *arg;
};

/* As co_recv, into a room. Not exported. */
CO_NODISCARD ssize_t co__recv_lean(int fd, struct co__room *room);

/*
 * For a transport, whose calls of a library must not suspend: as co__recv_now, but minds neither
 * cancel nor deadline. *ret_asked is for co__recv_wait.
 * Returns: as co_recv, and 0 only if the peer has ended the stream; -EAGAIN. Suspends: never.
 */
CO_API CO_NODISCARD ssize_t co__recv_poll(int fd, void *buf, size_t cap, bool *ret_asked);

/* The same for sending. Returns: as co__send_now. Suspends: never. */
CO_API CO_NODISCARD ssize_t co__send_poll(int fd, const void *buf, size_t len);

/*
 * After co__recv_poll has said -EAGAIN: waits until it is worth calling again. is_late, if there is
 * one, is asked first, at a time when nobody else can read from fd: whether it is worth it already,
 * since somebody has read what the caller asked for in vain. It may suspend.
 * Returns: 1; 0 if the runtime stops and the connection is idle, so that co_recv would return 0; a
 *   negative errno. Suspends: yes.
 */
CO_API CO_NODISCARD int co__recv_wait(int fd, bool asked, bool (*is_late)(void *arg), void *arg);

/*
 * What co_go_when waits for, in the calling coroutine: for where no other one can be had.
 * Returns: 0: readable, as a hint; -ETIMEDOUT the deadline passed, -ECANCELED hang-up, cancel or
 *   stop; -EBUSY if somebody reads or waits already; -EBADF. Suspends: yes.
 */
CO_API CO_NODISCARD int co__wait_when(int fd);

/*
 * Notes to whom a connection belongs that was just accepted, for co__end_idle. Threads: its
 * owner's.
 */
CO_API void co__keep(int fd, const void *keeper);

/*
 * Ends idle connections of a keeper: at most so many of those that have been in co_go_when since
 * the previous call, which are started with -ECANCELED. Others it only marks for the next call. It
 * goes round by number, from `from` on, perhaps not the whole way.
 * Returns: where to go on next time. Suspends: never. Threads: any.
 */
CO_API int co__end_idle(const void *keeper, int from, int most);

#endif
