/* SPDX-License-Identifier: MIT */
/* What handlers see of a request, and what becomes of their answers. */
#include "netio/http/serve.h"

#define HOST  "Host: a\r\n"
#define CLOSE HOST "Connection: close\r\n\r\n"

TestSuite(handler, .timeout = 60);

static int show(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    const char *x = co_http_header(req, "X-THING");

    (void)ctx;
    return co_http_printf(rsp, 200, "%s|%s|%s|1.%d|%s|%s|%s", co_http_method(req),
                          co_http_path(req), co_http_query(req), co_http_minor(req),
                          x == NULL ? "none" : x, co_http_param(req, "a"),
                          co_http_param(req, "rest"));
}

static int fail(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)rsp, (void)ctx;
    return -atoi(co_http_query(req));
}

static int twice(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    int r = co_http_text(rsp, 200, "once");

    (void)req, (void)ctx;
    cr_expect_eq(r, 0);
    cr_expect_eq(co_http_text(rsp, 200, "twice"), -EALREADY);
    cr_expect_eq(co_http_set(rsp, "X", "y"), -EALREADY);
    return -EIO;
}

static int fields(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    static const char *const ours[] = {"connection", "CONTENT-length", "Content-Type", "Date",
                                       "Transfer-Encoding"};

    (void)req, (void)ctx;
    cr_expect_eq(co_http_set(rsp, "X-Good", "a\tb \xe9"), 0);
    for (int i = 0; i < 50; i++)
        cr_expect_eq(co_http_set(rsp, "X-Many", "0123456789"), 0);
    cr_expect_eq(co_http_set(rsp, "X-Bad", "a\r\nInjected: b"), -EINVAL);
    cr_expect_eq(co_http_set(rsp, "X-Bad", "a\nb"), -EINVAL);
    cr_expect_eq(co_http_set(rsp, "X-Bad", "a\x7f"), -EINVAL);
    cr_expect_eq(co_http_set(rsp, "X-Bad\r\nInjected", "a"), -EINVAL);
    cr_expect_eq(co_http_set(rsp, "X Bad", "a"), -EINVAL);
    cr_expect_eq(co_http_set(rsp, "", "a"), -EINVAL);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        cr_expect_eq(co_http_set(rsp, ours[i], "a"), -EINVAL);
    cr_expect_eq(co_http_send(rsp, 200, "a/b\r\nInjected: c", "x", 1), -EINVAL);
    cr_expect_eq(co_http_send(rsp, 199, "a/b", "x", 1), -EINVAL);
    cr_expect_eq(co_http_send(rsp, 600, "a/b", "x", 1), -EINVAL);
    return co_http_json(rsp, 201, "{}");
}

static int count(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    char buf[7];
    size_t total = 0;
    ssize_t n;
    const char *data;
    size_t len;

    (void)ctx;
    while ((n = co_http_read(req, buf, sizeof buf)) > 0)
        total += (size_t)n;
    cr_expect_eq(co_http_body(req, &data, &len), n < 0 ? (int)n : -EINVAL);
    return n < 0 ? (int)n : co_http_printf(rsp, 200, "<%zu>", total);
}

static int body_twice(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    const char *a, *b;
    size_t m, n;
    char buf[8];
    int r = co_http_body(req, &a, &m);

    (void)ctx;
    if (r < 0) {
        cr_expect_eq(co_http_body(req, &b, &n), r);
        return co_http_text(rsp, 200, "never seen");
    }
    cr_expect_eq(co_http_body(req, &b, &n), 0);
    cr_expect(a == b && m == n && a[m] == '\0');
    cr_expect_eq(co_http_read(req, buf, sizeof buf), -EINVAL);
    return co_http_printf(rsp, 200, "<%s>", a);
}

