/* SPDX-License-Identifier: MIT */
/*
 * net - the TCP server that tools/bench echo, streaming, connect, syscalls and idle measure.
 *
 *   echo    a coroutine for each connection, which waits in co_recv; like its peers it has no
 *           time-outs
 *   timed   the same with a deadline for each message: the first program of README.md
 *   lent    as echo, through a stream, from whose buffer it sends: one that is there only while
 *           there are bytes, and the worker's hottest
 *   when    as timed, but nobody waits: each message starts a coroutine (co_go_when), so an idle
 *           connection holds no stack, and the buffer is that of the message before
 *   short   with a buffer of 4 KiB, a listener for each worker, and co_serve
 *   sink    receives, and throws away; a listener for each worker
 *   source  sends without end, to whoever connects; one listener, as co_serve waits for the
 *           client's first bytes
 *
 * At its end it prints the runtime's counters, a name and a number on each line.
 *
 * usage: net PORT THREADS echo|timed|lent|when|short|sink|source
 */
#include <co/co.h>
#include <co/listen.h>
#include <co/stats.h>
#include <co/stream.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ECHO_SIZE = 16384, BULK_SIZE = 65536 };

/* One message, or what there is of it. Returns: whether to go on. */
static bool echo_one(int fd, char *buf)
{
    ssize_t n = co_recv(fd, buf, ECHO_SIZE);

    return n > 0 && co_send(fd, buf, (size_t)n) >= 0;
}

static void echo(int conn)
{
    CO_FD(fd, conn);
    char buf[ECHO_SIZE];

    while (echo_one(fd, buf))
        continue;
}

/* As in the first program of README.md. */
static void echo_briefly(int conn)
{
    CO_FD(fd, conn);
    char buf[4096];
    ssize_t n;

    while ((n = co_recv(fd, buf, sizeof buf)) > 0 && co_send(fd, buf, (size_t)n) >= 0)
        continue;
}

static bool echo_in_time(int fd, char *buf)
{
    CO_DEADLINE(30 * CO_SEC);

    return echo_one(fd, buf);
}

static void timed(int conn)
{
    CO_FD(fd, conn);
    char buf[ECHO_SIZE];

    while (echo_in_time(fd, buf))
        continue;
}

static void lent(int conn)
{
    CO_STREAM(stream, conn);
    const void *bytes;
    ssize_t n;

    do
        n = co_stream_peek(&stream, 1, &bytes);
    while (n > 0 && co_send(stream.fd, bytes, (size_t)n) >= 0 &&
           co_stream_skip(&stream, (size_t)n) == 0);
}

static void wait_for_message(int conn);

static void on_message(void *arg, int why)
{
    CO_FD(fd, (int)(intptr_t)arg);
    char buf[ECHO_SIZE];

    if (why == 0 && echo_in_time(fd, buf))
        wait_for_message(co_fd_take(&fd));
}

static void wait_for_message(int conn)
{
    CO_FD(fd, conn);
    CO_DEADLINE(30 * CO_SEC);

    if (co_go_when(fd, on_message, (void *)(intptr_t)fd) == 0)
        (void)co_fd_take(&fd);
}

static void sink(int conn)
{
    CO_FD(fd, conn);
    char *buf = malloc(BULK_SIZE);

    while (buf && co_recv(fd, buf, BULK_SIZE) > 0)
        continue;
    free(buf);
}

static void source(int conn)
{
    static const char bytes[BULK_SIZE];
    CO_FD(fd, conn);

    while (co_send(fd, bytes, sizeof bytes) > 0)
        continue;
}

static const struct mode {
    const char *name;
    co_fd_fn *fn;
    bool stays;      /* fn is called by who accepts, as it does not wait */
    bool per_worker; /* a listener for each, and co_serve */
} modes[] = {
    {"echo", echo, false, false},
    {"timed", timed, false, false},
    {"short", echo_briefly, false, true},
    {"lent", lent, false, false},
    {"when", wait_for_message, true, false},
    {"sink", sink, false, true},
    {"source", source, false, false},
};

static const struct mode *mode_of(const char *name)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(name, modes[i].name) == 0)
            return &modes[i];
    }
    return NULL;
}

static int accept_for(int lfd, const struct mode *mode)
{
    for (;;) {
        int fd = co_accept(lfd);

        if (fd < 0)
            return fd == -ECANCELED ? 0 : fd;
        if (mode->stays)
            mode->fn(fd);
        else
            (void)co_go_fd(mode->fn, fd);
    }
}

static void serve_one(int conn, void *mode)
{
    ((const struct mode *)mode)->fn(conn);
}

static int serve(void *arg)
{
    char **argv = arg;
    const struct mode *mode = mode_of(argv[3]);
    struct co_listen_opts opts = {.per_worker = mode->per_worker};
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    CO_FD(lfd, co_listen_with(&opts, address));
    if (lfd < 0)
        return lfd;
    return opts.per_worker ? co_serve(lfd, serve_one, (void *)(uintptr_t)mode)
                           : accept_for(lfd, mode);
}

int main(int argc, char *argv[])
{
    const struct mode *mode = argc == 4 ? mode_of(argv[3]) : NULL;
    struct co_conf conf;
    int r;

    if (!mode) {
        fprintf(stderr, "usage: net PORT THREADS echo|timed|lent|when|short|sink|source\n");
        return 2;
    }
    co_conf_init(&conf);
    conf.threads = atoi(argv[2]);
    r = co_run_with(&conf, serve, argv);
    if (r < 0) {
        fprintf(stderr, "net: %s\n", co_strerror(r));
        return 1;
    }
    for (int i = 0; i < co_stat_count(); i++)
        printf("%s %" PRId64 "\n", co_stat_name(i), co_stat_total(i));
    return 0;
}
