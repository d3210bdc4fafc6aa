/* SPDX-License-Identifier: MIT */
/*
 * The head of a request: request line and field lines, as slices of the buffer that holds it.
 *
 * The head is collected contiguously. co__head_scan goes over each octet once, however it arrives,
 * checks octets and lines, judges the request line as soon as that is there, and finds the end;
 * co__head_parse then runs llhttp once over the whole and applies what llhttp leaves to its keeper.
 * A refusal is minus the status that tells it: -400, -414, -417, -421, -431, -501, -505. All of
 * them end the connection, since where the next request begins is not sure any more.
 */
#ifndef CO__HEAD_H
#define CO__HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offsets are 16 bits wide. */
#define CO__HEAD_MAX   61440
#define CO__FIELDS_MAX 128
/* Segments of a path that are told apart; no pattern of a route has more. */
#define CO__SEGMENTS_MAX 16

struct co__slice {
    uint16_t off, len; /* off from the begin of the head */
};

struct co__field {
    struct co__slice name, value; /* the value without blanks around it */
};

struct co__head_limits {
    uint32_t head, target, fields;
};

enum {
    CO__HEAD_CLOSE = 0x01,   /* "close" among the connection options */
    CO__HEAD_KEEP = 0x02,    /* "keep-alive" among them */
    CO__HEAD_CHUNKED = 0x04, /* a chunked body follows */
    CO__HEAD_EXPECT = 0x08,  /* the client waits for 100 Continue */
    CO__HEAD_HOST = 0x10,    /* a Host field was there */
    CO__HEAD_STAR = 0x20,    /* the target is "*" */
    CO__HEAD_DECODE = 0x40,  /* the path has '%', or "/." : split it carefully */
    CO__HEAD_TE = 0x80,      /* a Transfer-Encoding field was there */
};

struct co__head {
    char *base;
    /* The scan: */
    uint32_t pos, line; /* how far it is, and where the present line began */
    uint32_t lines;     /* complete lines so far */
    bool tab;           /* the present line holds a tab */
    /* What the request line said: */
    uint8_t minor;
    uint8_t method; /* llhttp's number */
    uint8_t flags;
    uint16_t method_len;
    struct co__slice target, path, query;
    /* What the fields said: */
    int64_t content_length; /* -1: no such field */
    uint16_t field_count;
    uint16_t segment_count; /* all of them, also those that did not fit */
    struct co__slice segments[CO__SEGMENTS_MAX + 1];
    struct co__field fields[CO__FIELDS_MAX];
};

/* Begins a new head. */
void co__head_reset(struct co__head *h);

/*
 * Goes on over a head that begins at base and of which len octets are there. Between calls base may
 * move; the octets stay, except that tabs around field values become spaces.
 * Returns: the length of the head, once it is complete (an empty line in front of a request counts
 *   as a head with h->lines == 0); 0 if more is needed; minus a status.
 */
int co__head_scan(struct co__head *h, char *base, size_t len, const struct co__head_limits *limits);

/*
 * Parses the head that co__head_scan found complete, at h->base.
 * Returns: 0; minus a status.
 */
int co__head_parse(struct co__head *h, size_t len);

/*
 * Judges the request line of len octets at h->base: shape, version, form and octets of the target.
 * Returns: 0, with method_len, minor, target, path and query; minus a status.
 */
int co__line_check(struct co__head *h, size_t len, const struct co__head_limits *limits);

/*
 * Splits the path at its slashes and decodes it in place.
 * Returns: 0; -400 for a segment "." or "..", also if it shows only after decoding.
 */
int co__path_split(struct co__head *h);

/* Whether this is `uri-host [":" port]` of RFC 9110; a host and a port can be demanded. */
bool co__authority_ok(const char *p, size_t len, bool host_needed, bool port_needed);

/* llhttp's number of a method, or -1. */
int co__method_number(const char *name);
/* The name to such a number. */
const char *co__method_name(int number);

#endif
