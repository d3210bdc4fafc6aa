/* SPDX-License-Identifier: MIT */
/*
 * test_overflow.c - the report of an overflow, faults that are none, and walks of stacks, running
 * and parked. Coroutines are played by bare contexts; each death happens in a child process.
 */
#include "backtrace.h"
#include "context.h"
#include "overflow.h"
#include "stack.h"
#include "support/child.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define DEFAULT  ((size_t)64 << 10)
#define NOINLINE __attribute__((noinline))

static struct co__stack_cache cache;
static struct co__overflow_thread signal_stack;
static struct co__context outside, inside;
static const char *running_name = "greedy";

static uint64_t describe(const char **ret_name)
{
    *ret_name = running_name;
    return 4711;
}

static void setup(enum co__guard best)
{
    cr_assert_eq(co__stacks_start_with(DEFAULT, 1, best), 0);
    cr_assert_eq(co__overflow_install(describe), 0);
    cr_assert_eq(co__overflow_thread_start(&signal_stack), 0);
    co__context_thread(&outside);
}

static void teardown(void)
{
    co__overflow_thread_stop(&signal_stack);
    co__overflow_uninstall();
    co__stack_cache_flush(&cache);
    co__stacks_stop();
}

/* Runs entry on a stack of `size` bytes until it switches back or leaves. */
static struct co__stack *run_on_stack(size_t size, co__context_entry *entry)
{
    struct co__stack *stack = co__stack_get(&cache, size);

    cr_assert_not_null(stack);
    co__context_make(&inside, (char *)stack->low + stack->size, stack->size, entry);
    (void)co__context_switch(&outside, &inside, NULL);
    return stack;
}

static volatile int depth_limit = 1 << 30;

/* Recurses until the limit; the volatile array keeps it a real recursion. */
NOINLINE static int recurse(int depth) /* NOLINT(misc-no-recursion) */
{
    volatile char frame[256];

    frame[depth % 256] = (char)depth;
    if (depth >= depth_limit)
        return 0;
    return recurse(depth + 1) + frame[depth % 256];
}

static void greedy_entry(void *data)
{
    (void)data;
    (void)recurse(0);
    co__context_leave(&inside, &outside, NULL);
}

static size_t greedy_size;

static void overflow(void)
{
    (void)run_on_stack(greedy_size, greedy_entry);
}

static void check_report(const struct death *death, size_t size)
{
    char text[64];

    cr_assert_eq(death->sig, SIGSEGV, "signal %d, said: %s", death->sig, death->text);
    cr_assert_says(death, "corvid: stack overflow in coroutine 4711 (greedy)");
    (void)snprintf(text, sizeof(text), "which has %zu bytes", size);
    cr_assert_says(death, text);
    cr_assert_says(death, "fault address 0x");
    cr_assert_says(death, "stack_size");
    cr_assert_says(death, "#0 test_");
    cr_assert_says(death, " frames\n");
    cr_assert_null(strstr(death->text, "-fno-omit-frame-pointer"), "said: %s", death->text);
}

/* Has fn overflow a stack of `size` bytes, 0 for a default one, under the best of such guards. */
static void check_overflow(enum co__guard best, size_t size, void (*fn)(void))
{
    struct death death;

    setup(best);
    greedy_size = size;
    run_child(&death, fn);
    check_report(&death, size > 0 ? size : DEFAULT);
    teardown();
}

Test(overflow, a_coroutine_that_recurses_for_ever_is_named)
{
    check_overflow(CO__GUARD_MARKER, 0, overflow);
}

Test(overflow, an_mprotect_guard_reports_as_well)
{
    check_overflow(CO__GUARD_MPROTECT, CO__STACK_MIN, overflow);
}

Test(overflow, a_stack_of_another_size_reports_its_size)
{
    check_overflow(CO__GUARD_MARKER, 1 << 20, overflow);
}

