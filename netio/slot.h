/* SPDX-License-Identifier: MIT */
/*
 * slot.h - what Corvid knows of a descriptor: its wait sources, its users, its loop.
 *
 * There is one slot per descriptor number, in a table that grows in chunks and never shrinks, so a
 * late event or a late caller always finds a slot, and the generation tells whether it is the one
 * he meant.
 *
 * The users word:
 *     OPEN     the slot belongs to a descriptor
 *     CLOSED   its owner has closed it; nobody may enter
 *     HUNG     co_hangup: who enters gets -ECANCELED
 *     READING, WRITING  a call is under way in that direction
 *     the rest: how many are inside (calls, hang-ups, the closer)
 * Transitions:
 *     0     -> OPEN              co__slot_open, by who made the descriptor
 *     OPEN  -> + a user          co__slot_enter, with its direction's bit; refused if CLOSED, HUNG
 *           or the bit is taken
 *     OPEN  -> + CLOSED + a user co__slot_close, once
 *     a user leaves              co__slot_leave; the last one out of a CLOSED slot takes it down:
 *                                epoll DEL, next generation, sources NIL, word 0, and only then
 *                                close(2). After that nobody touches the slot for this descriptor.
 */
#ifndef CO_NETIO_SLOT_H
#define CO_NETIO_SLOT_H

#include <co/base.h>
#include <co/private/source.h>

enum {
    CO__SLOT_OPEN = 1,
    CO__SLOT_CLOSED = 2,
    CO__SLOT_HUNG = 4,
    CO__SLOT_READING = 8,
    CO__SLOT_WRITING = 16,
    CO__SLOT_USER = 256,
};

enum co__slot_kind {
    CO__SLOT_TCP,    /* a short read means drained */
    CO__SLOT_STREAM, /* it does not: unix sockets carry descriptors beside data */
    CO__SLOT_LISTENER,
};

/* What a reader knows of the bytes that wait in the kernel. */
enum co__slot_left {
    CO__SLOT_FRESH,   /* never read: an edge tells of the first */
    CO__SLOT_UNKNOWN, /* perhaps some, for which no edge will come: ask */
    CO__SLOT_DRAINED, /* none, but those that an edge tells of */
};

struct co__slot {
    _Alignas(64) struct co__source read;
    struct co__source write;
    uint64_t users;
    uint32_t generation; /* of the descriptor that has the slot, or will have it next */
    int fd;
    uint16_t worker; /* whose epoll it is in */
    uint8_t kind;
    uint8_t left;      /* enum co__slot_left; the reader's alone */
    uint8_t broken;    /* a send has failed midway; the writer's alone */
    uint8_t out_armed; /* EPOLLOUT is registered; the writer's alone */
};

/*
 * Takes a non-blocking descriptor in, on the loop of `worker`; out: with EPOLLOUT from the start.
 * Returns: 0; -ENOMEM, what epoll_ctl(2) says, or -EBUSY if somebody has closed an earlier
 *   descriptor of this number by close(2) instead of co_close; the descriptor stays the caller's
 *   then.
 */
int co__slot_open(int fd, enum co__slot_kind kind, int worker, bool out);

/*
 * Enters a descriptor; bit: CO__SLOT_READING, _WRITING or 0.
 * Returns: the slot; NULL and *ret_err: -EBADF, -ECANCELED, -EBUSY. Threads: any.
 */
struct co__slot *co__slot_enter(int fd, unsigned bit, int *ret_err);

/* Leaves it, with the same bit. */
void co__slot_leave(struct co__slot *slot, unsigned bit);

/* The loop for a new descriptor: `own`, while that is fair. */
int co__slot_place(int own);

/* Returns: how many descriptors a loop owns. */
int co__slot_count(int worker);

/* Waits until a descriptor may be free again: one of ours was closed, or 100 ms. Suspends: yes. */
int co__slot_wait_for_free(void);

/* Registers for EPOLLOUT, when a send has found the socket full for the first time. */
int co__slot_arm_out(struct co__slot *slot);

/*
 * A new non-blocking, close-on-exec socket; nodelay: with TCP_NODELAY. Returns: it, or a negative
 * errno.
 */
int co__socket(int family, bool nodelay);

#endif
