/* SPDX-License-Identifier: MIT */
/* co/wait_group.h - wait until a number of things are done. */
#ifndef CO_WAIT_GROUP_H
#define CO_WAIT_GROUP_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's; = {0} has nothing to wait for. */
struct co_wait_group {
    struct co_latch latch;
    uint64_t word; /* the count, and whether somebody may wait */
    struct co_waitlist waiters;
};

/* Makes a wait group. Suspends: never. Threads: any. */
CO_API void co_wait_group_init(struct co_wait_group *group);

/* Ends one that nobody waits for. NULL does nothing. Suspends: never. Threads: any. */
CO_API void co_wait_group_done(struct co_wait_group *group);

/*
 * Adds to the number of things that are not done yet; negative takes away. At zero all that wait go
 * on.
 * Returns: 0; -EINVAL if the number would become negative or too large. Suspends: never. Threads:
 *   any.
 */
CO_API int co_wait_group_add(struct co_wait_group *group, int64_t n);

/*
 * Waits until the number is zero.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EPERM outside a coroutine. Suspends: yes. Threads:
 *   coroutines.
 */
CO_API CO_NODISCARD int co_wait_group_wait(struct co_wait_group *group);

#ifdef __cplusplus
}
#endif
#endif
