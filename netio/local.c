/* SPDX-License-Identifier: MIT */
/*
 * local.c - socket files that were left behind.
 *
 * Who closes a unix socket leaves its file there, and nobody can bind to it again. Whether a file
 * is in use is asked without bothering its owner: a datagram socket is connected to it, which a
 * listener for streams never notices. The kernel answers ECONNREFUSED if no socket has the file,
 * EPROTOTYPE if one of another type does, listening already or not.
 *
 * Two who start at once both find the file left behind; the slower of them must not remove what the
 * faster has bound there meanwhile. So whoever looks holds flock(2) on the folder until he has
 * bound. Where that cannot be had (a folder that cannot be read, somebody who keeps the lock) there
 * is a second line: the file is moved aside first, which only one of them can do, and asked again
 * under a name that nobody else knows; if it is in use after all, it is moved back.
 */
#include "socket.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_TRIES = 100, LOCK_PAUSE_US = 300 };

enum state { ABSENT, STALE, IN_USE };

static enum state look(const char *path, int probe)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat st;
    int r;

    if (lstat(path, &st) < 0)
        return ABSENT; /* or out of reach, which bind(2) will say better */
    if (!S_ISSOCK(st.st_mode))
        return IN_USE;
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    r = co__socket_aim(probe, (const struct sockaddr *)(const void *)&addr, sizeof addr);
    if (r == -ENOENT)
        return ABSENT;
    return r == -ECONNREFUSED ? STALE : IN_USE;
}

/* A name in the same folder that only we use. */
static int name_aside(const char *path, char *ret_aside, size_t cap)
{
    static unsigned number;
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    /* relaxed: any number that nobody else has. */
    unsigned mine = __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED);

    return snprintf(ret_aside, cap, "%.*s.%d-%u", folder, path, (int)getpid(), mine) < (int)cap
               ? 0
               : -ENAMETOOLONG;
}

static int remove_aside(const char *path, int probe)
{
    char aside[sizeof((struct sockaddr_un *)0)->sun_path];
    int r = name_aside(path, aside, sizeof aside);

    if (r < 0)
        return r;
    if (rename(path, aside) < 0)
        return 0; /* somebody else was faster, or bind(2) will say what is wrong */
    if (look(aside, probe) == IN_USE) {
        (void)renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_NOREPLACE);
        return -EADDRINUSE;
    }
    (void)unlink(aside);
    return 0;
}

static int remove_stale(const char *path)
{
    enum state state;
    int probe = co__socket(AF_UNIX, SOCK_DGRAM);
    int r = 0;

    if (probe < 0)
        return probe;
    state = look(path, probe);
    if (state == IN_USE)
        r = -EADDRINUSE;
    else if (state == STALE)
        r = remove_aside(path, probe);
    (void)close(probe);
    return r;
}

/*
 * Locks the folder of a path; others hold it for as long as a few system calls take. Returns: a
 * descriptor to be closed by close(2); -1 if it cannot be had, which the second line makes good.
 */
static int lock_folder(const char *path)
{
    char folder[sizeof((struct sockaddr_un *)0)->sun_path] = ".";
    const char *slash = strrchr(path, '/');
    int fd;

    if (slash)
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        (void)usleep(LOCK_PAUSE_US);
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int co__socket_bind(int fd, const struct co_addr *addr)
{
    const char *path = addr->local.sun_path;
    /* An abstract name leaves no file, and one that the system chooses is nobody's yet. */
    bool named =
        addr->any.sa_family == AF_UNIX && addr->len > sizeof(sa_family_t) && path[0] != '\0';
    int lock = named ? lock_folder(path) : -1;
    int r = named ? remove_stale(path) : 0;

    if (r == 0)
        r = bind(fd, &addr->any, addr->len) < 0 ? -errno : 0;
    if (lock >= 0)
        (void)close(lock);
    return r;
}
