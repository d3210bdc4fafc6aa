/* SPDX-License-Identifier: MIT */
/* tests/netio/test_serve.c - options of listeners, and one listener for each worker. */
#include "netio/world.h"
#include <co/listen.h>
#include <co/private/run.h>
#include <co/sockopt.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

TestSuite(serve, .timeout = 30);

static _Atomic int served, ended;
static _Atomic int on_worker[4];

static void answer(int conn, void *arg)
{
    CO_FD(fd, conn);
    char byte;

    (void)arg;
    atomic_fetch_add(&on_worker[co_fd_worker(fd)], 1);
    CHECK(co_recv(fd, &byte, 1) == 1);
    CHECK(co_send(fd, &byte, 1) == 1);
    atomic_fetch_add(&served, 1);
}

static void serve_it(int lfd)
{
    CHECK(co_serve(lfd, answer, NULL) == 0);
    atomic_fetch_add(&ended, 1);
}

enum { CLIENTS = 60 };

/* Two listeners at least get one of sixty connections, whatever the kernel's hash is. */
static bool were_spread(void)
{
    int workers = 0;

    for (int i = 0; i < 4; i++)
        workers += atomic_load(&on_worker[i]) > 0;
    return workers >= 2;
}

static int ask_many(const char *address)
{
    char byte;

    for (int i = 0; i < CLIENTS; i++) {
        CO_FD(fd, co_connect(address));

        CHECK(fd >= 0 && co_send(fd, "x", 1) == 1 && co_recv(fd, &byte, 1) == 1);
    }
    return CLIENTS;
}

static int serve_per_worker(void *arg)
{
    static const struct co_listen_opts opts = {
        .per_worker = 1, .recv_buffer = 30000, .backlog = 64};
    char address[64];
    int before = descriptors();
    int lfd = co_listen_with(&opts, "127.0.0.1:0");

    (void)arg;
    atomic_store(&served, 0);
    atomic_store(&ended, 0);
    for (int i = 0; i < 4; i++)
        atomic_store(&on_worker[i], 0);
    CHECK(lfd >= 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(lfd));
    CHECK(co_go_fd(serve_it, lfd) == 0);
    while (descriptors() < before + co_workers())
        (void)co_yield();
    CHECK(ask_many(address) == CLIENTS);
    until(&served, CLIENTS); /* the last one answers, then counts */
    CHECK(co_workers() == 1 || were_spread());
    CHECK(co_hangup(lfd) == 0);
    until(&ended, 1);
    CHECK(co_close(lfd) == 0);
    while (descriptors() > before) /* the last connections are about to be closed */
        (void)co_yield();
    return 0;
}

Test(serve, each_worker_accepts_for_itself)
{
    run_on(1, serve_per_worker, NULL);
    run_on(4, serve_per_worker, NULL);
}

/* Waits until the other end has acknowledged all bytes: its connection is in a queue, at least. */
static void until_queued(int fd)
{
    int left = 1;

    while (ioctl(fd, SIOCOUTQ, &left) == 0 && left > 0)
        (void)co_yield();
}

static int plain[CLIENTS];

