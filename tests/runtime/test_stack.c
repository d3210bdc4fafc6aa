/* SPDX-License-Identifier: MIT */
/* test_stack.c - stacks: caches, the reservation, other sizes, trim, memory, threads. */
#include "context.h"
#include "stack_help.h"

#include <pthread.h>
#include <stdio.h>

/*
 * The least number of stacks for which a test about "very many" is worth it: more than mprotect can
 * guard.
 */
#ifdef SANITIZED
#define MANY 40000
#else
#define MANY 1000000
#endif

/* A line of /proc/self/status, in bytes. */
static long status_bytes(const char *key)
{
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    long kib = -1;

    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtol(line + strlen(key) + 1, NULL, 10);
    }
    (void)fclose(file);
    cr_assert_geq(kib, 0, "%s is not in /proc/self/status", key);
    return kib * 1024;
}

/* What the process costs: pages and page tables. */
static long memory(void)
{
    return status_bytes("VmRSS") + status_bytes("VmPTE");
}

Test(stack, a_size_out_of_range_is_refused)
{
    cr_assert_eq(co__stacks_start(CO__STACK_MIN - 1, 1), -EINVAL);
    cr_assert_eq(co__stacks_start((size_t)CO__STACK_MAX + 1, 1), -EINVAL);
    start(CO__GUARD_MARKER);
    cr_assert_null(co__stack_get(&cache, (size_t)CO__STACK_MAX + 1));
    stop();
}

Test(stack, the_whole_default_size_is_usable_and_its_top_is_aligned)
{
    struct co__stack **all;

    start(CO__GUARD_MARKER);
    all = get_many(40, DEFAULT);
    for (size_t i = 0; i < 40; i++) {
        cr_assert_geq(all[i]->size, DEFAULT);
        cr_assert_eq((uintptr_t)top_of(all[i]) % 64, 0);
        cr_assert_eq(co__stack_nominal(all[i]->size), DEFAULT);
    }
    put_many(all, 40);
    stop();
}

Test(stack, neighbours_begin_in_different_cache_sets)
{
    struct co__stack **all;
    unsigned seen = 0;

    start(CO__GUARD_MARKER);
    all = get_many(16, 0);
    for (size_t i = 0; i < 16; i++)
        seen |= 1U << ((uintptr_t)top_of(all[i]) / 64 % 16);
    cr_assert_eq(seen, 0xffff);
    put_many(all, 16);
    stop();
}

Test(stack, the_stack_put_last_is_handed_out_first)
{
    struct co__stack *a, *b, *c;

    start(CO__GUARD_MARKER);
    a = get(0);
    b = get(0);
    c = get(DEFAULT);
    co__stack_put(&cache, b);
    co__stack_put(&cache, c);
    co__stack_put(&cache, a);
    cr_assert_eq(get(0), a);
    cr_assert_eq(get(DEFAULT), c);
    cr_assert_eq(get(0), b);
    co__stack_put(&cache, a);
    co__stack_put(&cache, b);
    co__stack_put(&cache, c);
    stop();
}

Test(stack, a_full_cache_keeps_the_hottest_and_gives_the_coldest_away)
{
    size_t n = (size_t)CO__STACK_CACHE + 1;
    struct co__stack_cache other = {0};
    struct co__stack **all;
    struct co__stack *stack;

    start(CO__GUARD_MARKER);
    all = get_many(n, 0);
    for (size_t i = 0; i < n; i++)
        co__stack_put(&cache, all[i]);
    cr_assert_leq(cache.count, CO__STACK_CACHE);
    /* Another worker finds some of those that were put first, and none of those put last. */
    stack = co__stack_get(&other, 0);
    cr_assert_eq(stack, all[n - 1 - cache.count], "the hottest of the cold ones");
    co__stack_put(&other, stack);
    co__stack_cache_flush(&other);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(get(0), all[n - 1 - i], "the order in which they were used, number %zu", i);
    put_many(all, n);
    stop();
}

