/* SPDX-License-Identifier: MIT */
/*
 * stack.h - stacks of coroutines: where they come from, what guards them, where they go when idle.
 *
 * Default stacks are cut from slabs (one mapping, 64 MiB of address space, no memory until
 * touched). One stack in a slab, from low to high addresses:
 *
 *   | guard, 64 KiB | usable ........................ top | colour |
 *                   ^ low                             ^ low + size
 *
 * The colour, 0 to 960 bytes, differs between neighbours, so that the hot ends of the stacks do not
 * all fall into the same sets of the caches. With 64 to 1024 coroutines that touch up to 1 KiB each
 * per turn, a turn takes 3 to 15 % less time so; with 4096 nothing is gained.
 *
 * A default stack is in one of these places, and only these steps move it:
 *   fresh  in a slab, never used, no guard yet.  -> out, by get, which makes the guard
 *   out    a coroutine runs on it.               -> cache, by put
 *   cache  of a worker, at most 64, LIFO.        -> out, by get; -> warm, the coldest half, if full
 *   warm   shared list, LIFO.                    -> cache, 32 at once, by get; -> clean, by trim
 *   clean  shared list, memory given back.       -> cache, by get, when warm is empty
 *
 * Other sizes are rounded up to a power of two, have a mapping each, and go from out to a short
 * list per size or back to the kernel.
 *
 * Orders: start, then the rest, then stop. Each function says which threads may call it.
 */
#ifndef CO_RUNTIME_STACK_H
#define CO_RUNTIME_STACK_H

#include "guard.h"
#include <co/assert.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__)
#define CO__STACK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CO__STACK_ASAN 1
#endif
#endif
#ifdef CO__STACK_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum {
    CO__STACK_MIN = 16 << 10,
    CO__STACK_MAX = 64 << 20,
    CO__STACK_CACHE = 64,
};

enum {
    CO__STACK_UNGUARDED = 1, /* see guard.h */
    CO__STACK_MPROTECTED = 2,
    CO__STACK_OTHER = 4, /* not of the default size */
    CO__STACK_OUT = 8,   /* a coroutine has it; kept in debug builds only */
};

/*
 * One stack. The records lie beside the slabs, not in the stacks: they stay where they are, and
 * readable, until co__stacks_stop.
 */
struct co__stack {
    void *low;   /* the lowest usable byte */
    size_t size; /* low + size is the top, a multiple of 64 */
    struct co__stack *next;
    struct co__stack *prev;
    unsigned flags;
    unsigned valgrind_id;
};

/* A worker's stacks at hand. Zeroed is empty. Threads: its worker only. */
struct co__stack_cache {
    unsigned count;
    struct co__stack *slot[CO__STACK_CACHE]; /* slot[count - 1] was used last */
};

struct co__stack_counts {
    size_t mapped;    /* default stacks that exist, used or not */
    size_t begun;     /* those of them that were handed out at least once */
    size_t other;     /* stacks of other sizes that exist */
    size_t unguarded; /* stacks in use so far that have no guard */
    size_t trimmed;   /* stacks whose memory was given back, in total */
};

/* What the inline halves look at. Written by co__stacks_start and under the lock in stack.c. */
struct co__stack_limits {
    size_t default_size; /* as asked for: what co__stack_get takes for the default */
    _Atomic size_t room; /* so many default stacks can be out at once, whatever the caches hold */
    _Atomic int64_t trim_at; /* when it is time to trim; 0: there is nothing in the shared lists */
};
extern struct co__stack_limits co__stack_limits;

/*
 * Makes ready to hand out stacks of `default_size` usable bytes to at most `caches` caches; maps
 * nothing yet.
 * Returns: 0; -EINVAL for a size below CO__STACK_MIN or above CO__STACK_MAX. Threads: one.
 */
CO_NODISCARD int co__stacks_start(size_t default_size, unsigned caches);

/* The same with no better guards than `best`, for tests. */
CO_NODISCARD int co__stacks_start_with(size_t default_size, unsigned caches, enum co__guard best);

/* Unmaps everything. All stacks are back and all caches flushed. Threads: one, the last. */
void co__stacks_stop(void);

/* The slow halves. The cache of a get may be NULL. */
CO_NODISCARD int co__stack_grow(size_t n);
struct co__stack *co__stack_get_slow(struct co__stack_cache *cache, size_t size);
void co__stack_put_slow(struct co__stack_cache *cache, struct co__stack *stack);

/*
 * Makes sure that n default stacks can be out at the same time: who counts his coroutines and
 * reserves before each start never gets NULL for a default stack afterwards. What was reserved once
 * stays.
 * Returns: 0 or -ENOMEM. Suspends: never. Threads: any.
 */
CO_NODISCARD static inline int co__stack_reserve(size_t n)
{
    /* acquire pairs with the release in slab_add; the lists have their own lock besides. */
    if (n <= atomic_load_explicit(&co__stack_limits.room, memory_order_acquire))
        return 0;
    return co__stack_grow(n);
}

