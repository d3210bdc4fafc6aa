/* SPDX-License-Identifier: MIT */
/*
 * tests/route/program.c - what run.py runs in its namespace; see there for the addresses.
 *
 *     program routes             addresses that do not answer, or are refused
 *     program throttle [REASON]  loopback is slow; skipped if REASON says why it is not
 *
 * Deadlines must not end early; how late they may be is bounded loosely.
 */
#include <co/conf.h>
#include <co/connect.h>
#include <co/datagram.h>
#include <co/group.h>
#include <co/net.h>
#include <co/scope.h>
#include <co/task.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { LATE = 20, MUCH = 1000000, FIRST_OF_THROTTLE = 7 };

static const char *failed; /* the first check of a test that did */

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
#define CHECK(holds)                                     \
    do {                                                 \
        if (!(holds) && !failed)                         \
            failed = "line " TEXT(__LINE__) ": " #holds; \
    } while (0)

static struct co_addr address_of(const char *text)
{
    struct co_addr addr = {.len = 0};

    CHECK(co_addr_parse(text, &addr) == 0);
    return addr;
}

static void expect_span(int64_t begin, int64_t least)
{
    int64_t took = co_now() - begin;

    CHECK(took >= least && took < LATE * CO_SEC);
}

/* ---- routes ---- */

static int connect_into_nothing(void *arg)
{
    int64_t begin = co_now();
    CO_DEADLINE(300 * CO_MS);

    (void)arg;
    CHECK(co_connect("10.9.0.2:80") == -ETIMEDOUT);
    expect_span(begin, 300 * CO_MS);
    return 0;
}

static int connect_to_many(void *arg)
{
    const struct co_addr addrs[] = {address_of("10.9.0.2:80"), address_of("10.9.0.3:80"),
                                    address_of("10.9.0.2:81")};
    int64_t begin = co_now();
    CO_DEADLINE(900 * CO_MS); /* all of them are under way when it ends */

    (void)arg;
    CHECK(co_connect_to(NULL, addrs, 3) == -ETIMEDOUT);
    expect_span(begin, 900 * CO_MS);
    return 0;
}

static int connect_member(void *arg)
{
    (void)arg;
    return co_connect("10.9.0.2:80");
}

static int cancel_connect(void *arg)
{
    int64_t begin = co_now();
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_go(&group, connect_member, NULL) == 0);
    (void)co_sleep(20 * CO_MS);
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == -ECANCELED);
    expect_span(begin, 20 * CO_MS);
    return 0;
}

/* Whether of these addresses the last, a listener's, wins. */
static void expect_last(const struct co_connect_opts *opts, const char *const *texts, int count)
{
    struct co_addr addrs[CO_ADDRS_MAX], peer;
    CO_FD(lfd, co_listen("127.0.0.1:0"));

    CHECK(lfd >= 0);
    for (int i = 0; i < count; i++)
        addrs[i] = address_of(texts[i]);
    CHECK(co_local_addr(lfd, &addrs[count]) == 0);
    CO_DEADLINE(LATE * CO_SEC);
    CO_FD(fd, co_connect_to(opts, addrs, count + 1));
    CHECK(fd >= 0 && co_peer_addr(fd, &peer) == 0 && co_addr_equal(&peer, &addrs[count]));
}

static int overtake(void *arg)
{
    static const char *const holes[] = {"10.9.0.2:80", "10.9.0.3:80"};

    (void)arg;
    expect_last(NULL, holes, 2);
    return 0;
}

static int refuse(void *arg)
{
    static const char *const routes[] = {"10.8.0.1:80", "10.7.0.1:80", "10.6.0.1:80"};
    static const int errors[] = {-EINVAL, -EHOSTUNREACH, -EACCES};
    const struct co_connect_opts patient = {.attempt_delay = 600 * CO_SEC};
    CO_DEADLINE(LATE * CO_SEC);

    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK(co_connect(routes[i]) == errors[i]);
    expect_last(&patient, routes, 3);
    return 0;
}

static int send_into_nothing(void *arg)
{
    CO_FD(fd, co_datagram_connect(NULL, NULL, "10.9.0.2:80"));
    int64_t begin = co_now();
    char buf[8];
    CO_DEADLINE(100 * CO_MS);

    (void)arg;
    CHECK(fd >= 0 && co_send(fd, "anybody?", 8) == 8);
    CHECK(co_recv(fd, buf, sizeof buf) == -ETIMEDOUT);
    expect_span(begin, 100 * CO_MS);
    return 0;
}

/* ---- throttle ---- */

static unsigned char byte_at(size_t at)
{
    return (unsigned char)(at * 31 + (at >> 8) * 7);
}

static int send_much(void *arg)
{
    static unsigned char much[MUCH];

    for (size_t i = 0; i < MUCH; i++)
        much[i] = byte_at(i);
    return (int)co_send(*(int *)arg, much, MUCH);
}

/* Reads until the deadline, or the end. Returns: the last result. */
static ssize_t read_some(int fd, size_t *at)
{
    unsigned char buf[4096];
    ssize_t n = 1;

    while (n > 0 && *at < MUCH) {
        n = co_recv(fd, buf, sizeof buf);
        for (ssize_t i = 0; i < n; i++)
            CHECK(buf[i] == byte_at((*at)++));
    }
    return n;
}

static int read_slowly(void *arg)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    char address[64];
    size_t at = 0;
    int64_t begin;

    (void)arg;
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", co_local_port(lfd));
    CO_FD(fd, co_connect(address));
    CO_FD(conn, co_accept(lfd));
    CO_GROUP(group);
    CHECK(fd >= 0 && conn >= 0 && co_group_go(&group, send_much, &conn) == 0);
    begin = co_now();
    {
        CO_DEADLINE(100 * CO_MS); /* bytes come all the time, and are not all there */
        CHECK(read_some(fd, &at) == -ETIMEDOUT && at < MUCH);
    }
    expect_span(begin, 100 * CO_MS);
    CHECK(read_some(fd, &at) > 0 && at == MUCH);
    CHECK(co_group_wait(&group) == 0);
    return 0;
}

/* ---- all of them ---- */

static int number;

static void test(const char *name, co_main_fn *fn)
{
    struct co_conf conf;
    int r;

    co_conf_init(&conf);
    conf.threads = 2;
    failed = NULL;
    r = co_run_with(&conf, fn, NULL);
    printf("%s %d - %s%s%s\n", failed || r < 0 ? "not ok" : "ok", ++number, name,
           failed ? "\n# " : "", failed ? failed : "");
}

static void routes(void)
{
    printf("1..%d\n", FIRST_OF_THROTTLE);
    test("a connect into nothing ends at its deadline", connect_into_nothing);
    test("so does one to several addresses that do not answer", connect_to_many);
    test("a connect into nothing is cancelled", cancel_connect);
    test("the address that answers overtakes those that do not", overtake);
    test("routes that refuse are followed by the next at once", refuse);
    test("who waits for an answer from nowhere is told at the deadline", send_into_nothing);
}

int main(int argc, char **argv)
{
    const char *reason = argc > 2 ? argv[2] : "";

    (void)setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1 && strcmp(argv[1], "routes") == 0) {
        routes();
    } else if (*reason) {
        printf("ok %d - a throttled peer # SKIP %s\n", FIRST_OF_THROTTLE, reason);
    } else {
        number = FIRST_OF_THROTTLE - 1;
        test("a throttled peer does not push a deadline on, and loses nothing", read_slowly);
    }
    return 0;
}
