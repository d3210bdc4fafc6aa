/* SPDX-License-Identifier: MIT */
/*
 * bell.h - waking a thread that may sleep in the kernel, or be about to, or not at all: the kernel
 * is told only where it has to be.
 *
 * The word of the thread that is woken, the owner:
 *   AWAKE  -> RUNG    by co__bell_ring of anybody: the owner's next co__bell_rest fails
 *   AWAKE  -> ASLEEP  by co__bell_rest of the owner, who goes to sleep in the kernel then
 *   ASLEEP -> RUNG    by co__bell_ring, whose caller has to wake the owner in the kernel
 *   any    -> AWAKE   by co__bell_rise of the owner, whatever ended its sleep
 *
 * So a ring is remembered until the owner rises, and two of them are one. In the kernel a sleeper
 * may be told too often (it rose for another reason meanwhile), which it has to bear, but never too
 * seldom: who takes away what the kernel keeps for an owner that is rung tells the kernel anew.
 */
#ifndef CO_RUNTIME_BELL_H
#define CO_RUNTIME_BELL_H

#include <co/base.h>
#include <stdatomic.h>

enum { CO__BELL_AWAKE, CO__BELL_ASLEEP, CO__BELL_RUNG };

struct co__bell {
    _Atomic uint32_t word;
};

/*
 * Returns: whether the owner sleeps, and the caller must wake it in the kernel. Threads: any, and
 * signal handlers. Orders: what the caller did before is seen by the owner once it has risen.
 */
bool co__bell_ring(struct co__bell *bell);

/*
 * Stays awake for `span` nanoseconds at most, to be rung. Returns: whether it was. Threads: the
 * owner.
 */
bool co__bell_listen(const struct co__bell *bell, int64_t span);

/* Before a sleep in the kernel. Returns: false if it was rung. Threads: the owner. */
bool co__bell_rest(struct co__bell *bell);

/* After a sleep, or what was to be one. Returns: whether it was rung. Threads: the owner. */
bool co__bell_rise(struct co__bell *bell);

/*
 * Returns: whether it was rung and has not risen since: so long it may need what the kernel keeps
 * for it. Threads: any.
 */
bool co__bell_is_rung(const struct co__bell *bell);

#endif
