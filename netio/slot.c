/* SPDX-License-Identifier: MIT */
/* slot.c - the table of slots, entering and leaving, closing. The protocol is on slot.h. */
#include "slot.h"

#include <co/net.h>
#include <co/park.h>
#include <co/private/poll.h>
#include <co/scope.h>
#include <co/stats.h>
#include <co/task.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CHUNK_BITS = 10,
    CHUNK = 1 << CHUNK_BITS,
    CHUNKS = 1 << 16, /* numbers below 2^26 */
    SLACK = 2,        /* so many more than the fewest may a loop own before others are preferred */
    WORKERS_MAX = 256,
    EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLPRI,
};
#define GENERATION UINT32_C(0x7fffffff)

static struct co__slot *chunks[CHUNKS];
static int highest = -1;
/* Descriptors per loop, each in a cache line of its own. */
static struct {
    _Alignas(64) int sockets;
} loops[WORKERS_MAX];

static struct co__slot *slot_at(int fd)
{
    struct co__slot *chunk;

    if (fd < 0 || fd >> CHUNK_BITS >= CHUNKS)
        return NULL;
    /* acquire: pairs with the CAS that put the chunk there. */
    chunk = __atomic_load_n(&chunks[fd >> CHUNK_BITS], __ATOMIC_ACQUIRE);
    return chunk ? &chunk[fd & (CHUNK - 1)] : NULL;
}

static struct co__slot *slot_make(int fd)
{
    struct co__slot *slot = slot_at(fd);
    struct co__slot *none = NULL;
    void *map;

    if (slot || fd >> CHUNK_BITS >= CHUNKS)
        return slot;
    map = mmap(NULL, CHUNK * sizeof *slot, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
               0);
    if (map == MAP_FAILED)
        return NULL;
    /* acq_rel: publishes the zeroed chunk, or acquires that of who was faster. */
    if (!__atomic_compare_exchange_n(&chunks[fd >> CHUNK_BITS], &none, map, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE /* as above */))
        (void)munmap(map, CHUNK * sizeof *slot);
    return slot_at(fd);
}

/* ---- events ---- */

static void deliver(uint64_t data, uint32_t events)
{
    struct co__slot *slot = slot_at((int)(data & UINT32_MAX));
    uint32_t generation = (uint32_t)(data >> 32);
    unsigned sticky = 0;

    /*
     * relaxed: most late events end here; those that slip through fail on the generation in the
     * word.
     */
    if (!slot || __atomic_load_n(&slot->generation, __ATOMIC_RELAXED) != generation)
        return;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        sticky |= CO__SOURCE_HUP;
    if (events & EPOLLPRI)
        sticky |= CO__SOURCE_PRI;
    if (events & (EVENTS | EPOLLHUP | EPOLLERR))
        co__source_deliver(&slot->read, generation, sticky);
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        co__source_deliver(&slot->write, generation, sticky & CO__SOURCE_HUP);
}

/*
 * Listeners look at their queue once more and close; idle connections are started for the last
 * time.
 */
static void drain(void)
{
    /* relaxed: descriptors that are opened from now on see the drain themselves. */
    int last = __atomic_load_n(&highest, __ATOMIC_RELAXED);

    for (int fd = 0; fd <= last; fd++) {
        int r;
        struct co__slot *slot = co__slot_enter(fd, 0, &r);

        if (!slot)
            continue;
        if (slot->kind == CO__SLOT_LISTENER)
            co__source_deliver(&slot->read, slot->generation, 0);
        else
            co__source_poke(&slot->read, CO__SOURCE_STARTER, -ECANCELED);
        co__slot_leave(slot, 0);
    }
}

static int64_t read_sockets(int worker, void *arg)
{
    (void)arg;
    return worker < 0 ? 0 : co__slot_count(worker);
}

static __attribute__((constructor)) void hook_up(void)
{
    co__poll_deliver_to(deliver);
    co__fd_close_by(co_close);
    (void)co__on_drain(drain);
    (void)!co_stat_register_reader("net_sockets", "descriptors that the worker's loop owns",
                                   CO_STAT_GAUGE, read_sockets, NULL);
}

