/* SPDX-License-Identifier: MIT */
/*
 * server.c - contexts of servers.
 *
 * A server holds one configuration, which is never changed: a reload makes another and exchanges
 * them. A connection holds the one that it began with.
 *
 * Each certificate is a context of OpenSSL's. A connection begins with the first one, and goes over
 * to that of the name it asks for. Tickets are encrypted with keys of the configuration's
 * (ticket.c), and OpenSSL takes back those that were made under the same "session id context". A
 * reload hands both on, unless certificates of clients are asked for before or after it: then they
 * are made anew, so that no session gets from one policy to another.
 */
#include "tls.h"

#include <openssl/x509v3.h>
#include <stdlib.h>

#define TIMEOUT (10 * CO_SEC)

struct co_tls_server {
    struct co_latch latch; /* for what follows */
    struct co__tls_config *config;
    bool asks; /* for certificates of clients */
};

/* A server, or its reload, in the making; files are read on the offload pool. */
struct making {
    const struct co_tls_server_conf *conf;
    struct co_tls_why *why;
    struct co__tls_config *config;
};

/* ---- during handshakes ---- */

/* Under which a name is served: exactly, or else by a wildcard. */
static int find(const struct co__tls_config *config, const char *name)
{
    static const unsigned flags[] = {X509_CHECK_FLAG_NO_WILDCARDS,
                                     X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS};

    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < config->count; i++) {
            if (X509_check_host(config->entries[i].leaf, name, 0, flags[pass], NULL) == 1)
                return i;
        }
    }
    return 0;
}

static int on_server_name(SSL *ssl, int *ret_alert, void *arg)
{
    const struct co__tls_config *config = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)ret_alert;
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    if (config->count > 1)
        (void)SSL_set_SSL_CTX(ssl, config->entries[find(config, name)].ctx);
    return SSL_TLSEXT_ERR_OK;
}

