/* SPDX-License-Identifier: MIT */
/* addr.c - reading, printing and comparing addresses. */
#include <co/addr.h>

#include "endpoint.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static const socklen_t path_at = offsetof(struct sockaddr_un, sun_path);

/* ---- reading ---- */

/* A number in digits alone, at most `most`. */
static int parse_number(const char *text, uint32_t most, uint32_t *ret_number)
{
    uint64_t number = 0;

    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        number = number * 10 + (uint64_t)(*text - '0');
        if (number > most)
            return -EINVAL;
    }
    *ret_number = (uint32_t)number;
    return 0;
}

/* A path as it is; behind '@' an abstract name, which begins with a NUL and has no other end. */
static int parse_unix(const char *path, struct co_addr *addr)
{
    bool abstract = path[0] == '@';
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof addr->local.sun_path)
        return -EINVAL;
    addr->local.sun_family = AF_UNIX;
    memcpy(addr->local.sun_path, path, len + 1);
    addr->len = path_at;
    if (abstract)
        addr->local.sun_path[0] = '\0';
    if (!abstract)
        addr->len += (socklen_t)len + 1;
    else if (len > 1)
        addr->len += (socklen_t)len;
    return 0;
}

/* An interface by number or name. */
static int parse_scope(const char *text, uint32_t *ret_scope)
{
    if (!*text)
        return -EINVAL;
    if (parse_number(text, UINT32_MAX, ret_scope) == 0)
        return 0;
    *ret_scope = if_nametoindex(text);
    return *ret_scope ? 0 : -ENODEV;
}

/* host: the address, perhaps with "%scope", which is cut off. */
static int parse_ip6(char *host, uint16_t port, struct co_addr *addr)
{
    char *scope = strchr(host, '%');

    if (scope)
        *scope++ = '\0';
    if (inet_pton(AF_INET6, host, &addr->in6.sin6_addr) != 1)
        return -EINVAL;
    addr->in6.sin6_family = AF_INET6;
    addr->in6.sin6_port = htons(port);
    addr->len = sizeof addr->in6;
    return scope ? parse_scope(scope, &addr->in6.sin6_scope_id) : 0;
}

/* The host between text and end, brackets taken off. */
static int parse_host(const char *text, size_t len, struct co__endpoint *endpoint)
{
    struct co_addr *addr = &endpoint->addr;
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    char *host = endpoint->host;
    int r = 0;

    if (bracketed) {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= CO__HOST_MAX)
        return -EINVAL;
    memcpy(host, text, len);
    host[len] = '\0';
    if (bracketed) {
        r = parse_ip6(host, endpoint->port, addr);
        host[0] = '\0';
    } else if (strpbrk(host, ":[]%")) {
        r = -EINVAL; /* which of the colons would begin the port? */
    } else if (inet_pton(AF_INET, host, &addr->in4.sin_addr) == 1) {
        addr->in4.sin_family = AF_INET;
        addr->in4.sin_port = htons(endpoint->port);
        addr->len = sizeof addr->in4;
        host[0] = '\0';
    }
    return r;
}

int co__endpoint_parse(const char *text, struct co__endpoint *ret_endpoint)
{
    struct co__endpoint endpoint = {0};
    const char *colon;
    uint32_t port;
    int r;

    if (strncmp(text, "unix:", 5) == 0) {
        r = parse_unix(text + 5, &endpoint.addr);
    } else {
        colon = strrchr(text, ':');
        if (!colon || parse_number(colon + 1, UINT16_MAX, &port) < 0)
            return -EINVAL;
        endpoint.port = (uint16_t)port;
        r = parse_host(text, (size_t)(colon - text), &endpoint);
    }
    if (r == 0)
        *ret_endpoint = endpoint;
    return r;
}

int co_addr_parse(const char *text, struct co_addr *ret_addr)
{
    struct co__endpoint endpoint;
    int r = co__endpoint_parse(text, &endpoint);

    if (r == 0 && endpoint.host[0])
        r = -EINVAL;
    if (r == 0)
        *ret_addr = endpoint.addr;
    return r;
}

/* ---- printing ---- */

/* The bytes of a local address's name: a path without its NUL, an abstract name with its first. */
static size_t name_length(const struct co_addr *addr)
{
    size_t len = addr->len > path_at ? addr->len - path_at : 0;

    if (len > sizeof addr->local.sun_path)
        len = sizeof addr->local.sun_path;
    return len > 0 && addr->local.sun_path[0] ? strnlen(addr->local.sun_path, len) : len;
}

static void print_unix(const struct co_addr *addr, char *buf)
{
    size_t len = name_length(addr);
    char *to = buf + 5;

    memcpy(buf, "unix:", 6);
    if (len == 0)
        *to++ = '@';
    for (size_t i = 0; i < len; i++) {
        char c = addr->local.sun_path[i];

        if (i == 0 && c == '\0')
            c = '@';
        if ((unsigned char)c < ' ' || c == 0x7f)
            c = '?';
        *to++ = c;
    }
    *to = '\0';
}

static void print_ip6(const struct sockaddr_in6 *in6, char *buf)
{
    char host[INET6_ADDRSTRLEN], scope[12] = "";

    (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
    if (in6->sin6_scope_id)
        (void)snprintf(scope, sizeof scope, "%%%u", in6->sin6_scope_id);
    (void)snprintf(buf, CO_ADDR_TEXT, "[%s%s]:%d", host, scope, ntohs(in6->sin6_port));
}

const char *co_addr_print(const struct co_addr *addr, char *buf)
{
    char host[INET_ADDRSTRLEN];
    int family = addr->len > 0 ? addr->any.sa_family : AF_UNSPEC;

    if (family == AF_INET) {
        (void)inet_ntop(AF_INET, &addr->in4.sin_addr, host, sizeof host);
        (void)snprintf(buf, CO_ADDR_TEXT, "%s:%d", host, ntohs(addr->in4.sin_port));
    } else if (family == AF_INET6) {
        print_ip6(&addr->in6, buf);
    } else if (family == AF_UNIX) {
        print_unix(addr, buf);
    } else {
        (void)snprintf(buf, CO_ADDR_TEXT, "unknown");
    }
    return buf;
}

/* ---- comparing ---- */

bool co_addr_equal(const struct co_addr *a, const struct co_addr *b)
{
    size_t len;

    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->any.sa_family != b->any.sa_family)
        return false;
    switch (a->any.sa_family) {
    case AF_INET:
        return a->in4.sin_port == b->in4.sin_port &&
               a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
    case AF_INET6:
        return a->in6.sin6_port == b->in6.sin6_port &&
               a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
    case AF_UNIX:
        len = name_length(a);
        return len == name_length(b) && memcmp(a->local.sun_path, b->local.sun_path, len) == 0;
    default:
        return a->len == b->len && a->len <= sizeof a->local &&
               memcmp(&a->any, &b->any, a->len) == 0;
    }
}

int co_addr_port(const struct co_addr *addr)
{
    if (addr->len > 0 && addr->any.sa_family == AF_INET)
        return ntohs(addr->in4.sin_port);
    if (addr->len > 0 && addr->any.sa_family == AF_INET6)
        return ntohs(addr->in6.sin6_port);
    return -EAFNOSUPPORT;
}
