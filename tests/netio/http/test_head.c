/* SPDX-License-Identifier: MIT */
/* Heads: what is taken, what is refused and how, however the octets arrive. */
#include "guard.h"
#include "head.h"
#include "support/test.h"
#include <stdio.h>
#include <sys/types.h>

static const struct co__head_limits limits = {.head = 16384, .target = 8192, .fields = 100};

static struct co__head head;
static struct guard guard;

/*
 * Gives the octets to the scan in steps of `step`, each in memory that ends behind them and
 * somewhere else than before, then parses. Returns: the length of the head; 0 if it is not
 * complete; minus a status.
 */
static int take(const char *text, size_t len, size_t step)
{
    size_t had = 0;

    co__head_reset(&head);
    for (size_t n = step;; n += step) {
        size_t have = n < len ? n : len;
        char *p = guard.end - have;
        int r, s;

        memmove(p, guard.end - had, had); /* the scan may have changed these */
        memcpy(p + had, text + had, have - had);
        had = have;
        r = co__head_scan(&head, p, have, &limits);
        if (r < 0)
            return r;
        if (r == 0 && have == len)
            return 0;
        if (r == 0)
            continue;
        if (head.lines == 0)
            return r;
        s = co__head_parse(&head, (size_t)r);
        if (s == 0)
            s = co__path_split(&head);
        return s < 0 ? s : r;
    }
}

static void expect_take(const char *text, size_t len, int want)
{
    static const size_t steps[] = {1, 2, 3, 7, 64, 100000};

    guard = guard_open();
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int r = take(text, len, steps[i]);

        cr_expect_eq(r, want, "%d, not %d, in steps of %zu: %.60s", r, want, steps[i], text);
    }
    guard_close(&guard);
}

#define EXPECT_WHOLE(text)           expect_take(text, sizeof(text) - 1, sizeof(text) - 1)
#define EXPECT_REFUSED(status, text) expect_take(text, sizeof(text) - 1, -(status))
/* A field line in a request that is well otherwise. */
#define FIELD(line) "GET / HTTP/1.1\r\nHost: a\r\n" line "\r\n\r\n"

