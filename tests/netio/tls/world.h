/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/tls/world.h - what the tests of TLS share: an authority, a server and a client that
 * trust each other, and pairs of streams between them.
 */
#ifndef TESTS_NETIO_TLS_WORLD_H
#define TESTS_NETIO_TLS_WORLD_H

#include "certs.h"
#include "support/run.h"
#include <co/group.h>
#include <co/net.h>
#include <co/tls.h>

static struct issued ca, host;
static struct co_tls_cert host_cert;
static struct co_tls_server_conf server_conf;
static struct co_tls_client_conf client_conf;

/* Before each test: an authority, and a certificate for example.test and 127.0.0.1. */
static inline void make_world(void)
{
    ca = issue(NULL, &(struct wish){.name = "ca", .ca = 1});
    host = issue(&ca, &(struct wish){.name = "host", .hosts = "DNS:example.test,IP:127.0.0.1"});
    host_cert = files_of(&host);
    server_conf = (struct co_tls_server_conf){.certs = &host_cert, .cert_count = 1};
    client_conf = (struct co_tls_client_conf){.ca_file = ca.chain};
}

static inline void end_world(void)
{
    forget_cert(&host);
    forget_cert(&ca);
    (void)rmdir(certs_folder);
}

static inline struct co_tls_server *new_server(void)
{
    struct co_tls_server *server = NULL;
    struct co_tls_why why = {""};
    int r = co_tls_server_new(&server_conf, &server, &why);

    if (r < 0)
        (void)fprintf(stderr, "server: %d %s\n", r, why.text);
    CHECK(r == 0);
    return server;
}

static inline struct co_tls_client *new_client(void)
{
    struct co_tls_client *client = NULL;
    struct co_tls_why why = {""};
    int r = co_tls_client_new(&client_conf, &client, &why);

    if (r < 0)
        (void)fprintf(stderr, "client: %d %s\n", r, why.text);
    CHECK(r == 0);
    return client;
}

/* Two connected sockets of ours. */
static inline void make_sockets(int *ret_client, int *ret_server)
{
    char address[64];
    int lfd = co_listen("127.0.0.1:0");

    CHECK(lfd >= 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(lfd));
    *ret_client = co_connect(address);
    *ret_server = co_accept(lfd);
    CHECK(*ret_client >= 0 && *ret_server >= 0);
    CHECK(co_close(lfd) == 0);
}

/* A server's half of a handshake, in a coroutine of its own. */
struct accepting {
    struct co_tls_server *server;
    int fd;
    int result;
    struct co_stream stream;
    struct co_tls_why why;
    _Atomic int done;
};

static inline void accept_here(void *arg)
{
    struct accepting *a = arg;

    a->result = co_tls_accept(a->server, a->fd, &a->stream, &a->why);
    if (a->result < 0)
        (void)co_close(a->fd);
    atomic_store(&a->done, 1);
}

/* Both halves. What failed is closed. */
struct both {
    struct accepting server;
    int result; /* of the client's half */
    struct co_stream client;
    struct co_tls_why why;
};

static inline void shake(struct co_tls_server *server, struct co_tls_client *client,
                         const char *name, struct both *both)
{
    int fd;

    *both = (struct both){.server = {.server = server}};
    make_sockets(&fd, &both->server.fd);
    start(accept_here, &both->server);
    both->result = co_tls_connect(client, fd, name, &both->client, &both->why);
    if (both->result < 0)
        (void)co_close(fd);
    until(&both->server.done, 1);
}

static inline void shake_well(struct co_tls_server *server, struct co_tls_client *client,
                              struct both *both)
{
    shake(server, client, "example.test", both);
    if (both->result < 0 || both->server.result < 0)
        (void)fprintf(stderr, "client: %d %s; server: %d %s\n", both->result, both->why.text,
                      both->server.result, both->server.why.text);
    CHECK(both->result == 0 && both->server.result == 0);
}

static inline void drop_both(struct both *both)
{
    if (both->result == 0)
        co_stream_drop(&both->client);
    if (both->server.result == 0)
        co_stream_drop(&both->server.stream);
}

/* One message there and back. */
static inline void exchange(struct co_stream *a, struct co_stream *b)
{
    char buf[8];

    CHECK(co_stream_write(a, "hello", 5) == 5 && co_stream_flush(a) == 0);
    CHECK(co_stream_readn(b, buf, 5) == 5 && memcmp(buf, "hello", 5) == 0);
    CHECK(co_stream_write(b, "world", 5) == 5 && co_stream_flush(b) == 0);
    CHECK(co_stream_readn(a, buf, 5) == 5 && memcmp(buf, "world", 5) == 0);
}

#endif
