/* SPDX-License-Identifier: MIT */
/* futex.h - sleep on a 32-bit word and wake its sleepers (futex(2), private to the process). */
#ifndef CO_RUNTIME_FUTEX_H
#define CO_RUNTIME_FUTEX_H

#include <co/base.h>

/*
 * Sleeps while *word equals `value`, until woken, until a signal, or until the monotonic clock
 * reads `until` (CO_NEVER: no limit). May come back for no reason: look at the word again.
 */
void co__futex_wait(const void *word, uint32_t value, int64_t until);

/* Wakes at most `count` sleepers. Threads: any, and signal handlers. */
void co__futex_wake(const void *word, int count);

#endif