Test(head, the_least_request_is_taken)
{
    EXPECT_WHOLE("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_WHOLE("GET / HTTP/1.0\r\n\r\n");
    EXPECT_WHOLE("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n");
}

Test(head, what_is_not_complete_is_waited_for)
{
    static const char whole[] = "POST /a%20b?c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";

    for (size_t n = 0; n < sizeof whole - 1; n++)
        expect_take(whole, n, 0);
}

Test(head, what_follows_the_head_is_not_looked_at)
{
    static const char two[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\x01\r\r\n";

    expect_take(two, sizeof two - 1, (int)sizeof two - 1 - 4);
}

Test(head, an_empty_line_in_front_is_told_apart)
{
    expect_take("\r\nGET", 5, 2);
    cr_expect_eq(head.lines, 0);
}

Test(head, octets_and_line_ends_are_strict)
{
    EXPECT_REFUSED(400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: a\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\n\n");
    EXPECT_REFUSED(400, FIELD("X: a\rb"));
    EXPECT_REFUSED(400, FIELD("X: a\0b"));
    EXPECT_REFUSED(400, FIELD("X: a\x7f"));
    EXPECT_REFUSED(400, FIELD("X: \x1b[0m"));
    EXPECT_REFUSED(400, FIELD("X:\rTransfer-Encoding: chunked"));
    EXPECT_WHOLE(FIELD("X: caf\xe9\xff\ta"));
}

Test(head, the_request_line_has_one_shape)
{
    EXPECT_REFUSED(400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "GET /\r\n");
    EXPECT_REFUSED(400, "GET HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "GET / http/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(501, "GETX / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(501, "get / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(501, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_REFUSED(400, "CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n");
}

Test(head, fields_have_names_and_are_not_folded)
{
    EXPECT_REFUSED(400, FIELD("NoColon"));
    EXPECT_REFUSED(400, FIELD(": v"));
    EXPECT_REFUSED(400, FIELD("X : v"));
    EXPECT_REFUSED(400, FIELD("X\t: v"));
    EXPECT_REFUSED(400, FIELD("X: a\r\n b"));
    EXPECT_REFUSED(400, FIELD("X: a\r\n\tb"));
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n");
    EXPECT_WHOLE(FIELD("!#$%&'*+-.^_`|~09Az: v"));
    EXPECT_WHOLE(FIELD("X:"));
}

Test(head, values_come_without_the_blanks_around_them)
{
    EXPECT_WHOLE(FIELD("X-A:\t a \tb \t"));
    cr_assert_eq(head.field_count, 2);
    cr_expect_eq(head.fields[1].value.len, 4);
    guard = guard_open();
    cr_assert_gt(take(FIELD("X-A:\t a \tb \t"), sizeof FIELD("X-A:\t a \tb \t") - 1, 1), 0);
    cr_expect_eq(memcmp(head.base + head.fields[1].value.off, "a \tb", 4), 0);
    guard_close(&guard);
}

Test(head, host_is_there_once_and_well_formed)
{
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\n\r\n");
    EXPECT_REFUSED(400, FIELD("Host: a"));
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n");
    EXPECT_REFUSED(400, "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n");
    EXPECT_WHOLE("GET / HTTP/1.1\r\nhOST:[::1]:80\r\n\r\n");
    EXPECT_WHOLE("GET / HTTP/1.1\r\nHost: [v1.a:b]\r\n\r\n");
    EXPECT_WHOLE("GET / HTTP/1.1\r\nHost: a_b.c%41:\r\n\r\n");
}

Test(head, a_length_is_one_number)
{
    EXPECT_WHOLE(FIELD("Content-Length: 010"));
    cr_expect_eq(head.content_length, 10);
    EXPECT_WHOLE(FIELD("Content-Length:\t5\t"));
    cr_expect_eq(head.content_length, 5);
    EXPECT_REFUSED(400, FIELD("Content-Length:"));
    EXPECT_REFUSED(400, FIELD("Content-Length: +5"));
    EXPECT_REFUSED(400, FIELD("Content-Length: -0"));
    EXPECT_REFUSED(400, FIELD("Content-Length: 0x5"));
    EXPECT_REFUSED(400, FIELD("Content-Length: 5 5"));
    EXPECT_REFUSED(400, FIELD("Content-Length: 5, 5"));
    EXPECT_REFUSED(400, FIELD("Content-Length: 5\r\nContent-Length: 5"));
    EXPECT_REFUSED(400, FIELD("Content-Length: 99999999999999999999"));
    EXPECT_REFUSED(413, FIELD("Content-Length: 9223372036854775808"));
}

Test(head, the_transfer_coding_is_chunked_and_nothing_else)
{
    EXPECT_WHOLE(FIELD("Transfer-Encoding: cHUNKED"));
    cr_expect(head.flags & CO__HEAD_CHUNKED);
    EXPECT_WHOLE(FIELD("Transfer-Encoding:\tchunked\t"));
    EXPECT_REFUSED(400, FIELD("Transfer-Encoding:"));
    EXPECT_REFUSED(400, FIELD("Transfer-Encoding: gzip"));
    EXPECT_REFUSED(501, FIELD("Transfer-Encoding: gzip, chunked"));
    EXPECT_REFUSED(400, FIELD("Transfer-Encoding: chunked, chunked;x"));
    EXPECT_REFUSED(400, FIELD("Transfer-Encoding: xchunked"));
    EXPECT_REFUSED(400, FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"));
    EXPECT_REFUSED(400, FIELD("Transfer-Encoding: chunked\r\nContent-Length: 5"));
    EXPECT_REFUSED(400, FIELD("Content-Length: 5\r\nTransfer-Encoding: chunked"));
    EXPECT_REFUSED(400, FIELD("Content-Length: 5\r\nTransfer-Encoding:"));
    EXPECT_REFUSED(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
}

Test(head, connection_options_may_be_anywhere_in_the_list)
{
    EXPECT_WHOLE(FIELD("Connection: a, CLOSE ,b"));
    cr_expect(head.flags & CO__HEAD_CLOSE);
    EXPECT_WHOLE(FIELD("Connection: a\r\nConnection:,\tclose"));
    cr_expect(head.flags & CO__HEAD_CLOSE);
    EXPECT_WHOLE(FIELD("Connection: closed, keep-alive"));
    cr_expect_eq(head.flags & (CO__HEAD_CLOSE | CO__HEAD_KEEP), CO__HEAD_KEEP);
    EXPECT_WHOLE(FIELD("Connection: Upgrade\r\nUpgrade: h2c"));
}

Test(head, one_expectation_is_known)
{
    EXPECT_WHOLE(FIELD("Expect: 100-Continue"));
    cr_expect(head.flags & CO__HEAD_EXPECT);
    EXPECT_REFUSED(417, FIELD("Expect: 200-ok"));
    EXPECT_WHOLE("GET / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n");
    cr_expect(!(head.flags & CO__HEAD_EXPECT));
}

Test(head, limits_are_told_by_their_own_status)
{
    static char big[40000];
    size_t n;

    memset(big, 'a', sizeof big);
    memcpy(big, "GET /", 5);
    expect_take(big, sizeof big, -414);
    n = (size_t)sprintf(big, "GET /%*s HTTP/1.1\r\nHost: a\r\n\r\n", 8191, "");
    memset(big + 5, 'a', 8191);
    expect_take(big, n, (int)n);
    n = (size_t)sprintf(big, "GET / HTTP/1.1\r\nHost: a\r\nX: %*s", 39000, "");
    expect_take(big, n, -431);
    n = (size_t)sprintf(big, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 99; i++)
        n += (size_t)sprintf(big + n, "a:\r\n");
    memcpy(big + n, "\r\n", 2);
    expect_take(big, n + 2, (int)n + 2);
    memcpy(big + n, "a:\r\n\r\n", 6);
    expect_take(big, n + 6, -431);
}
