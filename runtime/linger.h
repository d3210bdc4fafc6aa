/* SPDX-License-Identifier: MIT */
/*
 * linger.h - whether a thread stays awake for a moment before it goes to sleep
 * (docs/decisions/0032).
 *
 * Who is rung a microsecond after it fell asleep, again and again, does better to wait awake: a
 * sleep and a wake-up cost ten times as much. It is tried when sleeps that a ring ended have been
 * short, and goes on while it pays. If it does not, the next tries come after twice the time. Two
 * threads that ring each other both have to linger, or each waits for the other to be woken; so
 * tries begin where the clock enters a new period, which is the same moment for all.
 */
#ifndef CO_RUNTIME_LINGER_H
#define CO_RUNTIME_LINGER_H

#include "bell.h"

/* Zeroed: a thread that has not slept yet. The owner's alone. */
struct co__linger {
    int credit;     /* tries left; 0: it sleeps at once */
    int quick;      /* short sleeps that a ring ended, in a row */
    int longer;     /* how often the period was doubled */
    int64_t period; /* the number of that in which it was tried last */
    int64_t span;   /* of the next try, at most */
};

/* Returns: how long to wait awake, in nanoseconds; 0: not at all. */
int64_t co__linger_span(const struct co__linger *linger);

/* Notes what came of waiting awake, from `begun` to `now`. */
void co__linger_tried(struct co__linger *linger, bool rung, int64_t begun, int64_t now);

/*
 * Before a sleep that lasts for `most` at most, and begins at `now`: waits awake for a ring, if
 * that pays. Returns: whether it did; whether it was rung, the bell tells.
 */
bool co__linger(struct co__linger *linger, struct co__bell *bell, int64_t most, int64_t now);

/* Notes what ended a sleep that was not put off. */
void co__linger_slept(struct co__linger *linger, bool rung, int64_t begun, int64_t now);

#endif
