/* SPDX-License-Identifier: MIT */
/* config.c - what the contexts of servers and clients have in common, and how they are counted. */
#include "tls.h"

#include <co/offload.h>
#include <co/task.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum { ALPN_NAME_MOST = 31, ALPN_MOST = 255 };

/* ---- counting ---- */

struct co__tls_config *co__tls_config_new(int count)
{
    struct co__tls_config *config;

    config = calloc(1, sizeof *config + (size_t)count * sizeof config->entries[0]);
    if (config) {
        config->refs = 1;
        config->count = count;
    }
    return config;
}

struct co__tls_config *co__tls_config_hold(struct co__tls_config *config)
{
    /* relaxed: who holds it already keeps it alive meanwhile. */
    __atomic_fetch_add(&config->refs, 1, __ATOMIC_RELAXED);
    return config;
}

void co__tls_config_drop(struct co__tls_config *config)
{
    /* acq_rel: the last one frees after all that others have done with it. */
    if (!config || __atomic_sub_fetch(&config->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (int i = 0; i < config->count; i++) {
        SSL_CTX_free(config->entries[i].ctx);
        X509_free(config->entries[i].leaf);
    }
    co__tls_tickets_drop(config->tickets);
    free(config->alpn);
    free(config);
}

/* ---- making ---- */

int co__tls_config_alpn(struct co__tls_config *config, const char *list, struct co_tls_why *why)
{
    size_t len = list ? strlen(list) : 0;

    if (len == 0)
        return 0;
    if (len > ALPN_MOST) {
        co__tls_say(why, "alpn: more than %d bytes", ALPN_MOST);
        return -EINVAL;
    }
    config->alpn = malloc(len + 1);
    if (!config->alpn)
        return -ENOMEM;
    for (const char *name = list;; name++) {
        size_t n = strcspn(name, ",");

        if (n == 0 || n > ALPN_NAME_MOST) {
            co__tls_say(why, "alpn \"%s\": each name has 1 to %d bytes", list, ALPN_NAME_MOST);
            return -EINVAL;
        }
        config->alpn[config->alpn_len] = (unsigned char)n;
        memcpy(config->alpn + config->alpn_len + 1, name, n);
        config->alpn_len += n + 1;
        name += n;
        if (*name == '\0')
            return 0;
    }
}

/* A key that is encrypted is an error, not a question at somebody's terminal. */
static int no_passphrase(char *buf, int cap, int writing, void *arg)
{
    (void)buf;
    (void)cap;
    (void)writing;
    (void)arg;
    return -1;
}

/* As OpenSSL has them, but the cheapest first: nobody is known to break 128 bits either. */
static const char SUITES_1_3[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

static bool is_version(int version)
{
    return version == CO_TLS_1_2 || version == CO_TLS_1_3;
}

static bool set_up(SSL_CTX *ctx, int min_version, int max_version)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* a system call for all that has come, not two a record */
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    return SSL_CTX_set_min_proto_version(ctx, min_version) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, max_version) == 1 &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
           SSL_CTX_set_ciphersuites(ctx, SUITES_1_3) == 1;
}

int co__tls_ctx_new(const SSL_METHOD *method, int min_version, int max_version, SSL_CTX **ret_ctx,
                    struct co_tls_why *why)
{
    int least = min_version ? min_version : CO_TLS_1_2;
    int most = max_version ? max_version : CO_TLS_1_3;
    SSL_CTX *ctx;

    if (!is_version(least) || !is_version(most) || least > most) {
        co__tls_say(why, "versions: from TLS 1.2 to TLS 1.3");
        return -EINVAL;
    }
    ctx = SSL_CTX_new(method);
    if (!ctx || !set_up(ctx, least, most)) {
        SSL_CTX_free(ctx);
        ERR_clear_error();
        return -ENOMEM;
    }
    *ret_ctx = ctx;
    return 0;
}

int co__tls_ctx_load(SSL_CTX *ctx, const struct co_tls_cert *cert, struct co_tls_why *why)
{
    const char *key = cert->key ? cert->key : cert->chain;

    ERR_clear_error();
    if (!cert->chain) {
        co__tls_say(why, "a certificate has no file");
        return -EINVAL;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, cert->chain) != 1)
        return co__tls_say_file(why, "certificate", cert->chain);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return co__tls_say_file(why, "private key", key);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return co__tls_say_file(why, "private key", key);
    return 0;
}

int co__tls_off(int (*fn)(void *job), void *job)
{
    int result = 0;
    int r = co_self() ? co_offload(fn, job, &result) : fn(job);

    return r < 0 ? r : result;
}
