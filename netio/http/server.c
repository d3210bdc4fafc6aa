/* SPDX-License-Identifier: MIT */
/*
 * A server: listens, hands each connection its first turn, and waits at its end until the last one
 * is gone.
 *
 * Descriptors run out unless connections are limited, and idle ones must not keep others away: when
 * there are many they get less time; at the limit, while somebody waits, those that have been idle
 * for a round of RELIEF are ended, some at a time.
 */
#include "engine.h"
#include <co/net.h>
#include <co/park.h>
#include <co/private/net.h>
#include <co/scope.h>
#include <co/stats.h>
#include <co/task.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* What stays free for everything else: files, connections to others. */
#define RESERVE_LEAST 32
/* How long the least patient server lets connections be idle when there are many. */
#define IDLE_LEAST (100 * CO_MS)
/* How often idle connections are looked for at the limit. */
#define RELIEF (100 * CO_MS)

static const struct {
    const char *name, *help;
} stats[CO__COUNTS] = {
    [CO__REQUESTS] = {"http_requests", "Requests whose head was complete and well-formed."},
    [CO__CONNECTIONS] = {"http_connections", "Connections accepted."},
    [CO__BAD_REQUESTS] = {"http_bad_requests", "Requests refused for how they are written."},
    [CO__TIMEOUTS] = {"http_timeouts", "Connections that were idle or slow for too long."},
    [CO__STATUS_2XX] = {"http_responses_2xx", "Answers with a status of 200 to 299."},
    [CO__STATUS_3XX] = {"http_responses_3xx", "Answers with a status of 300 to 399."},
    [CO__STATUS_4XX] = {"http_responses_4xx", "Answers with a status of 400 to 499."},
    [CO__STATUS_5XX] = {"http_responses_5xx", "Answers with a status of 500 to 599."},
};

/* How many connections there are, not counting serve_on itself. */
static size_t connections(const struct co__http_server *server)
{
    /* relaxed: a figure to go by; who adds to it is the one who is held to the limit. */
    return atomic_load_explicit(&server->users, memory_order_relaxed) - 1;
}

int64_t co__idle_ns(const struct co__http_server *server)
{
    int64_t most = server->conf.idle_timeout;
    int64_t less = most / 16 > IDLE_LEAST ? most / 16 : IDLE_LEAST;
    bool many = connections(server) > server->limit - server->limit / 4;

    return many && less < most ? less : most;
}

/* The last one to leave wakes co_http_serve_on, which frees the server. */
static void users_leave(struct co__http_server *server)
{
    uint64_t acceptor = 0;

    /* Before it leaves, since the server may be gone afterwards. relaxed: a miss costs a RELIEF. */
    if (atomic_load_explicit(&server->full, memory_order_relaxed) != 0) {
        /* acquire: takes the ticket. */
        acceptor = atomic_exchange_explicit(&server->full, 0, memory_order_acquire);
    }
    /* acq_rel: the release hands over what this connection did; the acquire of the last one takes
     * all that, and the ticket that was written before the serving coroutine left. */
    if (atomic_fetch_sub_explicit(&server->users, 1, memory_order_acq_rel) == 1)
        (void)co_unpark(server->waiter, 0);
    if (acceptor != 0)
        (void)co_unpark(acceptor, 0);
}

void co__conn_end(struct co__http_conn *conn)
{
    struct co__http_server *server = conn->server;

    (void)co_close(conn->fd);
    free(conn);
    users_leave(server);
}

/* Gives up serve_on's own count, on the worker's stack; sleeps if connections are left. */
static int leave_and_wait(co_ticket self, void *arg)
{
    struct co__http_server *server = arg;

    server->waiter = self;
    /* acq_rel: as in users_leave; the ticket is published by the release. */
    return atomic_fetch_sub_explicit(&server->users, 1, memory_order_acq_rel) == 1;
}

/* Starts a connection's life: idle, until its first byte. */
static void conn_begin(struct co__http_server *server, int fd)
{
    struct co__http_conn *conn = malloc(sizeof *conn);
    struct co_scope scope;
    int r = -ENOMEM;

    if (conn != NULL) {
        *conn = (struct co__http_conn){.server = server, .fd = fd};
        /* relaxed: serve_on, who is a user itself, calls this. */
        atomic_fetch_add_explicit(&server->users, 1, memory_order_relaxed);
        co_stat_add(server->stats[CO__CONNECTIONS], 1);
        co__keep(fd, server);
        scope = co_deadline_open(co__idle_ns(server));
        r = co_go_when(fd, co__http_turn, conn);
        co_scope_close(&scope);
    }
    if (r < 0 && conn != NULL)
        co__conn_end(conn);
    else if (r < 0)
        (void)co_close(fd);
}

/* How many connections there may be if nobody says. */
static size_t limit_of_process(void)
{
    struct rlimit files = {.rlim_cur = 1024};
    rlim_t reserve;

    (void)getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur > INT_MAX) /* or RLIM_INFINITY */
        files.rlim_cur = INT_MAX;
    reserve = files.rlim_cur / 8 > RESERVE_LEAST ? files.rlim_cur / 8 : RESERVE_LEAST;
    if (reserve > files.rlim_cur / 2)
        reserve = files.rlim_cur / 2;
    return files.rlim_cur > reserve ? files.rlim_cur - reserve : 1;
}

