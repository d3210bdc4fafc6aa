/* SPDX-License-Identifier: MIT */
/* apps/httpd/line_server.c - a line in, the same line out. */
#include "line_server.h"
#include <co/co.h>
#include <stdio.h>

/* What comes goes back as it is, so lines need not be looked for. */
static void on_connection(int conn, void *arg)
{
    CO_FD(fd, conn);
    char buf[1024];

    (void)arg;
    for (;;) {
        ssize_t n = co_recv(fd, buf, sizeof buf); /* idle as long as the pool keeps it */
        if (n <= 0 || co_send(fd, buf, (size_t)n) < 0)
            return;
    }
}

static void serve(int lfd)
{
    CO_FD(fd, lfd);
    int r = co_serve(fd, on_connection, NULL);

    if (r < 0)
        fprintf(stderr, "httpd: line server: %s\n", co_strerror(r));
}

int line_server_start(char *address, size_t cap)
{
    int lfd = co_listen("127.0.0.1:0");

    if (lfd < 0)
        return lfd;
    snprintf(address, cap, "127.0.0.1:%d", co_local_port(lfd));
    return co_go_fd(serve, lfd);
}