Test(stack, a_stack_may_come_back_to_another_cache)
{
    struct co__stack_cache other = {0};
    struct co__stack *stack;

    start(CO__GUARD_MARKER);
    stack = get(0);
    co__stack_put(&other, stack);
    cr_assert_eq(co__stack_get(&other, 0), stack);
    co__stack_put(&other, stack);
    co__stack_cache_flush(&other);
    cr_assert_eq(co__stack_get(&cache, 0), stack, "flushing hands it to everybody");
    co__stack_put(&cache, stack);
    stop();
}

Test(stack, what_was_reserved_can_be_had_although_other_caches_are_full)
{
    struct co__stack_cache caches[4] = {0};
    struct co__stack **all;
    struct co__stack_counts counts;
    struct rlimit none;
    size_t n = 3000;

    cr_assert_eq(co__stacks_start(DEFAULT, 4), 0);
    all = get_many(n, 0);
    /* 64 lie in each of three other caches now. */
    for (size_t i = 0; i < (size_t)3 * CO__STACK_CACHE; i++)
        co__stack_put(&caches[i / CO__STACK_CACHE], all[i]);
    counts = co__stacks_count();
#ifndef SANITIZED
    /* From here on no mapping can be made: what was reserved is there already. */
    cr_assert_eq(getrlimit(RLIMIT_AS, &none), 0);
    none.rlim_cur = 1;
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
#else
    (void)none;
#endif
    for (size_t i = 0; i < (size_t)3 * CO__STACK_CACHE; i++) {
        all[i] = co__stack_get(&cache, 0);
        cr_assert_not_null(all[i], "number %zu of those given up was lost", i);
    }
    cr_assert_eq(co__stacks_count().mapped, counts.mapped);
#ifndef SANITIZED
    cr_assert_eq(co__stack_reserve(counts.mapped), -ENOMEM, "more cannot be promised");
    none.rlim_cur = none.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
#endif
    put_many(all, n);
    for (size_t i = 0; i < 4; i++)
        co__stack_cache_flush(&caches[i]);
    stop();
}

Test(stack, an_unreserved_stack_is_mapped_when_it_is_asked_for)
{
    struct co__stack *stack;

    start(CO__GUARD_MARKER);
    cr_assert_eq(co__stacks_count().mapped, 0, "nothing is mapped before it is needed");
    stack = get(0);
    co__stack_put(&cache, stack);
    stop();
}

Test(stack, a_reservation_costs_no_memory)
{
    long before;

    start(CO__GUARD_MARKER);
    before = memory();
    cr_assert_eq(co__stack_reserve(100000), 0);
    cr_assert_geq(co__stacks_count().mapped, 100000);
    cr_assert_eq(co__stacks_count().begun, 0);
#ifndef SANITIZED
    cr_assert_leq(memory() - before, 8L << 20, "%ld bytes", memory() - before);
#endif
    (void)before;
    stop();
}

static struct co__stack *victim;

static void put_twice(void)
{
    co__stack_put(&cache, victim);
    co__stack_put(&cache, victim);
}

Test(stack, a_debug_build_traps_when_a_stack_is_put_twice)
{
    struct death death;
    int sig;

#ifdef NDEBUG
    cr_skip("not a debug build");
#endif
    start(CO__GUARD_MARKER);
    victim = get(0);
    run_child(&death, put_twice);
    sig = death.sig;
    cr_assert(sig == SIGILL || sig == SIGTRAP || sig == SIGABRT, "signal %d", sig);
    co__stack_put(&cache, victim);
    stop();
}

/*
 * Finding.
 */

static void check_found(const struct co__stack *stack, const char *addr)
{
    uintptr_t low = 0;
    size_t size = 0;

    cr_assert(co__stack_find(addr, &low, &size), "%p of the stack at %p", (const void *)addr,
              stack->low);
    cr_assert_eq(low, (uintptr_t)stack->low);
    cr_assert_eq(size, stack->size);
}

