/* SPDX-License-Identifier: MIT */
/* Connections: keep-alive, pipelines, refusals, time-outs, stop. */
#include "netio/http/serve.h"
#include "support/clock.h"
#include <co/park.h>
#include <co/stats.h>
#include <stdatomic.h>

#define HOST  "Host: a\r\n"
#define CLOSE HOST "Connection: close\r\n\r\n"

static atomic_int calls; /* of the handlers below */

static int text(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)ctx;
    calls++;
    return co_http_text(rsp, 200, co_http_query(req));
}

static int echo(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    const char *data;
    size_t len;
    int r;

    (void)ctx;
    calls++;
    r = co_http_body(req, &data, &len);
    return r < 0 ? r : co_http_send(rsp, 200, NULL, data, len);
}

static int big(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    size_t len = (size_t)atoi(co_http_query(req));
    char *data = malloc(len + 1);
    int r;

    (void)ctx;
    if (data == NULL)
        return -ENOMEM;
    memset(data, 'x', len);
    r = co_http_send(rsp, 200, "a/b", data, len);
    free(data);
    return r;
}

static int nap(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    int r;

    (void)ctx;
    calls++;
    r = co_sleep(atoi(co_http_query(req)) * CO_MS);
    return r < 0 ? r : co_http_text(rsp, 200, "slept");
}

static atomic_int may_go; /* who tarries */

static atomic_bool lag_once; /* who lags */

static int lag(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)req;
    (void)ctx;
    if (atomic_exchange(&lag_once, false))
        co__clock_advance(CO_MS);
    return co_http_text(rsp, 200, "here");
}

static int tarry(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    int r = 0;

    (void)req;
    (void)ctx;
    while (r == 0 && !may_go)
        r = co_sleep(CO_MS);
    return r < 0 ? r : co_http_text(rsp, 200, "slept");
}

static atomic_bool scarce; /* no memory for the engine's larger buffers, of 16 and 32 KiB */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    bool fails = scarce && (size == (16 << 10) + 1 || size == 32 << 10);

    return fails ? NULL : __real_malloc(size);
}

static const struct co_http_route routes[] = {
    {.method = "GET", .path = "/", .fn = text},
    {.method = "GET", .path = "/big", .fn = big},
    {.method = "GET", .path = "/lag", .fn = lag},
    {.method = "GET", .path = "/nap", .fn = nap},
    {.method = "GET", .path = "/tarry", .fn = tarry},
    {.method = "POST", .path = "/echo", .fn = echo},
    {.method = "POST", .path = "/small", .fn = echo, .max_body = 10},
    {0},
};

TestSuite(conn, .timeout = 60);

