/* SPDX-License-Identifier: MIT */
/*
 * net_load - the one client that drives all servers of tools/bench echo, streaming, connect,
 * syscalls and idle. It uses nothing of Corvid.
 *
 * Two threads, each with an epoll of its own, hold the connections to 127.0.0.1:PORT; or, with
 * "awake", one that asks its epoll without ever sleeping, so that no server pays for waking it.
 * Each connection's first message is checked byte by byte; of the later ones the bytes are counted,
 * and thrown away in the kernel (MSG_TRUNC), so that the client takes as little of the machine as
 * it can.
 *
 *   echo    SIZE bytes: each connection has one message under way
 *   push    SIZE 0: sends as fast as the server receives
 *   pull    SIZE 0: receives as fast as the server sends
 *   short   SIZE bytes: connect, one message and its echo, close; so many at once
 *   count   SIZE bytes: as echo, for AMOUNT messages of each connection
 *   idle    SIZE bytes: one message on each; prints "ready 1", and closes when its input ends
 *
 * The first four work on demand, so that several servers can be measured by turns while all stay as
 * they are: for each line of input they work for AMOUNT milliseconds, after some that are not
 * counted, and rest again. Then they print a line of names and numbers: what was done, the seconds
 * it took, and the CPU time that the process PID, the server, has used by the kernel's accounting.
 * Push and pull count in MiB.
 *
 * usage: net_load MODE PORT CONNECTIONS SIZE AMOUNT PID [awake]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 2
#define BATCH       256
#define MESSAGE_MAX 65536
#define BULK_SIZE   65536
#define BULK_ROOM   (128 << 10) /* of a socket's buffers; the kernel doubles it */
#define WARM_NS     60000000
#define REST_NS     20000000 /* what is under way comes to its end meanwhile */
#define SOURCES     250      /* addresses that short connections come from, so that ports suffice */

enum mode { ECHO, COUNT, PUSH, PULL, SHORT, IDLE, MODES };

struct conn {
    int fd;
    size_t to_send;    /* bytes of the message that the socket has not taken yet */
    size_t to_receive; /* bytes of its echo that have not come yet */
    unsigned left;     /* COUNT: messages to go */
};

struct client {
    _Alignas(64) atomic_ullong done; /* messages, bytes or connections; read while it counts on */
    atomic_ullong failed;            /* SHORT: connections that broke */
    int epoll;
    int wake;        /* eventfd: the rest is over */
    unsigned count;  /* connections of this thread */
    unsigned active; /* COUNT: those with messages to go */
    unsigned source; /* SHORT: the next source address */
    struct conn *conns;
    pthread_t thread;
};

static struct {
    enum mode mode;
    struct sockaddr_in server;
    int threads;
    int awake; /* 1: never sleeps, but between the measurements */
    unsigned connections;
    size_t size;
    unsigned amount;
    pid_t pid;
    atomic_int rests; /* nothing new is begun */
    char message[MESSAGE_MAX];
} load;

static struct client clients[THREADS_MAX];

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) < 0)
        die("clock_gettime");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* One thread adds. */
static void add(atomic_ullong *counter, size_t n)
{
    /* relaxed, both: counts, which another thread reads about every second. */
    unsigned long long value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + n, memory_order_relaxed /* as above */);
}

static unsigned long long done_by_all(void)
{
    unsigned long long sum = 0;

    for (int i = 0; i < load.threads; i++) /* relaxed: as above */
        sum += atomic_load_explicit(&clients[i].done, memory_order_relaxed);
    return sum;
}

/* ---- sockets ---- */

static int new_socket(int flags)
{
    int one = 1;
    int room = BULK_ROOM;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        die("socket");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        die("setsockopt");
    /*
     * On loopback a sender that is not held back overruns the receiver's buffer as it grows; the
     * kernel drops what it cannot hold, and a connection stands still until it is sent again.
     */
    if ((load.mode == PUSH || load.mode == PULL) &&
        (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0 ||
         setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) < 0))
        die("setsockopt");
    return fd;
}

static int to_server(int fd)
{
    return connect(fd, (struct sockaddr *)&load.server, sizeof(load.server));
}

static void watch(struct client *client, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = conn};

    if (epoll_ctl(client->epoll, EPOLL_CTL_ADD, conn->fd, &event) < 0)
        die("epoll_ctl");
}

/* One message there and back, byte by byte, on a socket that blocks. */
static void check_echo(int fd)
{
    static char back[MESSAGE_MAX];
    size_t got = 0;
    ssize_t n;

    if (send(fd, load.message, load.size, MSG_NOSIGNAL) != (ssize_t)load.size)
        die("send");
    while (got < load.size) {
        n = recv(fd, back + got, load.size - got, 0);
        if (n <= 0)
            die("recv");
        got += (size_t)n;
    }
    if (memcmp(back, load.message, load.size) != 0) {
        fprintf(stderr, "net_load: the echo is not the message\n");
        exit(1);
    }
}

