/* SPDX-License-Identifier: MIT */
/*
 * tests/support/test.h - what every test file includes: Criterion, or in ThreadSanitizer builds the
 * stand-in of tsan.h, because Criterion cannot be loaded there (its arena does not fit into TSan's
 * address space).
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

#ifdef CO_TEST_TSAN
#include "support/tsan.h"
#else
#include <criterion/criterion.h>
#endif

#endif
