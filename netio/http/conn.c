/* SPDX-License-Identifier: MIT */
/*
 * A connection's life: idle -> turn -> idle -> turn ... -> closed.
 *
 * A turn begins when bytes have come. It reads once, answers every complete request of what it
 * read, sends all answers at once, and ends; co_go_when starts the next one. Only what is
 * incomplete (a head, a body, an answer that does not leave) keeps a turn waiting, and its stack
 * and buffers with it.
 *
 * Answers wait in the output buffer only while something to answer is at hand: they are sent before
 * the turn reads again, when they are many, and before a handler that may wait. Nobody says which
 * those are: a route's handler counts as one until it was quick QUICK_TIMES in a row, and again
 * once it was not. So an answer is held up by the wait of another request's handler only if that is
 * the first one after many calls without.
 *
 * Stopping: idle connections get a turn with -ECANCELED, look once whether a request has come, and
 * close. A request of which an octet has been read is read to its end and answered, the last one
 * with "Connection: close". A turn that is cancelled when the grace time is over still sends what
 * is ready.
 */
#include "engine.h"
#include <co/net.h>
#include <co/private/net.h>
#include <co/scope.h>
#include <co/stats.h>
#include <co/task.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Empty lines in front of a request that are overlooked. */
#define BLANKS_MAX 8
/* A handler that took less was quick; one that was so often, in a row, has answers wait for it. */
#define QUICK       (200 * CO_US)
#define QUICK_TIMES 64
/* How long a stopping connection looks for a request. */
#define LAST_LOOK CO_MS

enum outcome {
    COMPLETE, /* a head is there */
    IDLE,     /* nothing has been read that is not answered */
    OVER,     /* the connection is to be closed */
};

/* Answers what has been read of a request; nothing that follows can be. */
static enum outcome give_up(struct co__turn *t, int status)
{
    t->close = t->linger = true;
    co__answer_status(t, status, NULL);
    return OVER;
}

/* The same for what the client got wrong. */
static enum outcome refuse(struct co__turn *t, int status)
{
    t->counts[CO__BAD_REQUESTS]++;
    return give_up(t, status);
}

/* Looks at what has been read. Returns: the length of a complete head; 0; minus a status. */
static int head_look(struct co__turn *t)
{
    struct co__head *h = &t->req.head;

    while (t->in_pos < t->in_end) {
        int n = co__head_scan(h, t->in + t->in_pos, t->in_end - t->in_pos, &t->server->limits);

        if (n <= 0 || h->lines > 0)
            return n;
        if (++t->conn->blanks > BLANKS_MAX)
            return -400;
        t->in_pos += (size_t)n;
        co__head_reset(h);
    }
    return 0;
}

/* Gets the next head, reading once if `ns` allows it though nothing is there. */
static enum outcome head_next(struct co__turn *t, int64_t ns)
{
    int64_t deadline = 0;
    bool may_read = ns > 0;

    co__head_reset(&t->req.head);
    for (;;) {
        ssize_t n = head_look(t);

        if (n > 0) {
            int r = co__head_parse(&t->req.head, (size_t)n);

            if (r == 0 && (t->req.head.flags & CO__HEAD_DECODE))
                r = co__path_split(&t->req.head);
            if (r < 0)
                return refuse(t, -r);
            t->in_pos += (size_t)n;
            return COMPLETE;
        }
        if (n < 0)
            return refuse(t, -(int)n);
        if (t->in_pos == t->in_end) {
            if (!may_read)
                return IDLE;
            may_read = false;
        } else if (deadline == 0) {
            ns = t->server->conf.head_timeout;
            deadline = co_now() + ns;
        } else {
            ns = deadline - co_now();
        }
        n = co__turn_fill(t, ns);
        if (n == -ETIMEDOUT && t->in_pos < t->in_end)
            return refuse(t, 408);
        if (n == -ENOMEM && t->dead == 0)
            return give_up(t, 503);
        if (n <= 0)
            return OVER;
    }
}

/* The status for a handler's negative result. */
static int status_of(int err)
{
    switch (err) {
    case -ETIMEDOUT:
        return 504;
    case -EAGAIN:
    case -ECANCELED:
        return 503;
    default:
        return 500;
    }
}

/* Notes how long a route's handler took. */
static void route_judge(struct co__route *route, int64_t ns)
{
    /* relaxed, both: a hint that only decides when to send; who misses another's note is late. */
    int times = atomic_load_explicit(&route->quick, memory_order_relaxed);
    int next = ns > QUICK ? 0 : times < QUICK_TIMES ? times + 1 : times;

    if (next != times)
        atomic_store_explicit(&route->quick, next, memory_order_relaxed /* as above */);
}

/* Runs the handler, and sees to it that there is an answer. */
static void handler_run(struct co__turn *t, struct co__route *route)
{
    bool waits = t->out_len > 0; /* an earlier answer */
    int64_t begin = 0;
    int r, broken;

    /* relaxed: as in route_judge. */
    if (waits && atomic_load_explicit(&route->quick, memory_order_relaxed) < QUICK_TIMES &&
        co__turn_flush(t) < 0)
        return;
    if (waits)
        begin = co_now();
    t->req.route = route;
    r = route->pub->fn(&t->req, &t->rsp, t->server->ctx);
    if (waits)
        route_judge(route, co_now() - begin);
    if (t->rsp.sent) {
        if (r < 0)
            t->close = t->linger = true;
        return;
    }
    broken = co__body_settle(&t->req);
    if (broken < 0)
        co__answer_status(t, co__body_status(broken), NULL);
    else
        co__answer_status(t, r < 0 ? status_of(r) : 500, NULL);
}

