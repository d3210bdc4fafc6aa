/* SPDX-License-Identifier: MIT */
/*
 * overflow.h - name the coroutine that overflowed its stack, before the process dies of it.
 *
 * A write into a guard raises SIGSEGV, which is handled on a stack of its own, since the
 * coroutine's is full. Faults elsewhere go to the handlers that were there before, or to the
 * default action.
 */
#ifndef CO_RUNTIME_OVERFLOW_H
#define CO_RUNTIME_OVERFLOW_H

#include <co/base.h>
#include <signal.h>

/*
 * Tells which coroutine runs on the calling thread.
 * Returns: its number, 0 if none does, and its name or NULL. Threads: signal handlers.
 */
typedef uint64_t co__overflow_describe(const char **ret_name);

/*
 * Installs the handlers of SIGSEGV and SIGBUS; `describe` may be NULL.
 * Returns: 0 or a negative errno. Threads: one, before co__overflow_thread_start on others.
 */
CO_NODISCARD int co__overflow_install(co__overflow_describe *describe);

/* Puts the handlers back that were there before, unless somebody has put his own on top of ours. */
void co__overflow_uninstall(void);

/* The signal stack of one thread. */
struct co__overflow_thread {
    void *map; /* a guard page, then the stack */
    size_t size;
    stack_t before;
};

/*
 * Gives the calling thread a signal stack.
 * Returns: 0 or a negative errno. Threads: any; each for itself.
 */
CO_NODISCARD int co__overflow_thread_start(struct co__overflow_thread *thread);

/* Puts the signal stack back that the thread had before. Threads: the one that started it. */
void co__overflow_thread_stop(struct co__overflow_thread *thread);

#endif