/* Debug builds notice a stack that is put twice or handed out twice. */
static inline void co__stack_mark(struct co__stack *stack, bool out)
{
#ifndef NDEBUG
    CO_REQUIRE(((stack->flags & CO__STACK_OUT) != 0) != out);
    stack->flags ^= CO__STACK_OUT;
#else
    (void)stack;
    (void)out;
#endif
#ifdef CO__STACK_ASAN
    /* The frames that a coroutine left behind when it ended have poisoned their surroundings. */
    if (out)
        __asan_unpoison_memory_region(stack->low, stack->size);
#endif
}

/*
 * Takes a stack with at least `size` usable bytes; 0 means the default size. It is not cleared.
 * Returns: the stack; NULL if out of memory, never so for a reserved default stack.
 * Suspends: never. Threads: the owner of the cache. Owns: the caller, until co__stack_put.
 */
static inline struct co__stack *co__stack_get(struct co__stack_cache *cache, size_t size)
{
    struct co__stack *stack;

    if ((size == 0 || size == co__stack_limits.default_size) && cache->count > 0)
        stack = cache->slot[--cache->count];
    else
        stack = co__stack_get_slow(cache, size);
    if (stack)
        co__stack_mark(stack, true);
    return stack;
}

/*
 * co__stack_get for a thread that has no cache: it takes the one stack and no more.
 * Returns, Suspends, Owns: as co__stack_get. Threads: any.
 */
static inline struct co__stack *co__stack_get_alone(size_t size)
{
    struct co__stack *stack = co__stack_get_slow(NULL, size);

    if (stack)
        co__stack_mark(stack, true);
    return stack;
}

/*
 * Gives a stack back; nobody runs on it any more. Reports and aborts if it has no guard and has
 * overflowed.
 * Suspends: never. Threads: the owner of the cache, which need not be the one it came from.
 */
static inline void co__stack_put(struct co__stack_cache *cache, struct co__stack *stack)
{
    co__stack_mark(stack, false);
    if ((stack->flags & (CO__STACK_UNGUARDED | CO__STACK_OTHER)) == 0 &&
        cache->count < CO__STACK_CACHE)
        cache->slot[cache->count++] = stack;
    else
        co__stack_put_slow(cache, stack);
}

/* Gives all stacks of a cache to the shared list. Threads: its owner, or who has joined him. */
void co__stack_cache_flush(struct co__stack_cache *cache);

/*
 * Gives the memory of idle stacks back to the kernel: of those that lay in the shared lists since
 * the call before, at most `max`. One that stops at its limit is continued by the next.
 * Returns: how many stacks it trimmed; 0 at once if another thread is at it.
 * Suspends: never. Threads: any.
 */
size_t co__stacks_trim(size_t max);

/*
 * Trims a few if it is time to, each second while there are idle stacks and as often as it is
 * called while there are many. To be called by a worker that comes to rest: so what a burst needed
 * goes back within seconds, in small portions.
 * Suspends: never. Threads: any.
 */
void co__stacks_tend(int64_t now);

/*
 * How long whoever rests may do so before he should tend.
 * Returns: nanoseconds; CO_NEVER if there is nothing to trim. Suspends: never. Threads: any.
 */
static inline int64_t co__stacks_rest(int64_t now)
{
    /* relaxed: a nap late does no harm. */
    int64_t at = atomic_load_explicit(&co__stack_limits.trim_at, memory_order_relaxed);

    if (at == 0)
        return CO_NEVER;
    return at > now ? at - now : 0;
}

/*
 * Which stack an address belongs to, its guard included: it is in the guard if it is below
 * *ret_low.
 * Returns: whether it belongs to one. Threads: any, and signal handlers.
 */
bool co__stack_find(const void *addr, uintptr_t *ret_low, size_t *ret_size);

/*
 * The size that was meant, of a stack with `size` usable bytes: a default stack has a little more.
 * Returns: the size to show to a user. Threads: any, and signal handlers.
 */
size_t co__stack_nominal(size_t size);

/*
 * How much of a stack was ever used since it was made or trimmed, in whole pages (mincore).
 * Returns: bytes below the top. Suspends: never. Threads: any, while the stack is not unmapped.
 */
size_t co__stack_high_water(const struct co__stack *stack);

/*
 * The most that co__stack_high_water was seen to be of any default stack. Stacks are measured when
 * they are trimmed, and some more at each call of this, in turn, about 0.3 us each: all of them if
 * there are few.
 * Returns: bytes. Suspends: never. Threads: any.
 */
size_t co__stacks_deepest(void);

/* Statistics; each figure by itself is exact, together they may be a moment apart. Threads: any. */
struct co__stack_counts co__stacks_count(void);

#endif
