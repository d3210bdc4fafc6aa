/* SPDX-License-Identifier: MIT */
/* A turn's socket and buffers: every wait and every system call of a turn is made here. */
#include "engine.h"
#include <co/private/net.h>
#include <co/private/scope.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LINGER CO_SEC
/* What a cancel leaves has this long, half of the least that a runtime waits after it. */
#define LAST_WORDS (CO_SEC / 2)

struct co_scope co__turn_scope(int64_t ns)
{
    return ns < CO_SEC ? co_deadline_open(ns) : co__deadline_open_coarse(ns);
}

ssize_t co__turn_recv(struct co__turn *t, void *buf, size_t cap, int64_t ns)
{
    struct co_scope scope;
    ssize_t n;

    if (co__turn_flush(t) < 0)
        return t->dead;
    n = co__recv_now(t->fd, buf, cap);
    if (n == -EAGAIN) {
        scope = co__turn_scope(ns);
        n = co_recv(t->fd, buf, cap);
        co_scope_close(&scope);
    }
    if (n == 0)
        t->eof = true;
    if (n < 0 && n != -ETIMEDOUT && n != -ECANCELED) /* who is cancelled may still answer */
        t->dead = (int)n;
    return n;
}

/* Gets a larger input buffer. What an active request has in the old one stays there. */
static int in_grow(struct co__turn *t)
{
    size_t cap = t->server->limits.head, used = t->in_end - t->in_pos;
    char *p = malloc(cap + 1);

    if (p == NULL)
        return -ENOMEM;
    memcpy(p, t->in + t->in_pos, used);
    if (t->active && t->req.old_in == NULL)
        t->req.old_in = t->in_heap;
    else
        free(t->in_heap);
    t->in = t->in_heap = p;
    t->in_cap = cap;
    t->in_pos = t->in_floor = 0;
    t->in_end = used;
    return 0;
}

ssize_t co__turn_fill(struct co__turn *t, int64_t ns)
{
    ssize_t n;

    if (t->in_pos == t->in_end) {
        t->in_pos = t->in_end = t->in_floor;
    } else if (!t->active && t->in_pos > 0 && t->in_end > t->in_cap / 2) {
        memmove(t->in, t->in + t->in_pos, t->in_end - t->in_pos);
        t->in_end -= t->in_pos;
        t->in_pos = 0;
    }
    if (t->in_cap - t->in_end < (t->active ? t->in_cap / 8 : 1)) {
        int r = in_grow(t);

        if (r < 0)
            return r;
    }
    n = co__turn_recv(t, t->in + t->in_end, t->in_cap - t->in_end, ns);
    if (n > 0)
        t->in_end += (size_t)n;
    return n;
}

static int sent(struct co__turn *t, ssize_t n)
{
    if (n >= 0)
        return 0;
    if (n == -ETIMEDOUT)
        t->counts[CO__TIMEOUTS]++;
    t->dead = (int)n;
    return t->dead;
}

/* Opens a block that a cancel does not end. All of a turn's together may take LAST_WORDS. */
static struct co_scope last_words(struct co__turn *t)
{
    int64_t now = co_now();

    if (t->last_at == 0)
        t->last_at = now + LAST_WORDS;
    return co_grace_open(t->last_at - now);
}

static ssize_t put(const struct co__turn *t, const struct iovec *iov, int count)
{
    return count == 1 ? co_send(t->fd, iov->iov_base, iov->iov_len) : co_sendv(t->fd, iov, count);
}

/* One send, which has to be through within write_timeout. Returns: 0; a negative errno, kept in
 * t->dead. */
static int send_pieces(struct co__turn *t, const struct iovec *iov, int count)
{
    struct co_scope scope = co__turn_scope(t->server->conf.write_timeout);
    ssize_t n = put(t, iov, count);

    co_scope_close(&scope);
    if (n == -ECANCELED) {
        /* Answers that are ready go out all the same. Where a part of these had gone already, this
         * says -EPIPE; where it is the descriptor that was hung up, -ECANCELED again. */
        scope = last_words(t);
        n = put(t, iov, count);
        co_scope_close(&scope);
    }
    return sent(t, n);
}

/* The same for one piece, which nearly always goes at once. */
static int send_piece(struct co__turn *t, char *data, size_t len)
{
    ssize_t n = co__send_now(t->fd, data, len);
    struct iovec rest;

    if (n == -EAGAIN || n == -ECANCELED)
        n = 0;
    if (n < 0 || (size_t)n == len)
        return sent(t, n);
    rest = (struct iovec){data + n, len - (size_t)n};
    return send_pieces(t, &rest, 1);
}

int co__turn_flush(struct co__turn *t)
{
    size_t len = t->out_len;

    if (t->dead < 0)
        return t->dead;
    if (len == 0)
        return 0;
    t->out_len = 0;
    return send_piece(t, t->out, len);
}

char *co__turn_reserve(struct co__turn *t, size_t n)
{
    size_t cap = t->out_len + n > CO__OUT_HEAP ? t->out_len + n : CO__OUT_HEAP;
    char *p;

    if (t->dead < 0)
        return NULL;
    if (n <= t->out_cap - t->out_len)
        return t->out + t->out_len;
    if (t->out_heap != NULL) {
        if (co__turn_flush(t) < 0)
            return NULL;
        if (n <= t->out_cap)
            return t->out;
        cap = n;
    }
    p = malloc(cap);
    if (p == NULL) /* without a larger buffer what waits is sent now */
        return n <= t->out_cap && co__turn_flush(t) == 0 ? t->out : NULL;
    memcpy(p, t->out, t->out_len);
    free(t->out_heap);
    t->out = t->out_heap = p;
    t->out_cap = cap;
    return p + t->out_len;
}

int co__turn_send(struct co__turn *t, const char *data, size_t len)
{
    size_t n = len < CO__SEND_MAX ? len : CO__SEND_MAX;
    /* co_sendv only reads; iovec has no const. */
    struct iovec iov[2] = {{t->out, t->out_len}, {(void *)(uintptr_t)data, n}};

    if (t->dead < 0)
        return t->dead;
    t->out_len = 0;
    if (send_pieces(t, iov, 2) < 0)
        return t->dead;
    for (size_t sent = n; sent < len; sent += n) {
        n = len - sent < CO__SEND_MAX ? len - sent : CO__SEND_MAX;
        iov[0] = (struct iovec){(void *)(uintptr_t)(data + sent), n};
        if (send_pieces(t, iov, 1) < 0)
            return t->dead;
    }
    return 0;
}

/*
 * Closing while input is unread makes the kernel send a reset, which may overtake the answer. As
 * much is read as an unread body may be long.
 */
void co__turn_linger(struct co__turn *t)
{
    struct co_scope scope;
    size_t total = 0;
    ssize_t n;

    if (co__turn_flush(t) < 0 || t->eof)
        return;
    scope = t->last_at != 0 ? last_words(t) : co_deadline_open(LINGER);
    n = co_shutdown(t->fd, SHUT_WR) < 0 ? 0 : 1;
    while (n > 0 && total < CO__DRAIN_MAX) {
        n = co_recv(t->fd, t->in, t->in_cap);
        total += n > 0 ? (size_t)n : 0;
    }
    co_scope_close(&scope);
}
