/* SPDX-License-Identifier: MIT */
/*
 * context.h - switch stacks: Boost.Context's fcontext with the hooks that sanitizers need.
 *
 * context.c is compiled without instrumentation: ThreadSanitizer keeps a shadow call stack per
 * fiber, and an instrumented function that enters on one fiber and leaves on another would corrupt
 * it.
 */
#ifndef CO_RUNTIME_CONTEXT_H
#define CO_RUNTIME_CONTEXT_H

#include <co/base.h>

/*
 * The first function on a new stack; it must leave by co__context_leave. `data` comes from the
 * first switch.
 */
typedef void co__context_entry(void *data);

/* One side of a switch: a worker thread's own stack or a coroutine's. */
struct co__context {
    void *saved;              /* fcontext of this side while it does not run */
    co__context_entry *entry; /* what a new stack begins with */
    void *tsan_fiber;         /* ThreadSanitizer's idea of this side */
    void *asan_fake;          /* AddressSanitizer's fake stack of this side while it does not run */
    const void *bottom;       /* lowest address of the stack, for AddressSanitizer */
    size_t size;
};

/* Makes `context` stand for the calling thread's own stack. */
void co__context_thread(struct co__context *context);

/* Prepares `context` to run entry on the stack of `size` bytes that ends at `top`. */
void co__context_make(struct co__context *context, void *top, size_t size,
                      co__context_entry *entry);

/*
 * Leaves `from`, which will be resumed by a later switch to it, and resumes `to`, where the call
 * that left it (or entry) gets `data`. Returns: the data of the switch that resumes `from`.
 */
void *co__context_switch(struct co__context *from, struct co__context *to, void *data);

/* Leaves `from` for good; only co__context_drop may follow, from another stack. */
void co__context_leave(struct co__context *from, struct co__context *to, void *data)
    __attribute__((noreturn));

/* Gives up what the sanitizers hold for a context that was left for good. */
void co__context_drop(struct co__context *context);

#endif
