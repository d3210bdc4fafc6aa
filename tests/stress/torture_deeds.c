/* SPDX-License-Identifier: MIT */
/*
 * torture_deeds.c - what the actors do: talk over a link and end it in some way, read twice at
 * once, hang up and close who waits, open and close listeners under those who accept, have
 * descriptors that a library owns adopted and released.
 */
#include "stress/torture.h"

#include <co/foreign.h>
#include <co/group.h>
#include <co/net.h>
#include <co/scope.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a talk with the server ---- */

/* Connects and says who it is. Returns: 0; a negative errno, and nothing is left. */
static int begin(struct torture_half *half, int actor, uint32_t chance)
{
    ssize_t n;

    *half = (struct torture_half){.end = CLIENT, .fd = -1, .seed = chance | 1};
    half->link = torture_link_take(actor);
    if (!half->link)
        return -EAGAIN;
    half->id = atomic_load(&half->link->id);
    half->fd = co_connect(torture_address(chance));
    if (half->fd < 0) {
        torture_link_give(half->link);
        return half->fd;
    }
    atomic_fetch_add(&torture_counts.connections, 1);
    n = co_send(half->fd, &half->id, sizeof half->id);
    if (n < 0) { /* whoever tells us to stop may do so here */
        torture_close(half);
        torture_link_give(half->link);
        return (int)n;
    }
    return 0;
}

static void end(struct torture_half *half)
{
    torture_close(half);
    torture_link_give(half->link);
}

static ssize_t exchange(struct torture_half *half)
{
    size_t len = dice(&half->seed) % 2000 + 1;
    uint64_t until = half->sent + len;
    ssize_t n = torture_send(half, len);

    while (n > 0 && half->received < until)
        n = torture_recv(half, (size_t)(until - half->received));
    return n;
}

/* Shuts its half down and reads what is left. */
static void drain(struct torture_half *half)
{
    ssize_t n = 1;

    torture_leave(half);
    if (co_shutdown(half->fd, SHUT_WR) < 0)
        return;
    while (n > 0)
        n = torture_recv(half, 2000);
}

static int talk(int actor, uint32_t chance)
{
    int64_t patience = chance % 4 == 0 ? (int64_t)(chance >> 4) % (2 * CO_MS) : 10 * CO_SEC;
    struct torture_half half;
    CO_DEADLINE(patience);
    int r = begin(&half, actor, chance);
    ssize_t n = 1;

    if (r < 0)
        return r;
    {
        CO_GROUP(group);

        if (chance / 4 % 4 == 0 && torture_befriend(&group, &half) < 0)
            fail("a friend", 0, 0);
        for (uint32_t i = 0; i < chance / 16 % 4 + 1 && n > 0; i++)
            n = exchange(&half);
        if (n > 0 && chance / 64 % 2 == 0)
            drain(&half);
    }
    end(&half);
    return n == -ETIMEDOUT || n == -ECANCELED ? co_check() : 0;
}

/* ---- a talk in a group that is cancelled ---- */

struct cut {
    int actor;
    uint32_t chance;
};

static int talk_member(void *arg)
{
    const struct cut *cut = arg;
    int r = talk(cut->actor, cut->chance | 3);

    return r == -EAGAIN ? 0 : r;
}

static int talk_and_be_cancelled(int actor, uint32_t chance)
{
    struct cut cut = {actor, chance};
    CO_GROUP(group);

    if (co_group_go(&group, talk_member, &cut) < 0)
        return -ENOMEM;
    (void)co_sleep((int64_t)(chance % 400) * CO_US);
    co_group_cancel(&group);
    atomic_fetch_add(&torture_counts.cancels, 1);
    (void)co_group_close(&group);
    return co_check();
}

/* ---- two who read at once ---- */

struct rivals {
    int fd;
    _Atomic int results[3]; /* how many got: -EBUSY, -ECANCELED, something else */
};

static int read_in_vain(void *arg)
{
    struct rivals *rivals = arg;
    char byte;
    ssize_t n = co_recv(rivals->fd, &byte, 1);

    atomic_fetch_add(&rivals->results[n == -EBUSY ? 0 : n == -ECANCELED ? 1 : 2], 1);
    if (n == -EBUSY) /* the other one is in there */
        return co_hangup(rivals->fd);
    return 0;
}

/* On a link on which the server is silent, since it waits for more. */
static int read_twice(int actor, uint32_t chance)
{
    struct torture_half half;
    struct rivals rivals = {0};
    int r = begin(&half, actor, chance);

    if (r < 0)
        return r;
    rivals.fd = half.fd;
    {
        CO_GROUP(group);

        for (int i = 0; i < 2; i++) {
            if (co_group_go(&group, read_in_vain, &rivals) < 0)
                fail("a rival", 0, 0);
        }
        if (co_group_wait(&group) < 0)
            fail("the rivals", group.error, 0);
    }
    /* The server may have lost its patience: then there was an end to be read, for one or both. */
    if (rivals.results[2] == 0 && (rivals.results[0] != 1 || rivals.results[1] != 1))
        fail("two readers", rivals.results[0], rivals.results[1]);
    if (rivals.results[2] > 0 && !atomic_load(&half.link->left[SERVER]))
        fail("a reader got something where there is nothing", rivals.results[2], half.fd);
    atomic_fetch_add(&torture_counts.busy, (uint64_t)rivals.results[0]);
    end(&half);
    return 0;
}

/* ---- listeners that come and go ---- */

