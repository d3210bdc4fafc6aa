/* SPDX-License-Identifier: MIT */
/* apps/echo - TCP server: one coroutine per connection. Usage: echo [host:port] */
#include <co/co.h>
#include <stdio.h>

static void on_connection(int conn)
{
    CO_FD(fd, conn); /* closed at the end of the block */
    char buf[4096];

    for (;;) {
        CO_DEADLINE(30 * CO_SEC); /* one budget for the whole exchange */
        ssize_t n = co_recv(fd, buf, sizeof buf);
        if (n <= 0 || co_send(fd, buf, (size_t)n) < 0)
            return;
    }
}

static int serve(void *address)
{
    CO_FD(lfd, co_listen(address));

    if (lfd < 0) {
        fprintf(stderr, "echo: cannot listen on %s: %s\n", (char *)address, co_strerror(lfd));
        return lfd;
    }
    for (;;) {
        int fd = co_accept(lfd); /* waits out EMFILE and the like; never spins */
        if (fd < 0)
            return fd == -ECANCELED ? 0 : fd;
        (void)co_go_fd(on_connection, fd); /* closes fd itself if it cannot start */
    }
}

int main(int argc, char *argv[])
{
    char address[] = "127.0.0.1:7000";

    return co_run(serve, argc > 1 ? argv[1] : address) < 0;
}
