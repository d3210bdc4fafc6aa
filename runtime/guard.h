/* SPDX-License-Identifier: MIT */
/*
 * guard.h - what keeps the overflow of one stack from the memory of its neighbour.
 *
 * From best to worst:
 *   MARKER    MADV_GUARD_INSTALL, since Linux 6.13. It costs no mapping, so there can be a million.
 *   MPROTECT  costs two mappings each, so there are at most 0.4 * vm.max_map_count of them.
 *   NONE      the page below the stack must be found untouched when the stack is put back.
 *
 * The best that works is chosen at the start; a guard that cannot be made falls to the next kind.
 */
#ifndef CO_RUNTIME_GUARD_H
#define CO_RUNTIME_GUARD_H

#include <co/base.h>

struct co__stack;

enum co__guard {
    CO__GUARD_MARKER,
    CO__GUARD_MPROTECT,
    CO__GUARD_NONE,
};

/* The least size of a guard: the step in which -fstack-clash-protection probes, on any platform. */
enum { CO__GUARD_LEAST = 64 << 10 };

/* Finds out which guards work, none better than `best`. Threads: one, before the others. */
void co__guards_start(enum co__guard best);

/* The kind in use. Threads: any. */
enum co__guard co__guards_kind(void);

/* The bytes below each stack that belong to its guard: whole pages. Threads: any. */
size_t co__guard_size(void);

/* How many stacks there are that have no guard. Threads: any. */
size_t co__guards_missing(void);

/*
 * Makes the guard of a stack whose mapping is new, as well as it can, and notes the kind in its
 * flags. Suspends: never. Threads: any that owns the stack.
 */
void co__guard_make(struct co__stack *stack);

/* Forgets a guard whose mapping goes. Threads: as above. */
void co__guard_drop(struct co__stack *stack);

/*
 * Reports and aborts if a stack without a guard has overflowed; of others it knows nothing.
 * Threads: as above.
 */
void co__guard_check(const struct co__stack *stack);

#endif