/* By the main thread, before the others start. */
static void open_connections(struct client *client)
{
    for (unsigned i = 0; i < client->count; i++) {
        struct conn *conn = &client->conns[i];

        conn->fd = new_socket(0);
        conn->to_receive = 0;
        conn->left = load.amount;
        if (to_server(conn->fd) < 0)
            die("connect");
        if (load.size > 0)
            check_echo(conn->fd);
        if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) < 0)
            die("fcntl");
    }
}

/* ---- echo ---- */

static int rests(void)
{
    /* relaxed: seen in a moment. */
    return atomic_load_explicit(&load.rests, memory_order_relaxed);
}

/* Sends what is left of a message. Returns 0, or -1 if the connection is broken. */
static int send_message(struct conn *conn)
{
    while (conn->to_send > 0) {
        ssize_t n = send(conn->fd, load.message + load.size - conn->to_send, conn->to_send,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        conn->to_send -= (size_t)n;
    }
    return 0;
}

static int begin_message(struct conn *conn)
{
    conn->to_send = conn->to_receive = load.size;
    return send_message(conn);
}

/* Throws bytes away in the kernel. Returns 1 if the echo is complete, 0 if not, -1 if broken. */
static int receive_echo(struct conn *conn)
{
    while (conn->to_receive > 0) {
        ssize_t n = recv(conn->fd, NULL, conn->to_receive, MSG_TRUNC | MSG_DONTWAIT);

        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        if (n == 0)
            return -1;
        conn->to_receive -= (size_t)n;
    }
    return 1;
}

static void begin_echo(struct client *client, struct conn *conn)
{
    (void)client;
    if (conn->to_receive == 0 && begin_message(conn) < 0)
        die("send");
}

static void go_on_echo(struct client *client, struct conn *conn)
{
    int r;

    if (conn->to_receive == 0)
        return;
    if (send_message(conn) < 0)
        die("send");
    r = receive_echo(conn);
    if (r < 0)
        die("recv");
    if (r == 0)
        return;
    add(&client->done, 1);
    if (load.mode == COUNT && --conn->left == 0)
        client->active--;
    else if (!rests() && begin_message(conn) < 0)
        die("send");
}

/* ---- bulk ---- */

static void push(struct client *client, struct conn *conn)
{
    static const char bytes[BULK_SIZE];
    ssize_t n;

    while (!rests()) {
        n = send(conn->fd, bytes, BULK_SIZE, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            die("send");
        if (n < 0)
            return;
        add(&client->done, (size_t)n);
    }
}

static void pull(struct client *client, struct conn *conn)
{
    ssize_t n;

    while (!rests()) {
        n = recv(conn->fd, NULL, 1 << 20, MSG_TRUNC);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            die("recv");
        if (n < 0)
            return;
        add(&client->done, (size_t)n);
    }
}

/* ---- short connections ---- */

static void connect_short(struct client *client, struct conn *conn)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    unsigned index = (unsigned)(client - clients);
    int one = 1;

    /* 127.(1 + thread).0.(1 to SOURCES): loopback, as all of 127/8 is. */
    client->source = (client->source + 1) % SOURCES;
    source.sin_addr.s_addr = htonl(0x7f000000U | (index + 1) << 16 | (client->source + 1));
    conn->fd = new_socket(SOCK_NONBLOCK);
    if (setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
        bind(conn->fd, (struct sockaddr *)&source, sizeof(source)) < 0)
        die("bind");
    if (to_server(conn->fd) < 0 && errno != EINPROGRESS)
        die("connect");
    watch(client, conn);
    (void)begin_message(conn); /* on loopback it is connected already; if not, EPOLLOUT tells */
}

static void go_on_short(struct client *client, struct conn *conn)
{
    int r = send_message(conn);

    if (r == 0)
        r = receive_echo(conn);
    if (r == 0)
        return;
    add(r > 0 ? &client->done : &client->failed, 1);
    close(conn->fd);
    conn->to_receive = 0;
    if (!rests())
        connect_short(client, conn);
}

static void begin_short(struct client *client, struct conn *conn)
{
    if (conn->to_receive == 0)
        connect_short(client, conn);
}

/* ---- threads ---- */

/* What there is to do on a connection, by mode: after a rest, and when its socket has news. */
static const struct {
    const char *name;
    void (*begin)(struct client *client, struct conn *conn);
    void (*go_on)(struct client *client, struct conn *conn);
} modes[MODES] = {
    [ECHO] = {"echo", begin_echo, go_on_echo},
    [COUNT] = {"count", begin_echo, go_on_echo},
    [PUSH] = {"push", push, push},
    [PULL] = {"pull", pull, pull},
    [SHORT] = {"short", begin_short, go_on_short},
    [IDLE] = {"idle", NULL, NULL}, /* no thread runs */
};

static void begin_all(struct client *client)
{
    uint64_t wakes;

    if (read(client->wake, &wakes, sizeof(wakes)) != sizeof(wakes))
        die("read");
    for (unsigned i = 0; i < client->count; i++)
        modes[load.mode].begin(client, &client->conns[i]);
}

static void *drive(void *arg)
{
    struct client *client = arg;
    struct epoll_event events[BATCH];

    for (unsigned i = 0; i < client->count && load.mode != SHORT; i++)
        watch(client, &client->conns[i]);
    while (load.mode != COUNT || client->active > 0) {
        int n = epoll_wait(client->epoll, events, BATCH, load.awake && !rests() ? 0 : -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == client)
                begin_all(client);
            else
                modes[load.mode].go_on(client, events[i].data.ptr);
        }
    }
    return NULL;
}