static int server_init(struct co__http_server *server, const struct co_http_conf *conf,
                       const struct co_http_route *routes, void *ctx)
{
    int r = co__http_conf_take(&server->conf, conf);

    if (r < 0)
        return r;
    server->limits = (struct co__head_limits){.head = (uint32_t)server->conf.max_head,
                                              .target = (uint32_t)server->conf.max_target,
                                              .fields = (uint32_t)server->conf.max_fields};
    server->ctx = ctx;
    server->limit = (size_t)server->conf.max_connections;
    if (server->limit == 0)
        server->limit = limit_of_process();
    atomic_init(&server->users, 1);
    atomic_init(&server->full, 0);
    atomic_init(&server->closing, false);
    for (int i = 0; i < CO__COUNTS; i++)
        server->stats[i] = co_stat_register(stats[i].name, stats[i].help, CO_STAT_COUNTER);
    return co__routes_init(&server->routes, routes);
}

static int full_commit(co_ticket self, void *arg)
{
    struct co__http_server *server = arg;

    /* release: publishes the ticket. */
    atomic_store_explicit(&server->full, self, memory_order_release);
    return 0;
}

/* Waits until a connection has ended, for a RELIEF at most. Returns: 0; -ECANCELED; -ETIMEDOUT. */
static int wait_for_end(struct co__http_server *server)
{
    {
        CO_DEADLINE(RELIEF);
        int r = co_park_for("a connection to end", server, full_commit, server, 0);

        /* relaxed: who has the ticket already finds that the park is over. */
        atomic_store_explicit(&server->full, 0, memory_order_relaxed);
        if (r < 0 && r != -ETIMEDOUT)
            return r;
    }
    return co_check();
}

/* Whether a connection could be accepted. */
static bool somebody_waits(int lfd)
{
    struct pollfd polled = {.fd = lfd, .events = POLLIN};

    return poll(&polled, 1, 0) > 0;
}

/* Waits while there are too many connections. Returns: 0; -ECANCELED: told to stop; -ETIMEDOUT. */
static int wait_below_limit(struct co__http_server *server, int lfd)
{
    int some = (int)(server->limit / 16) + 1;
    int r = 0;

    while (r == 0 && connections(server) >= server->limit) {
        if (co_stopping() || co_fd_worker(lfd) < 0) /* which says that it is hung up */
            return -ECANCELED;
        if (co_now() - server->relieved >= RELIEF && somebody_waits(lfd)) {
            server->relieved = co_now();
            server->hand = co__end_idle(server, server->hand, some);
        }
        r = wait_for_end(server);
    }
    return r;
}

/* Accepts until told to stop. Returns: 0; a negative errno if accepting failed for good. */
static int accept_all(struct co__http_server *server, int lfd)
{
    for (;;) {
        int fd = wait_below_limit(server, lfd);

        if (fd == 0)
            fd = co_accept(lfd);
        if (fd == -ECANCELED)
            return 0;
        if (fd < 0)
            return fd;
        conn_begin(server, fd);
    }
}

/*
 * Where the server alone has been told to stop, nobody else ends its idle connections. Those that
 * go idle meanwhile are met in a later round; after idle_timeout none are left.
 */
static void end_idle(struct co__http_server *server)
{
    CO_GRACE(server->conf.idle_timeout);

    for (int64_t pause = CO_MS; connections(server) > 0 && !co_stopping();
         pause = pause < RELIEF ? 2 * pause : pause) {
        (void)co__end_idle(server, 0, INT_MAX);
        if (co_sleep(pause) < 0)
            return;
    }
}

int co_http_serve_on(int lfd, const struct co_http_conf *conf, const struct co_http_route *routes,
                     void *ctx)
{
    struct co__http_server *server = calloc(1, sizeof *server);
    int r;

    if (server == NULL)
        return -ENOMEM;
    r = server_init(server, conf, routes, ctx);
    if (r == 0) {
        r = accept_all(server, lfd);
        /* From here on clients are refused, and do not queue for as long as the last answer
         * takes. */
        (void)co_shutdown(lfd, SHUT_RD);
        /* relaxed: a hint for connections that go on. */
        atomic_store_explicit(&server->closing, true, memory_order_relaxed);
        end_idle(server);
        if (co_park_for("connections to end", server, leave_and_wait, server,
                        CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE | CO_PARK_INSIDE) < 0)
            abort(); /* cannot be: the park has no other end than the last connection */
    }
    co__routes_done(&server->routes);
    free(server);
    return r;
}

int co_http_serve(const struct co_http_conf *conf, const struct co_http_route *routes, void *ctx)
{
    struct co_http_conf defaults;

    if (conf == NULL) {
        co_http_conf_init(&defaults);
        conf = &defaults;
    }
    CO_FD(lfd, co_listen(conf->listen));
    return lfd < 0 ? lfd : co_http_serve_on(lfd, conf, routes, ctx);
}