/* ---- opening ---- */

int co__slot_count(int worker)
{
    /* relaxed: a figure to balance by. */
    return __atomic_load_n(&loops[worker].sockets, __ATOMIC_RELAXED);
}

int co__slot_place(int own)
{
    int least = own;

    for (int i = 0; i < co_workers(); i++) {
        if (co__slot_count(i) < co__slot_count(least))
            least = i;
    }
    return co__slot_count(own) < co__slot_count(least) + SLACK ? own : least;
}

static void raise_highest(int fd)
{
    /* relaxed, all: see drain. */
    int seen = __atomic_load_n(&highest, __ATOMIC_RELAXED);

    while (seen < fd && !__atomic_compare_exchange_n(&highest, &seen, fd, true, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED /* as above */))
        continue;
}

int co__slot_open(int fd, enum co__slot_kind kind, int worker, bool out)
{
    struct co__slot *slot = slot_make(fd);
    uint32_t generation;
    int r;

    if (!slot)
        return -ENOMEM;
    /* acquire: pairs with the last step of take_down; the kernel gave the number away only after
     * it. Anything but zero is a descriptor that somebody closed behind our back. */
    if (__atomic_load_n(&slot->users, __ATOMIC_ACQUIRE) != 0)
        return -EBUSY;
    generation = slot->generation;
    slot->fd = fd;
    slot->worker = (uint16_t)worker;
    slot->kind = (uint8_t)kind;
    slot->left = CO__SLOT_FRESH;
    slot->broken = 0;
    slot->out_armed = out;
    co__source_reset(&slot->read, generation);
    co__source_reset(&slot->write, generation);
    /* seq_cst: publishes the slot; before a later look at the drain. */
    __atomic_store_n(&slot->users, CO__SLOT_OPEN, __ATOMIC_SEQ_CST);
    raise_highest(fd);
    /* relaxed: a figure to balance by. */
    __atomic_fetch_add(&loops[worker].sockets, 1, __ATOMIC_RELAXED);
    r = co__poll_add(worker, fd, EVENTS | (out ? EPOLLOUT : 0U),
                     (uint64_t)generation << 32 | (uint32_t)fd);
    if (r < 0) {
        __atomic_fetch_sub(&loops[worker].sockets, 1, __ATOMIC_RELAXED /* as above */);
        __atomic_store_n(&slot->users, 0, __ATOMIC_RELEASE /* nobody knew the descriptor yet */);
    }
    return r;
}

int co__slot_arm_out(struct co__slot *slot)
{
    int r;

    if (slot->out_armed)
        return 0;
    r = co__poll_mod(slot->worker, slot->fd, EVENTS | EPOLLOUT,
                     (uint64_t)slot->generation << 32 | (uint32_t)slot->fd);
    slot->out_armed = r == 0;
    return r;
}

