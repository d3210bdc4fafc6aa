/* SPDX-License-Identifier: MIT */
/*
 * chaos.h - fault points: places where a test build may do what is rare in life.
 *
 * In builds with CO_CHAOS_BUILD (debug and sanitizers) and with the environment variable
 * CO_CHAOS=seed set, each point says yes at random and counts how often; elsewhere the points are
 * the constant false.
 */
#ifndef CO_RUNTIME_CHAOS_H
#define CO_RUNTIME_CHAOS_H

#include <co/base.h>

enum co__chaos_point {
    CO__CHAOS_MOVE,  /* a coroutine that became ready goes to the injector: anyone may run it */
    CO__CHAOS_YIELD, /* a call that may suspend yields first */
    CO__CHAOS_DELAY, /* a poller dawdles before it delivers, a parker before it commits */
    CO__CHAOS_RETRY, /* a system call that would succeed is answered with EAGAIN first */
    CO__CHAOS_SHORT, /* a write is cut short */
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
