/* SPDX-License-Identifier: MIT */
/* linger.c - see linger.h. */
#include "linger.h"

#include <co/private/clock.h>

enum {
    TRIES = 8,     /* granted at once: enough for the other side to begin, too */
    CREDIT = 32,   /* at most */
    ENOUGH = 2,    /* short sleeps in a row before it is tried */
    SHORTEST = 18, /* period, as a power of two of nanoseconds: 0.26 ms */
    DOUBLINGS = 8, /* of it, at most: 67 ms */
};
#define QUICK   (100 * CO_US) /* a sleep this short might have been none */
#define LONGEST (50 * CO_US)  /* enough for a ringer that has to be woken itself */
#define PAYS    (12 * CO_US)  /* the CPU time that a sleep costs */
#define MARGIN  (5 * CO_US)

int64_t co__linger_span(const struct co__linger *linger)
{
    return linger->credit > 0 ? linger->span : 0;
}

static int64_t period_of(const struct co__linger *linger, int64_t now)
{
    return now >> (SHORTEST + linger->longer);
}

static void hit(struct co__linger *linger, int64_t spent)
{
    linger->span = 2 * spent + MARGIN;
    if (++linger->credit >= CREDIT) {
        linger->credit = CREDIT;
        linger->longer = 0;
    }
}

void co__linger_tried(struct co__linger *linger, bool rung, int64_t begun, int64_t now)
{
    if (rung && now - begun <= PAYS) {
        hit(linger, now - begun);
        return;
    }
    /* The ringer may have fallen asleep meanwhile: that takes a long try to get out of. */
    linger->span = LONGEST;
    linger->credit = rung ? linger->credit - 1 : linger->credit / 2 - 1;
    if (linger->credit > 0)
        return;
    linger->credit = linger->quick = 0;
    if (linger->longer < DOUBLINGS)
        linger->longer++;
    linger->period = period_of(linger, now);
}

bool co__linger(struct co__linger *linger, struct co__bell *bell, int64_t most, int64_t now)
{
    int64_t span = co__linger_span(linger);
    bool rung;

    if (span == 0 || span >= most)
        return false;
    rung = co__bell_listen(bell, span);
    co__linger_tried(linger, rung, now, co__clock_real());
    return true;
}

void co__linger_slept(struct co__linger *linger, bool rung, int64_t begun, int64_t now)
{
    linger->quick = rung && now - begun < QUICK ? linger->quick + 1 : 0;
    if (linger->quick < ENOUGH || period_of(linger, now) == linger->period)
        return;
    linger->period = period_of(linger, now);
    linger->credit = TRIES;
    linger->span = LONGEST;
    linger->quick = 0;
}