Test(stack, an_address_in_a_stack_or_its_guard_is_found)
{
    struct co__stack **all;
    size_t sizes[] = {CO__STACK_MIN, 1 << 20, CO__STACK_MAX};

    start(CO__GUARD_MARKER);
    all = get_many(2000, 0); /* more than one slab */
    for (size_t i = 0; i < 2000; i++) {
        check_found(all[i], all[i]->low);
        check_found(all[i], (char *)all[i]->low - 1);
        check_found(all[i], (char *)all[i]->low - CO__GUARD_LEAST);
        check_found(all[i], top_of(all[i]) - 1);
    }
    put_many(all, 2000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct co__stack *stack = get(sizes[i]);

        check_found(stack, (char *)stack->low - 1);
        check_found(stack, top_of(stack) - 1);
        co__stack_put(&cache, stack);
    }
    stop();
}

Test(stack, an_address_elsewhere_is_not_found)
{
    struct co__stack *stack;
    uintptr_t low = 7;
    size_t size = 7;
    void *heap = malloc(1);
    void *large;

    start(CO__GUARD_MARKER);
    cr_assert_not(co__stack_find(&low, &low, &size), "there are no stacks yet");
    stack = get(0);
    cr_assert_not(co__stack_find(&low, &low, &size));
    cr_assert_not(co__stack_find(heap, &low, &size));
    cr_assert_not(co__stack_find(NULL, &low, &size));
    cr_assert_not(co__stack_find((void *)UINTPTR_MAX, &low, &size)); /* NOLINT(*int-to-ptr) */
    co__stack_put(&cache, stack);

    stack = get(CO__STACK_MAX);
    large = stack->low;
    co__stack_put(&cache, stack);
    cr_assert_not(co__stack_find(large, &low, &size), "it was unmapped");
    cr_assert_eq(low, 7, "outputs are written on success only");
    cr_assert_eq(size, 7);
    free(heap);
    stop();
}

/*
 * Other sizes.
 */

Test(stack, other_sizes_are_rounded_up_to_a_power_of_two)
{
    static const struct {
        size_t asked, got;
    } rows[] = {
        {1, 16 << 10},         {16 << 10, 16 << 10}, {(16 << 10) + 1, 32 << 10},
        {70 << 10, 128 << 10}, {1 << 20, 1 << 20},   {(1 << 20) + 1, 2 << 20},
        {64 << 20, 64 << 20},
    };

    start(CO__GUARD_MARKER);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct co__stack *stack = get(rows[i].asked);

        cr_assert_eq(stack->size, rows[i].got, "asked %zu, got %zu", rows[i].asked, stack->size);
        cr_assert_eq(co__stack_nominal(stack->size), rows[i].got);
        *(volatile char *)stack->low = 1;
        top_of(stack)[-1] = 1;
        check_guarded(stack);
        co__stack_put(&cache, stack);
    }
    stop();
}

Test(stack, a_size_that_rounds_up_to_the_default_is_a_default_stack)
{
    struct co__stack *stack;

    start(CO__GUARD_MARKER);
    stack = get(40 << 10);
    cr_assert_eq(stack->flags & CO__STACK_OTHER, 0);
    co__stack_put(&cache, stack);
    cr_assert_eq(get(0), stack);
    co__stack_put(&cache, stack);
    stop();
}

Test(stack, idle_stacks_of_another_size_are_used_again_and_bounded)
{
    struct co__stack *all[100];
    struct co__stack *stack;

    start(CO__GUARD_MARKER);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 100; i++)
            all[i] = get(256 << 10);
        cr_assert_eq(co__stacks_count().other, 100);
        for (size_t i = 0; i < 100; i++)
            co__stack_put(&cache, all[i]);
        cr_assert_leq(co__stacks_count().other, 16);
    }
    cr_assert_gt(co__stacks_count().other, 0);
    stack = get(256 << 10);
    co__stack_put(&cache, stack);
    cr_assert_eq(get(256 << 10), stack, "the one put last");
    co__stack_put(&cache, stack);
    stack = get(64 << 20);
    cr_assert_eq(co__stacks_count().other, 17);
    co__stack_put(&cache, stack);
    cr_assert_eq(co__stacks_count().other, 16, "large ones go back to the kernel at once");
    stop();
}

