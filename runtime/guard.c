/* SPDX-License-Identifier: MIT */
/* guard.c - the three kinds of guards of guard.h. */
#include "guard.h"

#include "stack.h"
#include "text.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { MAPS_DEFAULT = 65530 }; /* vm.max_map_count of a kernel that does not tell */

/* Constant from co__guards_start on, except for the counters. */
static struct {
    enum co__guard kind;
    size_t page;
    size_t size;
    _Atomic int64_t quota; /* mprotect guards that may still be made */
    _Atomic size_t missing;
} guards;

/* Old kernels refuse the advice; emulators may accept and ignore it, so a guard is tried out. */
static bool probe_marker(void)
{
    void *at = mmap(NULL, guards.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool works = false;
    int ends[2];

    if (at == MAP_FAILED)
        return false;
    if (pipe2(ends, O_CLOEXEC) == 0) {
        works = madvise(at, guards.page, MADV_GUARD_INSTALL) == 0 && write(ends[1], at, 1) < 0;
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
    (void)munmap(at, guards.page);
    return works;
}

/* How many guards of two mappings each leave a fifth of the mappings to the rest of the program. */
static int64_t mprotect_quota(void)
{
    char digits[24] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    long maps = 0;

    if (fd >= 0) {
        if (read(fd, digits, sizeof(digits) - 1) > 0)
            maps = strtol(digits, NULL, 10);
        (void)close(fd);
    }
    return (maps > 0 ? maps : MAPS_DEFAULT) / 5 * 2;
}

void co__guard_make(struct co__stack *stack)
{
    void *at = (char *)stack->low - guards.size;

#ifdef VALGRIND_STACK_REGISTER
    if (RUNNING_ON_VALGRIND)
        stack->valgrind_id =
            (unsigned)VALGRIND_STACK_REGISTER(stack->low, (char *)stack->low + stack->size);
#endif
    if (guards.kind == CO__GUARD_MARKER && madvise(at, guards.size, MADV_GUARD_INSTALL) == 0)
        return;
    if (guards.kind != CO__GUARD_NONE) {
        /* relaxed: the quota is only a number; who took one too many gives it back. */
        if (atomic_fetch_sub_explicit(&guards.quota, 1, memory_order_relaxed) > 0 &&
            mprotect(at, guards.size, PROT_NONE) == 0) {
            stack->flags |= CO__STACK_MPROTECTED;
            return;
        }
        /* relaxed: as above. */
        atomic_fetch_add_explicit(&guards.quota, 1, memory_order_relaxed);
    }
    stack->flags |= CO__STACK_UNGUARDED;
    /* relaxed: a statistic, which orders nothing. */
    atomic_fetch_add_explicit(&guards.missing, 1, memory_order_relaxed);
}

void co__guard_drop(struct co__stack *stack)
{
#ifdef VALGRIND_STACK_DEREGISTER
    if (stack->valgrind_id != 0)
        VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
    stack->valgrind_id = 0;
#endif
    if (stack->flags & CO__STACK_MPROTECTED) {
        /* relaxed: see co__guard_make. */
        atomic_fetch_add_explicit(&guards.quota, 1, memory_order_relaxed);
    }
    if (stack->flags & CO__STACK_UNGUARDED) {
        /* relaxed: a statistic, which orders nothing. */
        atomic_fetch_sub_explicit(&guards.missing, 1, memory_order_relaxed);
    }
    stack->flags &= ~(unsigned)(CO__STACK_MPROTECTED | CO__STACK_UNGUARDED);
}

/*
 * Whether nobody wrote into the page below an unguarded stack. That page is the canary: it reads as
 * zeros, at the cost of no memory, and an overflow leaves at least a return address there.
 */
__attribute__((noinline, no_sanitize("address"))) static bool
canary_alive(const struct co__stack *stack)
{
    const uint64_t *word = (const uint64_t *)((uintptr_t)stack->low - guards.page);
    uint64_t any = 0;

    for (size_t i = 0; i < guards.page / sizeof(*word); i++)
        any |= word[i];
    return any == 0;
}

__attribute__((noreturn)) static void canary_report(const struct co__stack *stack)
{
    char buf[512];
    struct co__text text = {.buf = buf, .size = sizeof(buf)};

    co__text_str(&text, "corvid: a coroutine that has just ended overflowed its stack of ");
    co__text_dec(&text, co__stack_nominal(stack->size));
    co__text_str(&text, " bytes at ");
    co__text_hex(&text, (uintptr_t)stack->low);
    co__text_str(&text,
                 ", which has no guard page (see vm.max_map_count)\n"
                 "corvid:   raise [runtime] stack_size, or stack_size in its struct co_opts\n");
    co__text_write(&text, STDERR_FILENO);
    abort();
}

void co__guard_check(const struct co__stack *stack)
{
    if ((stack->flags & CO__STACK_UNGUARDED) && !canary_alive(stack))
        canary_report(stack);
}

void co__guards_start(enum co__guard best)
{
    guards.page = (size_t)sysconf(_SC_PAGESIZE);
    guards.size = (CO__GUARD_LEAST + guards.page - 1) / guards.page * guards.page;
    guards.kind = best;
    if (best == CO__GUARD_MARKER && !probe_marker())
        guards.kind = CO__GUARD_MPROTECT;
    atomic_init(&guards.quota, mprotect_quota());
}

enum co__guard co__guards_kind(void)
{
    return guards.kind;
}

size_t co__guard_size(void)
{
    return guards.size;
}

size_t co__guards_missing(void)
{
    /* relaxed: a statistic, which orders nothing. */
    return atomic_load_explicit(&guards.missing, memory_order_relaxed);
}
