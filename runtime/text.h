/* SPDX-License-Identifier: MIT */
/*
 * text.h - build a report in a fixed buffer and write it with one call, where stdio may not be
 * used.
 *
 * For reports from signal handlers and about a damaged process: nothing here allocates, locks or
 * reads the locale. What does not fit is cut off.
 */
#ifndef CO_RUNTIME_TEXT_H
#define CO_RUNTIME_TEXT_H

#include <co/base.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

struct co__text {
    char *buf;
    size_t size;
    size_t len;
};

/*
 * Appends at most `max` characters of s; NULL adds nothing. Threads: any, and signal handlers (all
 * of these).
 */
static inline void co__text_strn(struct co__text *text, const char *s, size_t max)
{
    for (size_t i = 0; s && i < max && s[i] != '\0' && text->len < text->size; i++)
        text->buf[text->len++] = s[i];
}

static inline void co__text_str(struct co__text *text, const char *s)
{
    co__text_strn(text, s, SIZE_MAX);
}

/* Appends a number in base 10 or 16. */
static inline void co__text_base(struct co__text *text, uint64_t value, unsigned base)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    co__text_strn(text, digits + at, sizeof(digits) - at);
}

static inline void co__text_dec(struct co__text *text, uint64_t value)
{
    co__text_base(text, value, 10);
}

/* Appends 0x and the number in hexadecimal. */
static inline void co__text_hex(struct co__text *text, uint64_t value)
{
    co__text_str(text, "0x");
    co__text_base(text, value, 16);
}

/* Writes the text to a descriptor; an error is ignored: there is nobody to tell. */
static inline void co__text_write(const struct co__text *text, int fd)
{
    size_t done = 0;

    while (done < text->len) {
        ssize_t n = write(fd, text->buf + done, text->len - done);

        if (n <= 0)
            return;
        done += (size_t)n;
    }
}

/* The first PIPE_BUF bytes of it, where nobody may be kept waiting by who does not read them. */
static inline void co__text_write_now(const struct co__text *text, int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    size_t len = text->len < PIPE_BUF ? text->len : PIPE_BUF;
    ssize_t n = 0;

    if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT)) /* so many a pipe takes then */
        n = write(fd, text->buf, len);
    (void)n;
}

#endif
