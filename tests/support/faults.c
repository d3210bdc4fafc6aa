/* SPDX-License-Identifier: MIT */
/*
 * tests/support/faults.c - the functions that stand in for those of the system. The linker's option
 * --wrap=F makes of each call to F one to __wrap_F, and of __real_F the function itself.
 */
#include "support/faults.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define WRAP(type, name, ...)        \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

static const char *const names[FAULTS_CALLS] = {
    "socket",        "bind",        "listen",       "accept4",       "connect",
    "recv",          "recvfrom",    "recvmmsg",     "send",          "sendmsg",
    "sendto",        "sendmmsg",    "shutdown",     "getsockopt",    "setsockopt",
    "getsockname",   "getpeername", "fcntl",        "poll",          "close",
    "read",          "write",       "wake-up",      "epoll_create1", "epoll_ctl ADD",
    "epoll_ctl MOD", "epoll_wait",  "epoll_pwait2", "eventfd",       "mmap",
    "mprotect",      "madvise",     "mremap",       "malloc",        "pthread_create",
    "uv_loop_init",  "getaddrinfo", "pipe2",        "posix_spawnp",  "pidfd_open",
    "waitid",        "writev",      "sendfile",     "preadv2",
};

static struct {
    _Atomic bool armed;
    /* The plan; another thread may look at it while it is changed. */
    _Atomic int call, nth, times, how;
    void (*_Atomic hook)(int fd);
    _Atomic int seen[FAULTS_CALLS];
    _Atomic int acted;
} faults;

static _Atomic int64_t blocks, mapped;

const char *faults_name(enum faults_call call)
{
    return names[call];
}

void faults_arm(const struct faults_plan *plan)
{
    atomic_store(&faults.call, (int)plan->call);
    atomic_store(&faults.nth, plan->nth);
    atomic_store(&faults.times, plan->times > 0 ? plan->times : 1);
    atomic_store(&faults.how, plan->how);
    atomic_store(&faults.hook, plan->hook);
    for (int i = 0; i < FAULTS_CALLS; i++)
        atomic_store(&faults.seen[i], 0);
    atomic_store(&faults.acted, 0);
    atomic_store(&faults.armed, true);
}

int faults_disarm(void)
{
    atomic_store(&faults.armed, false);
    return atomic_load(&faults.acted);
}

int faults_seen(enum faults_call call)
{
    return atomic_load(&faults.seen[call]);
}

int64_t faults_blocks(void)
{
    return atomic_load(&blocks);
}

int64_t faults_mapped(void)
{
    return atomic_load(&mapped);
}

/* Counts a call. Returns: 0: make it; how it fails. */
static int count(enum faults_call call, int fd)
{
    void (*hook)(int fd);
    int first, nth;

    if (!atomic_load(&faults.armed))
        return 0;
    nth = atomic_fetch_add(&faults.seen[call], 1) + 1;
    first = atomic_load(&faults.nth);
    if ((int)call != atomic_load(&faults.call) || nth < first ||
        nth >= first + atomic_load(&faults.times))
        return 0;
    hook = atomic_load(&faults.hook);
    if (atomic_fetch_add(&faults.acted, 1) == 0 && hook)
        hook(fd);
    return atomic_load(&faults.how);
}

/* ---- edges ---- */

enum { TRACKED = 4096 };

/* Where each descriptor is registered. */
static struct {
    pthread_mutex_t lock;
    struct {
        bool there;
        int epoll;
        struct epoll_event event;
    } of[TRACKED];
} edges = {.lock = PTHREAD_MUTEX_INITIALIZER};

