/* SPDX-License-Identifier: MIT */
/* info.c - what one may ask of a stream on TLS. */
#include "tls.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* Returns: NULL if the stream is not TLS. */
static const struct co__tls *of(const struct co_stream *stream)
{
    return stream->transport == &co__tls_transport ? stream->conn : NULL;
}

int co_tls_describe(const struct co_stream *stream, struct co_tls_info *ret_info)
{
    const struct co__tls *tls = of(stream);

    if (!tls)
        return -EINVAL;
    *ret_info = tls->info;
    return 0;
}

/* *ret_cert stays the connection's. */
static int peer_cert(const struct co_stream *stream, X509 **ret_cert)
{
    const struct co__tls *tls = of(stream);

    if (!tls)
        return -EINVAL;
    *ret_cert = SSL_get0_peer_certificate(tls->ssl);
    return *ret_cert ? 0 : -ENODATA;
}

ssize_t co_tls_peer_subject(const struct co_stream *stream, char *buf, size_t cap)
{
    X509 *cert;
    char *text = NULL;
    ssize_t len = peer_cert(stream, &cert);
    size_t shown;
    BIO *bio;

    if (len < 0)
        return len;
    bio = BIO_new(BIO_s_mem());
    if (!bio || X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) < 0) {
        BIO_free(bio);
        ERR_clear_error();
        return -ENOMEM;
    }
    len = BIO_get_mem_data(bio, &text);
    if (cap > 0) {
        shown = (size_t)len < cap - 1 ? (size_t)len : cap - 1;
        memcpy(buf, text, shown);
        buf[shown] = '\0';
    }
    BIO_free(bio);
    return len;
}

ssize_t co_tls_peer_der(const struct co_stream *stream, void *buf, size_t cap)
{
    X509 *cert;
    unsigned char *at = buf;
    int r = peer_cert(stream, &cert);
    int len;

    if (r < 0)
        return r;
    len = i2d_X509(cert, NULL);
    if (len < 0)
        return -ENOMEM;
    if ((size_t)len <= cap)
        (void)i2d_X509(cert, &at);
    return len;
}

const char *co_tls_failure(const struct co_stream *stream)
{
    const struct co__tls *tls = of(stream);

    return tls && tls->why ? tls->why : "";
}
