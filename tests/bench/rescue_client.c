/* SPDX-License-Identifier: MIT */
/*
 * rescue_client - requests at a fixed rate, in open loop, on the sockets of one worker.
 *
 * Connects until so many connections have said '1' (rescue.c) and uses those. Request i is due at
 * start + i / RATE, on connection i mod CONNECTIONS, whatever became of those before. It carries
 * that time, and its latency is counted from then: from the intended time, not from when it was
 * sent. What is not answered two seconds after the last one counts with the time until then.
 *
 * Prints sent, unanswered, and the latencies p50_us, p99_us, p999_us and worst_us.
 *
 * usage: rescue_client PORT CONNECTIONS RATE SECONDS CPU     (CPU -1: anywhere)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SEC  1000000000LL
#define LATE (2 * SEC)

struct conn {
    int fd;
    size_t have; /* bytes of the message that is coming */
    unsigned char message[8];
};

static struct conn *conns;
static int conn_count;
static int64_t *due;     /* of each request, 0 once it is answered */
static int64_t *latency; /* of those answered, then of all */
static long sent, answered;
static int64_t start, step;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "rescue_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SEC + t.tv_nsec;
}

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Blocks; for the conversation before the load. */
static void read_all(int fd, void *buf, size_t size)
{
    if (recv(fd, buf, size, MSG_WAITALL) != (ssize_t)size)
        die("recv");
}

static void connect_all(int port, int epoll)
{
    int have = 0;

    for (int tries = 0; have < conn_count; tries++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)have};
        int fd = dial(port);
        char where;

        if (tries > 4 * conn_count + 16) {
            errno = EAGAIN;
            die("too few sockets of that worker");
        }
        read_all(fd, &where, 1);
        if (where != '1')
            continue; /* stays open: the server evens out what its workers own */
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            die("epoll_ctl");
        conns[have++].fd = fd;
    }
}

static void begin(void)
{
    static const char zeros[8];
    char echo[8];

    if (send(conns[0].fd, zeros, sizeof zeros, MSG_NOSIGNAL) != sizeof zeros)
        die("send");
    read_all(conns[0].fd, echo, sizeof echo);
}

static void got(int64_t stamp)
{
    long i = (stamp - start) / step;

    if (i < 0 || i >= sent || due[i] != stamp) {
        errno = EPROTO;
        die("an answer to nothing");
    }
    due[i] = 0;
    latency[answered++] = now() - stamp;
}

static void receive(struct conn *c)
{
    for (;;) {
        ssize_t n = recv(c->fd, c->message + c->have, sizeof c->message - c->have, MSG_DONTWAIT);
        int64_t stamp;

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            die("recv");
        c->have += (size_t)n;
        if (c->have < sizeof c->message)
            continue;
        memcpy(&stamp, c->message, sizeof stamp);
        c->have = 0;
        got(stamp);
    }
}

static void receive_until(int epoll, int64_t until)
{
    struct epoll_event events[64];
    int64_t left;

    while ((left = until - now()) > 0) {
        struct timespec span = {.tv_sec = left / SEC, .tv_nsec = left % SEC};
        int n = epoll_pwait2(epoll, events, 64, &span, NULL);

        if (n < 0 && errno != EINTR)
            die("epoll_pwait2");
        for (int i = 0; i < n; i++)
            receive(&conns[events[i].data.u32]);
    }
}

static void load(int epoll, long total)
{
    start = now() + SEC / 100;
    for (long i = 0; i < total; i++) {
        int64_t stamp = start + i * step;

        receive_until(epoll, stamp);
        due[i] = stamp;
        sent = i + 1;
        if (send(conns[i % conn_count].fd, &stamp, sizeof stamp, MSG_NOSIGNAL | MSG_DONTWAIT) !=
            sizeof stamp)
            die("send");
    }
    for (int64_t end = now() + LATE; answered < sent && now() < end;)
        receive_until(epoll, now() + SEC / 100);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static double quantile(double q)
{
    return (double)latency[(long)(q * (double)(sent - 1))] / 1000;
}

static void report(void)
{
    int64_t end = now();
    long count = answered;

    for (long i = 0; i < sent; i++) {
        if (due[i] != 0)
            latency[count++] = end - due[i];
    }
    qsort(latency, (size_t)sent, sizeof *latency, compare);
    printf("sent %ld\nunanswered %ld\n", sent, sent - answered);
    printf("p50_us %.1f\np99_us %.1f\np999_us %.1f\nworst_us %.1f\n", quantile(0.5), quantile(0.99),
           quantile(0.999), quantile(1));
}

int main(int argc, char **argv)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    cpu_set_t cpus;
    long total;
    int cpu;

    if (argc != 6) {
        fprintf(stderr, "usage: rescue_client PORT CONNECTIONS RATE SECONDS CPU\n");
        return 2;
    }
    conn_count = (int)strtol(argv[2], NULL, 10);
    step = SEC / strtol(argv[3], NULL, 10);
    total = strtol(argv[4], NULL, 10) * SEC / step;
    cpu = (int)strtol(argv[5], NULL, 10);
    conns = calloc((size_t)conn_count, sizeof *conns);
    due = calloc((size_t)total, sizeof *due);
    latency = calloc((size_t)total, sizeof *latency);
    if (epoll < 0 || !conns || !due || !latency)
        die("no memory");
    CPU_ZERO(&cpus);
    CPU_SET(cpu >= 0 ? (size_t)cpu : 0, &cpus);
    if (cpu >= 0 && sched_setaffinity(0, sizeof cpus, &cpus) < 0)
        die("sched_setaffinity");
    (void)prctl(PR_SET_TIMERSLACK, 1L); /* the time that the kernel adds to a sleep is not ours */
    connect_all((int)strtol(argv[1], NULL, 10), epoll);
    begin();
    load(epoll, total);
    report();
    return 0;
}
