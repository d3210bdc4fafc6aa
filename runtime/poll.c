/* SPDX-License-Identifier: MIT */
/*
 * poll.c - one private epoll per worker (docs/decisions/0001): sockets are in it edge-triggered,
 * added once and removed once, from any thread. Beside them are the wake-up descriptor, also
 * edge-triggered, so that nobody has to read it (docs/decisions/0032), and, level-triggered, the
 * libuv loop. Both are for the owner alone: a rescuer skips the loop, and passes on a wake-up.
 */
#include "poll.h"

#include "outside.h"
#include "vigil.h"
#include <co/private/chaos.h>
#include <co/private/stats.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Above all data of sockets. */
#define DATA_WAKE (UINT64_MAX - 0)
#define DATA_UV   (UINT64_MAX - 1)

/* Events at once from which on it pays to foresee. */
enum { FORESEEN = 4 };

static co__deliver_fn *deliver;

void co__poll_deliver_to(co__deliver_fn *fn)
{
    /* relaxed: the epoll_ctl(2) that follows in the same thread orders it before any event. */
    __atomic_store_n(&deliver, fn, __ATOMIC_RELAXED);
}

static co__foresee_fn *foresee;

void co__poll_foresee_by(co__foresee_fn *fn)
{
    /* relaxed: as above. */
    __atomic_store_n(&foresee, fn, __ATOMIC_RELAXED);
}

static int (*close_fd)(int fd) = close;

void co__fd_close_by(int (*fn)(int fd))
{
    /* relaxed: whoever has a descriptor of netio's got it from a call that came after this one. */
    __atomic_store_n(&close_fd, fn, __ATOMIC_RELAXED);
}

void co__fd_close(int fd)
{
    int r = 0;

    if (fd >= 0) /* relaxed: as above */
        r = __atomic_load_n(&close_fd, __ATOMIC_RELAXED)(fd);
    if (r == -EBADF) /* netio knows it not: it is a stranger's after all */
        (void)close(fd);
}

static int control(int epoll, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    co__count(CO__STAT_EPOLL_CTLS);
    return epoll_ctl(epoll, op, fd, &event) < 0 ? -errno : 0;
}

int co__poll_add(int worker, int fd, uint32_t events, uint64_t data)
{
    return control(co__rt.workers[worker].epoll, EPOLL_CTL_ADD, fd, events | EPOLLET, data);
}

int co__poll_mod(int worker, int fd, uint32_t events, uint64_t data)
{
    return control(co__rt.workers[worker].epoll, EPOLL_CTL_MOD, fd, events | EPOLLET, data);
}

int co__poll_del(int worker, int fd)
{
    int r = 0;

    if (!co__outside_enter())
        return 0; /* the epoll is gone, or about to go */
    if (worker < co__rt.count)
        r = control(co__rt.workers[worker].epoll, EPOLL_CTL_DEL, fd, 0, 0);
    co__outside_leave();
    return r;
}

int co__poll_start(struct co__worker *w)
{
    int r;

    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0)
        return -errno;
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0)
        return -errno;
    r = control(w->epoll, EPOLL_CTL_ADD, w->wake_fd, EPOLLIN | EPOLLET, DATA_WAKE);
    if (r < 0)
        return r;
    return control(w->epoll, EPOLL_CTL_ADD, uv_backend_fd(&w->loop), EPOLLIN, DATA_UV);
}

void co__poll_stop(struct co__worker *w)
{
    if (w->epoll >= 0)
        (void)close(w->epoll);
    if (w->wake_fd >= 0)
        (void)close(w->wake_fd);
    w->epoll = w->wake_fd = -1;
}

/*
 * Each write is an edge, whatever the counter says. Nobody reads it: it would take centuries to
 * fill.
 */
static void write_wake(const struct co__worker *w)
{
    static const uint64_t one = 1;
    ssize_t n = write(w->wake_fd, &one, sizeof one);

    (void)n;
}