static void *overflow_on_thread(void *arg)
{
    struct co__overflow_thread own;

    (void)arg;
    if (co__overflow_thread_start(&own) == 0) {
        co__context_thread(&outside);
        overflow();
    }
    return NULL;
}

static void overflow_on_other_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, overflow_on_thread, NULL) == 0)
        (void)pthread_join(thread, NULL);
}

Test(overflow, other_threads_have_signal_stacks_too)
{
    check_overflow(CO__GUARD_MARKER, CO__STACK_MIN, overflow_on_other_thread);
}

Test(overflow, a_coroutine_without_a_name_is_reported_by_number)
{
    struct death death;

    setup(CO__GUARD_MARKER);
    running_name = NULL;
    greedy_size = 0;
    run_child(&death, overflow);
    cr_assert_eq(death.sig, SIGSEGV);
    cr_assert_says(&death, "coroutine 4711, which has");
    teardown();
}

/* The frames left out are those in the middle. */
Test(overflow, the_report_shows_both_ends_of_the_chain_of_calls)
{
    struct death death;
    const char *middle;
    unsigned long left_out = 0, last;
    char text[64];

    setup(CO__GUARD_MARKER);
    greedy_size = CO__STACK_MIN;
    run_child(&death, overflow);
    cr_assert_says(&death, "  #15 ");
    middle = strstr(death.text, "  ... ");
    cr_assert_not_null(middle);
    left_out = strtoul(middle + strlen("  ... "), NULL, 10);
    cr_assert_gt(left_out, 10, "16 KiB in frames of at least 256 bytes, of which 24 are shown");
    cr_assert_leq(left_out, CO__STACK_MIN / 256);
    last = left_out + 16 + 8 - 1;
    (void)snprintf(text, sizeof(text), "\n  #%lu ", last);
    cr_assert_says(&death, text);
    (void)snprintf(text, sizeof(text), "\n  #%lu ", last + 1);
    cr_assert_null(strstr(death.text, text));
    teardown();
}

static void write_in_guard(void)
{
    struct co__stack *stack = co__stack_get(&cache, 0);

    *((volatile char *)stack->low - CO__GUARD_LEAST) = 1;
}

Test(overflow, a_stray_write_into_a_guard_is_reported_too)
{
    struct death death;

    setup(CO__GUARD_MARKER);
    run_child(&death, write_in_guard);
    cr_assert_eq(death.sig, SIGSEGV);
    cr_assert_says(&death, "corvid: stack overflow");
    cr_assert_says(&death, "-fno-omit-frame-pointer"); /* for the chain is not on that stack */
    teardown();
}

/*
 * Faults that are no overflow.
 */

static void write_nowhere(void)
{
    static void *volatile nowhere;

    if (!nowhere)
        nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *(volatile char *)nowhere = 1;
}

static void default_write_nowhere(void)
{
    co__overflow_uninstall();
    (void)signal(SIGSEGV, SIG_DFL);
    if (co__overflow_install(describe) == 0)
        write_nowhere();
}

Test(overflow, any_other_fault_dies_as_it_would_without_us)
{
    struct death death;

    setup(CO__GUARD_MARKER);
    run_child(&death, default_write_nowhere);
    cr_assert_eq(death.sig, SIGSEGV);
    cr_assert_null(strstr(death.text, "corvid"), "said: %s", death.text);
    teardown();
}

static void ignored_write_nowhere(void)
{
    co__overflow_uninstall();
    (void)signal(SIGSEGV, SIG_IGN);
    if (co__overflow_install(describe) == 0)
        write_nowhere();
}

static void ignored_signal(void)
{
    co__overflow_uninstall();
    (void)signal(SIGSEGV, SIG_IGN);
    if (co__overflow_install(describe) == 0)
        (void)raise(SIGSEGV);
    _exit(42);
}

Test(overflow, an_ignored_signal_stays_ignored_but_a_fault_is_fatal)
{
    struct death death;

    setup(CO__GUARD_MARKER);
    run_child(&death, ignored_write_nowhere);
    cr_assert_eq(death.sig, SIGSEGV);
    run_child(&death, ignored_signal);
    cr_assert_eq(death.sig, 0);
    cr_assert_eq(death.status, 42);
    teardown();
}

