/* SPDX-License-Identifier: MIT */
/* Targets: forms, octets, decoding. */
#include "head.h"
#include "support/test.h"
#include <stdio.h>
#include <string.h>

static const struct co__head_limits limits = {.head = 16384, .target = 1000, .fields = 100};

static struct co__head head;
static char line[2000];

/* Judges "GET <target> HTTP/1.1". Returns: 0; minus a status. */
static int judge(const char *method, const char *target)
{
    int len = snprintf(line, sizeof line, "%s %s HTTP/1.1", method, target), r;

    co__head_reset(&head);
    head.base = line;
    r = co__line_check(&head, (size_t)len, &limits);
    return r == 0 ? co__path_split(&head) : r;
}

/* Expects a path, after decoding, and a query. */
static void expect_parts(const char *target, const char *path, const char *query)
{
    cr_expect_eq(judge("GET", target), 0, "%s", target);
    cr_expect_eq(head.path.len, strlen(path), "%s: %d octets", target, head.path.len);
    cr_expect_eq(memcmp(line + head.path.off, path, strlen(path)), 0, "%s", target);
    cr_expect_eq(head.query.len, strlen(query), "%s", target);
    cr_expect_eq(memcmp(line + head.query.off, query, strlen(query)), 0, "%s", target);
}

Test(target, path_and_query_are_told_apart)
{
    expect_parts("/", "/", "");
    expect_parts("/a/b", "/a/b", "");
    expect_parts("/a?b=c?d", "/a", "b=c?d");
    expect_parts("/?", "/", "");
    expect_parts("/?x={[|]}\\^`", "/", "x={[|]}\\^`");
}

Test(target, the_path_is_decoded_and_the_query_is_not)
{
    expect_parts("/%41%20b%2fc/%e9?%41", "/A b/c/\xe9", "%41");
    cr_expect_eq(head.segment_count, 2);
    cr_expect_eq(head.segments[0].len, 5);
    cr_expect_eq(head.segments[1].len, 1);
    expect_parts("/a.b/.c/..d/e..", "/a.b/.c/..d/e..", "");
}

Test(target, an_absolute_form_is_as_good)
{
    expect_parts("http://a/b?c", "/b", "c");
    expect_parts("HTTP://a:80", "/", "");
    expect_parts("http://a?c", "/", "c");
    expect_parts("http://[::1]:80/x", "/x", "");
    cr_expect_eq(judge("GET", "http://"), -400);
    cr_expect_eq(judge("GET", "http:///a"), -400);
    cr_expect_eq(judge("GET", "http://u:p@a/"), -400);
    cr_expect_eq(judge("GET", "http://a:80:80/"), -400);
    cr_expect_eq(judge("GET", "ftp://a/"), -400);
    cr_expect_eq(judge("GET", "https://a/"), -421);
}

Test(target, the_star_is_for_options)
{
    cr_expect_eq(judge("OPTIONS", "*"), 0);
    cr_expect(head.flags & CO__HEAD_STAR);
    cr_expect_eq(judge("GET", "*"), -400);
    cr_expect_eq(judge("OPTIONS", "**"), -400);
}

Test(target, dot_segments_are_refused_in_any_disguise)
{
    static const char *const bad[] = {"/.",      "/..",       "/../a",     "/a/./b",
                                      "/a/..",   "/%2e%2e/",  "/a/%2E./b", "/..%2f..%2f",
                                      "/a%2f..", "/a%2F.%2Fb"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(judge("GET", bad[i]), -400, "%s", bad[i]);
}

Test(target, octets_outside_the_grammar_are_refused)
{
    static const char *const bad[] = {
        "/a b", "/a\"",  "/<",   "/a#b", "/\xc3\xa9", "/a\\b", "/{a}",  "/a%",   "/a%4", "/a%g0",
        "/%00", "/?a b", "/?\"", "/?<",  "/?\xe9",    "/?%zz", "/?%00", "/?a#b", "a",    "?a=b"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(judge("GET", bad[i]), -400, "%s", bad[i]);
}

Test(target, more_segments_than_are_kept_are_still_counted)
{
    char path[201];

    for (int i = 0; i < 100; i++)
        memcpy(path + 2 * i, "/a", 3);
    expect_parts(path, path, "");
    cr_expect_eq(head.segment_count, 100);
}

Test(target, a_long_target_is_told_so)
{
    char path[1100];

    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[1000] = '\0';
    cr_expect_eq(judge("GET", path), 0);
    path[1000] = 'a';
    path[1001] = '\0';
    cr_expect_eq(judge("GET", path), -414);
}
