/* SPDX-License-Identifier: MIT */
/*
 * nesting - what a wake-up costs when epoll and libuv share a thread, for both ways to nest them.
 *
 * A worker has sockets in an edge-triggered epoll of its own and a libuv loop beside it. It
 * can sleep
 *
 *   inside   in uv_run(ONCE): the epoll hangs in libuv's loop by one uv_poll_t, whose callback
 *            drains it with epoll_wait(0);
 *   outside  in epoll_pwait2 on its own epoll, which holds libuv's backend descriptor and an
 *            eventfd for wake-ups (both level-triggered); uv_run(NOWAIT) is called only when the
 *            backend is ready or one of its timers is due.
 *
 * A server thread of either kind echoes messages of 64 bytes over TCP pairs on the loopback
 * interface; a client thread keeps one message under way on each, from another processor, since a
 * wake-up across processors costs more than one on the same. With one pair every message is a
 * sleep and a wake-up; with 64 the thread is busy and takes them in batches. Prints CPU time and
 * sleeps per message, of the server thread alone. `tools/bench nesting` alternates the ways and
 * makes the ratios; docs/decisions/0001-epoll-outside-libuv-inside.md has what came of it.
 *
 * usage: nesting inside|outside CONNECTIONS MESSAGES      (messages of all connections together)
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define MESSAGE_SIZE    64
#define BATCH           256
#define CONNECTIONS_MAX 1024

struct pair {
    int client;
    int server;
};

struct server {
    uv_loop_t loop;
    uv_poll_t poll; /* inside: the epoll, as libuv sees it */
    int epoll;
    int wake; /* outside: what another thread would write to */
    unsigned open;
    bool outside;
    double cpu; /* seconds */
    long sleeps;
};

struct client {
    const struct pair *pairs;
    unsigned count;
    unsigned long messages;
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd, unsigned events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

/* Keeps the calling thread on one processor, if there are as many. */
static void stay_on(unsigned processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

/* The server's half. */

static void echo(struct server *server, int fd)
{
    char message[MESSAGE_SIZE];
    ssize_t n = recv(fd, message, sizeof(message), 0);

    if (n < 0)
        die("recv");
    if (n == 0) {
        close(fd);
        server->open--;
    } else if (send(fd, message, (size_t)n, MSG_NOSIGNAL) != n) {
        die("send");
    }
}

static void serve(struct server *server, const struct epoll_event *events, int n)
{
    int backend = uv_backend_fd(&server->loop);
    bool backend_ready = false;

    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;

        if (fd == backend) {
            backend_ready = true;
        } else if (fd == server->wake) {
            eventfd_t value;

            eventfd_read(fd, &value);
        } else {
            echo(server, fd);
        }
    }
    if (backend_ready)
        uv_run(&server->loop, UV_RUN_NOWAIT);
}

static void on_epoll_readable(uv_poll_t *poll, int status, int what)
{
    struct server *server = poll->data;
    struct epoll_event events[BATCH];

    (void)what;
    if (status < 0)
        die("uv_poll");
    serve(server, events, epoll_wait(server->epoll, events, BATCH, 0));
}

static void sleep_inside(struct server *server)
{
    while (server->open > 0)
        uv_run(&server->loop, UV_RUN_ONCE);
}

static void sleep_outside(struct server *server)
{
    struct epoll_event events[BATCH];

    while (server->open > 0) {
        /* Milliseconds, -1 for never; of a loop without handles libuv says 0, which would spin. */
        int left = uv_loop_alive(&server->loop) ? uv_backend_timeout(&server->loop) : -1;
        struct timespec limit = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000L};
        int n = epoll_pwait2(server->epoll, events, BATCH, left < 0 ? NULL : &limit, NULL);

        serve(server, events, n);
        if (n == 0)
            uv_run(&server->loop, UV_RUN_NOWAIT);
    }
}

