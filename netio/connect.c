/* SPDX-License-Identifier: MIT */
/*
 * connect.c - opening connections, to the first of several addresses that answers (RFC 8305).
 *
 * A race has attempts that are under way, and addresses that are still to be tried. The next one is
 * begun when none is under way, when one has failed, or when the last was begun `delay` ago. One
 * coroutine waits for all of them. The first that is connected wins, the others are closed.
 */
#include <co/connect.h>

#include "endpoint.h"
#include "slot.h"
#include "socket.h"
#include <co/net.h>
#include <co/scope.h>
#include <co/task.h>
#include <netinet/tcp.h>
#include <unistd.h>

static const int64_t delay_usual = 250 * CO_MS;
static const int64_t delay_least = 10 * CO_MS;

struct race {
    const struct co_connect_opts *opts;
    const struct co_addr *order[CO_ADDRS_MAX];
    int count;
    int next;        /* of those, the one to be tried next */
    int64_t next_at; /* when, if no attempt fails before; CO_NEVER: not before one does */
    struct co__slot *running[CO_ADDRS_MAX];
    int runners;
    int error; /* of the attempt that failed last */
};

/* ---- one attempt ---- */

/* A port of this machine that nobody listens on may be chosen for our own end, and TCP connects a
 * socket to itself. Nobody wants that. */
static bool is_itself(int fd, const struct co_addr *peer)
{
    struct co_addr own;

    return peer->any.sa_family != AF_UNIX && co__socket_local(fd, &own) == 0 &&
           co_addr_port(&own) == co_addr_port(peer) && co_addr_equal(&own, peer);
}

/*
 * How an attempt stands. A socket is connected when it has a peer; readiness alone says nothing.
 * Returns: 0; -EINPROGRESS; why it failed.
 */
static int outcome(int fd)
{
    struct co_addr peer;
    int err = 0;
    int r = co__socket_peer(fd, &peer);

    if (r == 0)
        return is_itself(fd, &peer) ? -ECONNREFUSED : 0;
    if (r == -ENOTCONN)
        r = co__socket_get(fd, SOL_SOCKET, SO_ERROR, &err);
    if (r < 0)
        return r;
    return err ? -err : -EINPROGRESS;
}