void torture_until_inside(int fd)
{
    int r = 0;

    while (r != -EBUSY) {
        (void)co_yield();
        CO_DEADLINE(10 * CO_US);
        r = co_fd_wait(fd, CO_READABLE);
    }
}

struct door {
    int lfd;
    _Atomic int told; /* it will be hung up, or closed */
    uint64_t id;
};

static int accept_one(void *arg)
{
    struct door *door = arg;
    CO_FD(conn, -EBUSY);
    uint64_t id = 0;
    ssize_t n;

    while (conn == -EBUSY)
        conn = co_accept(door->lfd);
    if (conn < 0) {
        if (conn != -ECANCELED)
            fail("accepting", conn, door->lfd);
        if (!atomic_load(&door->told))
            fail("a listener is closed, and nobody has", conn, door->lfd);
        atomic_fetch_add(&torture_counts.accepts_cut, 1);
        return 0;
    }
    n = co_recvn(conn, &id, sizeof id);
    if (n == (ssize_t)sizeof id && id != door->id)
        fail("a stranger at the door", (long long)id, (long long)door->id);
    return 0;
}

/* Closes the listener, or hangs it up, while somebody accepts. */
static int open_a_door(int actor, uint32_t chance)
{
    struct door door = {.id = (uint64_t)chance << 16 | (uint32_t)actor};
    char address[64];
    int fd = -1;

    door.lfd = co_listen("127.0.0.1:0");
    if (door.lfd < 0)
        return door.lfd;
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(door.lfd));
    {
        CO_GROUP(group);

        if (co_group_go(&group, accept_one, &door) < 0)
            fail("an acceptor", 0, 0);
        if (chance % 4 != 0) {
            fd = co_connect(address);
            if (fd >= 0 && co_send(fd, &door.id, sizeof door.id) < 0 && co_check() == 0)
                fail("sending to a listener of one's own", fd, 0);
        }
        if (chance % 8 < 4)
            (void)co_yield();
        if (chance % 4 == 0)
            torture_until_inside(door.lfd);
        atomic_store(&door.told, 1);
        if (chance % 4 == 0) {
            if (co_close(door.lfd) != 0)
                fail("closing a listener", door.lfd, 0);
            door.lfd = -1;
        } else if (co_hangup(door.lfd) != 0) {
            fail("hanging a listener up", door.lfd, 0);
        }
        (void)co_close(fd);
    }
    if (chance % 4 != 0 && co_close(door.lfd) != 0)
        fail("closing a listener that was hung up", door.lfd, 0);
    return 0;
}

/* ---- descriptors of a library ---- */

struct loan {
    int fd;
    _Atomic int told; /* it will be released or closed */
};

static int wait_for_it(void *arg)
{
    struct loan *loan = arg;
    int r = -EBUSY;

    while (r == -EBUSY)
        r = co_fd_wait(loan->fd, CO_READABLE);
    if (r < 0 && !(atomic_load(&loan->told) && r == -ECANCELED))
        fail("waiting for a library's descriptor", r, loan->fd);
    if (r > 0 && !atomic_load(&loan->told))
        fail("a library's descriptor is ready, and nobody has written", r, loan->fd);
    return 0;
}

static void expect_byte(int from, int to, unsigned char byte)
{
    unsigned char got = 0;
    int r;

    if (write(from, &byte, 1) != 1)
        fail("writing for a library", from, to);
    r = co_fd_wait(to, CO_READABLE);
    if (r == -ECANCELED && co_check() == -ECANCELED)
        return;
    if (r != CO_READABLE || read(to, &got, 1) != 1 || got != byte)
        fail("a library's byte", r, got);
}

static int lend(int actor, uint32_t chance)
{
    struct loan loan = {0};
    int ends[2];

    (void)actor;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    loan.fd = ends[0];
    if (co_adopt(ends[0]) != 0)
        fail("co_adopt", ends[0], 0);
    atomic_fetch_add(&torture_counts.adopted, 1);
    expect_byte(ends[1], ends[0], (unsigned char)chance);
    {
        CO_GROUP(group);

        if (chance % 2 == 0) {
            if (co_group_go(&group, wait_for_it, &loan) < 0)
                fail("who waits for a library", 0, 0);
            torture_until_inside(loan.fd);
        }
        atomic_store(&loan.told, 1);
        if (chance / 8 % 2 == 0) {
            if (co_close(ends[0]) != 0)
                fail("closing an adopted descriptor", ends[0], 0);
        } else {
            if (co_release(ends[0]) != 0)
                fail("co_release", ends[0], 0);
            if (co_release(ends[0]) != -EBADF)
                fail("co_release twice", ends[0], 0);
            (void)close(ends[0]);
        }
    }
    (void)close(ends[1]);
    return 0;
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    int (*fn)(int actor, uint32_t chance);
} deeds[] = {
    {"talk", talk},
    {"talk", talk},
    {"talk", talk},
    {"talk until cancelled", talk_and_be_cancelled},
    {"read twice", read_twice},
    {"open a door", open_a_door},
    {"lend", lend},
    {"lend many", torture_lend_many},
    {"exchange datagrams", torture_datagrams},
};

enum { DEEDS = sizeof deeds / sizeof *deeds };

const char *torture_deed_name(uint32_t chance)
{
    return deeds[chance % DEEDS].name;
}

int torture_deed(int actor, uint32_t chance)
{
    return deeds[chance % DEEDS].fn(actor, chance / DEEDS);
}
