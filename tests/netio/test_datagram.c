/* SPDX-License-Identifier: MIT */
/* tests/netio/test_datagram.c - UDP and unix datagrams, one by one and in batches. */
#include "netio/world.h"
#include <co/datagram.h>
#include <sys/stat.h>

TestSuite(datagram, .timeout = 30);

static _Atomic int count;

static int bound(const char *address, struct co_addr *ret_addr)
{
    int fd = co_datagram_bind(NULL, address);

    CHECK(fd >= 0 && co_local_addr(fd, ret_addr) == 0);
    return fd;
}

/* ---- one by one ---- */

static int exchange(void *arg)
{
    const char *text = arg;
    struct co_addr left_addr, right_addr, from;
    CO_FD(left, bound(text, &left_addr));
    CO_FD(right, bound(text, &right_addr));
    char buf[16];

    for (int i = 0; i < 20; i++) {
        CHECK(co_sendto(left, "ping", 4, &right_addr) == 4);
        CHECK(co_recvfrom(right, buf, sizeof buf, &from) == 4 && memcmp(buf, "ping", 4) == 0);
        CHECK(co_addr_equal(&from, &left_addr));
        CHECK(co_sendto(right, "pong!", 5, &from) == 5);
        CHECK(co_recvfrom(left, buf, sizeof buf, NULL) == 5 && memcmp(buf, "pong!", 5) == 0);
    }
    CHECK(co_sendto(left, "", 0, &right_addr) == 0);
    CHECK(co_recvfrom(right, buf, sizeof buf, &from) == 0 && co_addr_equal(&from, &left_addr));
    CHECK(fcntl(left, F_GETFD) == FD_CLOEXEC && (fcntl(left, F_GETFL) & O_NONBLOCK));
    return 0;
}

Test(datagram, goes_to_an_address_and_comes_from_one)
{
    char ip[] = "127.0.0.1:0", local[] = "unix:@";

    run_on(1, exchange, ip);
    run_on(3, exchange, ip);
    run_on(1, exchange, local);
    run_on(3, exchange, local);
}

static int talk_to_peer(void *arg)
{
    struct co_addr server_addr, stranger_addr, client_addr, from;
    CO_FD(server, bound(arg, &server_addr));
    CO_FD(stranger, bound(arg, &stranger_addr));
    char text[CO_ADDR_TEXT], buf[16];
    CO_FD(client, co_datagram_connect(NULL, NULL, co_addr_print(&server_addr, text)));

    CHECK(client >= 0 && co_peer_addr(client, &from) == 0 && co_addr_equal(&from, &server_addr));
    CHECK(co_send(client, "hello", 5) == 5 && co_sendto(client, "", 0, NULL) == 0);
    CHECK(co_recvfrom(server, buf, sizeof buf, &client_addr) == 5);
    CHECK(co_recvfrom(server, buf, sizeof buf, &from) == 0 && co_addr_equal(&from, &client_addr));
    if (client_addr.any.sa_family == AF_UNIX) /* the kernel refuses strangers at once */
        CHECK(co_sendto(stranger, "no", 2, &client_addr) == -EPERM);
    else
        CHECK(co_sendto(stranger, "no", 2, &client_addr) == 2);
    CHECK(co_sendto(server, "world", 5, &client_addr) == 5);
    CHECK(co_recv(client, buf, sizeof buf) == 5 && memcmp(buf, "world", 5) == 0);
    return 0;
}

Test(datagram, a_connected_one_hears_its_peer_alone)
{
    char ip[] = "127.0.0.1:0", local[] = "unix:@";

    run_on(1, talk_to_peer, ip);
    run_on(2, talk_to_peer, local);
}

static int be_cut(void *arg)
{
    struct co_addr addr, from;
    CO_FD(server, bound(arg, &addr));
    char text[CO_ADDR_TEXT], buf[4];
    CO_FD(client, co_datagram_connect(NULL, NULL, co_addr_print(&addr, text)));
    struct co_datagram one = {.data = buf, .cap = sizeof buf};

    for (int i = 0; i < 3; i++)
        CHECK(co_send(client, "12345", 5) == 5 && co_send(client, "ok", 2) == 2);
    CHECK(co_recvfrom(server, buf, 4, &from) == -EMSGSIZE && memcmp(buf, "1234", 4) == 0);
    CHECK(from.len > 0);
    CHECK(co_recvfrom(server, buf, 4, NULL) == 2);
    CHECK(co_recv(server, buf, 4) == -EMSGSIZE);
    CHECK(co_recv(server, buf, 4) == 2);
    CHECK(co_recvmany(server, &one, 1) == 1 && one.len == 5);
    CHECK(co_recvmany(server, &one, 1) == 1 && one.len == 2);
    return 0;
}

Test(datagram, one_that_does_not_fit_is_cut_and_says_so)
{
    char ip[] = "127.0.0.1:0", local[] = "unix:@";

    run_on(1, be_cut, ip);
    run_on(1, be_cut, local);
}

