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
 *     RELEASED it goes without close(2): co_release waits for the last one out
 *     READING, WRITING  a call is under way in that direction
 *     the rest: how many are inside (calls, hang-ups, the closer)
 * Transitions:
 *     0     -> OPEN              co__slot_open, by who made the descriptor
 *     OPEN  -> + a user          co__slot_enter, with its direction's bit; refused if CLOSED, HUNG
 *           or the bit is taken
 *     OPEN  -> + CLOSED + a user co_close, once; or with RELEASED, co__slot_release
 *     a user leaves              co__slot_leave; the last one out of a CLOSED slot takes it down:
 *                                epoll DEL, unless there is hardly an event to come, next
 *                                generation, sources NIL, word 0, and only then close(2), or a
 *                                released one's owner is woken. After that nobody touches the slot
 *                                for this descriptor.
 */
#ifndef CO_NETIO_SLOT_H
#define CO_NETIO_SLOT_H

#include <co/park.h>
#include <co/private/source.h>

enum {
    CO__SLOT_OPEN = 1,
    CO__SLOT_CLOSED = 2,
    CO__SLOT_HUNG = 4,
    CO__SLOT_READING = 8,
    CO__SLOT_WRITING = 16,
    CO__SLOT_RELEASED = 32,
    CO__SLOT_USER = 256,
};

struct co__siblings;

enum co__slot_kind {
    CO__SLOT_TCP,    /* a short read means drained */
    CO__SLOT_STREAM, /* it does not: unix sockets carry descriptors beside data */
    CO__SLOT_DATAGRAM,
    CO__SLOT_LISTENER,
    CO__SLOT_PIPE,  /* non-blocking; takes read(2) and write(2) instead of recv(2) and send(2) */
    CO__SLOT_OTHER, /* none of these: waited for, and no more */
};

/* What a reader knows of the bytes that wait in the kernel. */
enum co__slot_left {
    CO__SLOT_FRESH,   /* never read: an edge tells of the first */
    CO__SLOT_UNKNOWN, /* perhaps some, for which no edge will come: ask */
    CO__SLOT_DRAINED, /* none, but those that an edge tells of */
    CO__SLOT_ENDED,   /* none, ever: the end has been read; who asks again is told so again */
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
    uint8_t flags;     /* what recv(2) is called with */
    uint8_t adopted;   /* made by somebody else: co_adopt */
    uint8_t accepts;   /* of a listener that is not adopted: its connections' kind */
    /*
     * Of an idle connection when the runtime stops: see netio/sock.c. By relaxed atomics, since
     * reader, writer and drain write them; the wait source orders what must be ordered.
     */
    uint8_t yields;   /* such a connection ends then */
    uint8_t heard;    /* bytes have come since the last were sent */
    uint8_t draining; /* the runtime stops */
    uint8_t stale;    /* idle since co__end_idle came by; by relaxed atomics, too */
    union {
        co_ticket releaser;            /* of an adopted one: who waits for the last one out */
        struct co__siblings *siblings; /* of a listener, if there may be one for each worker */
    };
    const void *keeper; /* co__keep; by relaxed atomics: co__end_idle looks before it enters */
};

/*
 * Takes a non-blocking descriptor in, on the loop of `worker`; out: with EPOLLOUT from the start.
 * Returns: 0; -ENOMEM, what epoll_ctl(2) says, or -EBUSY if somebody has closed an earlier
 *   descriptor of this number by close(2) instead of co_close; the descriptor stays the caller's
 *   then.
 */
int co__slot_open(int fd, enum co__slot_kind kind, int worker, bool out);

/*
 * Marks a connection that was just accepted, and that nobody else knows yet: when the runtime
 * stops it ends, if it is idle then.
 */
void co__slot_yield_at_stop(int fd);

/*
 * Enters a descriptor; bit: CO__SLOT_READING, _WRITING or 0.
 * Returns: the slot; NULL and *ret_err: -EBADF, -ECANCELED, -EBUSY. Threads: any.
 */
struct co__slot *co__slot_enter(int fd, unsigned bit, int *ret_err);

/*
 * What every call on a descriptor that may suspend begins with: co_check and co__slot_enter.
 * Returns: as co__slot_enter; also the errors of co_check. Suspends: as co_check.
 */
static inline struct co__slot *co__slot_begin(int fd, unsigned bit, int *ret_err)
{
    int r = co_check();

    if (r < 0) {
        *ret_err = r;
        return NULL;
    }
    return co__slot_enter(fd, bit, ret_err);
}

/*
 * Whether a number is in the table, be it that it has been closed and its users have not all left.
 * Threads: any.
 */
bool co__slot_knows(int fd);

/* Leaves it, with the same bit. */
void co__slot_leave(struct co__slot *slot, unsigned bit);

/* The loop for a new descriptor: `own`, while that is fair. */
int co__slot_place(int own);

/* Returns: how many descriptors a loop owns. */
int co__slot_count(int worker);

/* Waits until a descriptor may be free again: one of ours was closed, or 100 ms. Suspends: yes. */
int co__slot_wait_for_free(void);

/* As co_send, by who has entered the slot to write. */
ssize_t co__slot_send(struct co__slot *slot, const void *buf, size_t len);

/* Registers for EPOLLOUT, when a send has found the socket full for the first time. */
int co__slot_arm_out(struct co__slot *slot);

/*
 * What comes before a system call that writes: old readiness is forgotten, fault points act.
 * Returns: 1: make the call; 0: begin anew; -ECANCELED; -ETIMEDOUT. Suspends: at fault points.
 */
int co__slot_about_to_write(struct co__slot *slot);

/*
 * After a call that writes has said EAGAIN. Returns: 0: try it again; -ECANCELED; -ETIMEDOUT; what
 * epoll_ctl(2) says. Suspends: yes.
 */
int co__slot_wait_for_room(struct co__slot *slot);

/*
 * co__slot_open for a descriptor of somebody else, with EPOLLOUT from the start. Returns: as
 * co__slot_open.
 */
int co__slot_adopt(int fd, enum co__slot_kind kind, int worker);

/*
 * Takes an adopted descriptor out of the table without closing it. Those who wait in it get
 * -ECANCELED; it is out when they have left.
 * Returns: 0; -EBADF if it is not in the table, -EBUSY if it is, but was not adopted; -EPERM
 *   outside a coroutine. Suspends: for that; neither cancel nor deadline cuts it short.
 */
int co__slot_release(int fd);

/*
 * co_go_when; size: as for co__source_start; yields: what it starts does not mind that an idle
 * connection ends at a stop.
 */
int co__slot_start(int fd, void (*fn)(void *arg, int why), void *arg, size_t size, bool yields);

#endif
