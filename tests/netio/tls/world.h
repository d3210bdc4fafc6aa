/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/tls/world.h - what the tests of TLS share: an authority, a server and a client that
 * trust each other, and pairs of streams between them.
 */
#ifndef TESTS_NETIO_TLS_WORLD_H
#define TESTS_NETIO_TLS_WORLD_H

#include "certs.h"
#include "netio/world.h"
#include <co/group.h>
#include <co/tls.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

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
    int fds[2];

    *both = (struct both){.server = {.server = server}};
    make_ours(fds);
    both->server.fd = fds[1];
    start(accept_here, &both->server);
    both->result = co_tls_connect(client, fds[0], name, &both->client, &both->why);
    if (both->result < 0)
        (void)co_close(fds[0]);
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

/* ---- a peer that is OpenSSL alone, on a plain socket and a thread of its own ---- */

struct raw {
    pthread_t thread;
    void (*fn)(struct raw *raw); /* what it does after the handshake */
    int fd;
    int version;
    bool is_server;
    SSL *ssl;
    _Atomic int shaken; /* 1: the handshake is through; -1: it failed */
    _Atomic int told;   /* the test's to use */
    _Atomic int done;
};

static inline void *raw_main(void *arg)
{
    struct raw *raw = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (raw->version)
        (void)SSL_CTX_set_max_proto_version(ctx, raw->version);
    if (raw->is_server) {
        (void)SSL_CTX_use_certificate_chain_file(ctx, host.chain);
        (void)SSL_CTX_use_PrivateKey_file(ctx, host.keyfile, SSL_FILETYPE_PEM);
    }
    raw->ssl = SSL_new(ctx);
    (void)SSL_set_fd(raw->ssl, raw->fd);
    if ((raw->is_server ? SSL_accept(raw->ssl) : SSL_connect(raw->ssl)) == 1) {
        atomic_store(&raw->shaken, 1);
        raw->fn(raw);
    } else {
        atomic_store(&raw->shaken, -1);
    }
    SSL_free(raw->ssl);
    SSL_CTX_free(ctx);
    if (raw->fd >= 0)
        (void)close(raw->fd);
    atomic_store(&raw->done, 1);
    return NULL;
}

/* A raw client and a stream that has accepted it. */
static inline void meet_raw(struct co_tls_server *server, struct raw *raw,
                            struct co_stream *ret_stream)
{
    struct pair pair = make_pair();
    struct co_tls_why why = {""};
    int r;

    raw->fd = pair.plain;
    CHECK(pthread_create(&raw->thread, NULL, raw_main, raw) == 0);
    r = co_tls_accept(server, pair.ours, ret_stream, &why);
    if (r < 0)
        (void)fprintf(stderr, "raw: %d %s\n", r, why.text);
    CHECK(r == 0);
}

/* The peer's thread must not be waited for in a coroutine before it is at its end. */
static inline void end_raw(struct raw *raw)
{
    until(&raw->done, 1);
    CHECK(pthread_join(raw->thread, NULL) == 0);
}

#endif
