/* SPDX-License-Identifier: MIT */
/*
 * co/once.h - something that has to be done once, by whichever coroutine comes first, before
 * anybody goes on.
 */
#ifndef CO_ONCE_H
#define CO_ONCE_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's; = {0} is not done yet. There is nothing to destroy. */
struct co_once {
    uint32_t state;
    struct co_latch latch;
    struct co_waitlist waiters;
};

/*
 * The first caller runs fn(arg), which may suspend; the others wait until it has returned. If it
 * returned a negative errno it counts as not done: its caller gets that, and the one that has
 * waited longest runs its own fn. fn must not call co_once_do for the same once.
 * Returns: 0 if it is done; what fn returned if that is negative; -ETIMEDOUT, -ECANCELED: the
 *   caller's wait ended; -EPERM outside a coroutine. Suspends: yes. Threads: coroutines. Orders:
 *   what fn wrote is seen by all that get 0.
 */
CO_API CO_NODISCARD int co_once_do(struct co_once *once, int (*fn)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
