/* SPDX-License-Identifier: MIT */
/*
 * tests/support/plain.h - the part of Criterion's interface that our tests use, where
 * Criterion is not to be had (see test.h).
 *
 * As there, a test runs in a process of its own, an assertion that fails ends it, and the fields
 * .init, .fini, .timeout, .signal, .exit_code and .disabled mean the same, in Test as in TestSuite.
 * Output is TAP. plain.c holds main.
 */
#ifndef TESTS_SUPPORT_PLAIN_H
#define TESTS_SUPPORT_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fields that the tests write have Criterion's names and types. */
struct plain_test {
    const char *suite;
    const char *name; /* NULL: what its suite's tests share */
    void (*fn)(void);
    struct plain_test *next;
    void (*init)(void);
    void (*fini)(void);
    double timeout; /* seconds; 0: the default */
    int signal;
    int exit_code;
    bool disabled;
    const char *description;
};

/* Called by constructors, before main. */
void plain_register(struct plain_test *test);

/*
 * Reports a failed assertion on stderr; if fatal, ends the test at once, else it fails when it
 * ends. `what` is the assertion's text, format may be empty.
 */
__attribute__((format(printf, 5, 6))) void plain_fail(bool fatal, const char *file, int line,
                                                      const char *what, const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void plain_skip(const char *format, ...);
__attribute__((noreturn)) void plain_pass(void);
__attribute__((format(printf, 1, 2))) void plain_log(const char *format, ...);

#define PLAIN_NAME(suite_, name_, what_) suite_##_##name_##_##what_
#define PLAIN_REGISTER(suite_, name_, id_, fn_, ...)                                 \
    static struct plain_test PLAIN_NAME(suite_, id_, test) = {                       \
        .suite = #suite_, .name = name_, .fn = fn_, __VA_ARGS__};                    \
    __attribute__((constructor)) static void PLAIN_NAME(suite_, id_, register)(void) \
    {                                                                                \
        plain_register(&PLAIN_NAME(suite_, id_, test));                              \
    }

#define Test(suite_, name_, ...)                                                        \
    static void PLAIN_NAME(suite_, name_, impl)(void);                                  \
    PLAIN_REGISTER(suite_, #name_, name_, PLAIN_NAME(suite_, name_, impl), __VA_ARGS__) \
    static void PLAIN_NAME(suite_, name_, impl)(void)
#define TestSuite(suite_, ...)                              \
    PLAIN_REGISTER(suite_, NULL, shared, NULL, __VA_ARGS__) \
    struct plain_test

#define PLAIN_FAIL(fatal_, what_, ...) plain_fail(fatal_, __FILE__, __LINE__, what_, "" __VA_ARGS__)
#define PLAIN_CHECK(fatal_, holds_, what_, ...)     \
    do {                                            \
        if (!(holds_))                              \
            PLAIN_FAIL(fatal_, what_, __VA_ARGS__); \
    } while (0)
#define PLAIN_RELATION(fatal_, a_, op_, b_, ...) \
    PLAIN_CHECK(fatal_, (a_)op_(b_), #a_ " " #op_ " " #b_, __VA_ARGS__)
#define PLAIN_STRINGS(fatal_, a_, op_, b_, ...) \
    PLAIN_CHECK(fatal_, strcmp((a_), (b_)) op_ 0, #a_ " " #op_ " " #b_, __VA_ARGS__)
#define PLAIN_BYTES(fatal_, a_, op_, b_, size_, ...) \
    PLAIN_CHECK(fatal_, memcmp((a_), (b_), (size_)) op_ 0, #a_ " " #op_ " " #b_, __VA_ARGS__)
#define PLAIN_FLOATS(fatal_, a_, op_, b_, eps_, ...)                               \
    PLAIN_CHECK(fatal_, ((a_) - (b_) <= (eps_) && (b_) - (a_) <= (eps_)) op_ true, \
                #a_ " " #op_ " " #b_, __VA_ARGS__)

#define cr_assert(holds_, ...)              PLAIN_CHECK(true, holds_, #holds_, __VA_ARGS__)
#define cr_assert_not(holds_, ...)          PLAIN_CHECK(true, !(holds_), "!" #holds_, __VA_ARGS__)
#define cr_assert_eq(a_, b_, ...)           PLAIN_RELATION(true, a_, ==, b_, __VA_ARGS__)
#define cr_assert_neq(a_, b_, ...)          PLAIN_RELATION(true, a_, !=, b_, __VA_ARGS__)
#define cr_assert_lt(a_, b_, ...)           PLAIN_RELATION(true, a_, <, b_, __VA_ARGS__)
#define cr_assert_leq(a_, b_, ...)          PLAIN_RELATION(true, a_, <=, b_, __VA_ARGS__)
#define cr_assert_gt(a_, b_, ...)           PLAIN_RELATION(true, a_, >, b_, __VA_ARGS__)
#define cr_assert_geq(a_, b_, ...)          PLAIN_RELATION(true, a_, >=, b_, __VA_ARGS__)
#define cr_assert_null(a_, ...)             PLAIN_RELATION(true, a_, ==, NULL, __VA_ARGS__)
#define cr_assert_not_null(a_, ...)         PLAIN_RELATION(true, a_, !=, NULL, __VA_ARGS__)
#define cr_assert_str_eq(a_, b_, ...)       PLAIN_STRINGS(true, a_, ==, b_, __VA_ARGS__)
#define cr_assert_str_neq(a_, b_, ...)      PLAIN_STRINGS(true, a_, !=, b_, __VA_ARGS__)
#define cr_assert_str_empty(a_, ...)        PLAIN_CHECK(true, !*(a_), "empty: " #a_, __VA_ARGS__)
#define cr_assert_str_not_empty(a_, ...)    PLAIN_CHECK(true, *(a_), "not empty: " #a_, __VA_ARGS__)
#define cr_assert_arr_eq(a_, b_, n_, ...)   PLAIN_BYTES(true, a_, ==, b_, n_, __VA_ARGS__)
#define cr_assert_arr_neq(a_, b_, n_, ...)  PLAIN_BYTES(true, a_, !=, b_, n_, __VA_ARGS__)
#define cr_assert_float_eq(a_, b_, e_, ...) PLAIN_FLOATS(true, a_, ==, b_, e_, __VA_ARGS__)
#define cr_assert_fail(...)                 PLAIN_FAIL(true, "fail", __VA_ARGS__)
#define cr_fatal(...)                       PLAIN_FAIL(true, "fatal", __VA_ARGS__)

#define cr_expect(holds_, ...)            PLAIN_CHECK(false, holds_, #holds_, __VA_ARGS__)
#define cr_expect_not(holds_, ...)        PLAIN_CHECK(false, !(holds_), "!" #holds_, __VA_ARGS__)
#define cr_expect_eq(a_, b_, ...)         PLAIN_RELATION(false, a_, ==, b_, __VA_ARGS__)
#define cr_expect_neq(a_, b_, ...)        PLAIN_RELATION(false, a_, !=, b_, __VA_ARGS__)
#define cr_expect_lt(a_, b_, ...)         PLAIN_RELATION(false, a_, <, b_, __VA_ARGS__)
#define cr_expect_leq(a_, b_, ...)        PLAIN_RELATION(false, a_, <=, b_, __VA_ARGS__)
#define cr_expect_gt(a_, b_, ...)         PLAIN_RELATION(false, a_, >, b_, __VA_ARGS__)
#define cr_expect_geq(a_, b_, ...)        PLAIN_RELATION(false, a_, >=, b_, __VA_ARGS__)
#define cr_expect_null(a_, ...)           PLAIN_RELATION(false, a_, ==, NULL, __VA_ARGS__)
#define cr_expect_not_null(a_, ...)       PLAIN_RELATION(false, a_, !=, NULL, __VA_ARGS__)
#define cr_expect_str_eq(a_, b_, ...)     PLAIN_STRINGS(false, a_, ==, b_, __VA_ARGS__)
#define cr_expect_str_neq(a_, b_, ...)    PLAIN_STRINGS(false, a_, !=, b_, __VA_ARGS__)
#define cr_expect_arr_eq(a_, b_, n_, ...) PLAIN_BYTES(false, a_, ==, b_, n_, __VA_ARGS__)
#define cr_expect_fail(...)               PLAIN_FAIL(false, "fail", __VA_ARGS__)

#define cr_skip_test(...) plain_skip("" __VA_ARGS__)
#define cr_skip(...)      plain_skip("" __VA_ARGS__)
#define cr_pass_test()    plain_pass()
#define cr_log_info(...)  plain_log(__VA_ARGS__)
#define cr_log_warn(...)  plain_log(__VA_ARGS__)
#define cr_log_error(...) plain_log(__VA_ARGS__)

#endif
