/* SPDX-License-Identifier: MIT */
/* vigil.c - see vigil.h. */
#include "vigil.h"

#include <sys/poll.h> /* <poll.h> may be found to be ours */

/* Looks at an epoll that cannot be waited for, and at timers whose heap somebody else holds. */
#define NOISY_LOOK (250 * CO_US)

/* What a keeper waits for. */
struct vigil {
    struct pollfd fds[1 + CO__WORKERS_MAX]; /* the own epoll first */
    nfds_t count;
    int64_t timeout;
    bool any; /* keeps at least one */
};

static bool become_keeper(const struct co__worker *w, struct co__worker *victim)
{
    int none = 0;

    /*
     * relaxed: who keeps a victim is decided by the word alone. Nothing is handed over with it: all
     * that a keeper looks at it may look at without.
     */
    return atomic_compare_exchange_strong_explicit(&victim->keeper, &none, w->index + 1,
                                                   memory_order_relaxed, memory_order_relaxed);
}

static bool is_noisy(const struct co__worker *victim)
{
    /* relaxed, both: a mark that is missed costs one more look, which makes it again. */
    return atomic_load_explicit(&victim->noisy, memory_order_relaxed) ==
           atomic_load_explicit(&victim->stuck, memory_order_relaxed);
}

void co__vigil_noisy(struct co__worker *victim)
{
    /* relaxed, both: see is_noisy. */
    atomic_store_explicit(&victim->noisy,
                          atomic_load_explicit(&victim->stuck, memory_order_relaxed),
                          memory_order_relaxed);
}

/* To sleep no longer than that. */
static void shorten(struct vigil *vigil, int64_t span)
{
    if (span < NOISY_LOOK)
        span = NOISY_LOOK;
    if (span < vigil->timeout)
        vigil->timeout = span;
}

static void keep(struct vigil *vigil, const struct co__worker *w, struct co__worker *victim)
{
    int64_t next = co__heap_next(&victim->timers);

    vigil->any = true;
    if (is_noisy(victim))
        shorten(vigil, NOISY_LOOK);
    else
        vigil->fds[vigil->count++] = (struct pollfd){.fd = victim->epoll, .events = POLLIN};
    /* A stuck worker arms no timers, so the earliest does not get any earlier. */
    if (next != CO_NEVER)
        shorten(vigil, next - w->clock);
}

int co__vigil_wait(struct co__worker *w, struct epoll_event *events, int64_t timeout)
{
    struct vigil vigil;
    struct timespec span;

    /* relaxed: a hint; the lookout wakes somebody as long as there is no keeper. */
    if (atomic_load_explicit(&co__rt.stuck, memory_order_relaxed) == 0 || !co__rt.conf.stealing)
        return co__poll_wait(w, events, timeout);
    vigil.fds[0] = (struct pollfd){.fd = w->epoll, .events = POLLIN};
    vigil.count = 1;
    vigil.timeout = timeout;
    vigil.any = false;
    for (int i = 0; i < co__rt.count; i++) {
        struct co__worker *victim = &co__rt.workers[i];

        if (victim != w && co__is_stuck(victim) && become_keeper(w, victim))
            keep(&vigil, w, victim);
    }
    if (!vigil.any)
        return co__poll_wait(w, events, timeout);
    w->keeps = true;
    span = (struct timespec){vigil.timeout / CO_SEC, vigil.timeout % CO_SEC};
    co__stat(w->stats, CO__STAT_POLLS);
    (void)ppoll(vigil.fds, vigil.count, vigil.timeout == CO_NEVER ? NULL : &span, NULL);
    return co__poll_wait(w, events, 0);
}

void co__vigil_end(struct co__worker *w)
{
    if (!w->keeps)
        return;
    w->keeps = false;
    for (int i = 0; i < co__rt.count; i++) {
        int mine = w->index + 1;

        /* relaxed: see become_keeper. */
        (void)atomic_compare_exchange_strong_explicit(&co__rt.workers[i].keeper, &mine, 0,
                                                      memory_order_relaxed, memory_order_relaxed);
    }
}

/* Whether its epoll has something. */
static bool has_events(const struct co__worker *victim)
{
    struct pollfd fd = {.fd = victim->epoll, .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}

bool co__vigil_wanted(struct co__worker *victim, int64_t now)
{
    /* relaxed, both: what is missed now is seen by the next look. */
    if (atomic_load_explicit(&victim->keeper, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&victim->lifo, memory_order_relaxed /* as above */))
        return true;
    return co__deque_size(&victim->deque) > 0 || co__heap_next(&victim->timers) <= now ||
           (!is_noisy(victim) && has_events(victim)); /* its keeper has been woken, but waits for
                                                         a CPU */
}