/* Sends itself a signal whose data look like the address of a guard. */
static void sent_signal(void)
{
    struct co__stack *stack = co__stack_get(&cache, 0);
    siginfo_t info = {.si_code = SI_QUEUE};

    info.si_addr = (char *)stack->low - 1;
    co__overflow_uninstall();
    (void)signal(SIGBUS, SIG_DFL);
    if (co__overflow_install(describe) == 0)
        (void)syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info);
    _exit(42);
}

Test(overflow, a_signal_that_somebody_sends_is_not_taken_for_an_overflow)
{
    struct death death;

#ifdef CO_TEST_VALGRIND
    cr_skip_test("valgrind does not pass a made-up address on");
#endif
    setup(CO__GUARD_MARKER);
    run_child(&death, sent_signal);
    cr_assert_eq(death.sig, SIGBUS);
    cr_assert_null(strstr(death.text, "corvid"), "said: %s", death.text);
    teardown();
}

static void on_signal(int sig)
{
    _exit(sig == SIGSEGV ? 43 : 1);
}

static void on_siginfo(int sig, siginfo_t *info, void *context)
{
    _exit(sig == SIGSEGV && info->si_addr && context ? 44 : 1);
}

static void handled_write_nowhere(void)
{
    co__overflow_uninstall();
    (void)signal(SIGSEGV, on_signal);
    if (co__overflow_install(describe) == 0)
        write_nowhere();
}

static void siginfo_write_nowhere(void)
{
    struct sigaction action = {.sa_sigaction = on_siginfo, .sa_flags = SA_SIGINFO};

    co__overflow_uninstall();
    (void)sigaction(SIGSEGV, &action, NULL);
    if (co__overflow_install(describe) == 0)
        write_nowhere();
}

Test(overflow, the_handler_before_ours_gets_the_other_faults)
{
    struct death death;

    setup(CO__GUARD_MARKER);
    run_child(&death, handled_write_nowhere);
    cr_assert_eq(death.status, 43, "signal %d", death.sig);
    run_child(&death, siginfo_write_nowhere);
    cr_assert_eq(death.status, 44, "signal %d", death.sig);
    teardown();
}

Test(overflow, uninstall_puts_back_what_was_there)
{
    struct sigaction old = {.sa_handler = on_signal}, now;

    cr_assert_eq(sigaction(SIGSEGV, &old, NULL), 0);
    cr_assert_eq(co__overflow_install(describe), 0);
    co__overflow_uninstall();
    cr_assert_eq(sigaction(SIGSEGV, NULL, &now), 0);
    cr_assert_eq(now.sa_handler, on_signal);
}

Test(overflow, uninstall_leaves_a_handler_that_came_later)
{
    struct sigaction later = {.sa_handler = on_signal}, now;

    cr_assert_eq(co__overflow_install(describe), 0);
    cr_assert_eq(sigaction(SIGSEGV, &later, NULL), 0);
    co__overflow_uninstall();
    cr_assert_eq(sigaction(SIGSEGV, NULL, &now), 0);
    cr_assert_eq(now.sa_handler, on_signal);
}

Test(overflow, a_threads_own_signal_stack_comes_back)
{
    static char own[1 << 16];
    stack_t mine = {.ss_sp = own, .ss_size = sizeof(own)};
    struct co__overflow_thread thread;
    stack_t before, now;

    cr_assert_eq(sigaltstack(&mine, &before), 0);
    cr_assert_eq(co__overflow_thread_start(&thread), 0);
    cr_assert_eq(sigaltstack(NULL, &now), 0);
    cr_assert_neq(now.ss_sp, own);
    co__overflow_thread_stop(&thread);
    cr_assert_eq(sigaltstack(NULL, &now), 0);
    cr_assert_eq(now.ss_sp, own);
    cr_assert_eq(sigaltstack(&before, NULL), 0);
}

