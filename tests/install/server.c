/* SPDX-License-Identifier: MIT */
/* A server outside the tree, with what `pkg-config --cflags --libs corvid-http` says; it asks
 * itself once. */
#include "helper.h"

#include <co/co.h>
#include <co/http.h>
#include <stdio.h>
#include <string.h>

static int hello(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)req;
    (void)ctx;
    return co_http_text(rsp, 200, "Hello, World!");
}

static void serve(void *arg)
{
    static const struct co_http_route routes[] = {{"GET", "/hello", hello, 0}, {0}};
    CO_FD(lfd, *(const int *)arg);

    if (co_http_serve_on(lfd, NULL, routes, NULL) < 0)
        co_stop();
}

static int first(void *arg)
{
    static const char request[] =
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char address[32], answer[1024];
    int lfd = co_listen("127.0.0.1:0");
    size_t len = 0;

    (void)arg;
    if (lfd < 0)
        return lfd;
    snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(lfd));
    if (co_go_copy(serve, &lfd, sizeof lfd) < 0)
        return -ENOMEM;

    CO_DEADLINE(5 * CO_SEC);
    CO_FD(fd, co_connect(address));
    ssize_t n = fd < 0 ? fd : co_send(fd, request, strlen(request));
    while (n > 0 && len < sizeof answer - 1) {
        n = co_recv(fd, answer + len, sizeof answer - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    answer[len] = '\0';
    co_stop();
    return n < 0 ? (int)n : strstr(answer, "\r\n\r\nHello, World!") ? 0 : -EPROTO;
}

int main(void)
{
    int r = co_run(first, NULL);

    printf("%s %s\n", co_version(), co_strerror(r));
    return r < 0 || close_reporting(-1) != -EBADF;
}
