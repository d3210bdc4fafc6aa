/* SPDX-License-Identifier: MIT */
/* addr.c - reading addresses. */
#include "addr.h"

#include <arpa/inet.h>
#include <string.h>

static int parse_port(const char *text, uint16_t *ret_port)
{
    unsigned port = 0;

    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        port = port * 10 + (unsigned)(*text - '0');
        if (port > 65535)
            return -EINVAL;
    }
    *ret_port = (uint16_t)port;
    return 0;
}

static int parse_unix(const char *path, struct co__endpoint *endpoint)
{
    struct sockaddr_un *local = &endpoint->addr.local;
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof local->sun_path)
        return -EINVAL;
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path, len + 1);
    endpoint->addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return 0;
}

/* The host between text and end, brackets taken off. */
static int parse_host(const char *text, size_t len, struct co__endpoint *endpoint)
{
    struct co__addr *addr = &endpoint->addr;
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    char *host = endpoint->host;

    if (bracketed) {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= CO__HOST_MAX)
        return -EINVAL;
    memcpy(host, text, len);
    host[len] = '\0';
    if (inet_pton(AF_INET6, host, &addr->in6.sin6_addr) == 1) {
        if (!bracketed)
            return -EINVAL; /* which of the colons would begin the port? */
        addr->in6.sin6_family = AF_INET6;
        addr->in6.sin6_port = htons(endpoint->port);
        addr->len = sizeof addr->in6;
        host[0] = '\0';
    } else if (bracketed || strpbrk(host, ":[]")) {
        return -EINVAL;
    } else if (inet_pton(AF_INET, host, &addr->in4.sin_addr) == 1) {
        addr->in4.sin_family = AF_INET;
        addr->in4.sin_port = htons(endpoint->port);
        addr->len = sizeof addr->in4;
        host[0] = '\0';
    }
    return 0;
}

int co__endpoint_parse(const char *text, struct co__endpoint *ret_endpoint)
{
    struct co__endpoint endpoint = {0};
    const char *colon;
    int r;

    if (strncmp(text, "unix:", 5) == 0) {
        r = parse_unix(text + 5, &endpoint);
    } else {
        colon = strrchr(text, ':');
        if (!colon)
            return -EINVAL;
        r = parse_port(colon + 1, &endpoint.port);
        if (r == 0)
            r = parse_host(text, (size_t)(colon - text), &endpoint);
    }
    if (r == 0)
        *ret_endpoint = endpoint;
    return r;
}
