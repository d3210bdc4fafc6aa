/* SPDX-License-Identifier: MIT */
/*
 * co/scope.h - deadlines, pins and the like that hold to the end of a block.
 *
 * A deadline is state of the coroutine, not an argument: every call that may suspend observes it,
 * at entry too. Scopes nest and only shorten. Do not jump into a block past one of these macros
 * (the flag -Wjump-misses-init finds that).
 */
#ifndef CO_SCOPE_H
#define CO_SCOPE_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A deadline scope that is open; the fields are the library's. */
struct co_scope {
    int64_t outer; /* the deadline in force before */
    int32_t kind;
};

/*
 * Shortens the deadline in force to `ns` nanoseconds from now (never lengthens it).
 * Returns: what co_scope_close needs; outside a coroutine, a scope that does nothing.
 * Suspends: never. Threads: coroutines.
 */
CO_API struct co_scope co_deadline_open(int64_t ns);

/*
 * Opens a block for goodbyes: for at most `ns` nanoseconds cancel and outer deadlines do not count,
 * so a cancelled coroutine can still say good-bye. Not nested: inside another grace it only
 * shortens.
 * Returns, Suspends, Threads: as co_deadline_open.
 */
CO_API struct co_scope co_grace_open(int64_t ns);

/*
 * Closes a scope and puts back what was in force. Scopes close in the reverse order of opening.
 * Suspends: never. Threads: the coroutine that opened it.
 */
CO_API void co_scope_close(struct co_scope *scope);

/* To the end of the block, all calls together may take this long. */
#define CO_DEADLINE(ns)                            \
    struct co_scope CO_CAT(co_deadline_, __LINE__) \
        __attribute__((cleanup(co_scope_close), unused)) = co_deadline_open(ns)

/* To the end of the block, at most this long, neither cancel nor an outer deadline counts. */
#define CO_GRACE(ns)                                                                               \
    struct co_scope CO_CAT(co_grace_, __LINE__) __attribute__((cleanup(co_scope_close), unused)) = \
        co_grace_open(ns)

/*
 * The time that is left until the deadline in force.
 * Returns: nanoseconds, 0 if it has passed, CO_NEVER if there is none. Suspends: never. Threads:
 *   any.
 */
CO_API int64_t co_left(void);

/*
 * Keeps the calling coroutine on its worker until as many unpins have been called.
 * Returns: the depth, for co_unpin. Suspends: never. Threads: coroutines.
 */
CO_API int co_pin(void);

/*
 * Undoes one co_pin; the argument is what that returned.
 * Suspends: never. Threads: the coroutine that pinned.
 */
CO_API void co_unpin(const int *depth);

/*
 * To the end of the block the coroutine stays on its worker thread (for libraries with per-thread
 * state).
 */
#define CO_PIN() \
    const int CO_CAT(co_pin_, __LINE__) __attribute__((cleanup(co_unpin), unused)) = co_pin()

/*
 * Forbids the calling coroutine every call that may suspend, until as many closes.
 * Returns: the depth, for co_nosuspend_close; 0 outside a coroutine. Suspends: never. Threads: any.
 */
CO_API int co_nosuspend_open(void);

/*
 * Undoes one co_nosuspend_open; the argument is what that returned.
 * Suspends: never. Threads: the coroutine that opened.
 */
CO_API void co_nosuspend_close(const int *depth);

/*
 * To the end of the block nothing may suspend: for code that is only right while no other coroutine
 * of this thread runs in between, as between a call of OpenSSL and the look at its queue of errors.
 * It documents, and where program and library are built without NDEBUG it asserts: a call that may
 * suspend fails as CO_ASSERT does, also if this time it would not have suspended.
 * It does not keep anything from happening on other threads.
 */
#ifdef NDEBUG
#define CO_NOSUSPEND() ((void)0)
#else
#define CO_NOSUSPEND()                        \
    const int CO_CAT(co_nosuspend_, __LINE__) \
        __attribute__((cleanup(co_nosuspend_close), unused)) = co_nosuspend_open()
#endif

#ifdef __cplusplus
}
#endif
#endif
