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

/* The state of a co_once when all is done. */
enum { CO__ONCE_DONE = 2 };

/* The fields are the library's; = {0} is not done yet. There is nothing to destroy. */
struct co_once {
    uint32_t state; /* CO__ONCE_DONE, or what runtime/sync/once.c says */
    struct co_latch latch;
    struct co_waitlist waiters;
};

/*
 * The slow half of co_once_do; not to be called otherwise.
 * Returns, Suspends, Threads, Orders: as co_once_do.
 */
CO_API CO_NODISCARD int co_once_turn(struct co_once *once, int (*fn)(void *arg), void *arg);

/*
 * The first caller runs fn(arg), which may suspend; the others wait until it has returned. If it
 * returned a negative errno it counts as not done: its caller gets that, and the one that has
 * waited longest runs its own fn. fn must not call co_once_do for the same once. Where it is done
 * already there is nothing to wait for: cancel and deadline do not count then.
 * Returns: 0 if it is done; what fn returned if that is negative; -ETIMEDOUT, -ECANCELED: the
 *   caller's wait ended; -EPERM outside a coroutine, unless it is done. Suspends: until it is done.
 *   Threads: coroutines; any, once it is done. Orders: what fn wrote is seen by all that get 0.
 */
CO_NODISCARD static inline int co_once_do(struct co_once *once, int (*fn)(void *arg), void *arg)
{
    /* acquire: pairs with the release of who was done. */
    if (__atomic_load_n(&once->state, __ATOMIC_ACQUIRE) == CO__ONCE_DONE)
        return 0;
    return co_once_turn(once, fn, arg);
}

#ifdef __cplusplus
}
#endif
#endif
