/* SPDX-License-Identifier: MIT */
/*
 * Runs llhttp over a complete head, and keeps what it lets through: llhttp 8.1 in strict mode still
 * accepts several transfer codings, a Transfer-Encoding in HTTP/1.0, empty field names, folded
 * lines, any Host.
 *
 * This is the only file that includes llhttp.h. Debian's header defaults to loose mode, which takes
 * bare CR as the end of a line (CVE-2023-30589), so the build has to say strict for llhttp and for
 * this file.
 */
#include "head.h"
#include "octets.h"
#include <errno.h>
#include <llhttp.h>
#include <string.h>

#if LLHTTP_VERSION_MAJOR < 9 && LLHTTP_STRICT_MODE != 1 /* later ones have no loose mode */
#error "llhttp and its users are compiled with -DLLHTTP_STRICT_MODE=1"
#endif

static struct co__slice slice_of(const struct co__head *h, const char *at, size_t len)
{
    return (struct co__slice){(uint16_t)(at - h->base), (uint16_t)len};
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct co__head *h = parser->data;
    struct co__field *field = &h->fields[h->field_count];

    if (h->field_count == CO__FIELDS_MAX || len == 0)
        return -1;
    field->name = slice_of(h, at, len);
    field->value = slice_of(h, at + len, 0);
    h->field_count++;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct co__head *h = parser->data;
    struct co__field *field;

    if (h->field_count == 0)
        return -1;
    field = &h->fields[h->field_count - 1];
    if (field->value.len != 0)
        return -1; /* in two pieces: a folded line */
    while (len > 0 && at[len - 1] == ' ')
        len--;
    field->value = slice_of(h, at, len);
    return 0;
}

/* Stops llhttp behind the head: bodies are our own business. */
static int on_headers_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
};

/* Calls fn for each element of a comma-separated list. */
static void each_token(const char *p, size_t len,
                       void (*fn)(struct co__head *, const char *, size_t), struct co__head *h)
{
    const char *end = p + len;

    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma == NULL ? end : comma, *next = comma == NULL ? end : comma + 1;

        while (p < stop && (*p == ' ' || *p == '\t'))
            p++;
        while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        fn(h, p, (size_t)(stop - p));
        p = next;
    }
}

static void connection_option(struct co__head *h, const char *p, size_t len)
{
    if (co__same(p, len, "close", 5))
        h->flags |= CO__HEAD_CLOSE;
    else if (co__same(p, len, "keep-alive", 10))
        h->flags |= CO__HEAD_KEEP;
}

static int content_length(struct co__head *h, const char *p, size_t len)
{
    int64_t n = 0;

    if (len == 0 || h->content_length >= 0 || !co__all(p, len, CO__DIGIT))
        return -400;
    for (size_t i = 0; i < len; i++) {
        if (n > (INT64_MAX - 9) / 10)
            return -413;
        n = n * 10 + (p[i] - '0');
    }
    h->content_length = n;
    return 0;
}

/* Exactly "chunked", once. A list that ends in it is a coding we do not have; anything else has
 * no end. */
static int transfer_encoding(struct co__head *h, const char *p, size_t len)
{
    if (h->minor == 0 || (h->flags & CO__HEAD_TE))
        return -400;
    h->flags |= CO__HEAD_TE;
    if (co__same(p, len, "chunked", 7)) {
        h->flags |= CO__HEAD_CHUNKED;
        return 0;
    }
    if (len > 8 && (p[len - 8] == ',' || p[len - 8] == ' ') && memchr(p, ',', len) != NULL &&
        co__same(p + len - 7, 7, "chunked", 7))
        return -501;
    return -400;
}

/* What the fields mean that a server itself acts on. */
static int known_field(struct co__head *h, const struct co__field *field)
{
    const char *name = h->base + field->name.off, *value = h->base + field->value.off;
    size_t len = field->value.len;

    switch (field->name.len) {
    case 4:
        if (!co__same(name, 4, "host", 4))
            return 0;
        if ((h->flags & CO__HEAD_HOST) || !co__authority_ok(value, len, false, false))
            return -400;
        h->flags |= CO__HEAD_HOST;
        return 0;
    case 6:
        if (!co__same(name, 6, "expect", 6) || h->minor == 0)
            return 0;
        if (!co__same(value, len, "100-continue", 12))
            return -417;
        h->flags |= CO__HEAD_EXPECT;
        return 0;
    case 10:
        if (co__same(name, 10, "connection", 10))
            each_token(value, len, connection_option, h);
        return 0;
    case 14:
        return co__same(name, 14, "content-length", 14) ? content_length(h, value, len) : 0;
    case 17:
        return co__same(name, 17, "transfer-encoding", 17) ? transfer_encoding(h, value, len) : 0;
    default:
        return 0;
    }
}

int co__head_parse(struct co__head *h, size_t len)
{
    llhttp_t parser;
    llhttp_errno_t err;

    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = h;
    err = llhttp_execute(&parser, h->base, len);
    if (err != HPE_PAUSED) {
        const char *pos = llhttp_get_error_pos(&parser);

        /* A method is a token, or the request line would have been refused: it is one we do not
         * know. */
        if (err == HPE_INVALID_METHOD && pos != NULL && pos <= h->base + h->method_len)
            return -501;
        return -400;
    }
    h->method = parser.method;
    for (size_t i = 0; i < h->field_count; i++) {
        int r = known_field(h, &h->fields[i]);

        if (r < 0)
            return r;
    }
    if (h->minor == 1 && !(h->flags & CO__HEAD_HOST))
        return -400;
    if ((h->flags & CO__HEAD_TE) && h->content_length >= 0)
        return -400;
    return 0;
}

int co__method_number(const char *name)
{
    for (int i = HTTP_DELETE; i <= HTTP_SOURCE; i++) {
        if (strcmp(llhttp_method_name((llhttp_method_t)i), name) == 0)
            return i;
    }
    return -1;
}

const char *co__method_name(int number)
{
    return llhttp_method_name((llhttp_method_t)number);
}
