/* SPDX-License-Identifier: MIT */
/*
 * co/private/offload.h - blocking calls that must be made whatever happens: those that clean up.
 * Not installed.
 */
#ifndef CO_PRIVATE_OFFLOAD_H
#define CO_PRIVATE_OFFLOAD_H

#include <co/offload.h>

/*
 * As co_offload, but neither cancel nor a deadline takes it back.
 * Returns: 0; -ENOMEM; -EPERM outside a coroutine: after an error fn was not called, and whoever
 *   cleans up calls it himself. Suspends: yes. Threads: any.
 */
CO_NODISCARD int co__offload_anyway(int (*fn)(void *arg), void *arg, int *ret_result);

#endif
