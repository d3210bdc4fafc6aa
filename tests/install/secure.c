/* SPDX-License-Identifier: MIT */
/* A TLS client outside the tree, with what `pkg-config --cflags --libs corvid-tls` says; the server
 * it meets speaks no TLS, and it has to notice. */
#include "helper.h"

#include <co/net.h>
#include <co/scope.h>
#include <co/task.h>
#include <co/tls.h>
#include <stdio.h>
#include <string.h>

static void speak_plainly(void *arg)
{
    CO_FD(fd, co_accept(*(const int *)arg));

    if (fd < 0 || co_send(fd, "220 ready\r\n", 11) < 0)
        co_stop();
}

static int try(struct co_tls_client *client, int lfd)
{
    struct co_stream stream;
    struct co_tls_why why = {""};
    char address[32];
    int r;

    snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(lfd));
    if (co_go_copy(speak_plainly, &lfd, sizeof lfd) < 0)
        return -ENOMEM;

    CO_DEADLINE(5 * CO_SEC);
    CO_FD(fd, co_connect(address));
    r = fd < 0 ? fd : co_tls_connect(client, fd, "localhost", &stream, &why);
    if (r == 0)
        co_stream_drop(&stream);
    return r == -EPROTO && strstr(why.text, "does not speak TLS") ? 0 : -EBADMSG;
}

static int first(void *arg)
{
    struct co_tls_client_conf conf = {0};
    struct co_tls_client *client;
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    int r = lfd < 0 ? lfd : co_tls_client_new(&conf, &client, NULL);

    (void)arg;
    if (r < 0)
        return r;
    r = try(client, lfd);
    co_tls_client_free(client);
    return r;
}

int main(void)
{
    int r = co_run(first, NULL);

    printf("%s %s\n", co_version(), co_strerror(r));
    return r < 0 || close_reporting(-1) != -EBADF;
}
