/* SPDX-License-Identifier: MIT */
/*
 * stack.c - slabs and shared lists behind stack.h.
 *
 * One lock protects the lists; no system call is made under it. Who makes a system call on a stack
 * has taken it off every list before.
 *
 * Why a reserved get cannot fail: room + slack <= mapped always, where slack is what all caches and
 * one trimmer can hold. A get that finds its own cache and the lists empty would mean that more
 * than room stacks are out.
 */
#include "stack.h"

#include <co/assert.h>
#include <co/latch.h>
#include <co/private/chaos.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SLAB = 64 << 20,
    BATCH = 32,      /* stacks between a cache and the shared list at once */
    TRIM_BATCH = 64, /* stacks that a trimmer has in hand at once */
    SAMPLE = 128,    /* stacks that are measured when somebody asks for the deepest */
    COLOURS = 16,    /* the tops of neighbours differ by a cache line each, over a kilobyte */
    COLOUR_STEP = 64,
    CLASS_MIN = 14, /* log2 of CO__STACK_MIN and CO__STACK_MAX */
    CLASS_MAX = 26,
    CLASSES = CLASS_MAX - CLASS_MIN + 1,
    KEEP = 16,          /* idle stacks of each other size that are kept for later */
    KEEP_MAX = 1 << 20, /* larger ones are never kept */
};

#define TRIM_EVERY CO_SEC

/*
 * One mapping: a slab of default stacks, or a single stack of another size. The record is never
 * freed before the stop, and never gets another shape: co__stack_find walks all records without a
 * lock.
 */
struct area {
    struct area *next;      /* of all areas; written before the area is published */
    struct area *next_idle; /* slab: with fresh stacks; other: without a mapping (base is 0) */
    struct area *next_slab;
    _Atomic uintptr_t base; /* 0 while nothing is mapped */
    size_t stride;          /* guard + usable + colour */
    unsigned count;
    unsigned fresh; /* stacks [fresh, count) were never handed out */
    struct co__stack stack[];
};

struct size_class {
    struct co__stack *idle;
    unsigned count;      /* of the idle ones */
    unsigned low;        /* the least count since the last trim */
    struct area *vacant; /* records without a mapping */
};

struct co__stack_limits co__stack_limits;

static struct shared {
    struct co_latch lock;

    /* Constant from start to stop. */
    size_t page;
    size_t usable; /* of a default stack, without its colour page */
    size_t slack;

    struct area *_Atomic areas;

    /* Under the lock. */
    size_t mapped;
    struct area *fresh;
    struct area *slabs;
    struct area *sampled; /* whose stack number `sample` is measured next; NULL: the first */
    unsigned sample;
    struct co__stack *warm, *warm_tail;
    size_t warm_count;
    size_t warm_low; /* the least warm_count since the last trim: so many lie idle at the tail */
    struct co__stack *clean;
    size_t clean_count;
    struct size_class classes[CLASSES];
    bool trimming;

    _Atomic size_t begun, other, trimmed, deepest; /* statistics */
} stacks;

