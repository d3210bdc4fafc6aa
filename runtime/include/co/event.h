/* SPDX-License-Identifier: MIT */
/* co/event.h - something that happens once, or is true for a while: all who wait for it go on. */
#ifndef CO_EVENT_H
#define CO_EVENT_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's; = {0} is an event that is not set. */
struct co_event {
    struct co_latch latch;
    int32_t set;
    struct co_waitlist waiters;
};

/* Makes an event that is not set. Suspends: never. Threads: any. */
CO_API void co_event_init(struct co_event *event);

/* Ends an event that nobody waits for. NULL does nothing. Suspends: never. Threads: any. */
CO_API void co_event_done(struct co_event *event);

/*
 * Waits until the event is set.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EPERM outside a coroutine. Suspends: yes. Threads:
 *   coroutines.
 */
CO_API CO_NODISCARD int co_event_wait(struct co_event *event);

/* Sets it: all that wait go on, and who comes does not wait. Suspends: never. Threads: any. */
CO_API void co_event_set(struct co_event *event);

/* Takes it back: who comes now waits. Suspends: never. Threads: any. */
CO_API void co_event_clear(struct co_event *event);

#ifdef __cplusplus
}
#endif
#endif
