/* SPDX-License-Identifier: MIT */
/*
 * offload.c - blocking work on libuv's pool.
 *
 * The request is a block of its own. The coroutine parks; its commit, on the loop's thread, queues
 * the request:
 *   queued -> begun      by the pool thread, which claims the park: from here on nobody can take it
 *     back
 *   queued -> taken back by deadline or cancel, which claim the park first; the pool thread then
 *                        finds its claim lost and does not call fn
 *   begun  -> done       fn has returned; the pool thread finishes the park, through the injector
 * The block is freed by libuv's after-work callback, on the loop, in every case.
 */
#include <co/offload.h>

#include "outside.h"
#include "park.h"
#include "run.h"
#include "worker.h"
#include <stdlib.h>

struct request {
    uv_work_t work;
    co_ticket ticket; /* 0: detached */
    int (*fn)(void *arg);
    void (*detached_fn)(void *arg);
    void *arg;
    int *ret_result;
};

static void on_pool(uv_work_t *work)
{
    struct request *request = work->data;
    int result;

    if (!request->ticket) {
        request->detached_fn(request->arg);
        return;
    }
    if (!co_claim(request->ticket, 0))
        return;
    result = request->fn(request->arg);
    if (request->ret_result)
        *request->ret_result = result;
    co_finish(request->ticket);
}

static void after(uv_work_t *work, int status)
{
    struct request *request = work->data;

    (void)status;
    if (!request->ticket)
        co__worker()->live--; /* the count that co_offload_detached added */
    free(request);
}

static int queue(co_ticket ticket, void *arg)
{
    struct co__worker *w = co__worker();
    struct request *request = arg;
    int r;

    if (request->detached_fn) {
        w->live++; /* the runtime waits for it */
    } else {
        request->ticket = ticket;
    }
    r = uv_queue_work(&w->loop, &request->work, on_pool, after);
    if (r < 0) {
        if (request->detached_fn)
            w->live--;
        free(request);
        return r;
    }
    w->uv_touched = true;
    return request->detached_fn ? 1 : 0; /* 1: refuse to sleep, the hand-over is done */
}

static struct request *request_new(void *arg)
{
    struct request *request = calloc(1, sizeof *request);

    if (request) {
        request->work.data = request;
        request->arg = arg;
    }
    return request;
}

int co_offload(int (*fn)(void *arg), void *arg, int *ret_result)
{
    struct request *request;
    int r = co_check();

    if (r < 0)
        return r;
    request = request_new(arg);
    if (!request)
        return -ENOMEM;
    request->fn = fn;
    request->ret_result = ret_result;
    return co_park_for("offload", NULL, queue, request, 0);
}

int co_offload_detached(void (*fn)(void *arg), void *arg)
{
    struct request *request;
    int r;

    if (!co_self())
        return -EPERM;
    request = request_new(arg);
    if (!request)
        return -ENOMEM;
    request->detached_fn = fn;
    r = co_park_for("offload", NULL, queue, request, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE);
    return r < 0 ? r : 0;
}