int co__socket(int family, bool nodelay)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (nodelay && family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

/* ---- users ---- */

struct co__slot *co__slot_enter(int fd, unsigned bit, int *ret_err)
{
    struct co__slot *slot = slot_at(fd);
    uint64_t users;

    *ret_err = -EBADF;
    if (!slot)
        return NULL;
    /* acquire: pairs with co__slot_open. */
    users = __atomic_load_n(&slot->users, __ATOMIC_ACQUIRE);
    do {
        if (!(users & CO__SLOT_OPEN) || (users & CO__SLOT_CLOSED))
            return NULL;
        if (users & CO__SLOT_HUNG) {
            *ret_err = -ECANCELED;
            return NULL;
        }
        if (users & bit) {
            *ret_err = -EBUSY;
            return NULL;
        }
        /* acq_rel: acquires what the last user of the direction left in the slot. */
    } while (!__atomic_compare_exchange_n(&slot->users, &users, (users | bit) + CO__SLOT_USER, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE /* as above */));
    return slot;
}

static void starved_wake(void);

/* The last one is out: nobody else touches the slot. */
static void take_down(struct co__slot *slot)
{
    int fd = slot->fd;

    (void)co__poll_del(slot->worker, fd);
    /* relaxed: a figure to balance by. */
    __atomic_fetch_sub(&loops[slot->worker].sockets, 1, __ATOMIC_RELAXED);
    /*
     * relaxed: late events compare it, and the generation in the words, which are reset next,
     * decides.
     */
    __atomic_store_n(&slot->generation, (slot->generation + 1) & GENERATION, __ATOMIC_RELAXED);
    co__source_reset(&slot->read, slot->generation);
    co__source_reset(&slot->write, slot->generation);
    /*
     * release: the slot is ready for whoever gets the number from the kernel, which close(2) gives
     * it to.
     */
    __atomic_store_n(&slot->users, 0, __ATOMIC_RELEASE);
    (void)close(fd);
    starved_wake();
}

void co__slot_leave(struct co__slot *slot, unsigned bit)
{
    /* acq_rel: releases what we did in the slot; the last one acquires what all others did. The bit
     * is ours, so subtracting it clears it. */
    uint64_t users = __atomic_sub_fetch(&slot->users, CO__SLOT_USER + bit, __ATOMIC_ACQ_REL);

    if ((users & CO__SLOT_CLOSED) && users < CO__SLOT_USER)
        take_down(slot);
}

int co_close(int fd)
{
    struct co__slot *slot = slot_at(fd);
    uint64_t users;

    if (!slot)
        return -EBADF;
    /* acquire: pairs with co__slot_open. */
    users = __atomic_load_n(&slot->users, __ATOMIC_ACQUIRE);
    do {
        if (!(users & CO__SLOT_OPEN) || (users & CO__SLOT_CLOSED))
            return -EBADF;
        /* acq_rel: closed, and the closer inside, in one step. */
    } while (!__atomic_compare_exchange_n(&slot->users, &users,
                                          (users | CO__SLOT_CLOSED) + CO__SLOT_USER, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE /* as above */));
    if (users >= CO__SLOT_USER) {
        co__source_hangup(&slot->read);
        co__source_hangup(&slot->write);
    }
    co__slot_leave(slot, 0);
    return 0;
}

int co_hangup(int fd)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return r == -ECANCELED ? 0 : r; /* hung up already */
    /*
     * acq_rel: before the sources, so that who enters later is refused, and who is inside is
     * woken.
     */
    __atomic_fetch_or(&slot->users, CO__SLOT_HUNG, __ATOMIC_ACQ_REL);
    co__source_hangup(&slot->read);
    co__source_hangup(&slot->write);
    co__slot_leave(slot, 0);
    return 0;
}

void co_fd_guard(const int *fd)
{
    if (*fd >= 0)
        (void)co_close(*fd);
}

int co_fd_worker(int fd)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return -EBADF;
    r = slot->worker;
    co__slot_leave(slot, 0);
    return r;
}

/* ---- out of descriptors ---- */

/*
 * One coroutine at a time may be woken by a close; others that starve look again every 100 ms. The
 * word is 0, or the ticket of who waits.
 */
static uint64_t starved;

static void starved_wake(void)
{
    /* relaxed: a miss costs the starving one 100 ms at most. */
    if (__atomic_load_n(&starved, __ATOMIC_RELAXED)) {
        /* acq_rel: takes the ticket; the descriptor was closed before. */
        uint64_t ticket = __atomic_exchange_n(&starved, 0, __ATOMIC_ACQ_REL);

        if (ticket)
            (void)co_unpark(ticket, 0);
    }
}

static int starve(co_ticket self, void *arg)
{
    *(co_ticket *)arg = self;
    /* acq_rel: publishes the ticket; whoever stood there looks again in time. */
    (void)__atomic_exchange_n(&starved, self, __ATOMIC_ACQ_REL);
    return 0;
}

int co__slot_wait_for_free(void)
{
    {
        CO_DEADLINE(100 * CO_MS);
        co_ticket mine = 0;
        int r = co_park_for("a free descriptor", NULL, starve, &mine, 0);

        /* acq_rel: a ticket must not stand there when its coroutine, or its runtime, is no more;
         * relaxed: it does not. */
        (void)__atomic_compare_exchange_n(&starved, &mine, 0, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED /* as above */);
        if (r < 0 && r != -ETIMEDOUT)
            return r;
    }
    return co_check();
}
