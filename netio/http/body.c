/* SPDX-License-Identifier: MIT */
/* The body of a request: read on demand, by its length or by its chunks, under the limits. */
#include "engine.h"
#include <co/base.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A body that has kept us waiting this long must have come at this many octets a second. */
#define RATE_GRACE (5 * CO_SEC)
#define RATE_MIN   256
#define COLLECT    8192 /* a body is collected in this much memory at first */

static const char continue_line[] = "HTTP/1.1 100 Continue\r\n\r\n";

void co__body_begin(struct co_http_req *req, int64_t limit)
{
    const struct co__head *h = &req->head;
    struct co__body *b = &req->body;

    memset(b, 0, sizeof *b);
    b->limit = limit;
    if (h->flags & CO__HEAD_CHUNKED) {
        b->kind = CO__BODY_CHUNKED;
        co__chunk_reset(&b->chunk);
    } else if (h->content_length > 0) {
        b->kind = CO__BODY_LENGTH;
        b->left = h->content_length;
    } else {
        b->done = true;
        return;
    }
    b->promised = (h->flags & CO__HEAD_EXPECT) != 0;
}

int co__body_status(int err)
{
    switch (err) {
    case -EMSGSIZE:
        return 413;
    case -ETIMEDOUT:
        return 408;
    case -ENOMEM:
    case -ECANCELED:
        return 503;
    default:
        return 400;
    }
}

/* Whether the content comes too slowly. What frames it does not count, or a client could trickle
 * the extensions of a chunk, or trailers, for days. */
static bool too_slow(const struct co__body *b)
{
    return b->waited > RATE_GRACE && b->total < b->waited / CO_SEC * RATE_MIN;
}

/*
 * Reads from the socket, into buf or, without one, behind what the turn has. Whoever waits for 100
 * Continue is told to go on, unless something has come already. All that has come before has been
 * used, so this is the place to look at the rate.
 */
static ssize_t wait_more(struct co_http_req *req, char *buf, size_t cap)
{
    struct co__turn *t = req->turn;
    struct co__body *b = &req->body;
    int64_t begin, ns = t->server->conf.body_timeout;
    ssize_t n;

    if (too_slow(b))
        return -ETIMEDOUT;
    if (b->promised) {
        char *p = co__turn_reserve(t, sizeof continue_line - 1);

        if (p == NULL)
            return t->dead < 0 ? t->dead : -ENOMEM;
        memcpy(p, continue_line, sizeof continue_line - 1);
        t->out_len += sizeof continue_line - 1;
        b->promised = false;
    }
    begin = co_now();
    n = buf != NULL ? co__turn_recv(t, buf, cap, ns) : co__turn_fill(t, ns);
    b->waited += co_now() - begin;
    return n != 0 ? n : -ECONNRESET;
}

/* Notes n octets of content. Returns: 0; -EMSGSIZE. */
static int account(struct co__body *b, size_t n)
{
    b->total += (int64_t)n;
    return b->total > b->limit ? -EMSGSIZE : 0;
}

static ssize_t read_length(struct co_http_req *req, char *buf, size_t cap)
{
    struct co__turn *t = req->turn;
    struct co__body *b = &req->body;
    size_t have = t->in_end - t->in_pos;
    ssize_t n;

    if (cap > (uint64_t)b->left)
        cap = (size_t)b->left;
    if (have > 0) {
        n = (ssize_t)(have < cap ? have : cap);
        memcpy(buf, t->in + t->in_pos, (size_t)n);
        t->in_pos += (size_t)n;
        b->promised = false;
    } else {
        n = wait_more(req, buf, cap);
        if (n < 0)
            return n;
    }
    b->left -= n;
    b->done = b->left == 0;
    return n;
}

static ssize_t read_chunked(struct co_http_req *req, char *buf, size_t cap)
{
    struct co__turn *t = req->turn;
    struct co__body *b = &req->body;

    for (;;) {
        const char *data;
        size_t len;
        ssize_t n;

        if (t->in_pos == t->in_end) {
            n = wait_more(req, NULL, 0);
            if (n < 0)
                return n;
        }
        b->promised = false;
        n = co__chunk_feed(&b->chunk, t->in + t->in_pos, t->in_end - t->in_pos, cap, &data, &len);
        if (n < 0)
            return n;
        t->in_pos += (size_t)n;
        b->done = co__chunk_done(&b->chunk);
        memcpy(buf, data, len);
        if (len > 0 || b->done)
            return (ssize_t)len;
    }
}

