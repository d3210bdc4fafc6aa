/* SPDX-License-Identifier: MIT */
/* A server on the runtime in a thread of its own, and clients with plain blocking sockets. */
#ifndef TESTS_HTTP_SERVE_H
#define TESTS_HTTP_SERVE_H

#include "support/test.h"
#include <arpa/inet.h>
#include <co/http.h>
#include <co/net.h>
#include <co/task.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct server {
    pthread_t thread;
    sem_t ready;
    const struct co_http_conf *conf;
    const struct co_http_route *routes;
    int64_t grace; /* of the runtime; 0: as it is */
    int lfd, port, result;
};

static inline int server_main(void *arg)
{
    struct server *s = arg;
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    int r;

    s->lfd = lfd;
    s->port = lfd < 0 ? lfd : co_local_port(lfd);
    (void)sem_post(&s->ready);
    r = lfd < 0 ? lfd : co_http_serve_on(lfd, s->conf, s->routes, s);
    return r;
}

static inline void *server_thread(void *arg)
{
    struct server *s = arg;
    struct co_conf conf;

    co_conf_init(&conf);
    conf.threads = 2;
    conf.signals = 0;
    if (s->grace > 0)
        conf.grace = s->grace;
    s->result = co_run_with(&conf, server_main, s);
    return NULL;
}

/* Starts it in a thread whose function calls co_run_with for server_main. */
static inline void server_start_in(struct server *s, void *(*thread)(void *arg), int64_t grace,
                                   const struct co_http_conf *conf,
                                   const struct co_http_route *routes)
{
    *s = (struct server){.conf = conf, .routes = routes, .grace = grace};
    cr_assert_eq(sem_init(&s->ready, 0, 0), 0);
    cr_assert_eq(pthread_create(&s->thread, NULL, thread, s), 0);
    while (sem_wait(&s->ready) < 0)
        ;
    cr_assert_gt(s->port, 0);
}

static inline void server_start(struct server *s, const struct co_http_conf *conf,
                                const struct co_http_route *routes)
{
    server_start_in(s, server_thread, 0, conf, routes);
}

/* Stops it. Returns: what co_http_serve_on returned. */
static inline int server_stop(struct server *s)
{
    co_stop();
    cr_assert_eq(pthread_join(s->thread, NULL), 0);
    return s->result;
}

/* A connection whose calls give up after 5 s. */
static inline int dial(const struct server *s)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)s->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static inline void say_bytes(int fd, const char *data, size_t len)
{
    cr_assert_eq(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static inline void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* What was read from a connection, as a text. */
struct heard {
    char text[1 << 18];
    size_t len;
    int end; /* 1: the server has ended the stream; -1: reset, or silence for too long */
};

/* Reads until the text holds `what`, or to the end of the stream if that is NULL. */
static inline void hear(struct heard *h, int fd, const char *what)
{
    h->text[h->len] = '\0';
    while (h->end == 0 && h->len < sizeof h->text - 1 &&
           (what == NULL || strstr(h->text, what) == NULL)) {
        ssize_t n = recv(fd, h->text + h->len, sizeof h->text - 1 - h->len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            h->end = n == 0 ? 1 : -1;
        else
            h->len += (size_t)n;
        h->text[h->len] = '\0';
    }
}

/* Says a text on a new connection and hears all, to the end of the stream. */
static inline struct heard *exchange(const struct server *s, const char *text)
{
    static struct heard h;
    int fd = dial(s);

    h.len = 0;
    h.end = 0;
    say(fd, text);
    hear(&h, fd, NULL);
    close(fd);
    return &h;
}

/* How often a text is in another. */
static inline int count_of(const char *text, const char *what)
{
    int n = 0;

    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

#define EXPECT_IN(what, h) \
    cr_expect(strstr((h)->text, what) != NULL, "no %s in: %s", what, (h)->text)
#define EXPECT_NOT_IN(what, h) \
    cr_expect(strstr((h)->text, what) == NULL, "%s in: %s", what, (h)->text)

#endif
