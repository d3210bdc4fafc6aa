/* SPDX-License-Identifier: MIT */
/*
 * net - the TCP server that tools/bench echo, streaming, connect, syscalls and idle measure.
 *
 *   echo    a coroutine for each connection, which waits in co_recv: the first program of README.md
 *   when    the same, but nobody waits: each message starts a coroutine (co_go_when), so an idle
 *           connection holds no stack, and the buffer is that of the message before
 *   short   as echo, with a listener for each worker and co_serve
 *   sink    receives, and throws away
 *   source  sends without end, to whoever connects
 *
 * At its end it prints the runtime's counters, a name and a number on each line.
 *
 * usage: net PORT THREADS echo|when|short|sink|source
 */
#include <co/co.h>
#include <co/listen.h>
#include <co/stats.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ECHO_SIZE = 16384, BULK_SIZE = 65536 };

/* One message, or what there is of it. Returns: whether to go on. */
static bool echo_one(int fd, char *buf)
{
    CO_DEADLINE(30 * CO_SEC);
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

static void echo_short(int conn, void *arg)
{
    (void)arg;
    echo(conn);
}

static void wait_for_message(int conn);

static void on_message(void *arg, int why)
{
    CO_FD(fd, (int)(intptr_t)arg);
    char buf[ECHO_SIZE];

    if (why == 0 && echo_one(fd, buf))
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

static int accept_for(int lfd, co_fd_fn *fn, bool start)
{
    for (;;) {
        int fd = co_accept(lfd);

        if (fd < 0)
            return fd == -ECANCELED ? 0 : fd;
        if (start)
            (void)co_go_fd(fn, fd);
        else
            fn(fd);
    }
}

static int serve(void *arg)
{
    char **argv = arg;
    const char *mode = argv[3];
    struct co_listen_opts opts = {.per_worker = strcmp(mode, "short") == 0};
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    CO_FD(lfd, co_listen_with(&opts, address));
    if (lfd < 0)
        return lfd;
    if (opts.per_worker)
        return co_serve(lfd, echo_short, NULL);
    if (strcmp(mode, "when") == 0)
        return accept_for(lfd, wait_for_message, false);
    if (strcmp(mode, "echo") == 0)
        return accept_for(lfd, echo, true);
    if (strcmp(mode, "sink") == 0)
        return accept_for(lfd, sink, true);
    return strcmp(mode, "source") == 0 ? accept_for(lfd, source, true) : -EINVAL;
}

int main(int argc, char *argv[])
{
    struct co_conf conf;
    int r;

    if (argc != 4) {
        fprintf(stderr, "usage: net PORT THREADS echo|when|short|sink|source\n");
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
