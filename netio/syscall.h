/* SPDX-License-Identifier: MIT */
/*
 * syscall.h - the two calls that every message makes, without the C library's preparations for
 * pthread_cancel(3), which no thread of ours is ever told (docs/decisions/0034). Sanitizers know
 * the functions, not the calls, so they get the functions.
 */
#ifndef CO_NETIO_SYSCALL_H
#define CO_NETIO_SYSCALL_H

#include <co/base.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns: as recv(2). */
static inline ssize_t co__sys_recv(int fd, void *buf, size_t len, int flags)
{
#if defined CO_ASAN || defined CO_TSAN
    return recv(fd, buf, len, flags);
#else
    return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
#endif
}

/* Returns: as send(2). */
static inline ssize_t co__sys_send(int fd, const void *buf, size_t len, int flags)
{
#if defined CO_ASAN || defined CO_TSAN
    return send(fd, buf, len, flags);
#else
    return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
#endif
}

#endif
