/* SPDX-License-Identifier: MIT */
/*
 * co/offload.h - run blocking code off the workers, on plain threads: there, calls that suspend
 * return -EPERM.
 */
#ifndef CO_OFFLOAD_H
#define CO_OFFLOAD_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Runs fn(arg) on a thread of the offload pool ([runtime] offload_threads) and waits for it. Until
 * fn has begun, deadline and cancel take it back; once begun it is always waited for, so arg may
 * live on the caller's stack.
 * Returns: 0, and what fn returned in *ret_result (which may be NULL); -ETIMEDOUT or -ECANCELED if
 *   it was taken back, fn not called; -ENOMEM; -EPERM outside a coroutine. Suspends: yes. Threads:
 *   coroutines.
 */
CO_API CO_NODISCARD int co_offload(int (*fn)(void *arg), void *arg, int *ret_result);

/*
 * Runs fn(arg) on the offload pool without waiting; fn owns arg and sees to whatever becomes of it.
 * It is never taken back. The runtime waits for it before it ends.
 * Returns: 0; -ENOMEM; -EPERM outside a coroutine. Suspends: never. Threads: coroutines. Owns: arg
 *   passes to fn if 0 is returned.
 */
CO_API CO_NODISCARD int co_offload_detached(void (*fn)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