/*
 * Walks.
 */

enum { DEPTH = 10 };

static uintptr_t seen[CO__BACKTRACE_MAX];
static size_t seen_count;
static uintptr_t stack_low, stack_high;

/* Calls itself, then tells where it is: DEPTH frames with the same return address. */
NOINLINE static int climb(int depth) /* NOLINT(misc-no-recursion) */
{
    volatile int keep = depth;

    if (depth == 0)
        seen_count =
            co__backtrace(co__frame_here(), stack_low, stack_high, seen, CO__BACKTRACE_MAX);
    else
        keep += climb(depth - 1);
    return keep;
}

static void climb_entry(void *data)
{
    uintptr_t here = (uintptr_t)&data;

    if (co__stack_find((void *)here, &stack_low, &stack_high)) { /* NOLINT(*int-to-ptr) */
        stack_high += stack_low;
        (void)climb(DEPTH);
    }
    co__context_leave(&inside, &outside, NULL);
}

static void check_chain(size_t least)
{
    size_t same = 0;

    cr_assert_geq(seen_count, least);
    cr_assert_lt(seen_count, least + 8, "the walk ends at the bottom of the stack");
    for (size_t i = 1; i < seen_count; i++)
        same += seen[i] == seen[i - 1];
    cr_assert_geq(same, DEPTH - 2, "the recursion is in it");
}

Test(backtrace, a_running_stack_is_walked_to_its_bottom)
{
    struct co__stack *stack;

    setup(CO__GUARD_MARKER);
    stack = run_on_stack(0, climb_entry);
    co__context_drop(&inside);
    co__stack_put(&cache, stack);
    check_chain(DEPTH + 2);
    teardown();
}

/* Parks at the end of a recursion. */
NOINLINE static int climb_and_park(int depth) /* NOLINT(misc-no-recursion) */
{
    volatile int keep = depth;

    if (depth == 0)
        (void)co__context_switch(&inside, &outside, NULL);
    else
        keep += climb_and_park(depth - 1);
    return keep;
}

static void park_entry(void *data)
{
    (void)data;
    (void)climb_and_park(DEPTH);
    co__context_leave(&inside, &outside, NULL);
}

Test(backtrace, a_parked_stack_is_walked_to_its_bottom)
{
    struct co__stack *stack;
    uintptr_t low;

    setup(CO__GUARD_MARKER);
    stack = run_on_stack(0, park_entry);
    low = (uintptr_t)stack->low;
    seen_count = co__backtrace(co__frame_of_parked(inside.saved), low, low + stack->size, seen,
                               CO__BACKTRACE_MAX);
    check_chain(DEPTH + 3);
    (void)co__context_switch(&outside, &inside, NULL);
    co__context_drop(&inside);
    co__stack_put(&cache, stack);
    teardown();
}

Test(backtrace, a_walk_takes_no_more_than_it_may)
{
    struct co__stack *stack;
    uintptr_t low;

    setup(CO__GUARD_MARKER);
    stack = run_on_stack(0, park_entry);
    low = (uintptr_t)stack->low;
    seen[3] = 7;
    cr_assert_eq(co__backtrace(co__frame_of_parked(inside.saved), low, low + stack->size, seen, 3),
                 3);
    cr_assert_eq(seen[3], 7);
    cr_assert_eq(co__backtrace(co__frame_of_parked(inside.saved), low, low + stack->size, seen, 0),
                 0);
    (void)co__context_switch(&outside, &inside, NULL);
    co__context_drop(&inside);
    co__stack_put(&cache, stack);
    teardown();
}