Test(conn, answers_keep_the_order_of_a_pipeline)
{
    struct server s;
    struct heard *h;
    const char *p;
    char batch[8000] = "";

    server_start(&s, NULL, routes);
    for (int i = 0; i < 100; i++)
        sprintf(batch + strlen(batch), "GET /?number%03d HTTP/1.1\r\n" HOST "\r\n", i);
    strcat(batch, "GET /?last HTTP/1.1\r\n" CLOSE);
    h = exchange(&s, batch);
    p = h->text;
    for (int i = 0; i < 100; i++) {
        char want[16];

        sprintf(want, "number%03d", i);
        p = strstr(p, want);
        cr_assert_not_null(p, "%s is missing or out of order", want);
    }
    cr_expect_eq(count_of(h->text, "HTTP/1.1 200 OK\r\n"), 101);
    cr_expect_eq(count_of(h->text, "Connection: close\r\n"), 1);
    cr_expect_eq(h->end, 1);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_request_may_arrive_octet_by_octet)
{
    static const char request[] =
        "\r\nPOST /echo HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
        "GET /?second HTTP/1.1\r\n" CLOSE;
    static struct heard h;
    struct server s;
    int fd, one = 1;

    server_start(&s, NULL, routes);
    fd = dial(&s);
    cr_assert_eq(setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one), 0);
    for (size_t i = 0; i < sizeof request - 1; i++)
        say_bytes(fd, request + i, 1);
    hear(&h, fd, NULL);
    cr_expect_eq(count_of(h.text, "HTTP/1.1 200 OK\r\n"), 2);
    EXPECT_IN("\r\n\r\nhelloHTTP/1.1", &h);
    EXPECT_IN("\r\n\r\nsecond", &h);
    close(fd);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_bad_request_does_not_spoil_the_good_ones_before_it)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "GET /?good HTTP/1.1\r\n" HOST
                     "\r\nGET / HTTP/1.1\r\n\r\nGET /?late HTTP/1.1\r\n" HOST "\r\n");
    cr_expect_eq(strncmp(h->text, "HTTP/1.1 200 OK\r\n", 17), 0);
    EXPECT_IN("goodHTTP/1.1 400 Bad Request\r\n", h);
    EXPECT_IN("Connection: close\r\n", h);
    EXPECT_NOT_IN("late", h);
    cr_expect_eq(h->end, 1);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, http_1_0_closes_unless_asked_not_to)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "GET /?a HTTP/1.0\r\n\r\nGET /?b HTTP/1.0\r\n\r\n");
    cr_expect_eq(count_of(h->text, "HTTP/1.1 200"), 1);
    EXPECT_IN("Connection: close\r\n", h);
    h = exchange(&s, "GET /?a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /?b HTTP/1.0\r\n\r\n");
    cr_expect_eq(count_of(h->text, "HTTP/1.1 200"), 2);
    EXPECT_IN("Connection: keep-alive\r\n", h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, methods_that_a_path_lacks_are_told)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "PUT /echo HTTP/1.1\r\n" CLOSE);
    EXPECT_IN("HTTP/1.1 405 Method Not Allowed\r\n", h);
    EXPECT_IN("Allow: POST, OPTIONS\r\n", h);
    h = exchange(&s, "OPTIONS /echo HTTP/1.1\r\n" CLOSE);
    EXPECT_IN("HTTP/1.1 204 No Content\r\n", h);
    EXPECT_IN("Allow: POST, OPTIONS\r\n", h);
    EXPECT_NOT_IN("Content-Length", h);
    h = exchange(&s, "OPTIONS * HTTP/1.1\r\n" CLOSE);
    EXPECT_IN("Allow: GET, HEAD, POST, OPTIONS\r\n", h);
    h = exchange(&s, "GET /nowhere HTTP/1.1\r\n" CLOSE);
    EXPECT_IN("HTTP/1.1 404 Not Found\r\n", h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, head_is_answered_without_the_body)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "HEAD /?four HTTP/1.1\r\n" HOST "\r\nHEAD /big?9999 HTTP/1.1\r\n" HOST
                     "\r\nHEAD /none HTTP/1.1\r\n" CLOSE);
    EXPECT_IN("Content-Length: 4\r\n\r\nHTTP/1.1 200", h);
    EXPECT_IN("Content-Length: 9999\r\n\r\nHTTP/1.1 404", h);
    cr_expect_eq(strcmp(h->text + h->len - 4, "\r\n\r\n"), 0);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, bodies_of_all_sizes_arrive_whole)
{
    static const int sizes[] = {0, 1, 2048, 2049, 4095, 4096, 5000, 65536, 200000};
    struct server s;

    server_start(&s, NULL, routes);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char request[100];
        struct heard *h;

        sprintf(request, "GET /?before HTTP/1.1\r\n" HOST "\r\nGET /big?%d HTTP/1.1\r\n" CLOSE,
                sizes[i]);
        h = exchange(&s, request);
        cr_expect_eq(strspn(strstr(strstr(h->text, "before") + 6, "\r\n\r\n") + 4, "x"),
                     (size_t)sizes[i]);
        cr_expect_eq(h->text[h->len], '\0');
        cr_expect_eq(h->end, 1);
    }
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_large_body_comes_back)
{
    static char body[1 << 17], head[200];
    static struct heard h;
    struct server s;
    int fd;

    server_start(&s, NULL, routes);
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)('a' + i * 7 % 26);
    sprintf(head, "POST /echo HTTP/1.1\r\nContent-Length: %zu\r\n" CLOSE, sizeof body);
    fd = dial(&s);
    say(fd, head);
    say_bytes(fd, body, sizeof body);
    hear(&h, fd, NULL);
    cr_assert_gt(h.len, sizeof body);
    cr_expect_eq(memcmp(h.text + h.len - sizeof body, body, sizeof body), 0);
    close(fd);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_body_over_the_limit_of_its_route_is_413)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "POST /small HTTP/1.1\r\nContent-Length: 10\r\n" CLOSE "0123456789");
    EXPECT_IN("\r\n\r\n0123456789", h);
    calls = 0;
    h = exchange(&s, "POST /small HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n0123456789a");
    EXPECT_IN("HTTP/1.1 413 ", h);
    EXPECT_IN("Connection: close\r\n", h);
    cr_expect_eq(calls, 0);
    h = exchange(&s, "POST /small HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                     "b\r\n0123456789a\r\n0\r\n\r\n");
    EXPECT_IN("HTTP/1.1 413 ", h);
    cr_expect_eq(h->end, 1);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, who_waits_for_100_continue_gets_it)
{
    static struct heard h;
    struct heard *refused;
    struct server s;
    int fd;

    server_start(&s, NULL, routes);
    fd = dial(&s);
    say(fd, "POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n" CLOSE);
    hear(&h, fd, "\r\n\r\n");
    cr_expect_eq(strcmp(h.text, "HTTP/1.1 100 Continue\r\n\r\n"), 0, "%s", h.text);
    say(fd, "hello");
    hear(&h, fd, NULL);
    EXPECT_IN("\r\n\r\nhello", &h);
    close(fd);
    /* A handler that does not read closes: nobody knows whether the body will come. */
    refused = exchange(
        &s, "PUT /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n" HOST "\r\n");
    EXPECT_NOT_IN("100 Continue", refused);
    EXPECT_IN("HTTP/1.1 405", refused);
    EXPECT_IN("Connection: close\r\n", refused);
    cr_expect_eq(refused->end, 1);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, an_unread_body_is_not_taken_for_a_request)
{
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    h = exchange(&s, "GET / HTTP/1.1\r\n" HOST
                     "Content-Length: 27\r\n\r\nGET /?smuggled HTTP/1.1\r\n\r\n"
                     "GET /?next HTTP/1.1\r\n" CLOSE);
    cr_expect_eq(count_of(h->text, "HTTP/1.1 200"), 2);
    EXPECT_NOT_IN("smuggled", h);
    EXPECT_IN("next", h);
    h = exchange(&s,
                 "GET / HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    cr_expect_eq(count_of(h->text, "HTTP/1.1 200"), 1);
    EXPECT_IN("Connection: close\r\n", h);
    h = exchange(&s, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n");
    EXPECT_IN("HTTP/1.1 400", h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_refusal_reaches_a_client_that_still_sends)
{
    static char flood[200000];
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    memset(flood, 'a', sizeof flood - 1);
    memcpy(flood, "GET /", 5);
    h = exchange(&s, flood);
    EXPECT_IN("HTTP/1.1 414 ", h);
    cr_expect_eq(h->end, 1);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, without_memory_for_a_large_head_is_503_behind_the_answers_before_it)
{
    static char batch[20000];
    struct server s;
    struct heard *h;

    server_start(&s, NULL, routes);
    for (int i = 0; i < 50; i++) /* their answers are more than go into a small buffer */
        strcat(batch, "GET /?good HTTP/1.1\r\n" HOST "\r\n");
    strcat(batch, "GET /?late HTTP/1.1\r\n" HOST "X: ");
    memset(batch + strlen(batch), 'a', 8000);
    strcat(batch, "\r\n\r\n");
    scarce = true;
    h = exchange(&s, batch);
    scarce = false;
    cr_expect_eq(count_of(h->text, "HTTP/1.1 200 OK\r\n"), 50);
    cr_expect_eq(count_of(h->text, "good"), 50);
    EXPECT_IN("goodHTTP/1.1 503 Service Unavailable\r\n", h);
    EXPECT_NOT_IN("late", h);
    cr_expect_eq(h->end, 1);
    cr_expect_eq(server_stop(&s), 0);
}

/* Without time-outs that matter: a test sets the one that it is about. */
static struct co_http_conf patient(void)
{
    struct co_http_conf conf;

    co_http_conf_init(&conf);
    conf.head_timeout = 600 * CO_SEC;
    conf.body_timeout = 600 * CO_SEC;
    conf.idle_timeout = 600 * CO_SEC;
    return conf;
}

Test(conn, idle_connections_are_closed_in_time_and_without_a_word)
{
    static const char request[] = "GET /?a HTTP/1.1\r\n" HOST "\r\n";
    struct co_http_conf conf = patient();
    static struct heard h;
    struct heard *silence;
    struct server s;
    int64_t begin;
    int fd;

    conf.idle_timeout = 200 * CO_MS;
    server_start(&s, &conf, routes);
    begin = co_now();
    silence = exchange(&s, "");
    cr_expect_eq(silence->len, 0);
    cr_expect_eq(silence->end, 1);
    cr_expect_geq(co_now() - begin, 200 * CO_MS);
    for (int i = 0; i < 50 && h.len == 0; i++) { /* once, unless we come too late ourselves */
        h.end = 0;
        fd = dial(&s);
        (void)!write(fd, request, strlen(request));
        hear(&h, fd, NULL);
        close(fd);
    }
    cr_expect_eq(count_of(h.text, "HTTP/1.1"), 1);
    EXPECT_NOT_IN("Connection", &h);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_head_has_one_deadline_however_many_octets_come)
{
    struct co_http_conf conf = patient();
    static struct heard h;
    struct server s;
    int64_t begin;
    int fd;

    conf.head_timeout = 200 * CO_MS;
    server_start(&s, &conf, routes);
    fd = dial(&s);
    begin = co_now();
    say(fd, "GET / HTTP/1.1\r\nX: ");
    while (co_now() - begin < 15 * CO_SEC && recv(fd, h.text, 1, MSG_DONTWAIT | MSG_PEEK) < 0) {
        say(fd, "a"); /* this is the slow client, not waiting for something */
        usleep(10000);
    }
    cr_expect_geq(co_now() - begin, 200 * CO_MS);
    cr_expect_lt(co_now() - begin, 14 * CO_SEC);
    hear(&h, fd, NULL);
    EXPECT_IN("HTTP/1.1 408 Request Timeout\r\n", &h);
    close(fd);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_body_that_stays_away_is_408)
{
    struct co_http_conf conf = patient();
    struct server s;
    struct heard *h;

    conf.body_timeout = 200 * CO_MS;
    server_start(&s, &conf, routes);
    h = exchange(&s, "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" HOST "\r\nhel");
    EXPECT_IN("HTTP/1.1 408 Request Timeout\r\n", h);
    cr_expect_eq(h->end, 1);
    cr_expect_eq(server_stop(&s), 0);
}

static void clock_stands(void)
{
    co__clock_stop(false);
}

/* Says a head, then a piece each second of a clock that is moved, until the server answers, and an
 * end. */
static void trickle(struct heard *h, const char *head, const char *piece, int pieces,
                    const char *end)
{
    struct co_http_conf conf = patient();
    struct server s;
    int fd;

    conf.body_timeout = 24 * 3600 * CO_SEC;
    server_start(&s, &conf, routes);
    fd = dial(&s);
    say(fd, head);
    h->len = 0;
    h->end = 0;
    for (int i = 0; i < pieces; i++) {
        usleep(1000); /* so that the server most often waits when the clock moves */
        co__clock_advance(CO_SEC);
        if (recv(fd, h->text, 1, MSG_DONTWAIT | MSG_PEEK) >= 0)
            break;
        say(fd, piece);
    }
    if (*end != '\0')
        say(fd, end);
    shutdown(fd, SHUT_WR);
    hear(h, fd, NULL);
    close(fd);
    cr_expect_eq(server_stop(&s), 0);
}

#define CHUNKED HOST "Transfer-Encoding: chunked\r\n\r\n"

Test(conn, chunk_extensions_and_trailers_must_not_trickle_in_for_hours, .init = clock_stands)
{
    static const char *const heads[] = {
        "POST /echo HTTP/1.1\r\n" CHUNKED "1;",
        "POST /echo HTTP/1.1\r\n" CHUNKED "1\r\na\r\n0\r\nX: ",
        "GET /?unread HTTP/1.1\r\n" CHUNKED "0\r\nX: ",
    };
    static struct heard h;

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        trickle(&h, heads[i], "a", 1000, "");
        EXPECT_IN("HTTP/1.1 408 Request Timeout\r\n", &h);
    }
}

Test(conn, a_body_that_comes_steadily_is_waited_for, .init = clock_stands)
{
    static char piece[1024 + 8];
    static struct heard h;

    sprintf(piece, "400\r\n%01024d\r\n", 0);
    trickle(&h, "POST /echo HTTP/1.1\r\n" CHUNKED, piece, 20, "0\r\n\r\n");
    EXPECT_IN("HTTP/1.1 200 OK\r\n", &h);
    EXPECT_IN("Content-Length: 20480\r\n", &h);
}

Test(conn, an_answer_does_not_wait_for_the_handler_of_the_next_request)
{
    static struct heard h;
    struct server s;
    int fd;

    server_start(&s, NULL, routes);
    fd = dial(&s);
    may_go = 0;
    say(fd, "GET /?quick HTTP/1.1\r\n" HOST "\r\nGET /tarry HTTP/1.1\r\n" HOST "\r\n");
    hear(&h, fd, "quick");
    EXPECT_IN("quick", &h);
    may_go = 1;
    hear(&h, fd, "slept");
    EXPECT_IN("slept", &h);
    close(fd);
    cr_expect_eq(server_stop(&s), 0);
}

/* How many sends a hundred answers take. */
static int64_t sends_of_a_hundred(int fd)
{
    static char batch[4000];
    static struct heard h;
    int sends = 0;
    int64_t before;

    while (strcmp(co_stat_name(sends), "net_sends") != 0)
        sends++;
    before = co_stat_total(sends);
    strcpy(batch, "GET /?first HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 98; i++)
        strcat(batch, "GET /lag HTTP/1.1\r\n" HOST "\r\n");
    strcat(batch, "GET /?last HTTP/1.1\r\n" HOST "\r\n");
    say(fd, batch);
    h.len = 0;
    hear(&h, fd, "last");
    return co_stat_total(sends) - before;
}

Test(conn, answers_share_a_send_when_their_handlers_are_known_to_be_quick, .init = clock_stands)
{
    struct server s;
    int fd;

    server_start(&s, NULL, routes);
    fd = dial(&s);
    cr_expect_gt(sends_of_a_hundred(fd), 50);
    cr_expect_lt(sends_of_a_hundred(fd), 10);
    cr_expect_lt(sends_of_a_hundred(fd), 10);
    lag_once = true;
    cr_expect_gt(sends_of_a_hundred(fd), 50);
    cr_expect_lt(sends_of_a_hundred(fd), 10);
    close(fd);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_stop_answers_what_has_begun_and_closes_the_idle)
{
    static struct heard idle, begun, napping;
    struct server s;
    int fds[3];

    server_start(&s, NULL, routes);
    for (int i = 0; i < 3; i++)
        fds[i] = dial(&s);
    say(fds[0], "GET /?a HTTP/1.1\r\n" HOST "\r\n");
    hear(&idle, fds[0], "\r\n\r\na");
    say(fds[1], "GET /?a HTTP/1.1\r\n" HOST "\r\nGET /?b HT");
    hear(&begun, fds[1], "\r\n\r\na");
    say(fds[2], "GET /nap?300 HTTP/1.1\r\n" HOST "\r\nGET /?c HTTP/1.1\r\n" HOST "\r\n");
    co_stop();
    hear(&idle, fds[0], NULL);
    cr_expect_eq(idle.end, 1);
    cr_expect_eq(count_of(idle.text, "HTTP/1.1 200"), 1);
    say(fds[1], "TP/1.1\r\n" HOST "\r\n");
    hear(&begun, fds[1], NULL);
    cr_expect_eq(count_of(begun.text, "HTTP/1.1 200"), 2);
    cr_expect_eq(count_of(begun.text, "Connection: close\r\n"), 1);
    hear(&napping, fds[2], NULL);
    cr_expect_eq(count_of(napping.text, "HTTP/1.1 200"), 2, "%s", napping.text);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, whoever_is_cut_off_by_the_end_of_the_grace_time_is_told_so)
{
    static struct heard napping, sending;
    struct server s;
    int fds[3];

    calls = 0;
    server_start_in(&s, server_thread, 100 * CO_MS, NULL, routes);
    for (int i = 0; i < 3; i++)
        fds[i] = dial(&s);
    say(fds[0], "GET /?a HTTP/1.1\r\n" HOST "\r\nGET /nap?60000 HTTP/1.1\r\n" HOST
                "\r\nGET /big?100000 HTTP/1.1\r\n" HOST "\r\n");
    say(fds[1], "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" HOST "\r\nhe");
    say(fds[2], "GET /nap?60000 HTTP/1.1\r\n" HOST "\r\nGET /big?12000000 HTTP/1.1\r\n" HOST
                "\r\n"); /* and does not read */
    while (calls < 4)
        usleep(1000);
    co_stop();
    hear(&napping, fds[0], NULL);
    cr_expect_eq(count_of(napping.text, "HTTP/1.1 200 OK\r\n"), 2);
    cr_expect_eq(count_of(napping.text, "HTTP/1.1 503 Service Unavailable\r\n"), 1);
    cr_assert_gt(napping.len, 100000);
    cr_expect_eq(strspn(napping.text + napping.len - 100000, "x"), 100000);
    cr_expect_eq(napping.end, 1);
    hear(&sending, fds[1], NULL);
    EXPECT_IN("HTTP/1.1 503 Service Unavailable\r\n", &sending);
    EXPECT_IN("Connection: close\r\n", &sending);
    cr_expect_eq(sending.end, 1);
    cr_expect_eq(server_stop(&s), 0);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

/* As server_thread, with no coroutine but that of the server and one more. */
static void *cramped_thread(void *arg)
{
    struct server *s = arg;
    struct co_conf conf;

    co_conf_init(&conf);
    conf.threads = 2;
    conf.signals = 0;
    conf.max_coroutines = 2;
    conf.grace = 12 * CO_SEC;
    s->result = co_run_with(&conf, server_main, s);
    return NULL;
}

Test(conn, a_stop_ends_the_idle_where_there_may_be_no_more_coroutines)
{
    struct co_http_conf conf = patient();
    static struct heard h;
    struct server s;
    int fd;

    server_start_in(&s, cramped_thread, 0, &conf, routes);
    fd = dial(&s);
    say(fd, "GET /?first HTTP/1.1\r\n" HOST "\r\n");
    hear(&h, fd, "\r\n\r\nfirst");
    say(fd, "GET /?second HTTP/1.1\r\n" HOST "\r\n");
    hear(&h, fd, "\r\n\r\nsecond");
    co_stop();
    hear(&h, fd, NULL); /* for less than the grace time */
    cr_expect_eq(h.end, 1);
    cr_expect_eq(count_of(h.text, "HTTP/1.1 200"), 2);
    close(fd);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, silent_clients_do_not_keep_others_from_being_served)
{
    struct co_http_conf conf = patient();
    struct server s;
    int fds[8];

    conf.max_connections = 8;
    server_start(&s, &conf, routes);
    for (int i = 0; i < 8; i++)
        fds[i] = dial(&s);
    EXPECT_IN("\r\n\r\nserved", exchange(&s, "GET /?served HTTP/1.1\r\n" CLOSE));
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, at_the_limit_a_client_waits_until_a_busy_one_has_gone)
{
    struct co_http_conf conf = patient();
    static struct heard busy[2], late;
    struct server s;
    int fds[3];

    conf.max_connections = 2;
    server_start(&s, &conf, routes);
    may_go = 0;
    for (int i = 0; i < 2; i++) {
        fds[i] = dial(&s);
        say(fds[i], "GET /tarry HTTP/1.1\r\n" CLOSE);
    }
    fds[2] = dial(&s);
    calls = 0;
    say(fds[2], "GET /?late HTTP/1.1\r\n" CLOSE);
    usleep(250000); /* for it to be served too early; this is not waiting for something */
    cr_expect_eq(calls, 0);
    may_go = 1;
    for (int i = 0; i < 2; i++) {
        hear(&busy[i], fds[i], NULL);
        EXPECT_IN("\r\n\r\nslept", &busy[i]);
    }
    hear(&late, fds[2], NULL);
    EXPECT_IN("\r\n\r\nlate", &late);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, idle_connections_get_less_time_when_there_are_many)
{
    struct co_http_conf conf = patient();
    static struct heard last;
    struct server s;
    int fds[4];

    conf.max_connections = 4;
    conf.idle_timeout = 16 * CO_SEC;
    server_start(&s, &conf, routes);
    for (int i = 0; i < 4; i++)
        fds[i] = dial(&s);
    say(fds[3], "GET /?a HTTP/1.1\r\n" HOST "\r\n");
    hear(&last, fds[3], NULL); /* to the end, which comes 1 s after the answer */
    EXPECT_IN("\r\n\r\na", &last);
    cr_expect_eq(last.end, 1);
    for (int i = 0; i < 3; i++) /* they came when there were few, and nobody waits */
        cr_expect_eq(recv(fds[i], last.text, 1, MSG_DONTWAIT), -1);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    cr_expect_eq(server_stop(&s), 0);
}

Test(conn, a_limit_below_zero_is_refused)
{
    struct co_http_conf conf = patient();
    struct server s;

    conf.max_connections = -1;
    server_start(&s, &conf, routes);
    cr_expect_eq(server_stop(&s), -EINVAL);
}

Test(conn, a_server_whose_listener_is_hung_up_ends_without_waiting_for_the_idle)
{
    struct co_http_conf conf = patient();
    static struct heard idle, silent, busy;
    struct server s;
    int fds[3];

    conf.idle_timeout = 20 * CO_SEC;
    server_start(&s, &conf, routes);
    for (int i = 0; i < 3; i++)
        fds[i] = dial(&s);
    say(fds[0], "GET /?a HTTP/1.1\r\n" HOST "\r\n");
    hear(&idle, fds[0], "\r\n\r\na");
    may_go = 0;
    calls = 0;
    say(fds[2], "GET /?b HTTP/1.1\r\n" HOST "\r\nGET /tarry HTTP/1.1\r\n" HOST "\r\n");
    while (calls == 0) /* it has begun with these */
        usleep(1000);
    cr_assert_eq(co_hangup(s.lfd), 0);
    hear(&idle, fds[0], NULL);
    cr_expect_eq(idle.end, 1);
    hear(&silent, fds[1], NULL);
    cr_expect_eq(silent.end, 1);
    may_go = 1;
    hear(&busy, fds[2], NULL);
    EXPECT_IN("Connection: close\r\n", &busy);
    EXPECT_IN("\r\n\r\nslept", &busy);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    cr_assert_eq(pthread_join(s.thread, NULL), 0);
    cr_expect_eq(s.result, 0);
}
