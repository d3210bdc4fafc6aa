/* SPDX-License-Identifier: MIT */
/* The request line: its shape, the version, and the four forms of a target (RFC 9112, section
 * 3). */
#include "head.h"
#include "octets.h"
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* The length of a percent-encoding at p: 3, or 0 if it is none or encodes NUL. */
static size_t pct(const char *p, const char *end)
{
    if (end - p < 3 || !co__is(p[1], CO__HEX) || !co__is(p[2], CO__HEX))
        return 0;
    return p[1] == '0' && p[2] == '0' ? 0 : 3;
}

/* The length of a reg-name at p. */
static size_t reg_name(const char *p, const char *end)
{
    const char *q = p;

    for (;;) {
        while (q < end && co__is(*q, CO__HOST))
            q++;
        if (q == end || *q != '%' || pct(q, end) == 0)
            return (size_t)(q - p);
        q += 3;
    }
}

/* The length of an IP-literal, which begins with '[' at p; 0 if it is none. */
static size_t ip_literal(const char *p, const char *end)
{
    const char *close = memchr(p, ']', (size_t)(end - p));
    size_t n = close == NULL ? 0 : (size_t)(close - p) - 1;
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;

    if (n == 0)
        return 0;
    if (p[1] == 'v' ||
        p[1] == 'V') { /* IPvFuture: "v" 1*HEXDIG "." 1*( unreserved, sub-delims, ":" ) */
        const char *q = p + 2;

        while (co__is(*q, CO__HEX))
            q++;
        if (q == p + 2 || *q != '.' || q + 1 == close)
            return 0;
        for (q++; q < close; q++) {
            if (!co__is(*q, CO__HOST) && *q != ':')
                return 0;
        }
        return n + 2;
    }
    if (n >= sizeof text)
        return 0;
    memcpy(text, p + 1, n);
    text[n] = '\0';
    return inet_pton(AF_INET6, text, &addr) == 1 ? n + 2 : 0;
}

bool co__authority_ok(const char *p, size_t len, bool host_needed, bool port_needed)
{
    const char *end = p + len;
    size_t host;

    if (len > 0 && *p == '[') {
        host = ip_literal(p, end);
        if (host == 0)
            return false;
    } else {
        host = reg_name(p, end);
    }
    if (host == 0 && host_needed)
        return false;
    p += host;
    if (p == end)
        return !port_needed;
    if (*p++ != ':' || !co__all(p, (size_t)(end - p), CO__DIGIT))
        return false;
    if (port_needed) {
        unsigned long port = 0;

        for (; p < end && port <= 65535; p++)
            port = port * 10 + (unsigned long)(*p - '0');
        return port >= 1 && port <= 65535;
    }
    return true;
}

/* Path and query from off on. */
static int path_check(struct co__head *h, size_t off, size_t end)
{
    const char *p = h->base;
    size_t i = off;

    for (; i < end && p[i] != '?'; i++) {
        if (co__is(p[i], CO__PATH))
            continue;
        if (p[i] == '.') {
            if (i > off && p[i - 1] == '/')
                h->flags |= CO__HEAD_DECODE;
        } else if (p[i] == '%' && pct(p + i, p + end) != 0) {
            h->flags |= CO__HEAD_DECODE;
            i += 2;
        } else {
            return -400;
        }
    }
    h->path = (struct co__slice){(uint16_t)off, (uint16_t)(i - off)};
    h->query = (struct co__slice){(uint16_t)end, 0};
    if (i == end)
        return 0;
    off = ++i;
    for (; i < end; i++) {
        if (co__is(p[i], CO__QUERY))
            continue;
        if (p[i] != '%' || pct(p + i, p + end) == 0)
            return -400;
        i += 2;
    }
    h->query = (struct co__slice){(uint16_t)off, (uint16_t)(end - off)};
    return 0;
}