WRAP(int, epoll_ctl, int epoll, int op, int fd, struct epoll_event *event)
{
    enum faults_call call = op == EPOLL_CTL_ADD ? FAULTS_EPOLL_ADD : FAULTS_EPOLL_MOD;
    int how = op == EPOLL_CTL_DEL ? 0 : count(call, fd);
    int r;

    if (how) {
        errno = how;
        return -1;
    }
    /* Under the lock, or another's descriptor of this number could be forgotten. */
    (void)pthread_mutex_lock(&edges.lock);
    r = __real_epoll_ctl(epoll, op, fd, event);
    if (r == 0 && fd < TRACKED) {
        edges.of[fd].there = op != EPOLL_CTL_DEL;
        edges.of[fd].epoll = epoll;
        edges.of[fd].event = *event;
    }
    (void)pthread_mutex_unlock(&edges.lock);
    return r;
}

/* What holds now is reported anew. */
static void edge_follows(int fd)
{
    (void)pthread_mutex_lock(&edges.lock);
    if (fd >= 0 && fd < TRACKED && edges.of[fd].there)
        (void)__real_epoll_ctl(edges.of[fd].epoll, EPOLL_CTL_MOD, fd, &edges.of[fd].event);
    (void)pthread_mutex_unlock(&edges.lock);
}

static int fail_on(int fd, int how)
{
    if (how == EAGAIN)
        edge_follows(fd);
    errno = how & ~FAULTS_LATE;
    return -1;
}

/* ---- sockets ---- */

WRAP(int, socket, int family, int type, int protocol)
{
    int how = count(FAULTS_SOCKET, -1);

    return how ? fail_on(-1, how) : __real_socket(family, type, protocol);
}

WRAP(int, bind, int fd, const struct sockaddr *addr, socklen_t len)
{
    int how = count(FAULTS_BIND, fd);

    return how ? fail_on(fd, how) : __real_bind(fd, addr, len);
}

WRAP(int, listen, int fd, int backlog)
{
    int how = count(FAULTS_LISTEN, fd);

    return how ? fail_on(fd, how) : __real_listen(fd, backlog);
}

WRAP(int, accept4, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    int how = count(FAULTS_ACCEPT, fd);

    return how ? fail_on(fd, how) : __real_accept4(fd, addr, len, flags);
}

WRAP(int, connect, int fd, const struct sockaddr *addr, socklen_t len)
{
    int how = count(FAULTS_CONNECT, fd);

    if (how & FAULTS_LATE)
        (void)__real_connect(fd, addr, len);
    return how ? fail_on(fd, how) : __real_connect(fd, addr, len);
}

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;

    return __real_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

WRAP(ssize_t, recv, int fd, void *buf, size_t len, int flags)
{
    int how = count(FAULTS_RECV, fd);
    ssize_t n;

    if (how && how != FAULTS_SHORT)
        return fail_on(fd, how);
    if (!how || !is_stream(fd)) /* datagrams are whole */
        return __real_recv(fd, buf, len, flags);
    n = __real_recv(fd, buf, len > 1 ? 1 : len, flags);
    if (n > 0)
        edge_follows(fd);
    return n;
}

WRAP(ssize_t, recvfrom, int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
     socklen_t *addr_len)
{
    int how = count(FAULTS_RECVFROM, fd);

    return how ? fail_on(fd, how) : __real_recvfrom(fd, buf, len, flags, addr, addr_len);
}

WRAP(int, recvmmsg, int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *span)
{
    int how = count(FAULTS_RECVMMSG, fd);

    if (how && how != FAULTS_SHORT)
        return fail_on(fd, how);
    return __real_recvmmsg(fd, messages, how ? 1 : n, flags, span);
}

WRAP(ssize_t, send, int fd, const void *buf, size_t len, int flags)
{
    int how = count(FAULTS_SEND, fd);

    if (how && how != FAULTS_SHORT)
        return fail_on(fd, how);
    return __real_send(fd, buf, how && len > 1 && is_stream(fd) ? 1 : len, flags);
}

