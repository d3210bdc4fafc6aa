/* SPDX-License-Identifier: MIT */
/* slot.c - the table of slots, entering and leaving, closing. The protocol is on slot.h. */
#include "slot.h"

#include "counts.h"
#include <co/net.h>
#include <co/park.h>
#include <co/private/net.h>
#include <co/private/poll.h>
#include <co/private/run.h>
#include <co/scope.h>
#include <co/stats.h>
#include <co/task.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CHUNK_BITS = 10,
    CHUNK = 1 << CHUNK_BITS,
    CHUNKS = 1 << 16, /* numbers below 2^26 */
    SLACK = 2,        /* so many more than the fewest may a loop own before others are preferred */
    EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLPRI,
};
#define GENERATION UINT32_C(0x7fffffff)

static struct co__slot *chunks[CHUNKS];
static int highest = -1;
/* Descriptors per loop, each in a cache line of its own. */
static struct {
    _Alignas(64) int sockets;
} loops[CO__WORKERS_MAX];

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
    /* Others go on after an error. relaxed: as for the generation, a late event may see the next
     * descriptor's kind. */
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) &&
        __atomic_load_n(&slot->kind, __ATOMIC_RELAXED) <= CO__SLOT_STREAM)
        sticky |= CO__SOURCE_HUP;
    if (events & EPOLLPRI)
        sticky |= CO__SOURCE_PRI;
    if (events & (EVENTS | EPOLLHUP | EPOLLERR))
        co__source_deliver(&slot->read, generation, sticky);
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        co__source_deliver(&slot->write, generation, sticky & CO__SOURCE_HUP);
}

/* See co__poll_foresee_by. */
static void foresee(uint64_t data, int step)
{
    const struct co__slot *slot = slot_at((int)(data & UINT32_MAX));

    if (slot && step == 0)
        __builtin_prefetch(slot, 1);
    else if (slot)
        co__source_foresee(&slot->read);
}

/*
 * Listeners look at their queue once more and close; idle connections are started, or read, for
 * the last time.
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
        if (slot->kind != CO__SLOT_LISTENER)
            co__source_poke(&slot->read, CO__SOURCE_STARTER, -ECANCELED);
        /* relaxed: the delivery publishes it, to who waits and to who is about to. */
        __atomic_store_n(&slot->draining, 1, __ATOMIC_RELAXED);
        if (slot->kind == CO__SLOT_LISTENER ||
            __atomic_load_n(&slot->yields, __ATOMIC_RELAXED /* set when it was accepted */))
            co__source_deliver(&slot->read, slot->generation, 0);
        co__slot_leave(slot, 0);
    }
}

/*
 * What a runtime leaves open is in no epoll any more: nobody shall wait for it in the next one. Its
 * owner closes it.
 */
static void hang_up_all(void)
{
    for (int fd = 0; fd <= highest; fd++)
        (void)co_hangup(fd);
}

bool co__slot_knows(int fd)
{
    const struct co__slot *slot = slot_at(fd);

    /* acquire: pairs with the last step of take_down. */
    return slot && __atomic_load_n(&slot->users, __ATOMIC_ACQUIRE) != 0;
}

/* A descriptor that co_go_fd could not pass on is closed, whether it is in the table or not. */
static int close_any(int fd)
{
    int r = co_close(fd);

    if (r == -EBADF && !co__slot_knows(fd)) /* one that is about to be taken down is none of ours */
        r = close(fd) < 0 ? -errno : 0;
    return r;
}

static int64_t read_sockets(int worker, void *arg)
{
    (void)arg;
    return worker < 0 ? 0 : co__slot_count(worker);
}

/* For reports, so read without care. Slots are never unmapped, and a source lies in its slot. */
static __attribute__((noinline, no_sanitize("thread"))) int fd_of(const struct co__source *source,
                                                                  bool *ret_writes)
{
    bool writes = (uintptr_t)source % _Alignof(struct co__slot) != offsetof(struct co__slot, read);
    size_t offset = writes ? offsetof(struct co__slot, write) : offsetof(struct co__slot, read);
    const struct co__slot *slot = (const void *)((const char *)source - offset);

    *ret_writes = writes;
    return slot->fd;
}

struct co__net_counts co__net_counts = {-1, -1, -1};