static void count_add(_Atomic size_t *counter, size_t n)
{
    /* relaxed: a statistic, which orders nothing. */
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void count_sub(_Atomic size_t *counter, size_t n)
{
    /* relaxed: a statistic, which orders nothing. */
    atomic_fetch_sub_explicit(counter, n, memory_order_relaxed);
}

static size_t count_get(_Atomic size_t *counter)
{
    /* relaxed: a statistic, which orders nothing. */
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* The address space of one mapping of an area, from base on. */
static size_t area_bytes(const struct area *area)
{
    return area->stride * area->count;
}

static struct area *area_of(struct co__stack *other)
{
    /* A stack of another size is the only one in its area. */
    return (struct area *)((char *)other - offsetof(struct area, stack));
}

static void count_deep(size_t bytes)
{
    /* relaxed: a statistic, which orders nothing. */
    size_t deepest = atomic_load_explicit(&stacks.deepest, memory_order_relaxed);

    while (bytes > deepest && !atomic_compare_exchange_weak_explicit(
                                  &stacks.deepest, &deepest, bytes,
                                  memory_order_relaxed /* as above */, memory_order_relaxed))
        continue;
}

/* Under the lock. Says when to trim next; 0: there is nothing to trim. */
static void trim_at(int64_t time)
{
    /* relaxed: who naps looks at it, and may be a nap late. */
    atomic_store_explicit(&co__stack_limits.trim_at, time, memory_order_relaxed);
}

/* Under the lock. There is something to trim, if nobody needs it until then. */
static void trim_later(void)
{
    /* relaxed: written under the lock, or by who is about to trim. */
    if (atomic_load_explicit(&co__stack_limits.trim_at, memory_order_relaxed) == 0)
        trim_at(co_now() + TRIM_EVERY);
}

/*
 * Areas.
 */

/* Maps address space for an area. Returns: its address, 0 if there is none to be had. */
static uintptr_t area_map(const struct area *area)
{
    void *at = MAP_FAILED;

    if (!CO__CHAOS(CO__CHAOS_STACK))
        at = mmap(NULL, area_bytes(area), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (at == MAP_FAILED)
        return 0;
    /* A huge page under a stack would cost 2 MiB. Kernels without huge pages refuse this, and need
     * not care. */
    (void)madvise(at, area_bytes(area), MADV_NOHUGEPAGE);
    return (uintptr_t)at;
}

static struct area *area_new(unsigned count, size_t usable)
{
    struct area *area = calloc(1, sizeof(*area) + count * sizeof(area->stack[0]));

    if (!area)
        return NULL;
    area->count = count;
    area->stride = co__guard_size() + usable;
    return area;
}

/* Tells an area that has just been mapped to co__stack_find. */
static void area_publish(struct area *area, uintptr_t base, bool first_time)
{
    struct area *next;

    /* release pairs with the acquire in co__stack_find: the addresses in the records are seen. */
    atomic_store_explicit(&area->base, base, memory_order_release);
    if (!first_time)
        return;
    /* relaxed: a guess, which the CAS confirms. */
    next = atomic_load_explicit(&stacks.areas, memory_order_relaxed);
    do {
        area->next = next;
        /* release pairs with the acquire in co__stack_find: next and the shape of the area are
         * seen. */
    } while (!atomic_compare_exchange_weak_explicit(
        &stacks.areas, &next, area, memory_order_release, memory_order_relaxed /* tried again */));
}

/* Maps one more slab of fresh stacks. */
static int slab_add(void)
{
    size_t span = stacks.usable + stacks.page; /* the page is for the colour */
    size_t count = SLAB / (co__guard_size() + span);
    struct area *area = area_new(count > 0 ? (unsigned)count : 1, span);
    uintptr_t base = area ? area_map(area) : 0;

    if (base == 0) {
        free(area);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < area->count; i++) {
        area->stack[i].low = (char *)base + i * area->stride + co__guard_size();
        area->stack[i].size = span - (size_t)(i % COLOURS) * COLOUR_STEP;
    }
    area_publish(area, base, true);
    co_latch_take(&stacks.lock);
    area->next_idle = stacks.fresh;
    stacks.fresh = area;
    area->next_slab = stacks.slabs;
    stacks.slabs = area;
    stacks.mapped += area->count;
    if (stacks.mapped > stacks.slack) {
        /* release pairs with the acquire in co__stack_reserve. */
        atomic_store_explicit(&co__stack_limits.room, stacks.mapped - stacks.slack,
                              memory_order_release);
    }
    co_latch_give(&stacks.lock);
    return 0;
}

int co__stack_grow(size_t n)
{
    /* Two threads that grow at once may map a slab too many: that is address space only.
     * acquire pairs with the release in slab_add. */
    while (n > atomic_load_explicit(&co__stack_limits.room, memory_order_acquire)) {
        int r = slab_add();

        if (r < 0)
            return r;
    }
    return 0;
}

/*
 * Shared lists of default stacks, all under the lock.
 */

static void warm_push(struct co__stack *stack)
{
    stack->prev = NULL;
    stack->next = stacks.warm;
    if (stacks.warm)
        stacks.warm->prev = stack;
    else
        stacks.warm_tail = stack;
    stacks.warm = stack;
    stacks.warm_count++;
}

static void warm_remove(struct co__stack *stack)
{
    if (stack->prev)
        stack->prev->next = stack->next;
    else
        stacks.warm = stack->next;
    if (stack->next)
        stack->next->prev = stack->prev;
    else
        stacks.warm_tail = stack->prev;
    stacks.warm_count--;
    if (stacks.warm_low > stacks.warm_count)
        stacks.warm_low = stacks.warm_count;
}

static struct co__stack *idle_pop(void)
{
    struct co__stack *stack = stacks.warm;

    if (stack) {
        warm_remove(stack);
    } else if (stacks.clean) {
        stack = stacks.clean;
        stacks.clean = stack->next;
        stacks.clean_count--;
    }
    return stack;
}

static struct co__stack *fresh_pop(void)
{
    struct area *area = stacks.fresh;
    struct co__stack *stack;

    if (!area)
        return NULL;
    stack = &area->stack[area->fresh++];
    if (area->fresh == area->count)
        stacks.fresh = area->next_idle;
    return stack;
}

/* Takes a stack from the shared lists, and some more for the cache, which is empty, if any. */
static struct co__stack *get_shared(struct co__stack_cache *cache)
{
    unsigned most = cache ? BATCH : 1;
    struct co__stack *some[BATCH];
    struct co__stack *stack;
    unsigned n = 0;

    co_latch_take(&stacks.lock);
    while (n < most && (some[n] = idle_pop()) != NULL)
        n++;
    stack = n > 0 ? some[0] : fresh_pop();
    co_latch_give(&stacks.lock);
    if (n == 0 && stack) {
        count_add(&stacks.begun, 1);
        co__guard_make(stack);
    }
    while (n > 1) /* the hottest of them on top */
        cache->slot[cache->count++] = some[--n];
    return stack;
}

/* Gives the coldest `n` stacks of a cache to the warm list. */
static void spill(struct co__stack_cache *cache, unsigned n)
{
    co_latch_take(&stacks.lock);
    for (unsigned i = 0; i < n; i++)
        warm_push(cache->slot[i]);
    if (n > 0)
        trim_later();
    co_latch_give(&stacks.lock);
    cache->count -= n;
    for (unsigned i = 0; i < cache->count; i++)
        cache->slot[i] = cache->slot[i + n];
}

void co__stack_cache_flush(struct co__stack_cache *cache)
{
    spill(cache, cache->count);
}

/*
 * Stacks of other sizes.
 */

/* The power of two that a size is rounded up to, counted from CLASS_MIN. */
static unsigned class_of(size_t size)
{
    unsigned c = 0;

    while (((size_t)1 << (c + CLASS_MIN)) < size)
        c++;
    return c;
}

/* Maps a stack of a class, with an old record if there is one. */
static struct co__stack *other_map(unsigned c, struct area *vacant)
{
    struct size_class *class = &stacks.classes[c];
    size_t usable = round_up((size_t)1 << (c + CLASS_MIN), stacks.page);
    struct area *area = vacant ? vacant : area_new(1, usable);
    uintptr_t base = area ? area_map(area) : 0;

    if (base == 0 && vacant) {
        co_latch_take(&stacks.lock);
        vacant->next_idle = class->vacant;
        class->vacant = vacant;
        co_latch_give(&stacks.lock);
        return NULL;
    }
    if (base == 0) {
        free(area);
        return NULL;
    }
    area->stack[0] = (struct co__stack){
        .low = (char *)base + co__guard_size(), .size = usable, .flags = CO__STACK_OTHER};
    area_publish(area, base, !vacant);
    count_add(&stacks.other, 1);
    co__guard_make(&area->stack[0]);
    return &area->stack[0];
}

static struct co__stack *class_pop(struct size_class *class)
{
    struct co__stack *stack = class->idle;

    if (!stack)
        return NULL;
    class->idle = stack->next;
    class->count--;
    if (class->low > class->count)
        class->low = class->count;
    return stack;
}

static struct co__stack *get_other(unsigned c)
{
    struct size_class *class = &stacks.classes[c];
    struct area *vacant = NULL;
    struct co__stack *stack;

    co_latch_take(&stacks.lock);
    stack = class_pop(class);
    if (!stack && class->vacant) {
        vacant = class->vacant;
        class->vacant = vacant->next_idle;
    }
    co_latch_give(&stacks.lock);
    return stack ? stack : other_map(c, vacant);
}

static void other_unmap(struct co__stack *stack)
{
    struct area *area = area_of(stack);
    struct size_class *class = &stacks.classes[class_of(stack->size)];
    /* relaxed: the caller has the stack, so nobody else writes this. */
    uintptr_t base = atomic_load_explicit(&area->base, memory_order_relaxed);

    co__guard_drop(stack);
    count_sub(&stacks.other, 1);
    /* relaxed: co__stack_find must not name this stack for what is mapped here later by this
     * thread; other threads have no business with addresses of a stack that nobody runs on. */
    atomic_store_explicit(&area->base, 0, memory_order_relaxed);
    (void)munmap((void *)base, area_bytes(area));
    co_latch_take(&stacks.lock);
    area->next_idle = class->vacant;
    class->vacant = area;
    co_latch_give(&stacks.lock);
}

static void put_other(struct co__stack *stack)
{
    struct size_class *class = &stacks.classes[class_of(stack->size)];
    bool keep;

    co_latch_take(&stacks.lock);
    keep = stack->size <= KEEP_MAX && class->count < KEEP;
    if (keep) {
        stack->next = class->idle;
        class->idle = stack;
        class->count++;
        trim_later();
    }
    co_latch_give(&stacks.lock);
    if (!keep)
        other_unmap(stack);
}

/*
 * Get and put.
 */

struct co__stack *co__stack_get_slow(struct co__stack_cache *cache, size_t size)
{
    struct co__stack *stack;

    if (size > CO__STACK_MAX)
        return NULL;
    if (size > stacks.usable ||
        (size > 0 && ((size_t)1 << (class_of(size) + CLASS_MIN)) < stacks.usable))
        return get_other(class_of(size));
    if (cache && cache->count > 0)
        return cache->slot[--cache->count];
    while (!(stack = get_shared(cache))) {
        /* The caller has reserved nothing. */
        if (slab_add() < 0)
            return NULL;
    }
    return stack;
}

void co__stack_put_slow(struct co__stack_cache *cache, struct co__stack *stack)
{
    co__guard_check(stack);
    if (stack->flags & CO__STACK_OTHER) {
        put_other(stack);
        return;
    }
    if (cache->count == CO__STACK_CACHE)
        spill(cache, CO__STACK_CACHE - BATCH);
    cache->slot[cache->count++] = stack;
}

/*
 * Trim.
 */

/*
 * Gives the stacks back that no get needed since the last trim; the kernel unmaps all of it at
 * once.
 */
static size_t trim_class(struct size_class *class, size_t max)
{
    size_t n = 0;

    for (struct co__stack *stack = NULL; n < max; n++) {
        co_latch_take(&stacks.lock);
        stack = class->low > 0 ? class_pop(class) : NULL;
        co_latch_give(&stacks.lock);
        if (!stack)
            break;
        other_unmap(stack);
    }
    co_latch_take(&stacks.lock);
    class->low = class->count;
    co_latch_give(&stacks.lock);
    return n;
}

/* Moves at most n of the longest idle from warm to clean. Only stacks of default size come here. */
static size_t trim_some(size_t n)
{
    struct co__stack *some[TRIM_BATCH];
    size_t got = 0;

    co_latch_take(&stacks.lock);
    while (got < n && got < TRIM_BATCH && stacks.warm_low > 0) {
        size_t low = stacks.warm_low - 1;

        some[got] = stacks.warm_tail;
        warm_remove(some[got++]);
        stacks.warm_low = low;
    }
    co_latch_give(&stacks.lock);
    for (size_t i = 0; i < got; i++) { /* the guard lies below and stays */
        count_deep(co__stack_high_water(some[i]));
        (void)madvise(some[i]->low, stacks.usable + stacks.page, MADV_DONTNEED);
    }
    co_latch_take(&stacks.lock);
    for (size_t i = 0; i < got; i++) {
        some[i]->next = stacks.clean;
        stacks.clean = some[i];
    }
    stacks.clean_count += got;
    co_latch_give(&stacks.lock);
    return got;
}

/* Under the lock. The end of a trim: who lies idle from now on, and when to look again. */
static void trim_again(int64_t now)
{
    bool any = stacks.warm_count > 0;

    for (unsigned c = 0; c < CLASSES; c++)
        any |= stacks.classes[c].count > 0;
    if (stacks.warm_low > 0) { /* it stopped at its limit */
        trim_at(now);
        return;
    }
    stacks.warm_low = stacks.warm_count;
    trim_at(any ? now + TRIM_EVERY : 0);
}

size_t co__stacks_trim(size_t max)
{
    int64_t now = co_now();
    size_t total = 0;
    size_t n;
    bool busy;

    co_latch_take(&stacks.lock);
    busy = stacks.trimming;
    stacks.trimming = true;
    co_latch_give(&stacks.lock);
    if (busy)
        return 0;
    while ((n = trim_some(max - total)) > 0)
        total += n;
    for (unsigned c = 0; c < CLASSES; c++)
        total += trim_class(&stacks.classes[c], max - total);
    co_latch_take(&stacks.lock);
    trim_again(now);
    stacks.trimming = false;
    co_latch_give(&stacks.lock);
    count_add(&stacks.trimmed, total);
    return total;
}

void co__stacks_tend(int64_t now)
{
    /* relaxed: whose CAS wins trims; the lists have their lock. */
    int64_t at = atomic_load_explicit(&co__stack_limits.trim_at, memory_order_relaxed);

    if (at != 0 && at <= now &&
        atomic_compare_exchange_strong_explicit(&co__stack_limits.trim_at, &at, now + TRIM_EVERY,
                                                memory_order_relaxed /* as above */,
                                                memory_order_relaxed))
        (void)co__stacks_trim(TRIM_BATCH);
}

/*
 * Questions.
 */

bool co__stack_find(const void *addr, uintptr_t *ret_low, size_t *ret_size)
{
    /* acquire pairs with the release in area_publish: next and the shape of the areas are seen. */
    struct area *area = atomic_load_explicit(&stacks.areas, memory_order_acquire);

    for (; area; area = area->next) {
        /* acquire pairs with the release in area_publish: the records of the stacks are seen. */
        uintptr_t base = atomic_load_explicit(&area->base, memory_order_acquire);
        uintptr_t offset = (uintptr_t)addr - base;

        if (base != 0 && offset < area_bytes(area)) {
            const struct co__stack *stack = &area->stack[offset / area->stride];

            *ret_low = (uintptr_t)stack->low;
            *ret_size = stack->size;
            return true;
        }
    }
    return false;
}

size_t co__stack_nominal(size_t size)
{
    bool is_default = size > stacks.usable && size <= stacks.usable + stacks.page;

    return is_default ? co__stack_limits.default_size : size;
}

size_t co__stack_high_water(const struct co__stack *stack)
{
    unsigned char resident[256];
    size_t span = round_up(stack->size, stacks.page);
    size_t done = 0;

    while (done < span) {
        size_t bytes = span - done;

        if (bytes > sizeof(resident) * stacks.page)
            bytes = sizeof(resident) * stacks.page;
        if (mincore((char *)stack->low + done, bytes, resident) < 0)
            return stack->size; /* it may all be used: the careful answer */
        for (size_t i = 0; i < bytes / stacks.page; i++) {
            if (resident[i] & 1)
                return stack->size - (done + i * stacks.page);
        }
        done += bytes;
    }
    return 0;
}

/* The next stacks in turn that were ever handed out. Returns: how many. */
static size_t sample_some(struct co__stack **ret_some)
{
    size_t limit = count_get(&stacks.begun); /* at most as many as the slabs say */
    size_t n = 0;

    co_latch_take(&stacks.lock);
    while (n < SAMPLE && n < limit) {
        if (!stacks.sampled)
            stacks.sampled = stacks.slabs;
        if (stacks.sample < stacks.sampled->fresh) {
            ret_some[n++] = &stacks.sampled->stack[stacks.sample++];
        } else {
            stacks.sampled = stacks.sampled->next_slab;
            stacks.sample = 0;
        }
    }
    co_latch_give(&stacks.lock);
    return n;
}

size_t co__stacks_deepest(void)
{
    struct co__stack *some[SAMPLE];
    size_t n = sample_some(some);

    for (size_t i = 0; i < n; i++)
        count_deep(co__stack_high_water(some[i]));
    return count_get(&stacks.deepest);
}

struct co__stack_counts co__stacks_count(void)
{
    struct co__stack_counts counts = {
        .begun = count_get(&stacks.begun),
        .other = count_get(&stacks.other),
        .unguarded = co__guards_missing(),
        .trimmed = count_get(&stacks.trimmed),
    };

    co_latch_take(&stacks.lock);
    counts.mapped = stacks.mapped;
    co_latch_give(&stacks.lock);
    return counts;
}

/*
 * Start and stop.
 */

int co__stacks_start_with(size_t default_size, unsigned caches, enum co__guard best)
{
    if (default_size < CO__STACK_MIN || default_size > CO__STACK_MAX)
        return -EINVAL;
    stacks.page = (size_t)sysconf(_SC_PAGESIZE);
    stacks.usable = round_up(default_size, stacks.page);
    stacks.slack = (size_t)caches * CO__STACK_CACHE + TRIM_BATCH;
    co__guards_start(best);
    co__stack_limits.default_size = default_size;
    return 0;
}

int co__stacks_start(size_t default_size, unsigned caches)
{
    return co__stacks_start_with(default_size, caches, CO__GUARD_MARKER);
}

void co__stacks_stop(void)
{
    /* relaxed: this thread has joined all others. */
    struct area *area = atomic_load_explicit(&stacks.areas, memory_order_relaxed);

    for (unsigned c = 0; c < CLASSES; c++) {
        while (stacks.classes[c].idle)
            other_unmap(class_pop(&stacks.classes[c]));
    }
    CO_ASSERT(count_get(&stacks.other) == 0);
    CO_ASSERT(count_get(&stacks.begun) == stacks.warm_count + stacks.clean_count);
    while (area) {
        struct area *next = area->next;
        /* relaxed: as above. */
        uintptr_t base = atomic_load_explicit(&area->base, memory_order_relaxed);

        for (unsigned i = area->count; i-- > 0;) /* valgrind has its list in this order */
            co__guard_drop(&area->stack[i]);
        if (base != 0)
            (void)munmap((void *)base, area_bytes(area));
        free(area);
        area = next;
    }
    stacks = (struct shared){0};
    co__stack_limits = (struct co__stack_limits){0};
}
