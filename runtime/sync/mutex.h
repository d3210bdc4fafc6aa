/* SPDX-License-Identifier: MIT */
/* mutex.h - what cond.c needs of mutex.c. */
#ifndef CO_RUNTIME_SYNC_MUTEX_H
#define CO_RUNTIME_SYNC_MUTEX_H

#include <co/mutex.h>

/*
 * co_mutex_unlock for a commit: on behalf of the coroutine that is being parked. Threads: as a
 * commit.
 */
void co__mutex_release(struct co_mutex *mutex);

/* Whether the running coroutine holds it. */
bool co__mutex_is_mine(const struct co_mutex *mutex);

#endif
