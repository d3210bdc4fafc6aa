/* SPDX-License-Identifier: MIT */
/* tests/netio/test_sockopt.c - options, as getsockopt(2) sees them, and what they do. */
#include "netio/world.h"
#include <co/sockopt.h>

TestSuite(sockopt, .timeout = 30);

static int number(int fd, int level, int name)
{
    int value = -1;
    size_t len = sizeof value;

    CHECK(co_get_option(fd, level, name, &value, &len) == 0 && len == sizeof value);
    return value;
}

static int set_on_tcp(void *arg)
{
    struct pair pair = make_pair();
    int fd = pair.ours;

    (void)arg;
    CHECK(number(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(co_set_nodelay(fd, false) == 0 && number(fd, IPPROTO_TCP, TCP_NODELAY) == 0);
    CHECK(co_set_nodelay(fd, true) == 0 && number(fd, IPPROTO_TCP, TCP_NODELAY) == 1);

    CHECK(co_set_keepalive(fd, 30 * CO_SEC, 500 * CO_MS, 4) == 0);
    CHECK(number(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(number(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
    CHECK(number(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 1); /* rounded up */
    CHECK(number(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4);
    CHECK(co_set_keepalive(fd, 0, 0, 0) == 0 && number(fd, SOL_SOCKET, SO_KEEPALIVE) == 0);
    CHECK(number(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4);
    CHECK(co_set_keepalive(fd, -1, 0, 0) == -EINVAL);
    CHECK(co_set_keepalive(fd, CO_NEVER, 0, 0) == -EINVAL);
    CHECK(co_set_keepalive(fd, CO_SEC, 0, 128) == -EINVAL);

    CHECK(co_set_user_timeout(fd, 1500 * CO_MS + 1) == 0);
    CHECK(number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 1501);
    CHECK(co_set_user_timeout(fd, -1) == -EINVAL);

    CHECK(co_set_buffers(fd, 10000, 20000) == 0);
    CHECK(number(fd, SOL_SOCKET, SO_RCVBUF) == 20000 && number(fd, SOL_SOCKET, SO_SNDBUF) == 40000);
    CHECK(co_set_buffers(fd, 0, 0) == 0 && number(fd, SOL_SOCKET, SO_RCVBUF) == 20000);
    CHECK(co_set_buffers(fd, -1, 0) == -EINVAL);
    close_pair(&pair);
    CHECK(co_set_nodelay(fd, true) == -EBADF && co_set_buffers(fd, 1, 1) == -EBADF);
    return 0;
}

Test(sockopt, what_is_set_is_what_the_kernel_has)
{
    run_on(1, set_on_tcp, NULL);
}

static int set_on_others(void *arg)
{
    CO_FD(lfd, co_listen("unix:@"));

    (void)arg;
    CHECK(lfd >= 0);
    CHECK(co_set_nodelay(lfd, true) == -EOPNOTSUPP);
    CHECK(co_set_keepalive(lfd, CO_SEC, 0, 0) == -EOPNOTSUPP);
    CHECK(co_set_user_timeout(lfd, CO_SEC) == -EOPNOTSUPP);
    CHECK(co_set_buffers(lfd, 10000, 10000) == 0);
    return 0;
}

Test(sockopt, what_a_socket_does_not_have_cannot_be_set)
{
    run_on(1, set_on_others, NULL);
}

static int inherit(void *arg)
{
    char address[64];
    CO_FD(lfd, listen_here(address));

    (void)arg;
    CHECK(co_set_keepalive(lfd, 40 * CO_SEC, 0, 0) == 0);
    CHECK(co_set_user_timeout(lfd, 7 * CO_SEC) == 0);
    CO_FD(fd, co_connect(address));
    CO_FD(conn, co_accept(lfd));
    CHECK(fd >= 0 && number(conn, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(number(conn, IPPROTO_TCP, TCP_KEEPIDLE) == 40);
    CHECK(number(conn, IPPROTO_TCP, TCP_USER_TIMEOUT) == 7000);
    CHECK(number(conn, IPPROTO_TCP, TCP_NODELAY) == 1);
    return 0;
}

Test(sockopt, connections_inherit_from_their_listener)
{
    run_on(1, inherit, NULL);
}

static int reset(void *arg)
{
    struct pair pair = make_pair();
    char byte;

    (void)arg;
    CHECK(co_set_reset_on_close(pair.ours, true) == 0);
    CHECK(co_close(pair.ours) == 0);
    CHECK(recv(pair.plain, &byte, 1, 0) < 0 && errno == ECONNRESET);
    CHECK(close(pair.plain) == 0);
    pair = make_pair();
    CHECK(co_set_reset_on_close(pair.ours, true) == 0);
    CHECK(co_set_reset_on_close(pair.ours, false) == 0);
    CHECK(co_close(pair.ours) == 0);
    CHECK(recv(pair.plain, &byte, 1, 0) == 0);
    CHECK(close(pair.plain) == 0);
    return 0;
}

Test(sockopt, a_close_resets_the_connection_if_asked_to)
{
    run_on(1, reset, NULL);
}

static int addresses(void *arg)
{
    struct pair pair = make_pair();
    struct co_addr own, peer;

    (void)arg;
    CHECK(co_local_addr(pair.ours, &own) == 0 && co_peer_addr(pair.ours, &peer) == 0);
    CHECK(co_addr_port(&own) == co_local_port(pair.ours));
    CHECK(co_addr_port(&peer) > 0 && !co_addr_equal(&own, &peer));
    close_pair(&pair);
    CHECK(co_local_addr(pair.ours, &own) == -EBADF && co_peer_addr(-1, &peer) == -EBADF);
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    CHECK(co_peer_addr(lfd, &peer) == -ENOTCONN);
    return 0;
}

Test(sockopt, both_addresses_of_a_connection_are_known)
{
    run_on(1, addresses, NULL);
}