static __attribute__((constructor)) void hook_up(void)
{
    co__net_counts.recvs =
        co_stat_register("net_recvs", "Calls of recv(2) and its like, each one.", CO_STAT_COUNTER);
    co__net_counts.sends =
        co_stat_register("net_sends", "Calls of send(2) and its like, each one.", CO_STAT_COUNTER);
    co__net_counts.accepts =
        co_stat_register("net_accepts", "Calls of accept4(2), each one.", CO_STAT_COUNTER);
    co__source_fd_by(fd_of);
    co__poll_deliver_to(deliver);
    co__poll_foresee_by(foresee);
    co__fd_close_by(close_any);
    (void)co__on_drain(drain);
    (void)co__on_end(hang_up_all);
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

/* Makes the slot ready for a new descriptor. Returns: 0; -ENOMEM; -EBUSY. */
static int set_up(struct co__slot *slot, int fd, enum co__slot_kind kind, int worker, bool adopted)
{
    if (!slot)
        return -ENOMEM;
    /* acquire: pairs with the last step of take_down; the kernel gave the number away only after
     * it. Anything but zero is a descriptor that somebody closed behind our back. */
    if (__atomic_load_n(&slot->users, __ATOMIC_ACQUIRE) != 0)
        return -EBUSY;
    slot->fd = fd;
    slot->worker = (uint16_t)worker;
    __atomic_store_n(&slot->kind, (uint8_t)kind, __ATOMIC_RELAXED /* see deliver */);
    slot->left = CO__SLOT_FRESH;
    slot->broken = slot->out_armed = 0;
    slot->flags = kind == CO__SLOT_DATAGRAM ? MSG_DONTWAIT | MSG_TRUNC : MSG_DONTWAIT;
    slot->adopted = adopted;
    slot->siblings = NULL;
    slot->yields = slot->heard = slot->draining = 0;
    /* relaxed: who does not look past it enters, or cannot. */
    __atomic_store_n(&slot->keeper, NULL, __ATOMIC_RELAXED);
    co__source_reset(&slot->read, slot->generation);
    co__source_reset(&slot->write, slot->generation);
    return 0;
}

/* What its events carry: see deliver. */
static uint64_t data_of(const struct co__slot *slot)
{
    return (uint64_t)slot->generation << 32 | (uint32_t)slot->fd;
}

static int add(const struct co__slot *slot, uint32_t events)
{
    int r = co__poll_add(slot->worker, slot->fd, events, data_of(slot));

    /* A copy of one that was closed has come back under its number: see is_spent. */
    return r == -EEXIST ? co__poll_mod(slot->worker, slot->fd, events, data_of(slot)) : r;
}

/*
 * Events come before the slot is published, and the sources keep them. The other way round, the
 * drain, or who hangs a wrong number up, could be inside when the descriptor turns out not to be
 * registered.
 */
static int open_slot(int fd, enum co__slot_kind kind, int worker, bool out, bool adopted)
{
    struct co__slot *slot = slot_make(fd);
    int r = set_up(slot, fd, kind, worker, adopted);

    if (r < 0)
        return r;
    slot->out_armed = out;
    /* relaxed: a figure to balance by. */
    __atomic_fetch_add(&loops[worker].sockets, 1, __ATOMIC_RELAXED);
    r = add(slot, EVENTS | (out ? EPOLLOUT : 0U));
    if (r < 0) {
        __atomic_fetch_sub(&loops[worker].sockets, 1, __ATOMIC_RELAXED /* as above */);
        /* release: nobody knew of it, but the number may go to somebody else, who sets it up. */
        __atomic_store_n(&slot->users, 0, __ATOMIC_RELEASE);
        return r;
    }
    raise_highest(fd);
    /* seq_cst: publishes the slot; before a later look at the drain. */
    __atomic_store_n(&slot->users, CO__SLOT_OPEN, __ATOMIC_SEQ_CST);
    return 0;
}

int co__slot_open(int fd, enum co__slot_kind kind, int worker, bool out)
{
    return open_slot(fd, kind, worker, out, false);
}

int co__slot_adopt(int fd, enum co__slot_kind kind, int worker)
{
    return open_slot(fd, kind, worker, true, true);
}

int co__slot_arm_out(struct co__slot *slot)
{
    int r;

    if (slot->out_armed)
        return 0;
    r = co__poll_mod(slot->worker, slot->fd, EVENTS | EPOLLOUT, data_of(slot));
    slot->out_armed = r == 0;
    return r;
}

void co__slot_yield_at_stop(int fd)
{
    struct co__slot *slot = slot_at(fd);

    /* relaxed, both: the caller has published the slot and looks at the drain next; one of the two
     * sees the other. */
    __atomic_store_n(&slot->yields, 1, __ATOMIC_RELAXED);
    if (co__run_draining())
        __atomic_store_n(&slot->draining, 1, __ATOMIC_RELAXED);
}

/* ---- users ---- */

/* Why a slot cannot be entered, for all the reasons that its users word may hold. */
static int refusal(uint64_t users)
{
    if (!(users & CO__SLOT_OPEN) || (users & CO__SLOT_CLOSED))
        return -EBADF;
    return users & CO__SLOT_HUNG ? -ECANCELED : -EBUSY;
}

struct co__slot *co__slot_enter(int fd, unsigned bit, int *ret_err)
{
    const uint64_t looked_at = CO__SLOT_OPEN | CO__SLOT_CLOSED | CO__SLOT_HUNG | bit;
    struct co__slot *slot = slot_at(fd);
    uint64_t users;

    if (!slot) {
        *ret_err = -EBADF;
        return NULL;
    }
    /* acquire: pairs with co__slot_open. */
    users = __atomic_load_n(&slot->users, __ATOMIC_ACQUIRE);
    do {
        if ((users & looked_at) != CO__SLOT_OPEN) {
            *ret_err = refusal(users);
            return NULL;
        }
        /* acq_rel: acquires what the last user of the direction left in the slot. */
    } while (!__atomic_compare_exchange_n(&slot->users, &users, (users | bit) + CO__SLOT_USER, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE /* as above */));
    return slot;
}

static void starved_wake(void);

/*
 * Whether close(2) alone will do: the peer has said his last, and nobody waits for room. If there
 * is a copy of the descriptor it stays registered, but hardly an event can come of it then, and
 * those that do are late ones to `deliver` (docs/decisions/0038).
 */
static bool is_spent(const struct co__slot *slot)
{
    /* relaxed: a bit that is missed costs the call. */
    uint64_t word = __atomic_load_n(&slot->read.word, __ATOMIC_RELAXED);

    return slot->kind == CO__SLOT_TCP && !slot->out_armed &&
           (slot->left == CO__SLOT_ENDED || (word & CO__SOURCE_HUP));
}

/* The last one is out: nobody else touches the slot. */
static void take_down(struct co__slot *slot)
{
    int fd = slot->fd;
    /* relaxed: written by a user who has left, whose leaving the last one out has acquired. */
    bool released = __atomic_load_n(&slot->users, __ATOMIC_RELAXED) & CO__SLOT_RELEASED;
    co_ticket releaser = slot->releaser;

    if (slot->kind == CO__SLOT_LISTENER && !slot->adopted)
        free(slot->siblings);
    if (!is_spent(slot))
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
    if (released) {
        (void)co_unpark(releaser, 0);
        return;
    }
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

/* The releaser leaves when it is off its stack; perhaps it is the last, and wakes itself. */
static int leave_and_sleep(co_ticket self, void *arg)
{
    struct co__slot *slot = arg;

    slot->releaser = self;
    co__slot_leave(slot, 0);
    return 0;
}

int co__slot_release(int fd)
{
    enum { OUT = CO__SLOT_CLOSED | CO__SLOT_RELEASED };
    struct co__slot *slot = slot_at(fd);
    uint64_t users;

    if (!co_self())
        return -EPERM;
    if (!slot)
        return -EBADF;
    /* acquire: pairs with co__slot_open. */
    users = __atomic_load_n(&slot->users, __ATOMIC_ACQUIRE);
    do {
        if (!(users & CO__SLOT_OPEN) || (users & CO__SLOT_CLOSED))
            return -EBADF;
        if (!slot->adopted)
            return -EBUSY;
        /* acq_rel: as in co_close. */
    } while (!__atomic_compare_exchange_n(&slot->users, &users, (users | OUT) + CO__SLOT_USER, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE /* as above */));
    if (users < CO__SLOT_USER) { /* nobody is inside, and nobody enters any more */
        slot->releaser = 0;
        co__slot_leave(slot, 0);
        return 0;
    }
    co__source_hangup(&slot->read);
    co__source_hangup(&slot->write);
    return co_park_for("users of a descriptor to leave", slot, leave_and_sleep, slot,
                       CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE);
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

/* ---- idle connections ---- */

void co__keep(int fd, const void *keeper)
{
    /* relaxed: who misses it finds it the next time. */
    __atomic_store_n(&slot_at(fd)->keeper, keeper, __ATOMIC_RELAXED);
}

/* Returns whether it has ended the connection. */
static bool end_if_idle(struct co__slot *slot)
{
    /* seq_cst: pairs with the publication by who went idle, and cleared the mark before. */
    uint64_t word = __atomic_load_n(&slot->read.word, __ATOMIC_SEQ_CST);

    if ((word & CO__SOURCE_STATE) != CO__SOURCE_STARTER)
        return false;
    if (!__atomic_load_n(&slot->stale, __ATOMIC_RELAXED /* as above */)) {
        __atomic_store_n(&slot->stale, 1, __ATOMIC_RELAXED /* a miss costs a round */);
        return false;
    }
    co__source_poke(&slot->read, CO__SOURCE_STARTER, -ECANCELED);
    return true;
}

int co__end_idle(const void *keeper, int from, int most)
{
    /* relaxed: what is opened from now on is not idle for long. */
    int last = __atomic_load_n(&highest, __ATOMIC_RELAXED);
    int fd = from;

    for (int i = 0; i <= last && most > 0; i++) {
        struct co__slot *slot;
        int r;

        fd = fd < last ? fd + 1 : 0;
        slot = slot_at(fd);
        /* relaxed: a look that saves entering those of others. */
        if (!slot || __atomic_load_n(&slot->keeper, __ATOMIC_RELAXED) != keeper)
            continue;
        slot = co__slot_enter(fd, 0, &r);
        if (!slot)
            continue;
        /* relaxed: now it stays. */
        if (__atomic_load_n(&slot->keeper, __ATOMIC_RELAXED) == keeper && end_if_idle(slot))
            most--;
        co__slot_leave(slot, 0);
    }
    return fd;
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
