/* SPDX-License-Identifier: MIT */
/*
 * apps/httpd/line_server.c - a line in, the same line out.
 *
 * When the runtime stops, co_accept ends, and so do idle connections that it has accepted; but
 * requests that have been read still ask. Descriptors that were adopted are left alone: so this
 * server accepts for itself, and goes on until its group ends.
 */
#include "line_server.h"
#include <co/co.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* What comes goes back as it is, so lines need not be looked for. */
static void on_connection(int conn)
{
    CO_FD(fd, conn);
    char buf[1024];

    for (;;) {
        ssize_t n = co_recv(fd, buf, sizeof buf); /* idle as long as the pool keeps it */
        if (n <= 0 || co_send(fd, buf, (size_t)n) < 0)
            return;
    }
}

/* Takes what is queued; rests where that fails. Returns: 0; -ECANCELED. */
static int accept_queued(int lfd)
{
    for (;;) {
        int conn = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int r = conn < 0 ? -errno : co_adopt(conn);

        if (r == 0)
            (void)co_go_fd(on_connection, conn);
        else if (conn >= 0)
            (void)close(conn);
        if (r == -EAGAIN)
            return 0;
        if (r < 0)
            r = co_sleep(100 * CO_MS);
        if (r < 0)
            return r;
    }
}

static int serve(void *arg)
{
    CO_FD(lfd, (int)(intptr_t)arg);
    int r;

    do
        r = co_fd_wait(lfd, CO_READABLE);
    while (r >= 0 && (r = accept_queued(lfd)) == 0);
    if (r != -ECANCELED)
        fprintf(stderr, "httpd: line server: %s\n", co_strerror(r));
    return r;
}

int line_server_start(struct co_group *group, char *address, size_t cap)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    int r = lfd;

    if (r >= 0) {
        snprintf(address, cap, "127.0.0.1:%d", co_local_port(lfd));
        r = co_group_go(group, serve, (void *)(intptr_t)lfd);
    }
    if (r == 0)
        (void)co_fd_take(&lfd); /* serve closes it */
    return r;
}
