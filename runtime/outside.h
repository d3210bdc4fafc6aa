/* SPDX-License-Identifier: MIT */
/*
 * outside.h - the door for calls from threads that are not workers.
 *
 * Such a call may come at any time, also while the runtime ends. It is counted while it is inside;
 * the runtime first closes the door, then waits until nobody is inside, and only then closes
 * descriptors and frees memory.
 */
#ifndef CO_RUNTIME_OUTSIDE_H
#define CO_RUNTIME_OUTSIDE_H

#include <co/base.h>

/*
 * Returns: whether the caller may touch the runtime until it calls co__outside_leave. On a worker's
 *   thread both cost next to nothing: a worker keeps the runtime from ending.
 */
bool co__outside_enter(void);
void co__outside_leave(void);

/* The runtime's: opens the door; closes it and waits until nobody is inside. */
void co__outside_open(void);
void co__outside_close(void);

/*
 * A forked child's: closes the door behind the only thread that is left. Returns: whether it was
 * open.
 */
bool co__outside_shut(void);

#endif