/* http://authority/path: the authority is judged, and our only host is all hosts. */
static int absolute_check(struct co__head *h, size_t off, size_t end)
{
    const char *p = h->base;
    size_t begin = off + 7, i, slash = off + 6;

    if (end - off > 8 && strncasecmp(p + off, "https://", 8) == 0)
        return -421; /* this connection is not secured */
    if (end - off <= 7 || strncasecmp(p + off, "http://", 7) != 0)
        return -400;
    for (i = begin; i < end && p[i] != '/' && p[i] != '?'; i++)
        ;
    if (!co__authority_ok(p + begin, i - begin, true, false))
        return -400;
    if (i < end && p[i] == '/')
        return path_check(h, i, end);
    if (i < end) {
        int r = path_check(h, i, end); /* an empty path and a query */

        if (r < 0)
            return r;
    } else {
        h->query = (struct co__slice){(uint16_t)end, 0};
    }
    h->path =
        (struct co__slice){(uint16_t)slash, 1}; /* the second slash of http:// stands for it */
    return 0;
}

static int target_check(struct co__head *h)
{
    const char *p = h->base;
    size_t off = h->target.off, end = off + h->target.len;

    if (h->method_len == 7 && memcmp(p, "CONNECT", 7) == 0)
        return co__authority_ok(p + off, end - off, true, true) ? -501 : -400;
    if (p[off] == '/')
        return path_check(h, off, end);
    if (p[off] == '*' && end - off == 1) {
        h->flags |= CO__HEAD_STAR;
        h->path = h->target;
        h->query = (struct co__slice){(uint16_t)end, 0};
        return h->method_len == 7 && memcmp(p, "OPTIONS", 7) == 0 ? 0 : -400;
    }
    return absolute_check(h, off, end);
}

int co__line_check(struct co__head *h, size_t len, const struct co__head_limits *limits)
{
    const char *p = h->base, *version;
    size_t m = 0;

    while (m < len && co__is(p[m], CO__TCHAR))
        m++;
    /* method SP target SP HTTP/1.1: the shortest target is one octet. */
    if (m == 0 || len < m + 11 || p[m] != ' ')
        return -400;
    version = p + len - 9;
    if (memcmp(version, " HTTP/", 6) != 0 || !co__is(version[6], CO__DIGIT) || version[7] != '.' ||
        !co__is(version[8], CO__DIGIT))
        return -400;
    if (version[6] != '1' || version[8] > '1')
        return -505;
    if (len - m - 10 > limits->target)
        return -414;
    h->method_len = (uint16_t)m;
    h->minor = version[8] == '1';
    h->target = (struct co__slice){(uint16_t)(m + 1), (uint16_t)(len - m - 10)};
    return target_check(h);
}

/* Decodes a segment of n octets to dst, which may be where it is. Returns: its length; -400. */
static int segment_decode(char *dst, const char *src, size_t n)
{
    size_t len = 0, begin = 0;

    for (size_t i = 0; i < n; i++) {
        char c = src[i];

        if (c == '%') {
            c = (char)(co__hex(src[i + 1]) << 4 | co__hex(src[i + 2]));
            i += 2;
        }
        dst[len++] = c;
    }
    /* An encoded slash makes segments too, for whoever hands the text to a file system. */
    for (size_t i = 0; i <= len; i++) {
        if (i < len && dst[i] != '/')
            continue;
        if ((i - begin == 1 && dst[begin] == '.') ||
            (i - begin == 2 && dst[begin] == '.' && dst[begin + 1] == '.'))
            return -400;
        begin = i + 1;
    }
    return (int)len;
}

int co__path_split(struct co__head *h)
{
    bool decode = (h->flags & CO__HEAD_DECODE) != 0;
    char *p = h->base + h->path.off + 1, *dst = p;
    char *end = h->base + h->path.off + h->path.len;

    h->segment_count = 0;
    for (;;) {
        char *slash = memchr(p, '/', (size_t)(end - p));
        size_t n = (size_t)((slash == NULL ? end : slash) - p);
        int len = decode ? segment_decode(dst, p, n) : (int)n;

        if (len < 0)
            return len;
        if (h->segment_count <= CO__SEGMENTS_MAX)
            h->segments[h->segment_count] =
                (struct co__slice){(uint16_t)(dst - h->base), (uint16_t)len};
        h->segment_count++;
        dst += len;
        if (slash == NULL)
            break;
        *dst++ = '/';
        p = slash + 1;
    }
    h->path.len = (uint16_t)(dst - (h->base + h->path.off));
    return 0;
}
