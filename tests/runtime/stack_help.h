/* SPDX-License-Identifier: MIT */
/* stack_help.h - what the tests of stacks and of their guards share. One worker: one cache. */
#ifndef TESTS_RUNTIME_STACK_HELP_H
#define TESTS_RUNTIME_STACK_HELP_H

#include "stack.h"
#include "support/child.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Something looks on that has memory of its own for ours, and is slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(CO_TEST_VALGRIND)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define DEFAULT ((size_t)64 << 10)

static struct co__stack_cache cache;

__attribute__((unused)) static void start(enum co__guard best)
{
    cr_assert_eq(co__stacks_start_with(DEFAULT, 1, best), 0);
}

/* Also checks, in debug builds, that all stacks are back. */
__attribute__((unused)) static void stop(void)
{
    co__stack_cache_flush(&cache);
    co__stacks_stop();
}

__attribute__((unused)) static struct co__stack *get(size_t size)
{
    struct co__stack *stack = co__stack_get(&cache, size);

    cr_assert_not_null(stack);
    return stack;
}

__attribute__((unused)) static char *top_of(const struct co__stack *stack)
{
    return (char *)stack->low + stack->size;
}

/* Gets n stacks and touches `bytes` at the top of each. */
__attribute__((unused)) static struct co__stack **get_many(size_t n, size_t bytes)
{
    struct co__stack **all = calloc(n, sizeof(struct co__stack *));

    cr_assert_not_null(all);
    cr_assert_eq(co__stack_reserve(n), 0);
    for (size_t i = 0; i < n; i++) {
        all[i] = get(0);
        memset(top_of(all[i]) - bytes, 1, bytes);
    }
    return all;
}

__attribute__((unused)) static void put_many(struct co__stack **all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        co__stack_put(&cache, all[i]);
    free(all);
}

/* Whether the kernel can write a zero there: it says EFAULT where we would get a signal. */
__attribute__((unused)) static bool writable(char *at)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    cr_assert_geq(fd, 0);
    n = read(fd, at, 1);
    (void)close(fd);
    return n == 1;
}

/* Checks that the bytes around a stack's low end are what they should be. */
__attribute__((unused)) static void check_guarded(struct co__stack *stack)
{
    char *low = stack->low;

    cr_assert(writable(low), "the lowest byte is usable");
    cr_assert(writable(top_of(stack) - 1), "the highest byte is usable");
    cr_assert_not(writable(low - 1), "the byte below is not");
    cr_assert_not(writable(low - CO__GUARD_LEAST), "the guard is 64 KiB");
}

#endif
