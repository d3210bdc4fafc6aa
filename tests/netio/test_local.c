/* SPDX-License-Identifier: MIT */
/* tests/netio/test_local.c - the files of unix sockets: in use, left behind, fought over. */
#include "netio/world.h"
#include <co/group.h>
#include <co/listen.h>
#include <sys/stat.h>
#include <sys/un.h>

TestSuite(local, .timeout = 30);

static char path[64], address[72];

static void choose_path(void)
{
    (void)snprintf(path, sizeof path, "/tmp/corvid-local-%d", (int)getpid());
    (void)snprintf(address, sizeof address, "unix:%s", path);
    (void)unlink(path);
}

/* A socket of the kernel's that has the path. */
static int bind_plain(int type)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    CHECK(bind(fd, (struct sockaddr *)(void *)&addr, sizeof addr) == 0);
    return fd;
}

static int leave_alone(void *arg)
{
    struct pollfd queue = {.events = POLLIN};
    int fd = bind_plain(SOCK_STREAM), conn;

    (void)arg;
    CHECK(co_listen(address) == -EADDRINUSE); /* it does not listen yet, but it will */
    CHECK(listen(fd, 5) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(co_listen(address) == -EADDRINUSE);
    queue.fd = fd;
    CHECK(poll(&queue, 1, 0) == 0); /* and nobody has knocked */
    conn = co_connect(address);
    CHECK(conn >= 0 && co_close(conn) == 0);
    CHECK(poll(&queue, 1, 0) == 1);
    CHECK(close(fd) == 0 && unlink(path) == 0);

    fd = bind_plain(SOCK_DGRAM);
    CHECK(co_listen(address) == -EADDRINUSE);
    CHECK(close(fd) == 0 && unlink(path) == 0);
    fd = bind_plain(SOCK_SEQPACKET);
    CHECK(listen(fd, 5) == 0 && co_listen(address) == -EADDRINUSE);
    queue.fd = fd;
    CHECK(poll(&queue, 1, 0) == 0);
    CHECK(close(fd) == 0 && unlink(path) == 0);

    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(close(fd) == 0 && co_listen(address) == -EADDRINUSE);
    CHECK(unlink(path) == 0); /* no socket, and not ours to remove */
    return 0;
}

Test(local, what_is_in_use_is_neither_removed_nor_disturbed)
{
    choose_path();
    run_on(1, leave_alone, NULL);
}

static int replace_stale(void *arg)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    struct co_listen_opts opts = {.mode = 0600};
    struct stat st;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        int lfd;

        CHECK(close(bind_plain(types[i])) == 0);
        lfd = co_listen_with(&opts, address);
        CHECK(lfd >= 0 && stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
        CHECK(co_listen(address) == -EADDRINUSE);
        CHECK(co_close(lfd) == 0 && stat(path, &st) == 0 && unlink(path) == 0);
    }
    CHECK(co_listen("unix:/nonexistent/x") == -ENOENT);
    return 0;
}

Test(local, what_was_left_behind_is_replaced)
{
    choose_path();
    run_on(1, replace_stale, NULL);
}

enum { RIVALS = 6 };

static _Atomic int listening, ready;
static int winner;

static int fight(void *arg)
{
    int lfd;

    (void)arg;
    atomic_fetch_add(&ready, 1);
    while (atomic_load(&ready) < RIVALS)
        (void)co_yield();
    lfd = co_listen(address);
    CHECK(lfd >= 0 || lfd == -EADDRINUSE);
    if (lfd >= 0) {
        winner = lfd;
        atomic_fetch_add(&listening, 1);
    }
    return 0;
}

/* All find the same file left behind, and want its place. */
static int fight_over_it(void *arg)
{
    (void)arg;
    for (int round = 0; round < fewer(100); round++) {
        int fd;

        CHECK(close(bind_plain(SOCK_STREAM)) == 0);
        atomic_store(&listening, 0);
        atomic_store(&ready, 0);
        {
            CO_GROUP(group);

            for (int i = 0; i < RIVALS; i++)
                CHECK(co_group_go(&group, fight, NULL) == 0);
            CHECK(co_group_wait(&group) == 0);
        }
        CHECK(atomic_load(&listening) == 1);
        fd = co_connect(address); /* and can be reached */
        CHECK(fd >= 0 && co_close(fd) == 0);
        CHECK(co_close(winner) == 0 && unlink(path) == 0);
    }
    return 0;
}

Test(local, of_those_who_want_one_place_at_once_exactly_one_gets_it)
{
    choose_path();
    run_on(4, fight_over_it, NULL);
}

static int use_abstract(void *arg)
{
    char text[CO_ADDR_TEXT];
    struct co_addr addr;
    CO_FD(lfd, co_listen("unix:@"));

    (void)arg;
    CHECK(lfd >= 0 && co_local_addr(lfd, &addr) == 0);
    CHECK(co_listen(co_addr_print(&addr, text)) == -EADDRINUSE);
    CO_FD(fd, co_connect(text));
    CO_FD(conn, co_accept(lfd));
    CHECK(fd >= 0 && conn >= 0);
    return 0;
}

Test(local, abstract_names_leave_nothing_behind)
{
    run_on(1, use_abstract, NULL);
}
