/* SPDX-License-Identifier: MIT */
/*
 * bio.c - between OpenSSL and the socket: a BIO that never waits.
 *
 * Reading asks the socket once. Writing sends what goes at once, if nothing waits before it, and
 * keeps the rest in the connection's `out`; it fails only if the socket has, or if a peer makes us
 * answer and answer and does not read. Both run under the connection's lock, within a call of
 * OpenSSL.
 */
#include "tls.h"

#include <co/private/net.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_LEAST = 4096, OUT_MOST = 1 << 20 };

static BIO_METHOD *method;
static pthread_once_t method_made = PTHREAD_ONCE_INIT;

/* Puts bytes behind those that wait. Returns: 0; -ENOMEM, -ENOBUFS. */
static int keep(struct co__tls_out *out, const char *data, size_t len)
{
    size_t cap = out->cap ? out->cap : OUT_LEAST;
    char *mem;

    if (len > OUT_MOST - out->len)
        return -ENOBUFS;
    while (cap < out->len + len)
        cap *= 2;
    if (cap > out->cap) {
        mem = realloc(out->mem, cap);
        if (!mem)
            return -ENOMEM;
        out->mem = mem;
        out->cap = cap;
    }
    memcpy(out->mem + out->len, data, len);
    out->len += len;
    return 0;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    struct co__tls *tls = BIO_get_data(bio);
    ssize_t n = 0;
    int r = 0;

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (!tls->collecting && !tls->sending && tls->out.len == 0) {
        n = co__send_poll(tls->fd, data, (size_t)len);
        if (n == -EAGAIN || n == -EBUSY)
            n = 0;
    }
    if (n < 0)
        r = (int)n;
    else if (n < len)
        r = keep(&tls->out, data + n, (size_t)(len - n));
    if (r == 0)
        return len;
    tls->wire = r;
    tls->broken = true;
    return -1;
}

static int bio_read(BIO *bio, char *buf, int cap)
{
    struct co__tls *tls = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    if (cap <= 0)
        return 0;
    /* A peer that sends messages without an end, and no data, must not keep us in here. */
    n = tls->nothing > CO__TLS_NOTHING_MOST ? -EPROTO
                                            : co__recv_poll(tls->fd, buf, (size_t)cap, &tls->asked);
    /* Busy: the reader waits there, and the writer wants bytes. */
    if (n != -EAGAIN && n != -EBUSY) {
        tls->news++;
        tls->eof |= n == 0;
        tls->wire = n < 0 ? (int)n : tls->wire;
    }
    if (n < 0)
        BIO_set_retry_read(bio);
    return n < 0 ? -1 : (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long number, void *ptr)
{
    (void)bio;
    (void)number;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static void make_method(void)
{
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "corvid");

    if (!made)
        return;
    (void)BIO_meth_set_write(made, bio_write);
    (void)BIO_meth_set_read(made, bio_read);
    (void)BIO_meth_set_ctrl(made, bio_ctrl);
    method = made;
}

BIO *co__tls_bio(struct co__tls *tls)
{
    BIO *bio;

    (void)pthread_once(&method_made, make_method);
    bio = method ? BIO_new(method) : NULL;
    if (bio) {
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
    }
    return bio;
}

void co__tls_send_now(struct co__tls *tls)
{
    struct co__tls_out *out = &tls->out;

    while (out->len > 0 && !tls->sending && !tls->broken) {
        ssize_t n = co__send_poll(tls->fd, out->mem, out->len);

        if (n <= 0)
            return; /* the next call that writes says why */
        out->len -= (size_t)n;
        memmove(out->mem, out->mem + n, out->len);
    }
    if (out->len == 0 && out->mem) {
        free(out->mem);
        *out = (struct co__tls_out){0};
    }
}
