/* SPDX-License-Identifier: MIT */
/* tests/netio/test_addr.c - reading addresses. */
#include "endpoint.h"

#include "support/run.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <unistd.h>

TestSuite(addr, .timeout = 10);

static struct co__endpoint endpoint;

static int parse(const char *text)
{
    memset(&endpoint, 0xee, sizeof endpoint);
    return co__endpoint_parse(text, &endpoint);
}

Test(addr, reads_ipv4)
{
    cr_assert_eq(parse("127.0.0.1:8080"), 0);
    cr_assert_str_empty(endpoint.host);
    cr_assert_eq(endpoint.addr.in4.sin_family, AF_INET);
    cr_assert_eq(ntohs(endpoint.addr.in4.sin_port), 8080);
    cr_assert_eq(ntohl(endpoint.addr.in4.sin_addr.s_addr), INADDR_LOOPBACK);
    cr_assert_eq(endpoint.addr.len, sizeof(struct sockaddr_in));
    cr_assert_eq(parse("0.0.0.0:0"), 0);
    cr_assert_eq(parse("255.255.255.255:65535"), 0);
    cr_assert_eq(ntohs(endpoint.addr.in4.sin_port), 65535);
}

Test(addr, reads_ipv6_in_brackets)
{
    cr_assert_eq(parse("[::1]:443"), 0);
    cr_assert_str_empty(endpoint.host);
    cr_assert_eq(endpoint.addr.in6.sin6_family, AF_INET6);
    cr_assert_eq(ntohs(endpoint.addr.in6.sin6_port), 443);
    cr_assert(IN6_IS_ADDR_LOOPBACK(&endpoint.addr.in6.sin6_addr));
    cr_assert_eq(endpoint.addr.len, sizeof(struct sockaddr_in6));
    cr_assert_eq(parse("[::]:1"), 0);
    cr_assert_eq(parse("[2001:db8::ff00:42:8329]:1"), 0);
}

Test(addr, keeps_names_for_later)
{
    cr_assert_eq(parse("localhost:80"), 0);
    cr_assert_str_eq(endpoint.host, "localhost");
    cr_assert_eq(endpoint.port, 80);
    cr_assert_eq(parse("a-b.example:1"), 0);
    cr_assert_str_eq(endpoint.host, "a-b.example");
}

Test(addr, reads_local_paths)
{
    cr_assert_eq(parse("unix:/run/x:y"), 0);
    cr_assert_eq(endpoint.addr.local.sun_family, AF_UNIX);
    cr_assert_str_eq(endpoint.addr.local.sun_path, "/run/x:y");
    cr_assert_str_empty(endpoint.host);
}

Test(addr, reads_scopes_by_number_and_name)
{
    cr_assert_eq(parse("[fe80::1%7]:80"), 0);
    cr_assert_eq(endpoint.addr.in6.sin6_scope_id, 7);
    cr_assert_eq(parse("[fe80::1%lo]:80"), 0);
    cr_assert_eq(endpoint.addr.in6.sin6_scope_id, if_nametoindex("lo"));
    cr_assert_eq(parse("[fe80::1%4294967295]:80"), 0);
    cr_assert_eq(parse("[fe80::1%no-such-thing]:80"), -ENODEV);
    cr_assert_eq(parse("[fe80::1%]:80"), -EINVAL);
    cr_assert_eq(parse("1.2.3.4%lo:80"), -EINVAL);
}

Test(addr, reads_abstract_names)
{
    cr_assert_eq(parse("unix:@app"), 0);
    cr_assert_eq(endpoint.addr.local.sun_path[0], '\0');
    cr_assert_eq(memcmp(endpoint.addr.local.sun_path + 1, "app", 3), 0);
    cr_assert_eq(endpoint.addr.len, offsetof(struct sockaddr_un, sun_path) + 4);
    cr_assert_eq(parse("unix:@"), 0);
    cr_assert_eq(endpoint.addr.len, sizeof(sa_family_t));
    cr_assert_eq(parse("unix:./@app"), 0);
    cr_assert_str_eq(endpoint.addr.local.sun_path, "./@app");
}

Test(addr, prints_what_it_reads)
{
    static const char *const texts[] = {
        "127.0.0.1:80",  "0.0.0.0:0",   "[::1]:65535",    "[2001:db8::ff00:42:8329]:1",
        "[fe80::1%3]:9", "unix:/run/x", "unix:@abstract", "unix:@",
    };
    char buf[CO_ADDR_TEXT];
    struct co_addr addr, again;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cr_assert_eq(co_addr_parse(texts[i], &addr), 0, "%s", texts[i]);
        cr_assert_str_eq(co_addr_print(&addr, buf), texts[i]);
        cr_assert_eq(co_addr_parse(buf, &again), 0);
        cr_assert(co_addr_equal(&addr, &again));
    }
    cr_assert_eq(co_addr_parse("localhost:80", &addr), -EINVAL, "a name is no address");
    addr = (struct co_addr){0};
    cr_assert_str_eq(co_addr_print(&addr, buf), "unknown");
}