static double thread_cpu(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static long thread_sleeps(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void *run_server(void *arg)
{
    struct server *server = arg;

    stay_on(0);
    server->cpu = thread_cpu();
    server->sleeps = thread_sleeps();
    if (server->outside)
        sleep_outside(server);
    else
        sleep_inside(server);
    server->cpu = thread_cpu() - server->cpu;
    server->sleeps = thread_sleeps() - server->sleeps;
    return NULL;
}

static void prepare_server(struct server *server, const struct pair *pairs, unsigned count)
{
    server->open = count;
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (server->epoll < 0 || server->wake < 0)
        die("epoll_create1 or eventfd");
    for (unsigned i = 0; i < count; i++)
        watch(server->epoll, pairs[i].server, EPOLLIN | EPOLLRDHUP | EPOLLET);
    if (uv_loop_init(&server->loop) != 0)
        die("uv_loop_init");
    if (server->outside) {
        watch(server->epoll, uv_backend_fd(&server->loop), EPOLLIN);
        watch(server->epoll, server->wake, EPOLLIN);
    } else {
        server->poll.data = server;
        if (uv_poll_init(&server->loop, &server->poll, server->epoll) != 0 ||
            uv_poll_start(&server->poll, UV_READABLE, on_epoll_readable) != 0)
            die("uv_poll_init");
    }
}

static void close_server(struct server *server)
{
    if (!server->outside) {
        uv_close((uv_handle_t *)&server->poll, NULL);
        uv_run(&server->loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&server->loop);
    close(server->wake);
    close(server->epoll);
}

/* The client's half: one message under way on each connection, until all have been echoed. */

static void send_message(int fd)
{
    static const char message[MESSAGE_SIZE];

    if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != (ssize_t)sizeof(message))
        die("send");
}

static void take_echo(int fd)
{
    char message[MESSAGE_SIZE];

    if (recv(fd, message, sizeof(message), MSG_WAITALL) != (ssize_t)sizeof(message))
        die("recv");
}

static void run_lone_client(const struct client *client)
{
    int fd = client->pairs[0].client;

    for (unsigned long i = 0; i < client->messages; i++) {
        send_message(fd);
        take_echo(fd);
    }
    close(fd);
}

static void run_many_clients(const struct client *client)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    unsigned long to_send = client->messages - client->count;
    unsigned open = client->count;
    struct epoll_event events[BATCH];

    if (epoll < 0)
        die("epoll_create1");
    for (unsigned i = 0; i < client->count; i++) {
        watch(epoll, client->pairs[i].client, EPOLLIN);
        send_message(client->pairs[i].client);
    }
    while (open > 0) {
        int n = epoll_wait(epoll, events, BATCH, -1);

        for (int i = 0; i < n; i++) {
            take_echo(events[i].data.fd);
            if (to_send > 0) {
                to_send--;
                send_message(events[i].data.fd);
            } else {
                close(events[i].data.fd);
                open--;
            }
        }
    }
    close(epoll);
}

static void *run_client(void *arg)
{
    const struct client *client = arg;

    stay_on(1);
    if (client->count == 1)
        run_lone_client(client);
    else
        run_many_clients(client);
    return NULL;
}

/* Setting up. */

static void connect_pairs(struct pair *pairs, unsigned count)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, len) < 0 ||
        listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&addr, &len) < 0)
        die("listen");
    for (unsigned i = 0; i < count; i++) {
        pairs[i].client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (pairs[i].client < 0 || connect(pairs[i].client, (struct sockaddr *)&addr, len) < 0)
            die("connect");
        pairs[i].server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (pairs[i].server < 0)
            die("accept4");
        setsockopt(pairs[i].client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(pairs[i].server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    close(listener);
}

static void usage(void)
{
    fprintf(stderr, "usage: nesting inside|outside CONNECTIONS MESSAGES\n"
                    "       1 to 1024 connections, at least a message for each\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static struct pair pairs[CONNECTIONS_MAX];
    struct server server = {0};
    struct client client = {.pairs = pairs};
    pthread_t server_thread, client_thread;

    if (argc != 4 || (strcmp(argv[1], "inside") != 0 && strcmp(argv[1], "outside") != 0))
        usage();
    server.outside = strcmp(argv[1], "outside") == 0;
    client.count = (unsigned)strtoul(argv[2], NULL, 10);
    client.messages = strtoul(argv[3], NULL, 10);
    if (client.count < 1 || client.count > CONNECTIONS_MAX || client.messages < client.count)
        usage();
    connect_pairs(pairs, client.count);
    prepare_server(&server, pairs, client.count);
    if (pthread_create(&server_thread, NULL, run_server, &server) != 0 ||
        pthread_create(&client_thread, NULL, run_client, &client) != 0)
        die("pthread_create");
    pthread_join(client_thread, NULL);
    pthread_join(server_thread, NULL);
    close_server(&server);
    printf("cpu_us %.3f\n", server.cpu * 1e6 / (double)client.messages);
    printf("sleeps %.3f\n", (double)server.sleeps / (double)client.messages);
    return 0;
}
