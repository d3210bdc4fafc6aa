/* SPDX-License-Identifier: MIT */
/*
 * mixed_net.c - sockets for the mixed stress: echo servers on a local socket and on loopback, and
 * clients that talk to them for a moment.
 *
 * The servers never end a connection by themselves. So what a client gets back is what it sent,
 * unless its deadline passes, it is cancelled, or a friend hangs it up.
 */
#include "stress/mixed.h"
#include "stress/stress.h"
#include <co/group.h>
#include <co/net.h>
#include <co/scope.h>
#include <co/sem.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_MAX = 2000, AT_ONCE = 64 };

static char addresses[2][96];
static char folder[64];
static int listeners[2] = {-1, -1};
static int without; /* descriptors when there are no connections */
static struct co_sem gate;
static _Atomic uint64_t exchanges, connections, hangups, handed_over;

/* ---- the servers ---- */

static void echo(int conn, void *arg);

static void echo_when(void *arg, int why)
{
    int conn = *(int *)arg;

    free(arg);
    if (why < 0)
        (void)co_close(conn);
    else
        echo(conn, NULL);
}

/* Leaves the connection to whatever comes next on it. Returns: whether it is no longer ours. */
static bool hand_over(int *conn)
{
    int *left = malloc(sizeof *left);
    int r = -ENOMEM;

    if (left) {
        *left = *conn;
        r = co_go_when(*conn, echo_when, left);
    }
    if (r < 0) {
        fail("co_go_when", r, 0);
        free(left);
        return false;
    }
    atomic_fetch_add(&handed_over, 1);
    (void)co_fd_take(conn);
    return true;
}

static void echo(int conn, void *arg)
{
    CO_FD(fd, conn);
    unsigned char buf[MESSAGE_MAX];

    (void)arg;
    for (;;) {
        ssize_t n = co_recv(fd, buf, sizeof buf);

        if (n <= 0) {
            if (n < 0 && n != -ECONNRESET)
                fail("the server's recv", n, 0);
            return;
        }
        n = co_send(fd, buf, (size_t)n);
        if (n < 0) {
            if (n != -ECONNRESET && n != -EPIPE)
                fail("the server's send", n, 0);
            return;
        }
        if (buf[0] % 4 == 0 && hand_over(&fd))
            return;
    }
}

static void serve(void *arg)
{
    int r = co_serve(*(int *)arg, echo, NULL);

    if (r < 0)
        fail("serving", r, 0);
    (void)co_close(*(int *)arg);
    *(int *)arg = -1;
}

int mixed_net_start(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/corvid-stress-XXXXXX");
    if (!mkdtemp(folder))
        return -errno;
    (void)snprintf(addresses[0], sizeof addresses[0], "unix:%s/echo", folder);
    (void)snprintf(addresses[1], sizeof addresses[1], "127.0.0.1:0");
    co_sem_init(&gate, AT_ONCE);
    for (int i = 0; i < 2; i++) {
        listeners[i] = co_listen(addresses[i]);
        if (listeners[i] < 0)
            return listeners[i];
        if (co_go(serve, &listeners[i]) < 0)
            return -ENOMEM;
    }
    (void)snprintf(addresses[1], sizeof addresses[1], "127.0.0.1:%d", co_local_port(listeners[1]));
    without = stress_descriptors();
    return 0;
}

void mixed_net_stop(void)
{
    for (int i = 0; i < 2; i++) {
        if (listeners[i] >= 0)
            (void)co_hangup(listeners[i]);
    }
    (void)unlink(addresses[0] + strlen("unix:"));
    (void)rmdir(folder);
}

bool mixed_net_quiet(void)
{
    return stress_descriptors() == without;
}

void mixed_net_report(char *text, size_t cap)
{
    (void)snprintf(text, cap, "%llu connections, %llu exchanges, %llu hang-ups, %llu handed over",
                   (unsigned long long)connections, (unsigned long long)exchanges,
                   (unsigned long long)hangups, (unsigned long long)handed_over);
}

/* ---- a client ---- */

struct friend
{
    int fd;
    uint32_t chance;
};

static int hang_up_soon(void *arg)
{
    const struct friend *friend = arg;

    (void)co_sleep((int64_t)(friend->chance % 300) * CO_US);
    atomic_fetch_add(&hangups, 1);
    return co_hangup(friend->fd);
}

/* Returns: 0; the error of the call that failed. */
static int exchange(int fd, uint32_t chance)
{
    unsigned char out[MESSAGE_MAX], in[MESSAGE_MAX];
    size_t len = chance % MESSAGE_MAX + 1;
    ssize_t n;

    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)(chance + i * 7);
    n = co_send(fd, out, len);
    if (n >= 0)
        n = co_recvn(fd, in, len);
    if (n < 0)
        return (int)n;
    if ((size_t)n != len || memcmp(in, out, len) != 0)
        fail("what came back is not what was sent", n, (long long)len);
    atomic_fetch_add(&exchanges, 1);
    return 0;
}

static int talk(uint32_t chance)
{
    const struct linger hard = {.l_onoff = 1};
    CO_FD(fd, co_connect(addresses[chance % 4 == 0]));
    struct friend friend = {fd, chance >> 8};
    bool hang = chance / 4 % 4 == 0;
    int r = 0;

    if (fd < 0)
        return fd;
    atomic_fetch_add(&connections, 1);
    if (chance % 4 == 0) /* or the ports would be used up in a while */
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    {
        CO_GROUP(group); /* ends before the descriptor does */

        if (hang && co_group_go(&group, hang_up_soon, &friend) < 0)
            hang = false;
        for (uint32_t i = 0; r == 0 && i < chance / 64 % 4 + 1; i++)
            r = exchange(fd, (chance >> i) + i);
    }
    if (r == -ECANCELED && hang) /* by the friend, or cancelled? */
        return co_check();
    return r;
}

int mixed_talk(struct mixed *mixed, uint32_t chance)
{
    int r = co_sem_take(&gate);

    (void)mixed;
    if (r < 0)
        return r;
    r = talk(chance);
    co_sem_give(&gate, 1);
    return r;
}