/* An address that refuses: its socket takes datagrams only from itself, and keeps the port. */
static struct co_addr deaf_address(void)
{
    struct co_addr addr = {
        .in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .len = sizeof addr.in4};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0 && bind(fd, &addr.any, addr.len) == 0);
    CHECK(getsockname(fd, &addr.any, &addr.len) == 0 && connect(fd, &addr.any, addr.len) == 0);
    return addr;
}

static int be_refused(void *arg)
{
    static char huge[70000];
    struct co_addr addr = deaf_address();
    char text[CO_ADDR_TEXT], byte;
    CO_FD(client, co_datagram_connect(NULL, NULL, co_addr_print(&addr, text)));
    struct pair pair = make_pair();

    (void)arg;
    for (int i = 0; i < 3; i++) { /* it goes on after an error */
        CHECK(co_send(client, "x", 1) == 1);
        CHECK(co_recv(client, &byte, 1) == -ECONNREFUSED);
    }
    {
        CO_DEADLINE(5 * CO_MS);
        CHECK(co_recv(client, &byte, 1) == -ETIMEDOUT);
    }
    CHECK(co_sendto(client, huge, sizeof huge, NULL) == -EMSGSIZE);
    CO_FD(open, bound("127.0.0.1:0", &addr));
    CHECK(co_sendto(open, "x", 1, NULL) == -EDESTADDRREQ);
    CHECK(co_recvfrom(pair.ours, &byte, 1, NULL) == -EOPNOTSUPP);
    CHECK(co_sendto(pair.ours, "x", 1, &addr) == -EOPNOTSUPP);
    CHECK(co_datagram_connect(NULL, NULL, "unix:/nonexistent/x") == -ENOENT);
    CHECK(co_datagram_connect(NULL, NULL, "unix:@corvid-nobody-has-this") == -ECONNREFUSED);
    CHECK(co_datagram_bind(NULL, "127.0.0.1") == -EINVAL);
    CHECK(co_datagram_bind(NULL, "192.0.2.1:0") == -EADDRNOTAVAIL);
    close_pair(&pair);
    return 0;
}

Test(datagram, errors_are_the_call_s_and_do_not_end_the_socket)
{
    run_on(2, be_refused, NULL);
}

static int lfd_of_reader;

static void read_until_hung_up(void *arg)
{
    char byte;

    CHECK(co_recvfrom(*(int *)arg, &byte, 1, NULL) == -ECANCELED);
    atomic_fetch_add(&count, 1);
}

static int share(void *arg)
{
    struct co_addr addr;
    char byte;

    (void)arg;
    lfd_of_reader = bound("127.0.0.1:0", &addr);
    start(read_until_hung_up, &lfd_of_reader);
    let_wait();
    CHECK(co_recvfrom(lfd_of_reader, &byte, 1, NULL) == -EBUSY);
    CHECK(co_recvmany(lfd_of_reader, NULL, 0) == -EBUSY);
    CHECK(co_sendto(lfd_of_reader, "", 0, NULL) == -EDESTADDRREQ); /* the other direction */
    CHECK(co_hangup(lfd_of_reader) == 0);
    until(&count, 1);
    CHECK(co_sendto(lfd_of_reader, "x", 1, &addr) == -ECANCELED);
    CHECK(co_close(lfd_of_reader) == 0);
    CHECK(co_sendto(lfd_of_reader, "x", 1, &addr) == -EBADF);
    return 0;
}

Test(datagram, one_reader_one_writer_and_a_hang_up_ends_both)
{
    run_on(1, share, NULL);
    atomic_store(&count, 0);
    run_on(3, share, NULL);
}

/* ---- a full queue ---- */

enum { FLOOD = 2000 };

static void drain_slowly(void *arg)
{
    char buf[16];

    for (int i = 0; i < FLOOD; i++) {
        CHECK(co_recvfrom(*(int *)arg, buf, sizeof buf, NULL) == 4);
        CHECK(memcmp(buf, &i, sizeof i) == 0);
        if (i % 500 == 0)
            let_wait();
    }
    atomic_fetch_add(&count, 1);
}

static int flood(void *arg)
{
    bool connected = arg != NULL;
    struct co_addr addr;
    CO_FD(server, bound("unix:@", &addr));
    char text[CO_ADDR_TEXT];
    CO_FD(client, connected ? co_datagram_connect(NULL, NULL, co_addr_print(&addr, text))
                            : co_datagram_bind(NULL, "unix:@"));

    start(drain_slowly, &server);
    for (int i = 0; i < FLOOD; i++)
        CHECK(co_sendto(client, &i, sizeof i, connected ? NULL : &addr) == sizeof i);
    until(&count, 1);
    atomic_store(&count, 0);
    {
        CO_DEADLINE(30 * CO_MS);
        int r = 0;

        while (r >= 0) /* now nobody reads */
            r = (int)co_sendto(client, "x", 1, connected ? NULL : &addr);
        CHECK(r == -ETIMEDOUT);
    }
    return 0;
}

Test(datagram, a_full_queue_of_a_local_socket_is_waited_for)
{
    run_on(1, flood, NULL);
    run_on(2, flood, NULL);
    run_on(1, flood, (void *)1);
    run_on(2, flood, (void *)1);
}

