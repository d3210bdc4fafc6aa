/* SPDX-License-Identifier: MIT */
/*
 * inspect.h - a look at one coroutine from outside, while it may run, end, and begin anew as
 * another.
 *
 * Records stay records while the runtime runs. The fields that change are read between two looks at
 * the park word: if it names the same park both times, with SAVED and without CLAIMED, the
 * coroutine was parked all the while, and what was read belongs together. Its stack and whatever
 * else is behind pointers (a name, a mutex) may be unmapped under our eyes, so the kernel copies
 * those for us.
 */
#ifndef CO_RUNTIME_INSPECT_H
#define CO_RUNTIME_INSPECT_H

#include <co/inspect.h>

/*
 * Returns: whether the record is that of a coroutine that lives; then *ret_info has it all.
 * Threads: any, while the runtime cannot end; index is below co__coro_limit.
 */
bool co__inspect_one(uint32_t index, struct co_info *ret_info);

/* Copies memory that may not be there. Returns: how many bytes were. Threads: any. */
size_t co__peek(uintptr_t from, void *to, size_t size);

#endif