/*
 * Trim.
 */

Test(stack, trim_gives_back_the_memory_of_idle_stacks_only)
{
    size_t n = 2000;
    size_t used = 0;
    struct co__stack **all;
    long full, empty;

    start(CO__GUARD_MARKER);
    empty = memory();
    all = get_many(n, DEFAULT);
    full = memory();
    cr_assert_geq(full - empty, (long)(n * DEFAULT));
    put_many(all, n);
    cr_assert_eq(co__stacks_trim(SIZE_MAX), 0, "none was idle since the trim before");
    cr_assert_geq(co__stacks_trim(SIZE_MAX), n - CO__STACK_CACHE);
    cr_assert_eq(co__stacks_trim(SIZE_MAX), 0, "none is trimmed twice");
#ifndef SANITIZED /* their shadow memory stays */
    cr_assert_leq(memory() - empty, (full - empty) / 10);
#endif
    cr_assert_geq(co__stacks_count().trimmed, n - CO__STACK_CACHE);

    /* They are as good as new. */
    all = get_many(n, 0);
    cr_assert_eq(co__stacks_count().begun, n, "none was lost");
    for (size_t i = 0; i < n; i++)
        used += co__stack_high_water(all[i]) > 0;
    cr_assert_leq(used, CO__STACK_CACHE, "all but those in the cache are empty");
    check_guarded(all[n - 1]);
    put_many(all, n);
    stop();
}

Test(stack, trim_leaves_those_that_were_used_since)
{
    size_t n = 1000, busy = 600;
    struct co__stack **all;

    start(CO__GUARD_MARKER);
    put_many(get_many(n, 1), n);
    (void)co__stacks_trim(SIZE_MAX);
    all = get_many(busy, 1);
    put_many(all, busy);
    cr_assert_leq(co__stacks_trim(SIZE_MAX), n - busy);
    stop();
}

Test(stack, trim_stops_at_its_limit)
{
    size_t n = 1000;

    start(CO__GUARD_MARKER);
    put_many(get_many(n, 1), n);
    (void)co__stacks_trim(0);
    cr_assert_eq(co__stacks_trim(100), 100);
    cr_assert_eq(co__stacks_trim(100), 100);
    cr_assert_eq(co__stacks_trim(0), 0);
    stop();
}

Test(stack, trim_unmaps_idle_stacks_of_other_sizes)
{
    struct co__stack *stack;

    start(CO__GUARD_MARKER);
    stack = get(1 << 20);
    co__stack_put(&cache, stack);
    cr_assert_eq(co__stacks_trim(SIZE_MAX), 0);
    cr_assert_eq(co__stacks_trim(SIZE_MAX), 1);
    cr_assert_eq(co__stacks_count().other, 0);
    stop();
}

Test(stack, an_unguarded_stack_survives_a_trim)
{
    size_t n = 1000;
    struct co__stack **all;

    start(CO__GUARD_NONE);
    put_many(get_many(n, DEFAULT), n);
    (void)co__stacks_trim(SIZE_MAX);
    cr_assert_gt(co__stacks_trim(SIZE_MAX), 0);
    all = get_many(n, DEFAULT);
    put_many(all, n);
    stop();
}

