/* SPDX-License-Identifier: MIT */
/*
 * co/local.h - values that belong to a coroutine and are found by a key: what _Thread_local is to
 * threads, and which coroutines cannot use, because they change threads.
 *
 *     static int key;                              (made once, before the first coroutine needs it)
 *     key = co_local_key(free);
 *     r = co_local_set(key, malloc(100));           (in a coroutine)
 *     p = co_local_get(key);                        (in the same one, later)
 *
 * A coroutine starts with no values; it inherits none. A coroutine that sets none pays one pointer
 * for this, and the first that it sets costs an allocation.
 *
 * When a coroutine's function has returned, its values are ended: for each that is not NULL the
 * key's function is called with it, the key that was made last first. That happens on the
 * coroutine's own stack and while it still counts: the function may suspend, under the same rules
 * (where the coroutine was cancelled its calls return -ECANCELED; CO_GRACE helps), and its group
 * and co_run wait for it. It sees its own key as NULL already. If it sets values, they are ended in
 * another round, of which there are CO_LOCAL_ROUNDS; what is set in the last is forgotten.
 */
#ifndef CO_LOCAL_H
#define CO_LOCAL_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CO_LOCAL_MAX    64 /* keys in a process */
#define CO_LOCAL_ROUNDS 4  /* of ending values at the end of a coroutine */

/* Ends a value, which is not NULL. */
typedef void co_local_end_fn(void *value);

/*
 * Makes a key, which is good as long as the process lives: keys are for the modules of a program,
 * not for its objects. end may be NULL: then values are just forgotten.
 * Returns: the key, 0 or more; -EAGAIN if there are CO_LOCAL_MAX. Suspends: never. Threads: any.
 */
CO_API CO_NODISCARD int co_local_key(co_local_end_fn *end);

/*
 * Gives the running coroutine another value for the key; the one before is not ended. NULL stands
 * for none, and setting it cannot fail for want of memory.
 * Returns: 0; -ENOMEM; -EINVAL for what is no key, a failed co_local_key's result included; -EPERM
 *   outside a coroutine. Suspends: never. Threads: coroutines. Owns: with 0 value passes to the
 *   coroutine, and to end with it; else it stays the caller's.
 */
CO_API CO_NODISCARD int co_local_set(int key, void *value);

/*
 * The running coroutine's value for the key.
 * Returns: what was set last; NULL if that is nothing, if key is none, and outside a coroutine.
 * Suspends: never. Threads: any.
 */
CO_API void *co_local_get(int key);

#ifdef __cplusplus
}
#endif
#endif
