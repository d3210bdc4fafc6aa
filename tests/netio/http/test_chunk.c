/* SPDX-License-Identifier: MIT */
/* The chunk decoder, fed in pieces of every size. */
#include "chunk.h"
#include "guard.h"
#include "support/test.h"
#include <errno.h>
#include <stdio.h>

static struct guard guard;
static char body[70000];

/*
 * Decodes with the input cut at `cut` and into pieces of `step` from there on. Returns: octets of
 * body in body[], or -EBADMSG; *ret_used is how many octets of input were taken, *ret_done whether
 * the body is complete.
 */
static ssize_t decode(const char *text, size_t len, size_t cut, size_t step, size_t *ret_used,
                      bool *ret_done)
{
    struct co__chunk chunk;
    size_t used = 0, out = 0, end = cut < len ? cut : len;

    co__chunk_reset(&chunk);
    while (used < len && !co__chunk_done(&chunk)) {
        const char *p = guard_copy(&guard, text + used, end - used), *data;
        size_t n;
        ssize_t r = co__chunk_feed(&chunk, p, end - used, 5, &data, &n);

        if (r < 0)
            return r;
        memcpy(body + out, data, n);
        out += n;
        used += (size_t)r;
        if (used == end)
            end = end + step < len ? end + step : len;
    }
    *ret_used = used;
    *ret_done = co__chunk_done(&chunk);
    return (ssize_t)out;
}

/* Expects the same of every cut: a body, and that `rest` octets are left; or with NULL, a
 * refusal. */
static void expect_body(const char *text, size_t len, const char *want, size_t rest)
{
    guard = guard_open();
    for (size_t cut = 1; cut <= len; cut++) {
        size_t used = 0;
        bool done = false;
        ssize_t n = decode(text, len, cut, cut % 2 == 0 ? 1 : len, &used, &done);

        if (want == NULL) {
            cr_expect_eq(n, -EBADMSG, "cut at %zu: %s", cut, text);
            continue;
        }
        cr_expect_eq(n, (ssize_t)strlen(want), "cut at %zu: %s", cut, text);
        cr_expect(done && len - used == rest, "cut at %zu: %s", cut, text);
        cr_expect_eq(memcmp(body, want, strlen(want)), 0);
    }
    guard_close(&guard);
}

#define EXPECT_BODY(want, literal) expect_body(literal, sizeof(literal) - 1, want, 0)
#define EXPECT_REFUSED(literal)    expect_body(literal, sizeof(literal) - 1, NULL, 0)

Test(chunk, bodies_come_out_as_they_went_in)
{
    EXPECT_BODY("", "0\r\n\r\n");
    EXPECT_BODY("hello", "5\r\nhello\r\n0\r\n\r\n");
    EXPECT_BODY("hello world", "5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n");
    EXPECT_BODY("0123456789abcdef0", "11\r\n0123456789abcdef0\r\n0\r\n\r\n");
    EXPECT_BODY("0123456789", "a\r\n0123456789\r\n0\r\n\r\n");
    EXPECT_BODY("0123456789", "000A\r\n0123456789\r\n0\r\n\r\n");
}

Test(chunk, what_follows_is_left_alone)
{
    expect_body("5\r\nhello\r\n0\r\n\r\nGET /", 20, "hello", 5);
    expect_body("0\r\n\r\n\0", 6, "", 1);
}

Test(chunk, extensions_are_checked_and_dropped)
{
    EXPECT_BODY("hello", "5;a\r\nhello\r\n0;b=c\r\n\r\n");
    EXPECT_BODY("hello", "5;a=1;b=2;c\r\nhello\r\n0\r\n\r\n");
    EXPECT_BODY("hello", "5;a=\"x;y \\\"z\\\\\"\r\nhello\r\n0\r\n\r\n");
    EXPECT_BODY("hello", "5 ; a\t= 1 ;b=\"\" ;c\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;a[=1\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;a=\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;a=\"x\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;a=\"\x01\"\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;a=\"\"b\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;a\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;a\rX\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5 a\r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5 \r\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5;a \r\nhello\r\n0\r\n\r\n");
}

