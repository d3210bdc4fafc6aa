/* SPDX-License-Identifier: MIT */
/*
 * lookout.h - notice which workers are stuck: running, but the same turn for a millisecond.
 *
 * Whoever has time looks, at most once per millisecond in all (docs/decisions/0008):
 *   a busy worker, when it looks outside;
 *   a worker that has just woken;
 *   the watchdog, each millisecond while somebody runs and nobody else looks, and for two seconds
 *   after a turn that computed for long; each ten otherwise, and not at all while all sleep.
 * A worker that is found stuck is served by the others, and reported once if it stays so.
 */
#ifndef CO_RUNTIME_LOOKOUT_H
#define CO_RUNTIME_LOOKOUT_H

#include <co/base.h>

#define CO__LOOKOUT_EVERY CO_MS

void co__lookout_start(int64_t now);

/*
 * Looks, if the last look is a millisecond ago. If somebody is stuck and no sleeper keeps vigil
 * over it (vigil.h), wakes one. Returns: whether it looked. Threads: any.
 */
bool co__lookout(int64_t now);

/* Returns: when the next look is due. Threads: any. */
int64_t co__lookout_next(void);

/*
 * Returns: whether somebody has computed for long lately, so that it may happen again. Threads:
 * any.
 */
bool co__lookout_alert(int64_t now);

/*
 * Names those who compute on stderr, as the reason why the runtime is given up. Returns: whether
 * there are any.
 */
bool co__lookout_name_all(void);

#endif
