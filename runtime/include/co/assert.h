/* SPDX-License-Identifier: MIT */
/*
 * co/assert.h - assertions that say more than assert(3) does: which coroutine, on which worker, and
 * what the scheduler did just before (co/trace.h).
 *
 *     CO_ASSERT(count > 0);              gone under NDEBUG, as with assert(3)
 *     CO_REQUIRE(pool->open == 0);       always there: for misuse that must not go on
 */
#ifndef CO_ASSERT_H
#define CO_ASSERT_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Writes to stderr what did not hold and where, the running coroutine with its name, and the last
 * 1,000 events of the trace; then abort(3). The macros call it.
 *
 * Suspends: never. Threads: any. Allocates nothing, and takes no lock that it could wait for.
 */
CO_API void co_assert_failed(const char *what, const char *file, int line)
    __attribute__((noreturn, cold));

/* Ends the process unless it holds. */
#define CO_REQUIRE(holds) ((holds) ? (void)0 : co_assert_failed(#holds, __FILE__, __LINE__))

/* The same in builds without NDEBUG; elsewhere `holds` is not evaluated. */
#ifdef NDEBUG
#define CO_ASSERT(holds) ((void)0)
#else
#define CO_ASSERT(holds) CO_REQUIRE(holds)
#endif

#ifdef __cplusplus
}
#endif

#endif