static int memory(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    char *pieces[40];

    (void)ctx;
    for (int i = 0; i < 40; i++) {
        size_t size = (size_t)i * 37;

        pieces[i] = co_http_alloc(req, size);
        cr_assert_not_null(pieces[i]);
        cr_expect_eq((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], i, size);
    }
    for (int i = 0; i < 40; i++) {
        for (int k = 0; k < i * 37; k++)
            cr_assert_eq(pieces[i][k], i);
    }
    cr_expect_null(co_http_alloc(req, SIZE_MAX));
    cr_expect_null(co_http_alloc(req, SIZE_MAX - 20));
    return co_http_text(rsp, 204, "no body here");
}

static int none(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)req, (void)rsp, (void)ctx;
    return 0;
}

static int bare(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    int status = atoi(co_http_param(req, "status")), len = atoi(co_http_query(req));

    (void)ctx;
    return co_http_send(rsp, status, NULL, "hello", (size_t)len);
}

static const struct co_http_route routes[] = {
    {.method = "GET", .path = "/bare/{status}", .fn = bare},
    {.method = "GET", .path = "/show/{a}", .fn = show},
    {.method = "GET", .path = "/show/{a}/{rest...}", .fn = show},
    {.method = "GET", .path = "/fail", .fn = fail},
    {.method = "GET", .path = "/twice", .fn = twice},
    {.method = "GET", .path = "/fields", .fn = fields},
    {.method = "GET", .path = "/memory", .fn = memory},
    {.method = "GET", .path = "/none", .fn = none},
    {.method = "POST", .path = "/count", .fn = count},
    {.method = "POST", .path = "/body", .fn = body_twice},
    {0},
};

Test(handler, sees_the_parts_of_a_request)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "GET /show/1%202?q=%41 HTTP/1.1\r\nx-thing: \t v w \r\nX-Thing: 2\r\n" CLOSE);
    EXPECT_IN("\r\n\r\nGET|/show/1 2|q=%41|1.1|v w|1 2|(null)", h);
    h = exchange(&s, "GET http://b/show/x//y%2fz HTTP/1.0\r\nX-Thing:\r\n\r\n");
    EXPECT_IN("\r\n\r\nGET|/show/x//y/z||1.0||x|/y/z", h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(handler, that_fails_is_answered_for)
{
    static const struct {
        int err;
        const char *line;
    } cases[] = {{EIO, "HTTP/1.1 500 Internal Server Error\r\n"},
                 {ETIMEDOUT, "HTTP/1.1 504 Gateway Timeout\r\n"},
                 {EAGAIN, "HTTP/1.1 503 Service Unavailable\r\n"},
                 {ECANCELED, "HTTP/1.1 503 Service Unavailable\r\n"}};
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[100];

        sprintf(request, "GET /fail?%d HTTP/1.1\r\n" CLOSE, cases[i].err);
        EXPECT_IN(cases[i].line, exchange(&s, request));
    }
    h = exchange(&s, "GET /none HTTP/1.1\r\n" HOST "\r\nGET /none HTTP/1.1\r\n" CLOSE);
    cr_expect_eq(count_of(h->text, "HTTP/1.1 500 "), 2);
    cr_expect_eq(server_stop(&s), 0);
}

