/* SPDX-License-Identifier: MIT */
/* What an octet may be part of: one table for the grammars of RFC 9110, 9112 and 3986. */
#ifndef CO__OCTETS_H
#define CO__OCTETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CO__TCHAR = 0x01, /* token */
    CO__PATH = 0x02,  /* path and '/', but neither '%' nor '.', which want a second look */
    CO__QUERY =
        0x04, /* query without '%', and what browsers send there unescaped: [ ] { } | \ ^ ` */
    CO__HOST = 0x08,  /* reg-name without '%' */
    CO__VALUE = 0x10, /* field value */
    CO__HEX = 0x20,
    CO__DIGIT = 0x40,
};

extern const uint8_t co__octets[256];

static inline bool co__is(char c, unsigned classes)
{
    return (co__octets[(uint8_t)c] & classes) != 0;
}

/* Whether all octets are of one of the classes. */
static inline bool co__all(const char *p, size_t n, unsigned classes)
{
    for (size_t i = 0; i < n; i++) {
        if (!co__is(p[i], classes))
            return false;
    }
    return true;
}

/* The value of a hexadecimal digit (of class CO__HEX). */
static inline unsigned co__hex(char c)
{
    unsigned u = (uint8_t)c;

    return u <= '9' ? u - '0' : (u | 0x20) - 'a' + 10;
}

static inline unsigned co__lower(char c)
{
    unsigned u = (uint8_t)c;

    return u - 'A' < 26 ? u | 0x20 : u;
}

/* Compares n octets with a text of len octets, letters in any case. */
static inline bool co__same(const char *p, size_t n, const char *text, size_t len)
{
    if (n != len)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (co__lower(p[i]) != co__lower(text[i]))
            return false;
    }
    return true;
}

#endif
