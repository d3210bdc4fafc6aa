/* SPDX-License-Identifier: MIT */
/*
 * tests/support/tsan.h - the part of Criterion's interface that our tests use, for ThreadSanitizer
 * builds.
 *
 * As there, a test runs in a process of its own, an assertion that fails ends it, and the fields
 * .init, .fini, .timeout, .signal, .exit_code and .disabled mean the same, in Test as in TestSuite.
 * Output is TAP. tsan.c holds main.
 */
#ifndef TESTS_SUPPORT_TSAN_H
#define TESTS_SUPPORT_TSAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fields that the tests write have Criterion's names and types. */
struct tsan_test {
    const char *suite;
    const char *name; /* NULL: what its suite's tests share */
    void (*fn)(void);
    struct tsan_test *next;
    void (*init)(void);
    void (*fini)(void);
    double timeout; /* seconds; 0: the default */
    int signal;
    int exit_code;
    bool disabled;
    const char *description;
};

/* Called by constructors, before main. */
void tsan_register(struct tsan_test *test);

/*
 * Reports a failed assertion on stderr; if fatal, ends the test at once, else it fails when it
 * ends. `what` is the assertion's text, format may be empty.
 */
__attribute__((format(printf, 5, 6))) void tsan_fail(bool fatal, const char *file, int line,
                                                     const char *what, const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void tsan_skip(const char *format, ...);
__attribute__((noreturn)) void tsan_pass(void);
__attribute__((format(printf, 1, 2))) void tsan_log(const char *format, ...);

#define TSAN_NAME(suite_, name_, what_) suite_##_##name_##_##what_
#define TSAN_REGISTER(suite_, name_, id_, fn_, ...)                                 \
    static struct tsan_test TSAN_NAME(suite_, id_, test) = {                        \
        .suite = #suite_, .name = name_, .fn = fn_, __VA_ARGS__};                   \
    __attribute__((constructor)) static void TSAN_NAME(suite_, id_, register)(void) \
    {                                                                               \
        tsan_register(&TSAN_NAME(suite_, id_, test));                               \
    }

#define Test(suite_, name_, ...)                                                      \
    static void TSAN_NAME(suite_, name_, impl)(void);                                 \
    TSAN_REGISTER(suite_, #name_, name_, TSAN_NAME(suite_, name_, impl), __VA_ARGS__) \
    static void TSAN_NAME(suite_, name_, impl)(void)
#define TestSuite(suite_, ...)                             \
    TSAN_REGISTER(suite_, NULL, shared, NULL, __VA_ARGS__) \
    struct tsan_test

#define TSAN_FAIL(fatal_, what_, ...) tsan_fail(fatal_, __FILE__, __LINE__, what_, "" __VA_ARGS__)
#define TSAN_CHECK(fatal_, holds_, what_, ...)     \
    do {                                           \
        if (!(holds_))                             \
            TSAN_FAIL(fatal_, what_, __VA_ARGS__); \
    } while (0)
#define TSAN_RELATION(fatal_, a_, op_, b_, ...) \
    TSAN_CHECK(fatal_, (a_)op_(b_), #a_ " " #op_ " " #b_, __VA_ARGS__)
#define TSAN_STRINGS(fatal_, a_, op_, b_, ...) \
    TSAN_CHECK(fatal_, strcmp((a_), (b_)) op_ 0, #a_ " " #op_ " " #b_, __VA_ARGS__)
#define TSAN_BYTES(fatal_, a_, op_, b_, size_, ...) \
    TSAN_CHECK(fatal_, memcmp((a_), (b_), (size_)) op_ 0, #a_ " " #op_ " " #b_, __VA_ARGS__)
#define TSAN_FLOATS(fatal_, a_, op_, b_, eps_, ...)                               \
    TSAN_CHECK(fatal_, ((a_) - (b_) <= (eps_) && (b_) - (a_) <= (eps_)) op_ true, \
               #a_ " " #op_ " " #b_, __VA_ARGS__)

#define cr_assert(holds_, ...)              TSAN_CHECK(true, holds_, #holds_, __VA_ARGS__)
#define cr_assert_not(holds_, ...)          TSAN_CHECK(true, !(holds_), "not " #holds_, __VA_ARGS__)
#define cr_assert_eq(a_, b_, ...)           TSAN_RELATION(true, a_, ==, b_, __VA_ARGS__)
#define cr_assert_neq(a_, b_, ...)          TSAN_RELATION(true, a_, !=, b_, __VA_ARGS__)
#define cr_assert_lt(a_, b_, ...)           TSAN_RELATION(true, a_, <, b_, __VA_ARGS__)
#define cr_assert_leq(a_, b_, ...)          TSAN_RELATION(true, a_, <=, b_, __VA_ARGS__)
#define cr_assert_gt(a_, b_, ...)           TSAN_RELATION(true, a_, >, b_, __VA_ARGS__)
#define cr_assert_geq(a_, b_, ...)          TSAN_RELATION(true, a_, >=, b_, __VA_ARGS__)
#define cr_assert_null(a_, ...)             TSAN_RELATION(true, a_, ==, NULL, __VA_ARGS__)
#define cr_assert_not_null(a_, ...)         TSAN_RELATION(true, a_, !=, NULL, __VA_ARGS__)
#define cr_assert_str_eq(a_, b_, ...)       TSAN_STRINGS(true, a_, ==, b_, __VA_ARGS__)
#define cr_assert_str_neq(a_, b_, ...)      TSAN_STRINGS(true, a_, !=, b_, __VA_ARGS__)
#define cr_assert_str_empty(a_, ...)        TSAN_CHECK(true, !*(a_), "empty: " #a_, __VA_ARGS__)
#define cr_assert_str_not_empty(a_, ...)    TSAN_CHECK(true, *(a_), "not empty: " #a_, __VA_ARGS__)
#define cr_assert_arr_eq(a_, b_, n_, ...)   TSAN_BYTES(true, a_, ==, b_, n_, __VA_ARGS__)
#define cr_assert_arr_neq(a_, b_, n_, ...)  TSAN_BYTES(true, a_, !=, b_, n_, __VA_ARGS__)
#define cr_assert_float_eq(a_, b_, e_, ...) TSAN_FLOATS(true, a_, ==, b_, e_, __VA_ARGS__)
#define cr_assert_fail(...)                 TSAN_FAIL(true, "fail", __VA_ARGS__)
#define cr_fatal(...)                       TSAN_FAIL(true, "fatal", __VA_ARGS__)

#define cr_expect(holds_, ...)            TSAN_CHECK(false, holds_, #holds_, __VA_ARGS__)
#define cr_expect_not(holds_, ...)        TSAN_CHECK(false, !(holds_), "not " #holds_, __VA_ARGS__)
#define cr_expect_eq(a_, b_, ...)         TSAN_RELATION(false, a_, ==, b_, __VA_ARGS__)
#define cr_expect_neq(a_, b_, ...)        TSAN_RELATION(false, a_, !=, b_, __VA_ARGS__)
#define cr_expect_lt(a_, b_, ...)         TSAN_RELATION(false, a_, <, b_, __VA_ARGS__)
#define cr_expect_leq(a_, b_, ...)        TSAN_RELATION(false, a_, <=, b_, __VA_ARGS__)
#define cr_expect_gt(a_, b_, ...)         TSAN_RELATION(false, a_, >, b_, __VA_ARGS__)
#define cr_expect_geq(a_, b_, ...)        TSAN_RELATION(false, a_, >=, b_, __VA_ARGS__)
#define cr_expect_null(a_, ...)           TSAN_RELATION(false, a_, ==, NULL, __VA_ARGS__)
#define cr_expect_not_null(a_, ...)       TSAN_RELATION(false, a_, !=, NULL, __VA_ARGS__)
#define cr_expect_str_eq(a_, b_, ...)     TSAN_STRINGS(false, a_, ==, b_, __VA_ARGS__)
#define cr_expect_str_neq(a_, b_, ...)    TSAN_STRINGS(false, a_, !=, b_, __VA_ARGS__)
#define cr_expect_arr_eq(a_, b_, n_, ...) TSAN_BYTES(false, a_, ==, b_, n_, __VA_ARGS__)
#define cr_expect_fail(...)               TSAN_FAIL(false, "fail", __VA_ARGS__)

#define cr_skip_test(...) tsan_skip("" __VA_ARGS__)
#define cr_skip(...)      tsan_skip("" __VA_ARGS__)
#define cr_pass_test()    tsan_pass()
#define cr_log_info(...)  tsan_log(__VA_ARGS__)
#define cr_log_warn(...)  tsan_log(__VA_ARGS__)
#define cr_log_error(...) tsan_log(__VA_ARGS__)

#endif
