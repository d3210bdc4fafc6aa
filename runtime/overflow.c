/* SPDX-License-Identifier: MIT */
/*
 * overflow.c - the fault handler and its report.
 *
 * Everything that runs in the handler is async-signal-safe: no allocation, no lock, no stdio. The
 * report is made in one buffer and written by one call, so that those of two threads do not mix.
 */
#include "overflow.h"

#include "backtrace.h"
#include "stack.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SIGNAL_STACK =
        64 << 10,   /* the report takes 12 KiB, a sanitizer's handler that we chain to more */
    INNERMOST = 16, /* frames that the report shows of each end of the call chain */
    OUTERMOST = 8,
    NAME_SHOWN = 64,
};

static const int signals[] = {SIGSEGV, SIGBUS};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static struct sigaction before[SIGNALS];
static co__overflow_describe *describe_running;
static atomic_flag reporting = ATOMIC_FLAG_INIT;

/*
 * The two ends of a call chain, of which the middle may be left out: deep recursion has a long one.
 */
struct chain {
    size_t length;
    uintptr_t innermost[INNERMOST];
    uintptr_t outermost[OUTERMOST]; /* a ring: frame n is at n % OUTERMOST */
};

static void chain_walk(struct chain *chain, struct co__frame frame, uintptr_t low, uintptr_t high)
{
    chain->length = 0;
    do {
        size_t n = chain->length++;

        if (n < INNERMOST)
            chain->innermost[n] = frame.pc;
        else
            chain->outermost[n % OUTERMOST] = frame.pc;
    } while (co__frame_up(&frame, low, high));
}

static void chain_text(struct co__text *text, const struct chain *chain)
{
    size_t shown = chain->length < INNERMOST ? chain->length : INNERMOST;
    size_t rest = chain->length - shown;
    size_t first;
    uintptr_t pc[OUTERMOST];

    co__backtrace_text(text, chain->innermost, shown, 0);
    if (rest > OUTERMOST) {
        co__text_str(text, "  ... ");
        co__text_dec(text, rest - OUTERMOST);
        co__text_str(text, " frames\n");
        rest = OUTERMOST;
    }
    first = chain->length - rest;
    for (size_t i = 0; i < rest; i++)
        pc[i] = chain->outermost[(first + i) % OUTERMOST];
    if (rest > 0)
        co__backtrace_text(text, pc, rest, first);
}

static void report(int sig, uintptr_t fault, struct co__frame frame, uintptr_t low, size_t size)
{
    char buf[4096];
    struct co__text text = {.buf = buf, .size = sizeof(buf)};
    struct chain chain;
    const char *name = NULL;
    uint64_t id = describe_running ? describe_running(&name) : 0;

    co__text_str(&text, "corvid: stack overflow in coroutine ");
    co__text_dec(&text, id);
    if (name) {
        co__text_str(&text, " (");
        co__text_strn(&text, name, NAME_SHOWN);
        co__text_str(&text, ")");
    }
    co__text_str(&text, ", which has ");
    co__text_dec(&text, co__stack_nominal(size));
    co__text_str(&text, " bytes of stack at ");
    co__text_hex(&text, low);
    co__text_str(&text, "\n  signal ");
    co__text_dec(&text, (uint64_t)sig);
    co__text_str(&text, ", fault address ");
    co__text_hex(&text, fault);
    co__text_str(&text, "; the calls, for addr2line(1):\n");
    chain_walk(&chain, frame, low, low + size);
    chain_text(&text, &chain);
    if (chain.length < 3) /* even the function that a coroutine starts with has one below it */
        co__text_str(&text, "  (code built with -fno-omit-frame-pointer shows its callers)\n");
    co__text_str(&text,
                 "  To give it more: raise [runtime] stack_size, or stack_size in its co_opts.\n");
    co__text_write(&text, STDERR_FILENO);
}

/* Lets the signal kill the process as soon as the handler returns to where it struck. */
static void die(int sig)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    (void)sigaction(sig, &action, NULL);
    (void)raise(sig); /* blocked until then; a fault that does not strike again must be fatal too */
}

/* Hands the signal to whoever handled it before us. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *to = &before[sig == signals[0] ? 0 : 1];

    if (to->sa_flags & SA_SIGINFO)
        to->sa_sigaction(sig, info, context);
    else if (to->sa_handler == SIG_IGN && info->si_code <= 0)
        return; /* sent by somebody; a fault of our own cannot be ignored */
    else if (to->sa_handler == SIG_DFL || to->sa_handler == SIG_IGN)
        die(sig);
    else
        to->sa_handler(sig);
}

/*
 * Whether the fault is an overflow, and of which stack. The fault address tells, or the stack
 * pointer: where the kernel could not even write a signal frame, there is no fault address.
 */
static bool overflowed(const siginfo_t *info, uintptr_t sp, uintptr_t *ret_low, size_t *ret_size)
{
    if (info->si_code <= 0) /* somebody sent it */
        return false;
    if (co__stack_find(info->si_addr, ret_low, ret_size) && (uintptr_t)info->si_addr < *ret_low)
        return true;
    return co__stack_find((const void *)sp, ret_low, ret_size) && sp < *ret_low;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t low, sp;
    size_t size;
    struct co__frame frame = co__frame_of_signal(context, &sp);

    if (!overflowed(info, sp, &low, &size)) {
        pass_on(sig, info, context);
    } else {
        /* seq_cst, the only order the type has: the first thread reports, the others wait for the
         * end. */
        while (atomic_flag_test_and_set(&reporting))
            (void)pause();
        report(sig, (uintptr_t)info->si_addr, frame, low, size);
        die(sig);
    }
    errno = saved;
}

int co__overflow_install(co__overflow_describe *describe)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    (void)sigfillset(&action.sa_mask);
    describe_running = describe;
    for (size_t i = 0; i < SIGNALS; i++) {
        if (sigaction(signals[i], &action, &before[i]) < 0) {
            int r = -errno;

            while (i-- > 0)
                (void)sigaction(signals[i], &before[i], NULL);
            return r;
        }
    }
    return 0;
}

void co__overflow_uninstall(void)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction now;

        if (sigaction(signals[i], NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
            now.sa_sigaction == on_fault)
            (void)sigaction(signals[i], &before[i], NULL);
    }
    describe_running = NULL;
}

int co__overflow_thread_start(struct co__overflow_thread *thread)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    long least = sysconf(_SC_SIGSTKSZ);
    size_t size = least > SIGNAL_STACK ? (size_t)least : SIGNAL_STACK;
    stack_t stack;
    void *map;
    int r;

    size = page + (size + page - 1) / page * page;
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (map == MAP_FAILED) {
        r = -errno;
        return r;
    }
    stack = (stack_t){.ss_sp = (char *)map + page, .ss_size = size - page};
    if (mprotect(map, page, PROT_NONE) < 0 || sigaltstack(&stack, &thread->before) < 0) {
        r = -errno;
        (void)munmap(map, size);
        return r;
    }
    thread->map = map;
    thread->size = size;
    return 0;
}

void co__overflow_thread_stop(struct co__overflow_thread *thread)
{
    (void)sigaltstack(&thread->before, NULL);
    (void)munmap(thread->map, thread->size);
    *thread = (struct co__overflow_thread){0};
}