Test(handler, answers_once)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "GET /twice HTTP/1.1\r\n" HOST "\r\nGET /none HTTP/1.1\r\n" CLOSE);
    cr_expect_eq(count_of(h->text, "HTTP/1.1 "), 1); /* a failure behind an answer closes */
    EXPECT_IN("\r\n\r\nonce", h);
    EXPECT_NOT_IN("twice", h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(handler, cannot_inject_fields)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "GET /fields HTTP/1.1\r\n" CLOSE);
    EXPECT_IN("HTTP/1.1 201 Created\r\n", h);
    EXPECT_IN("X-Good: a\tb \xe9\r\n", h);
    EXPECT_IN("Content-Type: application/json\r\n", h);
    cr_expect_eq(count_of(h->text, "X-Many: 0123456789\r\n"), 50);
    EXPECT_NOT_IN("Injected", h);
    EXPECT_NOT_IN("Bad", h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(handler, reads_a_body_in_pieces_or_whole)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "POST /count HTTP/1.1\r\nContent-Length: 26\r\n" HOST
                     "\r\nabcdefghijklmnopqrstuvwxyz"
                     "POST /count HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE
                     "a\r\n0123456789\r\n1\r\n0\r\n0\r\n\r\n");
    EXPECT_IN("<26>", h);
    EXPECT_IN("<11>", h);
    h = exchange(&s, "POST /body HTTP/1.1\r\nContent-Length: 5\r\n" HOST "\r\nhello"
                     "POST /body HTTP/1.1\r\nContent-Length: 0\r\n" HOST "\r\n"
                     "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST
                     "\r\n2\r\nab\r\n0\r\n\r\n"
                     "POST /body HTTP/1.1\r\n" CLOSE);
    EXPECT_IN("<hello>", h);
    EXPECT_IN("<ab>", h);
    cr_expect_eq(count_of(h->text, "<>"), 2);
    cr_expect_eq(server_stop(&s), 0);
}

Test(handler, that_overlooks_a_bad_body_does_not_get_away_with_it)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s,
                 "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST "\r\n5\r\nhelloX");
    EXPECT_IN("HTTP/1.1 400 Bad Request\r\n", h);
    EXPECT_NOT_IN("never seen", h);
    cr_expect_eq(h->end, 1);
    h = exchange(&s, "POST /count HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST "\r\n5\nhello");
    EXPECT_IN("HTTP/1.1 400 Bad Request\r\n", h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(handler, has_memory_for_the_request)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "GET /memory HTTP/1.1\r\n" CLOSE);
    EXPECT_IN("HTTP/1.1 204 No Content\r\n", h);
    EXPECT_NOT_IN("Content-Length", h);
    EXPECT_NOT_IN("no body", h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(handler, need_not_know_which_statuses_have_no_body)
{
    static const struct {
        const char *target, *line, *length;
    } cases[] = {{"204?0", "HTTP/1.1 204 No Content\r\n", NULL},
                 {"204?5", "HTTP/1.1 204 No Content\r\n", NULL},
                 {"205?5", "HTTP/1.1 205 Reset Content\r\n", "Content-Length: 0\r\n"},
                 {"304?0", "HTTP/1.1 304 Not Modified\r\n", NULL},
                 {"304?5", "HTTP/1.1 304 Not Modified\r\n", "Content-Length: 5\r\n"}};
    struct server s;

    server_start(&s, NULL, routes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[100];
        struct heard *h;

        sprintf(request, "GET /bare/%s HTTP/1.1\r\n" CLOSE, cases[i].target);
        h = exchange(&s, request);
        EXPECT_IN(cases[i].line, h);
        if (cases[i].length != NULL)
            EXPECT_IN(cases[i].length, h);
        else
            EXPECT_NOT_IN("Content-Length", h);
        EXPECT_NOT_IN("hello", h);
    }
    cr_expect_eq(server_stop(&s), 0);
}

static int refused_main(void *arg)
{
    static const struct co_http_route bad[] = {{.method = "GET", .path = "x", .fn = none}, {0}};
    struct co_http_conf conf;

    (void)arg;
    co_http_conf_init(&conf);
    conf.max_fields = 0;
    cr_expect_eq(co_http_serve(&conf, routes, NULL), -EINVAL);
    co_http_conf_init(&conf);
    conf.size = 1;
    cr_expect_eq(co_http_serve(&conf, routes, NULL), -EINVAL);
    co_http_conf_init(&conf);
    cr_expect_eq(co_http_serve(&conf, bad, NULL), -EINVAL);
    strcpy(conf.listen, "nonsense");
    cr_expect_eq(co_http_serve(&conf, routes, NULL), -EINVAL);
    return 0;
}

Test(handler, settings_out_of_range_and_bad_routes_are_refused)
{
    cr_expect_eq(co_run(refused_main, NULL), 0);
}
