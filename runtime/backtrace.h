/* SPDX-License-Identifier: MIT */
/*
 * backtrace.h - walk a stack by its frame pointers, and say where the code is.
 *
 * Everything here may be used in signal handlers and on a damaged process: memory is read only
 * inside the bounds given, nothing is allocated or locked. Code compiled without
 * -fno-omit-frame-pointer is skipped or ends the walk; it cannot mislead it out of the stack.
 * x86-64 and aarch64 only.
 */
#ifndef CO_RUNTIME_BACKTRACE_H
#define CO_RUNTIME_BACKTRACE_H

#include "text.h"
#include <co/base.h>

/* One place in a call chain. */
struct co__frame {
    uintptr_t pc; /* in the innermost frame where it stands, in others the call, not the return */
    uintptr_t fp;
};

/* Where a thread was interrupted; `context` is a signal handler's third argument. */
struct co__frame co__frame_of_signal(const void *context, uintptr_t *ret_sp);

/*
 * Where a coroutine is parked; `saved` is what fcontext gave when it was left (co__context.saved).
 */
struct co__frame co__frame_of_parked(const void *saved);

/* Where the caller is. */
struct co__frame co__frame_here(void);

/*
 * Goes to the caller of a frame on the stack [low, high).
 * Returns: false at the bottom of the stack, or where frame pointers end; then *frame is unchanged.
 */
bool co__frame_up(struct co__frame *frame, uintptr_t low, uintptr_t high);

/*
 * Collects the chain of callers, `frame` first, as far as `max` goes.
 * Returns: how many addresses were written to pc.
 */
size_t co__backtrace(struct co__frame frame, uintptr_t low, uintptr_t high, uintptr_t *pc,
                     size_t max);

/* The stack [low, high), of which only `read` touches anything, as it may be gone. */
struct co__stack_view {
    uintptr_t low, high;
    /* Returns: whether it could. */
    bool (*read)(void *arg, uintptr_t at, uintptr_t *ret_word);
    void *arg;
};

/* co__backtrace of a coroutine that is parked on that stack; `saved` lies in it. */
size_t co__backtrace_saved(uintptr_t saved, const struct co__stack_view *stack, uintptr_t *pc,
                           size_t max);

enum { CO__BACKTRACE_MAX = 64 };

/*
 * Appends a line "  #N module+0xOFFSET" for each of at most CO__BACKTRACE_MAX addresses, numbered
 * from `first`; the offsets are those that addr2line(1) takes. Reads /proc/self/maps; without it,
 * the lines have plain addresses.
 */
void co__backtrace_text(struct co__text *text, const uintptr_t *pc, size_t count, size_t first);

enum { CO__MODULES_MAX = 64, CO__MODULE_NAME = 40 };

/* What code is loaded: to name many addresses after one look at /proc/self/maps. */
struct co__modules {
    int count;
    struct co__module {
        uintptr_t start, end;
        uintptr_t base; /* where the file begins */
        uintptr_t bias; /* what an address has more than addr2line(1) wants */
        bool readable;  /* at its base */
        bool executable;
        char name[CO__MODULE_NAME];
    } of[CO__MODULES_MAX];
};

void co__modules_load(struct co__modules *ret_modules);

/* Appends "module+0xOFFSET", or the plain address. */
void co__modules_text(struct co__text *text, const struct co__modules *modules, uintptr_t pc);

#endif
