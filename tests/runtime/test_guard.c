/* SPDX-License-Identifier: MIT */
/* test_guard.c - guards of each kind: that they stop a write, and what happens without them. */
#include "stack_help.h"

#include <sys/mman.h>

Test(guard, a_guard_marker_faults)
{
    struct co__stack *below, *stack;

    start(CO__GUARD_MARKER);
    if (co__guards_kind() != CO__GUARD_MARKER)
        cr_skip("this kernel has no MADV_GUARD_INSTALL");
    below = get(0); /* the neighbour, which is mapped all around */
    stack = get(0);
    cr_assert_gt(stack->low, below->low);
    check_guarded(stack);
    co__stack_put(&cache, below);
    cr_assert_eq(stack->flags & (CO__STACK_UNGUARDED | CO__STACK_MPROTECTED), 0);
    co__stack_put(&cache, stack);
    stop();
}

Test(guard, an_mprotect_guard_faults)
{
    struct co__stack *below, *stack;

    start(CO__GUARD_MPROTECT);
    cr_assert_eq(co__guards_kind(), CO__GUARD_MPROTECT);
    below = get(0);
    stack = get(0);
    cr_assert_gt(stack->low, below->low);
    check_guarded(stack);
    co__stack_put(&cache, below);
    cr_assert(stack->flags & CO__STACK_MPROTECTED);
    co__stack_put(&cache, stack);
    stop();
}

Test(guard, beyond_the_quota_of_mprotect_stacks_are_unguarded_and_counted, .timeout = 120)
{
    struct co__stack **all;
    struct co__stack_counts counts;
    size_t n = 60000, guarded = 0;

#ifdef CO_TEST_VALGRIND
    cr_skip_test("valgrind has no room for so many mappings");
#endif
    start(CO__GUARD_MPROTECT);
    all = get_many(n, 0);
    for (size_t i = 0; i < n; i++)
        guarded += (all[i]->flags & CO__STACK_UNGUARDED) == 0;
    counts = co__stacks_count();
    cr_assert_eq(counts.begun, n);
    cr_assert_eq(counts.unguarded, n - guarded);
    cr_assert_gt(guarded, 0);
    if (counts.unguarded == 0)
        cr_skip("vm.max_map_count lets us guard %zu stacks here", n);
    /* There are mappings left for the rest of the program. */
    for (int i = 0; i < 1000; i++) {
        int protection = i % 2 ? PROT_READ : PROT_NONE; /* differ, so they do not merge */

        cr_assert_neq(mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
    }
    put_many(all, n);
    stop();
}

static void overflow_by(struct co__stack *stack, size_t bytes, char value)
{
    volatile char *at = (char *)stack->low - bytes;

    for (size_t i = 0; i < bytes; i++)
        at[i] = value;
}

Test(guard, an_unguarded_stack_is_counted_and_can_be_used_to_its_last_byte)
{
    struct co__stack *stack;

    start(CO__GUARD_NONE);
    stack = get(0);
    cr_assert(stack->flags & CO__STACK_UNGUARDED);
    cr_assert_eq(co__stacks_count().unguarded, 1);
    memset(stack->low, 0xff, stack->size);
    co__stack_put(&cache, stack);
    cr_assert_eq(get(0), stack, "it goes into the cache like others");
    co__stack_put(&cache, stack);
    cr_assert_eq(co__stacks_count().unguarded, 1, "and is counted once");
    stop();
}

static struct co__stack *victim;

static void overflow_by_a_word(void)
{
    overflow_by(victim, 8, 1);
    co__stack_put(&cache, victim);
}

Test(guard, the_overflow_of_an_unguarded_stack_is_found_when_it_is_put_back)
{
    struct death death;

    start(CO__GUARD_NONE);
    victim = get(0);
    run_child(&death, overflow_by_a_word);
    cr_assert_eq(death.sig, SIGABRT, "said: %s", death.text);
    cr_assert_says(&death, "overflowed its stack of ");
    cr_assert_says(&death, "stack_size");
    co__stack_put(&cache, victim);

    victim = get(1 << 20);
    run_child(&death, overflow_by_a_word);
    cr_assert_eq(death.sig, SIGABRT, "said: %s", death.text);
    co__stack_put(&cache, victim);
    stop();
}

Test(guard, mprotect_quota_is_given_back_with_the_mapping)
{
    start(CO__GUARD_MPROTECT);
    for (int i = 0; i < 40000; i++) /* more than the quota */
        co__stack_put(&cache, get(2 << 20));
    cr_assert_eq(co__stacks_count().unguarded, 0);
    stop();
}
