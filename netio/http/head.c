/* SPDX-License-Identifier: MIT */
/* Finds the end of a head in one pass, however its octets arrive, and refuses wrong octets on
 * the way. */
#include "head.h"
#include "octets.h"
#include <string.h>

void co__head_reset(struct co__head *h)
{
    /* The arrays at the end are written before they are read. */
    memset(h, 0, offsetof(struct co__head, segments));
    h->content_length = -1;
}

/*
 * Skips printable octets, tested eight at a time: subtracting 0x20 (or 1, of what is zero where a
 * DEL is) borrows into the top bit, and octets whose top bit was set before are obs-text, which may
 * pass. A borrow can only spoil octets above the first hit, and the first hit is all we look for.
 */
static size_t skip_printable(const char *p, size_t pos, size_t len)
{
    const uint64_t ones = 0x0101010101010101U;
    const uint64_t tops = 0x8080808080808080U;

    while (pos + 8 <= len) {
        uint64_t x, del, hits;

        memcpy(&x, p + pos, 8);
        del = x ^ (ones * 0x7f);
        hits = (((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & tops;
        if (hits != 0)
            return pos + ((size_t)__builtin_ctzll(hits) >> 3);
        pos += 8;
    }
    while (pos < len && (uint8_t)p[pos] >= 0x20 && p[pos] != 0x7f)
        pos++;
    return pos;
}

/* Turns the tabs around a field's value into spaces: llhttp takes only those around some values. */
static void blank_tabs(char *line, char *end)
{
    char *p = memchr(line, ':', (size_t)(end - line));

    if (p == NULL)
        return; /* a line that llhttp will refuse */
    for (p++; p < end && (*p == ' ' || *p == '\t'); p++)
        *p = ' ';
    for (; end > p && (end[-1] == ' ' || end[-1] == '\t'); end--)
        end[-1] = ' ';
}

/* Judges the line that ends at h->pos. Returns: 0; 1 if the head ends with it; minus a status. */
static int line_end(struct co__head *h, const struct co__head_limits *limits)
{
    char *line = h->base + h->line;
    size_t len = h->pos - h->line;
    bool tab = h->tab;

    h->tab = false;
    if (len == 0)
        return 1;
    if (h->lines == 0) {
        int r = tab ? -400 : co__line_check(h, len, limits);

        if (r < 0)
            return r;
    } else {
        if (line[0] == ' ' || line[0] == '\t')
            return -400; /* obs-fold, or blanks before the first field */
        if (h->lines > limits->fields)
            return -431;
        if (tab)
            blank_tabs(line, line + len);
    }
    h->lines++;
    return 0;
}

/* What a head that is not complete may have become too long for. */
static int too_long(const struct co__head *h, size_t len, const struct co__head_limits *limits)
{
    /* Method and version are not counted, so leave them some room. */
    if (h->lines == 0 && len > (size_t)limits->target + 64)
        return -414;
    return len >= limits->head ? -431 : 0;
}

int co__head_scan(struct co__head *h, char *base, size_t len, const struct co__head_limits *limits)
{
    h->base = base;
    for (;;) {
        size_t pos = skip_printable(base, h->pos, len);
        int r;

        h->pos = (uint32_t)pos;
        if (pos == len)
            return too_long(h, len, limits);
        if (base[pos] == '\t') {
            h->tab = true;
            h->pos++;
            continue;
        }
        if (base[pos] != '\r')
            return -400;
        if (pos + 1 == len)
            return too_long(h, len, limits);
        if (base[pos + 1] != '\n')
            return -400;
        r = line_end(h, limits);
        if (r < 0)
            return r;
        h->pos += 2;
        h->line = h->pos;
        if (r == 1)
            return h->pos > limits->head ? -431 : (int)h->pos;
    }
}
