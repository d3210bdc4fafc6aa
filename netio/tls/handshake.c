/* SPDX-License-Identifier: MIT */
/* handshake.c - from a connected socket to a stream on TLS. */
#include "tls.h"

#include <arpa/inet.h>
#include <co/park.h>
#include <co/private/net.h>
#include <co/scope.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MOST = 253 };

/* What was agreed on does not change any more. */
static void note(struct co__tls *tls)
{
    struct co_tls_info *info = &tls->info;
    const unsigned char *alpn;
    unsigned len;

    info->version = SSL_version(tls->ssl);
    info->resumed = SSL_session_reused(tls->ssl);
    info->has_peer_cert = SSL_get0_peer_certificate(tls->ssl) != NULL;
    info->cipher = SSL_get_cipher_name(tls->ssl);
    info->server_name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    SSL_get0_alpn_selected(tls->ssl, &alpn, &len);
    if (len > 0 && len < sizeof info->alpn)
        memcpy(info->alpn, alpn, len);
}

/*
 * Says by an alert why it failed. Closing a socket that has bytes unread makes the kernel send a
 * reset, which may overtake the alert: so what has come is read.
 */
static void refuse(struct co__tls *tls)
{
    char buf[512];
    bool asked;

    co__tls_flush_now(tls);
    for (int i = 0; i < 64; i++) {
        if (co__recv_poll(tls->fd, buf, sizeof buf, &asked) <= 0)
            return;
    }
}

static int shake_hands(struct co__tls *tls)
{
    CO_DEADLINE(tls->config->timeout);

    for (;;) {
        int r = co_check();
        int turn = r < 0 ? r : co__tls_shake(tls);

        if (turn < 0 && turn != -EAGAIN) {
            refuse(tls);
            return turn;
        }
        r = co__tls_flush(tls);
        if (r < 0 || turn == 0)
            return r;
        r = co__recv_wait(tls->fd, tls->asked, NULL, NULL);
        if (r <= 0)
            return r < 0 ? r : -ECANCELED; /* the runtime stops */
    }
}

/* Does the handshake, and opens the stream or frees the connection. */
static int open_stream(struct co__tls *tls, struct co_stream *ret_stream,
                       struct co_tls_why *ret_why)
{
    int fd = tls->fd;
    int r = shake_hands(tls);

    if (r < 0) {
        co__tls_say(ret_why, "%s", tls->why ? tls->why : co_strerror(r));
        co__tls_free(tls);
        return r;
    }
    note(tls);
    if (tls->client)
        co__tls_client_note(tls);
    co_stream_open_on(ret_stream, fd, &co__tls_transport, tls);
    return 0;
}

int co_tls_accept(struct co_tls_server *server, int fd, struct co_stream *ret_stream,
                  struct co_tls_why *ret_why)
{
    struct co__tls_config *config;
    struct co__tls *tls;
    int r = co_check();

    if (r < 0) {
        co__tls_say(ret_why, "%s", co_strerror(r));
        return r;
    }
    config = co__tls_server_config(server);
    tls = co__tls_new(fd, config);
    if (!tls) {
        co__tls_config_drop(config);
        co__tls_say(ret_why, "%s", co_strerror(-ENOMEM));
        return -ENOMEM;
    }
    SSL_set_accept_state(tls->ssl);
    return open_stream(tls, ret_stream, ret_why);
}

/* ---- clients ---- */

/* A name goes without the dot that may end it. Returns: 0; -EINVAL, -ENOMEM. */
static int set_host(struct co__tls *tls, const char *host)
{
    size_t len = host ? strlen(host) : 0;

    if (len > 0 && host[len - 1] == '.')
        len--;
    if (len == 0)
        return tls->client->verifies ? -EINVAL : 0;
    if (len > HOST_MOST)
        return -EINVAL;
    tls->host = strndup(host, len);
    return tls->host ? 0 : -ENOMEM;
}

static bool is_ip(const char *host)
{
    unsigned char bin[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, bin) == 1 || inet_pton(AF_INET6, host, bin) == 1;
}

/* Which names are good, and which one we ask for. An address is never asked for (RFC 6066, 3). */
static bool expect_host(SSL *ssl, const char *host)
{
    if (is_ip(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* The cast: OpenSSL's macro drops the const, which clang minds. */
    return SSL_set1_host(ssl, host) == 1 &&
           SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)host) == 1;
}

/* Nothing suspends in here. Returns: 0; -EINVAL, -ENOMEM. */
static int prepare(struct co__tls *tls, const char *host)
{
    int r = set_host(tls, host);

    SSL_set_connect_state(tls->ssl);
    if (r < 0 || !tls->host)
        return r;
    if (!expect_host(tls->ssl, tls->host)) {
        ERR_clear_error();
        return -EINVAL;
    }
    tls->offered = co__tls_sessions_take(&tls->client->sessions, tls->host);
    if (tls->offered)
        (void)SSL_set_session(tls->ssl, tls->offered);
    return 0;
}

int co_tls_connect(struct co_tls_client *client, int fd, const char *host,
                   struct co_stream *ret_stream, struct co_tls_why *ret_why)
{
    struct co__tls *tls = NULL;
    int r = co_check();

    if (r == 0) {
        tls = co__tls_new(fd, co__tls_config_hold(client->config));
        r = tls ? 0 : -ENOMEM;
    }
    if (r == -ENOMEM)
        co__tls_config_drop(client->config);
    if (r == 0) {
        /* relaxed: the caller holds it, too. */
        __atomic_fetch_add(&client->refs, 1, __ATOMIC_RELAXED);
        tls->client = client;
        r = prepare(tls, host);
    }
    if (r == 0)
        return open_stream(tls, ret_stream, ret_why);
    co__tls_say(ret_why, "%s",
                r == -EINVAL ? "a client has to know the host it wants" : co_strerror(r));
    if (tls)
        co__tls_free(tls);
    return r;
}
