/* SPDX-License-Identifier: MIT */
/*
 * bare_http - the least a server can do, to measure ours against.
 *
 * Frozen: this program was written before the engine it judges and is not tuned afterwards,
 * neither up nor down; a change to it makes older figures worthless and has to say so in its
 * commit message. It uses nothing of Corvid and is compiled on its own (tools/bench).
 *
 * The main thread accepts and deals the connections out in turn, so that each thread owns the same
 * number. Each other thread waits on an epoll of its own: one epoll_wait for a batch, then for
 * each connection one recv, a search for the blank lines that end requests, and one send with an
 * answer to each. The answer has the same bytes as httpd's /plaintext, Date included. It waits for
 * edges, since level-triggered descriptors go back to the ready list and are asked a second
 * time by each wait. There is no more to it: any request that ends gets the answer, whatever it
 * says.
 *
 * usage: bare_http PORT [THREADS]      (127.0.0.1, 2 threads)
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
#include <time.h>
#include <unistd.h>

#define BODY        "Hello, World!"
#define BATCH       256   /* events of one epoll_wait */
#define INPUT_SIZE  16384 /* one buffer per thread: it stays hot, a connection owns none */
#define PART_MAX    2048  /* longest beginning of a request that is kept for the next recv */
#define ANSWERS     64    /* copies of the answer that one send can take, for pipelined requests */
#define ANSWER_MAX  256
#define THREADS_MAX 256

struct conn {
    int fd;
    size_t kept;         /* bytes of a request that has begun and not ended */
    char part[PART_MAX]; /* those bytes; touched only if a request came in pieces */
};

struct loop {
    int epoll;
    time_t second; /* the one that the answers carry */
    size_t answer_len;
    char answers[ANSWERS * ANSWER_MAX];
    char input[PART_MAX + INPUT_SIZE];
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Writes the answer with the Date of this second, ANSWERS times in a row. */
static void refresh_answers(struct loop *loop)
{
    time_t now = time(NULL);
    struct tm tm;
    char date[64];
    char answer[ANSWER_MAX];
    int len;

    if (now == loop->second)
        return;
    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    len = snprintf(answer, sizeof(answer),
                   "HTTP/1.1 200 OK\r\n"
                   "Date: %s\r\n"
                   "Content-Type: text/plain; charset=utf-8\r\n"
                   "Content-Length: %zu\r\n"
                   "\r\n" BODY,
                   date, sizeof(BODY) - 1);
    loop->answer_len = (size_t)len;
    for (size_t i = 0; i < ANSWERS; i++)
        memcpy(loop->answers + i * loop->answer_len, answer, loop->answer_len);
    loop->second = now;
}

/* Counts the requests that end in [data, data + len), and says where the unfinished one begins. */
static size_t count_requests(const char *data, size_t len, size_t *ret_rest)
{
    size_t count = 0;
    size_t at = 0;

    for (;;) {
        const char *end = memmem(data + at, len - at, "\r\n\r\n", 4);

        if (end == NULL)
            break;
        at = (size_t)(end - data) + 4;
        count++;
    }
    *ret_rest = at;
    return count;
}

/* Returns 0, or -1 if the connection is of no more use; a client that does not read is of none. */
static int send_answers(struct loop *loop, int fd, size_t count)
{
    while (count > 0) {
        size_t n = count < ANSWERS ? count : ANSWERS;
        size_t len = n * loop->answer_len;

        if (send(fd, loop->answers, len, MSG_NOSIGNAL) != (ssize_t)len)
            return -1;
        count -= n;
    }
    return 0;
}

/* One recv and what it brought. Returns 1 if there may be more to receive, 0 if not, -1 to end. */
static int serve_once(struct loop *loop, struct conn *conn)
{
    char *input = loop->input;
    size_t kept = conn->kept;
    size_t rest, count, len;
    ssize_t n;

    if (kept > 0)
        memcpy(input, conn->part, kept);
    n = recv(conn->fd, input + kept, INPUT_SIZE, 0);
    if (n < 0)
        return 0; /* nothing there; a broken connection is told by its events */
    if (n == 0)
        return -1;
    len = kept + (size_t)n;
    count = count_requests(input, len, &rest);
    if (send_answers(loop, conn->fd, count) < 0)
        return -1;
    conn->kept = len - rest;
    if (conn->kept > PART_MAX)
        return -1;
    if (conn->kept > 0)
        memcpy(conn->part, input + rest, conn->kept);
    return n == INPUT_SIZE;
}

static void serve(struct loop *loop, struct conn *conn, unsigned events)
{
    const unsigned last = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    int more;

    /* A short read has taken all there was. Only what came with a hang-up needs another look. */
    do {
        more = serve_once(loop, conn);
    } while (more > 0);
    if (more < 0 || (events & last) != 0) {
        close(conn->fd);
        free(conn);
    }
}

static void *run_loop(void *arg)
{
    struct loop *loop = arg;
    struct epoll_event events[BATCH];

    for (;;) {
        int n = epoll_wait(loop->epoll, events, BATCH, -1);

        refresh_answers(loop);
        for (int i = 0; i < n; i++)
            serve(loop, events[i].data.ptr, events[i].events);
    }
    return NULL;
}

static int listen_on(unsigned port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        die("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        die("setsockopt");
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        die("bind");
    if (listen(fd, 1024) < 0)
        die("listen");
    return fd;
}

/* Accepts one connection for the loop. */
static void accept_for(struct loop *loop, int listener)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
    struct conn *conn = malloc(sizeof(*conn));
    int one = 1;

    if (conn == NULL)
        die("malloc");
    conn->kept = 0;
    conn->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (conn->fd < 0)
        die("accept4");
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    event.data.ptr = conn;
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, conn->fd, &event) < 0)
        die("epoll_ctl");
}

static unsigned parse_number(const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value == 0 || value > max) {
        fprintf(stderr, "bare_http: %s is not a number from 1 to %u\n", text, max);
        exit(2);
    }
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    unsigned threads = 2;
    struct loop *loops;
    int listener;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: bare_http PORT [THREADS]\n");
        return 2;
    }
    if (argc == 3)
        threads = parse_number(argv[2], THREADS_MAX);
    listener = listen_on(parse_number(argv[1], 65535));
    loops = calloc(threads, sizeof(*loops));
    if (loops == NULL)
        die("calloc");
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;

        loops[i].epoll = epoll_create1(EPOLL_CLOEXEC);
        if (loops[i].epoll < 0)
            die("epoll_create1");
        if (pthread_create(&thread, NULL, run_loop, &loops[i]) != 0)
            die("pthread_create");
    }
    for (unsigned next = 0;; next = (next + 1) % threads)
        accept_for(&loops[next], listener);
}
