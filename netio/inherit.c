/* SPDX-License-Identifier: MIT */
/*
 * inherit.c - socket activation: LISTEN_FDS descriptors from number 3 on are for the process
 * LISTEN_PID; LISTEN_FDNAMES has their names between colons. A number is given out once: after it
 * was closed, it may be any descriptor.
 */
#include "inherit.h"

#include "listener.h"
#include "socket.h"
#include <co/listen.h>
#include <co/task.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST = 3, MOST = 1024, BITS = 64 };

static uint64_t taken[MOST / BITS];

/* Returns: what a number in the environment is, or -1. */
static long number_of(const char *text)
{
    char *end;
    long number;

    if (!text || *text < '0' || *text > '9' || strlen(text) > 9)
        return -1;
    number = strtol(text, &end, 10);
    return *end ? -1 : number;
}

int co_inherited(void)
{
    long count = number_of(getenv("LISTEN_FDS"));

    if (count < 0 || number_of(getenv("LISTEN_PID")) != getpid())
        return 0;
    return count < MOST ? (int)count : MOST;
}

static bool is_named(int index, const char *name)
{
    const char *names = getenv("LISTEN_FDNAMES");
    size_t len = strlen(name);

    for (int i = 0; names && i < index; i++) {
        names = strchr(names, ':');
        if (names)
            names++;
    }
    return names && strncmp(names, name, len) == 0 && (names[len] == ':' || names[len] == '\0');
}

static int fits(int fd, int type, bool listens)
{
    int is_type = 0, is_listening = 0, protocol = 0;

    if (co__socket_get(fd, SOL_SOCKET, SO_TYPE, &is_type) < 0 ||
        co__socket_get(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening) < 0 ||
        co__socket_get(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) < 0)
        return -EINVAL;
    if (protocol == IPPROTO_SCTP) /* its reads end where a message does, which looks like drained */
        return -EINVAL;
    return is_type == type && (is_listening != 0) == listens ? 0 : -EINVAL;
}

/* Returns: the descriptor, if this call is the one that takes it. */
static int take(int index, int type, bool listens)
{
    uint64_t *word = &taken[index / BITS];
    uint64_t bit = UINT64_C(1) << (index % BITS);
    int fd = FIRST + index;
    int flags;

    /* relaxed, both: who sets the bit has the descriptor; nothing else is handed over. */
    if (__atomic_load_n(word, __ATOMIC_RELAXED) & bit)
        return -EBUSY;
    if (fits(fd, type, listens) < 0)
        return -EINVAL;
    if (__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit)
        return -EBUSY;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        co__inherit_back(fd);
        return -EINVAL;
    }
    return fd;
}

void co__inherit_back(int fd)
{
    unsigned index = (unsigned)(fd - FIRST);

    /* relaxed: as in take. */
    (void)__atomic_fetch_and(&taken[index / BITS], ~(UINT64_C(1) << (index % BITS)),
                             __ATOMIC_RELAXED);
}

int co__inherit(const char *which, int type, bool listens)
{
    int count = co_inherited();
    long index = number_of(which);
    int r = -ENOENT;

    if (index >= 0)
        return index < count ? take((int)index, type, listens) : -ENOENT;
    for (int i = 0; i < count && r < 0; i++) {
        if (is_named(i, which))
            r = take(i, type, listens);
    }
    return r;
}

int co_listen_inherited(const char *which)
{
    int fd, r = co_check();

    if (r < 0)
        return r;
    fd = co__inherit(which, SOCK_STREAM, true);
    if (fd < 0)
        return fd;
    (void)co__socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* its connections have it, too */
    r = co__listener_open(fd, co_worker(), NULL);
    if (r < 0)
        co__inherit_back(fd);
    return r < 0 ? r : fd;
}
