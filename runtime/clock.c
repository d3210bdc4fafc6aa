/* SPDX-License-Identifier: MIT */
/*
 * clock.c - the clock of co/private/clock.h: the machine's, or one that stands.
 *
 * A worker that sleeps while the clock stands has no time-out; who moves the clock kicks all
 * workers afterwards, and they expire what is due. When the last worker has published its sleep, no
 * coroutine is ready anywhere, and none can become so while the lock of the idle set is held: that
 * is when a clock that winds itself may move.
 */
#include <co/private/clock.h>

#include "outside.h"
#include "run.h"
#include <time.h>

int64_t co__clock_stands;
static bool winds_itself;

int64_t co__clock_real(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * CO_SEC + now.tv_nsec;
}

int64_t co_now(void)
{
    /* relaxed: a moment; who is woken by a move learns of it by the kick. */
    int64_t stands = __atomic_load_n(&co__clock_stands, __ATOMIC_RELAXED);

    return __builtin_expect(stands != 0, 0) ? stands : co__clock_real();
}

void co__clock_stop(bool winds)
{
    winds_itself = winds;
    /* relaxed: no runtime runs. */
    __atomic_store_n(&co__clock_stands, co__clock_real(), __ATOMIC_RELAXED);
}

void co__clock_go(void)
{
    /* relaxed: no runtime runs. */
    __atomic_store_n(&co__clock_stands, 0, __ATOMIC_RELAXED);
}

static void kick_all(void)
{
    for (int i = 0; i < co__rt.count; i++)
        (void)co__worker_kick(&co__rt.workers[i]);
}

void co__clock_advance(int64_t ns)
{
    /* seq_cst: then the kicks, which a worker that read the old time finds when it sleeps. */
    (void)__atomic_add_fetch(&co__clock_stands, ns, __ATOMIC_SEQ_CST);
    if (!co__outside_enter())
        return;
    kick_all();
    co__outside_leave();
}

void co__clock_wind(void)
{
    int64_t next = CO_NEVER;

    if (!winds_itself)
        return;
    for (int i = 0; i < co__rt.count; i++) {
        int64_t due = co__heap_next(&co__rt.workers[i].timers);

        if (due < next)
            next = due;
    }
    if (next == CO_NEVER || next <= co_now())
        return;
    /* seq_cst: as in co__clock_advance. */
    __atomic_store_n(&co__clock_stands, next, __ATOMIC_SEQ_CST);
    kick_all();
}