/* netio/syscall.h: receiving and sending, in a build without sanitizers. */
WRAP(long, syscall, long number, ...)
{
    long a[6];
    va_list args;

    va_start(args, number);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) /* more than the caller gave, perhaps */
        a[i] = va_arg(args, long); /* NOLINT(clang-analyzer-valist.Uninitialized): it is begun */
    va_end(args);
    if (number == SYS_recvfrom && !a[4])
        return __wrap_recv((int)a[0], (void *)a[1], (size_t)a[2], (int)a[3]);
    if (number == SYS_sendto && !a[4])
        return __wrap_send((int)a[0], (const void *)a[1], (size_t)a[2], (int)a[3]);
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
    int how = count(FAULTS_SENDMSG, fd);

    if (how && how != FAULTS_SHORT)
        return fail_on(fd, how);
    if (!how)
        return __real_sendmsg(fd, msg, flags);
    return __real_send(fd, msg->msg_iov->iov_base, msg->msg_iov->iov_len > 0, flags);
}

WRAP(ssize_t, sendto, int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
     socklen_t addr_len)
{
    int how = count(FAULTS_SENDTO, fd);

    return how ? fail_on(fd, how) : __real_sendto(fd, buf, len, flags, addr, addr_len);
}

WRAP(int, sendmmsg, int fd, struct mmsghdr *messages, unsigned n, int flags)
{
    int how = count(FAULTS_SENDMMSG, fd);

    if (how && how != FAULTS_SHORT)
        return fail_on(fd, how);
    return __real_sendmmsg(fd, messages, how ? 1 : n, flags);
}

WRAP(int, shutdown, int fd, int direction)
{
    int how = count(FAULTS_SHUTDOWN, fd);

    return how ? fail_on(fd, how) : __real_shutdown(fd, direction);
}

WRAP(int, getsockopt, int fd, int level, int name, void *value, socklen_t *len)
{
    int how = count(FAULTS_GETSOCKOPT, fd);

    return how ? fail_on(fd, how) : __real_getsockopt(fd, level, name, value, len);
}

WRAP(int, setsockopt, int fd, int level, int name, const void *value, socklen_t len)
{
    int how = count(FAULTS_SETSOCKOPT, fd);

    return how ? fail_on(fd, how) : __real_setsockopt(fd, level, name, value, len);
}

WRAP(int, getsockname, int fd, struct sockaddr *addr, socklen_t *len)
{
    int how = count(FAULTS_GETSOCKNAME, fd);

    return how ? fail_on(fd, how) : __real_getsockname(fd, addr, len);
}

WRAP(int, getpeername, int fd, struct sockaddr *addr, socklen_t *len)
{
    int how = count(FAULTS_GETPEERNAME, fd);

    return how ? fail_on(fd, how) : __real_getpeername(fd, addr, len);
}

/* ---- descriptors ---- */

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
    int how = count(FAULTS_FCNTL, fd);
    va_list args;
    long arg;

    if (how)
        return fail_on(fd, how);
    va_start(args, command);
    /* As the C library does, whatever it is. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    arg = va_arg(args, long);
    va_end(args);
    return __real_fcntl64(fd, command, arg);
}

WRAP(int, poll, struct pollfd *fds, unsigned long n, int timeout)
{
    int how = count(FAULTS_POLL, -1);

    return how == FAULTS_EMPTY ? 0 : how ? fail_on(-1, how) : __real_poll(fds, n, timeout);
}

/* A descriptor is closed, whatever close(2) says. */
WRAP(int, close, int fd)
{
    int how = count(FAULTS_CLOSE, fd);
    int r = __real_close(fd);

    return how ? fail_on(-1, how) : r;
}

WRAP(ssize_t, read, int fd, void *buf, size_t len)
{
    int how = count(FAULTS_READ, fd);

    return how ? fail_on(fd, how) : __real_read(fd, buf, len);
}