Test(addr, prints_the_longest_and_the_strangest_names_within_its_bounds)
{
    struct co_addr addr = {.local.sun_family = AF_UNIX, .len = sizeof addr.local};
    char buf[CO_ADDR_TEXT];

    memset(addr.local.sun_path, 'p', sizeof addr.local.sun_path); /* without a NUL */
    cr_assert_eq(strlen(co_addr_print(&addr, buf)), 5 + sizeof addr.local.sun_path);
    memcpy(addr.local.sun_path, "\0a\0\n\x7f\xc3\xa9", 7);
    addr.len = offsetof(struct sockaddr_un, sun_path) + 7;
    cr_assert_str_eq(co_addr_print(&addr, buf), "unix:@a???\xc3\xa9");
    cr_assert_eq(
        co_addr_parse("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535", &addr),
        0);
    cr_assert_lt(strlen(co_addr_print(&addr, buf)), CO_ADDR_TEXT);
}

static bool same(const char *a, const char *b)
{
    struct co_addr x, y;

    cr_assert_eq(co_addr_parse(a, &x), 0);
    cr_assert_eq(co_addr_parse(b, &y), 0);
    return co_addr_equal(&x, &y);
}

Test(addr, compares_all_that_tells_addresses_apart)
{
    struct co_addr none = {0}, some;

    cr_assert(same("1.2.3.4:5", "1.2.3.4:5"));
    cr_assert_not(same("1.2.3.4:5", "1.2.3.4:6"));
    cr_assert_not(same("1.2.3.4:5", "1.2.3.5:5"));
    cr_assert(same("[::1]:5", "[0:0::1]:5"));
    cr_assert_not(same("[::1]:5", "[::2]:5"));
    cr_assert_not(same("[fe80::1%1]:5", "[fe80::1%2]:5"));
    cr_assert_not(same("0.0.0.0:5", "[::]:5"));
    cr_assert(same("unix:/a", "unix:/a"));
    cr_assert_not(same("unix:/a", "unix:/ab"));
    cr_assert_not(same("unix:@a", "unix:/a"));
    cr_assert_eq(co_addr_parse("1.2.3.4:5", &some), 0);
    cr_assert(co_addr_equal(&none, &none));
    cr_assert_not(co_addr_equal(&none, &some));
    cr_assert_eq(co_addr_port(&some), 5);
    cr_assert_eq(co_addr_port(&none), -EAFNOSUPPORT);
}

Test(addr, holds_the_longest_path_and_name_and_no_longer)
{
    char path[200] = "unix:/";
    char name[400];
    size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

    memset(path + 6, 'p', sizeof path - 7);
    path[5 + most] = '\0';
    cr_assert_eq(parse(path), 0);
    cr_assert_eq(strlen(endpoint.addr.local.sun_path), most);
    path[5 + most] = 'p';
    path[6 + most] = '\0';
    cr_assert_eq(parse(path), -EINVAL);

    memset(name, 'n', sizeof name);
    memcpy(name + CO__HOST_MAX - 1, ":1", 3);
    cr_assert_eq(parse(name), 0);
    cr_assert_eq(strlen(endpoint.host), CO__HOST_MAX - 1);
    memset(name, 'n', sizeof name);
    memcpy(name + CO__HOST_MAX, ":1", 3);
    cr_assert_eq(parse(name), -EINVAL);
}

Test(addr, refuses_the_rest_and_then_leaves_the_result_alone)
{
    static const char *const wrong[] = {
        "",           ":",
        ":80",        "host",
        "host:",      "host:x",
        "host:1x",    "host: 1",
        "host:-1",    "host:+1",
        "host:65536", "host:99999999999999999999",
        "unix:",      "::1:80",
        "::1",        "[::1]",
        "[::1]:",     "[]:80",
        "[::1:80",    "::1]:80",
        "[host]:1",   "[1.2.3.4]:1",
        "[::1]x:1",   "a:b:1",
        "[:1",        "[fe80::1%lo:1",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_eq(parse(wrong[i]), -EINVAL, "\"%s\"", wrong[i]);
        cr_assert_eq(endpoint.port, 0xeeee, "\"%s\"", wrong[i]);
    }
}

/* Every text in front of a page that nobody may read. */
Test(addr, reads_nothing_behind_the_end)
{
    static const char *const texts[] = {"",         "x",       ":",         "unix:",      "unix:@",
                                        "[::1]:80", "host:80", "1.2.3.4:5", "[::1%lo]:80"};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(map, MAP_FAILED);
    cr_assert_eq(mprotect(map + page, page, PROT_NONE), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t len = strlen(texts[i]) + 1;

        memcpy(map + page - len, texts[i], len);
        for (size_t from = 0; from < len; from++)
            (void)parse(map + page - len + from);
    }
}