/* Frames made by hand, in memory that ends at a page nobody may read. */
Test(backtrace, garbage_ends_a_walk_and_nothing_outside_the_bounds_is_read)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t low = (uintptr_t)map + page, high = low + page;
    uintptr_t *word;
    struct co__frame frame;

    cr_assert_neq(map, MAP_FAILED);
    cr_assert_eq(mprotect(map + page, page, PROT_READ | PROT_WRITE), 0);
    word = (uintptr_t *)(void *)(map + page);

    const uintptr_t bad[] = {0,    1,        low - 8,  low - 1,        low + 4,
                             high, high - 8, high + 8, UINTPTR_MAX - 7};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        frame = (struct co__frame){.pc = 5, .fp = bad[i]};
        cr_assert_not(co__frame_up(&frame, low, high), "fp %#zx", (size_t)bad[i]);
        cr_assert_eq(frame.pc, 5, "a frame that ends a walk is unchanged");
        cr_assert_eq(frame.fp, bad[i]);
    }

    /* The last record that fits; its caller's is beyond the end. */
    word[page / sizeof(*word) - 2] = high;
    word[page / sizeof(*word) - 1] = 100;
    frame = (struct co__frame){.pc = 5, .fp = high - 16};
    cr_assert(co__frame_up(&frame, low, high));
    cr_assert_eq(frame.pc, 99, "the call, not the return");
    cr_assert_not(co__frame_up(&frame, low, high));

    /* Records in a ring, and one that points at itself. */
    word[0] = low + 32;
    word[1] = 100;
    word[4] = low;
    word[5] = 200;
    cr_assert_eq(co__backtrace((struct co__frame){.pc = 5, .fp = low}, low, high, seen, 64), 3);
    word[0] = low;
    cr_assert_eq(co__backtrace((struct co__frame){.pc = 5, .fp = low}, low, high, seen, 64), 2);

    /* No return address. */
    word[1] = 0;
    cr_assert_eq(co__backtrace((struct co__frame){.pc = 5, .fp = low}, low, high, seen, 64), 1);
    (void)munmap(map, 3 * page);
}

/* What addr2line(1) would say: here, what the symbols of this very program say. */
Test(backtrace, the_text_names_module_and_offset)
{
    char buf[512], own[64];
    struct co__text text = {.buf = buf, .size = sizeof(buf) - 1};
    uintptr_t pc[2] = {(uintptr_t)&climb, (uintptr_t)&strtoul};
    ssize_t n;
    char path[256];
    const char *name;

    n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    cr_assert_gt(n, 0);
    path[n] = '\0';
    name = strrchr(path, '/') + 1;
    co__backtrace_text(&text, pc, 2, 7);
    buf[text.len] = '\0';
    (void)snprintf(own, sizeof(own), "  #7 %.39s+0x", name);
    cr_assert_eq(strncmp(buf, own, strlen(own)), 0, "%s", buf);
    cr_assert_not_null(strstr(buf, "\n  #8 "), "%s", buf);
    cr_assert_eq(buf[text.len - 1], '\n');
}

Test(backtrace, an_address_in_no_module_is_printed_as_it_is)
{
    char buf[128];
    struct co__text text = {.buf = buf, .size = sizeof(buf) - 1};
    uintptr_t pc = 0xabc;

    co__backtrace_text(&text, &pc, 1, 0);
    buf[text.len] = '\0';
    cr_assert_str_eq(buf, "  #0 0xabc\n");
}

Test(text, what_does_not_fit_is_cut_off)
{
    char buf[8] = "-------";
    struct co__text text = {.buf = buf, .size = 5};

    co__text_dec(&text, 0);
    co__text_str(&text, NULL);
    co__text_hex(&text, 0x1234);
    co__text_str(&text, "more");
    cr_assert_eq(text.len, 5);
    cr_assert_str_eq(buf, "00x12--");
}

Test(text, numbers_are_written_in_full)
{
    char buf[64] = "";
    struct co__text text = {.buf = buf, .size = sizeof(buf) - 1};

    co__text_dec(&text, UINT64_MAX);
    co__text_str(&text, " ");
    co__text_hex(&text, UINT64_MAX);
    co__text_strn(&text, "abc", 2);
    cr_assert_str_eq(buf, "18446744073709551615 0xffffffffffffffffab");
}