WRAP(ssize_t, write, int fd, const void *buf, size_t len)
{
    int how = count(len == sizeof(uint64_t) ? FAULTS_WAKE : FAULTS_WRITE, fd);
    ssize_t n;

    if (how == FAULTS_SHORT)
        return __real_write(fd, buf, len > 0);
    if (how && !(how & FAULTS_LATE))
        return fail_on(fd, how);
    n = __real_write(fd, buf, len);
    return how ? fail_on(fd, how) : n;
}

WRAP(int, epoll_create1, int flags)
{
    int how = count(FAULTS_EPOLL_CREATE, -1);

    return how ? fail_on(-1, how) : __real_epoll_create1(flags);
}

WRAP(int, epoll_wait, int epoll, struct epoll_event *events, int max, int timeout)
{
    int how = count(FAULTS_EPOLL_WAIT, -1);

    return how ? fail_on(-1, how) : __real_epoll_wait(epoll, events, max, timeout);
}

WRAP(int, epoll_pwait2, int epoll, struct epoll_event *events, int max, const struct timespec *span,
     const sigset_t *mask)
{
    int how = count(FAULTS_EPOLL_PWAIT, -1);

    return how ? fail_on(-1, how) : __real_epoll_pwait2(epoll, events, max, span, mask);
}

WRAP(int, eventfd, unsigned value, int flags)
{
    int how = count(FAULTS_EVENTFD, -1);

    return how ? fail_on(-1, how) : __real_eventfd(value, flags);
}

/* ---- files ---- */

WRAP(ssize_t, sendfile64, int to, int from, off64_t *offset, size_t len)
{
    int how = count(FAULTS_SENDFILE, to);
    ssize_t n;

    if (how && how != FAULTS_SHORT)
        return fail_on(to, how);
    n = __real_sendfile64(to, from, offset, how && len > 1 ? 1 : len);
    if (how && n > 0)
        edge_follows(to);
    return n;
}

WRAP(ssize_t, preadv64v2, int fd, const struct iovec *pieces, int n, off64_t offset, int flags)
{
    int how = count(FAULTS_PREADV, fd);

    return how ? fail_on(-1, how) : __real_preadv64v2(fd, pieces, n, offset, flags);
}

/* ---- programs and pipes ---- */

WRAP(int, pipe2, int *ends, int flags)
{
    int how = count(FAULTS_PIPE, -1);

    return how ? fail_on(-1, how) : __real_pipe2(ends, flags);
}

WRAP(int, posix_spawnp, pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
     const posix_spawnattr_t *attributes, char *const *argv, char *const *env)
{
    int how = count(FAULTS_SPAWN, -1);

    return how ? how : __real_posix_spawnp(pid, file, actions, attributes, argv, env);
}

WRAP(int, pidfd_open, pid_t pid, unsigned flags)
{
    int how = count(FAULTS_PIDFD, -1);

    return how ? fail_on(-1, how) : __real_pidfd_open(pid, flags);
}

WRAP(int, waitid, idtype_t type, id_t id, siginfo_t *info, int options)
{
    int how = count(FAULTS_WAITID, -1);

    return how ? fail_on(-1, how) : __real_waitid(type, id, info, options);
}

WRAP(ssize_t, writev, int fd, const struct iovec *pieces, int n)
{
    int how = count(FAULTS_WRITEV, fd);

    if (how && how != FAULTS_SHORT)
        return fail_on(fd, how);
    return how ? __real_write(fd, pieces->iov_base, pieces->iov_len > 0)
               : __real_writev(fd, pieces, n);
}

/* ---- memory ---- */

WRAP(void *, mmap64, void *at, size_t len, int protection, int flags, int fd, off64_t offset)
{
    int how = count(FAULTS_MMAP, -1);
    void *map = MAP_FAILED;

    if (how)
        errno = how;
    else
        map = __real_mmap64(at, len, protection, flags, fd, offset);
    if (map != MAP_FAILED)
        atomic_fetch_add(&mapped, (int64_t)len);
    return map;
}