Test(chunk, sizes_are_hexadecimal_digits)
{
    static const char *const bad[] = {"+5",  "-5",  "0x5", "g",     "5z",  "5,5", " 5",
                                      "\t5", "5\v", "",    "\"5\"", "5_0", "0 5", "5\n"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "%s\r\nhello\r\n0\r\n\r\n", bad[i]);

        expect_body(text, (size_t)n, NULL, 0);
    }
    EXPECT_REFUSED("5\0\r\nhello\r\n0\r\n\r\n");
}

Test(chunk, a_size_never_overflows)
{
    struct co__chunk chunk;
    const char *data;
    size_t len;

    EXPECT_REFUSED("8000000000000000\r\n");
    EXPECT_REFUSED("FFFFFFFFFFFFFFFF0\r\n");
    EXPECT_REFUSED("10000000000000005\r\n");
    EXPECT_REFUSED("00000000000000005\r\nhello\r\n0\r\n\r\n");
    co__chunk_reset(&chunk);
    cr_expect_eq(co__chunk_feed(&chunk, "7fffffffffffffff\r\nab", 20, 9, &data, &len), 20);
    cr_expect_eq(len, 2);
    cr_expect_eq(chunk.left, (uint64_t)INT64_MAX - 2);
}

Test(chunk, lines_end_with_cr_lf_only)
{
    EXPECT_REFUSED("5\nhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5\rhello\r\n0\r\n\r\n");
    EXPECT_REFUSED("5\r\nhello\n0\r\n\r\n");
    EXPECT_REFUSED("5\r\nhelloXX0\r\n\r\n");
    EXPECT_REFUSED("5\r\nhello\r\n\r\n0\r\n\r\n");
    EXPECT_REFUSED("5\r\nhello\r\n0\n\r\n");
    EXPECT_REFUSED("5\r\nhello\r\n0\r\n\n");
    EXPECT_REFUSED("5\r\nhello\r\n0\r\n\rX");
}

Test(chunk, trailers_are_checked_and_dropped)
{
    EXPECT_BODY("hello", "5\r\nhello\r\n0\r\nX: a b\r\nContent-Length: 9\r\nY:\r\n\r\n");
    EXPECT_REFUSED("0\r\nX : y\r\n\r\n");
    EXPECT_REFUSED("0\r\n: y\r\n\r\n");
    EXPECT_REFUSED("0\r\nX\r\n\r\n");
    EXPECT_REFUSED("0\r\nX: a\0b\r\n\r\n");
    EXPECT_REFUSED("0\r\nX: a\r\n b\r\n\r\n");
    EXPECT_REFUSED("0\r\nX: a\nY: b\r\n\r\n");
}

/* Expects a body of n repetitions of a piece between begin and end to be taken or refused. */
static void expect_many(const char *begin, const char *piece, int n, const char *end, bool taken)
{
    static char text[GUARD_ROOM];
    size_t len = strlen(begin), used = 0, step = strlen(piece);
    bool done = false;
    ssize_t r;

    memcpy(text, begin, len);
    for (int i = 0; i < n; i++, len += step)
        memcpy(text + len, piece, step);
    memcpy(text + len, end, strlen(end) + 1);
    len += strlen(end);
    guard = guard_open();
    r = decode(text, len, len, len, &used, &done);
    cr_expect_eq(r >= 0, taken, "%d times %s", n, piece);
    cr_expect_eq(done, taken);
    guard_close(&guard);
}

Test(chunk, extensions_and_trailers_have_limits)
{
    expect_many("5;", "a", CO__CHUNK_EXTRA - 1, "\r\nhello\r\n0\r\n\r\n", true);
    expect_many("5;", "a", CO__CHUNK_EXTRA, "\r\nhello\r\n0\r\n\r\n", false);
    expect_many("", "1;a\r\nx\r\n", CO__CHUNK_EXTRA / 2, "0\r\n\r\n", true);
    expect_many("", "1;a\r\nx\r\n", CO__CHUNK_EXTRA / 2 + 1, "0\r\n\r\n", false);
    expect_many("0\r\nX:", "a", CO__TRAILER_MAX - 6, "\r\n\r\n", true);
    expect_many("0\r\nX:", "a", CO__TRAILER_MAX, "\r\n\r\n", false);
    expect_many("0\r\n", "X: v\r\n", CO__TRAILER_LINES, "\r\n", true);
    expect_many("0\r\n", "X: v\r\n", CO__TRAILER_LINES + 1, "\r\n", false);
}