ssize_t co__body_read(struct co_http_req *req, char *buf, size_t cap)
{
    struct co__body *b = &req->body;
    ssize_t n;
    int r;

    if (b->error < 0)
        return b->error;
    if (b->done || cap == 0)
        return 0;
    if (b->kind == CO__BODY_LENGTH && b->left > b->limit - b->total)
        n = -EMSGSIZE;
    else
        n = b->kind == CO__BODY_LENGTH ? read_length(req, buf, cap) : read_chunked(req, buf, cap);
    r = n < 0 ? (int)n : account(b, (size_t)n);
    b->error = r;
    return r < 0 ? r : n;
}

int co__body_settle(struct co_http_req *req)
{
    struct co__turn *t = req->turn;
    struct co__body *b = &req->body;
    size_t total = 0;
    char scratch[2048];

    if (b->error < 0) {
        t->close = t->linger = true;
        return b->error;
    }
    if (t->in_pos < t->in_end)
        b->promised = false;
    b->limit = INT64_MAX;
    while (!b->done) {
        ssize_t n;

        /* Whether a client that was not told to continue sends its body is anybody's guess. */
        if (b->promised || total >= CO__DRAIN_MAX || b->left > (int64_t)(CO__DRAIN_MAX - total)) {
            t->close = t->linger = true;
            return 0;
        }
        n = co__body_read(req, scratch, sizeof scratch);
        if (n < 0) {
            t->close = t->linger = true;
            return (int)n;
        }
        total += (size_t)n;
    }
    return 0;
}

/* Takes a body that is in the input buffer whole from there. Returns whether it did. */
static bool take_in_place(struct co_http_req *req)
{
    struct co__turn *t = req->turn;
    struct co__body *b = &req->body;
    size_t len = (size_t)b->left;

    if (b->kind != CO__BODY_LENGTH || b->left > (int64_t)(t->in_end - t->in_pos) ||
        b->left > b->limit)
        return false;
    if (t->in_pos + len < t->in_end)
        return false; /* the NUL behind it would hit the next request */
    b->data = t->in + t->in_pos;
    b->len = len;
    b->total = b->left;
    b->left = 0;
    b->promised = false;
    b->done = true;
    t->in_pos += len;
    t->in[t->in_pos] = '\0';
    /* Reading goes on behind it. */
    t->in_floor = t->in_pos + 1 < t->in_cap ? t->in_pos + 1 : t->in_cap;
    t->in_pos = t->in_end = t->in_floor;
    return true;
}

/* Collects the body in memory that grows with what has come, not with what was announced. */
static int collect(struct co_http_req *req)
{
    struct co__body *b = &req->body;
    size_t cap = 0, len = 0;

    while (!b->done) {
        ssize_t n;

        if (cap - len < 2) {
            size_t more = cap == 0 ? COLLECT : cap * 2;
            char *p = realloc(b->heap, more);

            if (p == NULL)
                return -ENOMEM;
            b->heap = p;
            cap = more;
        }
        n = co__body_read(req, b->heap + len, cap - len - 1);
        if (n < 0)
            return (int)n;
        len += (size_t)n;
    }
    b->data = b->heap != NULL ? b->heap : "";
    if (b->heap != NULL)
        b->heap[len] = '\0';
    b->len = len;
    return 0;
}

int co_http_body(struct co_http_req *req, const char **ret_data, size_t *ret_len)
{
    struct co__body *b = &req->body;

    if (b->error < 0)
        return b->error;
    if (!b->whole) {
        int r;

        if (b->streamed)
            return -EINVAL;
        r = take_in_place(req) ? 0 : collect(req);
        if (r < 0) {
            b->error = r; /* part of the body may be lost */
            return r;
        }
        b->whole = true;
    }
    *ret_data = b->data;
    *ret_len = b->len;
    return 0;
}

ssize_t co_http_read(struct co_http_req *req, void *buf, size_t cap)
{
    if (req->body.whole)
        return -EINVAL;
    req->body.streamed = true;
    return co__body_read(req, buf, cap);
}
