/* SPDX-License-Identifier: MIT */
/*
 * The chunk decoder, a state machine of one octet each.
 *
 *   chunks:    SIZE -> (EXT_*) -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *   trailers:  SIZE_LF of size 0 -> LINE -> NAME -> VALUE -> VALUE_LF -> LINE ... -> END_LF -> DONE
 *
 * Every line ends with CR LF and nothing else: erratum 7633 of RFC 9112 asked for a lenient LF and
 * was refused.
 */
#include "chunk.h"
#include "octets.h"
#include <errno.h>

enum {
    SIZE,
    EXT_BLANK, /* blanks behind the size: only ';' may follow */
    EXT_BEGIN, /* behind ';' */
    EXT_NAME,
    EXT_EQUALS, /* blanks behind a name: '=' or ';' may follow */
    EXT_VALUE,  /* behind '=' */
    EXT_TOKEN,
    EXT_QUOTED,
    EXT_ESCAPED, /* behind a backslash */
    EXT_END,     /* behind a quoted string */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE, /* the first octet of a trailer line */
    NAME,
    VALUE,
    VALUE_LF,
    END_LF,
    DONE,
};

void co__chunk_reset(struct co__chunk *c)
{
    *c = (struct co__chunk){.state = SIZE};
}

bool co__chunk_done(const struct co__chunk *c)
{
    return c->state == DONE;
}

static int refuse(void)
{
    return -EBADMSG;
}

static bool blank(char o)
{
    return o == ' ' || o == '\t';
}

static int size_octet(struct co__chunk *c, char o)
{
    if (co__is(o, CO__HEX)) {
        if (c->digits++ == CO__CHUNK_DIGITS || c->left >> 59 != 0)
            return refuse();
        c->left = c->left << 4 | co__hex(o);
        return SIZE;
    }
    if (c->digits == 0)
        return refuse();
    return o == '\r' ? SIZE_LF : o == ';' ? EXT_BEGIN : blank(o) ? EXT_BLANK : refuse();
}

/* chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) */
static int ext_octet(struct co__chunk *c, char o)
{
    if (++c->extra > CO__CHUNK_EXTRA)
        return refuse();
    switch (c->state) {
    case EXT_BLANK:
        return blank(o) ? EXT_BLANK : o == ';' ? EXT_BEGIN : refuse();
    case EXT_BEGIN:
        return co__is(o, CO__TCHAR) ? EXT_NAME : blank(o) ? EXT_BEGIN : refuse();
    case EXT_NAME:
        if (co__is(o, CO__TCHAR))
            return EXT_NAME;
        if (o == '\r')
            return SIZE_LF;
        return blank(o) ? EXT_EQUALS : o == '=' ? EXT_VALUE : o == ';' ? EXT_BEGIN : refuse();
    case EXT_EQUALS:
        return blank(o) ? EXT_EQUALS : o == '=' ? EXT_VALUE : o == ';' ? EXT_BEGIN : refuse();
    case EXT_VALUE:
        if (o == '"')
            return EXT_QUOTED;
        return co__is(o, CO__TCHAR) ? EXT_TOKEN : blank(o) ? EXT_VALUE : refuse();
    case EXT_TOKEN:
        if (co__is(o, CO__TCHAR))
            return EXT_TOKEN;
        return o == '\r' ? SIZE_LF : o == ';' ? EXT_BEGIN : blank(o) ? EXT_BLANK : refuse();
    case EXT_QUOTED:
        if (o == '"')
            return EXT_END;
        return o == '\\' ? EXT_ESCAPED : co__is(o, CO__VALUE) ? EXT_QUOTED : refuse();
    case EXT_ESCAPED:
        return co__is(o, CO__VALUE) ? EXT_QUOTED : refuse();
    default: /* EXT_END */
        return o == '\r' ? SIZE_LF : o == ';' ? EXT_BEGIN : blank(o) ? EXT_BLANK : refuse();
    }
}

static int trailer_octet(struct co__chunk *c, char o)
{
    if (++c->trailer > CO__TRAILER_MAX)
        return refuse();
    switch (c->state) {
    case LINE:
        if (o == '\r')
            return END_LF;
        if (!co__is(o, CO__TCHAR) || ++c->trailer_lines > CO__TRAILER_LINES)
            return refuse();
        return NAME;
    case NAME:
        return co__is(o, CO__TCHAR) ? NAME : o == ':' ? VALUE : refuse();
    case VALUE:
        return co__is(o, CO__VALUE) ? VALUE : o == '\r' ? VALUE_LF : refuse();
    case VALUE_LF:
        return o == '\n' ? LINE : refuse();
    default: /* END_LF */
        return o == '\n' ? DONE : refuse();
    }
}

/* The state behind an octet that is no data; -EBADMSG. */
static int next_state(struct co__chunk *c, char o)
{
    switch (c->state) {
    case SIZE:
        return size_octet(c, o);
    case SIZE_LF:
        if (o != '\n')
            return refuse();
        c->digits = 0;
        return c->left == 0 ? LINE : DATA;
    case DATA_CR:
        return o == '\r' ? DATA_LF : refuse();
    case DATA_LF:
        return o == '\n' ? SIZE : refuse();
    default:
        return c->state >= LINE ? trailer_octet(c, o) : ext_octet(c, o);
    }
}

ssize_t co__chunk_feed(struct co__chunk *c, const char *p, size_t n, size_t most,
                       const char **ret_data, size_t *ret_len)
{
    size_t i = 0;

    *ret_data = p;
    *ret_len = 0;
    while (i < n && c->state != DONE) {
        int state;

        if (c->state == DATA) {
            size_t len = n - i < most ? n - i : most;

            if (len > c->left)
                len = (size_t)c->left;
            c->left -= len;
            if (c->left == 0)
                c->state = DATA_CR;
            *ret_data = p + i;
            *ret_len = len;
            return (ssize_t)(i + len);
        }
        state = next_state(c, p[i]);
        if (state < 0)
            return state;
        c->state = (uint8_t)state;
        i++;
    }
    return (ssize_t)i;
}