bool co__worker_kick(struct co__worker *w)
{
    bool asleep = co__bell_ring(&w->bell);

    if (asleep)
        write_wake(w);
    return asleep;
}

/*
 * epoll_pwait2 has nanoseconds, since Linux 5.11; before that a time-out is rounded up to
 * milliseconds.
 */
static int wait_events(int epoll, struct epoll_event *events, int64_t timeout)
{
    static _Atomic int no_pwait2;

    if (timeout == 0)
        return epoll_wait(epoll, events, CO__POLL_BATCH, 0);
    if (timeout == CO_NEVER)
        return epoll_wait(epoll, events, CO__POLL_BATCH, -1);
    /* relaxed: a hint; who misses it asks the kernel once more. */
    if (!atomic_load_explicit(&no_pwait2, memory_order_relaxed)) {
        struct timespec span = {.tv_sec = timeout / CO_SEC, .tv_nsec = timeout % CO_SEC};
        int n = epoll_pwait2(epoll, events, CO__POLL_BATCH, &span, NULL);

        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        atomic_store_explicit(&no_pwait2, 1, memory_order_relaxed /* a hint */);
    }
    if (timeout > INT32_MAX * CO_MS)
        timeout = INT32_MAX * CO_MS;
    return epoll_wait(epoll, events, CO__POLL_BATCH, (int)((timeout + CO_MS - 1) / CO_MS));
}

int co__poll_wait(struct co__worker *w, struct epoll_event *events, int64_t timeout)
{
    int n = wait_events(w->epoll, events, CO__CHAOS(CO__CHAOS_ROUSE) ? 0 : timeout);

    co__stat(w->stats, CO__STAT_POLLS);
    return n < 0 ? 0 : n; /* EINTR: as good as nothing */
}

static void one(uint64_t data, uint32_t events)
{
    if (CO__CHAOS(CO__CHAOS_DELAY))
        (void)usleep(50);
    /* relaxed: see co__poll_deliver_to. */
    __atomic_load_n(&deliver, __ATOMIC_RELAXED)(data, events);
}

static void foresee_all(const struct epoll_event *events, int count)
{
    /* relaxed: as deliver. */
    co__foresee_fn *fn = __atomic_load_n(&foresee, __ATOMIC_RELAXED);

    for (int step = 0; step < 2 && fn; step++) {
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 < DATA_UV)
                fn(events[i].data.u64, step);
        }
    }
}

void co__poll_dispatch(struct co__worker *w, const struct epoll_event *events, int count)
{
    bool uv = false;

    if (count >= FORESEEN)
        foresee_all(events, count);
    co__batch_begin(w);
    for (int i = 0; i < count; i++) {
        uint64_t data = events[i].data.u64;

        if (data == DATA_UV)
            uv = true;
        else if (data != DATA_WAKE) /* which has done what it was for */
            one(data, events[i].events);
    }
    if (uv)
        co__worker_uv(w);
    co__batch_end(w);
}

/* What only the owner takes out stays, or comes back, and would end each wait for the epoll. */
static void leave_to(struct co__worker *victim, uint64_t data)
{
    if (data == DATA_WAKE) {
        /* The edge is gone. The verdict may be out of date, and the owner wait for it. */
        if (!co__bell_is_rung(&victim->bell))
            return;
        write_wake(victim);
    }
    co__vigil_noisy(victim);
}

int co__poll_rescue(struct co__worker *w, struct co__worker *victim)
{
    struct epoll_event events[CO__POLL_BATCH];
    int n = epoll_wait(victim->epoll, events, CO__POLL_BATCH, 0);
    int sockets = 0;

    co__stat(w->stats, CO__STAT_POLLS);
    co__batch_begin(w);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 >= DATA_UV) {
            leave_to(victim, events[i].data.u64);
            continue;
        }
        one(events[i].data.u64, events[i].events);
        sockets++;
    }
    co__batch_end(w);
    return sockets;
}
