/* SPDX-License-Identifier: MIT */
/*
 * offload.c - blocking work on a pool of threads of our own (docs/decisions/0019).
 *
 * One queue, under one latch; first come, first served. A thread without work is in the list of the
 * idle ones, the last to come first, since its memory is warm; who queues a request takes one from
 * there and wakes that one, or starts a thread while there are fewer than configured. A thread that
 * cannot be started is no loss while there is another, as none ends before the pool does. Until
 * there is one, those who queue do so one at a time, each until it knows whether it has started
 * it: so nobody counts on a thread that does not come.
 *
 * The coroutine parks; its commit queues the request, which lies on its stack:
 *   queued -> begun      by the thread that took it off the queue and claims the park: from here on
 *                        nobody can take it back
 *   queued -> taken back by deadline or cancel, which claim the park first. The coroutine takes the
 *                        request off the queue; a thread that was quicker finds its claim lost
 *   begun  -> done       fn has returned; the thread finishes the park, through the injector
 * A thread copies the request when it takes it off the queue, under the latch. Afterwards the
 * request belongs to the coroutine again, which may be gone any moment.
 */
#include "offload.h"

#include "bell.h"
#include "cpus.h"
#include "futex.h"
#include "linger.h"
#include "live.h"
#include "park.h"
#include "worker.h"
#include <co/offload.h>
#include <co/private/chaos.h>
#include <co/private/clock.h>
#include <co/private/offload.h>
#include <signal.h>
#include <stdlib.h>

struct request {
    struct request *next;
    struct request *prev;
    bool queued;
    co_ticket ticket; /* 0: detached, and the request is a block of its own */
    int (*fn)(void *arg);
    void (*detached_fn)(void *arg);
    void *arg;
    int *ret_result;
};

/* A thread of the pool; its place in the table is used again if it could not be started. */
struct server {
    struct server *next; /* among the idle, or the spare ones */
    pthread_t thread;
    bool started;
    struct co__bell bell; /* its word is the futex on which it sleeps while idle */
    struct co__linger linger;
};

static struct {
    struct co_latch latch;
    pthread_mutex_t lone; /* held by who queues while there is no thread; taken before the latch */
    _Atomic int there;    /* there is a thread; set under the latch */
    bool stopping;
    int max;   /* threads */
    int used;  /* places in `servers` that were ever used */
    int alive; /* threads, those included that are being started */
    struct request *first, *last;
    struct server *idle;
    struct server *spare;
    struct server servers[CO__OFFLOAD_MAX];
} pool = {.lone = PTHREAD_MUTEX_INITIALIZER};

/* ---- the queue; under the latch ---- */

static void append(struct request *request)
{
    request->next = NULL;
    request->prev = pool.last;
    if (pool.last)
        pool.last->next = request;
    else
        pool.first = request;
    pool.last = request;
    request->queued = true;
}

static void take_out(struct request *request)
{
    if (request->prev)
        request->prev->next = request->next;
    else
        pool.first = request->next;
    if (request->next)
        request->next->prev = request->prev;
    else
        pool.last = request->prev;
    request->queued = false;
}

/* ---- the threads ---- */

/* Under the latch. Who takes it from the list rings, once. */
static void go_idle(struct server *self)
{
    self->next = pool.idle;
    pool.idle = self;
}

/* Waits in the kernel; where calls have come at once lately it stays awake for one first. */
static void sleep_until_rung(struct server *self)
{
    int64_t begun = co__clock_real();
    bool lingered = co__linger(&self->linger, &self->bell, CO_NEVER, begun);

    if (co__bell_rest(&self->bell)) {
        do
            co__futex_wait(&self->bell.word, CO__BELL_ASLEEP, CO_NEVER);
        while (!co__bell_is_rung(&self->bell));
        if (!lingered)
            co__linger_slept(&self->linger, true, begun, co__clock_real());
    }
    (void)co__bell_rise(&self->bell);
}

/* The word stays, whoever looks at it; all else of the server is not the waker's any more. */
static void wake(struct server *server)
{
    if (co__bell_ring(&server->bell))
        co__futex_wake(&server->bell.word, 1);
}

/* Waits for a request. Returns: false when the pool ends. */
static bool next(struct server *self, struct request *ret_request)
{
    struct request *request;
    bool stopping;

    for (;;) {
        co_latch_take(&pool.latch);
        request = pool.first;
        stopping = pool.stopping;
        if (request) {
            *ret_request = *request;
            take_out(request);
        } else if (!stopping) {
            go_idle(self);
        }
        co_latch_give(&pool.latch);
        if (request) {
            if (!ret_request->ticket)
                free(request);
            return true;
        }
        if (stopping)
            return false;
        sleep_until_rung(self);
    }
}

static void perform(const struct request *request)
{
    int result;

    if (!request->ticket) {
        request->detached_fn(request->arg);
        co__live_leave();
        return;
    }
    if (!co_claim(request->ticket, 0))
        return;
    result = request->fn(request->arg);
    if (request->ret_result)
        *request->ret_result = result;
    co_finish(request->ticket);
}