/* Answers without a handler: 404, 405, OPTIONS. */
static void no_route(struct co__turn *t, uint64_t methods)
{
    const struct co__routes *routes = &t->server->routes;
    const struct co__head *h = &t->req.head;
    char allow[512] = "Allow: ";
    int r = co__body_settle(&t->req);

    if (r < 0) {
        co__answer_status(t, co__body_status(r), NULL);
    } else if (methods == 0) {
        co__answer_status(t, 404, NULL);
    } else {
        co__methods_print(routes, methods, allow + 7, sizeof allow - 10);
        memcpy(allow + strlen(allow), "\r\n", 3);
        co__answer_status(t, h->method == routes->options ? 204 : 405, allow);
    }
}

static void request_begin(struct co__turn *t)
{
    struct co_http_req *req = &t->req;

    t->active = true;
    t->in_floor = t->in_pos;
    t->conn->blanks = 0;
    t->counts[CO__REQUESTS]++;
    req->turn = t;
    req->route = NULL;
    req->old_in = NULL;
    req->arena.pieces = NULL;
    req->arena.used = 0;
    t->rsp = (struct co_http_rsp){.turn = t};
    co__body_begin(req, t->server->conf.max_body);
}

static void request_end(struct co__turn *t)
{
    struct co_http_req *req = &t->req;

    if (!req->body.done)
        t->close = t->linger = true; /* its rest must not be taken for a request */
    co__arena_done(&req->arena);
    free(req->body.heap);
    free(req->old_in);
    t->in_floor = 0;
    t->active = false;
}

/* The route for a request; without one, the methods that there are for its target. */
static struct co__route *route_of(const struct co__routes *routes, struct co__head *h,
                                  uint64_t *ret_methods)
{
    struct co__route *route;

    if (h->flags & CO__HEAD_STAR) {
        *ret_methods = routes->methods;
        return NULL;
    }
    if (!(h->flags & CO__HEAD_DECODE)) {
        route = co__routes_exact(routes, h);
        if (route != NULL)
            return route;
        (void)co__path_split(h); /* fails only where there is something to decode */
    }
    return co__routes_find(routes, h, ret_methods);
}

static void request_answer(struct co__turn *t)
{
    const struct co__routes *routes = &t->server->routes;
    uint64_t methods = 0;
    struct co__route *route;

    request_begin(t);
    route = route_of(routes, &t->req.head, &methods);
    if (route == NULL) {
        no_route(t, methods);
    } else {
        if (route->pub->max_body > 0)
            t->req.body.limit = route->pub->max_body;
        if (t->req.body.left > t->req.body.limit) {
            t->close = t->linger = true;
            co__answer_status(t, 413, NULL);
        } else {
            handler_run(t, route);
        }
    }
    request_end(t);
}

static void counts_add(const struct co__turn *t)
{
    for (int i = 0; i < CO__COUNTS; i++) {
        if (t->counts[i] > 0)
            co_stat_add(t->server->stats[i], t->counts[i]);
    }
}

static void turn_begin(struct co__turn *t, struct co__http_conn *conn)
{
    /* The buffers and the request behind these are written before they are read. */
    memset(t, 0, offsetof(struct co__turn, req));
    t->conn = conn;
    t->server = conn->server;
    t->fd = conn->fd;
    t->in = t->in_stack;
    t->in_cap = CO__IN_STACK;
    t->out = t->out_stack;
    t->out_cap = CO__OUT_STACK;
}

/* Ends the turn and the connection with it. */
static void turn_close(struct co__turn *t)
{
    struct co__http_conn *conn = t->conn;

    /* A request behind the last one that was answered would turn the end into a reset too. */
    if (t->linger || (t->close && t->dead == 0))
        co__turn_linger(t);
    counts_add(t);
    free(t->in_heap);
    free(t->out_heap);
    co__conn_end(conn);
}

/*
 * Lets the connection go idle. Returns whether it did. Where no coroutine can be had, the turn has
 * waited itself, and *ret_why is what the next one would be told.
 */
static bool turn_rest(struct co__turn *t, int *ret_why)
{
    struct co__http_conn *conn = t->conn;
    struct co_scope scope;
    int r;

    counts_add(t);
    memset(t->counts, 0, sizeof t->counts);
    scope = co__turn_scope(co__idle_ns(t->server));
    r = co_go_when(t->fd, co__http_turn, conn);
    if (r < 0)
        *ret_why = co__wait_when(t->fd);
    co_scope_close(&scope);
    if (r < 0)
        return false;
    /* The connection may have its next turn already: it is not ours any more. */
    free(t->in_heap);
    free(t->out_heap);
    return true;
}

/* Answers what comes, reading once within ns. Returns whether the connection may go idle. */
static bool turn_serve(struct co__turn *t, int64_t ns)
{
    for (;;) {
        enum outcome next = head_next(t, ns);

        ns = 0;
        if (next == COMPLETE) {
            request_answer(t);
            if (!t->close && t->dead == 0)
                continue;
        }
        return next == IDLE && co__turn_flush(t) == 0;
    }
}

void co__http_turn(void *arg, int why)
{
    struct co__turn t;

    turn_begin(&t, arg);
    for (;;) {
        if (why == -ETIMEDOUT)
            t.counts[CO__TIMEOUTS]++;
        /* Readiness is a hint, so the first read may have to wait after all. */
        if (why == -ETIMEDOUT ||
            !turn_serve(&t, why < 0 ? LAST_LOOK : t.server->conf.head_timeout)) {
            turn_close(&t);
            return;
        }
        if (turn_rest(&t, &why))
            return;
    }
}
