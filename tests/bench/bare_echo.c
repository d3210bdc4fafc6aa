/* SPDX-License-Identifier: MIT */
/*
 * bare_echo - the least a TCP server can do, to measure ours against.
 *
 * Frozen: this program is not tuned after the first figures were taken with it, neither up nor
 * down; a change to it makes older figures worthless and has to say so in its commit message. It
 * uses nothing of Corvid and is compiled on its own (tools/bench).
 *
 * Each thread has an epoll and a listener of its own (SO_REUSEPORT), accepts for itself, as nginx's
 * workers do, and keeps what it has accepted. It waits for edges. One epoll_wait brings a batch;
 * for each connection then one recv into a buffer that all connections of the thread share, so that
 * it stays hot, and, in an echo, one send. A short read has taken all there was, so no second one
 * is made. Bytes that a socket does not take are kept until it does, and nothing is read meanwhile.
 *
 *   echo    sends back what it has received
 *   sink    receives, and throws away
 *   source  sends without end, to whoever connects
 *
 * usage: bare_echo PORT THREADS echo|sink|source      (127.0.0.1)
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH       256 /* events of one epoll_wait */
#define ECHO_SIZE   16384
#define BULK_SIZE   65536
#define THREADS_MAX 256

enum mode { ECHO, SINK, SOURCE };

struct conn {
    int fd;
    int armed;   /* EPOLLOUT is registered */
    size_t kept; /* bytes that the socket did not take yet */
    size_t sent; /* SOURCE: where in the buffer the next send begins */
    char *rest;  /* those kept; NULL, unless it has happened */
};

struct loop {
    enum mode mode;
    int epoll;
    int listener;
    char buffer[BULK_SIZE];
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static int watch(struct loop *loop, struct conn *conn, int op, unsigned events)
{
    struct epoll_event event = {.events = events | EPOLLRDHUP | EPOLLET, .data.ptr = conn};

    return epoll_ctl(loop->epoll, op, conn->fd, &event);
}

/* From now on it is told when the socket takes bytes again. Returns 0, or -1 to end. */
static int arm(struct loop *loop, struct conn *conn)
{
    if (conn->armed)
        return 0;
    conn->armed = 1;
    return watch(loop, conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

/* Keeps what the socket did not take. Returns 0, or -1 to end. */
static int keep(struct loop *loop, struct conn *conn, const char *data, size_t len)
{
    if (conn->rest == NULL)
        conn->rest = malloc(ECHO_SIZE);
    if (conn->rest == NULL)
        return -1;
    memmove(conn->rest, data, len);
    conn->kept = len;
    return arm(loop, conn);
}

/* Returns 0, or -1 to end. */
static int send_back(struct loop *loop, struct conn *conn, const char *data, size_t len)
{
    ssize_t n = send(conn->fd, data, len, MSG_NOSIGNAL);

    if (n == (ssize_t)len) {
        conn->kept = 0;
        return 0;
    }
    if (n < 0)
        n = 0; /* full; a broken connection is told by its events */
    return keep(loop, conn, data + n, len - (size_t)n);
}

static int echo(struct loop *loop, struct conn *conn)
{
    ssize_t n;

    if (conn->kept > 0 && send_back(loop, conn, conn->rest, conn->kept) < 0)
        return -1;
    do {
        if (conn->kept > 0)
            return 0;
        n = recv(conn->fd, loop->buffer, ECHO_SIZE, 0);
        if (n < 0)
            return 0;
        if (n == 0 || send_back(loop, conn, loop->buffer, (size_t)n) < 0)
            return -1;
    } while (n == ECHO_SIZE);
    return 0;
}

static int sink(struct loop *loop, struct conn *conn)
{
    ssize_t n;

    do {
        n = recv(conn->fd, loop->buffer, BULK_SIZE, 0);
    } while (n == BULK_SIZE);
    return n == 0 ? -1 : 0;
}

static int source(struct loop *loop, struct conn *conn)
{
    for (;;) {
        ssize_t n = send(conn->fd, loop->buffer + conn->sent, BULK_SIZE - conn->sent, MSG_NOSIGNAL);

        if (n < 0)
            return arm(loop, conn);
        conn->sent = (conn->sent + (size_t)n) % BULK_SIZE;
    }
}

static void serve(struct loop *loop, struct conn *conn, unsigned events)
{
    int r = 0;

    switch (loop->mode) {
    case ECHO:
        r = echo(loop, conn);
        break;
    case SINK:
        r = sink(loop, conn);
        break;
    case SOURCE:
        r = source(loop, conn);
        break;
    }
    if (r < 0 || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        close(conn->fd);
        free(conn->rest);
        free(conn);
    }
}

/* Accepts all that wait. */
static void accept_all(struct loop *loop)
{
    for (;;) {
        /* Connections are epoll's until they end. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        int fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct conn *conn;
        int one = 1;

        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        conn = calloc(1, sizeof(*conn));
        if (conn == NULL)
            die("calloc");
        conn->fd = fd;
        if (watch(loop, conn, EPOLL_CTL_ADD, EPOLLIN) < 0)
            die("epoll_ctl");
        if (loop->mode == SOURCE)
            serve(loop, conn, 0);
    }
}

static void *run_loop(void *arg)
{
    struct loop *loop = arg;
    struct epoll_event events[BATCH];

    for (;;) {
        int n = epoll_wait(loop->epoll, events, BATCH, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == loop)
                accept_all(loop);
            else
                serve(loop, events[i].data.ptr, events[i].events);
        }
    }
    return NULL;
}

static int listen_on(unsigned port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        die("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
        die("setsockopt");
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        die("bind");
    if (listen(fd, 4096) < 0)
        die("listen");
    return fd;
}

static void prepare(struct loop *loop, unsigned port, enum mode mode)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = loop};

    loop->mode = mode;
    loop->listener = listen_on(port);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        die("epoll_create1");
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->listener, &event) < 0)
        die("epoll_ctl");
}

static enum mode parse_mode(const char *text)
{
    static const char *const names[] = {"echo", "sink", "source"};

    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0)
            return (enum mode)i;
    }
    fprintf(stderr, "bare_echo: %s is none of echo, sink, source\n", text);
    exit(2);
}

int main(int argc, char **argv)
{
    unsigned threads = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    struct loop *loops;

    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: bare_echo PORT THREADS echo|sink|source\n");
        return 2;
    }
    loops = calloc(threads, sizeof(*loops));
    if (loops == NULL)
        die("calloc");
    for (unsigned i = 0; i < threads; i++)
        prepare(&loops[i], (unsigned)strtoul(argv[1], NULL, 10), parse_mode(argv[3]));
    for (unsigned i = 1; i < threads; i++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, run_loop, &loops[i]) != 0)
            die("pthread_create");
    }
    return run_loop(&loops[0]) != NULL;
}
