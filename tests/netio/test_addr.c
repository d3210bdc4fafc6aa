/* SPDX-License-Identifier: MIT */
/* tests/netio/test_addr.c - reading addresses. */
#include "addr.h"

#include "support/run.h"
#include <arpa/inet.h>
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
        "",        ":",       ":80",      "host",        "host:",      "host:x",
        "host:1x", "host: 1", "host:-1",  "host:+1",     "host:65536", "host:99999999999999999999",
        "unix:",   "::1:80",  "::1",      "[::1]",       "[::1]:",     "[]:80",
        "[::1:80", "::1]:80", "[host]:1", "[1.2.3.4]:1", "[::1]x:1",   "a:b:1",
        "[:1",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_eq(parse(wrong[i]), -EINVAL, "\"%s\"", wrong[i]);
        cr_assert_eq(endpoint.port, 0xeeee, "\"%s\"", wrong[i]);
    }
}

/* Every text in front of a page that nobody may read. */
Test(addr, reads_nothing_behind_the_end)
{
    static const char *const texts[] = {"", "x", ":", "unix:", "[::1]:80", "host:80", "1.2.3.4:5"};
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
