/* SPDX-License-Identifier: MIT */
/*
 * tests/support/faults.h - the n-th system call of a kind fails, in a test program that is linked
 * with the options of faults_link_args in tests/meson.build.
 *
 * The linker sends each call that our objects make to the function of faults.c that stands in for
 * it: it counts, and either fails as planned or makes the call. Libraries of others (libuv,
 * Criterion, the sanitizers) are not touched, and the code under test has no hook. The calls of the
 * test itself are counted as well: what must not be is done by the functions at the end.
 *
 * A kernel that says EAGAIN, or that gives less than was asked for, lets an edge follow; so does
 * this: after such an answer the descriptor is reported anew by its epoll.
 */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum faults_call {
    FAULTS_SOCKET,
    FAULTS_BIND,
    FAULTS_LISTEN,
    FAULTS_ACCEPT,
    FAULTS_CONNECT,
    FAULTS_RECV,
    FAULTS_RECVFROM,
    FAULTS_RECVMMSG,
    FAULTS_SEND,
    FAULTS_SENDMSG,
    FAULTS_SENDTO,
    FAULTS_SENDMMSG,
    FAULTS_SHUTDOWN,
    FAULTS_GETSOCKOPT,
    FAULTS_SETSOCKOPT,
    FAULTS_GETSOCKNAME,
    FAULTS_GETPEERNAME,
    FAULTS_FCNTL,
    FAULTS_POLL,
    FAULTS_CLOSE,
    FAULTS_READ,
    FAULTS_WRITE, /* write(2) of data; FAULTS_WAKE: of the 8 bytes that an eventfd takes */
    FAULTS_WAKE,
    FAULTS_EPOLL_CREATE,
    FAULTS_EPOLL_ADD,
    FAULTS_EPOLL_MOD,
    FAULTS_EPOLL_WAIT,
    FAULTS_EPOLL_PWAIT,
    FAULTS_EVENTFD,
    FAULTS_MMAP,
    FAULTS_MPROTECT,
    FAULTS_MADVISE,
    FAULTS_MREMAP,
    FAULTS_MALLOC, /* and calloc, realloc, aligned_alloc, strdup */
    FAULTS_THREAD, /* pthread_create(3) */
    FAULTS_UV,     /* uv_loop_init, which opens descriptors of its own */
    FAULTS_LOOKUP, /* getaddrinfo(3): the error is one of EAI_* */
    FAULTS_PIPE,
    FAULTS_SPAWN, /* posix_spawnp(3) */
    FAULTS_PIDFD,
    FAULTS_WAITID,
    FAULTS_WRITEV,
    FAULTS_SENDFILE,
    FAULTS_PREADV, /* preadv2(2) */
    FAULTS_CALLS,
};

/*
 * How a call fails: an errno, or
 * SHORT  the call is made for one byte, or one datagram
 * LATE   added to an errno: the call is made, and then the error is told
 *        alone, for pthread_create(3): the thread begins half a second later
 * EMPTY  poll(2) finds nothing
 */
enum { FAULTS_SHORT = 1 << 20, FAULTS_EMPTY = 1 << 21, FAULTS_LATE = 1 << 22 };

struct faults_plan {
    enum faults_call call;
    int nth;   /* from 1 */
    int times; /* so many in a row; 0: one */
    int how;
    void (*hook)(int fd); /* called by the first that fails, if set; of calls on descriptors */
};

/* Begins to count, from zero, and to fail as planned. Threads: any, one at a time. */
void faults_arm(const struct faults_plan *plan);

/* No more faults. Returns: how many calls have failed. */
int faults_disarm(void);

/* Returns: how many calls of a kind there were since faults_arm. */
int faults_seen(enum faults_call call);

/* The name of a kind of call. */
const char *faults_name(enum faults_call call);

/* What our objects hold: blocks of memory that were not freed, bytes that are mapped. */
int64_t faults_blocks(void);
int64_t faults_mapped(void);

/* Calls of a test's own, which are not counted. */
int faults_real_close(int fd);
ssize_t faults_real_write(int fd, const void *buf, size_t len);
ssize_t faults_real_read(int fd, void *buf, size_t len);

#endif
