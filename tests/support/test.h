/* SPDX-License-Identifier: MIT */
/*
 * tests/support/test.h - what every test file includes: Criterion, or its stand-in, plain.h.
 *
 * The stand-in is for ThreadSanitizer, because Criterion cannot be loaded there (its arena does not
 * fit into TSan's address space), and for valgrind, where each test of Criterion's would have to
 * start valgrind anew, and Criterion's own leaks would be among ours.
 */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#if defined(__SANITIZE_THREAD__)
#define CO_TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CO_TEST_TSAN 1
#endif
#endif

#if defined(CO_TEST_TSAN) || defined(CO_TEST_VALGRIND)
#define CO_TEST_PLAIN 1
#include "support/plain.h"
#else
#include <criterion/criterion.h>
#endif

#endif