/* Ours first. A client that has none of ours is refused (RFC 7301, 3.2). */
static int on_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                   const unsigned char *theirs, unsigned theirs_len, void *arg)
{
    const struct co__tls_config *config = arg;
    unsigned char *name = NULL;

    (void)ssl;
    if (SSL_select_next_proto(&name, ret_len, config->alpn, (unsigned)config->alpn_len, theirs,
                              theirs_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- making ---- */

static int ask_clients(SSL_CTX *ctx, const struct co_tls_server_conf *conf, struct co_tls_why *why)
{
    STACK_OF(X509_NAME) * names;
    int mode = SSL_VERIFY_PEER;

    if (conf->client_cert == CO_TLS_CLIENT_NONE)
        return 0;
    if (conf->client_cert == CO_TLS_CLIENT_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, mode, co__tls_on_verify);
    if (SSL_CTX_load_verify_locations(ctx, conf->client_ca, NULL) != 1)
        return co__tls_say_file(why, "authorities for clients", conf->client_ca);
    names = SSL_load_client_CA_file(conf->client_ca);
    if (!names)
        return co__tls_say_file(why, "authorities for clients", conf->client_ca);
    SSL_CTX_set_client_CA_list(ctx, names);
    return 0;
}

static int make_entry(struct making *m, struct co__tls_entry *entry, const struct co_tls_cert *cert)
{
    const struct co_tls_server_conf *conf = m->conf;
    SSL_CTX *ctx;
    int r = co__tls_ctx_new(TLS_server_method(), conf->min_version, conf->max_version, &entry->ctx,
                            m->why);

    if (r == 0)
        r = co__tls_ctx_load(entry->ctx, cert, m->why);
    if (r == 0)
        r = ask_clients(entry->ctx, conf, m->why);
    if (r < 0)
        return r;
    ctx = entry->ctx;
    entry->leaf = SSL_CTX_get0_certificate(ctx);
    (void)X509_up_ref(entry->leaf);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need none */
    co__tls_tickets_serve(m->config->tickets, ctx);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    (void)SSL_CTX_set_tlsext_servername_arg(ctx, m->config);
    if (m->config->alpn)
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, m->config);
    return 0;
}

static int make(void *job)
{
    struct making *m = job;
    int r = co__tls_config_alpn(m->config, m->conf->alpn, m->why);

    for (int i = 0; r == 0 && i < m->config->count; i++)
        r = make_entry(m, &m->config->entries[i], &m->conf->certs[i]);
    return r;
}

static int check(const struct co_tls_server_conf *conf, struct co_tls_why *why)
{
    if (!conf->certs || conf->cert_count < 1) {
        co__tls_say(why, "a server needs a certificate");
        return -EINVAL;
    }
    if (conf->client_cert < CO_TLS_CLIENT_NONE || conf->client_cert > CO_TLS_CLIENT_REQUIRED) {
        co__tls_say(why, "client_cert: none, optional or required");
        return -EINVAL;
    }
    if (conf->client_cert != CO_TLS_CLIENT_NONE && !conf->client_ca) {
        co__tls_say(why, "client_cert: it has to be known who may issue them (client_ca)");
        return -EINVAL;
    }
    if (conf->handshake_timeout < 0) {
        co__tls_say(why, "handshake_timeout: not negative");
        return -EINVAL;
    }
    return 0;
}

/* tickets: those of the configuration before it, which the caller holds; NULL: new ones. */
static int make_config(const struct co_tls_server_conf *conf, struct co__tls_tickets *tickets,
                       struct co__tls_config **ret_config, struct co_tls_why *why)
{
    struct making m = {conf, why, NULL};
    int r = check(conf, why);

    if (r < 0)
        return r;
    m.config = co__tls_config_new(conf->cert_count);
    if (!m.config)
        return -ENOMEM;
    m.config->timeout = conf->handshake_timeout ? conf->handshake_timeout : TIMEOUT;
    m.config->tickets = tickets ? co__tls_tickets_hold(tickets) : co__tls_tickets_new();
    r = m.config->tickets ? co__tls_off(make, &m) : -ENOMEM;
    if (r < 0) {
        co__tls_config_drop(m.config);
        return r;
    }
    *ret_config = m.config;
    return 0;
}

/* ---- what programs call ---- */

int co_tls_server_new(const struct co_tls_server_conf *conf, struct co_tls_server **ret_server,
                      struct co_tls_why *ret_why)
{
    struct co_tls_server *server = calloc(1, sizeof *server);
    int r;

    if (!server)
        return -ENOMEM;
    r = make_config(conf, NULL, &server->config, ret_why);
    if (r < 0) {
        co_tls_server_free(server);
        return r;
    }
    server->asks = conf->client_cert != CO_TLS_CLIENT_NONE;
    *ret_server = server;
    return 0;
}

/* Returns: what a reload hands on, held for the caller; NULL: nothing. */
static struct co__tls_tickets *hand_on(struct co_tls_server *server, bool asks)
{
    struct co__tls_tickets *tickets = NULL;

    co_latch_take(&server->latch);
    if (!asks && !server->asks)
        tickets = co__tls_tickets_hold(server->config->tickets);
    co_latch_give(&server->latch);
    return tickets;
}

int co_tls_server_reload(struct co_tls_server *server, const struct co_tls_server_conf *conf,
                         struct co_tls_why *ret_why)
{
    struct co__tls_config *config = NULL, *old;
    bool asks = conf->client_cert != CO_TLS_CLIENT_NONE;
    struct co__tls_tickets *tickets = hand_on(server, asks);
    int r = make_config(conf, tickets, &config, ret_why);

    co__tls_tickets_drop(tickets);
    if (r < 0)
        return r;
    co_latch_take(&server->latch);
    old = server->config;
    server->config = config;
    server->asks = asks;
    co_latch_give(&server->latch);
    co__tls_config_drop(old);
    return 0;
}

void co_tls_server_free(struct co_tls_server *server)
{
    if (!server)
        return;
    co__tls_config_drop(server->config);
    free(server);
}

struct co__tls_config *co__tls_server_config(struct co_tls_server *server)
{
    struct co__tls_config *config;

    co_latch_take(&server->latch);
    config = co__tls_config_hold(server->config);
    co_latch_give(&server->latch);
    return config;
}