/* ---- batches ---- */

enum { BATCH = 8 }; /* so many fit in the queue of a local socket */

static int send_many(void *arg)
{
    struct co_addr left_addr, right_addr;
    CO_FD(left, bound(arg, &left_addr));
    CO_FD(right, bound(arg, &right_addr));
    char out[BATCH][8], in[CO_DATAGRAMS_MAX][8];
    struct co_datagram sent[BATCH], got[CO_DATAGRAMS_MAX + 10];
    int done = 0, r = 0;

    for (int i = 0; i < BATCH; i++)
        sent[i] =
            (struct co_datagram){.data = out[i], .len = 1U + (size_t)i % 8, .addr = right_addr};
    for (int i = 0; i < CO_DATAGRAMS_MAX; i++)
        got[i] = (struct co_datagram){.data = in[i], .cap = 8};
    for (int i = 0; i < BATCH; i++)
        memset(out[i], 'a' + i, 8);
    while (done < BATCH && r >= 0) {
        r = co_sendmany(left, sent + done, BATCH - done);
        done += r;
    }
    CHECK(done == BATCH);
    done = 0;
    while (done < BATCH && r >= 0) {
        r = co_recvmany(right, got + done, CO_DATAGRAMS_MAX + 10 - done);
        done += r;
    }
    CHECK(done == BATCH);
    for (int i = 0; i < BATCH; i++) {
        CHECK(got[i].len == sent[i].len && memcmp(in[i], out[i], got[i].len) == 0);
        CHECK(co_addr_equal(&got[i].addr, &left_addr));
    }
    CHECK(co_sendmany(left, sent, 0) == 0 && co_recvmany(right, got, 0) == 0);
    CHECK(co_sendmany(left, sent, -1) == -EINVAL && co_recvmany(right, got, -1) == -EINVAL);
    return 0;
}

Test(datagram, batches_keep_order_lengths_and_addresses)
{
    char ip[] = "127.0.0.1:0", local[] = "unix:@";

    run_on(1, send_many, ip);
    run_on(2, send_many, local);
}

static int stop_at_the_bad_one(void *arg)
{
    static char huge[70000];
    struct co_addr addr;
    CO_FD(fd, bound("127.0.0.1:0", &addr));
    char byte;
    struct co_datagram sent[3] = {
        {.data = huge, .len = 1, .addr = addr},
        {.data = huge, .len = sizeof huge, .addr = addr},
        {.data = huge, .len = 1, .addr = addr},
    };

    (void)arg;
    CHECK(co_sendmany(fd, sent, 3) == 1);
    CHECK(co_sendmany(fd, sent + 1, 2) == -EMSGSIZE);
    CHECK(co_recv(fd, &byte, 1) == 1);
    {
        CO_DEADLINE(5 * CO_MS);
        CHECK(co_recvmany(fd, sent, 1) == -ETIMEDOUT);
    }
    return 0;
}

Test(datagram, a_batch_ends_before_the_one_that_fails)
{
    run_on(1, stop_at_the_bad_one, NULL);
}

/* ---- opening ---- */

static int open_with_options(void *arg)
{
    struct co_datagram_opts opts = {.reuse_port = 1, .recv_buffer = 30000, .mode = 0600};
    struct co_addr addr;
    char text[CO_ADDR_TEXT], path[CO_ADDR_TEXT];
    int size = 0;
    socklen_t len = sizeof size;
    struct stat st;

    (void)arg;
    CO_FD(first, co_datagram_bind(&opts, "127.0.0.1:0"));
    CHECK(first >= 0 && co_local_addr(first, &addr) == 0);
    CHECK(getsockopt(first, SOL_SOCKET, SO_RCVBUF, &size, &len) == 0 && size == 60000);
    CO_FD(second, co_datagram_bind(&opts, co_addr_print(&addr, text)));
    CHECK(second >= 0);
    CHECK(co_datagram_bind(NULL, text) == -EADDRINUSE);
    CHECK(co_datagram_bind(&opts, "unix:@") == -EINVAL);
    (void)snprintf(text, sizeof text, "unix:/tmp/corvid-datagram-%d", (int)getpid());
    (void)snprintf(path, sizeof path, "%s", text + 5);
    opts = (struct co_datagram_opts){.mode = 0600};
    for (int i = 0; i < 2; i++) { /* the second time the file is a stale one */
        CO_FD(named, co_datagram_bind(&opts, text));

        CHECK(named >= 0 && stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
        CHECK(co_datagram_bind(&opts, text) == -EADDRINUSE);
        CHECK(co_listen(text) == -EADDRINUSE);
    }
    CHECK(unlink(path) == 0);
    return 0;
}

Test(datagram, sockets_are_opened_with_options)
{
    run_on(1, open_with_options, NULL);
    cr_assert_eq(co_datagram_bind(NULL, "127.0.0.1:0"), -EPERM);
    cr_assert_eq(co_datagram_connect(NULL, NULL, "127.0.0.1:9"), -EPERM);
}
