/* SPDX-License-Identifier: MIT */
/* client.c - contexts of clients: whom they trust, and the sessions that they may go on with. */
#include "tls.h"

#include <openssl/err.h>
#include <stdlib.h>

#define TIMEOUT (10 * CO_SEC)

/* A client in the making; files are read on the offload pool. */
struct making {
    const struct co_tls_client_conf *conf;
    struct co_tls_why *why;
    struct co__tls_config *config;
};

/* A session that may be gone on with has come. Returns: 1: it is kept here. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    const struct co__tls *tls = SSL_get_app_data(ssl);

    if (!tls->host || !SSL_SESSION_is_resumable(session))
        return 0;
    co__tls_sessions_put(&tls->client->sessions, tls->host, session);
    return 1;
}

void co__tls_client_note(struct co__tls *tls)
{
    SSL_SESSION *session = SSL_get1_session(tls->ssl);

    /* With TLS 1.2 OpenSSL does not hand in a session that goes on, though its ticket is new. */
    if (tls->offered && tls->info.version == CO_TLS_1_2 && tls->info.resumed &&
        session != tls->offered && on_session(tls->ssl, session) == 1)
        session = NULL;
    SSL_SESSION_free(session);
    SSL_SESSION_free(tls->offered);
    tls->offered = NULL;
}

static int trust(SSL_CTX *ctx, const struct co_tls_client_conf *conf, struct co_tls_why *why)
{
    if (conf->trust_anybody)
        return 0;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, co__tls_on_verify);
    if (!conf->ca_file)
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : -ENOMEM;
    if (SSL_CTX_load_verify_locations(ctx, conf->ca_file, NULL) != 1)
        return co__tls_say_file(why, "authorities", conf->ca_file);
    return 0;
}

static int make(void *job)
{
    struct making *m = job;
    const struct co_tls_client_conf *conf = m->conf;
    struct co__tls_entry *entry = &m->config->entries[0];
    int r = co__tls_config_alpn(m->config, conf->alpn, m->why);

    if (r == 0)
        r = co__tls_ctx_new(TLS_client_method(), conf->min_version, conf->max_version, &entry->ctx,
                            m->why);
    if (r == 0)
        r = trust(entry->ctx, conf, m->why);
    if (r == 0 && conf->cert)
        r = co__tls_ctx_load(entry->ctx, conf->cert, m->why);
    if (r < 0)
        return r;
    (void)SSL_CTX_set_session_cache_mode(entry->ctx,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(entry->ctx, on_session);
    if (m->config->alpn &&
        SSL_CTX_set_alpn_protos(entry->ctx, m->config->alpn, (unsigned)m->config->alpn_len) != 0)
        return -ENOMEM;
    return 0;
}

int co_tls_client_new(const struct co_tls_client_conf *conf, struct co_tls_client **ret_client,
                      struct co_tls_why *ret_why)
{
    struct co_tls_client *client = calloc(1, sizeof *client);
    struct making m = {conf, ret_why, co__tls_config_new(1)};
    int r = -ENOMEM;

    if (client && m.config) {
        r = conf->handshake_timeout < 0 ? -EINVAL : co__tls_off(make, &m);
        if (conf->handshake_timeout < 0)
            co__tls_say(ret_why, "handshake_timeout: not negative");
    }
    if (r < 0) {
        co__tls_config_drop(m.config);
        free(client);
        return r;
    }
    m.config->timeout = conf->handshake_timeout ? conf->handshake_timeout : TIMEOUT;
    client->config = m.config;
    client->refs = 1;
    client->verifies = !conf->trust_anybody;
    *ret_client = client;
    return 0;
}

void co__tls_client_drop(struct co_tls_client *client)
{
    /* acq_rel: the last one frees after all that others have done with it. */
    if (!client || __atomic_sub_fetch(&client->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    co__tls_sessions_done(&client->sessions);
    co__tls_config_drop(client->config);
    free(client);
}

void co_tls_client_free(struct co_tls_client *client)
{
    co__tls_client_drop(client);
}
