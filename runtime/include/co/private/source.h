/* SPDX-License-Identifier: MIT */
/*
 * co/private/source.h - a wait source: where one direction of a descriptor meets the coroutine that
 * waits for it. Not installed.
 *
 * One word:
 *     bits  0-1   state
 *     bit   2     HUP      sticky: the peer has closed its half, or there was an error
 *     bit   3     PRI      sticky: urgent data
 *     bit   4     CLOSING  sticky: hung up by us; nobody may wait any more
 *     bits  5-11  generation of the slot (low bits): an event of an earlier descriptor changes
 *           nothing
 *     bits 12-35  sequence of the waiter's park (low 24 bits)
 *     bits 36-63  coroutine of the waiter
 *
 * States:
 *   NIL      nobody waits, nothing happened.
 *              commit (the waiter, already off its stack)           -> WAITER
 *              arm (a coroutine that has not begun, co_go_when; or
 *                   commit of one that waits in its stead)          -> STARTER
 *              deliver                                              -> READY
 *   READY    readiness was seen.
 *              consume (the running coroutine, before its system call) -> NIL
 *   WAITER, STARTER  a parked coroutine is named.
 *              deliver      -> READY, sticky bits in the same CAS; then claims; losing changes
 *                           nothing
 *              hang-up      -> NIL with CLOSING, in one CAS; then claims
 *              clear (the woken coroutine, first of all), if still its own -> NIL
 *   Deadline, cancel and drain claim by the coroutine's word alone.
 * Sticky bits are never cleared by consuming: an end of stream that comes with the last bytes stays
 * known. STARTER differs from WAITER only in that the coroutine is about to be born, or waits as if
 * it were (co__source_wait_idle): drain looks for it.
 */
#ifndef CO_PRIVATE_SOURCE_H
#define CO_PRIVATE_SOURCE_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co__source {
    uint64_t word;
};

enum {
    CO__SOURCE_NIL = 0,
    CO__SOURCE_READY = 1,
    CO__SOURCE_WAITER = 2,
    CO__SOURCE_STARTER = 3,
    CO__SOURCE_STATE = 3,
    CO__SOURCE_HUP = 4,
    CO__SOURCE_PRI = 8,
    CO__SOURCE_CLOSING = 16,
};

/* Starts a new descriptor's life: NIL, no sticky bits. Nobody else may touch the source. */
void co__source_reset(struct co__source *source, uint32_t generation);

/* Something happened; sticky: CO__SOURCE_HUP and _PRI. Threads: whoever polls. */
void co__source_deliver(struct co__source *source, uint32_t generation, unsigned sticky);

/* For good: present and later waiters get -ECANCELED. Threads: any. */
void co__source_hangup(struct co__source *source);

/*
 * Wakes whoever waits, as if something had happened, without leaving readiness behind. Threads:
 * any.
 */
void co__source_poke(struct co__source *source, unsigned state, int result);

/*
 * Before a system call. Returns: the word as it was, for CO__SOURCE_CLOSING. Threads: the
 * direction's user.
 */
uint64_t co__source_consume(struct co__source *source);

/*
 * Waits until something happens. drained: no call has failed with EAGAIN since the last wake-up, so
 * that sticky bits count as readiness. Returns: 0: try the call again; -ECANCELED; -ETIMEDOUT.
 * Suspends: yes.
 */
int co__source_wait(struct co__source *source, bool drained);

/*
 * Waits until something happens, and neither cancel nor a deadline cuts that short. Returns: 0: try
 * the call again; -ECANCELED: hung up; -EPERM outside a coroutine. Suspends: yes.
 */
int co__source_wait_anyway(struct co__source *source);

/*
 * Waits as what co__source_start starts would, in the running coroutine.
 * Returns: 0: something has happened; -ECANCELED, also at the drain; -ETIMEDOUT. Suspends: yes.
 */
int co__source_wait_idle(struct co__source *source);

/*
 * Waits until something happens at any of the sources; the caller holds the
 * direction of each. Afterwards none of them names the caller.
 * Returns: 0: look at all of them again; -ECANCELED (also if one of them is closing); -ETIMEDOUT.
 *   Suspends: yes.
 */
int co__source_wait_any(struct co__source *const *sources, int count);

/*
 * Starts a coroutine that calls fn(arg, why) when something happens (why 0), when the deadline in
 * force passes (-ETIMEDOUT), or at hang-up, cancel and drain (-ECANCELED). Before fn, the coroutine
 * calls begun(source): it does not wait on the source any more. size: of what arg points to, at
 * most CO_COPY_MAX, if fn shall get a copy that is good until it returns; 0: it gets arg itself.
 * Returns: 0, -ECANCELED, -ENOMEM, -EAGAIN, -EPERM. Suspends: never. Threads: coroutines.
 */
int co__source_start(struct co__source *source, void (*begun)(struct co__source *source),
                     void (*fn)(void *arg, int why), void *arg, size_t size);

/*
 * Which descriptor a source belongs to, and whether it is for writing: for reports. The address may
 * be any.
 * Returns: the descriptor, -1 if that cannot be told. Threads: any.
 */
typedef int co__source_fd_fn(const struct co__source *source, bool *ret_writes);

/* Says how to find out. Threads: a constructor. */
void co__source_fd_by(co__source_fd_fn *fn);

/* Begins to fetch what a delivery to the source will need. Threads: any. */
void co__source_foresee(const struct co__source *source);

/* If the source still names the ticket's park, it names nobody. Threads: the woken coroutine. */
void co__source_clear(struct co__source *source, uint64_t ticket);

#ifdef __cplusplus
}
#endif
#endif
