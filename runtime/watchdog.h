/* SPDX-License-Identifier: MIT */
/*
 * watchdog.h - the thread that called co_run: it looks after the workers while they run.
 *
 * It ticks each millisecond while anybody is awake and sleeps on the counts of the idle set when all sleep, so an idle
 * process makes no context switch. A worker that runs the same turn over a whole tick is stuck: from then on
 * the others serve its queues, timers and sockets, until the turn changes. It also keeps the grace time.
 */
#ifndef CO_RUNTIME_WATCHDOG_H
#define CO_RUNTIME_WATCHDOG_H

#include <co/base.h>

/* Returns when the runtime is over: 0; -ETIME if it was given up because coroutines still computed. */
int co__watchdog(void);

#endif
