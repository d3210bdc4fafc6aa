/* SPDX-License-Identifier: MIT */
/*
 * co/errno.h - an errno that is right after a coroutine has changed threads.
 *
 * glibc declares the function behind errno __attribute__((const)), so compilers compute its address
 * once and keep it over a call that suspends: a stolen coroutine then reads the errno of the thread
 * it left. This header redefines errno to a function that promises nothing of the kind. Put
 * `-include co/errno.h` into the flags of every file that runs in coroutines (our pkg-config file
 * does): a header included before this one may have used the old errno in an inline function.
 *
 * Corvid itself never sets errno: its functions return negative errno values.
 */
#ifndef CO_ERRNO_H
#define CO_ERRNO_H

#include <errno.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The address of the calling thread's errno, computed anew at each call.
 * Returns: a pointer that holds until the next call that may suspend. Suspends: never. Threads:
 *   any.
 */
__attribute__((visibility("default"))) int *co_errno_location(void);

#ifdef __cplusplus
}
#endif

#undef errno
#define errno (*co_errno_location())

#endif
