/* SPDX-License-Identifier: MIT */
/* Routes: which one a path finds, and which tables are refused. */
#include "route.h"
#include "support/test.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct co__head_limits limits = {.head = 16384, .target = 8192, .fields = 100};

static struct co__head head;
static char line[1000];

static int nothing(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)req, (void)rsp, (void)ctx;
    return 0;
}

static const struct co_http_route table[] = {
    {.method = "GET", .path = "/", .fn = nothing},
    {.method = "GET", .path = "/a", .fn = nothing},
    {.method = "GET", .path = "/a/", .fn = nothing},
    {.method = "POST", .path = "/a", .fn = nothing},
    {.method = "GET", .path = "/a/{x}", .fn = nothing},
    {.method = "GET", .path = "/a/{x}/c", .fn = nothing},
    {.method = "POST", .path = "/a/b", .fn = nothing},
    {.method = "GET", .path = "/a/b/d", .fn = nothing},
    {.method = "GET", .path = "/f/{rest...}", .fn = nothing},
    {.method = "GET", .path = "/f/{x}/{y}", .fn = nothing},
    {.method = "OPTIONS", .path = "/o", .fn = nothing},
    {0},
};

/* The pattern that a request finds; NULL if none does. */
static const char *find(const char *method, const char *path, uint64_t *methods)
{
    struct co__routes routes;
    struct co__route *route, *exact = NULL;
    const char *found;
    int len = snprintf(line, sizeof line, "%s %s HTTP/1.1", method, path);

    cr_assert_eq(co__routes_init(&routes, table), 0);
    co__head_reset(&head);
    head.base = line;
    cr_assert_eq(co__line_check(&head, (size_t)len, &limits), 0);
    head.method = (uint8_t)co__method_number(method);
    if (!(head.flags & CO__HEAD_DECODE))
        exact = co__routes_exact(&routes, &head);
    cr_assert_eq(co__path_split(&head), 0);
    route = co__routes_find(&routes, &head, methods);
    if (exact != NULL) /* the short cut leads to the same place */
        cr_expect_eq(exact, route, "%s %s", method, path);
    else if (route != NULL && !(head.flags & CO__HEAD_DECODE))
        cr_expect_gt(route->param_count, 0, "%s %s", method, path);
    found = route == NULL ? NULL : route->pub->path;
    co__routes_done(&routes);
    return found;
}

static void expect_found(const char *method, const char *path, const char *want)
{
    uint64_t methods;
    const char *found = find(method, path, &methods);

    if (found == NULL || want == NULL)
        cr_expect_eq(found, want, "%s %s", method, path);
    else
        cr_expect_eq(strcmp(found, want), 0, "%s %s: %s", method, path, found);
}

Test(route, a_path_finds_its_pattern)
{
    expect_found("GET", "/", "/");
    expect_found("GET", "/a", "/a");
    expect_found("GET", "/a?b", "/a");
    expect_found("GET", "/%61", "/a");
    expect_found("GET", "/a/", "/a/");
    expect_found("GET", "/a/x", "/a/{x}");
    expect_found("GET", "/a/x/c", "/a/{x}/c");
    expect_found("GET", "/b", NULL);
    expect_found("GET", "//", NULL);
    expect_found("GET", "/a/x/c/", NULL);
    expect_found("GET", "/A", NULL);
}

Test(route, a_text_goes_before_a_parameter_but_does_not_shadow_it)
{
    expect_found("POST", "/a/b", "/a/b");
    expect_found("GET", "/a/b", "/a/{x}");
    expect_found("GET", "/a/b/d", "/a/b/d");
    expect_found("GET", "/a/b/c", "/a/{x}/c");
}

Test(route, the_rest_takes_what_nothing_else_does)
{
    expect_found("GET", "/f/", "/f/{rest...}");
    expect_found("GET", "/f/x", "/f/{rest...}");
    expect_found("GET", "/f/x/y", "/f/{x}/{y}");
    expect_found("GET", "/f/x/y/z", "/f/{rest...}");
    expect_found("GET", "/f/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20", "/f/{rest...}");
    expect_found("GET", "/f", NULL);
}

Test(route, an_encoded_slash_does_not_make_a_segment)
{
    expect_found("GET", "/a%2fb", NULL);
    expect_found("GET", "/a/b%2Fd", "/a/{x}");
}

Test(route, head_falls_back_to_get)
{
    expect_found("HEAD", "/a", "/a");
    expect_found("HEAD", "/o", NULL);
}

Test(route, the_methods_of_a_path_are_told)
{
    struct co__routes routes;
    uint64_t methods;
    char names[100];

    cr_assert_eq(co__routes_init(&routes, table), 0);
    cr_expect_null(find("DELETE", "/a/b", &methods));
    co__methods_print(&routes, methods, names, sizeof names);
    cr_expect_eq(strcmp(names, "GET, HEAD, POST, OPTIONS"), 0, "%s", names);
    cr_expect_null(find("GET", "/o", &methods));
    co__methods_print(&routes, methods, names, sizeof names);
    cr_expect_eq(strcmp(names, "OPTIONS"), 0, "%s", names);
    cr_expect_null(find("GET", "/nowhere", &methods));
    cr_expect_eq(methods, 0);
    co__methods_print(&routes, UINT64_C(1) << routes.get, names, 8);
    cr_expect_lt(strlen(names), 8);
    co__routes_done(&routes);
}

static int try_table(const char *method, const char *first, const char *second)
{
    const struct co_http_route two[] = {
        {.method = "GET", .path = first, .fn = nothing},
        {.method = method, .path = second, .fn = nothing},
        {0},
    };
    struct co__routes routes;
    int r = co__routes_init(&routes, two);

    co__routes_done(&routes);
    return r;
}

Test(route, bad_patterns_are_refused)
{
    static const char *const bad[] = {"",
                                      "a",
                                      "/{",
                                      "/{}",
                                      "/{a",
                                      "/a{b}",
                                      "/{a}b",
                                      "/{a.b}",
                                      "/{...}",
                                      "/{a...}/b",
                                      "/{a}/{a}",
                                      "/a b",
                                      "/a?b",
                                      "/a%20",
                                      "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}",
                                      "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(try_table("GET", "/", bad[i]), -EINVAL, "%s", bad[i]);
    cr_expect_eq(try_table("GETX", "/", "/a"), -EINVAL);
    cr_expect_eq(try_table("GET", "/", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16"), 0);
}

Test(route, two_routes_for_the_same_are_refused)
{
    cr_expect_eq(try_table("GET", "/a", "/a"), -EEXIST);
    cr_expect_eq(try_table("GET", "/{a}", "/{b}"), -EEXIST);
    cr_expect_eq(try_table("POST", "/{a}", "/{b}"), 0);
    cr_expect_eq(try_table("GET", "/a", "/a/"), 0);
}
