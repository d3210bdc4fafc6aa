/* SPDX-License-Identifier: MIT */
/* tests/netio/test_serve.c - options of listeners, and one listener for each worker. */
#include "netio/world.h"
#include <co/listen.h>
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
    CHECK(co_recv(fd, &byte, 1) == 0);
}

static void serve_it(int lfd)
{
    CHECK(co_serve(lfd, answer, NULL) == 0);
    atomic_fetch_add(&ended, 1);
}

enum { CLIENTS = 60 };

/* Two listeners at least get one of sixty connections, as none gets many more than its share. */
static bool were_spread(void)
{
    int workers = 0;

    for (int i = 0; i < 4; i++)
        workers += atomic_load(&on_worker[i]) > 0;
    return workers >= 2;
}

static int ask_many(const char *address)
{
    int fds[CLIENTS];
    char byte;

    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = co_connect(address);
        CHECK(fds[i] >= 0 && co_send(fds[i], "x", 1) == 1 && co_recv(fds[i], &byte, 1) == 1);
    }
    for (int i = 0; i < CLIENTS; i++)
        CHECK(co_close(fds[i]) == 0);
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
    CHECK(co_recv(fd, &(char){0}, 1) == 0);
}

static void serve_by_cpu(int lfd)
{
    CHECK(co_serve(lfd, tell_worker, NULL) == 0);
    atomic_fetch_add(&ended, 1);
}

static int port_by_cpu;
static cpu_set_t all_cpus;
static _Atomic int done;
static int served_from[2][2]; /* the CPU, the worker */
static int held_by[2];

/* Returns: the worker that serves the new connection. */
static int ask_worker(int *ret_fd)
{
    char worker = -1;

    *ret_fd = plain_connect(port_by_cpu);
    CHECK(send(*ret_fd, "x", 1, 0) == 1 && recv(*ret_fd, &worker, 1, 0) == 1);
    return worker;
}

/*
 * Loopback handles a packet on the CPU of who sends it. The one of this index is also that to which
 * the worker of this index is pinned. Returns: false: there are not so many.
 */
static bool move_to_cpu(int index)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all_cpus) && index-- == 0)
            CPU_SET(cpu, &one);
    }
    return pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
}

/* One after the other, half of them from each CPU. */
static void *ask_from_two_cpus(void *arg)
{
    (void)arg;
    for (int cpu = 0; cpu < 2 && move_to_cpu(cpu); cpu++) {
        for (int i = 0; i < CLIENTS; i++) {
            int fd;

            served_from[cpu][ask_worker(&fd)]++;
            (void)close(fd);
        }
    }
    atomic_store(&done, 1);
    return NULL;
}

/* Two that serve the same address, as two processes would: `beside` is the younger's. */
static _Atomic int beside;

static void count_and_tell(int conn, void *arg)
{
    atomic_fetch_add(&beside, 1);
    tell_worker(conn, arg);
}

static void serve_beside(int lfd)
{
    CHECK(co_serve(lfd, count_and_tell, NULL) == 0);
    atomic_fetch_add(&ended, 1);
}

static int serve_twice(void *arg)
{
    static const struct co_listen_opts opts = {.per_worker = 1};
    int before = descriptors();
    char address[64];
    CO_FD(old, co_listen_with(&opts, "127.0.0.1:0"));
    CO_FD(young, -1);

    (void)arg;
    CHECK(old >= 0);
    atomic_store(&ended, 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(old));
    CHECK(co_go_fd(serve_by_cpu, old) == 0);
    while (descriptors() < before + co_workers())
        (void)co_yield();
    CHECK(ask_many(address) == CLIENTS); /* now it knows the CPUs */
    young = co_listen_with(&opts, address);
    CHECK(young >= 0 && co_go_fd(serve_beside, young) == 0);
    while (descriptors() < before + 2 * co_workers())
        (void)co_yield();
    CHECK(ask_many(address) == CLIENTS);
    CHECK(atomic_load(&beside) >= CLIENTS / 8);
    CHECK(co_hangup(old) == 0 && co_hangup(young) == 0);
    until(&ended, 2);
    return 0;
}

Test(serve, a_second_server_of_an_address_gets_connections_too)
{
    run_on(2, serve_twice, NULL);
}

/* All stay. */
static void *hold_from_one_cpu(void *arg)
{
    int fds[CLIENTS];

    (void)arg;
    CHECK(move_to_cpu(0));
    for (int i = 0; i < CLIENTS; i++)
        held_by[ask_worker(&fds[i])]++;
    for (int i = 0; i < CLIENTS; i++)
        (void)close(fds[i]);
    atomic_store(&done, 1);
    return NULL;
}

static void *(*client_main)(void *);

static int serve_client(void *arg)
{
    static const struct co_listen_opts opts = {.per_worker = 1};
    int before = descriptors();
    pthread_t client;
    CO_FD(lfd, co_listen_with(&opts, "127.0.0.1:0"));

    (void)arg;
    CHECK(lfd >= 0);
    atomic_store(&ended, 0);
    atomic_store(&done, 0);
    port_by_cpu = co_local_port(lfd);
    CHECK(co_go_fd(serve_by_cpu, lfd) == 0);
    while (descriptors() < before + co_workers())
        (void)co_yield();
    CHECK(pthread_create(&client, NULL, client_main, NULL) == 0);
    until(&done, 1);
    CHECK(pthread_join(client, NULL) == 0);
    CHECK(co_hangup(lfd) == 0);
    until(&ended, 1);
    return 0;
}

static void serve_pinned(void *(*client)(void *))
{
    struct co_conf conf = settings(2);

    cr_assert_eq(sched_getaffinity(0, sizeof all_cpus, &all_cpus), 0);
    client_main = client;
    conf.pin_threads = 1;
    cr_assert_eq(run_conf(&conf, serve_client, NULL), 0);
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
    serve_pinned(ask_from_two_cpus);
    if (CPU_COUNT(&all_cpus) < 2 || !kernel_is_since(6, 2))
        return;
    cr_assert_gt(served_from[0][0], CLIENTS * 3 / 4);
    cr_assert_gt(served_from[1][1], CLIENTS * 3 / 4);
}

Test(serve, connections_that_all_come_in_on_one_cpu_are_shared_out)
{
    serve_pinned(hold_from_one_cpu);
    cr_assert_geq(held_by[0], CLIENTS / 4);
    cr_assert_geq(held_by[1], CLIENTS / 4);
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
    opts = (struct co_listen_opts){.mode = 01777};
    CHECK(co_listen_with(&opts, "unix:@") == -EINVAL);
    return 0;
}

Test(serve, options_are_set_or_refused)
{
    run_on(1, look_at_options, NULL);
    cr_assert_eq(co_listen_with(NULL, "127.0.0.1:0"), -EPERM);
}
