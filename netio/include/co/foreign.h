/* SPDX-License-Identifier: MIT */
/*
 * co/foreign.h - descriptors of other libraries.
 *
 * A library that has a descriptor, and can be told not to wait, runs in coroutines: adopt its
 * descriptor, wait with co_fd_wait until it is ready, call the library, and release the descriptor
 * before the library closes or replaces it. Meanwhile the library goes on using it as ever.
 * Calls of such a library must not suspend in between, if it keeps state per thread.
 */
#ifndef CO_FOREIGN_H
#define CO_FOREIGN_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to wait for. */
enum { CO_READABLE = 1, CO_WRITABLE = 2 };

/*
 * Takes a descriptor in that Corvid has not made: a socket, pipe, terminal, eventfd or the like.
 * Its readiness arrives at this worker's loop from now on. Sockets may then be used like our own,
 * and pipes that are non-blocking already; a listening socket is made non-blocking, otherwise flags
 * stay as they are. If a descriptor of this number was adopted already, and then closed behind our
 * back, that one is forgotten, and who waits for it gets -ECANCELED.
 * Returns: 0; -EBADF if it is not open; -EPERM for a plain file or a folder, which are always
 *   ready, and outside a coroutine; -EBUSY if it is a descriptor of Corvid's own; -ENOMEM.
 *   Suspends: only to wait until the forgotten one's users have left. Threads: coroutines.
 *   Owns: either co_release gives it back, or co_close closes it.
 */
CO_API CO_NODISCARD int co_adopt(int fd);

/*
 * Takes an adopted descriptor out again without closing it. Who waits for it gets -ECANCELED; when
 * this returns, nobody is left.
 * Returns: 0; -EBADF if it is not in the table; -EBUSY if it was not adopted; -EPERM outside a
 *   coroutine. Suspends: only until those inside have left, whatever cancel and deadline say.
 *   Threads: coroutines. Owns: fd is the caller's.
 */
CO_API int co_release(int fd);

/*
 * Waits until a descriptor, adopted or our own, is ready for one of `events`: CO_READABLE,
 * CO_WRITABLE or both. It is level-triggered: what is ready and was not dealt with is ready at the
 * next call, too. An error or the end counts as being ready for all.
 * Returns: those of the events that it is ready for; -EINVAL for no or other events; -EBUSY if
 *   another coroutine waits for, or uses, the same direction; -EBADF also if it was closed behind
 *   our back; -ECANCELED also if it was hung up or released. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_fd_wait(int fd, int events);

/* The most descriptors that co_fd_wait_any waits for. */
enum { CO_FD_WAITS_MAX = 64 };

/* A descriptor to wait for. */
struct co_fd_wait {
    int fd;     /* negative: left out */
    int events; /* as for co_fd_wait */
    int ready;  /* those that it is ready for, or 0 */
};

/*
 * Waits until one of several descriptors, all different, is ready, and says of each whether it is.
 * The rules are those of co_fd_wait.
 * Returns: how many are ready, at least 1; -EINVAL also for more than CO_FD_WAITS_MAX, or if there
 *   is nothing to wait for; the errors of co_fd_wait for any of them. Suspends: yes. Threads:
 *   coroutines.
 */
CO_API CO_NODISCARD int co_fd_wait_any(struct co_fd_wait *waits, int count);

#ifdef __cplusplus
}
#endif
#endif
