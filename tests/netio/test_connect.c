/* SPDX-License-Identifier: MIT */
/* tests/netio/test_connect.c - connecting, by address and by name, and what can go wrong. */
#include "netio/world.h"

TestSuite(connect, .timeout = 30);

static _Atomic int count;

static int connect_and_talk(void *arg)
{
    char address[64];
    int lfd = listen_here(address);

    (void)arg;
    for (int i = 0; i < 50; i++) {
        CO_FD(fd, co_connect(address));
        CO_FD(conn, co_accept(lfd));
        char byte = 0;

        CHECK(fd >= 0 && conn >= 0);
        CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK(co_fd_worker(fd) == co_worker() || co_workers() > 1);
        CHECK(co_send(fd, "x", 1) == 1);
        CHECK(co_recv(conn, &byte, 1) == 1 && byte == 'x');
        CHECK(co_send(conn, "y", 1) == 1);
        CHECK(co_recv(fd, &byte, 1) == 1 && byte == 'y');
    }
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(connect, gives_a_connection_that_works_in_both_directions)
{
    run_on(1, connect_and_talk, NULL);
    run_on(3, connect_and_talk, NULL);
}

static int be_refused(void *arg)
{
    char address[64];
    int lfd = listen_here(address);
    int port = co_local_port(lfd);
    int before;
    char text[64];

    (void)arg;
    CHECK(co_close(lfd) == 0);
    CHECK(co_connect(address) == -ECONNREFUSED);
    before = descriptors();
    for (int i = 0; i < 20; i++)
        CHECK(co_connect(address) == -ECONNREFUSED);
    (void)snprintf(text, sizeof text, "localhost:%d", port);
    CHECK(co_connect(text) == -ECONNREFUSED); /* all of its addresses */
    CHECK(co_connect("unix:/nonexistent/socket") == -ENOENT);
    CHECK(descriptors() == before || descriptors() == before + 1); /* the resolver's, perhaps */
    return 0;
}

Test(connect, says_that_nobody_listens)
{
    run_on(2, be_refused, NULL);
}

static int unknown(void *arg)
{
    int r = co_connect("name.invalid:80");

    (void)arg;
    CHECK(r == -ENOENT || r == -EAGAIN); /* EAGAIN: no name server answers here */
    return 0;
}

Test(connect, says_that_a_name_is_unknown)
{
    run_on(2, unknown, NULL);
}

static int by_name(void *arg)
{
    char address[64], text[64];
    int lfd = listen_here(address);

    (void)arg;
    (void)snprintf(text, sizeof text, "localhost:%d", co_local_port(lfd));
    for (int i = 0; i < 10; i++) {
        CO_FD(fd, co_connect(text)); /* [::1] refuses, perhaps: then the next address is tried */
        CO_FD(conn, co_accept(lfd));

        CHECK(fd >= 0 && conn >= 0);
    }
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(connect, tries_each_address_of_a_name)
{
    run_on(1, by_name, NULL);
    run_on(2, by_name, NULL);
}

/* A listener whose queue is full does not answer: the kernel drops what comes. */
static int fill_queue(int fds[64], struct sockaddr_in *ret_addr)
{
    socklen_t len = sizeof *ret_addr;
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret_addr =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(lfd, (struct sockaddr *)(void *)ret_addr, len) == 0);
    CHECK(listen(lfd, 0) == 0);
    CHECK(getsockname(lfd, (struct sockaddr *)(void *)ret_addr, &len) == 0);
    for (int i = 0; i < 64; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fds[i], (struct sockaddr *)(void *)ret_addr, len);
    }
    return lfd;
}

static void connect_until_cancelled(void *arg)
{
    CHECK(co_connect(arg) == -ECANCELED);
    atomic_fetch_add(&count, 1);
}

static int connect_in_vain(void *arg)
{
    struct sockaddr_in addr;
    int fds[64];
    int lfd = fill_queue(fds, &addr);
    static char address[64];
    int64_t begun;
    int before = descriptors();

    (void)arg;
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(addr.sin_port));
    begun = co_now();
    {
        CO_DEADLINE(50 * CO_MS);
        CHECK(co_connect(address) == -ETIMEDOUT);
    }
    CHECK(co_now() - begun >= 50 * CO_MS && co_now() - begun < 5 * CO_SEC);
    CHECK(descriptors() == before);
    start(connect_until_cancelled, address);
    let_wait();
    co_stop();
    CHECK(co_sleep(CO_NEVER) == -ECANCELED);
    until(&count, 1);
    for (int i = 0; i < 64; i++)
        (void)close(fds[i]);
    (void)close(lfd);
    return 0;
}

Test(connect, ends_at_the_deadline_and_by_cancel)
{
    cr_assert_eq(run_and_stop(2, 150 * CO_MS, connect_in_vain), 0);
}

static void accept_and_reset(int lfd)
{
    for (int i = 0; i < 50; i++) {
        int conn = co_accept(lfd);
        struct linger hard = {.l_onoff = 1, .l_linger = 0};

        CHECK(conn >= 0);
        CHECK(setsockopt(conn, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
        CHECK(co_close(conn) == 0);
    }
    CHECK(co_close(lfd) == 0);
}

static int be_reset_early(void *arg)
{
    char address[64];
    int lfd = listen_here(address);
    CO_DEADLINE(20 * CO_SEC);

    (void)arg;
    CHECK(co_go_fd(accept_and_reset, lfd) == 0);
    for (int i = 0; i < 50; i++) {
        int fd = co_connect(address);
        char byte;

        CHECK(fd >= 0 || fd == -ECONNRESET);
        if (fd < 0)
            continue;
        CHECK(co_recv(fd, &byte, 1) == -ECONNRESET);
        CHECK(co_close(fd) == 0);
    }
    return 0;
}

Test(connect, a_peer_that_resets_at_once_is_no_hang)
{
    run_on(1, be_reset_early, NULL);
    run_on(3, be_reset_early, NULL);
}