Test(stack, high_water_is_what_was_touched)
{
    struct co__stack *stack;

    start(CO__GUARD_MARKER);
    stack = get(0);
    cr_assert_eq(co__stack_high_water(stack), 0);
    top_of(stack)[-1] = 1;
    cr_assert_leq(co__stack_high_water(stack), 4096);
    cr_assert_gt(co__stack_high_water(stack), 0);
    top_of(stack)[-30000] = 1;
    cr_assert_geq(co__stack_high_water(stack), 30000);
    cr_assert_leq(co__stack_high_water(stack), 30000 + 2 * 4096);
    co__stack_put(&cache, stack);

    stack = get(8 << 20);
    top_of(stack)[-5000000] = 1;
    cr_assert_geq(co__stack_high_water(stack), 5000000);
    cr_assert_leq(co__stack_high_water(stack), 5000000 + 4096);
    co__stack_put(&cache, stack);
    stop();
}

Test(stack, the_deepest_is_found_among_many_and_not_forgotten_by_a_trim)
{
    size_t n = 1000;
    struct co__stack **all;

    start(CO__GUARD_MARKER);
    cr_assert_eq(co__stacks_deepest(), 0, "there are none");
    all = get_many(n, 1);
    top_of(all[700])[-50000] = 1;
    for (int i = 0; i < 20; i++) /* some are looked at each time, in turn */
        (void)co__stacks_deepest();
    cr_assert_geq(co__stacks_deepest(), 50000);
    cr_assert_leq(co__stacks_deepest(), 50000 + 2 * 4096);
    top_of(all[0])[-60000] = 1; /* goes to the shared list first */
    put_many(all, n);
    (void)co__stacks_trim(SIZE_MAX);
    (void)co__stacks_trim(SIZE_MAX);
    cr_assert_geq(co__stacks_deepest(), 60000, "what is trimmed is measured before");
    stop();
}

Test(stack, a_rest_is_short_only_while_there_is_something_to_trim)
{
    size_t n = 1000;
    size_t before;
    int64_t now = co_now();

    start(CO__GUARD_MARKER);
    cr_assert_eq(co__stacks_rest(now), CO_NEVER);
    co__stacks_tend(now);
    put_many(get_many(n, 1), n);
    cr_assert_gt(co__stacks_rest(now), 0);
    cr_assert_lt(co__stacks_rest(now), 3600 * CO_SEC);
    co__stacks_tend(now); /* too early: nothing happens */
    cr_assert_eq(co__stacks_count().trimmed, 0);
    now += 3600 * CO_SEC;
    cr_assert_eq(co__stacks_rest(now), 0);
    co__stacks_tend(now); /* learns who is idle */
    cr_assert_eq(co__stacks_count().trimmed, 0);
    now += 3600 * CO_SEC;
    do {
        before = co__stacks_count().trimmed;
        co__stacks_tend(now); /* a few at a time */
        cr_assert_leq(co__stacks_count().trimmed, before + CO__STACK_CACHE);
    } while (co__stacks_count().trimmed > before);
    cr_assert_geq(before, n - CO__STACK_CACHE);
    cr_assert_eq(co__stacks_rest(now), CO_NEVER);
    stop();
}

/*
 * Very many, and from several threads.
 */

Test(stack, a_million_guarded_stacks_cost_only_page_tables, .timeout = 300)
{
    struct co__stack **all;
    size_t n = MANY;
    long before, cost;

    start(CO__GUARD_MARKER);
    if (co__guards_kind() != CO__GUARD_MARKER)
        cr_skip("this kernel has no MADV_GUARD_INSTALL");
    before = memory();
    all = get_many(n, 0);
    cr_assert_eq(co__stacks_count().unguarded, 0);
    cost = (memory() - before) / (long)n;
    cr_log_info("%zu guarded stacks, untouched: %ld bytes each (memory and page tables)", n, cost);
#ifndef SANITIZED
    cr_assert_leq(cost, 400);
#endif
    check_guarded(all[0]);
    check_guarded(all[n - 1]);
    put_many(all, n);
    stop();
}