WRAP(int, munmap, void *at, size_t len)
{
    int r = __real_munmap(at, len);

    if (r == 0)
        atomic_fetch_sub(&mapped, (int64_t)len);
    return r;
}

void *__real_mremap(void *at, size_t old, size_t len, int flags, ...);
void *__wrap_mremap(void *at, size_t old, size_t len, int flags, ...);
void *__wrap_mremap(void *at, size_t old, size_t len, int flags, ...)
{
    int how = count(FAULTS_MREMAP, -1);
    void *map = MAP_FAILED;

    if (how)
        errno = how;
    else
        map = __real_mremap(at, old, len, flags);
    if (map != MAP_FAILED)
        atomic_fetch_add(&mapped, (int64_t)len - (int64_t)old);
    return map;
}

WRAP(int, mprotect, void *at, size_t len, int protection)
{
    int how = count(FAULTS_MPROTECT, -1);

    return how ? fail_on(-1, how) : __real_mprotect(at, len, protection);
}

WRAP(int, madvise, void *at, size_t len, int advice)
{
    int how = count(FAULTS_MADVISE, -1);

    return how ? fail_on(-1, how) : __real_madvise(at, len, advice);
}

static bool no_memory(void)
{
    int how = count(FAULTS_MALLOC, -1);

    if (how)
        errno = how;
    return how != 0;
}

static void *given(void *block)
{
    if (block)
        atomic_fetch_add(&blocks, 1);
    return block;
}

WRAP(void *, malloc, size_t size)
{
    return no_memory() ? NULL : given(__real_malloc(size));
}

WRAP(void *, calloc, size_t n, size_t size)
{
    return no_memory() ? NULL : given(__real_calloc(n, size));
}

WRAP(void *, aligned_alloc, size_t alignment, size_t size)
{
    return no_memory() ? NULL : given(__real_aligned_alloc(alignment, size));
}

WRAP(char *, strdup, const char *text)
{
    return no_memory() ? NULL : given(__real_strdup(text));
}

WRAP(void *, realloc, void *block, size_t size)
{
    void *next = no_memory() ? NULL : __real_realloc(block, size);

    return block ? next : given(next);
}

WRAP(void, free, void *block)
{
    if (block)
        atomic_fetch_sub(&blocks, 1);
    __real_free(block);
}

/* ---- libraries ---- */

struct late {
    void *(*fn)(void *);
    void *arg;
};

static void *begin_late(void *arg)
{
    const struct timespec span = {.tv_nsec = 500000000};
    struct late late = *(struct late *)arg;

    __real_free(arg);
    (void)nanosleep(&span, NULL);
    return late.fn(late.arg);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
     void *arg)
{
    int how = count(FAULTS_THREAD, -1);

    if (how == FAULTS_LATE) {
        struct late *late = __real_malloc(sizeof *late);

        if (!late)
            return ENOMEM;
        *late = (struct late){fn, arg};
        return __real_pthread_create(thread, attr, begin_late, late);
    }
    return how ? how : __real_pthread_create(thread, attr, fn, arg);
}

WRAP(int, uv_loop_init, uv_loop_t *loop)
{
    int how = count(FAULTS_UV, -1);

    return how ? -how : __real_uv_loop_init(loop);
}

WRAP(int, getaddrinfo, const char *node, const char *service, const struct addrinfo *hints,
     struct addrinfo **list)
{
    int how = count(FAULTS_LOOKUP, -1);

    if (!how)
        return __real_getaddrinfo(node, service, hints, list);
    errno = EMFILE; /* looked at for EAI_SYSTEM alone */
    return how < 0 ? how : EAI_FAIL;
}

int faults_real_close(int fd)
{
    return __real_close(fd);
}

ssize_t faults_real_write(int fd, const void *buf, size_t len)
{
    return __real_write(fd, buf, len);
}

ssize_t faults_real_read(int fd, void *buf, size_t len)
{
    return __real_read(fd, buf, len);
}
