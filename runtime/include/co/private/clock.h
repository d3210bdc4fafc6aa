/* SPDX-License-Identifier: MIT */
/*
 * co/private/clock.h - a clock that tests can stop and move, so that what waits for time need not
 * be waited for.
 *
 * While it is stopped, co_now(), deadlines, co_sleep and everything made of them go by a time that
 * moves only when it is moved. What must go on meanwhile does not: the watchdog with its reports
 * and the grace time of a stop, libuv's timers, the kernel's (keep-alive, SO_RCVTIMEO).
 */
#ifndef CO_PRIVATE_CLOCK_H
#define CO_PRIVATE_CLOCK_H

#include <co/base.h>

/*
 * Stops the clock. winds_itself: whenever all workers sleep, it moves to the next deadline, so that
 * coroutines see time pass exactly as they wait for it, at once. Work that comes from elsewhere (a
 * plain thread, co_offload, a socket) is not waited for then: move the clock by hand where it
 * matters. Threads: one, while no runtime runs.
 */
void co__clock_stop(bool winds_itself);

/* The machine's clock again. Threads: one, while no runtime runs. */
void co__clock_go(void);

/* Moves a stopped clock on, and wakes what is due. Threads: any, while a runtime runs; others only
 * if none does. */
void co__clock_advance(int64_t ns);

/* The machine's clock, whatever co_now says. Threads: any. */
int64_t co__clock_real(void);

/* When a stopped clock stands; 0: it is not stopped. */
extern int64_t co__clock_stands;

static inline bool co__clock_is_stopped(void)
{
    /* relaxed: it is stopped and started while no runtime runs. */
    return __atomic_load_n(&co__clock_stands, __ATOMIC_RELAXED) != 0;
}

/* Winds a clock that winds itself. Threads: the worker that fell asleep last, before others can
 * stir. */
void co__clock_wind(void);

#endif