Test(stack, a_parked_coroutine_costs_one_page_and_a_little, .timeout = 300)
{
    struct co__stack **all;
    size_t n = 100000;
    long before, cost;

    start(CO__GUARD_MARKER);
    before = memory();
    all = get_many(n, 512);
    cost = (memory() - before) / (long)n;
    cr_log_info("%zu stacks with one page touched: %ld bytes each (memory and page tables)", n,
                cost);
#ifndef SANITIZED
    /* 5 KiB per coroutine is the aim; its record needs some 550 bytes of them. */
    cr_assert_leq(cost, 5 * 1024 - 550);
#endif
    put_many(all, n);
    stop();
}

enum { THREADS = 4, TURNS = 3000, HELD = 50 };

static _Atomic size_t lost;

/* Takes and gives in a pattern that moves stacks between the caches, writing into each. */
static void *churn(void *arg)
{
    struct co__stack_cache *own = arg;
    struct co__stack *held[HELD * 3];
    uintptr_t mine = (uintptr_t)arg;
    unsigned random = (unsigned)mine;

    for (int turn = 0; turn < TURNS; turn++) {
        size_t n = HELD + (random = random * 1103515245 + 12345) / 65536 % (HELD * 2);

        for (size_t i = 0; i < n; i++) {
            held[i] = co__stack_get(own, i % 37 == 36 ? 128 << 10 : 0);
            memcpy(held[i]->low, &mine, sizeof(mine));
        }
        for (size_t i = 0; i < n; i++) {
            if (memcmp(held[i]->low, &mine, sizeof(mine)) != 0)
                lost++;
            co__stack_put(own, held[i]);
        }
        if (turn % 64 == 0)
            (void)co__stacks_trim(SIZE_MAX);
    }
    co__stack_cache_flush(own);
    return NULL;
}

Test(stack, threads_never_share_a_stack, .timeout = 120)
{
    struct co__stack_cache caches[THREADS] = {0};
    pthread_t threads[THREADS];
    size_t mapped;

    cr_assert_eq(co__stacks_start(DEFAULT, THREADS), 0);
    cr_assert_eq(co__stack_reserve((size_t)THREADS * HELD * 3), 0);
    mapped = co__stacks_count().mapped;
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, churn, &caches[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_eq(lost, 0);
    cr_assert_eq(co__stacks_count().mapped, mapped, "what was reserved was enough");
    stop();
}

Test(stack, it_starts_again_after_a_stop)
{
    for (int i = 0; i < 3; i++) {
        struct co__stack *stack;

        start(i == 1 ? CO__GUARD_NONE : CO__GUARD_MARKER);
        cr_assert_eq(co__stack_reserve(1000), 0);
        stack = get(0);
        cr_assert_eq(co__stacks_count().begun, 1);
        co__stack_put(&cache, stack);
        stop();
        cr_assert_eq(co__stacks_count().mapped, 0);
        cr_assert_eq(co__stacks_count().unguarded, 0);
    }
}
static struct co__context outside, inside;

__attribute__((noinline)) static void park_with_an_array(char *array, size_t size)
{
    memset(array, 1, size);
    (void)co__context_switch(&inside, &outside, NULL);
}

static void park_for_ever(void *data)
{
    char array[1024];

    (void)data;
    park_with_an_array(array, sizeof(array));
    co__context_leave(&inside, &outside, NULL);
}

/* Under AddressSanitizer, the array's surroundings are poisoned until its function returns. */
Test(stack, a_reused_stack_does_not_remember_the_frames_of_its_last_user)
{
    struct co__stack *stack;

    start(CO__GUARD_MARKER);
    stack = get(0);
    co__context_thread(&outside);
    co__context_make(&inside, top_of(stack), stack->size, park_for_ever);
    (void)co__context_switch(&outside, &inside, NULL);
    co__context_drop(&inside);
    co__stack_put(&cache, stack);
    cr_assert_eq(get(0), stack);
    memset(stack->low, 1, stack->size);
    co__stack_put(&cache, stack);
    stop();
}