static int set_up(int fd, int family, const struct co_connect_opts *opts)
{
    int r = co__socket_buffers(fd, opts->recv_buffer, opts->send_buffer);

    if (r == 0 && opts->fast_open && family != AF_UNIX)
        r = co__socket_set(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
    if (r == 0 && opts->from && family != AF_UNIX && co_addr_port(opts->from) == 0)
        /* The port is chosen when it is known whom it has to differ for. */
        r = co__socket_set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (r == 0 && opts->from && bind(fd, &opts->from->any, opts->from->len) < 0)
        r = -errno;
    return r;
}

/*
 * connect(2). One that was interrupted may have begun or not: asked again, it says which. A unix
 * listener whose queue is full says EAGAIN, and there is nothing to wait for but time.
 * Returns: 0; -EINPROGRESS; why it failed. Suspends: for that.
 */
static int begin(int fd, const struct co_addr *addr)
{
    int64_t pause = CO_MS;
    int r;

    for (;;) {
        r = connect(fd, &addr->any, addr->len) < 0 ? -errno : 0;
        if (r == -EISCONN)
            return 0;
        if (r == -EALREADY)
            return -EINPROGRESS;
        if (r == -EAGAIN && addr->any.sa_family == AF_UNIX) {
            r = co_sleep(pause);
            pause = pause < 32 * CO_MS ? pause * 2 : pause;
        } else if (r == -EINTR) {
            r = co_check();
        } else {
            return r;
        }
        if (r < 0)
            return r;
    }
}

/* Returns: a descriptor of the table; *ret_done: whether it is connected. */
static int attempt(const struct co_addr *addr, const struct co_connect_opts *opts, bool *ret_done)
{
    int family = addr->any.sa_family;
    int fd = co__socket(family, SOCK_STREAM);
    int r;

    if (fd < 0)
        return fd;
    r = set_up(fd, family, opts);
    if (r == 0)
        r = begin(fd, addr);
    if (r == 0 || r == -EINPROGRESS) {
        *ret_done = r == 0;
        /* Only now: a socket that is not connecting yet reports OUT and HUP at once. */
        r = co__slot_open(fd, family == AF_UNIX ? CO__SLOT_STREAM : CO__SLOT_TCP, co_worker(),
                          true);
    }
    if (r < 0)
        (void)close(fd);
    return r < 0 ? r : fd;
}

/* ---- the race ---- */

/* Begins with the next address. Returns: a descriptor if it is connected at once; -EINPROGRESS. */
static int start_next(struct race *race)
{
    bool done = false;
    int fd = attempt(race->order[race->next++], race->opts, &done);
    struct co__slot *slot = NULL;
    int r = fd;

    if (fd >= 0 && done) {
        r = outcome(fd) == -ECONNREFUSED ? -ECONNREFUSED : 0;
        if (r == 0)
            return fd;
    } else if (fd >= 0) {
        slot = co__slot_enter(fd, CO__SLOT_WRITING, &r);
    }
    if (!slot) {
        (void)co_close(fd);
        race->error = r;
        race->next_at = 0;
        return -EINPROGRESS;
    }
    race->running[race->runners++] = slot;
    if (__builtin_add_overflow(co_now(), race->opts->attempt_delay, &race->next_at))
        race->next_at = CO_NEVER;
    return -EINPROGRESS;
}

static int drop(struct race *race, int i)
{
    struct co__slot *slot = race->running[i];
    int fd = slot->fd;

    co__slot_leave(slot, CO__SLOT_WRITING);
    race->running[i] = race->running[--race->runners];
    return fd;
}

/* Looks at each attempt, forgetting old readiness first. Returns: as start_next. */
static int look(struct race *race)
{
    for (int i = race->runners - 1; i >= 0; i--) {
        struct co__slot *slot = race->running[i];
        bool closing = co__source_consume(&slot->write) & CO__SOURCE_CLOSING;
        int r = closing ? -ECANCELED : outcome(slot->fd);

        if (r == 0)
            return drop(race, i);
        if (r == -EINPROGRESS)
            continue;
        race->error = r;
        race->next_at = 0; /* it has failed: no reason to wait with the next */
        (void)co_close(drop(race, i));
    }
    return -EINPROGRESS;
}

/* Waits for news of any attempt, or the time for the next. Returns: 0; -ETIMEDOUT, -ECANCELED. */
static int wait_for_news(struct race *race)
{
    struct co__source *sources[CO_ADDRS_MAX];
    int64_t left = CO_NEVER;
    int r;

    if (race->next < race->count && race->next_at != CO_NEVER)
        left = race->next_at - co_now();
    if (left <= 0)
        return co_check();
    for (int i = 0; i < race->runners; i++)
        sources[i] = &race->running[i]->write;
    {
        CO_DEADLINE(left);
        r = co__source_wait_any(sources, race->runners);
    }
    /* Whether it was the caller's deadline or only that of the wait, the caller's scope knows. */
    return r == 0 ? 0 : co_check();
}

static int run(struct race *race)
{
    int r = -EINPROGRESS; /* later the winner, or why there is none */

    while (r == -EINPROGRESS) {
        int stop = 0;

        if (race->next < race->count && (race->runners == 0 || race->next_at <= co_now())) {
            r = start_next(race);
            stop = co_check();
        } else if (race->runners == 0) {
            r = race->error;
        } else {
            r = look(race);
            if (r == -EINPROGRESS && race->runners > 0)
                stop = wait_for_news(race);
        }
        if (r == -EINPROGRESS && stop < 0)
            r = stop;
    }
    while (race->runners > 0)
        (void)co_close(drop(race, race->runners - 1));
    return r;
}

/* Families by turns, beginning with that of the first address. */
static void put_in_order(struct race *race, const struct co_addr *addrs, int count)
{
    const struct co_addr *from = race->opts->from;
    int first = -1, i = 0, j = 0;
    bool turn = true;

    while (i < count || j < count) {
        int *at = turn ? &i : &j;

        while (*at < count) {
            const struct co_addr *addr = &addrs[(*at)++];

            if (from && addr->any.sa_family != from->any.sa_family)
                continue;
            if (first < 0)
                first = addr->any.sa_family;
            if ((addr->any.sa_family == first) != turn)
                continue;
            race->order[race->count++] = addr;
            break;
        }
        turn = !turn;
    }
}

static int connect_to(const struct co_connect_opts *opts, const struct co_addr *addrs, int count)
{
    struct co_connect_opts mine = opts ? *opts : (struct co_connect_opts){0};
    struct race race = {.opts = &mine};

    if (mine.attempt_delay < 0)
        return -EINVAL;
    if (mine.attempt_delay == 0)
        mine.attempt_delay = delay_usual;
    else if (mine.attempt_delay < delay_least)
        mine.attempt_delay = delay_least;
    put_in_order(&race, addrs, count);
    if (race.count == 0)
        return -EAFNOSUPPORT;
    return run(&race);
}

int co_connect_to(const struct co_connect_opts *opts, const struct co_addr *addrs, int count)
{
    int r = co_check();

    if (r < 0)
        return r;
    if (count < 1 || count > CO_ADDRS_MAX)
        return -EINVAL;
    return connect_to(opts, addrs, count);
}

int co_connect_with(const struct co_connect_opts *opts, const char *address)
{
    struct co__endpoint endpoint;
    struct co_addr addrs[CO_ADDRS_MAX];
    int count;
    int r = co_check();

    if (r < 0)
        return r;
    r = co__endpoint_parse(address, &endpoint);
    if (r < 0)
        return r;
    count = co__endpoint_resolve(&endpoint, addrs);
    return count < 0 ? count : connect_to(opts, addrs, count);
}

int co_connect(const char *address)
{
    return co_connect_with(NULL, address);
}
