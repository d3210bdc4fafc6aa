/* SPDX-License-Identifier: MIT */
/*
 * co/private/chaos.h - fault points: places where a test build may do what is rare in life.
 *
 * In builds with CO_CHAOS_BUILD (debug and sanitizers) and with the environment variable
 * CO_CHAOS=seed set, each point says yes at random and counts how often; elsewhere the points are
 * the constant false. Points that make calls fail act only with CO_CHAOS=seed,fail: a program has
 * to expect them. At exit the process writes its counts to stderr, in one line.
 */
#ifndef CO_PRIVATE_CHAOS_H
#define CO_PRIVATE_CHAOS_H

#include <co/base.h>

enum co__chaos_point {
    CO__CHAOS_MOVE,  /* a coroutine that became ready goes to the injector: anyone may run it */
    CO__CHAOS_YIELD, /* a call that may suspend yields first */
    CO__CHAOS_DELAY, /* a poller dawdles before it delivers, a parker before it commits */
    CO__CHAOS_LATE,  /* a parker dawdles after it was published, before it is saved */
    CO__CHAOS_RACE,  /* a waker dawdles between its look and its claim */
    CO__CHAOS_ROUSE, /* a worker that wants to sleep is woken at once, for nothing */
    CO__CHAOS_RETRY, /* a system call is answered with EAGAIN first, and readiness follows */
    CO__CHAOS_INTR,  /* a system call is answered with EINTR first */
    CO__CHAOS_SHORT, /* a stream is read or written in part */

    CO__CHAOS_FAIL,                   /* from here on: only with ",fail" */
    CO__CHAOS_SPAWN = CO__CHAOS_FAIL, /* no memory for a coroutine */
    CO__CHAOS_STACK,                  /* no address space for a stack */
    CO__CHAOS_WORK,                   /* no memory for a request to the pool */
    CO__CHAOS_POINTS,
};

#ifdef CO_CHAOS_BUILD
#define CO__CHAOS(point) co__chaos(point)
#else
#define CO__CHAOS(point) ((void)(point), false)
#endif

/* Reads CO_CHAOS. */
void co__chaos_start(void);

/* Returns: whether the point should act this time. Threads: any. */
bool co__chaos(enum co__chaos_point point);

/* Returns: how often the point has acted. Threads: any. */
uint64_t co__chaos_hits(enum co__chaos_point point);

#endif