static void *serve(void *arg)
{
    struct request request;

    if (co__rt.conf.pin_threads)
        co__cpus_use(); /* not those of the worker that has started it; programs inherit them */
    while (next(arg, &request))
        perform(&request);
    return NULL;
}

/* Under the latch: room for one more thread. */
static struct server *place(void)
{
    struct server *server = pool.spare;

    if (pool.alive == pool.max)
        return NULL;
    if (server)
        pool.spare = server->next;
    else
        server = &pool.servers[pool.used++];
    pool.alive++;
    return server;
}

/* Signals are for the other threads, but for those that tell of the thread's own faults. */
static int create(struct server *server)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t others, before;
    int r;

    (void)sigfillset(&others);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        (void)sigdelset(&others, own[i]);
    (void)pthread_sigmask(SIG_BLOCK, &others, &before);
    r = -pthread_create(&server->thread, NULL, serve, server);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* Returns: 0; -ENOMEM if there is no thread to serve the request, which is taken back. */
static int start_one(struct server *server, struct request *request)
{
    int r = create(server);

    co_latch_take(&pool.latch);
    if (r == 0) {
        server->started = true;
        /* release: pairs with the load in be_lone. */
        atomic_store_explicit(&pool.there, 1, memory_order_release);
    } else {
        server->next = pool.spare;
        pool.spare = server;
        r = --pool.alive > 0 ? 0 : -ENOMEM; /* with nobody there, nobody has touched the request */
    }
    if (r < 0)
        take_out(request);
    co_latch_give(&pool.latch);
    return r;
}

int co__offload_threads(void)
{
    int alive;

    co_latch_take(&pool.latch);
    alive = pool.alive;
    co_latch_give(&pool.latch);
    return alive;
}

/* ---- requests ---- */

/* Returns: whether the caller holds `lone`, as there may be no thread yet. */
static bool be_lone(void)
{
    /* acquire: who sees it sees the thread counted. */
    if (atomic_load_explicit(&pool.there, memory_order_acquire))
        return false;
    pthread_mutex_lock(&pool.lone);
    return true;
}

static int submit(struct request *request)
{
    struct server *sleeper;
    struct server *fresh = NULL;
    bool lone = be_lone();
    int r = 0;

    co_latch_take(&pool.latch);
    append(request);
    sleeper = pool.idle;
    if (sleeper)
        pool.idle = sleeper->next;
    else
        fresh = place();
    co_latch_give(&pool.latch);
    if (sleeper)
        wake(sleeper);
    if (fresh)
        r = start_one(fresh, request);
    if (lone)
        pthread_mutex_unlock(&pool.lone);
    return r;
}

static int commit(co_ticket ticket, void *arg)
{
    struct request *request = arg;

    request->ticket = ticket;
    return submit(request);
}

static int offload(int (*fn)(void *arg), void *arg, unsigned flags, int *ret_result)
{
    struct request request = {.fn = fn, .arg = arg, .ret_result = ret_result};
    int r;

    if (CO__CHAOS(CO__CHAOS_WORK))
        return -ENOMEM;
    r = co_park_for("offload", NULL, commit, &request, flags);
    if (r < 0) {
        co_latch_take(&pool.latch);
        if (request.queued)
            take_out(&request);
        co_latch_give(&pool.latch);
    }
    return r;
}

int co_offload(int (*fn)(void *arg), void *arg, int *ret_result)
{
    int r = co_check();

    return r < 0 ? r : offload(fn, arg, 0, ret_result);
}

int co__offload_anyway(int (*fn)(void *arg), void *arg, int *ret_result)
{
    return offload(fn, arg, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE, ret_result);
}

int co_offload_detached(void (*fn)(void *arg), void *arg)
{
    struct co__worker *w = co__worker();
    struct request *request;
    int r;

    if (!w || !w->current)
        return -EPERM;
    request = CO__CHAOS(CO__CHAOS_WORK) ? NULL : calloc(1, sizeof *request);
    if (!request)
        return -ENOMEM;
    request->detached_fn = fn;
    request->arg = arg;
    w->live++; /* the runtime waits for it */
    r = submit(request);
    if (r < 0) {
        w->live--;
        free(request);
    }
    return r;
}

/* ---- life ---- */

void co__offload_start(int max)
{
    pool.stopping = false;
    pool.max = max < CO__OFFLOAD_MAX ? max : CO__OFFLOAD_MAX;
    pool.used = pool.alive = 0;
    /* relaxed: nobody queues yet. */
    atomic_store_explicit(&pool.there, 0, memory_order_relaxed);
    pool.first = pool.last = NULL;
    pool.idle = pool.spare = NULL;
}

void co__offload_stop(void)
{
    struct server *idle;

    co_latch_take(&pool.latch);
    pool.stopping = true;
    idle = pool.idle;
    pool.idle = NULL;
    co_latch_give(&pool.latch);
    while (idle) {
        struct server *server = idle;

        idle = idle->next;
        wake(server);
    }
    for (int i = 0; i < pool.used; i++) {
        if (pool.servers[i].started)
            (void)pthread_join(pool.servers[i].thread, NULL);
        pool.servers[i].started = false;
    }
}