static int stop_per_worker(void *arg)
{
    static const struct co_listen_opts opts = {.per_worker = 1};
    int before = descriptors();
    int lfd = co_listen_with(&opts, "127.0.0.1:0");

    (void)arg;
    CHECK(co_go_fd(serve_it, lfd) == 0);
    while (descriptors() < before + co_workers())
        (void)co_yield();
    for (int i = 0; i < CLIENTS; i++) {
        plain[i] = plain_connect(co_local_port(lfd));
        say(plain[i], "x");
    }
    for (int i = 0; i < CLIENTS; i++)
        until_queued(plain[i]);
    co_stop(); /* with connections in every queue */
    until(&ended, 1);
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(serve, a_stop_serves_those_who_queue_at_any_of_the_listeners)
{
    char byte;

    cr_assert_eq(run_and_stop(4, 20 * CO_SEC, stop_per_worker), 0);
    cr_assert_eq(served, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        cr_assert_eq(recv(plain[i], &byte, 1, 0), 1);
        (void)close(plain[i]);
    }
}

/* ---- connections by CPU ---- */

static void tell_worker(int conn, void *arg)
{
    CO_FD(fd, conn);
    char worker = (char)co_fd_worker(fd);

    (void)arg;
    CHECK(co_recv(fd, &(char){0}, 1) == 1 && co_send(fd, &worker, 1) == 1);
}

static void serve_by_cpu(int lfd)
{
    CHECK(co_serve(lfd, tell_worker, NULL) == 0);
    atomic_fetch_add(&ended, 1);
}

static int port_by_cpu;
static _Atomic int asked, astray;
static bool one_cpu; /* is all that this process has */

/* Loopback handles a packet on the CPU of who sends it. */
static void *ask_from_cpu(void *arg)
{
    int worker = (int)(intptr_t)arg;
    cpu_set_t cpus;
    char told = -1;

    CPU_ZERO(&cpus);
    CPU_SET((size_t)co__worker_cpu(worker), &cpus);
    CHECK(pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        int fd = plain_connect(port_by_cpu);

        CHECK(send(fd, "x", 1, 0) == 1 && recv(fd, &told, 1, 0) == 1);
        atomic_fetch_add(&astray, told != worker);
        (void)close(fd);
    }
    atomic_fetch_add(&asked, 1);
    return NULL;
}

static int serve_where_it_came_in(void *arg)
{
    static const struct co_listen_opts opts = {.per_worker = 1, .incoming_cpu = 1};
    int before = descriptors();
    pthread_t threads[2] = {0};
    CO_FD(lfd, co_listen_with(&opts, "127.0.0.1:0"));

    (void)arg;
    CHECK(lfd >= 0);
    atomic_store(&ended, 0);
    one_cpu = co__worker_cpu(0) == co__worker_cpu(1);
    port_by_cpu = co_local_port(lfd);
    CHECK(co_go_fd(serve_by_cpu, lfd) == 0);
    while (descriptors() < before + co_workers())
        (void)co_yield();
    for (int i = 0; i < co_workers(); i++)
        CHECK(pthread_create(&threads[i], NULL, ask_from_cpu, (void *)(intptr_t)i) == 0);
    until(&asked, co_workers());
    for (int i = 0; i < co_workers(); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(co_hangup(lfd) == 0);
    until(&ended, 1);
    return 0;
}

static bool kernel_is_since(int major, int minor)
{
    struct utsname name;
    int has_major = 0, has_minor = 0;

    return uname(&name) == 0 && sscanf(name.release, "%d.%d", &has_major, &has_minor) == 2 &&
           (has_major > major || (has_major == major && has_minor >= minor));
}

Test(serve, a_connection_goes_to_the_worker_on_whose_cpu_it_came_in)
{
    struct co_conf conf = settings(2);

    conf.pin_threads = 1;
    cr_assert_eq(run_conf(&conf, serve_where_it_came_in, NULL), 0);
    if (!one_cpu && kernel_is_since(6, 2))
        cr_assert_eq(astray, 0);
}

/* ---- options ---- */

static bool reachable(const char *host, int port)
{
    char text[64];
    CO_FD(fd, -1);

    (void)snprintf(text, sizeof text, "%s:%d", host, port);
    fd = co_connect(text);
    return fd >= 0;
}

static int listen_on_both(void *arg)
{
    struct co_listen_opts opts = {.ipv6_only = 1};
    CO_FD(both, co_listen("[::]:0"));
    CO_FD(six, co_listen_with(&opts, "[::]:0"));

    (void)arg;
    if (both < 0)
        return 0; /* no IPv6 on this machine */
    CHECK(six >= 0);
    CHECK(reachable("127.0.0.1", co_local_port(both)));
    CHECK(reachable("[::1]", co_local_port(both)));
    CHECK(reachable("[::1]", co_local_port(six)));
    CHECK(!reachable("127.0.0.1", co_local_port(six)));
    return 0;
}

Test(serve, ipv6_takes_ipv4_as_well_unless_told_otherwise)
{
    run_on(1, listen_on_both, NULL);
}

static int size_of(int fd, int name)
{
    int value = -1;
    size_t len = sizeof value;

    CHECK(co_get_option(fd, SOL_SOCKET, name, &value, &len) == 0);
    return value;
}

static int look_at_options(void *arg)
{
    struct co_listen_opts opts = {
        .reuse_port = 1, .fast_open = 1, .recv_buffer = 20000, .send_buffer = 30000, .backlog = 1};
    char address[64];
    CO_FD(first, co_listen_with(&opts, "127.0.0.1:0"));

    (void)arg;
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(first));
    {
        CO_FD(second, co_listen_with(&opts, address));

        CHECK(second >= 0);
        CHECK(co_listen(address) == -EADDRINUSE); /* not without the option */
    }
    CO_FD(fd, co_connect(address));
    CO_FD(conn, co_accept(first));
    CHECK(size_of(conn, SO_RCVBUF) == 40000 && size_of(conn, SO_SNDBUF) == 60000);

    opts = (struct co_listen_opts){.backlog = -1};
    CHECK(co_listen_with(&opts, "127.0.0.1:0") == -EINVAL);
    opts = (struct co_listen_opts){.recv_buffer = -1};
    CHECK(co_listen_with(&opts, "127.0.0.1:0") == -EINVAL);
    opts = (struct co_listen_opts){.fast_open = -1};
    CHECK(co_listen_with(&opts, "127.0.0.1:0") == -EINVAL);
    opts = (struct co_listen_opts){.per_worker = 1};
    CHECK(co_listen_with(&opts, "unix:@") == -EINVAL);
    opts = (struct co_listen_opts){.incoming_cpu = 1};
    CHECK(co_listen_with(&opts, "127.0.0.1:0") == -EINVAL); /* needs one for each worker */
    opts = (struct co_listen_opts){.mode = 01777};
    CHECK(co_listen_with(&opts, "unix:@") == -EINVAL);
    return 0;
}

Test(serve, options_are_set_or_refused)
{
    run_on(1, look_at_options, NULL);
    cr_assert_eq(co_listen_with(NULL, "127.0.0.1:0"), -EPERM);
}
