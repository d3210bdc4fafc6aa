/* SPDX-License-Identifier: MIT */
/*
 * watchdog.h - the thread that called co_run: it keeps the grace time, and backs up the lookout
 * (lookout.h).
 *
 * While all workers sleep it sleeps too, so an idle process makes no context switch.
 */
#ifndef CO_RUNTIME_WATCHDOG_H
#define CO_RUNTIME_WATCHDOG_H

#include <co/base.h>

/*
 * Returns when the runtime is over: 0; -ETIME if it was given up because coroutines still
 * computed.
 */
int co__watchdog(void);

#endif