static void prepare(void)
{
    for (unsigned i = 0; i < (unsigned)load.threads; i++) {
        struct client *client = &clients[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

        client->count = client->active = (load.connections + i) / (unsigned)load.threads;
        client->conns = calloc(client->count + 1, sizeof(*client->conns));
        client->epoll = epoll_create1(EPOLL_CLOEXEC);
        client->wake = eventfd(0, EFD_CLOEXEC);
        if (client->conns == NULL || client->epoll < 0 || client->wake < 0 ||
            epoll_ctl(client->epoll, EPOLL_CTL_ADD, client->wake, &event) < 0)
            die("epoll_create1");
        if (load.mode != SHORT)
            open_connections(client);
    }
}

static void start(void)
{
    for (int i = 0; i < load.threads; i++) {
        if (pthread_create(&clients[i].thread, NULL, drive, &clients[i]) != 0)
            die("pthread_create");
    }
}

static void wake_all(void)
{
    const uint64_t one = 1;

    for (int i = 0; i < load.threads; i++) {
        if (write(clients[i].wake, &one, sizeof(one)) != sizeof(one))
            die("write");
    }
}

/* ---- measuring ---- */

static void nap(long long ns)
{
    struct timespec span = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
}

static void measure(clockid_t server)
{
    double unit = load.mode == PUSH || load.mode == PULL ? 1 << 20 : 1;
    double took, cpu, own, done, failed = 0;

    atomic_store(&load.rests, 0);
    wake_all();
    nap(WARM_NS);
    took = seconds_of(CLOCK_MONOTONIC);
    cpu = seconds_of(server);
    own = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    done = (double)done_by_all();
    nap(load.amount * 1000000LL);
    took = seconds_of(CLOCK_MONOTONIC) - took;
    cpu = seconds_of(server) - cpu;
    own = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - own;
    done = ((double)done_by_all() - done) / unit;
    atomic_store(&load.rests, 1);
    nap(REST_NS);
    for (int i = 0; i < load.threads; i++)
        failed += (double)atomic_load(&clients[i].failed);
    printf("done %.1f seconds %.4f rate %.1f cpu_us %.4f load_us %.4f failed %.0f\n", done, took,
           done / took, cpu / done * 1e6, own / done * 1e6, failed);
    fflush(stdout);
}

static void measure_on_demand(void)
{
    clockid_t server;
    char line[16];

    if (clock_getcpuclockid(load.pid, &server) != 0)
        die("clock_getcpuclockid");
    while (fgets(line, sizeof(line), stdin) != NULL)
        measure(server);
}

static void wait_for_all(void)
{
    for (int i = 0; i < load.threads; i++)
        (void)pthread_join(clients[i].thread, NULL);
    printf("done %llu\n", done_by_all());
}

static void stay_idle(void)
{
    printf("ready 1\n");
    fflush(stdout);
    while (getchar() != EOF)
        continue;
}

static enum mode parse_mode(const char *text)
{
    for (int i = 0; i < MODES; i++) {
        if (strcmp(text, modes[i].name) == 0)
            return (enum mode)i;
    }
    fprintf(stderr, "net_load: there is no mode %s\n", text);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc != 7 && (argc != 8 || strcmp(argv[7], "awake") != 0)) {
        fprintf(stderr, "usage: net_load MODE PORT CONNECTIONS SIZE AMOUNT PID [awake]\n");
        return 2;
    }
    load.mode = parse_mode(argv[1]);
    load.awake = argc == 8;
    load.threads = load.awake ? 1 : THREADS_MAX;
    load.server.sin_family = AF_INET;
    load.server.sin_port = htons((in_port_t)strtoul(argv[2], NULL, 10));
    load.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    load.connections = (unsigned)strtoul(argv[3], NULL, 10);
    load.size = strtoul(argv[4], NULL, 10);
    load.amount = (unsigned)strtoul(argv[5], NULL, 10);
    load.pid = (pid_t)strtol(argv[6], NULL, 10);
    if (load.size > MESSAGE_MAX)
        load.size = MESSAGE_MAX;
    for (size_t i = 0; i < load.size; i++)
        load.message[i] = (char)(i * 31 + 7);
    prepare();
    if (load.mode == IDLE) {
        stay_idle();
        return 0;
    }
    atomic_store(&load.rests, load.mode != COUNT);
    start();
    if (load.mode == COUNT) {
        wake_all();
        wait_for_all();
    } else {
        measure_on_demand();
    }
    fflush(stdout);
    _exit(0);
}
